"""What a vector index is: derived from the store, behind it by a known number, and made again from nothing.

Laws (``anamnos.testing.VectorIndexContract`` checks them):
 1. ``catch_up()`` brings it to the store's present sequence number; doing it twice changes nothing.
 2. After it, a row has the store's vector, an erased row has none, and no byte of an erased vector is left.
 3. ``similarities`` are cosines in [-1, 1] of unit vectors, 0 for a row without a vector.
 4. A killed process, a torn file or two processes at once never make it wrong for good: it notices, or catches up.
 5. ``search`` gives rows of those asked for only, with their exact cosines. An approximate index may miss some of the
    nearest, never a row that was erased or retired, and never any where the rows asked for are few.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anamnos.store.base import Rows
from anamnos.types import Vector


class VectorIndex(Protocol):
    """Finds rows of the store by the vectors of the embedder in use."""

    @property
    def scans(self) -> float:
        """Up to how many rows comparing them all by ``similarities`` is the way to search; above it, ``search`` is."""

    def catch_up(self) -> int:
        """Apply what changed in the store since last time, and return the sequence number now reached."""

    def similarities(self, query: Vector, rows: Rows) -> NDArray[np.float32]:
        """Return the cosine of ``query`` (dim,) with each of ``rows`` (n,), ascending: (n,) float32."""

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        """Return the vectors of ``rows``: (n, dim) float32, zeros where there is none."""

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        """Return the ``top_k`` of ``rows`` nearest to ``query``, best first, ties by row, and their cosines."""

    def maintain(self) -> bool:
        """Do what may wait for an idle moment, such as building or sweeping; return whether there was any."""

    def rebuild(self) -> None:
        """Make the index again from the store alone."""

    def verify(self) -> list[str]:
        """Return where the index and the store disagree, one sentence each."""

    def close(self) -> None:
        """Write down how far it has come, and let go of the files."""
