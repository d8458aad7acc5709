"""The folder of all-MiniLM-L6-v2: how it is found, and what happens when it is damaged."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from anamnos.embed import minilm
from anamnos.embed.minilm import find_model_dir, own_graph, quantize, read_weights
from anamnos.errors import ConfigError


def test_without_a_model_the_hint_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ConfigError) as caught:
        find_model_dir()
    assert "anamnos setup" in caught.value.hint


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model folder .*nowhere"):
        find_model_dir(tmp_path / "nowhere")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks tokenizer\.json and model\.safetensors"):
        find_model_dir(tmp_path)


@pytest.mark.parametrize("graph", ["model.onnx", "onnx/model.onnx"])
def test_a_folder_may_bring_its_own_graph(tmp_path: Path, graph: str) -> None:
    (tmp_path / "tokenizer.json").touch()
    (tmp_path / graph).parent.mkdir(exist_ok=True)
    (tmp_path / graph).touch()
    assert find_model_dir(tmp_path) == tmp_path
    assert own_graph(tmp_path) == tmp_path / graph


def test_quantized_weights_are_within_half_a_step() -> None:
    weight = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
    weight[4] = 0
    q, scale = quantize(weight)
    assert q.dtype == np.int8
    assert np.abs(q).max(axis=1).tolist() == [64, 64, 64, 64, 0]
    assert (np.abs(q * scale[:, None] - weight) <= scale[:, None] * 0.5001).all()


@pytest.mark.skipif(find_spec("safetensors") is None, reason="needs the extra embed")
class TestWeights:
    @pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 64])
    def test_a_damaged_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"model\.safetensors cannot be used"):
            read_weights(path, "float32")

    def test_weights_of_another_model_are_refused(self, tmp_path: Path) -> None:
        from safetensors.numpy import save_file

        name = "embeddings.word_embeddings.weight"
        path = tmp_path / "model.safetensors"
        save_file({name: np.zeros((10, 768), np.float32)}, path)
        with pytest.raises(ConfigError, match=rf"{name} is float32 \(10, 768\), not float32 \(30522, 384\)"):
            read_weights(path, "float32")
