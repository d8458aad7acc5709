"""The audit: what is entered, that it is whole, and that any change of it is seen."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from anamnos import Memory, Scope
from anamnos.errors import AccessDenied, ConfigError, InvalidInput, NotFound
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids

ANN = Scope(user="ann")
NOW = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def opened(folder: Path, **more: Any) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(), clock=FakeClock(NOW), new_id=seeded_ids(1), **more)


def told(memory: Memory) -> list[tuple[str, int | None, int | None, str]]:
    entries = [seen.entry for seen in memory.audit.list()]
    return [(e.verb, e.before, e.after, e.decision) for e in entries]


def test_every_change_is_entered_with_its_versions(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        one, two = memory.add([{"role": "user", "content": "one"}, {"role": "user", "content": "two"}], ANN).ids
        memory.add([{"role": "user", "content": "one"}], ANN)
        memory.update(one, ANN, content="one and a half")
        memory.used(one, ANN)
        memory.freeze(two, ANN)
        memory.share(one, ANN, to="project")
        with pytest.raises(AccessDenied):
            memory.delete(two, ANN)
        memory.delete(one, ANN)
        assert told(memory) == [
            ("add", None, 1, "allowed"),
            ("add", None, 1, "allowed"),
            ("update", 1, 2, "allowed"),
            ("transition", 1, 2, "allowed"),
            ("share", 2, 3, "allowed"),
            ("write", None, None, "denied"),
            ("delete", 3, None, "allowed"),
        ]
        assert memory.audit.list()[5].entry.cube_id == two
        assert [seen.entry.verb for seen in memory.audit.list(cube_id=one)] == ["add", "update", "share", "delete"]
        assert [seen.entry.seq for seen in memory.audit.list(after=3, limit=2)] == [4, 5]
        assert memory.audit.verify() == []


def test_what_failed_is_not_entered(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        (one,) = memory.add("one", ANN).ids
        with pytest.raises(NotFound):
            memory.delete([one, "00000000-0000-7000-8000-000000000000"], ANN)
        assert len(memory.audit.list()) == 1


@pytest.mark.parametrize(
    ("level", "verbs"),
    [("off", []), ("writes", ["add"]), ("all", ["add", "search", "get", "list", "history", "export"])],
)
def test_reads_are_entered_only_if_asked(tmp_path: Path, level: str, verbs: list[str]) -> None:
    with opened(tmp_path / "vault", audit=level) as memory:
        (one,) = memory.add("one", ANN).ids
        memory.search("one", ANN)
        memory.get(one, ANN)
        memory.list(ANN)
        memory.history(one, ANN)
        entered = [verb for verb, *_ in told(memory)]
        memory.export(tmp_path / "out.jsonl", ANN)
        assert [*entered, *(["export"] if level == "all" else [])] == verbs


def test_there_is_no_other_level(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="audit"):
        opened(tmp_path, audit="some")
    with opened(tmp_path) as memory, pytest.raises(InvalidInput, match="limit"):
        memory.audit.list(limit=0)


def test_the_entry_of_a_person_has_no_name_and_stays_when_it_is_forgotten(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:annabella.finch")
        scope = Scope(user="annabella.finch")
        with opened(tmp_path, principal="user:annabella.finch", purpose="diary") as own:
            own.add("Dear diary.", scope)
        (seen,) = app.audit.list(principal="user:annabella.finch")
        assert (seen.entry.purpose, seen.principal) == ("diary", "user:annabella.finch")
        head = app.audit.head()
        app.forget_person("annabella.finch")
        assert app.audit.verify(head) == []
        (same,) = [each for each in app.audit.list() if each.entry.seq == seen.entry.seq]
        assert same.entry == seen.entry
        assert same.principal == seen.entry.principal
    assert b"annabella.finch" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


# --- tampering


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, str]:
    """Return a closed vault with a few entries, and the head of its audit."""
    folder = tmp_path / "vault"
    with opened(folder) as memory:
        memory.policy.register("user:bob")
    with opened(folder, principal="user:bob", purpose="support") as bob:
        for text in ("one", "two", "three"):
            bob.add(text, Scope(user="bob"))
        head = bob.audit.head()
    return folder, head


def verified(folder: Path, head: str | None = None) -> list[str]:
    with opened(folder) as memory:
        return memory.audit.verify(head)


COLUMNS = {
    "seq": "seq + 10",
    "at": "at + 1",
    "principal": "'x' || substr(principal, 2)",
    "verb": "'adb'",
    "id": "x'00' || substr(id, 2)",
    "before": "1",
    "after": "after + 1",
    "purpose": "'suppors'",
    "decision": "'denied'",
    "previous": "x'00' || substr(previous, 2)",
    "hash": "substr(hash, 1, 31) || x'00'",
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_of_any_field_is_seen(chain: tuple[Path, str], column: str) -> None:
    folder, head = chain
    assert verified(folder, head) == []
    db = apsw.Connection(str(folder / "anamnos.db"))
    with pytest.raises(apsw.ConstraintError, match="only grows"):
        db.execute("DELETE FROM audit")
    with pytest.raises(apsw.ConstraintError, match="only grows"):
        db.execute("UPDATE audit SET verb = 'x'")
    db.execute("DROP TRIGGER audit_keeps_words")
    db.execute(f"UPDATE audit SET {column} = {COLUMNS[column]} WHERE seq = 3")
    db.close()
    assert verified(folder) != []


def test_a_change_of_any_byte_of_an_entry_in_the_file_is_seen(chain: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = chain
    with opened(folder) as memory:
        entries = memory.audit.list()
        memory.vault.store.scrub()
    entry = entries[2].entry
    whole = (folder / "anamnos.db").read_bytes()
    end = whole.index(entry.hash, whole.index(entry.previous + entry.hash)) + 32
    start = whole.rindex(str(entry.principal).encode(), 0, end) - 20  # the record's header stands before its first text
    unseen = []
    for place in range(start, end):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        data = bytearray(whole)
        data[place] ^= 0x01
        (copy / "anamnos.db").write_bytes(data)
        if not _problems(copy):
            unseen.append(place - start)
        shutil.rmtree(copy)
    assert unseen == []


def _problems(folder: Path) -> list[str]:
    from anamnos.store.sqlite import SqliteStore
    from anamnos.system.governance.audit import Audit

    store = SqliteStore(folder / "anamnos.db").open()
    try:
        return Audit(store.ledger).verify()
    finally:
        store.close()


def test_a_missing_end_is_seen_with_the_head_that_was_kept(chain: tuple[Path, str]) -> None:
    folder, head = chain
    db = apsw.Connection(str(folder / "anamnos.db"))
    db.execute("DROP TRIGGER audit_keeps_rows")
    db.execute("DELETE FROM audit WHERE seq = 4")
    db.close()
    assert verified(folder) == []
    assert "cut off" in verified(folder, head)[0]
    db = apsw.Connection(str(folder / "anamnos.db"))
    db.execute("DELETE FROM audit WHERE seq = 2")
    db.close()
    assert verified(folder)[0] == "entry 2 is missing"
