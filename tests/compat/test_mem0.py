"""Mem0's verbs over a vault: their arguments, results and errors. Only what compares with Mem0 itself needs it."""

import asyncio
import importlib.metadata
import inspect
import re
import sys
import types
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory as Vault
from anamnos import Scope
from anamnos.compat.mem0 import AsyncMemory, AsyncMemoryClient, Memory, MemoryClient
from anamnos.errors import AccessDenied, AnamnosError, InvalidInput, LimitExceeded
from anamnos.system.governance.access import Principal
from anamnos.testing import FakeClock

ANN = {"user_id": "ann"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = TEXT.filter(str.strip)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
METADATA = st.dictionaries(
    TEXT.filter(lambda key: key not in ("user_id", "agent_id", "run_id", "actor_id")), JSON, max_size=3
)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with Vault(tmp_path / "vault", embedder="hashing") as opened:
        yield opened
        assert opened.verify() == []


@pytest.fixture
def m(vault: Vault) -> Memory:
    return Memory(memory=vault)


def said(found: Any) -> list[str]:
    return [each["memory"] for each in found["results"]]


# --- beside Mem0 itself


def test_the_quick_start_of_mem0s_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code, as the installed package has it, but for the import; the model answers with what it was told."""
    pytest.importorskip("mem0", reason="needs the package mem0ai")
    readme = importlib.metadata.metadata("mem0ai").get_payload()  # type: ignore[attr-defined]
    codes = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    code = next(code for code in codes if "from mem0 import Memory" in code)
    code = code.replace("from mem0 import Memory", "from anamnos.compat.mem0 import Memory")

    def create(model: str, messages: list[dict[str, str]]) -> Any:
        reply = types.SimpleNamespace(content=messages[0]["content"].split("User Memories:\n")[1] or "nothing yet")
        return types.SimpleNamespace(choices=[types.SimpleNamespace(message=reply)])

    client = types.SimpleNamespace(chat=types.SimpleNamespace(completions=types.SimpleNamespace(create=create)))
    openai = types.ModuleType("openai")
    openai.OpenAI = lambda: client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "openai", openai)
    monkeypatch.setenv("ANAMNOS_VAULT", str(tmp_path / "vault"))
    monkeypatch.setenv("ANAMNOS_EMBEDDER", "hashing")
    typed = iter(["I live in Lisbon.", "In which city do I live?", "exit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    printed: list[str] = []
    monkeypatch.setattr("builtins.print", lambda *words: printed.append(" ".join(map(str, words))))
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "README", "exec"), names)
    names["memory"].close()
    assert printed[1] == "AI: nothing yet" and "- I live in Lisbon." in printed[2]
    with Vault(tmp_path / "vault") as vault:
        kept = [cube.text for cube in vault.list(Scope(user="default_user"))]
        assert not any("You are a helpful AI" in text for text in kept)  # what was recalled is not remembered again


@pytest.mark.parametrize("ours", [Memory, AsyncMemory, MemoryClient, AsyncMemoryClient])
def test_the_verbs_take_what_mem0s_take(ours: type) -> None:
    mem0 = pytest.importorskip("mem0", reason="needs the package mem0ai")
    theirs = getattr(mem0, ours.__name__)
    verbs = ["add", "get", "get_all", "search", "update", "delete", "delete_all", "history", "reset"]
    verbs += ["batch_update", "batch_delete", "users"] if "Client" in ours.__name__ else ["from_config", "close"]
    for verb in verbs:
        have, want = (inspect.signature(getattr(kind, verb)).parameters for kind in (ours, theirs))
        for name, parameter in want.items():
            if name == "self":
                continue
            assert name in have, f"{verb}({name})"
            assert have[name].kind == parameter.kind, f"{verb}({name})"
            both = have[name].default, parameter.default
            assert both[0] == both[1] or repr(both[1]).startswith("<object"), f"{verb}({name}) {both}"
        assert inspect.iscoroutinefunction(getattr(ours, verb)) in (
            inspect.iscoroutinefunction(getattr(theirs, verb)),
            ours is AsyncMemoryClient,  # theirs are wrapped
        ), verb


def test_results_have_the_fields_of_mem0s(m: Memory) -> None:
    pytest.importorskip("mem0", reason="needs the package mem0ai")
    from mem0.configs.base import MemoryItem

    added = m.add("I like tea", user_id="ann", agent_id="cook", run_id="june", metadata={"a": 1})["results"][0]
    assert set(added) >= {"id", "memory", "event", "actor_id", "role"}
    [found] = m.search("tea", filters=ANN)["results"]
    assert set(found) >= set(MemoryItem.model_fields)
    MemoryItem(**{name: found[name] for name in MemoryItem.model_fields})
    assert (found["user_id"], found["agent_id"], found["run_id"]) == ("ann", "cook", "june")
    assert len(found["hash"]) == 32 and found["metadata"] == {"a": 1} and 0 <= found["score"] <= 1


# --- the verbs


def test_a_life(m: Memory) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful AI. Memories: …"},
        {"role": "user", "content": "I love sci-fi movies"},
        {"role": "assistant", "content": "Got it!"},
    ]
    results = m.add(messages, user_id="ann", metadata={"category": "movies"})["results"]
    assert [(r["memory"], r["event"], r["role"]) for r in results] == [
        ("I love sci-fi movies", "ADD", "user"),
        ("Got it!", "ADD", "assistant"),
    ]
    one = results[0]["id"]
    first = m.get(one)
    assert first is not None and first["memory"] == "I love sci-fi movies" and first["user_id"] == "ann"
    assert said(m.search("which movies?", filters=ANN, top_k=1)) == ["I love sci-fi movies"]
    assert m.update(one, text="I love thrillers", metadata={"sure": True}) == {
        "message": "Memory updated successfully!"
    }
    changed = m.get(one)
    assert changed is not None and changed["metadata"] == {"category": "movies", "sure": True}
    assert changed["created_at"] == first["created_at"] and changed["updated_at"] > first["updated_at"]
    assert [(h["event"], h["old_memory"], h["new_memory"]) for h in m.history(one)] == [
        ("ADD", None, "I love sci-fi movies"),
        ("UPDATE", "I love sci-fi movies", "I love thrillers"),
    ]
    m.delete(one)
    assert m.get(one) is None and m.history(one) == [] and said(m.get_all(filters=ANN)) == ["Got it!"]
    m.delete_all(user_id="ann")
    assert m.get_all(filters=ANN) == {"results": []}


@settings(max_examples=25)
@given(texts=st.lists(st.tuples(WORDS, METADATA), max_size=4), more=METADATA)
def test_words_and_metadata_come_back(tmp_path_factory: Any, texts: list[Any], more: dict[str, Any]) -> None:
    with Vault(tmp_path_factory.mktemp("vault"), embedder="hashing") as vault:
        m = Memory(memory=vault)
        for text, metadata in texts:
            one = m.add(text, user_id="ann", metadata=metadata)["results"][0]["id"]
            found = m.get(one)
            assert found is not None and found["memory"] == text and (found["metadata"] or {}) == metadata
            m.update(one, metadata=more)
            found = m.get(one)
            assert found is not None and (found["metadata"] or {}) == {**metadata, **more}
        ids = [each["id"] for each in m.get_all(filters=ANN, top_k=99)["results"]]
        assert len(ids) == len(set(ids)) and vault.verify() == []


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
FIRST = datetime(1971, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 4 * 10**15).map(lambda micros: FIRST + timedelta(microseconds=micros))


@settings(max_examples=25)
@given(
    ids=st.tuples(NAMES, st.none() | NAMES, st.none() | NAMES),
    moment=MOMENTS,
    role=st.sampled_from(["user", "assistant"]),
)
def test_ids_and_times_come_back(tmp_path_factory: Any, ids: Any, moment: datetime, role: str) -> None:
    named = {name: value for name, value in zip(("user_id", "agent_id", "run_id"), ids, strict=True) if value}
    folder = tmp_path_factory.mktemp("vault")
    with Vault(folder, embedder="hashing") as vault:
        message = {"role": role, "content": "I like tea"}
        one = Memory(memory=vault).add(message, **named, timestamp=moment)["results"][0]["id"]
    with Vault(folder, embedder="hashing") as vault:
        found = Memory(memory=vault).get(one)
        assert found is not None and {name: found.get(name) for name in named} == named
        assert datetime.fromisoformat(found["created_at"]) == moment and found["role"] == role
        assert said(Memory(memory=vault).get_all(filters=named)) == ["I like tea"]


def test_the_same_twice_is_one_memory_unless_its_metadata_differs(m: Memory) -> None:
    first = m.add("I like tea", user_id="ann", metadata={"a": 1})["results"][0]
    again = m.add("I like tea", user_id="ann", metadata={"a": 1})["results"][0]
    other = m.add("I like tea", user_id="ann", metadata={"a": 2})["results"][0]
    assert (again["event"], again["id"]) == ("NONE", first["id"]) and other["event"] == "ADD"
    assert [each["metadata"] for each in m.get_all(filters=ANN)["results"]] == [{"a": 1}, {"a": 2}]
    m.update(first["id"], text="I like coffee")
    assert m.add("I like tea", user_id="ann", metadata={"a": 1})["results"][0]["event"] == "ADD"  # it is not there


def test_metadata_cannot_say_whose_it_is(m: Memory) -> None:
    with pytest.warns(UserWarning, match="user_id in metadata is left out"):
        one = m.add("x", user_id="ann", metadata={"user_id": "bob", "a": 1})["results"][0]["id"]
    found = m.get(one)
    assert found is not None and found["user_id"] == "ann" and found["metadata"] == {"a": 1}


def test_ids_are_scopes_as_mem0_has_them(vault: Vault, m: Memory) -> None:
    m.add("for ann and the cook", user_id="ann", agent_id="cook")
    m.add("for ann in june", user_id="ann", run_id="june")
    m.add("for bob and the cook", user_id="bob", agent_id="cook")
    m.add("for the cook alone", agent_id="cook")
    want = {
        ("user_id", "ann"): {"for ann and the cook", "for ann in june"},
        ("user_id", "bob"): {"for bob and the cook"},
        ("agent_id", "cook"): {"for ann and the cook", "for bob and the cook", "for the cook alone"},
        ("run_id", "june"): {"for ann in june"},
        ("user_id", "nobody"): set(),
    }
    for (name, value), texts in want.items():
        assert set(said(m.get_all(filters={name: value}))) == texts
        assert set(said(m.search("for the cook in june", filters={name: value}, threshold=0.0))) == texts
    assert set(said(m.search("for", filters={"user_id": "ann", "agent_id": "cook"}))) == {"for ann and the cook"}
    assert {c.text for c in vault.list(Scope(user="ann", agent="cook"))} == {"for ann and the cook"}
    m.delete_all(user_id="ann", agent_id="cook")
    assert said(m.get_all(filters={"agent_id": "cook"})) == ["for bob and the cook", "for the cook alone"]
    assert said(m.get_all(filters=ANN)) == ["for ann in june"]
    elsewhere = Memory(memory=vault, tenant="elsewhere")
    assert (
        elsewhere.get_all(filters=ANN) == {"results": []} and elsewhere.get(vault.list(Scope(user="ann"))[0].id) is None
    )


def test_a_principal_reaches_its_own_memories_only(vault: Vault, m: Memory) -> None:
    bobs = m.add("Bob's code is 1234", user_id="bob")["results"][0]["id"]
    with vault.as_principal(Principal("user:ann")) as view:
        hers = Memory(memory=view)
        hers.add("Ann's code is 42", user_id="ann")
        assert said(hers.search("code", filters=ANN)) == ["Ann's code is 42"]
        assert hers.get_all(filters={"user_id": "bob"}) == {"results": []} and hers.get(bobs) is None
        with pytest.raises(AccessDenied):
            hers.add("x", user_id="bob")
        hers.delete_all(user_id="bob")
        with pytest.raises(ValueError):
            hers.delete(bobs)
    assert said(m.get_all(filters={"user_id": "bob"})) == ["Bob's code is 1234"]


def test_nothing_is_destroyed_that_nobody_named(m: Memory) -> None:
    m.add("I like tea", user_id="ann")
    for refused in (m.delete_all, m.reset, lambda: m.reset(tenant="else"), lambda: m.delete_all(user_id="")):
        with pytest.raises(ValueError, match=r"^Nothing is|Invalid"):
            refused()
    assert said(m.get_all(filters=ANN)) == ["I like tea"]
    m.reset(tenant="default")
    assert m.get_all(filters=ANN) == {"results": []}


FILTERS = [
    ({"n": 2}, "b"),
    ({"n": {"gte": 2}}, "bc"),
    ({"n": {"gt": 1, "lt": 3}}, "b"),
    ({"n": {"in": [1, 3]}}, "ac"),
    ({"n": {"nin": [1, 3]}}, "b"),
    ({"n": {"ne": 2}}, "ac"),
    ({"kind": {"contains": "X"}}, "a"),
    ({"kind": {"icontains": "X"}}, "ab"),
    ({"kind": "*"}, "ab"),
    ({"AND": [{"n": {"gt": 1}}, {"kind": "*"}]}, "b"),
    ({"OR": [{"n": 1}, {"n": 3}]}, "ac"),
    ({"NOT": [{"n": 1}, {"n": 3}]}, "b"),
    ({"role": "user"}, "abc"),
    ({"n": {"gt": "text"}}, ""),
]


@pytest.mark.parametrize(("conditions", "found"), FILTERS)
def test_filters_on_metadata(m: Memory, conditions: dict[str, Any], found: str) -> None:
    for name, metadata in {"a": {"n": 1, "kind": "Xa"}, "b": {"n": 2, "kind": "xb"}, "c": {"n": 3}}.items():
        m.add(f"thing {name}", user_id="ann", metadata=metadata)
    want = {f"thing {name}" for name in found}
    assert set(said(m.get_all(filters={**ANN, **conditions}))) == want
    assert set(said(m.search("thing", filters={**ANN, **conditions}, threshold=0.0))) == want


WRONG: list[tuple[str, Any]] = [
    ("nobody", lambda m: m.add("x")),
    ("nobody to search for", lambda m: m.search("x")),
    ("nobody to list", lambda m: m.get_all(filters={"category": "x"})),
    ("no query", lambda m: m.search(" ", filters=ANN)),
    ("a threshold above 1", lambda m: m.search("x", filters=ANN, threshold=2)),
    ("a negative top_k", lambda m: m.search("x", filters=ANN, top_k=-1)),
    ("an unknown argument", lambda m: m.search("x", filters=ANN, page=2)),
    ("a name with a space", lambda m: m.add("x", user_id="a b")),
    ("no messages", lambda m: m.add(7, user_id="ann")),
    ("an unknown kind", lambda m: m.add("x", user_id="ann", memory_type="episodic")),
    ("no date", lambda m: m.add("x", user_id="ann", expiration_date="tomorrow")),
    ("no time", lambda m: m.add("x", user_id="ann", timestamp="noon")),
    ("an unknown operator", lambda m: m.get_all(filters={**ANN, "a": {"near": 1}})),
    ("an empty OR", lambda m: m.get_all(filters={**ANN, "OR": []})),
    ("nothing to update", lambda m: m.update("01890a5d-ac96-774b-bcce-b302099a8057")),
    ("no such memory", lambda m: m.update("01890a5d-ac96-774b-bcce-b302099a8057", text="x")),
    ("no id", lambda m: m.delete("7")),
]


@pytest.mark.parametrize("call", [call for _, call in WRONG], ids=[name for name, _ in WRONG])
def test_wrong_calls_raise_what_mem0_raises(m: Memory, call: Any) -> None:
    m.add("there is something", user_id="ann")
    with pytest.raises(ValueError) as caught:
        call(m)
    assert isinstance(caught.value, AnamnosError)
    assert said(m.get_all(filters=ANN)) == ["there is something"]


def test_what_cannot_be_kept_is_refused_whole(m: Memory) -> None:
    with pytest.raises(InvalidInput):
        m.add("x", user_id="ann", metadata={"f": object()})
    with pytest.raises(InvalidInput):
        m.add([{"role": "user", "content": "good"}, {"role": "user", "content": 7}], user_id="ann")
    with pytest.raises(LimitExceeded):
        m.add([{"role": "user", "content": "good"}, {"role": "user", "content": "x" * 2_000_000}], user_id="ann")
    assert m.add([{"role": "system", "content": "only this"}], user_id="ann") == {"results": []}
    assert m.get_all(filters=ANN) == {"results": []} and m.get("no id") is None


def test_expired_memories_are_hidden_unless_asked_for(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2025, 5, 1, 12, tzinfo=UTC))
    with Vault(tmp_path, embedder="hashing", clock=clock) as vault:
        m = Memory(memory=vault)
        one = m.add("the code is 1234", user_id="ann", expiration_date=date(2025, 5, 3))["results"][0]["id"]
        clock.advance(days=2)
        assert said(m.search("code", filters=ANN)) == said(m.get_all(filters=ANN)) == ["the code is 1234"]
        clock.advance(days=1)
        assert said(m.search("code", filters=ANN)) == said(m.get_all(filters=ANN)) == []
        shown = m.get_all(filters=ANN, show_expired=True)["results"]
        assert [each["expiration_date"] for each in shown] == ["2025-05-03"]
        assert said(m.search("code", filters=ANN, show_expired=True)) == ["the code is 1234"]
        m.update(one, expiration_date=None)
        assert said(m.get_all(filters=ANN)) == ["the code is 1234"]


def test_times_and_speakers_are_kept(m: Memory) -> None:
    m.add("long ago", user_id="ann", timestamp=datetime(2023, 5, 1, tzinfo=UTC))
    m.add({"role": "user", "name": "Carol", "content": "hello"}, user_id="ann", timestamp=1_700_000_000)
    ago, hello = m.get_all(filters=ANN)["results"]
    assert ago["created_at"] == "2023-05-01T00:00:00Z" and "actor_id" not in ago and ago["role"] == "user"
    assert hello["created_at"] == "2023-11-14T22:13:20Z" and hello["actor_id"] == "Carol"


def test_procedural_memory_is_one_of_its_role(vault: Vault, m: Memory) -> None:
    steps = [{"role": "user", "content": "Boil water."}, {"role": "assistant", "content": "Done."}]
    [result] = m.add(steps, user_id="ann", agent_id="cook", memory_type="procedural_memory")["results"]
    assert result["memory"] == "user: Boil water.\nassistant: Done."
    assert vault.list(Scope(user="ann"))[0].role == "procedure"


def test_explanations_and_older_calls(m: Memory) -> None:
    m.add("I like tea", user_id="ann")
    [found] = m.search("tea", filters=ANN, explain=True)["results"]
    assert found["score_details"]
    assert said(m.search("tea", user_id="ann", limit=1)) == said(m.get_all(user_id="ann")) == ["I like tea"]
    assert m.search("tea", filters=ANN, top_k=0) == {"results": []}


def test_a_configuration_of_mem0s_is_taken_with_a_warning(tmp_path: Path) -> None:
    config = {"llm": {"provider": "openai"}, "anamnos": {"vault": str(tmp_path / "own"), "embedder": "hashing"}}
    with pytest.warns(UserWarning, match="llm has no meaning"), Memory.from_config(config) as m:
        m.add("I like tea", user_id="ann")
    assert (tmp_path / "own" / "anamnos.db").exists()


def test_the_client_needs_no_server(vault: Vault) -> None:
    client = MemoryClient(api_key="unused", memory=vault)
    for number in range(5):
        client.add([{"role": "user", "content": f"thing {number}"}], {"user_id": "ann"}, output_format="v1.1")
    page = client.get_all(filters=ANN, page=2, page_size=2)
    assert (page["count"], page["next"], page["previous"]) == (5, 3, 1) and said(page) == ["thing 2", "thing 3"]
    assert len(client.search("thing", filters=ANN, top_k=3)["results"]) == 3
    one, two = page["results"]
    assert client.update(one["id"], text="another thing")["memory"] == "another thing"
    client.batch_update([{"memory_id": two["id"], "text": "changed"}])
    assert client.users()["results"] == [{"type": "user", "name": "ann", "total_memories": 5}]
    with pytest.raises(ValueError):
        client.batch_delete([{"memory_id": one["id"]}, {"memory_id": "none"}])
    client.batch_delete([{"memory_id": one["id"]}])
    client.delete(two["id"], delete_linked=True)
    assert client.get_all(filters=ANN)["count"] == 3
    client.delete_all(user_id="ann")
    assert client.get_all(filters=ANN)["results"] == []


def test_awaited(vault: Vault) -> None:
    async def main() -> None:
        m = AsyncMemory(memory=vault)
        await asyncio.gather(*(m.add(f"thing {i}", user_id="ann") for i in range(6)))
        assert len((await m.get_all(filters=ANN))["results"]) == 6
        [found] = (await m.search("thing 3", filters=ANN, top_k=1))["results"]
        await m.update(found["id"], text="something else")
        assert len(await m.history(found["id"])) == 2
        with pytest.raises(ValueError):
            await m.reset()
        async with AsyncMemoryClient(memory=vault) as client:
            assert (await client.get_all(filters=ANN))["count"] == 6

    asyncio.run(main())
