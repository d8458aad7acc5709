"""A second wall behind scopes: roles of the server that see the rows of one tenant, whatever they ask.

The policies are in the schema (``migrations/postgres``). They bind every role but the owner of the tables and
superusers. They keep memories apart, and what hangs on them: vectors, words, links, jobs, working memories, changes.
Settings and the records of governance belong to the vault as a whole.
"""

from __future__ import annotations

import psycopg
from psycopg import sql


def admit(db: psycopg.Connection, schema: str, role: str, tenant: str | None) -> None:
    """Grant a role what it needs of the tables in ``schema`` (quoted), and bind it to a tenant (None: to none)."""
    name = sql.Identifier(role).as_string(None)
    for statement in (
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}",
        f"REVOKE INSERT, UPDATE, DELETE ON tenant_roles FROM {name}",
        f"REVOKE UPDATE, DELETE ON audit FROM {name}",
    ):
        db.execute(statement)
    db.execute("DELETE FROM tenant_roles WHERE role = %s", (role,))
    if tenant is not None:
        db.execute("INSERT INTO tenant_roles VALUES (%s, %s)", (role, tenant))
