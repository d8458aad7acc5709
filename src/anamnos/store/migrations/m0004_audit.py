"""Schema 4: the chain of audit entries, the names behind its pseudonyms, what governance keeps, and what expires."""

import apsw

SCHEMA = """
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,   -- 1, 2, 3 … without gaps
    at        INTEGER NOT NULL,      -- microseconds since 1970
    principal TEXT,                  -- a pseudonym; NULL is the application itself
    verb      TEXT NOT NULL,
    id        BLOB,                  -- of the cube
    before    INTEGER,               -- its version before and after
    after     INTEGER,
    purpose   TEXT,
    decision  TEXT NOT NULL,
    previous  BLOB NOT NULL,
    hash      BLOB NOT NULL          -- see anamnos.store.ledger
);
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END;
CREATE TABLE audit_names (token TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;

CREATE TABLE records (
    kind  TEXT NOT NULL,             -- principal, grant, rule, copy
    name  TEXT NOT NULL,
    value TEXT NOT NULL,             -- JSON
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE INDEX cubes_by_expiry ON cubes (rtrim(json_extract(more, '$.lifecycle.expires_at'), 'Z'))
    WHERE current AND rtrim(json_extract(more, '$.lifecycle.expires_at'), 'Z') IS NOT NULL;
"""


def audit(db: apsw.Connection) -> None:
    """Add the tables of governance, and the index of what expires."""
    db.execute(SCHEMA)
