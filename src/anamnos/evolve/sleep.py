"""Sleep: the work that keeps a memory in shape while nobody waits for it, in small pieces that may end at any time.

Each step is a generator: it reads a little, asks a pure function of ``consolidate/`` or ``forget/`` what to propose,
writes that in one small transaction, and yields. What a step has seen is noted in the store once it is through, by the
number of the last change, so that the next run looks at what is new. A kill between two pieces loses at most that
note: what was written is recognised (by keys, states, links) and not done again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from anamnos.cube import CubeId, Link, LinkKind, MemCube, Role, Scope, State, Times
from anamnos.errors import Busy, InvalidInput
from anamnos.evolve.consolidate.archive import fading
from anamnos.evolve.consolidate.base import Fading, Reflection, Repeat, Topic, left_search
from anamnos.evolve.consolidate.clusters import Clusters
from anamnos.evolve.consolidate.near_duplicates import covered, near_pairs, repeats, same_words, signature
from anamnos.evolve.consolidate.reflections import SlotFact, reflections, slot_fact
from anamnos.evolve.consolidate.strengthen import strengthened
from anamnos.evolve.consolidate.topics import centre, parents, topics
from anamnos.evolve.forget.base import Decay
from anamnos.evolve.sleeper import BATCH, PAGE, Draft, News, Sleeper, note_of
from anamnos.store.base import Rows, Store
from anamnos.types import SEARCHED_STATES, And, Comparison, Field, Where

STEPS = ("duplicates", "topics", "reflections", "replay", "archive")
MIN_POOL = 20
_TOPIC, _REFLECTION = "topic", "reflection"
_CORRECTED = "update/1"  # the operator of what somebody wrote by hand over it


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step came to.

    changed   how many memories it added, archived, merged …, by what it did
    finished  whether it is through with what there was
    """

    name: str
    changed: Mapping[str, int]
    seconds: float = field(repr=False, compare=False)
    finished: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. ``finished``: whether nothing is left for a run that follows at once."""

    steps: tuple[StepReport, ...]
    finished: bool
    seconds: float = field(repr=False, compare=False)

    def count(self, what: str) -> int:
        """Return how often something was done, such as ``archived``, in all steps."""
        return sum(step.changed.get(what, 0) for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        return {
            "finished": self.finished,
            "seconds": round(self.seconds, 3),
            "steps": [
                {"name": s.name, "finished": s.finished, "seconds": round(s.seconds, 3), "changed": dict(s.changed)}
                for s in self.steps
            ],
        }


def together(reports: Sequence[Report]) -> Report:
    """Return the sums of several runs, step by step; finished if each of them is."""
    parts: dict[str, list[StepReport]] = {}
    for step in (step for report in reports for step in report.steps):
        parts.setdefault(step.name, []).append(step)
    steps = [
        StepReport(
            name,
            dict(sum((Counter(step.changed) for step in same), Counter())),
            sum(step.seconds for step in same),
            all(step.finished for step in same),
        )
        for name, same in parts.items()
    ]
    return Report(tuple(steps), all(run.finished for run in reports), sum(run.seconds for run in reports))


class Sleep(Sleeper):
    """A run: the steps."""

    def run(self, steps: Sequence[str] = STEPS) -> Report:
        """Return what was done. Raises: InvalidInput for an unknown step or a budget that is not > 0."""
        check_run(steps, self.budget_s)
        start, self._woke = time.monotonic(), time.thread_time()
        work = {
            "duplicates": self._duplicates,
            "topics": self._topics,
            "reflections": self._reflections,
            "replay": self._replay,
            "archive": self._archive,
        }
        done: list[StepReport] = []
        for number, name in enumerate(steps):
            began, self._changed, finished, share = time.monotonic(), Counter(), True, 0.0
            if self._late(start):
                break
            for reached in work[name]():
                share = max(share, min(reached, 1.0))
                if self.progress:
                    self.progress(round(1000 * (number + share)), 1000 * len(steps))
                self._rest()
                if self._late(start):
                    finished = False
                    break
            done.append(StepReport(name, dict(self._changed), time.monotonic() - began, finished))
            if not finished:
                break
        through = len(done) == len(steps) and all(step.finished for step in done)
        if self.progress and through:
            self.progress(1000 * len(steps), 1000 * len(steps))
        return Report(tuple(done), through, time.monotonic() - start)

    # --- steps

    def _duplicates(self) -> Iterator[float]:
        """Take out of the search what says again what an earlier and a later one say; bring back what has lost them."""
        news = self._news("duplicates")
        for derived, state in ((False, State.ARCHIVED), (True, State.MERGED)):
            outline = self._outline(derived)
            yield 0.1
            if not news.touches(outline):
                continue
            groups = list(same_words(outline, news.rows, answers=derived))
            yield 0.2
            yield from self._leave(self._repeated(groups), state, "repeat", sum(map(len, groups)))
        if news.touches(outline):  # of what was derived
            yield from self._near_facts(news)
        if news.erased:
            yield from self._orphans()
        self._mark("duplicates", news)

    def _repeated(self, groups: Iterable[Rows]) -> Iterator[list[tuple[MemCube, Repeat]]]:
        for rows in groups:
            cubes = {cube.id: cube for cube in self._at(rows) if "kind" not in note_of(cube)}  # not what sleep has made
            yield [(cubes[repeat.id], repeat) for repeat in repeats(list(cubes.values()))]

    def _near_facts(self, news: News) -> Iterator[float]:
        numbers: list[Rows] = []
        signatures: list[int] = []
        for page in self._pages(Where(Field.ROLE, Comparison.EQ, Role.FACT)):
            numbers.append(self.store.rows_of((cube.id, cube.version) for cube in page))
            signatures += map(signature, page)
            yield 0.5
        if not numbers:
            return
        rows = np.concatenate(numbers)
        fresh = np.ones(len(rows), dtype=bool) if news.rows is None else np.isin(rows, news.rows)

        def gather(places: NDArray[np.intp]) -> NDArray[np.float32]:
            return self.store.vectors(rows[places], self.info)

        pairs = list(near_pairs(np.array(signatures, dtype=np.uint64), fresh, gather, pause=self._rest))
        yield 0.8
        named = sorted({place for i, j, _ in pairs for place in (i, j)})
        there = [(place, cube) for place in named for cube in self.store.at([int(rows[place])])]  # some may be gone
        own = {place: number for number, (place, _) in enumerate(there)}
        kept = ((own[i], own[j], cosine) for i, j, cosine in pairs if i in own and j in own)
        found = covered([cube for _, cube in there], kept, self.reader.words)
        cubes = {cube.id: cube for _, cube in there}
        yield from self._leave([[(cubes[repeat.id], repeat) for repeat in found]], State.MERGED, "near", len(found))

    def _leave(
        self, found: Iterable[Sequence[tuple[MemCube, Repeat]]], state: State, reason: str, total: int
    ) -> Iterator[float]:
        pairs: list[tuple[MemCube, MemCube]] = []
        left = 0
        for batch in found:
            pairs += [(cube, left_search(cube, state, {"reason": reason}, repeat)) for cube, repeat in batch]
            while len(pairs) >= BATCH:
                self._move(pairs[:BATCH], str(state))
                pairs = pairs[BATCH:]
                left += BATCH
                yield 0.2 + 0.6 * left / total
            self._rest()
        self._move(pairs, str(state))

    def _orphans(self) -> Iterator[float]:
        """Bring back repetitions whose survivor was erased: they are the only ones to say it now."""
        gone = Where(Field.STATE, Comparison.IN, (State.ARCHIVED, State.MERGED))
        for page in self._pages(gone):
            orphans = [
                (cube, cube.next_version(lifecycle=replace(cube.lifecycle, state=State.ACTIVATED)))
                for cube in page
                if note_of(cube).get("reason") in ("repeat", "near")
                and not any(link.kind is LinkKind.SIMILAR for link in cube.links)
            ]
            self._move(orphans, "brought back")
            yield 0.9

    def _topics(self) -> Iterator[float]:
        """Put what was said and belongs to no topic yet under topics, window by window."""
        news, state = self._news("topics"), self._state("topics")
        outline = self._outline(derived=False)
        if not news.touches(outline):
            self._mark("topics", news, after=state.get("after"))
            return
        after = "" if news.erased else state.get("after") or ""
        yield 0.1
        ids = np.array([_hex(high, low) for high, low in outline.order.tolist()], dtype="U32")
        free = ids > after
        free &= ~np.isin(ids, np.array(sorted(self._organised()), dtype="U32"))
        places = np.flatnonzero(free)
        places = places[np.argsort(ids[places], kind="stable")]
        yield 0.2
        for start in range(0, len(places), self.window):
            pool = places[start : start + self.window]
            if len(pool) < MIN_POOL:
                break
            for cubes in self._alike(self._at(outline.rows[pool])):
                yield from self._window(cubes, 0.2 + 0.8 * start / len(places))
            if len(pool) == self.window:  # what found no topic here is not tried again
                after = str(ids[pool[-1]])
                self._mark("topics", None, after=after)
        self._mark("topics", news, after=after)

    def _window(self, cubes: Sequence[MemCube], share: float) -> Iterator[float]:
        if len(cubes) < MIN_POOL:
            return
        rows = self.store.rows_of((cube.id, cube.version) for cube in cubes)
        vectors = self.store.vectors(rows, self.info)
        self._rest()
        groups = self.clusters.groups(vectors, self._rest)
        yield share
        found = topics(cubes, vectors, groups, self._spans)
        yield share
        centres = np.stack([centre(vectors[group]) for group in groups]) if groups else vectors[:0]
        families = parents(found, centres, _wider(self.clusters).groups(centres, self._rest))
        own = {part for family in families for part in family.parts}
        alone = [place for place in range(len(found)) if place not in own]
        by_id = {cube.id: cube for cube in cubes}
        for family in families:
            self._save_topics([found[part] for part in family.parts], family, by_id)
            yield share
        for start in range(0, len(alone), BATCH):
            self._save_topics([found[place] for place in alone[start : start + BATCH]], None, by_id)
            yield share

    def _save_topics(self, parts: Sequence[Topic], family: Topic | None, members: Mapping[CubeId, MemCube]) -> None:
        first = members[parts[0].members[0]]
        keys = [self._key(_TOPIC, *sorted(part.members)) for part in parts]
        top_key = self._key("topics", *[key.hex() for key in keys])
        known = self.store.find([*keys, top_key])
        if family is not None and top_key in known:
            return
        now = self.clock()
        top_id = self.new_id(now)
        links = () if family is None else (Link(LinkKind.PART_OF, top_id),)
        drafts = []
        for key, part in zip(keys, parts, strict=True):
            said = [members[cube_id].time.created_at for cube_id in part.members]
            latest = max((time for time in said if time is not None), default=None)
            drafts.append(Draft(key, self._topic(self.new_id(now), part, first, part.members, 1, latest, links)))
        if family is not None:
            ids = tuple(draft.cube.id for draft in drafts)
            drafts.append(Draft(top_key, self._topic(top_id, family, first, ids, 2, None, ())))
        sources = [members[cube_id] for part in parts for cube_id in part.members]
        if not any(key in known for key in keys) and self._save(drafts, (), sources):
            self._changed["topics"] += len(drafts)

    def _topic(
        self,
        cube_id: CubeId,
        topic: Topic,
        like: MemCube,
        sources: tuple[CubeId, ...],
        level: int,
        said: datetime | None,
        links: tuple[Link, ...],
    ) -> MemCube:
        worded = self.worder.word(topic.wording)
        note = {"kind": _TOPIC, "level": level, "title": worded.title}
        cube = self._derived(cube_id, Role.CONCEPT, worded.text, like.policy, like.provenance.trust, sources, note)
        return replace(
            cube,
            scope=self._scope_of(like),
            time=Times(created_at=said),
            annotations=replace(cube.annotations, keywords=topic.phrases),
            links=links,
        )

    def _reflections(self) -> Iterator[float]:
        """Say what the facts of each slot come to; in new versions where facts were added, no more where too few are
        left."""
        news = self._news("reflections")
        if not news.touches(self._outline(derived=True)):
            self._mark("reflections", news)
            return
        alive = Where(Field.STATE, Comparison.IN, (*SEARCHED_STATES, State.MERGED))
        by_kind: dict[tuple[Any, ...], list[SlotFact]] = defaultdict(list)
        like: dict[tuple[Any, ...], MemCube] = {}
        for page in self._pages(And((Where(Field.ROLE, Comparison.EQ, Role.FACT), alive))):
            for cube in page:
                if (fact := slot_fact(cube)) is not None:
                    kind = self._kind(cube)
                    like.setdefault(kind, cube)
                    by_kind[kind].append(fact)
            yield 0.3
        known = {note_of(cube).get("slot"): cube for cube in self._every(Role.REFLECTION)}
        for kind, facts in by_kind.items():
            found = reflections(facts)
            yield 0.5
            for number, reflection in enumerate(found):
                key = self._key(_REFLECTION, *reflection.slot, *map(str, kind))
                self._save_reflection(key, reflection, like[kind], known.pop(key.hex(), None))
                yield 0.5 + 0.4 * number / len(found)
        note = {"kind": _REFLECTION, "reason": "too few facts"}
        stale = [cube for cube in known.values() if _changeable(cube)]
        self._move([(cube, left_search(cube, State.ARCHIVED, note)) for cube in stale], "archived")
        self._mark("reflections", news)

    def _save_reflection(self, key: bytes, reflection: Reflection, like: MemCube, before: MemCube | None) -> None:
        if before is not None and (before.provenance.derived_from == reflection.sources or not _changeable(before)):
            return
        worded = self.worder.word(reflection.wording)
        cube_id = self.new_id(self.clock()) if before is None else before.id
        note = {"kind": _REFLECTION, "slot": key.hex()}
        cube = self._derived(
            cube_id, Role.REFLECTION, worded.text, like.policy, like.provenance.trust, reflection.sources, note
        )
        cube = replace(cube, scope=self._scope_of(like))
        sources = [found for cube_id in reflection.sources if (found := self.store.get(cube_id)) is not None]
        if len(sources) < len(reflection.sources):
            return  # one was erased in this moment
        pairs: list[tuple[MemCube, MemCube]] = []
        if before is not None:
            cube = before.next_version(
                content=cube.content, provenance=cube.provenance, annotations=cube.annotations, policy=cube.policy
            )
            pairs = [(before, cube)]
        if self._save([Draft(key, cube)], pairs, sources):
            self._changed["reflections"] += 1

    def _replay(self) -> Iterator[float]:
        """Let what was used last longer."""
        for page in self._pages(self._that_fade(State.ACTIVATED)):
            pairs = [(cube, new) for cube in page if (new := strengthened(cube, self.decay)) is not None]
            self._move(pairs, "strengthened")
            yield 0.5

    def _archive(self) -> Iterator[float]:
        """Archive what is hardly remembered any more."""
        now = self.clock()
        states = (State.GENERATED, State.ACTIVATED, State.MERGED, State.ARCHIVED)
        settled = Where(Field.RECORDED_AT, Comparison.LT, now - timedelta(days=1))
        after = self._state("archive").get("after")
        for page in self._pages(And((self._that_fade(*states), settled)), after=after):
            faded = [fading(cube, self.decay, now, turns=self.turns) for cube in page]
            note = {"reason": "faded", "decay": self.decay.name}
            gone = [(f.cube, left_search(f.cube, State.ARCHIVED, note)) for f in faded if f.becomes is State.ARCHIVED]
            self._move(gone, "archived")
            if candidates := sum(each.becomes is State.EXPIRED for each in faded):
                self._changed["expiry candidates"] += candidates
            self._mark("archive", None, after=page[-1].id)
            yield 0.5
        self._mark("archive", None)

    def _late(self, start: float) -> bool:
        """Return whether the time is over; never before something was written down that the next run goes on from."""
        return self._got_on and self.budget_s is not None and time.monotonic() - start >= self.budget_s


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let nobody else consolidate the vault in ``folder`` meanwhile. Raises: Busy if somebody does."""
    lock = FileLock(folder / "consolidate.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as exc:
        raise Busy("Another consolidation of this vault is going on.", hint="Try again when it is through.") from exc
    try:
        yield
    finally:
        lock.release()


def check_run(steps: Sequence[str], budget_s: float | None) -> None:
    """Raise InvalidInput for an unknown step, or a budget that is not > 0."""
    if unknown := [name for name in steps if name not in STEPS]:
        raise InvalidInput(f"There is no step {unknown[0]!r} of consolidation.", hint=f"Use: {', '.join(STEPS)}.")
    if budget_s is not None and not budget_s > 0:
        raise InvalidInput(f"budget_s must be > 0 seconds or None, got {budget_s!r}.")


def fadings(store: Store, scope: Scope, decay: Decay, now: datetime, *, turns: bool = False) -> Iterator[Fading]:
    """Yield how much of each memory of a scope is left, whatever its state, in the order of their ids."""
    after = None
    while page := store.list(scope, Where(Field.STATE, Comparison.IN, tuple(State)), after=after, limit=PAGE):
        yield from (fading(cube, decay, now, turns=turns) for cube in page)
        after = page[-1].id


def _changeable(cube: MemCube) -> bool:
    """Return whether sleep may change what it has made: neither corrected by hand, nor frozen or out of the search."""
    alive = cube.lifecycle.state in (State.GENERATED, State.ACTIVATED)
    return alive and cube.provenance.operator != _CORRECTED


def _wider(clusters: Clusters) -> Clusters:
    """Return the settings for topics of topics, which lie further apart than what they are made of."""
    return replace(clusters, distance=min(clusters.distance + 0.2, 1.0))


def _hex(high: int, low: int) -> str:
    return f"{high:016x}{low:016x}"
