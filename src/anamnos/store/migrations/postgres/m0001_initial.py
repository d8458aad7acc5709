"""Schema 1: all that schemas 1 to 5 of the SQLite store hold, and the wall between tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

# Names are compared and sorted by their bytes (COLLATE "C"), as everywhere in Anamnos. Times are microseconds since
# 1970, in UTC. What a cube's filters ask for has a column; the rest is in ``more``.
SCHEMA = """
-- Writers lock this one row: see anamnos.store.postgres.write.
CREATE TABLE state (
    schema   integer NOT NULL,
    last_row bigint NOT NULL,
    last_seq bigint NOT NULL,
    last_job bigint NOT NULL,
    erasures bigint NOT NULL,         -- how many writes took something out
    scrubbed bigint NOT NULL          -- of how many of them the bytes are gone
);
INSERT INTO state VALUES (0, 0, 0, 0, 0, 0);

CREATE TABLE settings (
    name  text COLLATE "C" NOT NULL,
    value text NOT NULL,
    EXCLUDE USING hash (name WITH =)  -- unique, however long
);

CREATE TABLE scopes (
    scope   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest  bytea NOT NULL UNIQUE,    -- SHA-256 of the four names: these may be too long for an index
    tenant  text COLLATE "C" NOT NULL,
    "user"  text COLLATE "C",
    agent   text COLLATE "C",
    session text COLLATE "C"
);

-- One row per version of a cube.
CREATE TABLE cubes (
    row           bigint PRIMARY KEY,
    id            bytea NOT NULL,
    version       bigint NOT NULL,
    current       boolean NOT NULL,
    scope         bigint NOT NULL REFERENCES scopes,
    source        text COLLATE "C",
    operator      text COLLATE "C",
    substrate     text COLLATE "C" NOT NULL,
    role          text COLLATE "C" NOT NULL,
    state         text COLLATE "C" NOT NULL,
    created_at    bigint,
    recorded_at   bigint,
    superseded_at bigint,
    valid_from    bigint,
    valid_to      bigint,
    expires_at    bigint,
    actor         text COLLATE "C",
    importance    double precision NOT NULL,
    trust         double precision NOT NULL,
    visibility    text COLLATE "C" NOT NULL,
    tags          text[] COLLATE "C" NOT NULL,
    readers       text[] COLLATE "C" NOT NULL,
    writers       text[] COLLATE "C" NOT NULL,
    sensitivity   text[] COLLATE "C" NOT NULL,
    uses          bigint NOT NULL,
    size_bytes    bigint NOT NULL,           -- of the content
    key           bytea,
    linked        boolean NOT NULL,
    content       text COLLATE "C" NOT NULL, -- of text cubes; the SHA-256 of the blob for others
    folded        bytea,                     -- the content as filters compare it, where lower() is not that
    trigrams      tsvector,                  -- of plain ASCII: they narrow a search for a part of a text
    terms         bytea,                     -- hashed index terms, uint32 little-endian, in the order of the text
    more          text                       -- JSON: the fields that have no column
);
CREATE UNIQUE INDEX cubes_by_id ON cubes (id, version);
CREATE UNIQUE INDEX cubes_current ON cubes (id) WHERE current;
CREATE UNIQUE INDEX cubes_by_key ON cubes (key) WHERE current AND key IS NOT NULL;
CREATE INDEX cubes_by_scope ON cubes (scope);
CREATE INDEX cubes_by_expiry ON cubes (expires_at) WHERE current AND expires_at IS NOT NULL;
CREATE INDEX cubes_by_uses ON cubes (uses) WHERE current AND uses > 0;
CREATE INDEX cubes_by_trigram ON cubes USING gin (trigrams);

CREATE TABLE links (
    row    bigint NOT NULL REFERENCES cubes ON DELETE CASCADE,
    place  integer NOT NULL,
    kind   text NOT NULL,
    target bytea NOT NULL,
    weight double precision NOT NULL,
    PRIMARY KEY (row, place)
);
CREATE INDEX links_by_target ON links (target);

CREATE TABLE derivations (
    row    bigint NOT NULL REFERENCES cubes ON DELETE CASCADE,
    source bytea NOT NULL,
    PRIMARY KEY (source, row)
);
CREATE INDEX derivations_by_row ON derivations (row);

CREATE TABLE embedders (
    embedder bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       text COLLATE "C" NOT NULL UNIQUE,
    dim      integer NOT NULL,
    in_use   boolean NOT NULL
);
CREATE TABLE vectors (
    row      bigint NOT NULL REFERENCES cubes ON DELETE CASCADE,
    embedder bigint NOT NULL REFERENCES embedders,
    vector   bytea NOT NULL,          -- float16 or float32, little-endian: whichever is exact
    PRIMARY KEY (row, embedder)
);
CREATE TABLE tokens (
    row      bigint NOT NULL REFERENCES cubes ON DELETE CASCADE,
    embedder bigint NOT NULL REFERENCES embedders,
    tokens   bytea NOT NULL,          -- see anamnos.index.tokens
    PRIMARY KEY (row, embedder)
);

CREATE TABLE changes (
    seq  bigint PRIMARY KEY,
    kind smallint NOT NULL,           -- 0 written, 1 retired, 2 erased
    row  bigint NOT NULL,
    id   bytea NOT NULL,
    wall bytea NOT NULL               -- 8 bytes of the SHA-256 of the tenant: whose change it was, without the name
);

CREATE TABLE jobs (
    job          bigint PRIMARY KEY,
    kind         text COLLATE "C" NOT NULL,
    scope        bigint REFERENCES scopes ON DELETE CASCADE,
    payload      text NOT NULL,       -- JSON: ids, numbers, settings
    key          text COLLATE "C" NOT NULL,
    priority     integer NOT NULL,
    state        text COLLATE "C" NOT NULL,
    attempts     integer NOT NULL,
    max_attempts integer NOT NULL,
    run_after    bigint NOT NULL,     -- this and leased_until: of the queue's own clock
    leased_until bigint,
    worker       text,
    error        text NOT NULL,
    created_at   bigint NOT NULL,
    started_at   bigint,
    finished_at  bigint,
    done         bigint NOT NULL,
    total        bigint NOT NULL
);
CREATE INDEX jobs_by_turn ON jobs (state, priority, run_after);
CREATE INDEX jobs_by_key ON jobs (key, kind, scope) WHERE key != '';
CREATE INDEX jobs_by_scope ON jobs (scope);
CREATE TABLE recurring_jobs (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text COLLATE "C" NOT NULL,
    scope     bigint REFERENCES scopes ON DELETE CASCADE,
    payload   text NOT NULL,
    priority  integer NOT NULL,
    every     bigint NOT NULL,
    run_after bigint NOT NULL
);
CREATE TABLE paused_jobs (kind text COLLATE "C" PRIMARY KEY);  -- '' stands for all kinds
CREATE TABLE job_clock (seen bigint NOT NULL, ahead bigint NOT NULL);

CREATE TABLE working (
    scope      bigint NOT NULL REFERENCES scopes ON DELETE CASCADE,
    place      integer NOT NULL,
    id         bytea NOT NULL,
    sorting    double precision NOT NULL,
    hits       bigint NOT NULL,
    recordings bigint NOT NULL,
    PRIMARY KEY (scope, place)
);
CREATE INDEX working_by_id ON working (id);

CREATE TABLE audit (
    seq       bigint PRIMARY KEY,     -- 1, 2, 3 … without gaps
    at        bigint NOT NULL,
    principal text,                   -- a pseudonym; NULL is the application itself
    verb      text NOT NULL,
    id        bytea,
    before    bigint,
    after     bigint,
    purpose   text,
    decision  text NOT NULL,
    previous  bytea NOT NULL,
    hash      bytea NOT NULL          -- see anamnos.store.ledger
);
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit only grows'; END $$;
CREATE TRIGGER audit_keeps_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
CREATE TABLE audit_names (token text PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE);
CREATE TABLE records (kind text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, value text NOT NULL);
CREATE INDEX records_by_name ON records USING hash (name);
"""

# A role in ``tenant_roles`` sees its tenant, whatever it sets; any other one that of the setting anamnos.tenant.
# ``RETURN`` binds the table when the function is made: no temporary table of the caller's can take its place.
WALL = """
CREATE TABLE tenant_roles (role name PRIMARY KEY, tenant text COLLATE "C" NOT NULL);
CREATE FUNCTION visible_tenant() RETURNS text LANGUAGE sql STABLE
    RETURN coalesce(
        (SELECT tenant FROM tenant_roles WHERE role = current_user), current_setting('anamnos.tenant', true)
    );
CREATE FUNCTION visible_wall() RETURNS bytea LANGUAGE sql STABLE
    RETURN substr(sha256(convert_to(visible_tenant(), 'UTF8')), 1, 8);
"""
_MINE = "EXISTS (SELECT FROM scopes s WHERE s.scope = {table}.scope)"
_OF_MINE = "EXISTS (SELECT FROM cubes c WHERE c.row = {table}.row)"
POLICIES = {
    "scopes": "tenant = (SELECT visible_tenant())",
    "cubes": _MINE,
    "working": _MINE,
    "jobs": f"scope IS NULL OR {_MINE}",
    "recurring_jobs": f"scope IS NULL OR {_MINE}",
    "links": _OF_MINE,
    "derivations": _OF_MINE,
    "vectors": _OF_MINE,
    "tokens": _OF_MINE,
    "changes": "wall = (SELECT visible_wall())",
    "tenant_roles": "role = current_user",
}
# ANALYZE copies values of these into the catalog, where they would outlive their row.
WORDS = {
    "settings": ("name", "value"),
    "scopes": ("digest", "tenant", '"user"', "agent", "session"),
    "cubes": (
        *("source", "operator", "actor", "tags", "readers", "writers", "sensitivity", "key", "content", "folded"),
        *("trigrams", "terms", "more"),
    ),
    "vectors": ("vector",),
    "tokens": ("tokens",),
    "changes": ("wall",),
    "audit_names": ("name",),
    "records": ("name", "value"),
}


def initial(db: psycopg.Connection) -> None:
    """Create every table of schema 1 in an empty schema, which is first in the search path."""
    db.execute(SCHEMA)
    db.execute(WALL)
    for table, condition in POLICIES.items():
        db.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")  # which does not bind the owner
        db.execute(f"CREATE POLICY tenant_wall ON {table} USING ({condition.format(table=table)})")
    for table, columns in WORDS.items():
        changes = ", ".join(f"ALTER COLUMN {column} SET STATISTICS 0" for column in columns)
        db.execute(f"ALTER TABLE {table} {changes}")
