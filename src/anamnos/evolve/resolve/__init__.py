"""Resolve: new facts against known ones, in two passes over those that were written since the last time.

First the slot rule, which is sure: it puts whole slots in order. Then a resolver, by rules or a language model, judges
what the slots leave open against the facts that are most alike. Both only say what should be; ``write`` does it.
"""

from __future__ import annotations

import hashlib
import json
from collections import ChainMap
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np

from anamnos.cube import CubeId, MemCube, Role, Scope, State
from anamnos.errors import ConfigError
from anamnos.evolve.resolve.base import Candidate, Decision, Kind, Resolver
from anamnos.evolve.resolve.changes import by_slots, decided, merged_with, next_versions, revived
from anamnos.evolve.resolve.claims import claims_of, learned_at, since
from anamnos.evolve.resolve.known import Known
from anamnos.evolve.resolve.rules import RuleResolver
from anamnos.index.base import VectorIndex
from anamnos.llm.base import LanguageModel
from anamnos.store.base import Store
from anamnos.types import SEARCHED_STATES, TRUSTED, And, Comparison, Field, Receipt, Where

__all__ = ["RESOLVERS", "Candidate", "Decision", "Kind", "Resolver", "resolve_resolver", "run"]

RESOLVERS = ("rules", "llm")
NEAREST = 20  # facts that are looked at for each new one
LEAST_COSINE = 0.3  # below it nothing can be alike
_FACT = Where(Field.ROLE, Comparison.EQ, Role.FACT)
_ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))

Write = Callable[[Sequence[MemCube]], Receipt]
"""Writes next versions in one transaction."""


def resolve_resolver(name: str, llm: LanguageModel | None) -> Resolver:
    """Return the resolver of this name.

    Raises: ConfigError for another name, or if the language model that it needs is not set.
    """
    if name == "rules":
        return RuleResolver()
    if name != "llm":
        raise ConfigError(f"There is no resolver {name!r}.", hint=f"Use: {', '.join(RESOLVERS)}.")
    if llm is None:
        raise ConfigError(
            "The resolver llm needs a language model.",
            hint="Set ANAMNOS_LLM_URL and ANAMNOS_LLM_MODEL, or use the resolver rules.",
        )
    from anamnos.evolve.resolve.llm import LlmResolver

    return LlmResolver(llm, RuleResolver())


def run(
    store: Store,
    index: VectorIndex,
    known: Known,
    scope: Scope,
    resolver: Resolver,
    write: Write,
    *,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Receipt:
    """Resolve the facts of a scope that were written since this resolver last went over it.

    known  the facts of the scope, by what they claim
    Beside the new ones, only those are read that they share a relation or a link with, or are most like, unless
    something was erased since. A stop in the middle leaves whole transactions, and the next run comes to the same end.
    """
    start = store.sequence()
    mark = _mark(scope, resolver.operator)
    seen = store.setting(mark)
    if seen == str(start):
        return Receipt((), (), start)
    rows, something_went = (None, False) if seen is None else _written_since(store, int(seen))
    done: list[Receipt] = []

    def written(cubes: Sequence[MemCube]) -> None:
        for at in range(0, len(cubes), batch_size):
            done.append(write(cubes[at : at + batch_size]))
        facts.update((cube.id, cube) for cube in cubes)

    if rows is None or something_went:
        facts = {cube.id: cube for cube in _pages(store, scope)}
        new = [cube for cube in facts.values() if rows is None or cube.id in rows]
    else:
        new = [cube for i in rows if (cube := store.get(i)) and cube.role is Role.FACT and scope.covers(cube.scope)]
        known.catch_up()
        facts = known.around(new)
    if something_went:
        written([revived(cube) for cube in facts.values() if (into := merged_with(cube)) and into not in facts])
    written(by_slots(facts.values()))
    open_ = sorted((facts[c.id] for c in new if facts[c.id].lifecycle.state in SEARCHED_STATES), key=_order)
    if open_:
        written(_judged(open_, facts, resolver, Neighbours(store, index, scope), progress))
    ids = tuple(i for receipt in done for i in receipt.ids)
    outcomes = tuple(o for receipt in done for o in receipt.outcomes)
    changes = store.changes(start, limit=10 * len(ids) + 100)
    only_ours = all(change.cube_id in set(ids) for change in changes)
    store.set_setting(mark, str(changes[-1].seq if changes and only_ours else start))
    return Receipt(ids, outcomes, store.sequence())


class Neighbours:
    """Which facts of a scope are most alike."""

    def __init__(self, store: Store, index: VectorIndex, scope: Scope) -> None:
        index.catch_up()
        self._store, self._index = store, index
        self._rows = store.select(scope, _FACT)

    def of(self, cube: MemCube) -> list[tuple[MemCube, float]]:
        """Return the facts nearest to one of them, and their cosines; itself is not among them."""
        own = self._store.rows_of([(cube.id, cube.version)])
        rows, cosines = self._index.search(self._index.gather(own)[0], NEAREST + 1, self._rows)
        nearest = np.flatnonzero((rows != own[0]) & (cosines >= LEAST_COSINE))[:NEAREST]
        found = self._store.at(rows[nearest].tolist())
        return list(zip(found, cosines[nearest].tolist(), strict=True))


def _judged(
    new: Sequence[MemCube],
    facts: dict[CubeId, MemCube],
    resolver: Resolver,
    neighbours: Neighbours,
    progress: Callable[[int, int], None] | None,
) -> list[MemCube]:
    """Return the next versions that the resolver's decisions about ``new`` come to, each judged against what is older.

    Facts of one turn do not change each other, what is not trusted changes nothing that is, and about facts of one slot
    the slot rule has spoken.
    """
    relations = cache(lambda cube_id: {(c.slot.subject, c.slot.relation) for c in claims_of(facts[cube_id])})
    waiting = {cube.id for cube in new}
    changed: dict[CubeId, MemCube] = {}
    for number, cube in enumerate(new, start=1):
        waiting.discard(cube.id)
        current = changed.get(cube.id, cube)
        if current.lifecycle.state in SEARCHED_STATES:
            near = [(facts.setdefault(other.id, other), cosine) for other, cosine in neighbours.of(cube)]
            candidates = [
                Candidate(other, cosine)
                for other, cosine in ((changed.get(found.id, found), cosine) for found, cosine in near)
                if other.id not in waiting
                and other.lifecycle.state in SEARCHED_STATES
                and not set(other.provenance.derived_from) & set(cube.provenance.derived_from)
                and not relations(other.id) & relations(cube.id)
                and (cube.provenance.trust >= TRUSTED or other.provenance.trust < TRUSTED)
            ]
            held = ChainMap(changed, facts)
            for result in decided(current, resolver.decide(current, candidates), held, resolver.operator):
                changed[result.id] = result
        if progress:
            progress(number, len(new))
    return next_versions(cube for cube in changed.values() if cube != facts[cube.id])


def _written_since(store: Store, seen: int) -> tuple[dict[CubeId, None], bool]:
    """Return the ids of what was written since a change and is there, in order, and whether anything was erased."""
    written: dict[CubeId, None] = {}
    erased = False
    while changes := store.changes(seen):
        seen = changes[-1].seq
        erased = erased or any(change.kind == "erased" for change in changes)
        written |= dict.fromkeys(change.cube_id for change in changes if change.kind == "written")
    return written, erased


def _mark(scope: Scope, operator: str) -> str:
    """Return the store's setting that holds the last change that a resolver has seen in a scope; it names nobody."""
    named = json.dumps([scope.tenant, scope.user, scope.agent, scope.session], ensure_ascii=False)
    return f"resolved:{operator}:{hashlib.blake2b(named.encode(), digest_size=16).hexdigest()}"


def _pages(store: Store, scope: Scope) -> Iterable[MemCube]:
    after = None
    while page := store.list(scope, And((_FACT, _ANY_STATE)), after=after, limit=1_000):
        yield from page
        after = page[-1].id


def _order(cube: MemCube) -> tuple[object, ...]:
    return since(cube), learned_at(cube), cube.id
