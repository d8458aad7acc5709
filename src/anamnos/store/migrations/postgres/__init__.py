"""The schema of the PostgreSQL store, as an ordered list of steps. A step is never edited after its release."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from anamnos.store.migrations.postgres.m0001_initial import initial

if TYPE_CHECKING:
    import psycopg

MIGRATIONS: "tuple[Callable[[psycopg.Connection], None], ...]" = (initial,)
SCHEMA_VERSION = len(MIGRATIONS)
