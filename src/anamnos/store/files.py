"""What is done with whole files: made durable, or overwritten before they go."""

from __future__ import annotations

import os
from pathlib import Path

_PIECE = 1 << 20


def write_whole(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file durably: whoever looks sees the old one or the new one, also after a power cut. Raises: OSError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can (Windows does it by itself)."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def wipe(path: Path) -> None:
    """Overwrite a file with zeros and remove it; nothing happens if it is not there. Raises: OSError.

    A file that has another name too is not overwritten: it is somebody else's (or, after a kill, still in use). Where
    the drive or the file system writes elsewhere (flash, copies on write), old bytes may stay in spare blocks.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            status = os.fstat(file.fileno())
            if status.st_nlink == 1:
                for start in range(0, status.st_size, _PIECE):
                    file.write(bytes(min(_PIECE, status.st_size - start)))
                os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)
