"""Answers from a file, and a model whose answers are written to one: for tests, and for benchmarks that repeat.

One JSON object a line: ``{"key": …, "step": …, "answer": {…}}``. The key is the SHA-256 of messages and schema, so
that an answer is given only to the very question it was given to. The file holds no question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from anamnos.errors import ConfigError, ProviderError
from anamnos.llm.base import LanguageModel, Ledger, Message, Schema, Usage, misfit


def question_key(messages: Sequence[Message], schema: Schema) -> str:
    """Return what a question is known by."""
    whole = [[[message.role, message.content] for message in messages], schema]
    return hashlib.sha256(json.dumps(whole, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class RecordedModel:
    """Gives the answers of a file, and fails for any question that is not in it.

    Raises: ConfigError when it is made, if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.usage = Ledger()
        try:
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
            self._answers: dict[str, Any] = {line["key"]: line["answer"] for line in lines}
        except OSError as exc:
            raise ConfigError(f"The recorded answers in {path} cannot be read: {exc.strerror}.") from exc
        except (ValueError, TypeError, KeyError) as exc:
            raise ConfigError(f"{path} holds no recorded answers: {type(exc).__name__} {exc}.") from exc

    @property
    def id(self) -> str:
        """``recorded:<file name>``."""
        return f"recorded:{self.path.name}"

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        """Return the recorded answer. Raises: ProviderError if there is none, or if it does not fit."""
        self.usage.add(step, Usage(1))
        answer = self._answers.get(question_key(messages, schema))
        if answer is None:
            raise ProviderError(f"{self.path} has no answer to this question of the step {step}.")
        if problem := misfit(schema, answer):
            raise ProviderError(f"The answer recorded in {self.path} does not fit: {problem}.")
        return json.loads(json.dumps(answer))  # type: ignore[no-any-return]  # nobody shall change ours


class Recorder:
    """A model that writes down each answer of another one, for ``RecordedModel``. Thread-safe.

    path  grows by a line per answer
    """

    def __init__(self, model: LanguageModel, path: Path) -> None:
        self.model = model
        self.path = path
        self._lock = Lock()

    @property
    def id(self) -> str:
        """That of the model."""
        return self.model.id

    @property
    def usage(self) -> Ledger:
        """That of the model."""
        return self.model.usage

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        """Return the model's answer, written down."""
        answer = self.model.ask(messages, schema, step=step)
        line = json.dumps({"key": question_key(messages, schema), "step": step, "answer": answer}, ensure_ascii=False)
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        return answer
