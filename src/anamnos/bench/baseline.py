"""The least that a search costs: one bare matrix-vector product and one bare FTS5 query, nothing else around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import numpy as np
from numpy.typing import NDArray

from anamnos.embed.base import Vectors
from anamnos.types import Vector


class Baseline:
    """A plain FTS5 table of the texts and a plain matrix of the vectors.

    path     where the table's file is made
    texts    n texts
    vectors  (n, dim) float32
    """

    def __init__(self, path: Path, texts: Sequence[str], vectors: Vectors) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.db = apsw.Connection(str(path))
        self.db.execute("PRAGMA journal_mode = off; PRAGMA synchronous = off")
        self.db.execute("CREATE VIRTUAL TABLE plain USING fts5 (content)")
        with self.db:
            self.db.executemany("INSERT INTO plain VALUES (?)", ((text,) for text in texts))

    def close(self) -> None:
        self.db.close()

    def cosines(self, query: Vector) -> NDArray[np.float32]:
        """Return the product of the matrix and ``query``: (n,) float32."""
        return np.asarray(self.vectors @ query, dtype=np.float32)

    def keyword_top(self, words: Sequence[str], top_k: int = 10) -> list[int]:
        """Return the rows that match any of ``words`` best by FTS5's bm25."""
        match = " OR ".join('"' + word.replace('"', '""') + '"' for word in dict.fromkeys(words))
        found = self.db.execute("SELECT rowid FROM plain WHERE plain MATCH ? ORDER BY rank LIMIT ?", (match, top_k))
        return [int(row) for (row,) in found]
