"""What processes and files take of the machine's memory, and how to make the machine forget files. Linux only.

A page of a process is anonymous (its own), shared (between processes of a server) or of a file. Pages of files, mapped
or not, are the system's cache: it may drop them.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from anamnos.errors import ConfigError

_KINDS = {"Pss_Anon": "anonymous_mb", "Pss_Shmem": "shared_mb", "Pss_File": "file_mb"}
_MADV_DONTNEED = 4


def processes(*roots: int | None) -> list[int]:
    """Return these processes and all below them."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(folder.name)] = int(fields[1])
    found = {root for root in roots if root}
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return sorted(found)


def resident(pids: Iterable[int]) -> dict[str, float]:
    """Return MB (10^6 bytes) of anonymous, shared and file pages of processes together, each page counted once.

    Raises: ConfigError where the system does not tell.
    """
    total = dict.fromkeys(_KINDS.values(), 0.0)
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()
        except ProcessLookupError:
            continue
        except OSError as exc:
            raise ConfigError(f"The memory of process {pid} cannot be read: {exc}.", hint="It needs Linux.") from exc
        for line in lines:
            name, _, size = line.partition(":")
            if name in _KINDS:
                total[_KINDS[name]] += int(size.split()[0]) * 1024 / 1e6
    return {name: round(size, 1) for name, size in total.items()}


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes, and of their children that have ended; in steps of 10 ms."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / float(os.sysconf("SC_CLK_TCK"))


def files_of(*places: Path) -> list[Path]:
    """Return files, and all files in folders."""
    return [
        path for place in places for path in (sorted(place.rglob("*")) if place.is_dir() else [place]) if _real(path)
    ]


def cached_mb(files: Iterable[Path]) -> float:
    """Return how many MB of files are in the system's cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    pages = 0
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            view = np.frombuffer(held, dtype=np.uint8)
            flags = np.zeros(-(-len(view) // mmap.PAGESIZE), dtype=np.uint8)
            start, size = ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(len(view))
            if libc.mincore(start, size, ctypes.c_void_p(flags.ctypes.data)) == 0:
                pages += int((flags & 1).sum())
            del view  # the map cannot be closed while it is looked at
    return round(pages * mmap.PAGESIZE / 1e6, 1)


def forget(files: Iterable[Path]) -> None:
    """Have this process and the system drop what they hold of files, so that the next read goes to the disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = {str(path.resolve()) for path in files}
    for start, size in _maps(wanted):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _MADV_DONTNEED)
    for path in sorted(wanted):
        with Path(path).open("rb") as file:
            os.fsync(file.fileno())  # what is not written yet cannot be dropped
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _maps(wanted: set[str]) -> Iterator[tuple[int, int]]:
    """Yield (start, bytes) of this process's maps of files; those that it may have written to in private are left."""
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in wanted and (fields[1][1] != "w" or fields[1][3] == "s"):
            start, end = (int(part, 16) for part in fields[0].split("-"))
            yield start, end - start


def _real(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 0
