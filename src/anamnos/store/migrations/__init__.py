"""The schema of the SQLite store, as an ordered list of steps. A step is never edited after its release."""

from collections.abc import Callable

import apsw

from anamnos.store.migrations.m0001_initial import initial

MIGRATIONS: tuple[Callable[[apsw.Connection], None], ...] = (initial,)
SCHEMA_VERSION = len(MIGRATIONS)
