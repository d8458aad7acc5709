"""Which memories say again what another one says: the same words, or all but the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from anamnos.cube import CubeId, MemCube

NEAR = 0.9  # of the shingles; so one word may be another in a text of 40
_MAX_CHARS = 4_000
_WORD = re.compile(r"\w+")
_NEGATION = re.compile(r"\b(?:no|not|never|without|cannot)\b|n['’]t\b", re.IGNORECASE)


def repeats(cubes: Sequence[MemCube]) -> dict[CubeId, CubeId]:
    """Return memory -> the first of ``cubes`` that says the same, for those that repeat one before them.

    The same: by the same speaker, with the same numbers and negations, and at least 0.9 of their pairs of adjacent
    words in common (Jaccard). So "at 7" never repeats "at 8", nor "I do" "I don't". Cubes of other substrates than
    text repeat nothing.
    Source: w-shingling, Broder 1997; the guards are ours.
    """
    kept: list[tuple[CubeId, _Said]] = []
    found: dict[CubeId, CubeId] = {}
    for cube in cubes:
        if not isinstance(cube.content, str):
            continue
        said = _Said.by(cube)
        first = next((cube_id for cube_id, other in kept if said.repeats(other)), None)
        if first is None:
            kept.append((cube.id, said))
        else:
            found[cube.id] = first
    return found


@dataclass(frozen=True)
class _Said:
    """What must be equal, and what must be nearly so."""

    exact: tuple[object, ...]
    shingles: frozenset[tuple[str, ...]]

    @classmethod
    def by(cls, cube: MemCube) -> _Said:
        text = cube.text[:_MAX_CHARS].casefold()
        words = _WORD.findall(text)
        numbers = tuple(word for word in words if any(c.isdigit() for c in word))
        rest = cube.text[_MAX_CHARS:]
        exact = (cube.provenance.actor, numbers, len(_NEGATION.findall(text)), rest, bool(words) or text)
        return cls(exact, frozenset(zip(["", *words], [*words, ""], strict=True)))

    def repeats(self, other: _Said) -> bool:
        if self.exact != other.exact:
            return False
        both = len(self.shingles & other.shingles)
        return both >= NEAR * (len(self.shingles) + len(other.shingles) - both)
