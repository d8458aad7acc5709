"""What a closed vault takes on the disk, part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw


def disk_use(vault: Path, *, tables: bool = True) -> dict[str, Any]:
    """Return bytes on the disk (allocated blocks) and lengths of the files of a closed vault, or of any folder.

    total, length  of all files together
    files          per file below the vault, ``disk`` and ``length``
    tables         per table or index of the database, its pages in bytes; keyword tables are summed up under
                   their name. Empty where SQLite was built without ``dbstat``
    """
    files = {}
    for path in sorted(vault.rglob("*")):
        if path.is_file():
            status = path.stat()
            blocks: int | None = getattr(status, "st_blocks", None)  # not on Windows
            disk = status.st_size if blocks is None else blocks * 512
            files[str(path.relative_to(vault))] = {"disk": disk, "length": status.st_size}
    return {
        "total": sum(file["disk"] for file in files.values()),
        "length": sum(file["length"] for file in files.values()),
        "files": files,
        "tables": table_bytes(vault / "anamnos.db") if tables else {},
    }


def table_bytes(path: Path) -> dict[str, int]:
    """Return the bytes of the pages of each table and index of an SQLite file, largest first."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%'")}
        sizes: dict[str, int] = {}
        for name, size in db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
            owner = next((virtual for virtual in names if str(name).startswith(f"{virtual}_")), str(name))
            sizes[owner] = sizes.get(owner, 0) + int(size)
        sizes["free pages"] = int(db.pragma("freelist_count")) * int(db.pragma("page_size"))
    except apsw.SQLError:
        return {}
    finally:
        db.close()
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))
