"""A vault that ``anamnos serve`` serves in a process of its own, as its users meet it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from anamnos import Memory


@contextlib.contextmanager
def served(vault: Path, **settings: str) -> Iterator[dict[str, str]]:
    """Serve a vault; yield the environment of who uses it: ``ANAMNOS_URL``, and ``ANAMNOS_KEY`` of an operator."""
    with Memory(vault) as memory:
        key = memory.keys.create("laptop", operator=True).text
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "ANAMNOS_SERVER_PORT": port, **settings}
    command = [sys.executable, "-m", "anamnos", "serve", "--vault", str(vault)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(300):
                assert server.poll() is None, server.stdout and server.stdout.read()
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5):
                    break
                time.sleep(0.1)
            yield {**environment, "ANAMNOS_URL": url, "ANAMNOS_KEY": key}
        finally:
            server.terminate()
            server.wait(30)
