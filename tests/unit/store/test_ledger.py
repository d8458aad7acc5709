"""The laws of the ledger, on every engine."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anamnos.cube import CubeId, MemCube, Policy, Scope
from anamnos.errors import Corrupt, InvalidInput
from anamnos.store.base import Store
from anamnos.store.ledger import FIRST, Note, hash_of
from anamnos.store.sqlite import SqliteStore
from anamnos.testing.reference_store import ReferenceStore
from engines import postgres_store

NOW = datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
ID = CubeId("01890a5d-ac96-774b-bcce-b302099a8057")


@pytest.fixture(params=["sqlite", "reference", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = SqliteStore(tmp_path / "anamnos.db") if request.param == "sqlite" else ReferenceStore()
    if request.param == "postgres":
        request.getfixturevalue("postgres_url")
        made = postgres_store(tmp_path)
    made.open()
    yield made
    made.close()


def test_an_entry_is_there_if_and_only_if_its_write_is(store: Store) -> None:
    with pytest.raises(InvalidInput), store.write() as tx:
        tx.audit(Note(NOW, None, "add"))
        raise InvalidInput("no")
    assert store.ledger.entries() == []
    assert store.ledger.last() is None
    with store.write() as tx:
        first = tx.audit(Note(NOW, "user:ann", "add", ID, None, 1, "care"))
        second = tx.audit(Note(NOW, "user:ann", "update", ID, 1, 2))
    with store.write() as tx:
        third = tx.audit(Note(NOW, None, "delete", ID, 2, None, None, "denied"))
    assert store.ledger.entries() == [first, second, third]
    assert store.ledger.entries(after=1, limit=1) == [second]
    assert store.ledger.last() == third
    assert [e.seq for e in (first, second, third)] == [1, 2, 3]


def test_each_entry_holds_the_hash_of_the_one_before(store: Store) -> None:
    with store.write() as tx:
        for verb in ("add", "update", "delete"):
            tx.audit(Note(NOW, "user:ann", verb, ID))
    previous = FIRST
    for entry in store.ledger.entries():
        assert entry.previous == previous
        assert entry.hash == hash_of(entry)
        previous = entry.hash


def test_a_name_stands_beside_the_chain_and_can_be_forgotten(store: Store) -> None:
    cube = MemCube(
        id=ID,
        content=_blob(),
        scope=Scope(user="ann"),
        substrate="neural",
        policy=Policy(readers=("user:bob", "user:eve")),
    )  # type: ignore[arg-type]
    with store.write() as tx:
        tx.insert(cube, None, b"")
        token = tx.audit(Note(NOW, "user:bob", "get", ID)).principal
        assert tx.audit(Note(NOW, "user:bob", "get", ID)).principal == token
    assert store.ledger.names() == {token: "user:bob"}
    before = store.ledger.entries()
    with store.write() as tx:
        assert tx.forget_name("user:bob") == 2
        assert tx.forget_name("user:bob") == 0
    assert store.ledger.names() == {}
    assert store.ledger.entries() == before
    found = store.get(ID)
    assert found is not None
    assert found.policy.readers == ("user:eve",)


def test_records_are_kept_replaced_and_removed(store: Store) -> None:
    with store.write() as tx:
        tx.record("rule", "b", {"days": 1})
        tx.record("rule", "a", {"days": 2, "text": "ß"})
        tx.record("grant", "a", {"x": None})
        tx.record("rule", "b", {"days": 3})
    assert store.ledger.records("rule") == {"a": {"days": 2, "text": "ß"}, "b": {"days": 3}}
    with store.write() as tx:
        tx.record("rule", "b", None)
        tx.record("rule", "never", None)
    assert list(store.ledger.records("rule")) == ["a"]
    with store.write() as tx:
        for name in ("ab", "ä", "%"):
            tx.record("rule", name, {})
    assert list(store.ledger.records("rule", "a")) == ["a", "ab"]
    assert list(store.ledger.records("rule", "%")) == ["%"]
    assert store.ledger.records("grant") == {"a": {"x": None}}
    assert store.ledger.problems() == []


def test_a_chain_is_taken_over_as_it_is(store: Store) -> None:
    other = ReferenceStore().open()
    with other.write() as tx:
        for verb in ("add", "update", "delete"):
            tx.audit(Note(NOW, "user:ann", verb, ID))
    entries, names = other.ledger.entries(), other.ledger.names()
    with store.write() as tx:
        tx.restore_audit(entries[:2], {"0": "user:eve"})
    with pytest.raises(Corrupt, match="does not follow"), store.write() as tx:
        tx.restore_audit(entries[:1], {})
    with pytest.raises(Corrupt), store.write() as tx:
        tx.restore_audit([replace(entries[2], verb="add")], {})
    with store.write() as tx:
        tx.restore_audit(entries[2:], names)
        fourth = tx.audit(Note(NOW, "user:ann", "get", ID))
    assert store.ledger.entries() == [*entries, fourth]
    assert fourth.previous == entries[2].hash
    assert fourth.principal == entries[0].principal
    assert store.ledger.names() == names


def _blob() -> object:
    from anamnos.cube import BlobRef

    return BlobRef("0" * 64, 1, "x/y")
