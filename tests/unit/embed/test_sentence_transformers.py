"""The sentence-transformers embedder, with a stand-in for that package."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from anamnos.embed.sentence_transformers import SentenceTransformersEmbedder
from anamnos.errors import ConfigError, InvalidInput, ProviderError


class FakeModel:
    made: list[tuple[str, dict[str, Any]]]

    def __init__(self, model: str, **options: Any) -> None:
        if model == "broken":
            raise OSError("no such file")
        self.made.append((model, options))

    def encode(self, texts: list[str], **_: Any) -> np.ndarray[Any, Any]:
        if "too long" in texts:
            raise RuntimeError("out of memory")
        return np.array([[len(text), 1] for text in texts])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeModel]:
    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeModel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr(FakeModel, "made", [], raising=False)
    return FakeModel


def test_the_model_is_loaded_once_from_local_files_only(fake: type[FakeModel]) -> None:
    embedder = SentenceTransformersEmbedder("folder", device="cpu")
    assert not fake.made
    vectors = embedder.embed(["", "abc"])
    np.testing.assert_allclose(vectors, [[0, 1], [3 / 10**0.5, 1 / 10**0.5]], atol=1e-6)
    assert vectors.dtype == np.float32
    assert embedder.embed([]).shape == (0, embedder.dim)
    assert fake.made == [("folder", {"device": "cpu", "local_files_only": True})]


def test_failures_are_named() -> None:
    with pytest.raises(ConfigError, match="broken cannot be loaded: no such file"):
        SentenceTransformersEmbedder("broken").embed(["a"])
    with pytest.raises(ProviderError, match="out of memory"):
        SentenceTransformersEmbedder("folder").embed(["too long"])
    with pytest.raises(InvalidInput):
        SentenceTransformersEmbedder("folder").embed(["\ud800"])
