"""Erased means gone: how the bytes of erased rows leave the files of a PostgreSQL server.

A deleted row stays in its page, and in the log of changes (WAL), until the server needs the place. So the tables are
written anew without it (``VACUUM FULL``), and the log behind the next checkpoint is removed or, where the server keeps
its files for later use, written over. What lies elsewhere (archived log, replicas, backups, the disk's free blocks) a
store cannot see; docs/engines/postgres.md says what to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

# those with words, or with what was made of words
_TABLES = (
    *("settings", "scopes", "cubes", "links", "derivations", "embedders", "vectors", "tokens", "jobs"),
    *("recurring_jobs", "working", "audit_names", "records"),
)
_LOG_FILES = "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
_WAIT_S = 5


def scrubbed(db: psycopg.Connection, rewrite_up_to_mb: int, busy_timeout_s: float) -> bool:
    """Clean up after everything that was erased; return whether no byte of it is left in the server's own files.

    False where a table is larger than ``rewrite_up_to_mb`` (it would be locked for long), where somebody holds a table
    or an old snapshot, and where the role may not do it.
    """
    erasures, done = db.execute("SELECT erasures, scrubbed FROM state").fetchone() or (0, 0)
    if erasures == done:
        return True
    try:
        with _waiting(db, _WAIT_S, busy_timeout_s):
            if _size_mb(db) > rewrite_up_to_mb:
                db.execute(f"VACUUM {', '.join(_TABLES)}")
                return False
            clean = _rewritten(db) and _log_emptied(db)
    except (errors.InsufficientPrivilege, errors.LockNotAvailable, errors.UndefinedFunction):
        return False
    if clean:
        db.execute("UPDATE state SET scrubbed = greatest(scrubbed, %s)", (erasures,))
    return clean


@contextmanager
def _waiting(db: psycopg.Connection, seconds: float, afterwards: float) -> Iterator[None]:
    """Let statements wait only so long for locks: somebody may read for hours."""
    set_timeout = "SELECT set_config('lock_timeout', %s, false)"
    db.execute(set_timeout, (f"{round(seconds * 1000)}ms",))
    try:
        yield
    finally:
        if not db.closed:
            db.execute(set_timeout, (f"{round(afterwards * 1000)}ms",))


def _size_mb(db: psycopg.Connection) -> float:
    sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in _TABLES)
    found = db.execute(f"SELECT ({sizes}) / 1048576.0").fetchone()
    return float(found[0]) if found else 0.0


def _rewritten(db: psycopg.Connection) -> bool:
    """Write the tables anew; return whether every one was, without a row that some old snapshot may still see."""
    dead: list[str] = []

    def note(message: psycopg.errors.Diagnostic) -> None:
        # of each table: '… found … row versions …', and behind it how many dead ones cannot be removed yet
        if message.severity_nonlocalized == "INFO" and message.message_detail:
            dead.append(message.message_detail)

    db.add_notice_handler(note)
    try:
        db.execute(f"VACUUM (FULL, VERBOSE) {', '.join(_TABLES)}")
    finally:
        db.remove_notice_handler(note)
    counts = [re.match(r"\d+", detail) for detail in dead]
    return len(counts) == len(_TABLES) and all(count is not None and int(count[0]) == 0 for count in counts)


def _log_emptied(db: psycopg.Connection) -> bool:
    """Move the log on and let go of what lies behind; return whether no file of it is left from before."""
    db.execute("CHECKPOINT")
    db.execute("SELECT pg_switch_wal()")
    start = _log_file(db)
    db.execute("CHECKPOINT")
    names = [name for (name,) in db.execute(_LOG_FILES)]
    for _ in [name for name in names if name >= start]:  # this one and old ones that are kept for later use
        db.execute("SELECT pg_switch_wal()")  # which fills the rest of its file with zeros
        _log_file(db)
    return all(name >= start for (name,) in db.execute(_LOG_FILES))


def _log_file(db: psycopg.Connection) -> str:
    """Write something into the log and return the name of the file that it is in."""
    db.execute("SELECT pg_logical_emit_message(false, 'anamnos', '')")
    found = db.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
    return str(found[0]) if found else ""
