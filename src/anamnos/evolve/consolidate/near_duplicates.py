"""Memories that say again what others say: which of them can leave the search without anything being lost.

Two readings. *The same words*, found by the hash of their index terms and then compared: for what people said. *Nearly
the same*, a cosine of at least .92 between memories with the same numbers, dates and negations: for what was derived,
where one may go whose words are all in another. Of all that say the same, the first and the last stay, since that it
was said again, and when last, is knowledge too; only those in between go.
Source: merging at .92 without a judge is MemOS, arXiv:2507.03724 and its code; the guards are ours.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, LinkKind, MemCube, State
from anamnos.evolve.consolidate.base import Repeat
from anamnos.index.terms import FIRST_WORD_TERM, Mark
from anamnos.store.base import Outline, Rows

NEAR = 0.92
MIN_WORDS = 4  # that count: fewer mean different things in different talk
_BLOCK = 1_024
_WORD = re.compile(r"\w+")
_DATE_WORDS = """monday tuesday wednesday thursday friday saturday sunday january february march april may june july
    august september october november december today yesterday tomorrow tonight morning evening weekend one two three
    four five six seven eight nine ten eleven twelve dozen hundred thousand million once twice first second third last
    next"""
_POLARITY_WORDS = """no not never without cannot nothing nobody none neither nor stopped quit left sold cancelled
    canceled former formerly ex used longer anymore hate hates dislike dislikes unable refuse refuses refused"""
_DATES, _POLARITY = frozenset(_DATE_WORDS.split()), frozenset(_POLARITY_WORDS.split())
_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)
_NEVER = datetime.min.replace(tzinfo=UTC)
Vectors = NDArray[np.float32]


def guard(text: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Return what must be equal in texts that say the same: numbers and dates, words of negation, how many "n't".

    >>> guard("At 7 on Monday") == guard("On Monday, at 8")
    False
    """
    words = _WORD.findall(text.casefold())
    exact = tuple(sorted(w for w in words if w in _DATES or any(c.isdigit() for c in w)))
    return exact, tuple(sorted(w for w in words if w in _POLARITY)), len(_NOT.findall(text))


def signature(cube: MemCube) -> int:
    """Return a 64-bit number that is equal for memories that may be duplicates of each other: of the same owner and
    policy, role, speaker and trust, with the same labels, numbers, dates and negations."""
    said = (cube.scope.tenant, cube.scope.user, cube.scope.agent, cube.role, cube.substrate)
    who = (cube.provenance.actor, cube.provenance.trust, sorted(cube.annotations.tags), repr(cube.policy))
    digest = hashlib.blake2b(repr((said, who, guard(cube.text))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def may_leave(cube: MemCube) -> bool:
    """Return whether a memory may leave the search as a repetition: neither frozen, pinned, nor with links of its own
    or a time of validity that its like need not share."""
    life, time = cube.lifecycle, cube.time
    return (
        life.state in (State.GENERATED, State.ACTIVATED)
        and life.importance < 1.0
        and (not cube.links or _only_noted(cube))
        and time.valid_to is None
        and life.expires_at is None
    )


def _only_noted(cube: MemCube) -> bool:
    """Return whether all links of a memory are those to what it was like when it came (setting ``novelty``)."""
    return "novelty" in cube.annotations.data and all(link.kind is LinkKind.SIMILAR for link in cube.links)


# --- the same words


def same_words(outline: Outline, fresh: Rows | None = None, *, answers: bool = False) -> Iterator[Rows]:
    """Yield groups of rows with equal index terms and speaker, at least three each: candidates, to be looked at.

    fresh    only groups with one of these rows; None: all
    answers  whether what follows a question in its session counts too; it may mean something else each time
    Texts of fewer than four words that count are left out.
    """
    reply = np.zeros(len(outline.rows), dtype=bool) if answers else after_a_question(outline)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for place, (data, actor) in enumerate(zip(outline.terms, outline.actors, strict=True)):
        words = _word_terms(data)
        if len(words) < MIN_WORDS or reply[place]:
            continue
        scope = outline.names[int(outline.scopes[place])]
        key = repr((actor, scope.agent)).encode() + words.tobytes()
        groups[hashlib.blake2b(key, digest_size=16).digest()].append(place)
    for places in groups.values():
        rows = outline.rows[places]
        if len(places) >= 3 and (fresh is None or bool(np.isin(rows, fresh).any())):
            yield rows


def after_a_question(outline: Outline) -> NDArray[np.bool_]:
    """Return which rows follow, in their session, on one that asks something: (n,) bool."""
    terms = (np.frombuffer(data, dtype="<u4") for data in outline.terms)
    asks = np.array([bool((own == Mark.QUESTION).any()) for own in terms], dtype=bool)
    order = np.lexsort((outline.order[:, 1], outline.order[:, 0], outline.created, outline.scopes))
    together = outline.scopes[order][1:] == outline.scopes[order][:-1]
    in_session = np.array([outline.names[int(n)].session is not None for n in outline.scopes[order]], dtype=bool)
    out = np.zeros(len(outline.rows), dtype=bool)
    if len(order):
        out[order[1:]] = asks[order[:-1]] & together & in_session[1:]
    return out


def _word_terms(data: bytes) -> NDArray[np.uint32]:
    terms = np.frombuffer(data, dtype="<u4")
    return np.asarray(terms[terms >= FIRST_WORD_TERM])


def repeats(cubes: Sequence[MemCube]) -> list[Repeat]:
    """Return which of these say, word for word, what one before them and one after them says."""
    alike: dict[tuple[object, ...], list[MemCube]] = defaultdict(list)
    for cube in cubes:
        if isinstance(cube.content, str):
            words = tuple(_WORD.findall(cube.text.casefold()))
            alike[signature(cube), words, cube.text.count("?"), len(_NOT.findall(cube.text))].append(cube)
    found = []
    for group in alike.values():
        first, *later = sorted(group, key=_said_when)
        found += [Repeat(cube.id, first.id) for cube in later[:-1] if may_leave(cube)]
    return found


def _said_when(cube: MemCube) -> tuple[datetime, CubeId]:
    return cube.time.created_at or _NEVER, cube.id


# --- nearly the same


def near_pairs(
    signatures: NDArray[np.uint64],
    fresh: NDArray[np.bool_],
    gather: Callable[[NDArray[np.intp]], Vectors],
    *,
    threshold: float = NEAR,
    pause: Callable[[], object] = lambda: None,
) -> Iterator[tuple[int, int, float]]:
    """Yield (i, j, cosine), i < j, for all pairs of equal signature with a cosine of at least ``threshold`` of which
    one is fresh: exactly, in blocks, so that memory does not grow with the number of pairs compared.

    gather  the unit vectors at these places: (k, dim) float32
    pause   called between blocks
    """
    order = np.argsort(signatures, kind="stable")
    cuts = np.flatnonzero(np.diff(signatures[order])) + 1
    for group in np.split(order, cuts):
        group = np.sort(group)
        new, known = group[fresh[group]], group
        if len(group) < 2 or not len(new):
            continue
        for start in range(0, len(new), _BLOCK):
            rows = new[start : start + _BLOCK]
            vectors = gather(rows)
            for other in range(0, len(known), _BLOCK):
                columns = known[other : other + _BLOCK]
                cosines = vectors @ gather(columns).T
                for a, b in np.argwhere(cosines >= threshold).tolist():
                    i, j = int(rows[a]), int(columns[b])
                    if i != j and not (fresh[j] and j < i):  # of two fresh ones, once
                        yield min(i, j), max(i, j), float(cosines[a, b])
                pause()


def covered(
    cubes: Sequence[MemCube], pairs: Iterable[tuple[int, int, float]], words: Callable[[str], Collection[str]]
) -> list[Repeat]:
    """Return which memories say nothing beyond one that was said before them and one that was said after them.

    pairs  places of near ones and their cosine
    words  the words of a text that count: all of a memory's must be in each of the two
    """
    near: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for i, j, cosine in pairs:
        near[i].append((j, cosine))
        near[j].append((i, cosine))
    content = {place: frozenset(words(cubes[place].text)) for place in near}
    found = []
    for place, others in near.items():
        cube = cubes[place]
        covers = [
            (_said_when(cubes[other]), other, cosine)
            for other, cosine in others
            if content[place] <= content[other] and signature(cubes[other]) == signature(cube)
        ]
        now = _said_when(cube)
        before, after = [c for c in covers if c[0] < now], [c for c in covers if c[0] > now]
        if before and after and content[place] and may_leave(cube):
            _, first, cosine = min(before)
            found.append(Repeat(cube.id, cubes[first].id, cosine))
    return found
