"""Schema 3: the queue of background jobs."""

import apsw

SCHEMA = ""


def jobs(db: apsw.Connection) -> None:
    """Add the tables of the job queue."""
    db.execute(SCHEMA)
