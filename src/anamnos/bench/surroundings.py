"""What a figure depends on besides the code: the machine and its load, versions, the data, the day."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from anamnos.embed.onnx import usable_cpus

_PACKAGES = ("anamnos", "numpy", "apsw", "onnxruntime", "tokenizers")


def surroundings() -> dict[str, Any]:
    """Return date, versions and machine; no names of hosts, people or folders."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": {"python": platform.python_version(), **installed(_PACKAGES)},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cpu": _cpu_name(),
            "cpus": usable_cpus(),
            "memory_gib": _memory_gib(),
            "load_average": load_average(),
        },
    }


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those ``packages`` that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load_average() -> list[float]:
    """Return how many processes wanted a CPU in the last 1, 5 and 15 minutes; empty where that is not known."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else []


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peak_rss_mb() -> float:
    """Return the most memory that this process ever held, in MB (10^6 bytes); 0 where that is not known."""
    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):  # ru_maxrss would count what the parent held when it forked
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return 0.0  # Windows
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
