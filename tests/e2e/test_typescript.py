"""The TypeScript client against a real server; built by ``make client``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from anamnos import Memory

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
BUILT = CLIENT / "dist" / "test" / "client.test.js"


@pytest.mark.skipif(not BUILT.exists() or shutil.which("node") is None, reason="not built: make client")
def test_the_client_does_what_it_says(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder="hashing") as memory:
        key = memory.keys.create("typescript").text
    command = [sys.executable, "-m", "anamnos", "serve", "--vault", str(tmp_path / "vault"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]  # it says where it is once it listens
            done = subprocess.run(
                ["node", "--test", str(BUILT)],
                env={**os.environ, "ANAMNOS_URL": url, "ANAMNOS_KEY": key},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            server.terminate()
