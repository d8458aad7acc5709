"""The schema of the SQLite store, as an ordered list of steps. A step is never edited after its release."""

from collections.abc import Callable

import apsw

from anamnos.store.migrations.m0001_initial import initial
from anamnos.store.migrations.m0002_tokens import tokens
from anamnos.store.migrations.m0003_jobs import jobs
from anamnos.store.migrations.m0004_audit import audit
from anamnos.store.migrations.m0005_texts import texts

MIGRATIONS: tuple[Callable[[apsw.Connection], None], ...] = (initial, tokens, jobs, audit, texts)
SCHEMA_VERSION = len(MIGRATIONS)
