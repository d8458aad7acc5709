"""Schema 5: trigrams of all versions, so that one that is superseded need not be taken out of FTS5.

Taking a row out costs FTS5 a walk over every list that it stands in: ten milliseconds among a hundred thousand rows.
"""

import apsw

SCHEMA = """
DROP TABLE trigrams;
DROP VIEW current_text;
CREATE VIEW texts AS SELECT row, content FROM cubes WHERE substrate = 'text';
CREATE VIRTUAL TABLE trigrams USING fts5 (
    content, content = 'texts', content_rowid = 'row', columnsize = 0, detail = none, tokenize = "trigram"
);
INSERT INTO trigrams (trigrams, rank) VALUES ('secure-delete', 1);
INSERT INTO trigrams (trigrams) VALUES ('rebuild');
"""


def texts(db: apsw.Connection) -> None:
    """Make the table of trigrams anew."""
    db.execute(SCHEMA)
