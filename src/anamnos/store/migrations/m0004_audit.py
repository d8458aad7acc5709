"""Schema 4: the chain of audit entries, and the names that stand behind its pseudonyms."""

import apsw

SCHEMA = ""


def audit(db: apsw.Connection) -> None:
    """Add the tables of the audit."""
    db.execute(SCHEMA)
