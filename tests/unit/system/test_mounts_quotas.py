"""Other vaults that join searches, and how much a scope may hold."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.errors import ConfigError, Conflict, InvalidInput, LimitExceeded, MigrationNeeded, NotFound, StoreError
from anamnos.store.sqlite import SqliteStore
from anamnos.system.quotas import Quota
from anamnos.system.scope_hash import covering, scope_hash
from anamnos.testing import FakeClock, FakeEmbedder

ANN, BOB, TEAM = Scope(user="ann"), Scope(user="bob"), Scope(agent="team")
MONDAY = Scope(user="ann", session="monday")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=FakeClock()) as memory:
        memory.add("ann likes boats", ANN)
        yield memory


@pytest.fixture
def other(tmp_path: Path) -> Path:
    with Memory(tmp_path / "other", embedder=FakeEmbedder(), clock=FakeClock()) as other:
        other.add("the team has two boats", TEAM)
        other.add("a secret of somebody else", BOB)
    return tmp_path / "other"


def contents(memory: Memory, scope: Scope, query: str = "boats of the team") -> list[object]:
    return [hit.content for hit in memory.search(query, scope)]


# --- mounts


def test_a_mounted_vault_joins_the_searches_of_one_scope(memory: Memory, other: Path) -> None:
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    mount = memory.mounts.add("team", other, TEAM, into=ANN)
    assert memory.mounts.list() == [mount]
    assert contents(memory, ANN) == ["the team has two boats", "ann likes boats"]
    assert contents(memory, MONDAY) == ["the team has two boats"]
    assert contents(memory, BOB) == []
    hit = memory.search("boats of the team", ANN)[0]
    assert hit.reason.endswith("from the vault team")
    assert memory.answer_context("boats of the team", ANN).text.count("two boats") == 1
    memory.mounts.remove("team")
    assert contents(memory, ANN) == ["ann likes boats"]
    memory.close()
    after = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    assert after == before, "nothing is written there"


def test_what_is_written_there_is_found_here(memory: Memory, other: Path) -> None:
    memory.mounts.add("team", other, TEAM)
    assert len(contents(memory, BOB)) == 1
    with Memory(other, embedder=FakeEmbedder()) as writer:
        (new,) = writer.add("a third boat for the team", TEAM).ids
        assert "a third boat for the team" in contents(memory, BOB)
        writer.delete(new, TEAM)
        assert "a third boat for the team" not in contents(memory, BOB)


def test_a_mount_is_there_when_the_vault_is_opened_again(tmp_path: Path, memory: Memory, other: Path) -> None:
    memory.mounts.add("team", other, TEAM)
    memory.close()
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as again:
        assert "the team has two boats" in contents(again, ANN)


def test_a_hit_from_a_mount_counts_less(memory: Memory, other: Path) -> None:
    memory.add("the team has two boats", ANN)
    memory.mounts.add("team", other, TEAM, weight=0.5)
    own, foreign = memory.search("the team has two boats", ANN)[:2]
    assert own.cube.scope == ANN and own.rank_score >= foreign.rank_score


def test_forgetting_a_person_takes_their_mounts_along(memory: Memory, other: Path) -> None:
    memory.mounts.add("bobs", other, BOB)
    memory.mounts.add("for ann", other, TEAM, into=ANN)
    memory.mounts.add("for all", other, TEAM)
    assert str(other) in memory.forget_person("bob").copies[0]
    assert [mount.name for mount in memory.mounts.list()] == ["for all", "for ann"]
    memory.forget_person("ann")
    assert [mount.name for mount in memory.mounts.list()] == ["for all"]


def test_what_cannot_be_mounted(tmp_path: Path, memory: Memory, other: Path) -> None:
    with pytest.raises(NotFound, match="no vault"):
        memory.mounts.add("x", tmp_path / "nowhere", TEAM)
    assert not (tmp_path / "nowhere").exists()
    memory.mounts.add("team", other, TEAM)
    with pytest.raises(Conflict):
        memory.mounts.add("team", other, TEAM)
    with pytest.raises(InvalidInput, match="weight"):
        memory.mounts.add("y", other, TEAM, weight=0)
    with pytest.raises(NotFound):
        memory.mounts.remove("x")
    with Memory(tmp_path / "third", embedder=FakeEmbedder(8)) as third:
        third.add("x", ANN)
    with pytest.raises(ConfigError, match="vectors of"):
        memory.mounts.add("third", tmp_path / "third", ANN)
    assert [mount.name for mount in memory.mounts.list()] == ["team"]


def test_a_mount_that_is_gone_is_an_error_and_no_empty_result(tmp_path: Path, memory: Memory, other: Path) -> None:
    memory.mounts.add("team", other, TEAM)
    other.rename(tmp_path / "elsewhere")
    with pytest.raises(NotFound, match="no vault"):
        memory.search("boats", ANN)
    memory.mounts.remove("team")
    assert contents(memory, ANN) == ["ann likes boats"]


def test_a_store_that_is_opened_for_reading_refuses_to_write_and_to_migrate(other: Path) -> None:
    store = SqliteStore(other / "anamnos.db", read_only=True).open()
    with pytest.raises(StoreError):
        store.set_setting("a", "b")
    assert store.count() == 2
    store.close()
    with SqliteStore(other / "anamnos.db").open().write() as tx:
        tx.db.pragma("user_version", 1)
    with pytest.raises(MigrationNeeded, match="reading only"):
        SqliteStore(other / "anamnos.db", read_only=True).open()


# --- quotas


def test_a_quota_of_memories(memory: Memory) -> None:
    memory.quotas.set(ANN, memories=3)
    assert (memory.quotas.get(ANN), memory.quotas.get(BOB)) == (Quota(3), None)
    memory.add("two", MONDAY)
    with pytest.raises(LimitExceeded, match="user=ann would hold 4 memories; its quota is 3"):
        memory.add([{"role": "user", "content": "three"}, {"role": "user", "content": "four"}], MONDAY)
    assert memory.stats(ANN)["memories"] == 2, "all or nothing"
    (third,) = memory.add("three", ANN).ids
    assert memory.add("three", ANN).outcomes == ("unchanged",)
    memory.update(third, ANN, content="the third")
    with pytest.raises(LimitExceeded):
        memory.add("four", ANN)
    memory.add("bob is not ann", BOB)
    memory.delete(third, ANN)
    memory.add("four", ANN)
    memory.quotas.set(ANN)
    assert memory.quotas.get(ANN) is None
    memory.add("five", ANN)


def test_a_quota_of_bytes_counts_all_versions(memory: Memory) -> None:
    (first,) = memory.add("x" * 10, MONDAY).ids
    memory.quotas.set(MONDAY, bytes=25)
    memory.update(first, MONDAY, content="ø" * 5)
    with pytest.raises(LimitExceeded, match="30 bytes"):
        memory.update(first, MONDAY, content="z" * 10)
    assert memory.get(first, MONDAY).version == 2
    memory.add("z" * 100, ANN)  # outside of that session


@settings(max_examples=10)
@given(st.data())
def test_what_a_scope_holds_is_counted_on_as_it_changes(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder, Memory(folder, embedder=FakeEmbedder(), clock=FakeClock()) as memory:
        for scope in (ANN, MONDAY):
            memory.quotas.set(scope, memories=1_000)
        for step in range(data.draw(st.integers(1, 12))):
            scope = data.draw(st.sampled_from([ANN, MONDAY, BOB]))
            there = memory.list(scope)
            what = data.draw(st.sampled_from(["add", "update", "archive", "delete", "away and back"]))
            if what == "add" or not there:
                memory.add([{"role": "user", "content": f"{step} {n}"} for n in range(3)], scope)
            elif what == "update":
                memory.update(there[0].id, there[0].scope, content=f"new {step}")
            elif what == "archive":
                memory.archive(there[-1].id, there[-1].scope)
            elif what == "delete":
                memory.delete(there[0].id, there[0].scope)
            else:
                memory.export(Path(folder) / f"{step}.jsonl", scope)
                memory.delete_all(scope)
                memory.import_(Path(folder) / f"{step}.jsonl")
            for each in (ANN, MONDAY, BOB):
                assert memory.quotas._usage(each) == memory.vault.store.usage(each)


def test_quotas_that_make_no_sense(memory: Memory) -> None:
    for wrong in (-1, True, 1.5):
        with pytest.raises(InvalidInput, match="quota"):
            memory.quotas.set(ANN, memories=wrong)  # type: ignore[arg-type]


def test_the_settings_of_a_scope_hold_no_name(tmp_path: Path, memory: Memory, other: Path) -> None:
    person = Scope(user="Guinevere Pendragon")
    memory.quotas.set(person, memories=3)
    memory.mounts.add("team", other, TEAM, into=person)
    assert not any(b"Guinevere" in path.read_bytes() for path in (tmp_path / "vault").rglob("*") if path.is_file())


def test_the_hashes_of_scopes() -> None:
    wide = Scope("t", "ann", "tutor", "monday")
    assert len({scope_hash(scope) for scope in covering(wide)}) == 4
    assert all(scope.covers(wide) for scope in covering(wide))
    assert covering(Scope(agent="a", session="s")) == [
        Scope(agent="a", session="s"),
        Scope(agent="a"),
        Scope(session="s"),
    ]
