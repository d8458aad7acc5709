"""Schema 1: cubes with all versions, links, keyword rows, vectors, the feed of changes."""

import apsw

SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE scopes (
    scope   INTEGER PRIMARY KEY,
    tenant  TEXT NOT NULL,
    user    TEXT,
    agent   TEXT,
    session TEXT
);
CREATE UNIQUE INDEX scopes_by_name
    ON scopes (tenant, ifnull(user, ''), ifnull(agent, ''), ifnull(session, ''));

CREATE TABLE origins (
    origin   INTEGER PRIMARY KEY,
    source   TEXT,
    operator TEXT
);
CREATE UNIQUE INDEX origins_by_name ON origins (ifnull(source, ''), ifnull(operator, ''));

-- One row per version of a cube. Times are microseconds since 1970, in UTC.
CREATE TABLE cubes (
    row           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB NOT NULL,
    version       INTEGER NOT NULL,
    current       INTEGER NOT NULL,
    scope         INTEGER NOT NULL REFERENCES scopes,
    origin        INTEGER NOT NULL REFERENCES origins,
    substrate     TEXT NOT NULL,
    role          TEXT NOT NULL,
    state         TEXT NOT NULL,
    created_at    INTEGER,
    recorded_at   INTEGER,
    superseded_at INTEGER,
    actor         TEXT,
    importance    NUMERIC NOT NULL,
    trust         NUMERIC NOT NULL,
    key           BLOB,
    linked        INTEGER NOT NULL,
    content       TEXT NOT NULL,  -- of text cubes; the SHA-256 of the blob for others
    terms         BLOB,           -- hashed index terms and marks, uint32 little-endian, in the order of the text
    more          TEXT            -- JSON: the fields that have no column
);
CREATE UNIQUE INDEX cubes_by_id ON cubes (id, version);
CREATE UNIQUE INDEX cubes_by_key ON cubes (key) WHERE current AND key IS NOT NULL;
CREATE INDEX cubes_by_scope ON cubes (scope);
CREATE INDEX cubes_by_origin ON cubes (origin);

CREATE TABLE links (
    row    INTEGER NOT NULL REFERENCES cubes ON DELETE CASCADE,
    place  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    target BLOB NOT NULL,
    weight REAL NOT NULL,
    PRIMARY KEY (row, place)
) WITHOUT ROWID;
CREATE INDEX links_by_target ON links (target);

CREATE TABLE derivations (
    row    INTEGER NOT NULL REFERENCES cubes ON DELETE CASCADE,
    source BLOB NOT NULL,
    PRIMARY KEY (source, row)
) WITHOUT ROWID;
CREATE INDEX derivations_by_row ON derivations (row);

CREATE TABLE embedders (
    embedder INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    dim      INTEGER NOT NULL,
    in_use   INTEGER NOT NULL
);
CREATE TABLE vectors (
    row      INTEGER NOT NULL REFERENCES cubes ON DELETE CASCADE,
    embedder INTEGER NOT NULL REFERENCES embedders,
    dim      INTEGER NOT NULL,
    vector   BLOB NOT NULL       -- float32, little-endian
);
CREATE UNIQUE INDEX vectors_by_row ON vectors (row, embedder);

CREATE TABLE changes (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,       -- 0 written, 1 retired, 2 erased
    row  INTEGER NOT NULL,
    id   BLOB NOT NULL
);

-- Keyword rows of the current text cubes, for filters by substring. 'secure-delete' takes trigrams out at once.
-- There is no table of whole words: FTS5 keeps some of them as page separators after their deletion.
CREATE VIEW current_text AS SELECT row, content FROM cubes WHERE current AND substrate = 'text';
CREATE VIRTUAL TABLE trigrams USING fts5 (
    content, content = 'current_text', content_rowid = 'row', columnsize = 0, detail = none,
    tokenize = "trigram"
);
INSERT INTO trigrams (trigrams, rank) VALUES ('secure-delete', 1);
"""


def initial(db: apsw.Connection) -> None:
    """Create every table of schema 1 in an empty database."""
    db.execute(SCHEMA)
