"""``anamnos enrich`` as users type it."""

from __future__ import annotations

import json

from .conftest import Cli


def test_what_memories_hold_is_found_once(anamnos: Cli) -> None:
    anamnos.run("add", "I moved to Oslo in 2019 and I love skiing.", "--user", "ann")
    found = json.loads(anamnos.run("enrich", "--user", "ann", "--json").stdout)
    assert (found["added"], found["deleted"]) == (2, 0)
    assert "found 0" in anamnos.run("enrich", "--user", "ann").stdout
    listed = json.loads(anamnos.run("list", "--user", "ann", "--role", "fact", "--json").stdout)
    assert len(listed) == 2


def test_without_a_language_model_there_is_none_to_ask(anamnos: Cli) -> None:
    anamnos.run("add", "I moved to Oslo.", "--user", "ann")
    done = anamnos.run("enrich", "--user", "ann", "--extractor", "llm", code=6)
    assert "ANAMNOS_LLM_URL" in done.stderr
