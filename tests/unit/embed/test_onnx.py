"""all-MiniLM-L6-v2 on ONNX Runtime: equal to the reference, whatever the batch, the threads or the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from anamnos.embed import onnx
from anamnos.embed.minilm import PACKAGE, Precision, find_model_dir
from anamnos.embed.onnx import OnnxEmbedder, batches_by_length
from anamnos.errors import ConfigError, InvalidInput
from anamnos.testing.embedder_contract import EmbedderContract

needs_model = pytest.mark.skipif(
    not all(map(find_spec, ("onnxruntime", "tokenizers", "safetensors", PACKAGE))),
    reason="needs the extra embed and the model",
)
REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text(encoding="utf-8"))
TEXTS = [row["text"] for row in REFERENCE]
LOADED: dict[Precision, OnnxEmbedder] = {"float32": OnnxEmbedder(), "int8": OnnxEmbedder(precision="int8")}
both = pytest.mark.parametrize("precision", ["float32", "int8"])


@needs_model
class TestFloat32Laws(EmbedderContract):
    embedder_source = "from anamnos.embed.onnx import OnnxEmbedder; embedder = OnnxEmbedder()"

    def make_embedder(self) -> OnnxEmbedder:
        return OnnxEmbedder()


@needs_model
class TestInt8Laws(EmbedderContract):
    embedder_source = "from anamnos.embed.onnx import OnnxEmbedder; embedder = OnnxEmbedder(precision='int8')"

    def make_embedder(self) -> OnnxEmbedder:
        return OnnxEmbedder(precision="int8")


@needs_model
@pytest.mark.parametrize(("precision", "lowest"), [("float32", 0.9999), ("int8", 0.98)])
def test_vectors_equal_those_of_the_reference(precision: Precision, lowest: float) -> None:
    """The reference is PyTorch; see ``tools/make_minilm_reference.py``."""
    cosines = (LOADED[precision].embed(TEXTS) * np.array([row["vector"] for row in REFERENCE])).sum(axis=1)
    assert cosines.min() >= lowest
    assert precision == "float32" or cosines.mean() >= 0.99


@needs_model
@both
def test_padding_does_not_change_a_vector(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = LOADED[precision]
    alone = embedder.embed(["short"])
    monkeypatch.setattr(onnx, "BATCH_TOKENS", 100_000)
    together = embedder.embed(["short", "long " * 250])
    np.testing.assert_allclose(together[0], alone[0], atol=1e-4)


@needs_model
@both
def test_vectors_come_in_the_given_order_over_many_windows(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = LOADED[precision]
    texts = [f"number {i} " * (1 + i * 7 % 5) for i in range(60)]
    expected = embedder.embed(texts)
    monkeypatch.setattr(onnx, "WINDOW", 7)
    monkeypatch.setattr(onnx, "BATCH_TOKENS", 30)
    np.testing.assert_allclose(embedder.embed(texts), expected, atol=1e-4)


@needs_model
def test_what_stands_after_the_256th_token_is_not_read() -> None:
    first, second = LOADED["float32"].embed(["word " * 254 + "cat", "word " * 254 + "dog"])
    np.testing.assert_array_equal(first, second)
    first, second = LOADED["float32"].embed(["word " * 253 + "cat", "word " * 253 + "dog"])
    assert np.abs(first - second).max() > 1e-4


@needs_model
@both
def test_many_threads_may_embed_at_once(precision: Precision) -> None:
    embedder = OnnxEmbedder(precision=precision, threads=2)  # not loaded yet: they also race to load it
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: embedder.embed(TEXTS[3:9]), range(16)))
    np.testing.assert_allclose(results, np.stack([results[0]] * 16), atol=1e-6)


@needs_model
def test_a_broken_text_is_refused_by_its_index() -> None:
    with pytest.raises(InvalidInput, match=r"texts\[1\] is not valid Unicode"):
        LOADED["float32"].embed(["fine", "broken \ud83d"])


@needs_model
def test_a_truncated_tokenizer_is_named(tmp_path: Path) -> None:
    model_dir = find_model_dir()
    (tmp_path / "model.safetensors").symlink_to(model_dir / "model.safetensors")
    (tmp_path / "tokenizer.json").write_bytes((model_dir / "tokenizer.json").read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"tokenizer\.json cannot be used"):
        OnnxEmbedder(tmp_path).embed(["text"])


@needs_model
def test_truncated_weights_are_named(tmp_path: Path) -> None:
    model_dir = find_model_dir()
    (tmp_path / "tokenizer.json").symlink_to(model_dir / "tokenizer.json")
    with (model_dir / "model.safetensors").open("rb") as whole:
        (tmp_path / "model.safetensors").write_bytes(whole.read(1_000_000))
    with pytest.raises(ConfigError, match=r"model\.safetensors cannot be used"):
        OnnxEmbedder(tmp_path).embed(["text"])


@needs_model
def test_another_vocabulary_is_noticed(tmp_path: Path) -> None:
    """Shapes are right, vectors would be wrong: only the probe can tell."""
    model_dir = find_model_dir()
    (tmp_path / "model.safetensors").symlink_to(model_dir / "model.safetensors")
    tokenizer = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    words = tokenizer["model"]["vocab"]
    words["memory"], words["forget"] = words["forget"], words["memory"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ConfigError, match="does not give the vectors of all-MiniLM-L6-v2"):
        OnnxEmbedder(tmp_path).embed(["text"])


@needs_model
def test_a_damaged_graph_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").symlink_to(find_model_dir() / "tokenizer.json")
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ConfigError, match=r"model\.onnx cannot be used"):
        OnnxEmbedder(tmp_path).embed(["text"])
    with pytest.raises(ConfigError, match=r"int8 needs model\.safetensors"):
        OnnxEmbedder(tmp_path, precision="int8").embed(["text"])


@needs_model
def test_a_folder_with_its_own_graph_gives_the_same_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in for such a folder is our own graph, saved by ONNX Runtime together with its weights."""
    import onnxruntime

    make = onnxruntime.SessionOptions

    def saving() -> onnxruntime.SessionOptions:
        options = make()
        options.optimized_model_filepath = str(tmp_path / "model.onnx")
        return options

    monkeypatch.setattr(onnxruntime, "SessionOptions", saving)
    expected = OnnxEmbedder().embed(TEXTS[:5])
    monkeypatch.undo()
    (tmp_path / "tokenizer.json").symlink_to(find_model_dir() / "tokenizer.json")
    np.testing.assert_allclose(OnnxEmbedder(tmp_path).embed(TEXTS[:5]), expected, atol=1e-5)


def test_making_an_embedder_imports_and_reads_nothing() -> None:
    script = (
        "import sys; from pathlib import Path; from anamnos.embed.onnx import OnnxEmbedder\n"
        "OnnxEmbedder(Path('/nowhere')).embed([])\n"
        "print(*{'onnxruntime', 'tokenizers', 'safetensors', 'torch'} & sys.modules.keys())"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_ids_differ_by_precision() -> None:
    assert (LOADED["float32"].id, LOADED["int8"].id) == ("all-minilm-l6-v2", "all-minilm-l6-v2-int8")


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 'int4'"):
        OnnxEmbedder(precision="int4")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1; got 0"):
        OnnxEmbedder(threads=0)


def test_batches_hold_every_index_once_within_the_budget() -> None:
    lengths = [int(n) for n in np.random.default_rng(0).integers(2, 257, 200)]
    batches = batches_by_length(lengths, budget=384)
    assert sorted(i for batch in batches for i in batch) == list(range(200))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 384 for b in batches)
    assert batches_by_length([], budget=384) == []


@needs_model
@both
def test_tokens_come_from_the_same_pass(precision: Precision) -> None:
    texts = ["She walks.", "", "They walked up the mountain.", "She sleeps."]
    vectors, tokens = LOADED[precision].embed_tokens(texts)
    np.testing.assert_array_equal(vectors, LOADED[precision].embed(texts))
    assert [own.vectors.shape for own in tokens] == [(3, 48), (0, 48), (6, 48), (3, 48)]
    assert tokens[0].starts.tolist() == [0, 4, 9]
    lengths = np.linalg.norm(tokens[2].vectors.astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 127, atol=4)
    walks, walked, sleeps = tokens[0].vectors[1], tokens[2].vectors[1], tokens[3].vectors[1]
    assert np.dot(walks.astype(int), walked.astype(int)) > np.dot(sleeps.astype(int), walked.astype(int))
