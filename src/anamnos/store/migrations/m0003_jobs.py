"""Schema 3: the queue of background jobs, and working memory. No row holds words, and all go with their scope."""

import apsw

SCHEMA = """
CREATE TABLE jobs (
    job          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,
    scope        INTEGER REFERENCES scopes ON DELETE CASCADE,
    payload      TEXT NOT NULL,     -- JSON: ids, numbers, settings
    key          TEXT NOT NULL,
    priority     INTEGER NOT NULL,
    state        TEXT NOT NULL,     -- waiting, running, done, dead
    attempts     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    run_after    INTEGER NOT NULL,  -- this and leased_until: microseconds of the queue's own clock
    leased_until INTEGER,
    worker       TEXT,
    error        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,  -- microseconds since 1970, as all other times
    started_at   INTEGER,
    finished_at  INTEGER,
    done         INTEGER NOT NULL,
    total        INTEGER NOT NULL
);
CREATE INDEX jobs_by_turn ON jobs (state, priority, run_after);
CREATE INDEX jobs_by_key ON jobs (key, kind, scope) WHERE key != '';
CREATE INDEX jobs_by_scope ON jobs (scope);

CREATE TABLE recurring_jobs (
    kind      TEXT NOT NULL,
    scope     INTEGER REFERENCES scopes ON DELETE CASCADE,
    payload   TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    every     INTEGER NOT NULL,     -- microseconds
    run_after INTEGER NOT NULL      -- of the queue's own clock
);
CREATE TABLE paused_jobs (kind TEXT PRIMARY KEY) WITHOUT ROWID;  -- '' stands for all kinds
CREATE TABLE job_clock (
    seen  INTEGER NOT NULL,         -- the latest wall clock that the queue was told
    ahead INTEGER NOT NULL          -- how much it was set back so far
);

CREATE TABLE working (
    scope      INTEGER NOT NULL REFERENCES scopes ON DELETE CASCADE,
    place      INTEGER NOT NULL,
    id         BLOB NOT NULL,
    sorting    REAL NOT NULL,
    hits       INTEGER NOT NULL,
    recordings INTEGER NOT NULL,
    PRIMARY KEY (scope, place)
) WITHOUT ROWID;
CREATE INDEX working_by_id ON working (id);
"""


def jobs(db: apsw.Connection) -> None:
    """Add the tables of the job queue and of working memory."""
    db.execute(SCHEMA)
