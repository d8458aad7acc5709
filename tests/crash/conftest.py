"""Child processes for the crash tests: started, listened to, killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("child.py")


class Child:
    """A process that runs one kind of work of ``child.py``. ``facts`` are the lines that it has said."""

    def __init__(self, *args: object) -> None:
        self.facts: list[dict[str, Any]] = []
        self.ready = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # the last line may be cut off
                self.facts.append(json.loads(line))
            self.ready.set()
        self.ready.set()

    def kill(self) -> None:
        """Kill it at once, and wait until it is gone and all that it said is heard."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> str:
        """Wait for its end and return what it wrote to standard error."""
        assert self.process.stderr is not None
        errors = self.process.stderr.read().decode()
        self.process.wait()
        self._listener.join()
        self.process.stderr.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return errors


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Return a function that starts a child; all are killed when the test ends."""
    started: list[Child] = []

    def begin(*args: object) -> Child:
        started.append(Child(*args))
        return started[-1]

    yield begin
    for child in started:
        if child.process.poll() is None:
            child.kill()


@pytest.fixture
def traces() -> Callable[[Path, list[str]], list[str]]:
    """Return a function that names the files of a folder in which one of some texts is found."""

    def find(folder: Path, texts: list[str]) -> list[str]:
        found = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes().replace(bytes(64), b"")  # holes of sparse files
            found += [
                f"{path.relative_to(folder)}: {text!r}"
                for text in texts
                for encoding in ("utf-8", "utf-16-le")
                if text.encode(encoding) in data
            ]
        return found

    return find
