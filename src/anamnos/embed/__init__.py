"""Text to vectors: the ``Embedder`` protocol and the ways to get one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from anamnos.embed.base import Embedder, Vectors
from anamnos.errors import ConfigError

__all__ = ["Embedder", "Vectors", "resolve_embedder", "spec_of"]

CHOICES = "auto, hashing, minilm, minilm-int8, openai:<model>@<base_url>, st:<path>"


def resolve_embedder(
    spec: str = "auto",
    *,
    model_dir: Path | None = None,
    threads: int | None = None,
    api_key: str | None = None,
    dim: int | None = None,
) -> Embedder:
    """Return the embedder that ``spec`` names; it loads and connects at its first use only.

    spec        auto (minilm where it can run, else hashing), hashing, minilm, minilm-int8,
                openai:<model>@<base_url>, or st:<folder of a sentence-transformers model>
    model_dir   for minilm: the model's folder, if not that of the installed package
    threads     for minilm: batches computed at the same time
    api_key     for openai
    dim         for hashing and openai: the length of a vector
    Raises: ConfigError for any other spec.
    """
    kind, _, rest = spec.partition(":")
    if spec == "auto":
        spec = "minilm" if _minilm_can_run(model_dir) else "hashing"
    if spec == "hashing":
        from anamnos.embed.hashing import HashingEmbedder

        return HashingEmbedder() if dim is None else HashingEmbedder(dim)
    if spec in ("minilm", "minilm-int8"):
        from anamnos.embed.minilm import Precision
        from anamnos.embed.onnx import OnnxEmbedder

        precision: Precision = "int8" if spec == "minilm-int8" else "float32"
        return OnnxEmbedder(model_dir, precision=precision, threads=threads)
    model, _, base_url = rest.partition("@")
    if kind == "openai" and "@" in base_url:
        raise ConfigError(
            "The embedder's address holds a user name or a password, which the vault would store.",
            hint="Leave it out of the address and set ANAMNOS_EMBEDDER_API_KEY.",
        )
    if kind == "openai" and model and base_url:
        from anamnos.embed.openai import OpenAIEmbedder

        return OpenAIEmbedder(base_url, model, api_key=api_key, dim=dim)
    if kind == "st" and rest:
        from anamnos.embed.sentence_transformers import SentenceTransformersEmbedder

        return SentenceTransformersEmbedder(rest)
    raise ConfigError(f"There is no embedder {spec!r}.", hint=f"Choose one of: {CHOICES}")


def spec_of(embedder: Embedder) -> str | None:
    """Return the spec that gives this embedder again on any machine; None if it takes more than a name."""
    known = {"all-minilm-l6-v2": "minilm", "all-minilm-l6-v2-int8": "minilm-int8", "hashing-384-v1": "hashing"}
    return known.get(embedder.id)


def _minilm_can_run(model_dir: Path | None) -> bool:
    """Return whether the packages and the model are there; a folder named by the user must be good."""
    from anamnos.embed.minilm import find_model_dir

    if not all(find_spec(package) for package in ("onnxruntime", "tokenizers", "safetensors")):
        return False
    try:
        find_model_dir(model_dir)
    except ConfigError:
        if model_dir is not None:
            raise
        return False
    return True
