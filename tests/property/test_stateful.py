"""All verbs, in any order, on the embedded store and on the reference store: the same is seen.

Two users' scopes (one with sessions) and two clients, that is two Memory objects over one vault, take turns. The twin
is one Memory over ``ReferenceStore``, with the same clock, ids and embedder. Where the two differ, the store is wrong.
"""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from anamnos import Memory, Scope
from anamnos.cube import State
from anamnos.errors import AnamnosError
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import And, Comparison, Field, Filter, Not, Or, Where

SCOPES = [
    Scope(user="ann"),
    Scope(user="ann", session="monday"),
    Scope(user="ann", agent="tutor", session="monday"),
    Scope(user="bob", session="monday"),
]
WORDS = ["pear", "apple", "boat", "river", "winter", "café", "日本語", "Ann", "Bob", "went", "going"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
TAGS = st.lists(st.sampled_from(["red", "blue", "it's"]), unique=True, max_size=2)
CLIENTS = st.integers(0, 1)
ALL = Where(Field.STATE, Comparison.IN, tuple(State))
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.just("user"), "content": TEXTS},
        optional={
            "name": st.sampled_from(["Ann", "Bob", "Eve"]),
            "at": st.integers(0, 9).map(lambda n: f"2024-01-0{n + 1}T10:00:00Z"),
            "session": st.sampled_from(["monday", "tuesday"]),
        },
    ),
    min_size=1,
    max_size=4,
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    st.sampled_from(
        [
            ALL,
            Where(Field.ROLE, Comparison.EQ, "turn"),
            Where(Field.TAG, Comparison.EQ, "red"),
            Where(Field.ACTOR, Comparison.IN, ["Ann", "Eve"]),
            Where(Field.TEXT, Comparison.CONTAINS, "APPLE"),
            Where(Field.TEXT, Comparison.CONTAINS, "é"),
            Where(Field.IMPORTANCE, Comparison.GE, 0.6),
            Where(Field.CREATED_AT, Comparison.LT, "2024-01-05T00:00:00Z"),
            Where(Field.SESSION, Comparison.EQ, "monday"),
            Where(Field.STATE, Comparison.EQ, "archived"),
        ]
    ),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=3,
)


class Twins(RuleBasedStateMachine):
    """Does everything twice, and compares."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="anamnos-stateful-"))
        self.clock = FakeClock()
        # both clients of the vault draw from one source of ids, as the twin does from its own
        self.ids = seeded_ids(1)
        self.clients = [self.client(), self.client()]
        self.reference = ReferenceStore()
        self.twin = self.open_twin(self.folder / "twin", self.reference, seeded_ids(1))
        self.known: list[str] = []
        self.files: dict[int, list[str]] = {}
        self.number = 0

    def client(self) -> Memory:
        return Memory(self.folder / "vault", embedder=FakeEmbedder(), clock=self.clock, new_id=self.ids, batch_size=3)

    def open_twin(self, folder: Path, store: ReferenceStore, ids: Any) -> Memory:
        return Memory(folder, embedder=FakeEmbedder(), clock=self.clock, new_id=ids, store=store, batch_size=3)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for memory in (*self.clients, self.twin):
                memory.close()
            shutil.rmtree(self.folder)

    def both(self, client: int, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call a verb on a client and on the twin; compare what they give or raise, and return it."""
        results = [self.outcome(memory, verb, args, kwargs) for memory in (self.clients[client], self.twin)]
        assert results[0] == results[1], verb
        return results[0]

    @staticmethod
    def outcome(memory: Memory, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = getattr(memory, verb)(*args, **kwargs)
        except AnamnosError as exc:
            return type(exc).__name__
        return result

    def wrote(self, receipt: Any) -> None:
        self.clock.advance(seconds=60)
        if not isinstance(receipt, str):
            self.known += [cube_id for cube_id in receipt.ids if cube_id not in self.known]
            assert receipt.sequence == self.reference.sequence()

    # --- writing

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), text=TEXTS, tags=TAGS, importance=st.sampled_from([0.5, 0.9]))
    def add_text(self, client: int, scope: Scope, text: str, tags: list[str], importance: float) -> None:
        receipt = self.both(client, "add", text, scope, tags=tags, importance=importance)
        self.wrote(receipt)
        found = self.clients[1 - client].list(scope, filter=ALL, limit=None)
        assert receipt.ids[0] in [cube.id for cube in found], "the other client reads it at once"

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), messages=MESSAGES)
    def add_messages(self, client: int, scope: Scope, messages: list[dict[str, Any]]) -> None:
        self.wrote(self.both(client, "add", messages, scope))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), messages=MESSAGES, first=st.integers(0, 5))
    def add_messages_with_ids(self, client: int, scope: Scope, messages: list[dict[str, Any]], first: int) -> None:
        with_ids = [{**message, "id": f"m{first + n}"} for n, message in enumerate(messages)]
        self.wrote(self.both(client, "add", with_ids, scope, source="chat"))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), file=st.integers(0, 1), data=st.data())
    def ingest(self, client: int, scope: Scope, file: int, data: st.DataObject) -> None:
        passages = self.files.setdefault(file, ["the first passage", "pear apple", "the last passage"])
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(passages)))
            if data.draw(st.booleans()) and len(passages) > 1:
                del passages[min(place, len(passages) - 1)]
            else:
                passages.insert(place, data.draw(TEXTS))
        path = self.folder / f"file{file}.txt"
        path.write_text("\n\n".join(passages))
        receipt = self.both(client, "ingest", path, scope)
        self.wrote(receipt)
        assert len(receipt.ids) >= len(passages)
        again = self.both(client, "ingest", path, scope)
        assert (again.count("unchanged"), again.sequence) == (len(passages), receipt.sequence)

    @precondition(lambda self: self.known)
    @rule(
        client=CLIENTS,
        which=st.integers(0, 30),
        scope=st.sampled_from(SCOPES),
        content=st.none() | TEXTS,
        tags=st.none() | TAGS,
        data=st.none() | st.dictionaries(st.sampled_from("xy"), st.none() | st.integers(0, 2), max_size=2),
        expected=st.none() | st.integers(1, 3),
    )
    def update(
        self, client: int, which: int, scope: Scope, content: Any, tags: Any, data: Any, expected: int | None
    ) -> None:
        cube_id = self.known[which % len(self.known)]
        changes = {"content": content, "tags": tags, "data": data, "expected_version": expected}
        self.wrote(self.both(client, "update", cube_id, scope, **changes))

    @precondition(lambda self: self.known)
    @rule(client=CLIENTS, which=st.lists(st.integers(0, 30), min_size=1, max_size=3), scope=st.sampled_from(SCOPES))
    def delete(self, client: int, which: list[int], scope: Scope) -> None:
        self.wrote(self.both(client, "delete", [self.known[n % len(self.known)] for n in which], scope))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), filter=st.none() | FILTERS)
    def delete_all(self, client: int, scope: Scope, filter: Filter | None) -> None:
        others = {s: self.twin.list(s, filter=ALL, limit=None) for s in SCOPES if not scope.covers(s)}
        self.wrote(self.both(client, "delete_all", scope, filter=filter))
        for other, before in others.items():
            if not other.covers(scope):
                assert self.clients[client].list(other, filter=ALL, limit=None) == before

    @precondition(lambda self: self.known)
    @rule(
        client=CLIENTS,
        verb=st.sampled_from(["freeze", "unfreeze", "unfreeze", "archive", "reactivate", "used"]),
        which=st.lists(st.integers(0, 30), min_size=1, max_size=3),
        scope=st.sampled_from(SCOPES),
    )
    def move(self, client: int, verb: str, which: list[int], scope: Scope) -> None:
        self.wrote(self.both(client, verb, [self.known[n % len(self.known)] for n in which], scope))

    @precondition(lambda self: self.known)
    @rule(client=CLIENTS, which=st.integers(0, 30), scope=st.sampled_from(SCOPES), version=st.integers(1, 3))
    def rollback(self, client: int, which: int, scope: Scope, version: int) -> None:
        cube_id = self.known[which % len(self.known)]
        self.wrote(self.both(client, "rollback", scope, id=cube_id, version=version))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), minutes=st.integers(0, 20))
    def rollback_of_a_scope(self, client: int, scope: Scope, minutes: int) -> None:
        self.wrote(self.both(client, "rollback", scope, to=self.clock() - timedelta(minutes=minutes)))

    @precondition(lambda self: self.known)
    @rule(
        client=CLIENTS,
        verb=st.sampled_from(["merge", "unmerge", "migrate", "migrate_back"]),
        which=st.lists(st.integers(0, 30), min_size=2, max_size=3),
        scope=st.sampled_from(SCOPES),
    )
    def rearrange(self, client: int, verb: str, which: list[int], scope: Scope) -> None:
        ids = [self.known[n % len(self.known)] for n in which]
        more = {"role": "fact"} if verb == "migrate" else {}
        self.wrote(self.both(client, verb, ids[0] if verb in ("unmerge", "migrate_back") else ids, scope, **more))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), verb=st.sampled_from(["enrich", "resolve", "expire"]))
    def tidy(self, client: int, scope: Scope, verb: str) -> None:
        self.wrote(self.both(client, verb, scope))

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES), text=TEXTS, start=st.sampled_from(["No, it is ", "Thanks, "]))
    def correct(self, client: int, scope: Scope, text: str, start: str) -> None:
        self.wrote(self.both(client, "correct", start + text, scope))

    # --- reading

    @rule(
        client=CLIENTS,
        scope=st.sampled_from(SCOPES),
        query=TEXTS,
        top_k=st.sampled_from([1, 3, 100]),
        filter=st.none() | FILTERS,
    )
    def search(self, client: int, scope: Scope, query: str, top_k: int, filter: Filter | None) -> None:
        found = self.clients[client].search(query, scope, top_k=top_k, filter=filter)
        want = self.twin.search(query, scope, top_k=100, filter=filter)
        assert all(scope.covers(hit.cube.scope) for hit in found)
        assert len(found) == min(top_k, len(want))
        scores = {hit.id: hit for hit in want}
        for hit, other in zip(found, want, strict=False):
            # hits whose scores are nearly the same may stand in any order; all else is equal
            assert hit.rank_score == pytest.approx(other.rank_score, abs=1e-4)
            twin = scores[hit.id]
            assert hit.cube == twin.cube
            assert hit.rank_score == pytest.approx(twin.rank_score, abs=1e-4)
            assert hit.similarity == pytest.approx(twin.similarity, abs=1e-4)
            for name, score in hit.channels.items():
                assert score.raw == pytest.approx(twin.channels[name].raw, abs=1e-4)

    @rule(
        client=CLIENTS, scope=st.sampled_from(SCOPES), filter=st.none() | FILTERS, limit=st.none() | st.integers(1, 4)
    )
    def list(self, client: int, scope: Scope, filter: Filter | None, limit: int | None) -> None:
        cubes = self.both(client, "list", scope, filter=filter, limit=limit)
        assert all(scope.covers(cube.scope) for cube in cubes)

    @precondition(lambda self: self.known)
    @rule(
        client=CLIENTS, scope=st.sampled_from(SCOPES), which=st.integers(0, 30), version=st.none() | st.integers(1, 3)
    )
    def get(self, client: int, scope: Scope, which: int, version: int | None) -> None:
        cube_id = self.known[which % len(self.known)]
        self.both(client, "get", cube_id, scope, version=version)
        self.both(client, "history", cube_id, scope)

    @rule(client=CLIENTS, scope=st.sampled_from(SCOPES))
    def stats(self, client: int, scope: Scope) -> None:
        there, twin = self.clients[client].stats(scope), self.twin.stats(scope)
        for stats in (there, twin):
            stats.pop("bytes")
            stats.pop("vault")
        assert there == twin

    # --- keeping

    @rule(client=CLIENTS, scope=st.none() | st.sampled_from(SCOPES))
    def export_and_import(self, client: int, scope: Scope | None) -> None:
        self.number += 1
        paths = [self.folder / f"{kind}{self.number}.jsonl" for kind in ("vault", "twin", "again")]
        assert self.clients[client].export(paths[0], scope) == self.twin.export(paths[1], scope)
        lines = [path.read_text().split("\n") for path in paths[:2]]
        assert lines[0] == lines[1]
        fresh = self.folder / f"fresh{self.number}"
        with Memory(fresh, embedder=FakeEmbedder(), clock=self.clock) as other:
            receipt = other.import_(paths[0])
            assert receipt.count("added") == len(lines[0]) - 3
            assert other.verify() == []
            other.export(paths[2])
            want = self.twin.list(scope, filter=ALL, limit=None) if scope else []
            assert not scope or other.list(scope, filter=ALL, limit=None) == want
        assert paths[2].read_text().split("\n") == lines[0]

    @rule(client=CLIENTS)
    def rebuild_index(self, client: int) -> None:
        self.both(client, "rebuild_index")

    @rule(client=CLIENTS)
    def close_and_reopen(self, client: int) -> None:
        self.clients[client].close()
        self.clients[client] = self.client()

    @rule(client=CLIENTS)
    def verify(self, client: int) -> None:
        assert self.clients[client].verify() == []

    @invariant()
    def both_clients_are_at_the_same_point(self) -> None:
        if hasattr(self, "clients"):
            assert len({memory.vault.store.sequence() for memory in (*self.clients, self.twin)}) == 1


FEW = settings(max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestTwins = Twins.TestCase
TestTwins.settings = FEW


class ManyTwins(Twins):
    """The same, for longer."""


TestManyTwins = pytest.mark.slow(pytest.mark.timeout(1800)(ManyTwins.TestCase))
TestManyTwins.settings = settings(FEW, max_examples=250, stateful_step_count=50)
