"""The fake embedder obeys the laws of an embedder."""

import pytest

from anamnos.embed.base import Embedder
from anamnos.errors import ProviderError
from anamnos.testing import EmbedderContract, FakeEmbedder


class TestFakeEmbedder(EmbedderContract):
    embedder_source = "from anamnos.testing import FakeEmbedder; embedder = FakeEmbedder()"

    def make_embedder(self) -> Embedder:
        return FakeEmbedder()


class TestWideFakeEmbedder(EmbedderContract):
    def make_embedder(self) -> Embedder:
        return FakeEmbedder(dim=384)


def test_it_fails_once_when_told_to() -> None:
    embedder = FakeEmbedder()
    embedder.fail_next = True
    with pytest.raises(ProviderError) as failure:
        embedder.embed(["a"])
    assert failure.value.retryable
    assert embedder.embed(["a"]).shape == (1, 16)
    assert embedder.calls == 2
