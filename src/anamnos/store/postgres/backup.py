"""A copy of all rows as one SQL script, which psql reads back into a database."""

from __future__ import annotations

from typing import BinaryIO

import psycopg

from anamnos.store.migrations.postgres import SCHEMA_VERSION

# in the order that foreign keys want
TABLES = (
    *("state", "settings", "scopes", "cubes", "links", "derivations", "embedders", "vectors", "tokens", "changes"),
    *("jobs", "recurring_jobs", "paused_jobs", "job_clock", "working", "audit", "audit_names", "records"),
)
_COUNTED = {"scopes": "scope", "embedders": "embedder", "recurring_jobs": "number"}
_HEAD = """-- Anamnos, schema {version}. To read it back: let Anamnos open a database in which nothing is yet, then
--   psql --single-transaction -v ON_ERROR_STOP=1 -f THIS_FILE DATABASE
SET search_path = {schema};
DELETE FROM state;
"""


def write_script(db: psycopg.Connection, schema: str, file: BinaryIO) -> None:
    """Write every row of the snapshot that ``db`` is in; ``schema`` is the quoted name of that to be filled."""
    file.write(_HEAD.format(version=SCHEMA_VERSION, schema=schema).encode())
    for table in TABLES:
        file.write(f"COPY {table} FROM stdin;\n".encode())
        with db.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as rows:
            for part in rows:
                file.write(part)
        file.write(b"\\.\n")
        if column := _COUNTED.get(table):
            counter = f"pg_get_serial_sequence('{table}', '{column}')"
            file.write(f"SELECT setval({counter}, (SELECT max({column}) FROM {table}));\n".encode())
    file.write(b"-- the end\n")
