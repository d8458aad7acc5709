"""``resolve_embedder``: which name gives which embedder, and what happens without the extras."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from anamnos.embed import minilm, resolve_embedder
from anamnos.embed.hashing import HashingEmbedder
from anamnos.embed.onnx import OnnxEmbedder
from anamnos.embed.openai import OpenAIEmbedder
from anamnos.embed.sentence_transformers import SentenceTransformersEmbedder
from anamnos.errors import ConfigError, MissingExtra


@pytest.mark.parametrize(
    ("spec", "kind", "id"),
    [
        ("hashing", HashingEmbedder, "hashing-384-v1"),
        ("minilm", OnnxEmbedder, "all-minilm-l6-v2"),
        ("minilm-int8", OnnxEmbedder, "all-minilm-l6-v2-int8"),
        (
            "openai:nomic-embed-text:v1.5@http://localhost:11434/v1",
            OpenAIEmbedder,
            "openai:nomic-embed-text:v1.5",
        ),
        ("st:/models/e5", SentenceTransformersEmbedder, "st:/models/e5"),
    ],
)
def test_a_name_gives_its_embedder_without_loading_anything(spec: str, kind: type, id: str) -> None:
    embedder = resolve_embedder(spec)
    assert isinstance(embedder, kind)
    assert embedder.id == id


@pytest.mark.parametrize("spec", ["", "mini", "openai", "openai:model", "openai:@http://x", "st:", "hashing:3"])
def test_a_wrong_name_lists_the_choices(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_embedder(spec)
    assert "openai:<model>@<base_url>" in caught.value.hint


def test_auto_is_hashing_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_anywhere")
    assert resolve_embedder("auto").id == "hashing-384-v1"


def test_auto_does_not_pass_over_a_bad_folder_that_the_user_named(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match="lacks"):
        resolve_embedder("auto", model_dir=tmp_path)


@pytest.mark.parametrize(
    ("spec", "package", "extra"),
    [
        ("minilm", "onnxruntime", "embed"),
        ("openai:m@http://127.0.0.1:9", "httpx2", "server"),
        ("st:/models/e5", "sentence_transformers", "torch"),
    ],
)
def test_a_missing_package_names_the_extra(
    spec: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as caught:
        resolve_embedder(spec, model_dir=tmp_path).embed(["text"])
    assert f"anamnos[{extra}]" in caught.value.hint
