"""How long it takes from ``pip install`` to a fact that a system remembers and gives back, and how much disk.

Uses the network, and only when asked to: it installs each system into a fresh environment and follows its quick-start
there, in a home folder of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import venv
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from textwrap import shorten
from typing import Any

from anamnos.bench.first_fact.stand_in import StandIn, stand_in
from anamnos.bench.first_fact.systems import ANSWER, FACT, QUESTION, SYSTEMS, System, system
from anamnos.bench.install import contents
from anamnos.bench.peers.setup import interpreter, own_source, versions
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.timing import Progress, quiet

LIMIT_S = 600.0
_STEPS = ("installed", "set up", "imported", "remembered", "recalled")
_KEPT = re.compile(r"PATH|LANG|LC_\w+|SYSTEMROOT|(PIP|SSL|REQUESTS|CURL)_\w+|\w+_proxy", re.IGNORECASE)
_FETCHED = re.compile(r"^\s*(Downloading|Using cached) (\S+) \(([\d.]+) (bytes|kB|MB|GB)\)", re.MULTILINE)
_LOCAL = re.compile(r"^\s*Processing (\S+)", re.MULTILINE)
_MB = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3}


class _Stopped(Exception):
    """A step failed: what it was, and the last thing that was said."""


def run_first_fact(
    names: Sequence[str] = (), *, limit_s: float = LIMIT_S, progress: Progress = quiet
) -> dict[str, Any]:
    """Take the way to the first remembered fact with each system in turn, and return what each step took.

    names    which systems; all of them if none is named
    limit_s  seconds after which a step is ended
    A system that comes to a stop has what was measured up to there, where it stopped and why.
    Raises: InvalidInput for an unknown system.
    """
    wanted = [system(name) for name in dict.fromkeys(names)] or list(SYSTEMS.values())
    started = time.perf_counter()
    found: dict[str, Any] = {}
    around = surroundings()
    for done, one in enumerate(wanted):
        progress("systems", done, len(wanted))
        # what a peer leaves running may still write into its folder
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            found[one.name] = measure(one, Path(folder), limit_s)
    progress("systems", len(wanted), len(wanted))
    return {
        "benchmark": "first-fact",
        "fact": FACT,
        "limit_s": limit_s,
        "systems": found,
        "limits": [],
        "seconds": round(time.perf_counter() - started, 1),
        **around,
    }


def measure(wanted: System, folder: Path, limit_s: float) -> dict[str, Any]:
    """Return the figures of one system, installed into ``folder``.

    ``at_s``: seconds at which each step was reached, since pip was called; the environment is there before.
    """
    env, home = folder / "env", folder / "home"
    home.mkdir()
    (folder / "tmp").mkdir()
    load = load_average()
    venv.create(env, with_pip=bool(wanted.installs))
    at: dict[str, float] = {}
    fetched: dict[str, float] = {}
    stopped = ""
    model = wanted.model
    service: AbstractContextManager[StandIn | None] = (
        stand_in(FACT, model.reply, model.call) if model else nullcontext()
    )
    with service as answering:
        url = answering.url if answering else ""
        around = _variables(wanted, folder, url)
        started = time.perf_counter()
        try:
            for call in wanted.installs:
                for what, mb in _pip(env, call, limit_s).items():
                    fetched[what] = round(fetched.get(what, 0) + mb, 1)
            at["installed"] = time.perf_counter() - started
            for words in wanted.set_up:
                _follow([word.replace("{url}", url) for word in words], around, home, limit_s)
                at["set up"] = time.perf_counter() - started
            before = time.perf_counter() - started
            script = [str(interpreter(env)), "-P", str(wanted.quickstart), FACT, QUESTION, ANSWER]
            steps: dict[str, float] = {}
            try:
                _follow(script, around, home, limit_s, steps)
            finally:
                at |= {name: before + seconds for name, seconds in steps.items()}
        except _Stopped as stop:
            stopped = _plain(str(stop), folder)
    reached = list(at)[-1] if at else "nothing"
    return {
        "installs": [_plain(" ".join(call), folder) for call in wanted.installs],
        "set_up": [" ".join(words).replace("{url}", "URL") for words in wanted.set_up],
        "needs": list(wanted.needs),
        "notes": list(wanted.notes),
        "stand_in": dict(answering.asked) if answering else None,
        "at_s": {name: round(seconds, 2) for name, seconds in at.items()},
        "reached": reached,
        "stopped": stopped,
        "fetched_mb": fetched,
        "version": versions(env, (wanted.package,)).get(wanted.package, ""),
        **contents(env),
        "home_mb": round(sum(p.stat().st_size for p in home.rglob("*") if p.is_file()) / 1e6, 1),
        "load_average": load,
    }


def _variables(wanted: System, folder: Path, url: str) -> dict[str, str]:
    """Return the variables of a shell in which the environment is active and nothing of ours is set."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    named = {name: value.replace("{url}", url) for name, value in wanted.variables.items()}
    env, home, temporary = (str(folder / name) for name in ("env", "home", "tmp"))
    own = {
        "VIRTUAL_ENV": env,
        "HOME": home,
        "USERPROFILE": home,
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
    }
    path = os.pathsep.join((str(interpreter(folder / "env").parent), kept.get("PATH", os.defpath)))
    return {**kept, **own, "PATH": path, **named}


def _pip(env: Path, call: Sequence[str], limit_s: float) -> dict[str, float]:
    """Install something; return how many MB came from the network, pip's cache and folders it looks in."""
    command = [str(interpreter(env)), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    try:
        done = subprocess.run(  # noqa: S603  (pip, with fixed arguments)
            [*command, *call], capture_output=True, text=True, check=False, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        raise _Stopped(f"pip install was not done after {limit_s:.0f} s") from None
    if done.returncode:
        raise _Stopped(f"pip: {_last_line(done.stderr)}")
    mb = {"Downloading": 0.0, "Using cached": 0.0}
    for how, name, size, unit in _FETCHED.findall(done.stdout):
        mb[how] += float(size) * _MB[unit] * (not name.endswith(".metadata"))
    local = sum(Path(name).stat().st_size for name in _LOCAL.findall(done.stdout) if Path(name).is_file()) / 1e6
    return {"downloaded": mb["Downloading"], "cached": mb["Using cached"], "local": local}


def _follow(
    command: Sequence[str],
    variables: Mapping[str, str],
    home: Path,
    limit_s: float,
    steps: dict[str, float] | None = None,
) -> None:
    """Run a command until it ends; note in ``steps`` when it says which step it has reached."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _end(process)

    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(  # noqa: S603  (a system's own command, or our script)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                errors="replace",
                cwd=home,
                env=dict(variables),
                start_new_session=True,
            )
        except OSError as error:
            raise _Stopped(f"{Path(command[0]).name}: {error}") from error
        timer = threading.Timer(limit_s, end)
        timer.start()
        last = ""
        try:
            for line in process.stdout or ():
                last = line.strip() or last
                if line.startswith("step ") and steps is not None:
                    steps[line.removeprefix("step ").strip()] = time.perf_counter() - started
            process.wait()
        finally:
            timer.cancel()
            _end(process)
            process.wait()
        said.seek(0)
        if late.is_set():
            raise _Stopped(f"not done after {limit_s:.0f} s")
        if process.returncode:
            raise _Stopped(_last_line(said.read()) or last or f"exit status {process.returncode}")


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and those of its group."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        return  # they have ended


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|\w+(\.\w+)*(Error|Exception)\b)", line)]
    return (errors or lines or [""])[-1]


def _plain(words: str, folder: Path) -> str:
    """Return words without the folders of this machine and the addresses of others, and not too many of them."""
    here = words.replace(str(folder), "…").replace(own_source(), ".")
    return shorten(re.sub(r"https?://[^\s'\"]+|'[\w.-]+:\d+'", "<an address>", here), 300, placeholder=" …")
