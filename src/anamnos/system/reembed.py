"""Vectors made anew: for texts that lack one, and for all of them when the embedder changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.cube import MemCube
from anamnos.embed import resolve_embedder
from anamnos.embed.base import Embedder, Vectors, gives_tokens
from anamnos.errors import ConfigError, Conflict
from anamnos.index.terms import TermReader, searchable_text
from anamnos.index.tokens import content, packed
from anamnos.store.base import EmbedderInfo, Store
from anamnos.system.bulk import Engine, Local, each, result

Words = tuple[str, int]
"""What a memory is embedded as, and how many characters in front of it (the speaker's name) are not its own."""


def words_of(cube: MemCube) -> Words:
    """Return what a text cube is embedded as."""
    text = searchable_text(cube)
    return text, len(text) - len(cube.text)


def embedded(embedder: Embedder, cubes: Sequence[MemCube], reader: TermReader) -> tuple[Vectors, list[bytes]]:
    """Return the vectors of text cubes, (n, dim) float32, and the packed vectors of their words, if there are such."""
    return _embedded(embedder, [words_of(cube) for cube in cubes], reader)


def _embedded(embedder: Embedder, words: Sequence[Words], reader: TermReader) -> tuple[Vectors, list[bytes]]:
    texts = [text for text, _ in words]
    if not texts:
        return np.empty((0, embedder.dim), dtype=np.float32), []
    if not gives_tokens(embedder):
        return _rounded(embedder.embed(texts)), [b""] * len(texts)
    vectors, tokens = embedder.embed_tokens(texts)
    return _rounded(vectors), [
        packed(own.vectors, content(own.starts, text, reader, skip=skip))
        for (text, skip), own in zip(words, tokens, strict=True)
    ]


@dataclass
class Portable:
    """An embedder that can go to another process.

    spec       the name that gives it again there, where it computes one batch at a time; None: it goes as it is
    model_dir, api_key  as for ``resolve_embedder``
    """

    embedder: Embedder
    spec: str | None = None
    model_dir: Path | None = None
    api_key: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self.spec is None:
            return Portable, (self.embedder,)
        return _Named, (self.spec, self.model_dir, self.api_key, self.embedder.id)

    def get(self) -> Embedder:
        return self.embedder


@dataclass
class _Named:
    """What a Portable is after the journey: the embedder is made when it is first wanted, and kept."""

    spec: str
    model_dir: Path | None
    api_key: str | None
    id: str
    _made: Embedder | None = None

    def get(self) -> Embedder:
        """Return the embedder. Raises: ConfigError if this machine has another one, or none."""
        if self._made is None:
            made = resolve_embedder(self.spec, model_dir=self.model_dir, threads=1, api_key=self.api_key)
            if made.id != self.id:
                raise ConfigError(
                    f"A worker's embedder {self.spec} is {made.id}; {self.id} is wanted.",
                    hint="Install the same packages and models on all machines.",
                )
            self._made = made
        return self._made


@dataclass
class Embedding:
    """The work of an engine that embeds: what ``embedded`` does, of words instead of cubes."""

    embedder: Portable | _Named
    reader: TermReader

    def __reduce__(self) -> tuple[Any, ...]:
        return _embedding, (self.embedder,)

    def __call__(self, words: Sequence[Words]) -> tuple[Vectors, list[bytes]]:
        """Return the vectors, (n, dim) float32, and the packed vectors of the words, of each."""
        if not words:  # all of them known: the model need not be loaded for that
            return np.empty((0, 0), dtype=np.float32), []
        return _embedded(self.embedder.get(), words, self.reader)


def _embedding(embedder: Portable | _Named) -> Embedding:
    return Embedding(embedder, TermReader())


def _rounded(vectors: Vectors) -> Vectors:
    """Return the vectors rounded to float16, which the store keeps in half the space.

    Cosines change by less than 5e-4, mostly by 1e-5.
    """
    return np.asarray(vectors).astype(np.float16).astype(np.float32)


def reembed(
    store: Store,
    embedder: Embedder,
    info: EmbedderInfo,
    reader: TermReader,
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
    switch: bool = False,
    engine: Engine | None = None,
    portable: Portable | None = None,
) -> None:
    """Give every text that has no vector of ``info`` one, and, if ``switch``, make ``info`` the embedder in use.

    Texts that have one but none of their words, from vaults older than those, are given them.
    Each batch is kept as it is done, so that a run that was stopped goes on where it was. Texts written while it
    runs are found by another round before the switch, which happens only when nothing is missing.

    engine    what embeds; this process by default
    portable  how the embedder gets to where the engine works
    """
    engine, work = engine or Local(), Embedding(portable or Portable(embedder), reader)
    if gives_tokens(embedder):
        _add_tokens(store, embedder, info, reader, batch_size)
    total = store.count()
    done = 0
    while True:
        for batch, made in each(engine, work, _lacking(store, info, batch_size), _words_of):
            vectors, tokens = result(made)
            store.put_vectors(np.array([row for row, _ in batch], dtype=np.int64), vectors, info, tokens)
            done += len(batch)
            if progress:
                progress(min(done, total), total)
        if not switch:
            return
        try:
            store.use_embedder(info)
        except Conflict:
            continue  # somebody wrote in between: once more
        return


def _words_of(batch: Sequence[tuple[int, MemCube]]) -> list[Words]:
    return [words_of(cube) for _, cube in batch]


def _lacking(store: Store, info: EmbedderInfo, size: int) -> Iterator[list[tuple[int, MemCube]]]:
    """Yield the texts that have no vector of ``info``, with their rows."""
    last = 0
    while batch := store.without_vector(info, after=last, limit=size):
        yield batch
        last = batch[-1][0]


def _add_tokens(store: Store, embedder: Embedder, info: EmbedderInfo, reader: TermReader, batch_size: int) -> None:
    """Give the texts that have a vector, but none of their words, those as well; the vector stays as it is."""
    nobody, last = EmbedderInfo("", 0), 0  # no row has a vector of no embedder, so every text comes
    while batch := store.without_vector(nobody, after=last, limit=batch_size):
        last = batch[-1][0]
        rows = np.array([row for row, _ in batch], dtype=np.int64)
        vectors = store.vectors(rows, info)
        lacking = [
            place
            for place, ((_, cube), own) in enumerate(zip(batch, store.tokens(rows, info), strict=True))
            if not own and vectors[place].any() and reader.spans(cube.text)  # a text without such words has none
        ]
        if lacking:
            _, tokens = embedded(embedder, [batch[place][1] for place in lacking], reader)
            store.put_vectors(rows[lacking], vectors[lacking], info, tokens)
