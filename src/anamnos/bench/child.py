"""Steps of a benchmark that need a process of their own, so that their memory, imports and caches are theirs alone.

The child gets its request as JSON on standard input and writes JSON lines to standard output:
``{"progress": [what, done, total]}`` any number of times, then ``{"result": {...}}``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anamnos.bench.timing import Progress
from anamnos.errors import AnamnosError


def run_child(
    command: Sequence[str],
    request: Mapping[str, Any],
    progress: Progress,
    *,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the result of a child process. What it writes to standard error goes to ours.

    Raises: AnamnosError if it fails.
    """
    result: dict[str, Any] | None = None
    with subprocess.Popen(  # noqa: S603  (an interpreter and our own modules)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **(environment or {})},
    ) as process:
        threading.Thread(target=_hand_over, args=(process.stdin, request), daemon=True).start()
        for line in process.stdout or ():
            if not line.startswith("{"):
                continue  # what some library prints
            told = json.loads(line)
            if "progress" in told:
                progress(*told["progress"])
            result = told.get("result", result)
    if process.returncode or result is None:
        raise AnamnosError(f"A step of the benchmark failed: {' '.join(command)}", hint="What it said is above.")
    return result


def _hand_over(pipe: Any, request: Mapping[str, Any]) -> None:
    try:
        with pipe:
            json.dump(request, pipe)
    except BrokenPipeError:
        return  # the child has ended; its exit status tells


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Be the child: answer the request on standard input."""
    print(json.dumps({"result": answer(json.load(sys.stdin))}), flush=True)


def tell(what: str, done: int, total: int) -> None:
    """Tell the parent how far the child is: a ``Progress``."""
    print(json.dumps({"progress": [what, done, total]}), flush=True)
