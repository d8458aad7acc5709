"""What holds for every adapter: it says what is missing, and knows no other adapter."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import anamnos.compat
from anamnos.errors import ConfigError

FOLDER = Path(anamnos.compat.__path__[0])
SHARED = {"records", "fence"}
NEEDED = {
    "langgraph": "langgraph",
    "llama_index": "llama-index-core",
    "openai_agents": "openai-agents",
    "haystack": "haystack-ai",
}


@pytest.mark.parametrize("name", NEEDED)
def test_without_its_framework_an_adapter_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] in ("agents", name)]:
        monkeypatch.setitem(sys.modules, module, None)
    for module in ("agents", "langgraph.store", "llama_index.core", "haystack"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"anamnos.compat.{name}", raising=False)
    with pytest.raises(ConfigError, match=rf"pip install {NEEDED[name]}$"):
        importlib.import_module(f"anamnos.compat.{name}")
    sys.modules.pop(f"anamnos.compat.{name}", None)


def test_no_adapter_knows_another() -> None:
    adapters = {path.stem for path in FOLDER.glob("*.py")} - SHARED - {"__init__"}
    assert adapters == {*NEEDED, "mem0"}
    for path in FOLDER.glob("*.py"):
        known = set(re.findall(r"anamnos\.compat\.(\w+)", path.read_text("utf-8").split('"""', 2)[2]))
        assert known <= SHARED, path.name
