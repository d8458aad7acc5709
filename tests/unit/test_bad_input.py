"""Bad input gets an error that says what was wrong and what to do, and changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.errors import (
    AnamnosError,
    ConfigError,
    Corrupt,
    InvalidInput,
    LimitExceeded,
    MigrationNeeded,
    NotFound,
    StoreError,
)
from anamnos.index.exact import ExactIndex
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Where, filter_from_dict

ANN = Scope(user="ann")
NAIVE = datetime(2024, 5, 1, 12)  # noqa: DTZ001
LONE = "half a pair: \ud83d"
Case = Callable[[Memory, str, Path], Any]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        memory.add([{"role": "user", "content": "The key is under the pot.", "id": "m1"}], ANN)
        memory.add("The boat is blue.", ANN)
        yield memory


def snapshot(memory: Memory) -> Any:
    store = memory.vault.store
    return [
        [
            (cube.to_dict(), key, d and (d.terms.tobytes(), d.vector is not None and d.vector.tobytes()))
            for cube, d, key in store.export()
        ],
        store.sequence(),
        store.embedder(),
        [store.setting(name) for name in ("terms", f"embedder:{memory.embedder.id}")],
    ]


def message(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


# name -> (what is done, the error, what its message says)
CASES: dict[str, tuple[Case, type[AnamnosError], str]] = {
    # text
    "empty text": (lambda m, i, p: m.add("", ANN), InvalidInput, "empty"),
    "blank text": (lambda m, i, p: m.add(" \n\t", ANN), InvalidInput, "empty"),
    "no messages": (lambda m, i, p: m.add([], ANN), InvalidInput, "no message"),
    "blank messages": (lambda m, i, p: m.add([message(" ")], ANN), InvalidInput, "no message"),
    "10 MB text": (lambda m, i, p: m.add("word " * 2_000_000, ANN), LimitExceeded, "10,000,000 characters"),
    "10 MB message": (lambda m, i, p: m.add([message("ok"), message("x" * 10**7)], ANN), LimitExceeded, "10,000,000"),
    "10 MB update": (lambda m, i, p: m.update(i, ANN, content="x" * 10**7), LimitExceeded, "10,000,000"),
    "10 MB query": (lambda m, i, p: m.search("x" * 10**7, ANN), InvalidInput, "query has 10,000,000"),
    "10 MB tag": (lambda m, i, p: m.add("x", ANN, tags=["x" * 10**7]), InvalidInput, r"tags\[0\]"),
    "lone surrogate": (lambda m, i, p: m.add(LONE, ANN), InvalidInput, "surrogate at character 13"),
    "surrogate in a message": (lambda m, i, p: m.add([message("a"), message(LONE)], ANN), InvalidInput, "surrogate"),
    "surrogate in a query": (lambda m, i, p: m.search(LONE, ANN), InvalidInput, "query"),
    "surrogate in a tag": (lambda m, i, p: m.add("x", ANN, tags=["\ud83d"]), InvalidInput, "tags"),
    "surrogate in a source": (lambda m, i, p: m.add("x", ANN, source="\ud83d"), InvalidInput, "source"),
    "surrogate in data": (lambda m, i, p: m.update(i, ANN, data={"a": "\ud83d"}), InvalidInput, "data"),
    "empty update": (lambda m, i, p: m.update(i, ANN, content=" "), InvalidInput, "empty"),
    "empty query": (lambda m, i, p: m.search(" ", ANN), InvalidInput, "query is empty"),
    "empty question": (lambda m, i, p: m.answer_context("", ANN), InvalidInput, "query is empty"),
    "bytes as text": (lambda m, i, p: m.add(b"bytes", ANN), InvalidInput, "bytes"),  # type: ignore[arg-type]
    "nothing as text": (lambda m, i, p: m.add(None, ANN), InvalidInput, "NoneType"),  # type: ignore[arg-type]
    "a number as query": (lambda m, i, p: m.search(7, ANN), InvalidInput, "query"),  # type: ignore[arg-type]
    "control character in a tag": (lambda m, i, p: m.add("x", ANN, tags=["a\nb"]), InvalidInput, "control"),
    # messages
    "message without content": (lambda m, i, p: m.add([{"role": "user"}], ANN), InvalidInput, "message 1"),
    "message without speaker": (
        lambda m, i, p: m.add([message("a"), {"content": "b"}], ANN),
        InvalidInput,
        "message 2",
    ),
    "message that is none": (lambda m, i, p: m.add(["hello"], ANN), InvalidInput, "message 1"),  # type: ignore[list-item]
    "id twice": (lambda m, i, p: m.add([message("a", id="1"), message("b", id="1")], ANN), InvalidInput, "twice"),
    "message with a role beside": (lambda m, i, p: m.add([message("a")], ANN, role="fact"), InvalidInput, "role"),
    # scope and ids
    "no scope": (lambda m, i, p: m.add("x", None), InvalidInput, "scope"),  # type: ignore[arg-type]
    "scope as text": (lambda m, i, p: m.search("x", "ann"), InvalidInput, "scope must be a Scope"),  # type: ignore[arg-type]
    "scope of nobody": (lambda m, i, p: Scope(), InvalidInput, "names nobody"),
    "empty user": (lambda m, i, p: Scope(user=""), InvalidInput, "Scope.user"),
    "list without scope": (lambda m, i, p: m.list({"user": "ann"}), InvalidInput, "scope"),  # type: ignore[arg-type]
    "delete_all without scope": (lambda m, i, p: m.delete_all(None), InvalidInput, "scope"),  # type: ignore[arg-type]
    "id that is none": (lambda m, i, p: m.get("'; DROP TABLE cubes; --", ANN), InvalidInput, "not a memory id"),
    "unknown id": (lambda m, i, p: m.delete("00000000-0000-7000-8000-000000000000", ANN), NotFound, "no memory"),
    "no ids": (lambda m, i, p: m.delete(None, ANN), InvalidInput, "ids"),  # type: ignore[arg-type]
    # times and numbers
    "naive created_at": (lambda m, i, p: m.add("x", ANN, created_at=NAIVE), InvalidInput, "created_at is a naive"),
    "naive message time": (lambda m, i, p: m.add(message("x", at=NAIVE), ANN), InvalidInput, "naive"),
    "naive valid_to": (lambda m, i, p: m.update(i, ANN, valid_to=NAIVE), InvalidInput, "naive"),
    "naive filter": (lambda m, i, p: Where(Field.CREATED_AT, Comparison.GT, NAIVE), InvalidInput, "naive"),
    "time that is none": (lambda m, i, p: m.add(message("x", at="tomorrow"), ANN), InvalidInput, "tomorrow"),
    "importance above 1": (lambda m, i, p: m.add("x", ANN, importance=1.5), InvalidInput, "importance"),
    "importance that is none": (lambda m, i, p: m.add("x", ANN, importance="high"), InvalidInput, "importance"),  # type: ignore[arg-type]
    "NaN trust": (lambda m, i, p: m.add("x", ANN, trust=float("nan")), InvalidInput, "trust"),
    "NaN data": (lambda m, i, p: m.update(i, ANN, data={"x": float("nan")}), InvalidInput, "nan"),
    "data that is no JSON": (lambda m, i, p: m.update(i, ANN, data={"x": object()}), InvalidInput, "JSON"),
    "top_k of 0": (lambda m, i, p: m.search("x", ANN, top_k=0), InvalidInput, "top_k"),
    "top_k too large": (lambda m, i, p: m.search("x", ANN, top_k=10**9), InvalidInput, "10,000"),
    "top_k as text": (lambda m, i, p: m.search("x", ANN, top_k="5"), InvalidInput, "top_k"),  # type: ignore[arg-type]
    "budget of 0": (lambda m, i, p: m.answer_context("x", ANN, token_budget=0), InvalidInput, "token_budget"),
    "limit of 0": (lambda m, i, p: m.list(ANN, limit=0), InvalidInput, "limit"),
    "unknown role": (lambda m, i, p: m.add("x", ANN, role="bogus"), InvalidInput, "bogus"),
    "tags as one text": (lambda m, i, p: m.add("x", ANN, tags="work"), InvalidInput, "tags"),
    "update tags as one text": (lambda m, i, p: m.update(i, ANN, tags="work"), InvalidInput, "tags"),
    # vectors
    "NaN vector": (lambda m, i, p: m.search("x", ANN, vector=np.full(16, np.nan, "f4")), InvalidInput, "NaN"),
    "infinite vector": (lambda m, i, p: m.search("x", ANN, vector=np.full(16, np.inf, "f4")), InvalidInput, "infinite"),
    "wrong dimension": (lambda m, i, p: m.search("x", ANN, vector=np.eye(1, 8)[0]), InvalidInput, r"\(8,\).*\(16,\)"),
    "zero vector": (lambda m, i, p: m.search("x", ANN, vector=np.zeros(16, "f4")), InvalidInput, "norm 0"),
    "text as vector": (lambda m, i, p: m.search("x", ANN, vector="abc"), InvalidInput, "numbers"),  # type: ignore[arg-type]
    # filters
    "unknown filter field": (lambda m, i, p: Where("colour", "eq", "red"), InvalidInput, "colour"),  # type: ignore[arg-type]
    "unknown comparison": (lambda m, i, p: Where("role", "like", "x"), InvalidInput, "like"),  # type: ignore[arg-type]
    "unknown filter value": (lambda m, i, p: Where("role", "eq", "x"), InvalidInput, "turn"),  # type: ignore[arg-type]
    "filter of no shape": (lambda m, i, p: filter_from_dict({"xor": []}), InvalidInput, "xor"),
    "filter as text": (lambda m, i, p: m.search("x", ANN, filter="role=turn"), InvalidInput, "filter"),  # type: ignore[arg-type]
    "delete_all with a dict": (lambda m, i, p: m.delete_all(ANN, filter={}), InvalidInput, "filter"),  # type: ignore[arg-type]
    "list with a dict": (lambda m, i, p: m.list(ANN, filter={"role": "turn"}), InvalidInput, "filter"),  # type: ignore[arg-type]
    # files
    "no such file": (lambda m, i, p: m.ingest(p / "nothing.txt", ANN), InvalidInput, "nothing.txt"),
    "a folder": (lambda m, i, p: m.ingest(p, ANN), InvalidInput, "is a folder"),
    "unknown reader": (lambda m, i, p: m.ingest(_file(p, "a.txt", b"x"), ANN, reader="pdf"), InvalidInput, "pdf"),
    "a picture called text": (
        lambda m, i, p: m.ingest(_file(p, "a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), ANN),
        InvalidInput,
        "a.txt is not",
    ),
    "Latin-1 called UTF-8": (
        lambda m, i, p: m.ingest(_file(p, "a.txt", b"first\n\ncaf\xe9"), ANN),
        InvalidInput,
        "byte 10 is 0xe9",
    ),
    "no JSON": (lambda m, i, p: m.ingest(_file(p, "a.json", b'[{"role": "user",'), ANN), InvalidInput, "line 1"),
    "JSON of no known shape": (lambda m, i, p: m.ingest(_file(p, "a.json", b'{"a": 1}'), ANN), InvalidInput, "a.json"),
    "a bad line far down": (
        lambda m, i, p: m.ingest(_file(p, "a.jsonl", b'{"role":"user","content":"ok"}\n' * 600 + b"{"), ANN),
        InvalidInput,
        "line 601",
    ),
    "an empty file": (lambda m, i, p: m.ingest(_file(p, "a.txt", b""), ANN), InvalidInput, "a.txt is empty"),
    "a chat as LoCoMo": (
        lambda m, i, p: m.ingest(_file(p, "a.json", b'[{"role":"user","content":"x"}]'), ANN, reader="locomo"),
        InvalidInput,
        "a.json",
    ),
    "import of a chat": (
        lambda m, i, p: m.import_(_file(p, "a.json", b'{"role":"user","content":"x"}')),
        InvalidInput,
        "not an Anamnos export",
    ),
    "import of nothing": (lambda m, i, p: m.import_(p / "nothing.jsonl"), InvalidInput, "nothing.jsonl"),
    "import of bytes": (lambda m, i, p: m.import_(_file(p, "a.jsonl", b"\xff\xfe\x00")), InvalidInput, "UTF-8"),
    "export under a file": (lambda m, i, p: m.export(_file(p, "f", b"x") / "e.jsonl"), StoreError, "e.jsonl"),
    "export into no folder": (lambda m, i, p: m.export(p / "no" / "e.jsonl"), StoreError, "e.jsonl"),
    "backup under a file": (lambda m, i, p: m.backup(_file(p, "f", b"x") / "b"), StoreError, "backup"),
    "unknown embedder": (lambda m, i, p: m.reembed("bert"), ConfigError, "bert"),
}


def _file(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_of_and_changes_nothing(memory: Memory, tmp_path: Path, name: str) -> None:
    action, error, says = CASES[name]
    folder = tmp_path / "files"
    folder.mkdir()
    before = snapshot(memory)
    with pytest.raises(error, match=says) as failure:
        action(memory, memory.list(ANN)[0].id, folder)
    assert type(failure.value) is error
    assert failure.value.message.strip()
    assert snapshot(memory) == before
    assert memory.verify() == []
    assert memory.add("It still works.", ANN).outcomes == ("added",)


HINTED = [
    "empty text",
    "10 MB text",
    "lone surrogate",
    "no scope",
    "scope of nobody",
    "naive created_at",
    "id that is none",
    "zero vector",
    "unknown filter field",
    "filter as text",
    "filter of no shape",
    "a picture called text",
    "Latin-1 called UTF-8",
    "empty query",
    "no such file",
    "unknown reader",
    "import of a chat",
    "export under a file",
    "unknown embedder",
]


@pytest.mark.parametrize("name", HINTED)
def test_the_error_says_what_to_do(memory: Memory, tmp_path: Path, name: str) -> None:
    with pytest.raises(AnamnosError) as failure:
        CASES[name][0](memory, memory.list(ANN)[0].id, tmp_path)
    assert len(failure.value.hint) > 10
    assert "hint: " in str(failure.value)
    assert json.dumps(failure.value.to_dict())


class Broken(FakeEmbedder):
    """Gives vectors that cannot be used."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def embed(self, texts: Any) -> Any:
        vectors = super().embed(texts)
        if self.how == "nan":
            vectors[-1:] = np.nan
        elif self.how == "dimension":
            vectors = vectors[:, :8]
        elif self.how == "norm":
            vectors *= 3
        return vectors


@pytest.mark.parametrize("how", ["nan", "dimension", "norm"])
def test_vectors_of_a_broken_embedder_are_not_stored(memory: Memory, tmp_path: Path, how: str) -> None:
    memory.export(tmp_path / "export.jsonl")
    lines = (tmp_path / "export.jsonl").read_text().split("\n")
    head = json.loads(lines[0]) | {"embedder": "another"}  # so that all is embedded anew
    (tmp_path / "export.jsonl").write_text("\n".join([json.dumps(head), *lines[1:]]))
    with Memory(tmp_path / "other", embedder=Broken(how)) as broken:
        for action in (
            lambda: broken.add("x", ANN),
            lambda: broken.add([message("x"), message("y")], ANN),
            lambda: broken.import_(tmp_path / "export.jsonl"),
        ):
            with pytest.raises(AnamnosError, match="vector"):
                action()
            assert broken.stats()["memories"] == 0


# --- places that cannot be written


@pytest.mark.parametrize("below", [".", "vault", "deep/vault"])
def test_a_vault_under_a_file_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises((StoreError, ConfigError), match="file") as failure:
        Memory(tmp_path / "file" / below, embedder="hashing")
    assert failure.value.hint
    assert (tmp_path / "file").read_text() == "precious"


READ_ONLY = """
import os, sys
from anamnos import Memory, Scope
from anamnos.errors import AnamnosError
folder, ann = sys.argv[1], Scope(user="ann")
if os.getuid() == 0:
    import anamnos.embed.hashing, anamnos.store.sqlite
    os.setuid(65534)
for place in sys.argv[2:]:
    try:
        with Memory(place, embedder="hashing") as memory:
            memory.add("The boat is green.", ann)
        print("wrote")
    except AnamnosError as exc:
        print(exc.code, "|", exc.message, "|", exc.hint)
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_is_told_of(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder="hashing") as memory:
        memory.add("The boat is blue.", ANN)
    (tmp_path / "empty").mkdir()
    before = (tmp_path / "vault" / "anamnos.db").read_bytes()
    parents = [tmp_path, *tmp_path.parents]
    modes = [(path, path.stat().st_mode) for path in parents if path.stat().st_uid == os.getuid()]
    try:
        for path, mode in modes:
            path.chmod(mode | 0o055)
        for path in (tmp_path / "vault", *(tmp_path / "vault").rglob("*"), tmp_path / "empty"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        places = [tmp_path / "vault", tmp_path / "empty", tmp_path / "empty" / "new"]
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(tmp_path), *map(str, places)],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
    finally:
        for path, mode in modes:
            path.chmod(mode)
        for path in ((tmp_path / "vault"), tmp_path / "empty"):
            path.chmod(0o755)
    if "Permission" in done.stderr and "site-packages" in done.stderr:
        pytest.skip("the other user cannot read the library")
    assert done.stderr == ""
    lines = done.stdout.strip().split("\n")
    assert len(lines) == 3
    for line in lines:
        code, text, hint = line.split(" | ")
        assert code == "store"
        assert str(tmp_path) in text
        assert hint
    assert (tmp_path / "vault" / "anamnos.db").read_bytes() == before


def test_a_full_disk_is_told_of_and_changes_nothing(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder="hashing", batch_size=20) as memory:
        memory.add([message(f"number {n}") for n in range(50)], ANN)
        before = snapshot(memory)
        writer = memory.vault.store._writer  # type: ignore[attr-defined]
        writer.pragma("max_page_count", writer.pragma("page_count"))
        with pytest.raises(StoreError, match="disk is full") as failure:
            memory.add("x " * 200_000, ANN)
        assert "space" in failure.value.hint
        assert snapshot(memory) == before
        with pytest.raises(StoreError, match="disk is full"):
            memory.import_(_export_of_many(tmp_path))
        assert snapshot(memory) == before
        assert memory.search("number 7", ANN, top_k=1)[0].content == "number 7"
        writer.pragma("max_page_count", 10**9)
        memory.add("There is room again.", ANN)
        assert memory.verify() == []


def _export_of_many(folder: Path) -> Path:
    with Memory(folder / "many", embedder="hashing") as memory:
        memory.add([message(f"many {n} " + "word " * 200) for n in range(300)], ANN)
        memory.export(folder / "many.jsonl")
    return folder / "many.jsonl"


def test_an_index_without_room_fails_no_write(memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is acknowledged; the search says what is wrong, and heals."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    memory.search("boat", ANN)
    with monkeypatch.context() as patch:
        patch.setattr(ExactIndex, "_write", full)
        assert memory.add([message("one"), message("two")], ANN).count("added") == 2
        with pytest.raises(StoreError, match=r"No space left") as failure:
            memory.search("boat", ANN)
        assert "space" in failure.value.hint
    assert len(memory.search("boat", ANN)) == 4
    assert memory.verify() == []


# --- damaged files


def damaged(folder: Path, offset: int, data: bytes) -> Path:
    with Memory(folder / "vault", embedder="hashing") as memory:
        memory.add([message(f"number {n} " + "word " * 50) for n in range(200)], ANN)
    path = folder / "vault" / "anamnos.db"
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


@pytest.mark.parametrize("what", ["header", "not a database", "another database", "schema", "newer"])
def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    import apsw

    path = damaged(tmp_path, 0, b"")
    if what == "header":
        path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    elif what == "not a database":
        path.write_text("Dear diary, " * 1_000)
    elif what == "another database":
        path.unlink()
        apsw.Connection(str(path)).execute("CREATE TABLE theirs (x)")
    elif what == "schema":
        path.write_bytes(path.read_bytes()[:100] + b"\xff" * 8_000 + path.read_bytes()[8_100:])
    else:
        db = apsw.Connection(str(path))
        db.pragma("user_version", 99)
        db.close()
    before = path.read_bytes()
    error = {"another database": StoreError, "newer": MigrationNeeded}.get(what, Corrupt)
    with pytest.raises(error, match=r"vault|anamnos\.db") as failure:
        Memory(tmp_path / "vault", embedder="hashing")
    assert failure.value.hint
    assert path.read_bytes() == before


def test_damage_inside_is_noticed_not_treated_as_empty(tmp_path: Path) -> None:
    damaged(tmp_path, 40 * 8_192, os.urandom(16) * 512 * 20)
    try:
        memory = Memory(tmp_path / "vault", embedder="hashing")
    except Corrupt:
        return
    with memory:
        try:
            problems = memory.verify()
        except StoreError as exc:
            problems = [exc.message]
        assert problems
        assert memory.vault.store.sequence() == 200


@pytest.mark.parametrize(
    "setting", [{"recipe": "none"}, {"busy_timeout_s": -1}, {"nonsense": 1}, {"batch_size": "many"}]
)
def test_bad_settings_are_refused_before_anything_is_made(tmp_path: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))) as failure:
        Memory(tmp_path / "vault", **setting)
    assert failure.value.message
    assert not (tmp_path / "vault").exists()


def test_hostile_names_are_only_names(memory: Memory) -> None:
    hostile = ["'; DROP TABLE cubes; --", '" OR 1=1 --', "%", "*", "NEAR(a b)", "$.x", "\\", "../../etc/passwd"]
    for text in hostile:
        scope = Scope(tenant=text, user=text, agent=text, session=text)
        (cube_id,) = memory.add(message(text, name=text, id=text), scope, source=text, tags=[text]).ids
        assert memory.search(text, scope)[0].id == cube_id
        for field in (Field.TAG, Field.ACTOR, Field.SOURCE, Field.SESSION, Field.AGENT):
            (found,) = memory.list(scope, filter=Where(field, Comparison.EQ, text))
            assert found.id == cube_id
        assert memory.list(scope, filter=Where(Field.TEXT, Comparison.CONTAINS, text))[0].id == cube_id
        assert memory.delete_all(scope).count("deleted") == 1
    assert len(memory.list(ANN)) == 2
    assert memory.verify() == []
