"""Vectors made anew: for texts that lack one, and for all of them when the embedder changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anamnos.embed.base import Embedder
from anamnos.errors import Conflict
from anamnos.index.terms import searchable_text
from anamnos.store.base import EmbedderInfo, Store


def reembed(
    store: Store,
    embedder: Embedder,
    info: EmbedderInfo,
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
    switch: bool = False,
) -> None:
    """Give every text that has no vector of ``info`` one, and, if ``switch``, make ``info`` the embedder in use.

    Each batch is kept as it is done, so that a run that was stopped goes on where it was. Texts written while it
    runs are found by another round before the switch, which happens only when nothing is missing.
    """
    total = store.count()
    done = 0
    while True:
        last = 0
        while batch := store.without_vector(info, after=last, limit=batch_size):
            rows = np.array([row for row, _ in batch], dtype=np.int64)
            store.put_vectors(rows, embedder.embed([searchable_text(cube) for _, cube in batch]), info)
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
