"""What a vector index is asked, whoever made it: the same few calls, over rows of one set of vectors.

Keys are row numbers of the set. An index keeps all that it must in its folder: what builds and what searches are two
processes. It may read the set's vectors, a memory map, to compare its best few again exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from anamnos.embed.base import Vectors
from anamnos.types import Vector

Rows = NDArray[np.int64]
Labels = Mapping[str, NDArray[np.bool_]]
RERANKED = 30  # compared again by their float32 vectors, where an index keeps shortened ones
GRAPH = {"links": 16, "build_effort": 100}  # of each graph: links per row, candidates looked at while building
GRAPH_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass
class AnnIndex(ABC):
    """An index and the set that it is over.

    folder   belongs to this index alone
    vectors  (n, dim) float32, unit length; a view of a memory map
    labels   name -> which rows have it, (n,); known when a row is indexed, so that searches can ask for one

    efforts  what is to be tried, in ascending order; () for an exact index
    """

    folder: Path
    vectors: Vectors
    labels: Labels

    efforts: ClassVar[tuple[int, ...]] = ()
    packages: ClassVar[tuple[str, ...]] = ("numpy",)
    notes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def build(self, rows: Rows) -> None:
        """Index ``rows`` and leave all in the folder. Afterwards the index is open."""

    @abstractmethod
    def open(self) -> None:
        """Open what ``build`` left."""

    @abstractmethod
    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        """Return the rows nearest to ``query``, best first."""

    def close(self) -> None:
        """Let go of servers and files."""
        return

    def server(self) -> int | None:
        """Return the process that works for this one, if there is one that is no child of it."""
        return None

    def reranked(self, query: Vector, rows: Rows, top_k: int) -> Rows:
        """Return the ``top_k`` of ``rows`` that are nearest by their own vectors, best first."""
        rows = rows[rows >= 0]
        return rows[np.argsort(-(self.vectors[rows] @ query), kind="stable")[:top_k]]


@runtime_checkable
class Updated(Protocol):
    """An index that takes and drops rows without being built again."""

    def insert(self, rows: Rows) -> None:
        """Index further rows."""

    def delete(self, rows: Rows) -> None:
        """Drop rows: no search finds them afterwards."""


@runtime_checkable
class Filtered(Protocol):
    """An index that can search among the rows of a label."""

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        """Return the rows with ``label`` nearest to ``query``, best first."""


@runtime_checkable
class Counting(Protocol):
    """An index that knows how much it reads."""

    def bytes_compared(self) -> int:
        """Return how many bytes of vectors or codes have been compared with queries so far, reranking included."""


@runtime_checkable
class Littered(Protocol):
    """An index that knows how much of it is garbage."""

    def garbage(self) -> float:
        """Return the share of its entries that belong to rows deleted or moved."""


@runtime_checkable
class Resting(Protocol):
    """An index that holds pages outside its process, or maps that must be let go before a cold read."""

    def rest(self) -> None:
        """Let go of everything read; the next search starts from files."""
