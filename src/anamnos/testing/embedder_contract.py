"""The laws of an embedder as tests: subclass ``EmbedderContract`` and give it ``make_embedder``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from anamnos.embed.base import Embedder

TEXTS = (
    "The cat sleeps on the warm stove.",
    "A dog barks at the moon.",
    "Die Straße ist naß.",
    "日本語の記憶",
    "'; DROP TABLE cubes; -- \"*",
    "👩‍👧 e\u0301 \u00e9",
    "word " * 3_000,
    "a",
    " ",
    "",
    "a\u0000b",
)


class EmbedderContract:
    """The laws of ``anamnos.embed.base``; their numbers are in the names' docstrings.

    embedder_source  Python source that leaves the embedder in ``embedder``; if empty, the test that needs
                     another process is skipped
    """

    embedder_source: ClassVar[str] = ""

    def make_embedder(self) -> Embedder:
        """Return an embedder, a new one at each call."""
        raise NotImplementedError

    @pytest.fixture
    def embedder(self) -> Embedder:
        return self.make_embedder()

    def test_is_an_embedder(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)

    def test_vectors_have_the_promised_shape_and_type(self, embedder: Embedder) -> None:
        """Law 1."""
        vectors = embedder.embed(TEXTS)
        assert vectors.shape == (len(TEXTS), embedder.dim)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()

    def test_vectors_come_in_the_order_of_the_texts(self, embedder: Embedder) -> None:
        """Law 1."""
        forward, backward = embedder.embed(TEXTS[:6]), embedder.embed(TEXTS[5::-1])
        np.testing.assert_allclose(forward, backward[::-1], atol=1e-4)

    def test_vectors_have_length_one(self, embedder: Embedder) -> None:
        """Law 2, also for odd, empty and very long texts."""
        np.testing.assert_allclose(np.linalg.norm(embedder.embed(TEXTS), axis=1), 1.0, atol=1e-3)

    def test_a_text_has_one_vector_whatever_stands_beside_it(self, embedder: Embedder) -> None:
        """Law 3."""
        together = embedder.embed(TEXTS)
        for text, vector in zip(TEXTS, together, strict=True):
            np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-4)
        np.testing.assert_allclose(embedder.embed([TEXTS[0]] * 3), [together[0]] * 3, atol=1e-4)

    def test_different_texts_have_different_vectors(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS[:5])
        assert (vectors @ vectors.T - np.eye(5) < 0.999).all()

    def test_a_second_embedder_of_the_same_id_gives_the_same_vectors(self, embedder: Embedder) -> None:
        """Laws 3 and 4."""
        other = self.make_embedder()
        assert (other.id, other.dim) == (embedder.id, embedder.dim)
        assert embedder.id.strip()
        np.testing.assert_allclose(other.embed(TEXTS), embedder.embed(TEXTS), atol=1e-4)

    def test_another_process_gives_the_same_vectors(self, embedder: Embedder) -> None:
        """Law 3."""
        if not self.embedder_source:
            pytest.skip("this embedder cannot be made in another process")
        answer = "print(json.dumps(embedder.embed(json.load(sys.stdin)).tolist()))"
        script = f"import json, sys\n{self.embedder_source}\n{answer}"
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", script],
            input=json.dumps(TEXTS[:6]),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "7"},
            capture_output=True,
            text=True,
            check=True,
        )
        np.testing.assert_allclose(json.loads(done.stdout), embedder.embed(TEXTS[:6]), atol=1e-4)

    def test_no_texts_give_no_vectors(self, embedder: Embedder) -> None:
        """Law 5."""
        vectors = embedder.embed([])
        assert vectors.shape == (0, embedder.dim)
        assert vectors.dtype == np.float32
