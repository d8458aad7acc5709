"""The TypeScript client, and the code in its pages, against a real server; built by ``make client``."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from served_vault import served

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
BUILT = CLIENT / "dist" / "test" / "client.test.js"
PAGES = (CLIENT / "README.md", ROOT / "docs" / "howto" / "clients.md")

pytestmark = pytest.mark.skipif(not BUILT.exists() or shutil.which("node") is None, reason="not built: make client")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("served")
    with served(folder / "vault", ANAMNOS_EMBEDDER="hashing") as found:
        yield {**os.environ, **found}


def run(*arguments: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["node", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_client_does_what_it_says(environment: dict[str, str]) -> None:
    run("--test", str(BUILT), environment=environment)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_in_its_pages_runs(page: Path, environment: dict[str, str]) -> None:
    blocks = re.findall(r"^```ts\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    for number, block in enumerate(blocks):
        script = CLIENT / "dist" / f"{page.stem}-{number}.mjs"  # inside the package, so that its name is known
        script.write_text(block.replace("http://127.0.0.1:8787", environment["ANAMNOS_URL"]))
        run(str(script), environment=environment)
