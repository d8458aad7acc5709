"""Answers written to a file, and given again from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anamnos.config import Settings
from anamnos.errors import ConfigError, ProviderError
from anamnos.llm import resolve_llm
from anamnos.llm.base import Ledger, Message, Schema, Usage
from anamnos.llm.recorded import RecordedModel, Recorder

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


class Counter:
    """A model that answers how often it was asked."""

    id = "counter"

    def __init__(self) -> None:
        self.usage = Ledger()

    def ask(self, messages: Any, schema: Schema, *, step: str) -> dict[str, Any]:
        self.usage.add(step, Usage(1))
        return {"n": self.usage.total().calls}


def question(text: str) -> list[Message]:
    return [Message("user", text)]


def test_what_was_recorded_is_given_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    recorder = Recorder(Counter(), file)
    assert recorder.ask(question("a"), SCHEMA, step="s") == {"n": 1}
    assert recorder.ask(question("b"), SCHEMA, step="s") == {"n": 2}
    assert (recorder.id, recorder.usage.total()) == ("counter", Usage(2))
    model = resolve_llm(Settings(llm_url=f"recorded:{file}"))
    assert isinstance(model, RecordedModel)
    assert model.ask(question("b"), SCHEMA, step="s") == {"n": 2}
    assert model.ask(question("a"), SCHEMA, step="s") == {"n": 1}
    assert (model.id, model.usage.total()) == ("recorded:answers.jsonl", Usage(2))


def test_another_question_or_schema_has_no_answer(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    Recorder(Counter(), file).ask(question("a"), SCHEMA, step="s")
    model = RecordedModel(file)
    with pytest.raises(ProviderError, match="no answer to this question of the step s"):
        model.ask(question("c"), SCHEMA, step="s")
    with pytest.raises(ProviderError, match="no answer"):
        model.ask(question("a"), {"type": "object"}, step="s")


def test_an_answer_belongs_to_who_asked(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    Recorder(Counter(), file).ask(question("a"), SCHEMA, step="s")
    model = RecordedModel(file)
    model.ask(question("a"), SCHEMA, step="s")["n"] = 9
    assert model.ask(question("a"), SCHEMA, step="s") == {"n": 1}


@pytest.mark.parametrize("text", ["no json", "[]", '{"key": "k"}'])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigError, match="holds no recorded answers"):
        RecordedModel(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        RecordedModel(tmp_path / "none.jsonl")


def test_a_recorded_answer_must_fit_too(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    Recorder(Counter(), file).ask(question("a"), SCHEMA, step="s")
    file.write_text(file.read_text().replace('{"n": 1}', '{"m": 1}'))
    with pytest.raises(ProviderError, match=r"answer\.n is missing"):
        RecordedModel(file).ask(question("a"), SCHEMA, step="s")
