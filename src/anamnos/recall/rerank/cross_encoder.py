"""A second reading by a cross-encoder of the user's own: a model that sees query and memory together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import ConfigError, MissingExtra, ProviderError
from anamnos.recall.rerank.base import VectorsOf, placed
from anamnos.types import Hit

_MAX_TOKENS = 512
_MAX_CHARS = 8_192
_BATCH = 8
_HINT = "Name a folder with model.onnx (or onnx/model.onnx) and tokenizer.json."


class CrossEncoder:
    """Orders the best hits by weight * z(logit) + (1 - weight) * z(rank score), z over those hits.

    folder  holds ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json``: a sequence classifier with one output,
            higher is better, or with two, of which the second is "relevant"
    depth   how many hits it reads, at least 1; each costs one pass of the model
    weight  in (0, 1]; 1 puts the model's order in the place of ours
    Loaded at the first search. Raises then: ConfigError, MissingExtra; later ProviderError if it fails.

    Off by default: cross-encoders trained on web search can make recall from conversations worse (6.9 points of hit@1
    were lost on LongMemEval, arXiv:2606.04194). Compare both on questions of your own before you keep one.
    """

    name = "cross-encoder"

    def __init__(self, folder: Path, *, depth: int = 25, weight: float = 1.0) -> None:
        if depth < 1 or not 0 < weight <= 1:
            raise ConfigError(f"A cross-encoder needs depth >= 1 and weight in (0, 1], got {depth} and {weight}.")
        self.folder = folder
        self.depth = depth
        self.weight = weight
        self._model: tuple[Any, Any] | None = None
        self._loading = Lock()

    def rerank(self, query: str, hits: Sequence[Hit], vectors_of: VectorsOf) -> list[Hit]:
        pool = hits[: self.depth]
        if len(pool) < 2:
            return list(hits)
        logits = self.scores(query, [_said(hit) for hit in pool])
        ours = np.array([hit.rank_score for hit in pool])
        total = self.weight * _standardised(logits) + (1 - self.weight) * _standardised(ours)
        order = np.argsort(-total, kind="stable").tolist()
        return placed(hits, order, self.name, logits.tolist(), "read together with the question")

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the model's logit for each pair of ``query`` and a text: (len(texts),) float64."""
        tokenizer, session = self._ready()
        wanted = [node.name for node in session.get_inputs()]
        parts = []
        for start in range(0, len(texts), _BATCH):
            pairs = [(query[:_MAX_CHARS], text[:_MAX_CHARS]) for text in texts[start : start + _BATCH]]
            read = tokenizer.encode_batch(pairs)
            inputs = {
                "input_ids": np.array([each.ids for each in read], dtype=np.int64),
                "attention_mask": np.array([each.attention_mask for each in read], dtype=np.int64),
                "token_type_ids": np.array([each.type_ids for each in read], dtype=np.int64),
            }
            try:
                logits = np.asarray(session.run(None, {name: inputs[name] for name in wanted})[0], dtype=np.float64)
            except Exception as exc:  # onnxruntime raises bare kinds of Exception
                raise ProviderError(f"The cross-encoder in {self.folder} failed: {exc}.") from exc
            logits = logits.reshape(len(pairs), -1)
            if logits.shape[1] not in (1, 2) or not np.isfinite(logits).all():
                raise ProviderError(
                    f"The cross-encoder in {self.folder} must give one or two finite numbers for a pair, not"
                    f" {logits[0].tolist()[:5]}."
                )
            parts.append(logits[:, -1] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0])
        return np.concatenate(parts)

    def _ready(self) -> tuple[Any, Any]:
        with self._loading:
            if self._model is None:
                self._model = _load(self.folder)
            return self._model


def _load(folder: Path) -> tuple[Any, Any]:
    """Return the tokeniser and the session of a folder."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingExtra("A cross-encoder", "embed") from exc
    graph = next((path for name in ("model.onnx", "onnx/model.onnx") if (path := folder / name).is_file()), None)
    if graph is None or not (folder / "tokenizer.json").is_file():
        raise ConfigError(f"There is no cross-encoder in {folder}.", hint=_HINT)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # both raise bare Exception
        raise ConfigError(f"The cross-encoder in {folder} cannot be read: {exc}.", hint=_HINT) from exc
    unknown = {node.name for node in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown:
        raise ConfigError(f"The cross-encoder in {folder} wants inputs {sorted(unknown)}.", hint=_HINT)
    tokenizer.enable_truncation(_MAX_TOKENS)
    own = tokenizer.padding or {"pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    tokenizer.enable_padding(**{name: own[name] for name in ("pad_id", "pad_type_id", "pad_token")})
    return tokenizer, session


def _said(hit: Hit) -> str:
    return f"{hit.cube.provenance.actor}: {hit.cube.text}" if hit.cube.provenance.actor else hit.cube.text


def _standardised(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = (scores - scores.mean()) / (scores.std() + 1e-9)
    return out
