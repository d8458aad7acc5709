"""A cross-encoder of one's own: a graph of three nodes, written here byte by byte, stands for the model."""

import json
import sys
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.errors import ConfigError, MissingExtra, ProviderError
from anamnos.recall.rerank import CrossEncoder
from anamnos.testing import FakeEmbedder

from .test_laws import hits_of

pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")
ANN = Scope(user="ann")
WORDS = {"[PAD]": 0, "[SEP]": 0, "[UNK]": 0, "one": 1, "ten": 10, "hundred": 100}


# --- the least of protobuf: fields of numbers, of bytes and of messages


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def node(kind: str, inputs: list[str], output: str, **attributes: int | list[int]) -> bytes:
    data = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    for name, value in attributes.items():
        if isinstance(value, int):
            data += field(5, field(1, name) + field(3, value) + field(20, 2))
        else:
            data += field(5, field(1, name) + b"".join(field(8, each) for each in value) + field(20, 7))
    return field(1, data)


def value(name: str, dtype: int, *dims: str | int) -> bytes:
    shape = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, shape)))


FLOAT, INT64 = 1, 7


def graph(outputs: int = 1, inputs: tuple[str, ...] = ("input_ids", "token_type_ids")) -> bytes:
    """Return a model whose logit is the sum of the ids of the second text; as two outputs, (-logit, logit) / 2."""
    nodes = node("Mul", list(inputs[:2]), "second") + node("Cast", ["second"], "numbers", to=FLOAT)
    if outputs == 1:
        nodes += node("ReduceSum", ["numbers"], "logits", axes=[1], keepdims=1)
    else:
        nodes += node("ReduceSum", ["numbers"], "sum", axes=[1], keepdims=1) + node("Neg", ["sum"], "minus")
        nodes += node("Concat", ["minus", "sum", *["sum"] * (outputs - 2)], "logits", axis=1)
    taken = b"".join(field(11, value(name, INT64, "batch", "tokens")) for name in inputs)
    body = nodes + field(2, "test") + taken + field(12, value("logits", FLOAT, "batch", outputs))
    return field(1, 7) + field(7, body) + field(8, field(1, "") + field(2, 11))


def tokenizer() -> str:
    parts = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    template = {
        "type": "TemplateProcessing",
        "single": parts,
        "pair": [*parts, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"[SEP]": {"id": "[SEP]", "ids": [0], "tokens": ["[SEP]"]}},
    }
    model = {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"}
    empty = {"truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "decoder": None}
    whole = {"version": "1.0", **empty, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": template}
    return json.dumps({**whole, "model": model})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.onnx").write_bytes(graph())
    (tmp_path / "model" / "tokenizer.json").write_text(tokenizer())
    return tmp_path / "model"


TEXTS = ["one", "one hundred", "ten ten", "nothing", "hundred hundred"]


def order(encoder: CrossEncoder, texts: list[str] = TEXTS) -> list[str]:
    return [hit.cube.text for hit in encoder.rerank("hundred", hits_of([(t, 1) for t in texts]), lambda hits: hits)]  # type: ignore[arg-type, return-value]


def test_the_model_orders_the_best(folder: Path) -> None:
    assert CrossEncoder(folder).scores("hundred", TEXTS).tolist() == [1, 101, 20, 0, 200]
    assert order(CrossEncoder(folder)) == ["hundred hundred", "one hundred", "ten ten", "one", "nothing"]
    assert order(CrossEncoder(folder, depth=3)) == ["one hundred", "ten ten", "one", "nothing", "hundred hundred"]
    assert order(CrossEncoder(folder, weight=1e-6)) == TEXTS, "blended with next to nothing of it"
    assert order(CrossEncoder(folder), ["one"]) == ["one"]
    assert CrossEncoder(folder).scores("one", ["ten"] * 20 + ["one"]).tolist() == [10] * 20 + [1], "in batches"


def test_a_model_with_two_outputs_says_relevant_with_the_second(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.onnx").unlink()
    (folder / "onnx" / "model.onnx").write_bytes(graph(outputs=2))
    assert CrossEncoder(folder).scores("x", ["one", "ten"]).tolist() == [2, 20]


def test_a_vault_uses_the_one_that_its_settings_name(folder: Path, tmp_path: Path) -> None:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(64), reranker=str(folder)) as memory:
        for text in TEXTS:
            memory.add(text, ANN)
        hits = memory.search("nothing", ANN, top_k=2)
        assert [hit.content for hit in hits] == ["hundred hundred", "one hundred"]
        assert hits[0].channels["cross-encoder"].raw == 200
        assert [h.content for h in memory.search("nothing", ANN, top_k=1, rerank=[])] == ["nothing"]


def test_what_is_wrong_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ({"depth": 0}, {"weight": 0.0}, {"weight": 1.5}):
        with pytest.raises(ConfigError):
            CrossEncoder(folder, **bad)
    with pytest.raises(ConfigError, match="no cross-encoder"):
        order(CrossEncoder(tmp_path / "empty"))
    for broken in (b"not a graph", graph(inputs=("input_ids", "token_type_ids", "pixels"))):
        (folder / "model.onnx").write_bytes(broken)
        with pytest.raises(ConfigError, match=r"cannot be read|pixels"):
            order(CrossEncoder(folder))
    (folder / "model.onnx").write_bytes(graph(outputs=3))
    with pytest.raises(ProviderError, match="one or two"):
        order(CrossEncoder(folder))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match="cross-encoder"):
        order(CrossEncoder(folder))
