"""The space index and BM25, against slow and obvious twins of them."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.cube import Lifecycle, MemCube, Provenance, Scope, State, Times
from anamnos.index.keyword import Bm25, Grain
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import FIRST_WORD_TERM, Mark, TermReader
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo, Rows
from anamnos.testing import FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import Derived, Op, OpKind, Vector

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
EMBEDDER = FakeEmbedder()
INFO = EmbedderInfo(EMBEDDER.id, EMBEDDER.dim)
READER = TermReader()
ANN = Scope(user="ann")
WORDS = ["pear", "apple", "boat", "river", "winter", "rain", "bread"]


class StoreVectors:
    """A vector index that has no copy: it reads the store."""

    def __init__(self, store: ReferenceStore) -> None:
        self.store = store

    def catch_up(self) -> int:
        return self.store.sequence()

    def gather(self, rows: Rows) -> Any:
        return self.store.vectors(rows, INFO)

    def similarities(self, query: Vector, rows: Rows) -> Any:
        return self.gather(rows) @ query


class World:
    """A store and ways to change it."""

    def __init__(self) -> None:
        self.store = ReferenceStore().open()
        self.store.use_embedder(INFO)
        self.new_id = seeded_ids(3)
        self.ids: list[str] = []

    def derived(self, text: str) -> Derived:
        return Derived(READER.terms(text), EMBEDDER.embed([text])[0])

    def add(
        self, text: str, scope: Scope = ANN, minute: int | None = None, actor: str | None = None, **more: Any
    ) -> str:
        created = None if minute is None else NOW + timedelta(minutes=minute)
        cube = MemCube(
            id=self.new_id(NOW),
            content=text,
            scope=scope,
            time=Times(created_at=created),
            provenance=Provenance(actor=actor),
            **more,
        )
        self.do(Op(OpKind.ADD, cube=cube, derived=self.derived(text)))
        self.ids.append(cube.id)
        return cube.id

    def update(self, cube_id: str, text: str, **changes: Any) -> None:
        new = self.store.get(cube_id).next_version(content=text, **changes)  # type: ignore[arg-type, union-attr]
        self.do(Op(OpKind.UPDATE, target=new.id, cube=new, derived=self.derived(text)))

    def delete(self, cube_id: str) -> None:
        self.do(Op(OpKind.DELETE, target=cube_id))  # type: ignore[arg-type]
        self.ids.remove(cube_id)

    def do(self, op: Op) -> None:
        with self.store.write() as tx:
            apply(op, tx, now=NOW)


# --- the slow twins


@dataclass(frozen=True)
class Turn:
    """A memory as the slow twins see it. ``terms`` in order; ``session`` None is a session of its own."""

    id: str
    scope: Scope
    created: float
    terms: tuple[int, ...]
    vector: Any


def turns_of(world: World, scope: Scope) -> list[Turn]:
    cubes = world.store.list(scope)
    return [
        Turn(
            cube.id,
            cube.scope,
            cube.time.created_at.timestamp() if cube.time.created_at else -math.inf,
            tuple(term for term in READER.terms(cube.text).tolist() if term >= FIRST_WORD_TERM),
            EMBEDDER.embed([cube.text])[0],
        )
        for cube in cubes
    ]


def sessions_of(turns: list[Turn]) -> list[list[Turn]]:
    """Return the turns by session, each in order of time; a turn without a session stands alone."""
    alone = [[turn] for turn in turns if turn.scope.session is None]
    named: dict[Scope, list[Turn]] = {}
    for turn in sorted(turns, key=lambda turn: (turn.created, turn.id)):
        if turn.scope.session is not None:
            named.setdefault(turn.scope, []).append(turn)
    return [*alone, *named.values()]


def neighbours(sessions: list[list[Turn]]) -> dict[str, list[Turn]]:
    return {
        turn.id: [session[j] for j in (i - 1, i + 1) if 0 <= j < len(session)]
        for session in sessions
        for i, turn in enumerate(session)
    }


def bm25(documents: dict[str, list[int]], query: list[int], k1: float, b: float) -> dict[str, float]:
    """Return the score of each document, straight from the formula."""
    count = len(documents)
    mean = sum(len(d) for d in documents.values()) / count
    scores = {}
    for name, document in documents.items():
        have, score = Counter(document), 0.0
        for term in query:
            df = sum(term in other for other in documents.values())
            idf = math.log(1 + (count - df + 0.5) / (df + 0.5))
            tf = have[term]
            score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(document) / mean)) if tf else 0.0
        scores[name] = score
    return scores


def spread(sessions: list[list[Turn]], query: list[int], k1: float, b: float) -> dict[str, float]:
    """Return BM25 over turns that hear the words of up to four turns before (0.6 each step) and after (0.4)."""
    turns = [turn for session in sessions for turn in session]
    heard: dict[str, Counter[int]] = {}
    for session in sessions:
        for i, turn in enumerate(session):
            heard[turn.id] = counts = Counter[int]()
            for j, other in enumerate(session):
                if abs(i - j) <= 4:
                    for term in other.terms:
                        counts[term] += 0.6 ** (i - j) if j <= i else 0.4 ** (j - i)  # type: ignore[assignment]
    length = {name: sum(counts.values()) for name, counts in heard.items()}
    mean = sum(length.values()) / len(turns)
    scores = dict.fromkeys(heard, 0.0)
    for term in query:
        df = sum(term in turn.terms for turn in turns)
        idf = math.log(1 + (len(turns) - df + 0.5) / (df + 0.5))
        for name, counts in heard.items():
            if tf := counts[term]:
                scores[name] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length[name] / mean))
    return scores


def slow_scores(turns: list[Turn], query: list[int], k1: float = 0.9, b: float = 0.4) -> dict[str, dict[str, float]]:
    sessions = sessions_of(turns)
    near = neighbours(sessions)
    by_turn = {turn.id: list(turn.terms) for turn in turns}
    by_window = {turn.id: [*turn.terms, *(t for other in near[turn.id] for t in other.terms)] for turn in turns}
    by_session = {str(i): [t for turn in session for t in turn.terms] for i, session in enumerate(sessions)}
    of_session = bm25(by_session, query, k1, b)
    return {
        "turn": bm25(by_turn, query, k1, b),
        "window": bm25(by_window, query, k1, b),
        "spread": spread(sessions, query, k1, b),
        "session": {turn.id: of_session[str(i)] for i, session in enumerate(sessions) for turn in session},
    }


def cube_ids(space: SpaceIndex) -> list[str]:
    return [cube.id for cube in space.store.at(space.rows.tolist())]


def by_row(space: SpaceIndex, values: Any) -> dict[int, Any]:
    """Return a value per living document, by row."""
    return {int(space.rows[doc]): values[doc] for doc in np.flatnonzero(space.alive)}


def all_grains(strategy: Bm25, space: SpaceIndex, terms: dict[int, int], mask: Any) -> dict[str, Any]:
    postings = {term: space.postings(term) for term in terms}
    return {grain: strategy.scores(space, terms, postings, mask, grain) for grain in get_args(Grain)}


def check_bm25(world: World, space: SpaceIndex, scope: Scope, cue: str, strategy: Bm25 | None = None) -> None:
    strategy = strategy or Bm25()
    space.catch_up()
    query = [READER.term(word) for word in READER.words(cue)]
    terms = dict(Counter(query))
    mask = space.in_scope(scope)
    scores = all_grains(strategy, space, terms, mask)
    turns = turns_of(world, scope)
    if not turns:
        assert not any(grain.any() for grain in scores.values())
        return
    want = slow_scores(turns, query, strategy.k1, strategy.b)
    for grain, found in scores.items():
        assert found.dtype == np.float32
        have = {world.store.at([row])[0].id: float(s) for row, s in by_row(space, found).items()}
        for turn in turns:
            assert have[turn.id] == pytest.approx(want[grain][turn.id], rel=1e-4, abs=1e-5), grain
        assert not found[~mask].any(), "outside the scope every score is 0"


def picture(space: SpaceIndex, vectors: StoreVectors) -> dict[str, Any]:
    """Return all that a space knows of its living documents, by row, so that two spaces can be compared."""

    def row(doc: int) -> int:
        return int(space.rows[doc]) if doc >= 0 else -1

    groups: dict[int, list[int]] = {}
    for doc in np.flatnonzero(space.alive):
        groups.setdefault(int(space.group[doc]), []).append(row(doc))
    norms = by_row(space, space.window_norm(vectors, np.arange(len(space))))  # type: ignore[arg-type]
    return {
        "rows": sorted(by_row(space, space.rows)),
        "groups": sorted(groups.values()),
        "before": {r: row(int(d)) for r, d in by_row(space, space.before).items()},
        "after": {r: row(int(d)) for r, d in by_row(space, space.after).items()},
        "length": by_row(space, space.length),
        "actor": {r: space.actors[n] if n >= 0 else None for r, n in by_row(space, space.actor).items()},
        "scope": {r: space.names[int(n)] for r, n in by_row(space, space.scopes).items()},
        "norms": {r: round(float(n), 5) for r, n in norms.items()},
        "postings": {
            word: [
                (row(int(d)), float(c))
                for term in READER.terms(word).tolist()
                for d, c in zip(*space.postings(term), strict=True)
            ]
            for word in WORDS
        },
        "marks": {mark.name: by_row(space, space.mark(mark)) for mark in Mark},
        "created": by_row(space, space.created),
        "participants": sorted(space.participants(ANN)),
    }


# --- BM25


def test_bm25_by_hand() -> None:
    """Two turns of two and one word, one has the cue: idf = ln(1 + 1.5 / 1.5), mean length 1.5."""
    world = World()
    world.add("pear apple", minute=1)
    world.add("boat", minute=2)
    space = SpaceIndex(world.store, ANN)
    (term,) = READER.terms("pear").tolist()
    scores = all_grains(Bm25(k1=1.0, b=0.5), space, {term: 1}, space.in_scope(ANN))
    want = math.log(2) * 2 / (1 + 1.0 * (0.5 + 0.5 * 2 / 1.5))
    assert scores["turn"].tolist() == pytest.approx([want, 0.0])
    assert scores["session"].tolist() == pytest.approx([want, 0.0])
    assert scores["window"].tolist() == pytest.approx([want, 0.0]), "without a session there are no neighbours"


def test_bm25_of_windows_and_sessions_by_hand() -> None:
    world = World()
    monday, tuesday = Scope(user="ann", session="monday"), Scope(user="ann", session="tuesday")
    for minute, (text, scope) in enumerate(
        [("pear", monday), ("boat boat", monday), ("rain", monday), ("pear", tuesday)]
    ):
        world.add(text, scope, minute)
    space = SpaceIndex(world.store, ANN)
    (term,) = READER.terms("pear").tolist()
    scores = all_grains(Bm25(k1=1.0, b=0.0), space, {term: 1}, space.in_scope(ANN))
    turn, window, session = math.log(1 + 2.5 / 2.5), math.log(1 + 1.5 / 3.5), math.log(1 + 0.5 / 2.5)
    assert scores["turn"].tolist() == pytest.approx([turn, 0, 0, turn])
    assert scores["window"].tolist() == pytest.approx([window, window, 0, window])
    assert scores["session"].tolist() == pytest.approx([session] * 4)
    heard = [turn * 2 * f / (f + 1) if f else 0 for f in (1, 0.6, 0.36, 1)]
    assert scores["spread"].tolist() == pytest.approx(heard), "a word is heard after it was said"


def test_bm25_counts_a_repeated_word_of_the_cue_twice() -> None:
    world = World()
    world.add("pear and rain")
    world.add("boat")
    space = SpaceIndex(world.store, ANN)
    for cue in ("pear", "pear pear rain", "boat", "nothing of this", ""):
        check_bm25(world, space, ANN, cue)


SCOPES = [
    ANN,
    Scope(user="ann", session="monday"),
    Scope(user="ann", session="tuesday"),
    Scope(user="ann", agent="tutor", session="monday"),
    Scope(user="bob", session="monday"),
]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
STEPS = st.one_of(
    st.tuples(
        st.just("add"),
        TEXTS,
        st.sampled_from(SCOPES),
        st.none() | st.integers(0, 20),
        st.sampled_from(["Ann", "Bob", None]),
    ),
    st.tuples(st.just("many"), st.integers(60, 80), st.sampled_from(SCOPES)),
    st.tuples(
        st.just("update"),
        st.integers(0, 50),
        TEXTS,
        st.sampled_from([State.ACTIVATED, State.ACTIVATED, State.ARCHIVED]),
    ),
    st.tuples(st.just("delete"), st.integers(0, 50)),
    st.tuples(st.just("look")),
)


def live(world: World, steps: list[Any], look: Callable[[], None]) -> None:
    for step in steps:
        match step:
            case ("add", text, scope, minute, actor):
                world.add(text, scope, minute, actor)
            case ("many", count, scope):
                for n in range(count):
                    world.add(f"{WORDS[n % 7]} {WORDS[n % 3]}", scope, (n * 7) % 30)
            case ("update", which, text, state) if world.ids:
                world.update(world.ids[which % len(world.ids)], text, lifecycle=Lifecycle(state=state))
            case ("delete", which) if world.ids:
                world.delete(world.ids[which % len(world.ids)])
            case ("look",):
                look()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_a_space_that_follows_equals_one_made_anew(steps: list[Any]) -> None:
    world = World()
    vectors = StoreVectors(world.store)
    following = {all_states: SpaceIndex(world.store, ANN, all_states=all_states) for all_states in (False, True)}

    def look() -> None:
        for all_states, space in following.items():
            space.catch_up()
            fresh = SpaceIndex(world.store, ANN, all_states=all_states)
            assert picture(space, vectors) == picture(fresh, vectors)

    live(world, steps, look)
    look()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS.filter(lambda s: s[0] != "many"), max_size=25), st.sampled_from(SCOPES[:4]), TEXTS)
def test_bm25_equals_the_formula_after_any_life(steps: list[Any], scope: Scope, cue: str) -> None:
    world = World()
    space = SpaceIndex(world.store, ANN)
    live(world, steps, lambda: check_bm25(world, space, scope, cue))
    check_bm25(world, space, scope, cue)
    check_bm25(world, space, ANN, cue, Bm25(k1=1.6, b=0.9))


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS.filter(lambda s: s[0] != "many"), max_size=25))
def test_neighbours_and_window_norms_equal_brute_force(steps: list[Any]) -> None:
    world = World()
    vectors = StoreVectors(world.store)
    space = SpaceIndex(world.store, ANN)

    def look() -> None:
        space.catch_up()
        turns = turns_of(world, ANN)
        near = neighbours(sessions_of(turns))
        norms = space.window_norm(vectors, np.arange(len(space)))  # type: ignore[arg-type]
        for turn in turns:
            doc = space.doc_of(turn.id)  # type: ignore[arg-type]
            assert doc is not None
            there = [int(d) for d in (space.before[doc], space.after[doc]) if d >= 0]
            assert [cube.id for cube in world.store.at(space.rows[there].tolist())] == [n.id for n in near[turn.id]]
            total = turn.vector + sum(0.5 * n.vector for n in near[turn.id])
            assert norms[doc] == pytest.approx(max(float(np.linalg.norm(total)), 1e-6), rel=1e-4, abs=1e-5)

    live(world, steps, look)
    look()


def test_turns_that_come_late_are_put_where_they_belong() -> None:
    world = World()
    monday = Scope(user="ann", session="monday")
    first, last = world.add("pear", monday, 1), world.add("boat", monday, 9)
    space = SpaceIndex(world.store, ANN)
    middle = world.add("rain", monday, 5)
    space.catch_up()
    docs = [space.doc_of(i) for i in (first, middle, last)]  # type: ignore[arg-type]
    assert [int(space.after[d]) for d in docs] == [docs[1], docs[2], -1]
    assert [int(space.before[d]) for d in docs] == [-1, docs[0], docs[1]]
    world.delete(middle)
    space.catch_up()
    assert int(space.after[docs[0]]) == docs[2]
    assert space.doc_of(middle) is None  # type: ignore[arg-type]


def test_many_deletes_do_not_pile_up() -> None:
    world = World()
    for n in range(1_200):
        world.add(f"{WORDS[n % 7]} {n}", SCOPES[n % 3], n)
    space = SpaceIndex(world.store, ANN)
    for cube_id in list(world.ids[:900]):
        world.delete(cube_id)
    space.catch_up()
    assert len(space) == 300
    vectors = StoreVectors(world.store)
    assert picture(space, vectors) == picture(SpaceIndex(world.store, ANN), vectors)


def test_other_users_are_not_in_a_space() -> None:
    world = World()
    for scope in SCOPES:
        world.add("pear", scope)
    world.add("pear", Scope(tenant="other", user="ann"))
    world.add("pear", Scope(agent="tutor"))
    for scope in [*SCOPES, Scope(tenant="other", user="ann"), Scope(agent="tutor")]:
        space = SpaceIndex(world.store, scope)
        found = {name for name, alive in zip(space.scopes, space.in_scope(scope), strict=True) if alive}
        assert all(scope.covers(space.names[int(n)]) for n in found)
        covered = [c for c in world.store.export() if scope.covers(c[0].scope)]
        assert int(space.in_scope(scope).sum()) == len(covered)


def test_participants_are_those_of_the_scope_that_is_searched() -> None:
    world = World()
    world.add("pear", SCOPES[1], actor="Bob")
    world.add("boat", SCOPES[2], actor="Eve")
    world.add("rain", SCOPES[2], actor="user")
    space = SpaceIndex(world.store, ANN)
    assert space.participants(SCOPES[1]) == ["Bob"]
    assert space.participants(SCOPES[2]) == ["Eve"]
    assert space.participants(ANN) == ["Bob", "Eve"]
    world.delete(world.ids[0])
    space.catch_up()
    assert space.participants(ANN) == ["Eve"]


def test_a_change_of_time_moves_a_turn() -> None:
    world = World()
    monday = SCOPES[1]
    ids = [world.add(word, monday, minute) for minute, word in enumerate(("pear", "boat", "rain"))]
    space = SpaceIndex(world.store, ANN)
    old = world.store.get(ids[0])  # type: ignore[arg-type]
    assert old is not None
    world.update(ids[0], "pear", time=replace(old.time, created_at=NOW + timedelta(days=1)))
    space.catch_up()
    docs = [space.doc_of(i) for i in ids]  # type: ignore[arg-type]
    assert int(space.before[docs[0]]) == docs[2]
    assert int(space.after[docs[1]]) == docs[2]
