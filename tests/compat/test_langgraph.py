"""``AnamnosStore`` does what LangGraph's own store does, and what that promises of stores that last."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("langgraph", reason="needs the package langgraph")
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore, GetOp, InvalidNamespaceError, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from anamnos import Memory, Scope
from anamnos.compat.langgraph import AnamnosStore
from anamnos.errors import AccessDenied, InvalidInput, NotFound
from anamnos.system.governance.access import Principal
from anamnos.testing import FakeClock

LABELS = st.sampled_from(["ann", "bob", "notes", "a/b", "50%", "weiß"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["a", "b", "c/d", "e\nf", "http://x.y"]) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    LEAVES | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
VALUES = st.dictionaries(st.sampled_from(["text", "n", "x"]), JSON, max_size=3)
PUTS = st.tuples(NAMESPACES, KEYS, st.none() | VALUES)


def plain(items: list[Any]) -> dict[Any, Any]:
    return {(item.namespace, item.key): item.value for item in items}


@settings(max_examples=25)
@given(st.lists(PUTS, max_size=8), st.sampled_from([None, 0, 1]))
def test_it_holds_what_langgraphs_own_store_holds(puts: list[Any], user_at: int | None) -> None:
    theirs = InMemoryStore()
    with tempfile.TemporaryDirectory() as folder, Memory(folder, embedder="hashing") as memory:
        ours = AnamnosStore(memory, user_at=user_at)
        for namespace, key, value in puts:
            for store in (theirs, ours):
                if value is None:
                    store.delete(namespace, key)
                else:
                    store.put(namespace, key, value)
        for namespace, key, _ in puts:
            a, b = theirs.get(namespace, key), ours.get(namespace, key)
            assert (a and a.value) == (b and b.value)
            for prefix in (namespace, namespace[:1], ()):
                assert plain(theirs.search(prefix, limit=99)) == plain(ours.search(prefix, limit=99))
        full = {item.namespace for item in theirs.search((), limit=99)}
        assert set(ours.list_namespaces()) == full
        assert memory.verify() == []


@settings(max_examples=15)
@given(st.lists(st.tuples(NAMESPACES, KEYS, VALUES), max_size=5))
def test_items_are_the_same_with_their_times_after_closing_and_moving(puts: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with Memory(path / "one", embedder="hashing") as memory:
            store = AnamnosStore(memory, user_at=0)
            for namespace, key, value in puts:
                store.put(namespace, key, value)
            before = store.search((), limit=99)
            memory.export(path / "all.jsonl")
        with Memory(path / "one", embedder="hashing") as memory:
            assert AnamnosStore(memory, user_at=0).search((), limit=99) == before
        with Memory(path / "two", embedder="hashing") as memory:
            memory.import_(path / "all.jsonl")
            assert AnamnosStore(memory, user_at=0).search((), limit=99) == before


@pytest.fixture
def store(memory: Memory) -> AnamnosStore:
    return AnamnosStore(memory, user_at=1)


def test_values_are_found_by_meaning_in_their_namespace(store: AnamnosStore) -> None:
    store.put(("memories", "ann"), "tea", {"text": "Ann likes green tea", "about": {"hour": 5}})
    store.put(("memories", "ann"), "car", {"text": "The car is parked behind the library"})
    store.put(("memories", "bob"), "tea", {"text": "Bob likes green tea, too"})
    found = store.search(("memories", "ann"), query="Who likes green tea?")
    assert [item.key for item in found] == ["tea", "car"]
    assert {item.namespace for item in found} == {("memories", "ann")}
    assert all(0.0 <= item.score <= 1.0 for item in found) and found[0].score > found[1].score
    both = store.search(("memories",), query="Who likes green tea?", limit=2)
    assert {item.namespace for item in both} == {("memories", "ann"), ("memories", "bob")}
    assert store.search(("else",), query="tea") == []


def test_a_namespace_is_a_scope_of_its_user(memory: Memory, store: AnamnosStore) -> None:
    store.put(("memories", "ann"), "tea", {"text": "Ann likes green tea"})
    store.put(("memories", "bob"), "tea", {"text": "Bob likes coffee"})
    [cube] = memory.list(Scope(user="ann"))
    assert (cube.content, cube.scope.session) == ("Ann likes green tea", "memories/ann")
    memory.forget_person("ann")
    assert store.get(("memories", "ann"), "tea") is None
    assert store.list_namespaces() == [("memories", "bob")]


def test_a_principal_reaches_its_own_namespaces_only(memory: Memory, store: AnamnosStore) -> None:
    store.put(("memories", "bob"), "code", {"text": "Bob's code is 1234"})
    with memory.as_principal(Principal("user:ann")) as view:
        hers = AnamnosStore(view, user_at=1)
        hers.put(("memories", "ann"), "code", {"text": "Ann's code is 42"})
        assert [item.value["text"] for item in hers.search((), query="code")] == ["Ann's code is 42"]
        assert hers.list_namespaces() == [("memories", "ann")] and hers.get(("memories", "bob"), "code") is None
        with pytest.raises(AccessDenied):
            hers.put(("memories", "bob"), "new", {"text": "no"})
        with pytest.raises(NotFound):
            hers.put(("memories", "bob"), "code", {"text": "no"})
        hers.delete(("memories", "bob"), "code")  # as if it were not there
    assert [item.value["text"] for item in store.search(("memories", "bob"))] == ["Bob's code is 1234"]


def test_a_put_over_an_item_is_its_next_version(memory: Memory, store: AnamnosStore) -> None:
    store.put(("notes",), "a", {"text": "red"})
    first = store.get(("notes",), "a")
    store.put(("notes",), "a", {"text": "blue", "n": 1})
    item = store.get(("notes",), "a")
    assert item is not None and first is not None and item.value == {"text": "blue", "n": 1}
    assert item.created_at == first.created_at and item.updated_at > first.updated_at
    [cube] = memory.list(Scope(agent="langgraph"))
    assert [version.content for version in memory.history(cube.id, cube.scope)] == ["red", "text: blue\nn: 1"]


@pytest.mark.parametrize(
    ("filter", "keys"),
    [
        ({"n": 2}, {"b"}),
        ({"n": {"$gte": 2}}, {"b", "c"}),
        ({"n": {"$gt": 1, "$lt": 3}}, {"b"}),
        ({"n": {"$ne": 2}, "kind": "x"}, {"a", "c"}),
        ({"at": {"city": "Rome"}}, {"c"}),
        ({"missing": {"$lt": 3}}, set()),
    ],
)
@pytest.mark.parametrize("query", [None, "thing"])
def test_filters(store: AnamnosStore, filter: dict[str, Any], keys: set[str], query: str | None) -> None:
    for number, key in enumerate("abc", start=1):
        at = {"city": "Rome"} if key == "c" else {}
        store.put(("things",), key, {"text": f"thing {key}", "n": number, "kind": "x", "at": at})
    assert {item.key for item in store.search(("things",), query=query, filter=filter)} == keys


def test_a_filter_that_few_pass_finds_them_among_many(store: AnamnosStore) -> None:
    for number in range(60):
        store.put(("things",), f"{number}", {"text": f"thing {number}", "rare": number == 59})
    assert [i.key for i in store.search(("things",), query="thing 1", filter={"rare": True}, limit=3)] == ["59"]
    with pytest.raises(InvalidInput, match="no operator"):
        store.search(("things",), filter={"n": {"$near": 3}})


def test_pages_hold_each_item_once(store: AnamnosStore) -> None:
    for number in range(7):
        store.put(("things",), f"{number}", {"text": f"thing {number}"})
    for query in (None, "thing"):
        pages = [store.search(("things",), query=query, limit=3, offset=start) for start in (0, 3, 6)]
        assert [len(page) for page in pages] == [3, 3, 1]
        assert {item.key for page in pages for item in page} == set("0123456")


def test_what_is_not_indexed_comes_last_and_without_a_score(store: AnamnosStore) -> None:
    store.put(("n",), "hidden", {"text": "the blue pot"}, index=False)
    store.put(("n",), "title", {"title": "the blue pot", "text": "something else"}, index=["title"])
    found = store.search(("n",), query="blue pot")
    assert [(item.key, item.score is None) for item in found] == [("title", False), ("hidden", True)]


def test_time_to_live(tmp_path: Any) -> None:
    clock = FakeClock(datetime(2025, 1, 1, tzinfo=UTC))
    with Memory(tmp_path, embedder="hashing", clock=clock) as memory:
        store = AnamnosStore(memory, ttl={"default_ttl": 60, "refresh_on_read": True})
        store.put(("n",), "short", {"text": "one"})
        store.put(("n",), "long", {"text": "two"}, ttl=None)
        clock.advance(seconds=50 * 60)
        assert store.get(("n",), "short") is not None  # its hour begins anew
        clock.advance(seconds=50 * 60)
        assert store.get(("n",), "short", refresh_ttl=False) is not None
        clock.advance(seconds=50 * 60)
        assert store.get(("n",), "short") is None
        assert [item.key for item in store.search(("n",), query="one two")] == ["long"]
        memory.expire()
        store.put(("n",), "short", {"text": "again"}, ttl=None)
        clock.advance(days=3)
        item = store.get(("n",), "short")
        assert item is not None and item.created_at == clock() - timedelta(days=3)
        assert len(memory.history(memory.list(Scope(agent="langgraph"))[-1].id, Scope(agent="langgraph"))) == 1


def test_a_batch_reads_first_and_the_last_put_of_a_key_counts(store: AnamnosStore) -> None:
    store.put(("n",), "a", {"v": 1})
    results = store.batch(
        [PutOp(("n",), "a", {"v": 2}), GetOp(("n",), "a"), PutOp(("n",), "a", {"v": 3}), SearchOp(("n",))]
    )
    assert results[1].value == {"v": 1} and results[3][0].value == {"v": 1} and results[0] is results[2] is None
    item = store.get(("n",), "a")
    assert item is not None and item.value == {"v": 3}


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}, {1: "x"}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused_and_nothing_is_written(store: AnamnosStore, value: Any) -> None:
    with pytest.raises(InvalidInput):
        store.batch([PutOp(("n",), "good", {"v": 1}), PutOp(("n",), "bad", value)])
    assert store.search(()) == []


def test_namespaces_are_checked(store: AnamnosStore) -> None:
    with pytest.raises(InvalidNamespaceError):
        store.put(("a.b",), "k", {"v": 1})
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp(("a.b",), "k", {"v": 1})])
    with pytest.raises(InvalidInput):
        store.put(("x" * 600,), "k", {"v": 1})
    with pytest.raises(InvalidInput):
        store.batch([PutOp(("n",), "good", {"v": 1}), PutOp(("n",), "x" * 5_000, {"v": 1})])
    assert store.search(()) == []
    with pytest.raises(InvalidInput):
        AnamnosStore(store.memory, user_at=-1)


def test_namespaces_are_listed_as_by_langgraph(store: AnamnosStore) -> None:
    theirs = InMemoryStore()
    for namespace in [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("z",)]:
        for each in (store, theirs):
            each.put(namespace, "k", {"v": 1})
    for options in (
        {},
        {"prefix": ("a",)},
        {"suffix": ("c",)},
        {"prefix": ("a", "*", "c")},
        {"max_depth": 2},
        {"limit": 2, "offset": 1},
    ):
        assert store.list_namespaces(**options) == theirs.list_namespaces(**options), options


def test_what_else_is_in_the_vault_is_not_the_stores(memory: Memory, store: AnamnosStore) -> None:
    memory.add("A note of the agent's own", Scope(agent="langgraph", session="n"))
    memory.add("Of the user", Scope(user="ann"))
    assert store.search(()) == [] and store.list_namespaces() == []
    store.put(("n",), "k", {"text": "note"})
    assert [item.key for item in store.search(("n",), query="note of the agent")] == ["k"]


def test_what_sleep_archived_is_still_there(memory: Memory, store: AnamnosStore) -> None:
    store.put(("n",), "k", {"text": "a red bicycle"})
    [cube] = memory.list(Scope(agent="langgraph"))
    memory.archive(cube.id, cube.scope)
    assert store.get(("n",), "k") is not None
    assert [item.key for item in store.search(("n",), query="bicycle")] == ["k"]


def test_awaited(store: AnamnosStore) -> None:
    async def main() -> None:
        await asyncio.gather(*(store.aput(("n",), f"{i}", {"text": f"thing {i}"}) for i in range(8)))
        assert len(await store.asearch(("n",), query="thing")) == 8
        await store.adelete(("n",), "3")
        assert await store.aget(("n",), "3") is None

    asyncio.run(main())


def test_of_many_writers_of_a_key_one_has_it(store: AnamnosStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(("n",), "k", {"text": f"thing {number}", "n": number}), range(24)))
        list(pool.map(lambda number: store.delete(("n",), f"gone {number % 2}"), range(8)))
    [item] = store.search(("n",))
    assert item.value["text"] == f"thing {item.value['n']}"
    assert [hit.content for hit in store.memory.search("thing", Scope(agent="langgraph"))] == [
        f"text: {item.value['text']}\nn: {item.value['n']}"
    ]


class State(TypedDict, total=False):
    user: str
    said: str
    reply: str


def test_a_graph_remembers_from_one_run_to_the_next(tmp_path: Any) -> None:
    def answer(state: State, *, store: BaseStore) -> State:
        namespace = ("memories", state["user"])
        known = store.search(namespace, query=state["said"], limit=1)
        store.put(namespace, state["said"], {"text": state["said"]})
        return {"reply": known[0].value["text"] if known else "I do not know"}

    def graph(memory: Memory) -> Any:
        builder = StateGraph(State)
        builder.add_node("answer", answer)
        builder.add_edge(START, "answer")
        builder.add_edge("answer", END)
        return builder.compile(store=AnamnosStore(memory, user_at=1))

    with Memory(tmp_path, embedder="hashing") as memory:
        assert graph(memory).invoke({"user": "ann", "said": "I live in Lisbon"})["reply"] == "I do not know"
    with Memory(tmp_path, embedder="hashing") as memory:
        assert graph(memory).invoke({"user": "ann", "said": "Where do I live?"})["reply"] == "I live in Lisbon"
        assert graph(memory).invoke({"user": "bob", "said": "Where do I live?"})["reply"] == "I do not know"
