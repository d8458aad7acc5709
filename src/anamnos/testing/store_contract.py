"""The laws of a store as tests: subclass ``StoreContract`` and give it ``make_store``.

class TestMyStore(StoreContract):
    store_source = "from my_package import MyStore; store = MyStore(folder)"

    def make_store(self, folder: Path) -> Store:
        return MyStore(folder)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.cube import (
    Annotations,
    BlobRef,
    CubeId,
    Lifecycle,
    Link,
    LinkKind,
    MemCube,
    Policy,
    Provenance,
    Role,
    Scope,
    State,
    Substrate,
    Times,
)
from anamnos.errors import (
    AccessDenied,
    AnamnosError,
    ConfigError,
    Conflict,
    IllegalTransition,
    InvalidInput,
    Moved,
    NotFound,
    StoreError,
)
from anamnos.store.apply import apply
from anamnos.store.base import MOVED_TO, MOVING, EmbedderInfo, Store, Transaction, held_at
from anamnos.testing import strategies as mine
from anamnos.testing.fakes import FakeEmbedder, seeded_ids
from anamnos.testing.reference_store import ReferenceStore
from anamnos.types import (
    SEARCHED_STATES,
    And,
    Change,
    Comparison,
    Derived,
    Field,
    Filter,
    Not,
    Op,
    OpKind,
    Or,
    Outcome,
    Vector,
    Where,
    matches,
    names_state,
)

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN, BOB = Scope(user="ann"), Scope(user="bob")
EMBEDDER = FakeEmbedder(dim=16)
INFO = EmbedderInfo(EMBEDDER.id, EMBEDDER.dim)
ALL_STATES = Where(Field.STATE, Comparison.IN, tuple(State))

_new_id = seeded_ids(7)
_numbers = count(1)


# --- short ways to say things --------------------------------------------------------------------------------------


def cube(text: str, scope: Scope = ANN, **parts: Any) -> MemCube:
    """Return a new text cube."""
    return MemCube(id=_new_id(NOW), content=text, scope=scope, **parts)


def derived(of: MemCube, vector: Vector | None = None) -> Derived | None:
    """Return what a text cube is found by: one term per word, and the fake embedder's vector."""
    if not isinstance(of.content, str):
        return None
    terms = [hash_of(word) for word in of.content.split()]
    return Derived(np.array(terms, dtype=np.uint32), EMBEDDER.embed([of.content])[0] if vector is None else vector)


def hash_of(word: str) -> int:
    return int.from_bytes(word.encode()[:4].ljust(4, b"\0"), "little")


def adding(new: MemCube, key: bytes = b"", vector: Vector | None = None) -> Op:
    return Op(OpKind.ADD, cube=new, derived=derived(new, vector), key=key)


def updating(old: MemCube, **changes: Any) -> Op:
    new = old.next_version(**changes)
    return Op(OpKind.UPDATE, target=old.id, cube=new, derived=derived(new))


def deleting(old: MemCube) -> Op:
    return Op(OpKind.DELETE, target=old.id)


def do(store: Store, *ops: Op, now: datetime = NOW) -> list[tuple[CubeId, Outcome]]:
    """Carry out operations in one write, and return what became of each cube."""
    with store.write() as tx:
        return [outcome for op in ops for outcome in apply(op, tx, now=now)]


def add(store: Store, *new: MemCube) -> None:
    do(store, *(adding(each) for each in new))


def put(store: Store, drawn: Sequence[MemCube]) -> list[MemCube]:
    """Store drawn cubes under new ids as current versions of ``NOW``, whatever they were derived from; return them."""
    times = [replace(each.time, recorded_at=NOW, superseded_at=None) for each in drawn]
    new = [replace(each, id=_new_id(NOW), time=time) for each, time in zip(drawn, times, strict=True)]
    do(store, *(replace(adding(each), kind=OpKind.RESTORE) for each in new))
    return new


def kept(store: Store, of: MemCube) -> MemCube:
    """Return the current version, which must be there."""
    found = store.get(of.id)
    assert found is not None
    return found


def texts(found: Sequence[MemCube]) -> list[str]:
    return [each.text for each in found]


def picture(store: Store) -> dict[str, Any]:
    """Return everything that a store shows, in a form that can be compared."""
    everything = [(each.to_dict(), None if d is None else portrait(d), key) for each, d, key in store.export()]
    embedder = store.embedder()
    return {
        "cubes": everything,
        "sequence": store.sequence(),
        "changes": store.changes(0),
        "count": store.count(),
        "scopes": sorted(map(str, store.scopes())),
        "embedder": embedder,
        "problems": store.verify(),
    }


def portrait(of: Derived) -> tuple[bytes, bytes | None]:
    return of.terms.tobytes(), None if of.vector is None else of.vector.tobytes()


def follow(store: Store, after: int, page: int = 3) -> list[Change]:
    """Return all later changes, read page by page."""
    seen: list[Change] = []
    while more := store.changes(after, page):
        assert len(more) <= page
        seen += more
        after = more[-1].seq
    return seen


class Stop(Exception):
    """What goes wrong in the middle of a write."""


# --- the suite -----------------------------------------------------------------------------------------------------


class StoreContract:
    """The laws of ``anamnos.store.base``.

    store_source  Python source that leaves a closed store in ``store``, given its ``folder`` (a Path); empty for an
                  engine that lives inside one process: tests with several stores or processes are then skipped
    """

    store_source: ClassVar[str] = ""

    def make_store(self, folder: Path) -> Store:
        """Return a closed store whose data are in ``folder``; two of the same folder share them."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[Path]:
        """Return every file in which the engine may keep bytes of the store."""
        return [path for path in folder.rglob("*") if path.is_file()]

    def bytes_of(self, path: Path) -> bytes:
        """Return what one of those files holds, as somebody who has its key can read it."""
        return path.read_bytes()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def store(self, folder: Path) -> Iterator[Store]:
        store = self.make_store(folder).open()
        store.use_embedder(INFO)
        yield store
        store.close()

    @pytest.fixture
    def second(self, store: Store, folder: Path) -> Iterator[Store]:
        self.needs_files()
        second = self.make_store(folder).open()
        yield second
        second.close()

    def needs_files(self) -> None:
        if not self.store_source:
            pytest.skip("this store lives in one process")

    # --- opening and closing

    def test_a_new_store_is_empty(self, folder: Path) -> None:
        store = self.make_store(folder).open()
        assert store.embedder() is None
        assert (store.count(), store.sequence(), store.scopes(), store.changes(0)) == (0, 0, [], [])
        assert store.list(ANN) == [] == list(store.export())
        assert store.select(ANN).shape == (0,)
        outline = store.outline(ANN)
        assert outline.rows.shape == outline.created.shape == outline.scopes.shape == (0,)
        assert outline.order.shape == (0, 2)
        assert store.verify() == []
        store.close()

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.count()
        with pytest.raises(StoreError, match="closed"), store.write():
            pass

    def test_everything_is_there_when_opened_again(self, store: Store) -> None:
        one, two = cube("first"), cube("second", links=())
        add(store, one, two)
        do(store, updating(kept(store, one), content="first again"))
        do(store, deleting(two))
        before = picture(store)
        store.close()
        store.open()
        assert picture(store) == before

    # --- law 1: all or nothing

    def test_what_fails_in_the_middle_leaves_nothing(self, store: Store) -> None:
        one, two, three = cube("one"), cube("two"), cube("three")
        do(store, adding(one, b"key"), adding(two), adding(three))
        before = picture(store)
        with pytest.raises(Stop), store.write() as tx:
            for op in (
                adding(cube("four", BOB), b"other"),
                updating(kept(store, one), content="uno"),
                deleting(kept(store, two)),
            ):
                apply(op, tx, now=NOW)
            raise Stop
        assert picture(store) == before
        assert store.find([b"other"]) == {}
        add(store, cube("the store still works"))
        assert store.count() == 4

    def test_an_operation_that_is_refused_leaves_nothing_of_its_write(self, store: Store) -> None:
        known = cube("known")
        add(store, known)
        frozen = cube("frozen", lifecycle=Lifecycle(state=State.FROZEN))
        add(store, frozen)
        known, frozen = kept(store, known), kept(store, frozen)
        before = picture(store)
        refused: list[tuple[Op, type[AnamnosError]]] = [
            (adding(known), Conflict),
            (updating(replace(known, version=4)), Conflict),
            (updating(frozen, content="other"), AccessDenied),
            (deleting(frozen), AccessDenied),
            (deleting(cube("unknown")), NotFound),
            (updating(cube("unknown")), NotFound),
        ]
        for op, error in refused:
            with pytest.raises(error):
                do(store, adding(cube("before")), op)
            assert picture(store) == before

    def test_the_engine_refuses_a_second_row_for_one_version(self, store: Store) -> None:
        one = cube("one")
        add(store, one)
        before = picture(store)
        with pytest.raises(StoreError), store.write() as tx:
            tx.insert(cube("two"), None, b"")
            tx.insert(one, derived(one), b"")
        assert picture(store) == before

    def test_a_write_inside_a_write_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError), store.write() as tx:
            apply(adding(cube("outer")), tx, now=NOW)
            with store.write():
                pass
        assert store.count() == 0
        add(store, cube("the store still works"))

    # --- law 2: acknowledged means durable

    def test_acknowledged_writes_survive_a_kill(self, folder: Path) -> None:
        """A child process writes groups of three and says so after each; then it is killed at once."""
        self.needs_files()
        script = f"""
import sys
from pathlib import Path
from anamnos.testing import store_contract as kit
folder = Path(sys.argv[1])
{self.store_source}
store.open()
store.use_embedder(kit.INFO)
new_id = kit.seeded_ids(11)
for n in range(10_000):
    group = [kit.MemCube(id=new_id(kit.NOW), content=f"group {{n}} part {{i}}", scope=kit.ANN) for i in range(3)]
    kit.add(store, *group)
    print(n, flush=True)
"""
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", script, str(folder)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
        ) as child:
            assert child.stdout is not None
            said = [int(child.stdout.readline()) for _ in range(25)]
            os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            said += [int(line) for line in child.stdout if line.endswith("\n")]
        store = self.make_store(folder).open()
        groups = [int(text.split()[1]) for text in texts(store.list(ANN))]
        assert set(said) <= set(groups)
        assert {groups.count(n) for n in groups} == {3}
        assert len(set(groups)) <= len(said) + 1
        assert store.verify() == []
        assert len(store.changes(0)) == len(groups)
        store.close()

    # --- law 3: read your writes

    def test_a_write_is_seen_by_every_thread(self, store: Store) -> None:
        problems: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for n in range(10):
                    new = cube(f"{name} {n}", Scope(user=name))
                    add(store, new)
                    assert kept(store, new).content == new.content
                    assert len(store.list(new.scope)) == store.count(new.scope) == n + 1
                    assert len(store.select(new.scope)) == len(store.outline(new.scope).rows) == n + 1
            except BaseException as exc:  # handed over to the main thread
                problems.append(exc)

        in_threads([lambda name=name: work(name) for name in ("a", "b", "c", "d")])  # type: ignore[misc]
        assert problems == []
        assert store.count() == 40

    def test_a_write_is_seen_through_every_open_store(self, store: Store, second: Store) -> None:
        for n in range(5):
            for writer, reader in ((store, second), (second, store)):
                new = cube(f"number {n}")
                add(writer, new)
                assert kept(reader, new) == kept(writer, new)
                assert reader.sequence() == writer.sequence()
                assert picture(reader) == picture(writer)
                do(reader, deleting(new))
                assert writer.get(new.id) is None

    def test_nothing_is_seen_of_a_write_before_its_end(self, store: Store) -> None:
        one = cube("one")
        add(store, one)
        before = store.sequence()
        with store.write() as tx:
            apply(updating(kept(store, one), content="uno"), tx, now=NOW)
            apply(adding(cube("two")), tx, now=NOW)
            seen: list[Any] = []
            in_threads([lambda: seen.extend([texts(store.list(ANN)), store.sequence(), store.count()])])
            assert seen == [["one"], before, 1]
        assert texts(store.list(ANN)) == ["uno", "two"]

    # --- law 4: a scope is a wall

    def test_a_read_shows_what_its_scope_covers_and_nothing_else(self, store: Store) -> None:
        @settings(deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            tenants = [f"tenant {next(_numbers)}", f"tenant {next(_numbers)}"]
            scopes = mine.scopes(st.sampled_from(tenants))
            written = data.draw(st.lists(scopes, min_size=1, max_size=6))
            new = [cube(f"said by {n}", scope) for n, scope in enumerate(written)]
            add(store, *new)
            asked = data.draw(st.one_of(st.sampled_from(written), scopes))
            narrowed = [replace(asked, agent=None), replace(asked, session=None)] if asked.user else []
            for scope in [asked, *narrowed]:
                want = [each.id for each in new if scope.covers(each.scope)]
                assert [each.id for each in store.list(scope)] == want
                assert [each.id for each in store.at(store.select(scope).tolist())] == want
                assert [each.id for each, _, _ in store.export(scope)] == want
                assert store.count(scope) == len(want)
                outline = store.outline(scope)
                assert {(name.tenant, name.user) for name in outline.names.values()} <= {(scope.tenant, scope.user)}
                users = [e.id for e in new if (e.scope.tenant, e.scope.user) == (scope.tenant, scope.user)]
                assert [each.id for each in store.at(outline.rows.tolist())] == users
            assert {each for each in store.scopes() if each.tenant in tenants} == set(written)

        check()

    def test_no_filter_reaches_over_the_wall(self, store: Store) -> None:
        ours, theirs = cube("ours", Scope(user="ann", agent="x")), cube("theirs", Scope(user="bob", agent="x"))
        add(store, ours, theirs, cube("other tenant", Scope(tenant="t", user="ann", agent="x")))
        anything: list[Filter] = [
            And(()),
            Not(Or(())),
            Or((Where(Field.AGENT, Comparison.EQ, "x"), Not(Where(Field.AGENT, Comparison.EQ, "x")))),
            Or((Where(Field.TEXT, Comparison.CONTAINS, "theirs"), And(()))),
            Not(Where(Field.TAG, Comparison.EQ, "') OR 1=1 --")),
        ]
        for tree in anything:
            assert store.list(ANN, tree) == [kept(store, ours)]

    # --- law 5: the feed of changes

    def test_the_feed_tells_each_change_once_and_in_order(self, store: Store) -> None:
        start = store.sequence()
        one, two = cube("one"), cube("two")
        add(store, one, two)
        do(store, updating(kept(store, one), content="uno"))
        do(store, deleting(one))
        feed = follow(store, start)
        assert [(change.kind, change.cube_id) for change in feed[:4]] == [
            ("written", one.id),
            ("written", two.id),
            ("retired", one.id),
            ("written", one.id),
        ]
        assert [(change.kind, change.cube_id) for change in feed[4:]] == [("erased", one.id)] * 2
        assert feed[2].row == feed[0].row != feed[3].row
        assert {change.row for change in feed[4:]} == {feed[0].row, feed[3].row}
        numbers = [change.seq for change in feed]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > start
        assert store.sequence() == numbers[-1]
        assert store.changes(numbers[-1]) == []
        assert store.changes(start) == feed

    def test_a_follower_misses_nothing_while_others_write(self, store: Store) -> None:
        seen: list[Change] = []
        done = threading.Event()

        def read() -> None:
            while True:
                last = done.is_set()
                seen.extend(follow(store, seen[-1].seq if seen else 0))
                if last:
                    return

        reader = threading.Thread(target=read)
        reader.start()
        in_threads([lambda: [do(store, adding(cube("a")), adding(cube("b"))) for _ in range(8)]] * 4)
        done.set()
        reader.join()
        assert seen == store.changes(0)
        assert len(seen) == 64

    def test_settings_and_vectors_are_no_changes(self, store: Store) -> None:
        add(store, cube("one"))
        before = store.sequence()
        store.set_setting("name", "value")
        store.put_vectors(store.select(ANN), EMBEDDER.embed(["one"]), INFO)
        assert store.sequence() == before

    # --- law 6: erased means gone

    @pytest.mark.parametrize("seed", range(4))
    def test_no_byte_of_an_erased_text_is_left(self, store: Store, folder: Path, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311
        secrets = [_Secret.make(n, rng) for n in range(120)]
        cubes = [secret.as_cube() for secret in secrets]
        for start in range(0, 120, 40):
            part = slice(start, start + 40)
            do(store, *(adding(c, s.key, s.vector) for c, s in zip(cubes[part], secrets[part], strict=True)))
        alive = list(range(120))
        for _ in range(3):  # versions that grow, and neighbours that go, make an engine move what it keeps
            for n in rng.sample(alive, 12):
                longer = cubes[n].text + " more" * rng.randrange(1, 60)
                do(store, updating(kept(store, cubes[n]), content=longer, links=_links(cubes, alive, rng)))
            doomed = rng.sample(alive, 20)
            do(store, *(deleting(cubes[n]) for n in doomed))
            alive = [n for n in alive if n not in doomed]
        assert store.scrub()

        data = b"\0".join(self.bytes_of(path) for path in self.files(folder))
        for n, secret in enumerate(secrets):
            if n in alive:
                contains = Where(Field.TEXT, Comparison.CONTAINS, secret.word.upper())
                assert [each.id for each in store.list(ANN, contains)] == [cubes[n].id]
                if data:  # the search by bytes does see what is there
                    assert secret.word.encode() in data
            else:
                assert [trace for trace in secret.traces() if trace in data] == []
                assert store.history(cubes[n].id) == []
        assert {link.target for each in store.list(ANN) for link in each.links} <= {c.id for c in store.list(ANN)}
        assert store.verify() == []
        store.close()
        data = b"\0".join(self.bytes_of(path) for path in self.files(folder))
        gone = set(range(120)) - set(alive)
        assert [trace for n in gone for trace in secrets[n].traces() if trace in data] == []

    def test_the_names_of_an_erased_scope_are_gone(self, store: Store, folder: Path) -> None:
        scope = Scope("tenantqwxz", "userqwxz", "agentqwxz", "sessionqwxz")
        one = cube("text", scope, provenance=Provenance(source="sourceqwxz", operator="operatorqwxz"))
        add(store, one, cube("another", scope), cube("stays"))
        do(store, deleting(one))
        assert scope in store.scopes()
        do(store, *(deleting(each) for each in store.list(scope)))
        assert store.scrub()
        assert store.scopes() == [ANN]
        assert not any(b"qwxz" in self.bytes_of(path) for path in self.files(folder))

    def test_scrub_without_anything_erased_is_fine(self, store: Store) -> None:
        assert store.scrub()
        add(store, cube("one"))
        assert store.scrub()
        assert store.scrub()

    # --- law 7: filters

    def test_filters_mean_what_the_plain_python_says(self, store: Store) -> None:
        @settings(deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            scope = Scope(tenant=f"tenant {next(_numbers)}", user="ann")
            within = st.tuples(st.none() | mine.names(), st.none() | mine.names()).map(
                lambda parts: replace(scope, agent=parts[0], session=parts[1])
            )
            drawn = data.draw(st.lists(mine.cubes(scope=within), min_size=1, max_size=5))
            have = put(store, [replace(each, version=1) for each in drawn])
            for tree in data.draw(st.lists(mine.filters(have), min_size=3, max_size=8)):
                want = [each for each in have if matches(tree, each) and is_searched(tree, each)]
                assert store.list(scope, tree) == want
                assert store.at(store.select(scope, tree).tolist()) == want

        check()

    @pytest.mark.parametrize("text", mine.HOSTILE)
    def test_hostile_text_is_only_text(self, store: Store, text: str) -> None:
        plain = text.replace("\0", "")
        parts: dict[str, Any] = {
            "provenance": Provenance(source=plain, actor=plain, message_ids=(plain,)),
            "annotations": Annotations(tags=(plain,), data={text: text}),
        }
        hit = cube(f"before {text} after", Scope(user="ann", agent=plain), **parts)
        add(store, hit, cube("nothing of that"))
        for tree in (
            Where(Field.TEXT, Comparison.CONTAINS, text),
            Where(Field.TEXT, Comparison.CONTAINS, f"E {text} A"),
            Where(Field.TAG, Comparison.EQ, plain),
            Where(Field.TAG, Comparison.IN, ["other", plain]),
            Where(Field.ACTOR, Comparison.EQ, plain),
            Where(Field.SOURCE, Comparison.EQ, plain),
            Where(Field.AGENT, Comparison.EQ, plain),
        ):
            assert store.list(ANN, tree) == [kept(store, hit)]
            assert store.list(ANN, Not(tree)) != []
        assert store.list(Scope(user=plain)) == []
        assert store.count() == 2
        do(store, deleting(hit))
        assert store.verify() == []
        assert store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, text)) == []

    def test_unknown_compares_as_false_and_its_not_as_true(self, store: Store) -> None:
        dated = cube("dated", time=Times(created_at=NOW))
        undated = cube("undated")
        add(store, dated, undated)
        early = Where(Field.CREATED_AT, Comparison.LE, NOW)
        assert texts(store.list(ANN, early)) == ["dated"]
        assert texts(store.list(ANN, Not(early))) == ["undated"]
        assert texts(store.list(ANN, Not(Where(Field.ACTOR, Comparison.EQ, "bob")))) == ["dated", "undated"]

    def test_times_compare_to_the_microsecond(self, store: Store) -> None:
        tick = timedelta(microseconds=1)
        add(store, *(cube(f"{n}", time=Times(created_at=NOW + n * tick)) for n in range(3)))
        for op, want in (("lt", "0"), ("le", "01"), ("eq", "1"), ("ge", "12"), ("gt", "2")):
            tree = Where(Field.CREATED_AT, Comparison(op), NOW + tick)
            assert "".join(texts(store.list(ANN, tree))) == want

    def test_states_that_are_not_searched_show_only_when_asked_for(self, store: Store) -> None:
        for state in State:
            add(store, cube(state, lifecycle=Lifecycle(state=state)))
        assert texts(store.list(ANN)) == [s for s in State if s in SEARCHED_STATES]
        assert len(store.select(ANN)) == len(store.outline(ANN).rows) == len(SEARCHED_STATES)
        assert texts(store.list(ANN, ALL_STATES)) == list(State)
        assert len(store.outline(ANN, all_states=True).rows) == store.count() == len(State)
        archived = Where(Field.STATE, Comparison.EQ, State.ARCHIVED)
        assert texts(store.list(ANN, archived)) == ["archived"]
        assert len(store.list(ANN, Not(archived))) == len(State) - 1

    def test_a_filter_may_have_many_values_and_many_parts(self, store: Store) -> None:
        add(store, cube("a", annotations=Annotations(tags=("t1500",))), cube("b"))
        many = [Where(Field.TAG, Comparison.EQ, f"t{n}") for n in range(2_000)]
        assert texts(store.list(ANN, Or(tuple(many)))) == ["a"]
        assert texts(store.list(ANN, And(tuple(map(Not, many[:1_500]))))) == ["a", "b"]
        values = [f"t{n}" for n in range(10_000)]
        assert texts(store.list(ANN, Where(Field.TAG, Comparison.IN, values))) == ["a"]

    # --- law 8: vectors

    def test_vectors_come_back_bit_by_bit(self, store: Store) -> None:
        @settings(deadline=None)
        @given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=16, max_size=16))
        def check(values: list[float]) -> None:
            vector = np.array(values, dtype=np.float32)
            new = cube("text", Scope(user=f"user {next(_numbers)}"))
            do(store, adding(new, vector=vector))
            rows = store.select(new.scope)
            assert store.vectors(rows, INFO).tobytes() == vector.tobytes()
            store.put_vectors(rows, -vector[None, :], INFO)
            assert store.vectors(rows, INFO).tobytes() == (-vector).tobytes()
            ((_, found, _),) = store.export(new.scope)
            assert found is not None
            assert portrait(found)[1] == (-vector).tobytes()

        check()

    def test_vectors_come_in_the_order_asked_for_and_zeros_where_there_is_none(self, store: Store) -> None:
        one, two, bare = cube("one"), cube("two"), cube("three")
        add(store, one, two)
        do(store, Op(OpKind.ADD, cube=bare, derived=Derived(np.zeros(0, np.uint32), None)))
        a, b, c = store.select(ANN).tolist()
        want = EMBEDDER.embed(["two", "one"])
        np.testing.assert_array_equal(store.vectors(np.array([b, a]), INFO), want)
        zeros = store.vectors(np.array([c, 10_000_000]), INFO)
        assert zeros.dtype == np.float32
        assert not zeros.any()
        assert not store.vectors(np.array([a]), EmbedderInfo("unknown", 4)).any()
        assert store.vectors(np.array([], dtype=np.int64), INFO).shape == (0, 16)

    def test_vectors_of_words_come_back_in_the_order_asked_for(self, store: Store) -> None:
        """Beside the vector they belong to, and gone with it."""
        one, two = cube("one"), cube("two")
        for new in (one, two):
            found_by = derived(new)
            assert found_by is not None
            do(store, Op(OpKind.ADD, cube=new, derived=replace(found_by, tokens=new.text.encode())))
        add(store, cube("three"))
        a, b, c = store.select(ANN).tolist()
        assert store.tokens(np.array([c, b, 10_000_000, a]), INFO) == [b"", b"two", b"", b"one"]
        assert store.tokens(np.array([a]), EmbedderInfo("unknown", 4)) == [b""]
        assert {found.tokens for _, found, _ in store.export(ANN) if found} == {b"one", b"two", b""}
        rows = np.array([a, b])
        store.put_vectors(rows, EMBEDDER.embed(["one", "two"]), INFO, [b"1", b"2"])
        assert store.tokens(rows, INFO) == [b"1", b"2"]
        do(store, Op(OpKind.DELETE, target=one.id))
        assert store.tokens(rows, INFO) == [b"", b"2"]

    def test_a_vector_of_the_wrong_length_is_refused_and_nothing_changes(self, store: Store) -> None:
        add(store, cube("one"))
        rows = store.select(ANN)
        before = picture(store)
        for dim in (1, 15, 17):
            wrong = np.ones(dim, dtype=np.float32)
            with pytest.raises(ConfigError, match="dimensions"):
                do(store, adding(cube("two")), adding(cube("three"), vector=wrong))
            with pytest.raises(ConfigError):
                store.put_vectors(rows, wrong[None, :], INFO)
            assert picture(store) == before

    def test_one_name_cannot_stand_for_two_dimensions(self, store: Store) -> None:
        add(store, cube("one"))
        before = picture(store)
        other = EmbedderInfo(INFO.id, 4)
        with pytest.raises(ConfigError):
            store.use_embedder(other)
        with pytest.raises(ConfigError):
            store.put_vectors(store.select(ANN), np.ones((1, 4), np.float32), other)
        assert not store.vectors(store.select(ANN), other).any()
        assert len(store.without_vector(other)) == 1
        assert picture(store) == before

    def test_a_vector_without_any_embedder_is_refused(self, folder: Path) -> None:
        store = self.make_store(folder).open()
        with pytest.raises(ConfigError, match="embedder"):
            add(store, cube("one"))
        assert store.count() == 0
        store.close()

    def test_vectors_of_a_new_embedder_are_filled_in_beside_the_old_ones(self, store: Store) -> None:
        add(store, cube("one"), cube("two"), cube("three"))
        new = EmbedderInfo("another", 4)
        assert store.without_vector(INFO) == []
        lacking = store.without_vector(new)
        assert texts([each for _, each in lacking]) == ["one", "two", "three"]
        assert store.without_vector(new, limit=2) == lacking[:2]
        assert store.without_vector(new, after=lacking[0][0]) == lacking[1:]
        rows = np.array([row for row, _ in lacking[:2]])
        vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
        store.put_vectors(rows, vectors, new)
        assert store.embedder() == INFO
        assert store.without_vector(new) == lacking[2:]
        np.testing.assert_array_equal(store.vectors(rows, new), vectors)
        np.testing.assert_array_equal(store.vectors(rows, INFO), EMBEDDER.embed(["one", "two"]))

        before = picture(store)
        with pytest.raises(Conflict, match="1 memories"):
            store.use_embedder(new)
        assert picture(store) == before
        store.put_vectors(np.array([lacking[2][0]]), vectors[:1], new)
        store.use_embedder(new)
        assert store.embedder() == new
        np.testing.assert_array_equal(store.vectors(rows, new), vectors)
        assert not store.vectors(rows, INFO).any()
        assert len(store.without_vector(INFO)) == 3
        assert store.verify() == []
        with pytest.raises(ConfigError):
            add(store, cube("of the old embedder"))

    def test_rows_that_are_gone_get_no_vector(self, store: Store) -> None:
        one, two = cube("one"), cube("two")
        add(store, one, two)
        rows = store.select(ANN)
        do(store, deleting(one))
        store.put_vectors(rows, np.ones((2, 16), np.float32), INFO)
        found = store.vectors(rows, INFO)
        assert not found[0].any()
        assert found[1].all()
        assert store.verify() == []

    def test_past_versions_keep_their_vectors_and_blobs_have_none(self, store: Store) -> None:
        one = cube("one")
        add(store, one)
        row = store.select(ANN).tolist()
        do(store, updating(kept(store, one), content="uno"))
        add(store, blob_cube())
        np.testing.assert_array_equal(store.vectors(np.array(row), INFO), EMBEDDER.embed(["one"]))
        assert [each.version for _, each in store.without_vector(EmbedderInfo("x", 2))] == [1, 2]

    def test_a_vector_that_names_another_embedder_is_refused(self, store: Store) -> None:
        new = cube("one")
        found = derived(new)
        assert found is not None
        with pytest.raises(ConfigError, match="another"):
            do(store, Op(OpKind.ADD, cube=new, derived=replace(found, embedder="another")))
        assert store.count() == 0
        do(store, Op(OpKind.ADD, cube=new, derived=replace(found, embedder=INFO.id)))
        assert store.count() == 1

    # --- law 9: rows

    def test_rows_only_grow_and_are_never_used_again(self, store: Store) -> None:
        last = 0
        for n in range(6):
            new = cube(f"number {n}")
            add(store, new)
            (row,) = store.select(ANN).tolist()
            assert row > last
            last = row
            with pytest.raises(Stop), store.write() as tx:
                apply(deleting(new), tx, now=NOW)
                raise Stop
            do(store, deleting(new))
            if n % 2:
                store.close()
                store.open()
        assert store.at([last]) == []

    # --- cubes come back as they were given

    def test_every_cube_comes_back_unchanged(self, store: Store) -> None:
        @settings(deadline=None)
        @given(mine.cubes())
        def check(drawn: MemCube) -> None:
            (want,) = put(store, [drawn])
            assert store.get(want.id) == want
            assert store.get(want.id, want.version) == want
            assert store.history(want.id) == [want]
            assert [each for each, _, _ in store.export(want.scope) if each.id == want.id] == [want]

        check()

    @pytest.mark.parametrize(
        "text", ["x" * 1_000_000, "記憶" * 300_000, "wort " * 150_000, "\u0301\ufeff\uffff\U0010ffff\ue000", "\t\n x"]
    )
    def test_long_and_odd_texts_are_kept_found_and_erased(self, store: Store, text: str) -> None:
        one = cube(text)
        add(store, one, cube("other"))
        assert kept(store, one).content == text
        assert [each.id for each in store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, text[:40]))] == [one.id]
        do(store, updating(kept(store, one), content="short"))
        assert store.history(one.id)[0].content == text
        assert store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, text[:40])) == []
        do(store, deleting(one))
        assert store.verify() == []

    def test_versions_are_kept_and_only_the_last_is_current(self, store: Store) -> None:
        one = cube("one", time=Times(created_at=NOW))
        add(store, one)
        for n, text in enumerate(("two", "three")):
            do(store, updating(kept(store, one), content=text), now=NOW + timedelta(days=n + 1))
        history = store.history(one.id)
        assert [(each.version, each.content) for each in history] == [(1, "one"), (2, "two"), (3, "three")]
        recorded = [each.time.recorded_at for each in history]
        assert recorded == [NOW, NOW + timedelta(days=1), NOW + timedelta(days=2)]
        assert [each.time.superseded_at for each in history] == [*recorded[1:], None]
        assert {each.time.created_at for each in history} == {NOW}
        assert store.get(one.id) == history[2]
        assert store.get(one.id, 2) == history[1]
        assert store.get(one.id, 4) is None
        assert store.get(_new_id(NOW)) is None
        assert store.list(ANN) == [history[2]]
        assert store.count() == 1
        assert store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "two")) == []
        do(store, deleting(one))
        assert store.history(one.id) == []

    # --- law 10: as of a moment

    def test_as_of_a_moment_a_read_sees_what_was_believed_then(self, store: Store) -> None:
        one, two, gone = cube("one"), cube("two"), cube("gone")
        add(store, one, gone)
        day = [NOW + timedelta(days=n) for n in range(5)]
        do(store, updating(kept(store, one), content="one again"), now=day[1])
        do(store, adding(two), now=day[2])
        do(store, updating(kept(store, one), lifecycle=Lifecycle(state=State.ARCHIVED)), now=day[3])
        do(store, deleting(gone), now=day[4])
        want = {
            NOW - timedelta(microseconds=1): [],
            NOW: ["one"],
            day[1] - timedelta(microseconds=1): ["one"],
            day[1]: ["one again"],
            day[2]: ["one again", "two"],
            day[3]: ["two"],
            day[4]: ["two"],
        }
        for moment, then in want.items():
            assert texts(store.list(ANN, as_of=moment)) == then
            assert sorted(texts(store.at(store.select(ANN, as_of=moment).tolist()))) == then
            assert sorted(texts(store.at(store.outline(ANN, as_of=moment).rows.tolist()))) == then
            assert store.list(BOB, as_of=moment) == []
        assert texts(store.list(ANN, ALL_STATES, as_of=day[3])) == ["one again", "two"]
        assert len(store.outline(ANN, all_states=True, as_of=day[3]).rows) == 2
        assert texts(store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "AGAIN"), as_of=day[2])) == ["one again"]
        assert texts(store.list(ANN, as_of=day[2], after=one.id, limit=1)) == ["two"]

    def test_as_of_a_moment_a_read_sees_what_was_true_then(self, store: Store) -> None:
        micro = timedelta(microseconds=1)
        spans: list[tuple[datetime | None, datetime | None]] = [
            (None, None),
            (NOW, None),
            (None, NOW),
            (NOW + micro, NOW + 2 * micro),
            (NOW - micro, NOW + micro),
            (NOW, NOW),
            (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
        ]
        cubes = [cube(f"{n}", time=Times(valid_from=a, valid_to=b)) for n, (a, b) in enumerate(spans)]
        do(store, *(adding(each) for each in cubes), now=NOW - timedelta(days=1))
        want = {NOW - micro: "0246", NOW: "0146", NOW + micro: "0136", NOW + 2 * micro: "016"}
        for moment, then in want.items():
            assert "".join(texts(store.list(ANN, as_of=moment))) == then
        assert len(store.list(ANN)) == len(spans), "without as_of, what is no longer true is read too"

    def test_the_outline_as_of_a_moment_has_the_words_and_vectors_of_then(self, store: Store) -> None:
        one = cube("old words", provenance=Provenance(actor="Ann"))
        add(store, one)
        do(store, updating(kept(store, one), content="new"), now=NOW + timedelta(days=1))
        then = store.outline(ANN, as_of=NOW)
        assert [np.frombuffer(t, "<u4").tolist() for t in then.terms] == [[hash_of("old"), hash_of("words")]]
        assert list(then.actors) == ["Ann"]
        np.testing.assert_array_equal(store.vectors(then.rows, INFO), EMBEDDER.embed(["old words"]))
        now = store.outline(ANN, as_of=NOW + timedelta(days=1))
        assert now.rows.tolist() == store.outline(ANN).rows.tolist() != then.rows.tolist()
        assert len(store.outline(ANN, rows=now.rows, as_of=NOW).rows) == 0

    def test_in_a_clock_set_back_one_version_holds_at_a_time(self, store: Store) -> None:
        one = cube("0")
        do(store, adding(one), now=NOW)
        for n, hours in enumerate((10, 5, 7, 20), start=1):
            do(store, updating(kept(store, one), content=str(n)), now=NOW + timedelta(hours=hours))
        seen = [texts(store.list(ANN, as_of=NOW + timedelta(hours=n))) for n in (0, 4, 6, 8, 12, 30)]
        assert seen == [["0"], ["0"], ["0"], ["0"], ["3"], ["4"]]

    def test_an_update_that_changes_nothing_is_none(self, store: Store) -> None:
        one = cube("one")
        add(store, one)
        before = picture(store)
        assert do(store, updating(kept(store, one))) == [(one.id, "unchanged")]
        assert picture(store) == before

    def test_past_versions_that_are_brought_in_are_like_others(self, store: Store) -> None:
        """As when a vault is imported: versions are restored with the times that they had."""
        new = cube("once", time=Times(recorded_at=NOW, superseded_at=NOW + timedelta(days=1)))
        after = replace(new, version=2, content="now", time=Times(recorded_at=NOW + timedelta(days=1)))
        ops = [Op(OpKind.RESTORE, cube=each, derived=derived(each), key=b"k") for each in (new, after)]
        assert do(store, *ops) == [(new.id, "added")] * 2
        assert store.history(new.id) == [new, after]
        assert store.list(ANN) == [after]
        assert store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "once")) == []
        assert store.find([b"k"]) == {b"k": new.id}
        assert store.verify() == []
        before = picture(store)
        assert do(store, *ops) == [(new.id, "unchanged")] * 2
        other = Op(OpKind.RESTORE, cube=replace(new, content="not what it was"))
        with pytest.raises(Conflict):
            do(store, other)
        assert picture(store) == before
        do(store, deleting(after))
        assert store.verify() == []

    def test_a_key_makes_adding_idempotent(self, store: Store) -> None:
        one, again, other = cube("one"), cube("one"), cube("other")
        assert do(store, adding(one, b"k1"), adding(other, b"k2")) == [(one.id, "added"), (other.id, "added")]
        assert do(store, adding(again, b"k1")) == [(one.id, "unchanged")]
        assert store.find([b"k1", b"k2", b"k3", b""]) == {b"k1": one.id, b"k2": other.id}
        assert store.count() == 2
        do(store, deleting(one))
        assert store.find([b"k1"]) == {}
        assert do(store, adding(again, b"k1")) == [(again.id, "added")]

    def test_a_key_belongs_to_the_version_that_was_written_under_it(self, store: Store) -> None:
        one = cube("one")
        do(store, adding(one, b"k1"))
        op = replace(updating(kept(store, one), content="uno"), key=b"k2")
        do(store, op)
        assert store.find([b"k1", b"k2"]) == {b"k2": one.id}
        assert [key for _, _, key in store.export()] == [b"k1", b"k2"]

    def test_one_write_may_add_the_same_key_twice(self, store: Store) -> None:
        one, two = cube("one"), cube("two")
        assert do(store, adding(one, b"k"), adding(two, b"k")) == [(one.id, "added"), (one.id, "unchanged")]
        assert store.get(two.id) is None

    # --- what hangs together

    def test_a_transition_is_found_as_the_version_before_was(self, store: Store) -> None:
        """Nothing is embedded anew: words, vectors, those of words, and the key go on to the next version."""
        new = cube("the pear boat")
        do(store, adding(new, b"key"))
        before = next(iter(store.export()))[1]
        archived = new.next_version(lifecycle=replace(new.lifecycle, state=State.ARCHIVED))
        assert do(store, Op(OpKind.TRANSITION, new.id, archived)) == [(new.id, "updated")]
        assert store.list(ANN) == []
        assert [each.lifecycle.state for each in store.history(new.id)] == [State.GENERATED, State.ARCHIVED]
        versions = list(store.export())
        after = versions[1][1]
        assert before and after and portrait(after) == portrait(before)
        assert store.find([b"key"]) == {b"key": new.id}
        again = archived.next_version(lifecycle=replace(new.lifecycle, state=State.ACTIVATED))
        do(store, Op(OpKind.TRANSITION, new.id, again))
        assert texts(store.list(ANN)) == ["the pear boat"]
        assert texts(store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "pear"))) == ["the pear boat"]

    def test_a_transition_says_nothing_else_and_goes_where_it_may(self, store: Store) -> None:
        new = cube("pear")
        add(store, new)
        other = new.next_version(content="apple")
        with pytest.raises(InvalidInput):
            do(store, Op(OpKind.TRANSITION, new.id, other))
        do(store, Op(OpKind.TRANSITION, new.id, _in_state(new, State.MERGED)))
        merged = kept(store, new)
        with pytest.raises(IllegalTransition):
            do(store, Op(OpKind.TRANSITION, new.id, _in_state(merged, State.GENERATED)))
        assert kept(store, new) == merged

    def test_a_hold_is_lifted_only_to_the_state_before_it(self, store: Store) -> None:
        new = cube("pear")
        add(store, new)
        for state in (State.ARCHIVED, State.FROZEN):
            do(store, Op(OpKind.TRANSITION, new.id, _in_state(kept(store, new), state)))
        held = kept(store, new)
        for state in State:
            if state is State.FROZEN:
                assert do(store, Op(OpKind.TRANSITION, new.id, _in_state(held, state))) == [(new.id, "unchanged")]
            elif state is not State.ARCHIVED:
                with pytest.raises(AccessDenied):
                    do(store, Op(OpKind.TRANSITION, new.id, _in_state(held, state)))
        with pytest.raises(AccessDenied):
            do(store, updating(held, content="apple"))
        with pytest.raises(AccessDenied):  # nothing else changes with it
            do(store, Op(OpKind.TRANSITION, new.id, replace(_in_state(held, State.ARCHIVED), role=Role.FACT)))
        do(store, Op(OpKind.TRANSITION, new.id, _in_state(held, State.ARCHIVED)))
        assert kept(store, new).lifecycle.state is State.ARCHIVED

    def test_a_touch_makes_no_version_and_no_change(self, store: Store) -> None:
        new = cube("pear")
        add(store, new)
        sequence, there = store.sequence(), kept(store, new)
        life = replace(new.lifecycle, state=State.ACTIVATED, uses=3, stability=2.5, strength=0.5, last_used_at=NOW)
        assert do(store, Op(OpKind.TOUCH, new.id, replace(there, content="ignored", lifecycle=life))) == [
            (new.id, "updated")
        ]
        assert store.history(new.id) == [replace(there, lifecycle=life)]
        assert store.sequence() == sequence
        assert do(store, Op(OpKind.TOUCH, new.id, replace(there, lifecycle=life))) == [(new.id, "unchanged")]
        with pytest.raises(IllegalTransition):
            archived = replace(life, state=State.ARCHIVED)
            do(store, Op(OpKind.TOUCH, new.id, replace(there, lifecycle=archived)))
        do(store, Op(OpKind.TRANSITION, new.id, _in_state(kept(store, new), State.FROZEN)))
        assert do(store, Op(OpKind.TOUCH, new.id, replace(there, lifecycle=life))) == [(new.id, "unchanged")]

    def test_deleting_takes_with_it_what_was_derived(self, store: Store) -> None:
        root = cube("root")
        child = cube("child", provenance=Provenance(derived_from=(root.id,)))
        grandchild = cube("grandchild", provenance=Provenance(derived_from=(child.id, root.id)))
        add(store, root, child, grandchild, cube("stranger"))
        do(store, updating(kept(store, child), provenance=Provenance()))  # version 1 was derived all the same
        gone = do(store, deleting(root))
        assert set(gone) == {(each.id, "deleted") for each in (root, child, grandchild)}
        assert texts(store.list(ANN)) == ["stranger"]

    def test_a_frozen_descendant_holds_its_sources(self, store: Store) -> None:
        root = cube("root")
        held = cube("held", provenance=Provenance(derived_from=(root.id,)), lifecycle=Lifecycle(state=State.FROZEN))
        add(store, root, held)
        before = picture(store)
        with pytest.raises(AccessDenied):
            do(store, deleting(root))
        assert picture(store) == before

    def test_links_to_an_erased_cube_vanish(self, store: Store) -> None:
        target, other = cube("target"), cube("other")
        add(store, target, other)
        links = tuple(Link(LinkKind.SIMILAR, each.id, 0.25) for each in (other, target, other))
        both, only = cube("both", links=links), cube("only", links=links[1:2])
        add(store, both, only)
        do(store, updating(kept(store, both), content="both again"))
        assert [each.links for each in store.history(both.id)] == [links, links]
        do(store, deleting(target))
        assert [each.links for each in store.history(both.id)] == [(links[0], links[2])] * 2
        assert kept(store, only).links == ()
        assert store.verify() == []

    def test_the_blobs_of_all_versions_are_named(self, store: Store) -> None:
        assert store.blob_names() == set()
        one = blob_cube()
        add(store, one, cube("text"))
        newer = BlobRef("cd" * 32, 7, "application/octet-stream")
        do(store, updating(kept(store, one), content=newer))
        assert store.blob_names() == {"ab" * 32, "cd" * 32}
        do(store, deleting(one))
        assert store.blob_names() == set()

    # --- order and paging

    def test_lists_are_by_id_and_go_on_behind_any_id(self, store: Store) -> None:
        new = [cube(f"number {n}") for n in range(7)]
        shuffled = list(new)
        random.Random(1).shuffle(shuffled)  # noqa: S311
        add(store, *shuffled)
        do(store, updating(kept(store, new[0]), content="changed last"))
        order = [each.id for each in new]
        assert [each.id for each in store.list(ANN)] == order
        assert [each.id for each in store.list(ANN, limit=3)] == order[:3]
        assert [each.id for each in store.list(ANN, after=order[2], limit=3)] == order[3:6]
        assert [each.id for each in store.list(ANN, after=order[-1])] == []
        assert store.list(ANN, limit=0) == []
        do(store, deleting(new[2]))
        assert [each.id for each in store.list(ANN, after=order[2])] == order[3:]
        rows = store.select(ANN)
        assert rows.tolist() == sorted(rows.tolist())
        assert rows.dtype == np.int64

    def test_rows_are_read_in_the_order_asked_for(self, store: Store) -> None:
        one, two = cube("one"), cube("two")
        add(store, one, two)
        a, b = store.select(ANN).tolist()
        do(store, updating(kept(store, one), content="uno"))
        assert texts(store.at([b, a])) == ["two", "one"]
        assert texts(store.at(np.array([b, 10_000_000, a]))) == ["two", "one"]  # type: ignore[arg-type]
        assert store.at([]) == []
        do(store, deleting(two))
        assert texts(store.at([b, a])) == ["one"]

    def test_the_row_of_each_version_is_known(self, store: Store) -> None:
        one, two = cube("one"), cube("two")
        add(store, one, two)
        do(store, updating(kept(store, one), content="uno"))
        wanted = [(two.id, 1), (one.id, 2), (one.id, 1), (one.id, 3), (_new_id(NOW), 1)]
        rows = store.rows_of(wanted).tolist()
        assert texts(store.at(rows)) == ["two", "uno", "one"]
        assert rows[3:] == [0, 0]
        assert not store.vectors(np.array(rows), INFO)[3:].any()

    def test_export_goes_by_id_and_version(self, store: Store) -> None:
        one, two = cube("one"), cube("two", BOB)
        add(store, two)
        do(store, adding(one, b"key"))
        do(store, updating(kept(store, one), content="uno"))
        add(store, blob_cube())
        exported = list(store.export())
        assert [(each.id, each.version) for each, _, _ in exported[:3]] == [(one.id, 1), (one.id, 2), (two.id, 1)]
        assert exported[3][1:] == (None, b"")
        first = exported[0]
        assert first[2] == b"key"
        want = derived(one)
        assert first[1] is not None
        assert want is not None
        assert portrait(first[1]) == portrait(want)
        assert first[1].terms.dtype == np.uint32
        assert [each.content for each, _, _ in store.export(BOB)] == ["two"]

    def test_what_is_exported_can_be_written_into_another_store(self, store: Store) -> None:
        one = cube("one", time=Times(created_at=NOW))
        add(store, one, blob_cube())
        do(store, updating(kept(store, one), content="uno"), now=NOW + timedelta(days=1))
        other = ReferenceStore().open()
        other.use_embedder(INFO)
        with other.write() as tx:
            for each, found, key in store.export():
                apply(Op(OpKind.RESTORE, cube=each, derived=found, key=key), tx, now=NOW)
        assert other.list(ANN) == store.list(ANN)
        assert other.history(one.id) == store.history(one.id)
        assert other.verify() == store.verify() == []

    # --- the outline

    def test_the_outline_says_what_recall_needs(self, store: Store) -> None:
        narrow = Scope(user="ann", agent="tutor", session="monday")
        parts = {"provenance": Provenance(actor="Ann"), "time": Times(created_at=NOW + timedelta(microseconds=7))}
        early = datetime(1900, 1, 1, tzinfo=UTC)
        one, two, three = cube("a b", narrow, **parts), cube("c"), cube("d", time=Times(created_at=early))
        add(store, one, two, blob_cube(), three, cube("bob's", BOB))
        do(store, updating(kept(store, two), content="e f g"))
        outline = store.outline(Scope(user="ann", agent="no matter"))
        assert outline.rows.tolist() == sorted(outline.rows.tolist())
        by_id = {each.id: n for n, each in enumerate(store.at(outline.rows.tolist()))}
        assert set(by_id) == {one.id, two.id, three.id}
        places = [by_id[each.id] for each in (one, two, three)]
        assert [outline.actors[n] for n in places] == ["Ann", None, None]
        assert [outline.names[int(outline.scopes[n])] for n in places] == [narrow, ANN, ANN]
        assert [int(outline.created[n]) for n in places] == [
            int(NOW.timestamp()) * 10**6 + 7,
            np.iinfo(np.int64).min,
            -2_208_988_800 * 10**6,
        ]
        words = [[hash_of(word) for word in text.split()] for text in ("a b", "e f g", "d")]
        assert [np.frombuffer(outline.terms[n], "<u4").tolist() for n in places] == words
        assert outline.order.dtype == np.uint64
        high, low = outline.order[by_id[one.id]].tolist()
        assert f"{high:016x}{low:016x}" == one.id.replace("-", "")

        some = outline.rows[1:]
        part = store.outline(ANN, rows=some)
        assert part.rows.tolist() == some.tolist()
        assert len(store.outline(BOB, rows=some).rows) == 0
        assert len(store.outline(ANN, rows=some[:0]).rows) == 0

    def test_the_tally_counts_by_role_and_state(self, store: Store) -> None:
        add(store, cube("one"), cube("two"), cube("three", Scope(user="bob")))
        do(store, updating(kept(store, store.list(ANN)[0]), content="uno"))
        assert store.tally(ANN) == {("note", "generated"): 2}
        assert sum(store.tally().values()) == store.count() == 3
        assert store.tally(Scope(user="nobody")) == {}

    def test_index_terms_can_be_replaced(self, store: Store) -> None:
        add(store, cube("one"), cube("two"))
        b = store.select(ANN).tolist()[1]
        new = np.array([1, 2**32 - 1], dtype="<u4").tobytes()
        store.put_terms({b: new, 10_000_000: b""})
        assert list(store.outline(ANN).terms) == [np.uint32(hash_of("one")).tobytes(), new]
        assert store.count() == 2

    # --- the whole

    def test_settings_are_kept(self, store: Store) -> None:
        assert store.setting("terms") is None
        store.set_setting("terms", "1")
        store.set_setting("terms", "'2'; --\n日本")
        assert store.setting("terms") == "'2'; --\n日本"
        store.close()
        store.open()
        assert store.setting("terms") == "'2'; --\n日本"
        assert store.setting("Terms") is None

    def test_settings_are_written_and_removed_with_a_write_or_not_at_all(self, store: Store) -> None:
        with store.write() as tx:
            tx.set_setting("part:b", "2")
            tx.set_setting("part:a", "1")
            assert tx.setting("part:a") == "1"
        store.set_setting("party", "3")
        assert list(store.settings("part:").items()) == [("part:a", "1"), ("part:b", "2")]
        with pytest.raises(ZeroDivisionError), store.write() as tx:
            tx.set_setting("part:a", None)
            assert tx.setting("part:a") is None
            raise ZeroDivisionError
        assert store.setting("part:a") == "1"
        with store.write() as tx:
            tx.set_setting("part:a", None)
            tx.set_setting("part:none", None)
        assert store.settings("part:") == {"part:b": "2"}

    def test_usage_counts_current_memories_and_the_bytes_of_all_versions(self, store: Store) -> None:
        assert store.usage(ANN) == (0, 0)
        first, monday = cube("blå"), Scope(user="ann", session="monday")
        add(store, first, cube("x", monday), cube("of another", BOB))
        do(store, updating(first, content="blue"))
        assert store.usage(ANN) == (2, len("blå".encode()) + len("blue") + len("x"))
        assert store.usage(monday) == (1, 1)
        do(store, Op(OpKind.ADD, cube=blob_cube()))
        assert store.usage(ANN)[0] == 3

    def test_verify_names_what_is_wrong(self, store: Store) -> None:
        assert store.verify() == []
        do(store, Op(OpKind.ADD, cube=cube("bare")))
        add(store, cube("dangling", links=(Link(LinkKind.NEXT, _new_id(NOW)),)))
        problems = "\n".join(store.verify())
        assert "1 text memories have no index terms" in problems
        assert "1 text memories have no vector" in problems
        assert "1 links lead to memories that are not there" in problems

    def test_a_backup_is_written_beside_the_living_store(self, store: Store, folder: Path) -> None:
        add(store, cube("kept safe"))
        before = picture(store)
        target = folder / "copy" / "backup"
        target.parent.mkdir()
        store.backup(str(target))
        assert b"kept safe" in self.bytes_of(target)
        assert picture(store) == before
        with pytest.raises(StoreError):
            store.backup(str(folder / "no such folder" / "backup"))

    # --- laws 11 to 13: one store becomes what another is

    def test_while_a_store_is_being_copied_its_feed_tells_all(self, store: Store) -> None:
        one, two, three = cube("one"), cube("two", policy=Policy(readers=("user:eve",))), cube("three")
        four = cube("four", links=(Link(LinkKind.NEXT, three.id),))
        add(store, one, two, three, four)
        store.set_setting(MOVING, "1")
        start = store.sequence()
        used = replace(one, lifecycle=replace(one.lifecycle, uses=1))
        do(store, Op(OpKind.TOUCH, target=one.id, cube=used))
        with store.write() as tx:
            tx.forget_name("user:eve")
        (row,) = store.rows_of([(one.id, 1)])
        store.put_terms({int(row): b"1234"})
        store.put_vectors(np.array([row]), EMBEDDER.embed(["x"]), INFO)
        assert [(change.kind, change.cube_id) for change in follow(store, start)] == [
            ("written", each.id) for each in (one, two, one, one)
        ]
        start = store.sequence()
        do(store, deleting(three))
        assert {(change.kind, change.cube_id) for change in follow(store, start)} == {
            ("written", four.id),
            ("erased", three.id),
        }
        with store.write() as tx:
            tx.set_setting(MOVING, None)
        start = store.sequence()
        do(store, Op(OpKind.TOUCH, target=one.id, cube=replace(used, lifecycle=replace(one.lifecycle, uses=2))))
        assert store.sequence() == start

    def test_a_store_whose_memories_have_moved_takes_no_write(self, store: Store) -> None:
        add(store, cube("kept"))
        store.set_setting(MOVED_TO, "/elsewhere")
        before = picture(store)
        with pytest.raises(Moved, match="/elsewhere"):
            add(store, cube("lost"))
        with pytest.raises(Moved):
            store.set_setting(MOVED_TO, "nowhere")
        store.close()
        store.open()
        assert picture(store) == before

    def test_versions_are_those_of_the_export_with_their_rows(self, store: Store) -> None:
        one, two = cube("one"), cube("two", BOB)
        add(store, two)
        do(store, adding(one, b"key"))
        do(store, updating(kept(store, one), content="uno"))
        found = store.versions([two.id, one.id, one.id, _new_id(NOW)])
        wanted = [item for item in store.export() if item[0].id in (one.id, two.id)]
        assert [(s.cube, s.derived and portrait(s.derived), s.key) for s in found] == [
            (each, d and portrait(d), key) for each, d, key in wanted
        ]
        assert [s.row for s in found] == store.rows_of((s.cube.id, s.cube.version) for s in found).tolist()

    def test_what_another_store_holds_is_put_back_row_by_row(self, store: Store) -> None:
        other = ReferenceStore().open()
        other.use_embedder(INFO)
        one, two = cube("one"), cube("two", links=(Link(LinkKind.NEXT, _new_id(NOW)),))
        do(other, adding(one, b"key"), adding(two), adding(last := cube("erased")))
        do(other, updating(kept(other, one), content="uno"), deleting(last), now=NOW + timedelta(days=1))
        everything = other.versions([one.id, two.id])
        with store.write() as tx:
            for stored in reversed(everything):
                tx.restore(stored)
            tx.follow(other.changes(0))
        assert picture(store) == picture(other)
        with store.write() as tx:  # a cube put back anew keeps others' links to it, and is no change
            tx.clear(one.id)
            for stored in other.versions([one.id]):
                tx.restore(stored)
        assert picture(store) == picture(other)
        assert texts(store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "uno"))) == ["uno"]
        with pytest.raises(StoreError), store.write() as tx:
            tx.follow(other.changes(0, 1))
        with store.write() as tx:
            tx.clear(two.id)
        assert store.get(two.id) is None
        assert store.sequence() == other.sequence()
        for each in (store, other):  # both go on with the same numbers
            do(each, adding(replace(two, id=last.id, links=())))
        assert store.changes(other.sequence() - 1) == other.changes(other.sequence() - 1)

    # --- everything together

    def test_any_life_is_the_same_as_in_the_reference_store(self, store: Store) -> None:
        @settings(deadline=None)
        @given(st.lists(st.lists(_steps(), min_size=1, max_size=4), min_size=1, max_size=6))
        def check(writes: list[list[_Step]]) -> None:
            reference = ReferenceStore().open()
            reference.use_embedder(INFO)
            life = _Life(tenant=f"tenant {next(_numbers)}", start=store.sequence())
            for number, steps in enumerate(writes):
                now = NOW + timedelta(hours=number)
                plans = [step.plan(life) for step in steps]
                assert _attempt(store, plans, now) == _attempt(reference, plans, now)
            assert life.seen_in(store, life.start) == life.seen_in(reference, 0)

        check()


# --- parts of the longer tests -------------------------------------------------------------------------------------


def in_threads(jobs: Sequence[Callable[[], object]]) -> None:
    """Run all jobs at the same time and wait for them."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def is_searched(tree: Filter, of: MemCube) -> bool:
    return names_state(tree) or of.lifecycle.state in SEARCHED_STATES


def _in_state(of: MemCube, state: State) -> MemCube:
    return of.next_version(lifecycle=replace(of.lifecycle, state=state))


def blob_cube(scope: Scope = ANN) -> MemCube:
    blob = BlobRef("ab" * 32, 7, "application/octet-stream")
    return MemCube(id=_new_id(NOW), content=blob, scope=scope, substrate=Substrate.PARAMETRIC, role=Role.STATE)


def _links(cubes: Sequence[MemCube], among: Sequence[int], rng: random.Random) -> tuple[Link, ...]:
    return tuple(Link(LinkKind.SIMILAR, cubes[n].id, 0.5) for n in rng.sample(among, 2))


@dataclass(frozen=True)
class _Secret:
    """A text that can be recognised by any of its parts, wherever its bytes lie."""

    word: str
    signs: str
    vector: Vector
    length: int

    @classmethod
    def make(cls, number: int, rng: random.Random) -> _Secret:
        word = "".join(rng.choices("bcdfghjklmnpqrstvwxz", k=14))
        signs = "".join(chr(0x20000 + 4 * number + n) for n in range(4))  # rare characters, used in no other text
        vector = np.array([rng.gauss(0, 1) for _ in range(16)], dtype=np.float32)
        return cls(word, signs, vector, rng.choice((1, 1, 5, 30, 150)))

    @property
    def key(self) -> bytes:
        return b"key:" + self.word.encode()

    def as_cube(self) -> MemCube:
        filler = "the meeting was moved to another day " * self.length
        return cube(
            f"{self.word.title()} {filler} {self.signs} {self.word.upper()}",
            provenance=Provenance(source=f"file/{self.word}", actor=f"by {self.word}"),
            annotations=Annotations(tags=(f"tag {self.word}",), data={"strategy": {"note": self.word}}),
        )

    def traces(self) -> Iterator[bytes]:
        """Yield what must not be found; indexes cut off what a word shares with its neighbour, so ends count."""
        for form in (self.word, self.word.upper(), self.word.title()):
            yield form[5:].encode()
            yield form[5:].encode("utf-16-le")
            yield form[5:].encode("utf-16-be")
        yield self.signs[1:3].encode()
        yield self.signs[1:3].encode("utf-16-le")
        yield self.vector[:8].tobytes()
        yield self.vector[8:].tobytes()


@dataclass(frozen=True)
class _Step:
    """One drawn step of a life. ``which`` and ``others`` pick among the cubes that were ever added.

    valid  hours between which it is true; -1 and 9 are no bounds
    """

    kind: str
    text: str
    which: int
    others: tuple[int, ...]
    place: int
    key: int | None
    state: State
    tag: str
    valid: tuple[int, int]

    def plan(self, life: _Life) -> Callable[[Transaction, datetime], object]:
        """Return what to do inside a write; the same on every store."""
        target = life.ids[self.which % len(life.ids)] if life.ids else _new_id(NOW)
        others = tuple(life.ids[n % len(life.ids)] for n in self.others) if life.ids else ()
        if self.kind == "stop":
            return self._stop
        if self.kind == "delete":
            return lambda tx, now: apply(Op(OpKind.DELETE, target), tx, now=now)
        links = tuple(Link(LinkKind.SIMILAR, other, 0.5) for other in others)
        if self.kind == "update":
            return lambda tx, now: apply(self._update(tx, target, links), tx, now=now)
        if self.kind in ("transition", "touch"):
            return lambda tx, now: apply(self._move(tx, target), tx, now=now)
        new = cube(
            self.text,
            life.scopes[self.place],
            links=links,
            provenance=Provenance(derived_from=others[:1], actor=self.tag),
            lifecycle=Lifecycle(state=self.state),
            annotations=Annotations(tags=(self.tag,)),
            time=Times(valid_from=self._moment(min(self.valid)), valid_to=self._moment(max(self.valid))),
        )
        life.ids.append(new.id)
        op = adding(new, b"" if self.key is None else life.key(self.key))
        return lambda tx, now: apply(op, tx, now=now)

    @staticmethod
    def _moment(hours: int) -> datetime | None:
        return None if hours in (-1, 9) else NOW + timedelta(hours=hours)

    def _update(self, tx: Transaction, target: CubeId, links: tuple[Link, ...]) -> Op:
        old = tx.current(target)
        if old is None:
            raise NotFound(f"There is no memory {target}.")
        return updating(old, content=self.text, links=links)

    def _move(self, tx: Transaction, target: CubeId) -> Op:
        old = tx.current(target)
        if old is None:
            raise NotFound(f"There is no memory {target}.")
        if self.kind == "touch":
            life = replace(old.lifecycle, state=self.state, uses=self.which)
            return Op(OpKind.TOUCH, target, replace(old, lifecycle=life))
        return Op(OpKind.TRANSITION, target, _in_state(old, self.state))

    @staticmethod
    def _stop(tx: Transaction, now: datetime) -> None:
        raise Stop


def _steps() -> st.SearchStrategy[_Step]:
    numbers = st.integers(0, 9)
    return st.builds(
        _Step,
        kind=st.sampled_from(["add"] * 4 + ["update", "transition"] * 2 + ["touch", "delete", "delete", "stop"]),
        text=mine.texts(),
        which=numbers,
        others=st.lists(numbers, max_size=2).map(tuple),
        place=st.integers(0, 2),
        key=st.none() | st.integers(0, 2),
        state=st.sampled_from([State.GENERATED] * 6 + list(State)),
        tag=st.sampled_from(["red", "blue", "it's"]),
        valid=st.just((-1, 9)) | st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    )


class _Life:
    """What a drawn life has touched, and how a store shows it."""

    def __init__(self, tenant: str, start: int) -> None:
        self.tenant = tenant
        self.start = start
        self.scopes = [
            Scope(tenant, "ann"),
            Scope(tenant, "ann", "tutor", "monday"),
            Scope(tenant, "bob", None, "monday"),
        ]
        self.ids: list[CubeId] = []

    def key(self, number: int) -> bytes:
        return f"{self.tenant}/{number}".encode()

    def seen_in(self, store: Store, start: int) -> Mapping[str, Any]:
        keys = [self.key(number) for number in range(3)]
        return {
            "history": [store.history(cube_id) for cube_id in self.ids],
            "current": [store.get(cube_id) for cube_id in self.ids],
            "found": store.find(keys),
            "changes": [(change.kind, change.cube_id) for change in store.changes(start)],
            "scopes": sorted(str(scope) for scope in store.scopes() if scope.tenant == self.tenant),
            "views": [self._view(store, scope) for scope in self.scopes],
        }

    def _view(self, store: Store, scope: Scope) -> list[Any]:
        rows = store.select(scope, ALL_STATES)
        outline = store.outline(scope, all_states=True)
        tree = Or((Where(Field.TAG, Comparison.EQ, "it's"), Where(Field.TEXT, Comparison.CONTAINS, "abk")))
        return [
            store.count(scope),
            store.list(scope),
            store.list(scope, ALL_STATES),
            store.list(scope, tree),
            store.at(rows.tolist()),
            store.vectors(rows, INFO).tobytes(),
            [(each, d and portrait(d), key) for each, d, key in store.export(scope)],
            [each.id for each in store.at(outline.rows.tolist())],
            outline.order.tolist(),
            outline.created.tolist(),
            list(outline.terms),
            list(outline.actors),
            [outline.names[number] for number in outline.scopes.tolist()],
            len(store.outline(scope).rows),
            *(self._view_as_of(store, scope, NOW + timedelta(minutes=30 * n)) for n in range(-1, 13)),
        ]

    def _view_as_of(self, store: Store, scope: Scope, moment: datetime) -> list[Any]:
        outline = store.outline(scope, all_states=True, as_of=moment)
        seen = store.list(scope, ALL_STATES, as_of=moment)
        every = [each for cube_id in sorted(self.ids) for each in store.history(cube_id)]
        assert seen == [each for each in every if scope.covers(each.scope) and held_at(each, moment)]
        return [seen, store.at(store.select(scope, as_of=moment).tolist()), store.at(outline.rows.tolist())]


def _attempt(
    store: Store, plans: Sequence[Callable[[Transaction, datetime], object]], now: datetime
) -> tuple[list[object], str]:
    """Return what each step gave, and the name of the error that ended the write."""
    given: list[object] = []
    error = ""
    try:
        with store.write() as tx:
            for plan in plans:
                given.append(plan(tx, now))
    except (Stop, AnamnosError) as exc:
        error = type(exc).__name__
    return given, error
