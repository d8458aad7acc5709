"""Multitasking Hebbian memory: diluted patterns, several of which one state recalls at once.

A pattern is blank (0) at a share d of its sites; there a state is free to follow other patterns. With few blanks the
state is a hierarchy, sigma = the first pattern that is not blank, of amplitudes m_k = d^(k-1) (1 - d); beyond d_c(K)
it breaks, and with many blanks all K patterns are recalled in parallel and alike. Source: arXiv:2308.04106.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.base import Spec
from anamnos.associative.checks import check_whole
from anamnos.associative.hebbian.dynamics import Spins
from anamnos.associative.hebbian.memory import HebbianMemory
from anamnos.errors import InvalidInput

Real = NDArray[np.float64]
STANDS_OUT = 3.0  # of 1 / sqrt(N), the overlap of a pattern by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class MultitaskSpec(Spec):
    """A multitasking Hebbian network.

    length    N, sites of a key
    dilution  d, the share of blanks that keys have, in [0, 1)
    """

    system: ClassVar[str] = "multitasking"
    length: int
    dilution: float = 0.2

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("length", self.length, least=4)
        check_dilution(self.dilution)


class MultitaskMemory(HebbianMemory):
    """Stores keys of -1, 0 and +1; ``read(k=K)`` lists every pattern in the state by its amplitude |m| > 3 / sqrt(N).

    A recall's code is its pattern as the state shows it (mirrored if the amplitude is negative), its score |m|.
    """

    spec: MultitaskSpec

    def __init__(self, spec: MultitaskSpec) -> None:
        super().__init__(spec)

    def _checked(self, name: str, key: ArrayLike) -> Spins:
        found, length = np.asarray(key), self.spec.length
        known = found.shape == (length,) and found.dtype.kind in "if" and bool(np.isin(found, (-1, 0, 1)).all())
        if not known or not found.any():
            raise InvalidInput(
                f"{name} must be {length} numbers that are -1, 0 or +1, not all 0; got {found.dtype} of {found.shape}."
            )
        return found.astype(np.int8)

    def _capacity(self) -> float:
        """Return how many patterns can be told in one state: few in a hierarchy, of the order of N in parallel.

        Below d = 1/2 it is log2 N. Above, K patterns of amplitude sqrt(2 (1 - d) / (pi K)) must pass 3 / sqrt(N).
        """
        few = math.log2(self.spec.length)
        if self.spec.dilution < 0.5:
            return few
        return max(few, 2 * (1 - self.spec.dilution) * self.spec.length / (math.pi * STANDS_OUT**2))

    def _error(self) -> float:
        """Return the share of wrong spins on a pattern's own sites, from the crosstalk of the others."""
        return math.erfc(math.sqrt(self.spec.length / (2 * len(self._patterns)))) / 2

    def _recalled(self, state: Spins, overlaps: Real, k: int) -> list[tuple[int, float, Spins]]:
        best = np.argsort(-np.abs(overlaps), kind="stable")[:k].tolist()
        told = [n for n in best if abs(overlaps[n]) > STANDS_OUT / math.sqrt(self.spec.length)]
        return [(n, abs(float(overlaps[n])), (self._signs[n] * np.sign(overlaps[n])).astype(np.int8)) for n in told]


# --- theory


def check_dilution(dilution: object) -> None:
    """Raise InvalidInput unless ``dilution`` is a number in [0, 1)."""
    good = isinstance(dilution, int | float) and not isinstance(dilution, bool) and 0 <= dilution < 1
    if not good:
        raise InvalidInput(f"dilution must be a number from 0 to below 1, got {dilution!r}.")


def hierarchy(dilution: float, patterns: int) -> Real:
    """Return m_k = d^(k-1) (1 - d), the amplitudes of the hierarchical state.

    >>> hierarchy(0.5, 3).tolist()
    [0.5, 0.25, 0.125]
    """
    check_dilution(dilution)
    check_whole("patterns", patterns)
    return np.asarray((1 - dilution) * dilution ** np.arange(patterns, dtype=np.float64))


def critical_dilution(patterns: int) -> float:
    """Return d_c(K), up to which the hierarchy is stable: m_1 > m_2 + ... + m_K, which is 1 - 2 d + d^K > 0.

    Lower levels fail later: the k-th asks the same of K - k + 1 patterns.

    >>> [round(critical_dilution(k), 3) for k in (2, 3, 5, 50)]
    [1.0, 0.618, 0.519, 0.5]
    """
    check_whole("patterns", patterns, least=2)
    if patterns == 2:
        return 1.0  # (1 - d)^2 is 0 there and nowhere else
    low, high = 0.5, 1 - 1 / patterns  # 1 - 2 d + d^K is negative at the latter for all K > 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - 2 * middle + middle**patterns > 0 else (low, middle)
    return low


def amplitudes(dilution: float, patterns: int, *, step: float = 0.02, steps: int = 2_000) -> Real:
    """Return where amplitudes go from the hierarchy at temperature 0 in an endless network, largest first.

    Spins visited at random make dm/dt = E[xi sign(xi . m)] - m over the 3^K columns of the patterns; a column whose
    field is 0 has no say. Raises: InvalidInput for more than 8 patterns.
    """
    check_whole("patterns", patterns, most=8)
    columns = np.array(list(itertools.product((-1, 0, 1), repeat=patterns)), dtype=np.float64)
    blanks = (columns == 0).sum(axis=1)
    chances = dilution**blanks * ((1 - dilution) / 2) ** (patterns - blanks)
    m = hierarchy(dilution, patterns)
    for _ in range(steps):
        fields = columns @ m
        m = m + step * ((chances * np.where(np.abs(fields) < 1e-9, 0, np.sign(fields))) @ columns - m)
    return np.sort(m)[::-1]
