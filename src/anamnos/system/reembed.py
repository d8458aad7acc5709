"""Vectors made anew: for texts that lack one, and for all of them when the embedder changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from anamnos.cube import MemCube
from anamnos.embed.base import Embedder, Vectors, gives_tokens
from anamnos.errors import Conflict
from anamnos.index.terms import TermReader, searchable_text
from anamnos.index.tokens import content, packed
from anamnos.store.base import EmbedderInfo, Store


def embedded(embedder: Embedder, cubes: Sequence[MemCube], reader: TermReader) -> tuple[Vectors, list[bytes]]:
    """Return the vectors of text cubes, (n, dim) float32, and the packed vectors of their words, if there are such."""
    texts = [searchable_text(cube) for cube in cubes]
    if not texts:
        return np.empty((0, embedder.dim), dtype=np.float32), []
    if not gives_tokens(embedder):
        return _rounded(embedder.embed(texts)), [b""] * len(texts)
    vectors, tokens = embedder.embed_tokens(texts)
    return _rounded(vectors), [
        packed(own.vectors, content(own.starts, text, reader, skip=len(text) - len(cube.text)))
        for cube, text, own in zip(cubes, texts, tokens, strict=True)
    ]


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
) -> None:
    """Give every text that has no vector of ``info`` one, and, if ``switch``, make ``info`` the embedder in use.

    Texts that have one but none of their words, from vaults older than those, are given them.
    Each batch is kept as it is done, so that a run that was stopped goes on where it was. Texts written while it
    runs are found by another round before the switch, which happens only when nothing is missing.
    """
    if gives_tokens(embedder):
        _add_tokens(store, embedder, info, reader, batch_size)
    total = store.count()
    done = 0
    while True:
        last = 0
        while batch := store.without_vector(info, after=last, limit=batch_size):
            rows = np.array([row for row, _ in batch], dtype=np.int64)
            vectors, tokens = embedded(embedder, [cube for _, cube in batch], reader)
            store.put_vectors(rows, vectors, info, tokens)
            last = batch[-1][0]
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
