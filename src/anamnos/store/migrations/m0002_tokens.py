"""Schema 2: vectors of the single words of a text, beside the vector of the whole."""

import apsw

SCHEMA = """
CREATE TABLE tokens (
    row      INTEGER NOT NULL REFERENCES cubes ON DELETE CASCADE,
    embedder INTEGER NOT NULL REFERENCES embedders,
    tokens   BLOB NOT NULL       -- see anamnos.index.tokens
);
CREATE UNIQUE INDEX tokens_by_row ON tokens (row, embedder);
"""


def tokens(db: apsw.Connection) -> None:
    """Add the table; texts written before it have no such vectors until they are embedded anew."""
    db.execute(SCHEMA)
