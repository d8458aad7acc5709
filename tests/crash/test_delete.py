"""Deleted means gone: from every file of the vault. And what others remember is read as before, to the last bit."""

import contextlib
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from anamnos import Memory, Scope, where
from anamnos.embed.hashing import HashingEmbedder
from anamnos.store import sqlite_file

Start = Callable[..., Any]
Traces = Callable[[Path, list[str]], list[str]]

BOB = Scope(user="bob")
SECRET = Scope(tenant="zqtenantq", user="xenophobosz", agent="kwyjiboagent", session="jabberwockday")
RARE = ["quizzaciously", "flibbertigibbet", "zyzzyvas", "Überraschungsei", "日本語記憶装置試験"]
TEXT = f"My secretive {RARE[0]} {RARE[1]} saw {RARE[2]}, a {RARE[3]} and {RARE[4]} by the harbour wall."
SECOND = "Afterwards the grandiloquent pettifogger bamboozled everyone with perspicacious onomatopoeia."
NAMES = [
    "zqtenantq",
    "xenophobosz",
    "kwyjiboagent",
    "jabberwockday",
    "hemidemisemi.jsonl",
    "Sesquipedalian",
    "tagtagonist",
]
MESSAGE = {"role": "user", "name": "Sesquipedalian", "content": TEXT, "id": "hemidemisemid"}


def pieces(*texts: str) -> list[str]:
    """Return the texts, their long words, and runs of 8 characters, so that any 10 in a row hold one."""
    words = [word for text in texts for word in text.split() if len(word) > 6]
    runs = [text[i : i + 8] for text in texts for i in range(0, len(text) - 7, 3)]
    return [*texts, *words, *runs]


def fill(memory: Memory, scope: Scope = BOB, count: int = 60) -> None:
    """Add what stays: plain texts that share no run of 8 characters with the secret ones."""
    rng = random.Random(5)
    things = ["pears", "trams", "rain", "boats", "maths", "bread", "tea", "snow"]
    for start in range(0, count, 20):
        messages = [
            {"role": "user", "content": f"{n}: I like {rng.choice(things)} & {rng.choice(things)}"}
            for n in range(start, start + 20)
        ]
        memory.add(messages, scope)


def add_secrets(memory: Memory) -> list[str]:
    first = memory.add(MESSAGE, SECRET, source="hemidemisemi.jsonl", tags=["tagtagonist"])
    second = memory.add(SECOND, SECRET)
    memory.update(second.ids[0], SECRET, content=SECOND.replace("everyone", "absolutely everybody"))
    memory.update(first.ids[0], SECRET, data={"note": "kept in ultracrepidarian data"})
    return [*first.ids, *second.ids]


GONE = [*pieces(TEXT, SECOND), "absolutely", "everybody", "ultracrepidarian", *NAMES, "hemidemisemid"]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@contextlib.contextmanager
def held_by_another(start: Start, vault: Path, flag: Path) -> Iterator[None]:
    """Have another process search the vault all the while."""
    child = start("hold", vault, flag)
    assert child.ready.wait(60)
    yield
    flag.touch()
    assert child.wait() == ""


@pytest.mark.parametrize("together", [False, True], ids=["alone", "held by another process"])
@pytest.mark.parametrize("how", ["ids", "scope"])
def test_no_byte_of_a_deleted_text_is_left(
    start: Start, traces: Traces, vault: Path, tmp_path: Path, together: bool, how: str
) -> None:
    with Memory(vault, embedder="hashing") as memory:
        fill(memory)
        ids = add_secrets(memory)
        fill(memory, Scope(user="carl"))
        memory.search("secretive", SECRET)
        assert traces(vault, [TEXT, RARE[2], "absolutely everybody", *NAMES])
        with held_by_another(start, vault, tmp_path / "flag") if together else contextlib.nullcontext():
            receipt = memory.delete(ids, SECRET) if how == "ids" else memory.delete_all(SECRET)
            assert receipt.state == "erased"
            assert receipt.outcomes == ("deleted", "deleted")
            assert traces(vault, GONE) == []
        assert memory.verify() == []
        assert memory.list(SECRET) == [] == memory.search("secretive", SECRET)
    assert traces(vault, GONE) == []
    with Memory(vault, embedder="hashing") as memory:
        assert memory.stats()["memories"] == 120
        assert memory.verify() == []


def test_no_byte_is_left_after_reembed_rebuild_and_import(traces: Traces, vault: Path, tmp_path: Path) -> None:
    with Memory(vault, embedder="hashing") as memory:
        fill(memory)
        add_secrets(memory)
        memory.reembed(HashingEmbedder(64))
        memory.rebuild_index()
        memory.export(tmp_path / "export.jsonl")
        assert memory.delete_all(SECRET).state == "erased"
        assert traces(vault, GONE) == []
    other = tmp_path / "other"
    with Memory(other, embedder="hashing") as memory:
        memory.import_(tmp_path / "export.jsonl")
        assert traces(other, [TEXT, "absolutely everybody"])
        assert len(memory.list(SECRET)) == 2
        assert memory.delete_all(SECRET).state == "erased"
        assert traces(other, GONE) == []
        assert memory.verify() == []


def test_a_deleted_vector_is_in_no_file_of_the_index(vault: Path) -> None:
    """Not even in what an index that was damaged, and made anew, has left behind."""
    with Memory(vault, embedder="hashing") as memory:
        fill(memory)
        ids = add_secrets(memory)
        memory.search("secretive", SECRET)
    kept = HashingEmbedder().embed([f"Sesquipedalian: {TEXT}", SECOND]).astype(np.float16)
    vectors = [form.tobytes() for vector in kept for form in (vector, vector.astype(np.float32))]

    def holders() -> list[str]:
        files = (path for path in vault.rglob("*") if path.is_file())
        return [path.name for path in files if any(vector in path.read_bytes() for vector in vectors)]

    assert "vectors.f32" in holders()
    next(vault.rglob("state.json")).write_text("{ torn")
    with Memory(vault, embedder="hashing") as memory:
        memory.search("secretive", SECRET)
        memory.delete(ids, SECRET)
        assert holders() == []
        assert memory.verify() == []


def test_a_long_reader_is_told_of_and_its_pages_are_cleaned_later(
    traces: Traces, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_SCRUB_S", 0.2)
    with Memory(vault, embedder="hashing") as memory:
        fill(memory)
        add_secrets(memory)
        (extra,) = memory.add("One more perspicuous remark.", SECRET).ids
        reader = apsw.Connection(str(vault / "anamnos.db"))
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM cubes").get > 0
        receipt = memory.delete(extra, SECRET)
        assert receipt.state == "erasing"
        assert memory.search("perspicuous remark", SECRET, top_k=1)[0].id != extra
        reader.execute("ROLLBACK")
        assert memory.verify() == []
        assert traces(vault, ["perspicuous"]) == []

        receipt = memory.delete_all(SECRET)
        assert receipt.state == "erased"
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM cubes").fetchall()
        (extra,) = memory.add("Another perspicuous remark.", SECRET).ids
        assert memory.delete(extra, SECRET).state == "erasing"
        reader.execute("ROLLBACK")
        reader.close()
    assert traces(vault, [*GONE, "perspicuous"]) == []


# --- what others read


def view(memory: Memory, scope: Scope) -> dict[str, Any]:
    """Return all that is read in a scope, exactly."""
    queries = ["What does Carl say about the boat?", "pears and rain", "harbour", "Sesquipedalian"]
    cubes = memory.list(scope, limit=None)
    return {
        "searches": [
            [(h.id, h.similarity.hex(), h.rank_score.hex(), dict(h.channels), h.reason) for h in found]
            for query in queries
            for found in (
                memory.search(query, scope, top_k=20),
                memory.search(query, scope, top_k=5, filter=where(role="turn")),
            )
        ],
        "list": [cube.to_dict() for cube in cubes],
        "get": [memory.get(cube.id, scope).to_dict() for cube in cubes],
        "history": [[v.to_dict() for v in memory.history(cube.id, scope)] for cube in cubes],
        "context": memory.answer_context(queries[0], scope).to_dict(),
        "stats": {k: v for k, v in memory.stats(scope).items() if k not in ("bytes", "sequence")},
    }


ANN_MONDAY = Scope(user="ann", session="monday")
PAIRS = {
    "another user": (Scope(user="carl"), BOB),
    "another tenant": (Scope(tenant="other", user="bob"), BOB),
    "another session": (Scope(user="ann", session="tuesday"), ANN_MONDAY),
    "another agent": (Scope(user="ann", agent="tutor", session="monday"), Scope(user="ann", agent="cook")),
    "an agent without a user": (Scope(agent="tutor"), Scope(user="ann", agent="tutor")),
}


@pytest.mark.parametrize("reopen", [False, True], ids=["same process", "opened again"])
@pytest.mark.parametrize("pair", PAIRS)
def test_deleting_one_scope_changes_no_bit_of_what_another_reads(vault: Path, pair: str, reopen: bool) -> None:
    doomed, kept = PAIRS[pair]
    rng = np.random.default_rng(3)
    people = ["Carl", "Sesquipedalian", "Eve"]
    things = ["the boat", "pears", "rain", "a harbour", "bread", "the tram", "snow in May"]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    with Memory(vault, embedder="hashing") as memory:
        for n in range(120):  # of both, one between the other
            for scope in (doomed, kept):
                said = {
                    "role": "user",
                    "name": people[int(rng.integers(2 if scope == doomed else 3))],
                    "content": f"{n} " + " ".join(rng.choice(things, size=int(rng.integers(1, 5)))),
                    "at": start + timedelta(minutes=int(rng.integers(1_000))),
                }
                if scope == kept and said["name"] == "Sesquipedalian":
                    said["name"] = "Eve"  # so that this name is of the other scope alone
                memory.add(said, scope)
        before = view(memory, kept)
        assert memory.delete_all(doomed).count("deleted") == 120
        if not reopen:
            assert view(memory, kept) == before
    with Memory(vault, embedder="hashing") as memory:
        assert view(memory, kept) == before
        assert memory.verify() == []


def test_adding_and_changing_in_one_scope_changes_nothing_elsewhere(vault: Path) -> None:
    with Memory(vault, embedder="hashing") as memory:
        fill(memory, BOB)
        before = view(memory, BOB)
        fill(memory, Scope(user="carl"), 300)
        memory.add("Bob is mentioned by Carl.", Scope(user="carl"))
        first = memory.list(Scope(user="carl"))[0].id
        memory.update(first, Scope(user="carl"), content="pears and rain, rain and pears")
        assert view(memory, BOB) == before
