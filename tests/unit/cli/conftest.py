"""Commands run in this process, on a vault of their own."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from anamnos.cli.main import cli


@dataclass
class Cli:
    """``run("add", "text")`` in the scope of user ann."""

    folder: Path

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    def run(self, *words: str, stdin: str | bytes = "", code: int = 0, **environment: str) -> Result:
        env = {"ANAMNOS_VAULT": str(self.vault), "ANAMNOS_EMBEDDER": "hashing", "ANAMNOS_USER": "ann"}
        env |= {"COLUMNS": "120", **environment}
        result = CliRunner(env=env).invoke(cli, list(words), input=stdin, prog_name="anamnos")
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
        return result

    def json(self, *words: str, **more: Any) -> Any:
        return json.loads(self.run(*words, "--json", **more).stdout)

    def add(self, text: str, *words: str) -> str:
        cube_id: str = self.json("add", text, *words)["ids"][0]
        return cube_id


@pytest.fixture
def anamnos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("USER", "AGENT", "SESSION", "TENANT", "DEBUG", "MODEL_DIR"):
        monkeypatch.delenv(f"ANAMNOS_{name}", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Cli(tmp_path)


@pytest.fixture
def somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def there() -> None:
        for module in ("anamnos.cli.context", "anamnos.cli.setup"):
            monkeypatch.setattr(f"{module}.is_interactive", lambda: True)

    return there
