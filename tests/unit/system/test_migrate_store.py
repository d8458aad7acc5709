"""A vault's memories moved to another engine: nothing is lost, nothing doubled, and nobody writes to the old place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anamnos.cube import CubeId, Link, LinkKind, MemCube, Scope
from anamnos.errors import Busy, ConfigError, InvalidInput, MissingExtra, Moved, NotFound
from anamnos.memory import Memory
from anamnos.store.apply import apply
from anamnos.store.base import MIGRATING, MOVED_TO, MOVING, EmbedderInfo, Store
from anamnos.store.jobs import NewJob
from anamnos.store.ledger import Note
from anamnos.store.sqlite import SqliteStore
from anamnos.store.working import Kept
from anamnos.system.governance.audit import Audit
from anamnos.system.migrate_store import copy_store, migrate_vault, without_password
from anamnos.system.vault import store_at
from anamnos.testing import FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import Derived, Op, OpKind

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ANN, BOB = Scope(user="ann"), Scope(user="bob", session="june")
EMBEDDER = FakeEmbedder(dim=8)
INFO = EmbedderInfo(EMBEDDER.id, EMBEDDER.dim)
_new_id = seeded_ids(5)


def no_server(address: str) -> Store:
    raise AssertionError(address)


def derived(text: str) -> Derived:
    return Derived(np.array([len(text), 7], dtype=np.uint32), EMBEDDER.embed([text])[0], tokens=text.encode())


def say(store: Store, text: str, scope: Scope = ANN, key: bytes = b"", **parts: object) -> MemCube:
    cube = MemCube(id=_new_id(NOW), content=text, scope=scope, **parts)  # type: ignore[arg-type]
    with store.write() as tx:
        apply(Op(OpKind.ADD, cube=cube, derived=derived(text), key=key), tx, now=NOW)
        tx.audit(Note(NOW, "user:ann", "add", cube.id, None, 1))
    return cube


def change(store: Store, cube_id: CubeId, text: str, key: bytes = b"", now: datetime = NOW) -> None:
    cube = store.get(cube_id)
    assert cube is not None
    op = Op(OpKind.UPDATE, target=cube_id, cube=cube.next_version(content=text), derived=derived(text), key=key)
    with store.write() as tx:
        apply(op, tx, now=now)


def touch(store: Store, cube_id: CubeId) -> None:
    cube = store.get(cube_id)
    assert cube is not None
    used = replace(cube, lifecycle=replace(cube.lifecycle, uses=cube.lifecycle.uses + 1))
    with store.write() as tx:
        apply(Op(OpKind.TOUCH, target=cube_id, cube=used), tx, now=NOW)


def delete(store: Store, cube_id: CubeId) -> None:
    with store.write() as tx:
        apply(Op(OpKind.DELETE, target=cube_id), tx, now=NOW)


def fill(store: Store) -> list[MemCube]:
    """Live a short life in which everything happens that a store knows."""
    store.use_embedder(INFO)
    cubes = [say(store, f"memory {n} of Ann", key=b"k%d" % n) for n in range(30)]
    cubes += [say(store, f"Bob said {n}", BOB) for n in range(5)]
    cubes.append(
        say(store, "linked", links=(Link(LinkKind.MENTIONS, cubes[3].id, 0.5), Link(LinkKind.NEXT, cubes[4].id)))
    )
    for n in range(0, 12, 2):
        change(store, cubes[n].id, f"memory {n} said better", now=NOW + timedelta(days=n))
    change(store, cubes[0].id, "memory 0, third words", key=b"third", now=NOW + timedelta(days=90))
    touch(store, cubes[1].id)
    delete(store, cubes[3].id)
    delete(store, cubes[35 - 1].id)
    store.set_setting("mark", str(store.sequence()))
    jobs = store.jobs
    first = jobs.add(NewJob("enrich", ANN, {"from": 3}, key="a"), now=NOW)
    jobs.add(NewJob("sleep", None, priority=1), now=NOW)
    jobs.claim("worker 1", now=NOW, lease=timedelta(seconds=30), kinds=["sleep"])
    jobs.cancel(first.id, now=NOW)
    jobs.add(NewJob("tidy", BOB, key="b", run_after=NOW + timedelta(days=1)), now=NOW)
    jobs.repeat(NewJob("sleep", ANN, {"deep": True}), timedelta(hours=1), now=NOW)
    jobs.pause("tidy")
    store.working.save(ANN, [Kept(cubes[1].id, 0.25, 2, 3), Kept(cubes[0].id)])
    with store.write() as tx:
        tx.record("rule", "rule a", {"days": 3})
        tx.record("principal", "user:eve", {"roles": ["reader"]})
        tx.audit(Note(NOW, "user:eve", "get", cubes[1].id, purpose="care"))
    with store.write() as tx:
        tx.forget_name("user:eve")
    return cubes


def life(store: Store) -> object:
    """Return everything that a store shows, by which it can be compared with another."""
    cubes = [
        (c, d and (d.terms.tobytes(), d.vector is None or d.vector.tobytes(), d.tokens), k)
        for c, d, k in store.export()
    ]
    rows = store.rows_of((cube.id, cube.version) for cube, _, _ in cubes).tolist()
    jobs = store.jobs
    settings = {
        name: value for name, value in store.settings("").items() if name not in (MOVED_TO, MIGRATING, MOVING, "vault")
    }
    return (
        *(cubes, rows, store.changes(0, 10**6), store.embedder(), settings),
        *(jobs.list(limit=100), jobs.recurring(), jobs.paused(), jobs.counts()),
        {scope: store.working.load(scope) for scope in store.working.scopes()},
        *(
            store.ledger.entries(),
            store.ledger.names(),
            store.ledger.records("rule"),
            store.ledger.records("principal"),
        ),
        *(store.count(), sorted(map(str, store.scopes())), store.list(ANN), store.list(BOB), store.verify()),
    )


Make = Callable[[str], Store]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what makes a new, open store of an engine."""
    opened: list[Store] = []

    def made(engine: str) -> Store:
        if engine == "sqlite":
            store: Store = SqliteStore(tmp_path / f"{len(opened)}.db", busy_timeout_s=0.2)
        elif engine == "postgres":
            from anamnos.store.postgres import PostgresStore

            store = PostgresStore(request.getfixturevalue("postgres_url"))
        else:
            store = ReferenceStore()
        opened.append(store.open())
        return store

    yield made
    for store in opened:
        store.close()


def has_postgres() -> bool:
    try:
        import anamnos.store.postgres  # noqa: F401
    except (ImportError, MissingExtra):
        return False
    return True


NEEDED = pytest.mark.skipif(not has_postgres(), reason="the PostgreSQL store is not installed")
ENGINES = [
    *(("sqlite", "sqlite"), ("sqlite", "reference"), ("reference", "sqlite")),
    *(pytest.param(*pair, marks=NEEDED) for pair in (("sqlite", "postgres"), ("postgres", "sqlite"))),
]


@pytest.mark.parametrize(("one", "other"), ENGINES)
def test_everything_goes_along(make: Make, one: str, other: str) -> None:
    source, target = make(one), make(other)
    fill(source)
    before = life(source)
    report = copy_store(source, target, "elsewhere")
    assert (report.switched, report.memories, report.entries) == (True, 34, 37)
    assert life(source) == before == life(target)
    assert Audit(target.ledger).verify() == Audit(source.ledger).verify()
    assert target.setting("mark") == source.setting("mark")
    assert copy_store(source, target, "elsewhere", verify_only=True).differences == ()


@pytest.mark.parametrize("engine", ["sqlite", "reference"])
def test_life_goes_on_where_it_stopped(make: Make, engine: str) -> None:
    """Rows and numbers go on as they would have gone on in the old place, so what was noted by them still holds."""
    source, target = make("sqlite"), make(engine)
    cubes = fill(source)
    last = say(source, "erased at once, and its row with it")
    delete(source, last.id)
    copy_store(source, target, "elsewhere")
    new = say(target, "said afterwards")
    assert target.rows_of([(new.id, 1)]).tolist() == [max(change.row for change in source.changes(0)) + 1]
    assert target.sequence() == source.sequence() + 1
    assert target.jobs.add(NewJob("new"), now=NOW).id == max(job.id for job in source.jobs.list()) + 1
    change(target, cubes[5].id, "said anew")
    assert [cube.version for cube in target.history(cubes[5].id)] == [1, 2]
    assert target.verify() == source.verify()


def test_the_old_place_takes_no_writes_and_is_still_read(make: Make) -> None:
    for engine in ("sqlite", "reference"):
        source, target = make(engine), make("reference")
        (first, *_) = fill(source)
        copy_store(source, target, "/new/place")
        with pytest.raises(Moved, match="/new/place"):
            say(source, "lost?")
        with pytest.raises(Moved):
            source.jobs.add(NewJob("enrich"), now=NOW)
        assert source.get(first.id) == target.get(first.id)


def test_what_changes_meanwhile_goes_along(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the copying and the last look: touches, which the feed does not tell of, keys that change hands, links
    to what is erased, names that are forgotten."""
    source, target = make("sqlite"), make("sqlite")
    cubes = fill(source)
    plain, done = source.changes, []

    def changes(after: int, limit: int = 10_000) -> object:
        found = plain(after, limit)
        if after == 0 and not done:
            done.append(True)
        elif done == [True] and target.count():
            done.append(True)
            touch(source, cubes[7].id)
            change(source, cubes[8].id, "gave its key away", key=b"other")
            change(source, cubes[20].id, "gives its key", key=b"k21x")
            change(source, cubes[22].id, "takes the key", key=b"k20")
            delete(source, cubes[4].id)
            say(source, "said meanwhile")
            with source.write() as tx:
                tx.forget_name("user:ann")
                tx.set_setting("mark", None)
            source.working.save(ANN, [])
        return found

    monkeypatch.setattr(source, "changes", changes)
    monkeypatch.setattr("anamnos.system.migrate_store._BATCH", 9)
    report = copy_store(source, target, "elsewhere")
    assert report.repaired == 0  # the feed told of all
    assert len(done) == 2
    assert life(target) == life(source)
    assert target.ledger.names() == {}


def test_a_writer_goes_on_and_loses_nothing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anamnos.system.migrate_store._BATCH", 7)
    source, target = make("sqlite"), make("sqlite")
    fill(source)
    acknowledged: list[CubeId] = []
    seen: list[int] = []
    own = SqliteStore(tmp_path / "0.db", busy_timeout_s=0.05).open()

    def write() -> None:
        with suppress(Moved):
            while True:
                with suppress(Busy):  # in the freeze
                    acknowledged.append(say(own, f"written meanwhile {len(acknowledged)}").id)
                seen.append(own.count())
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 5:
        time.sleep(0.001)
    copy_store(source, target, "elsewhere")
    writer.join()
    assert seen[-1] == own.count()
    own.close()
    assert all(target.get(cube_id) for cube_id in acknowledged)
    assert life(target) == life(source)


def test_one_that_was_stopped_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anamnos.system.migrate_store._BATCH", 5)
    source, target = make("sqlite"), make("sqlite")
    fill(source)

    def stop(done: int, total: int) -> None:
        if done >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(source, target, "elsewhere", progress=stop)
    reached = target.sequence()
    assert 0 < reached < source.sequence()
    assert source.setting(MOVED_TO) is None
    first: list[int] = []
    copy_store(source, target, "elsewhere", progress=lambda done, total: first.append(done))
    assert first[0] > reached
    assert life(target) == life(source)


def test_another_embedder_meanwhile(make: Make) -> None:
    source, target = make("sqlite"), make("sqlite")
    cubes = fill(source)

    def reembed(done: int, total: int) -> None:
        rows = np.array([change.row for change in source.changes(0, 10**6)], dtype=np.int64)
        other = EmbedderInfo("other", 4)
        if source.embedder() != other:
            source.put_vectors(np.unique(rows), np.eye(4, dtype=np.float32)[np.unique(rows) % 4], other)
            source.use_embedder(other)

    with pytest.raises(Busy, match="embedder"):
        copy_store(source, target, "elsewhere", progress=reembed)
    copy_store(source, target, "elsewhere")
    assert life(target) == life(source)
    assert target.get(cubes[0].id) is not None


def test_differences_are_named(make: Make) -> None:
    source, target = make("sqlite"), make("reference")
    cubes = fill(source)
    copy_store(source, target, "elsewhere")
    touch(target, cubes[1].id)
    delete(target, cubes[2].id)
    say(target, "another")
    target.jobs.resume()
    target.working.save(ANN, [])
    with target.write() as tx:
        tx.record("rule", "rule b", {})
    found = "\n".join(copy_store(source, target, "elsewhere", verify_only=True).differences)
    for words in (
        f"{cubes[1].id} differs",
        f"{cubes[2].id} is missing",
        "is not in the source",
        "feeds",
        "audits",
        "jobs",
        "records",
        "working",
    ):
        assert words in found


def test_what_holds_something_else_is_left_alone(make: Make) -> None:
    source, other, full, target = make("sqlite"), make("sqlite"), make("sqlite"), make("reference")
    fill(source)
    fill(other)
    fill(full)
    before = life(full)
    with pytest.raises(InvalidInput, match="holds memories already"):
        copy_store(source, full, "elsewhere")
    assert life(full) == before
    with pytest.raises(ZeroDivisionError):
        copy_store(other, target, "there", progress=lambda done, total: 1 // 0)
    with pytest.raises(InvalidInput, match="another vault"):
        copy_store(source, target, "there")
    copy_store(other, target, "there")
    with pytest.raises(Moved, match="there"):
        copy_store(other, source, "elsewhere")


# --- whole vaults


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    with Memory(folder, embedder="hashing") as memory:
        for n in range(20):
            memory.add(f"The {n}th box is in the cellar.", ANN)
        first = memory.list(ANN)[0]
        memory.update(first.id, ANN, content="The 0th box is in the attic.")
        memory.add("to be deleted", ANN)
        memory.delete(memory.list(ANN)[-1].id, ANN)
    (folder / "anamnos.toml").write_text('working = "off"\n')
    return folder


def test_a_vault_moves_to_another_folder(vault: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    with Memory(vault, embedder="hashing") as memory:
        sent = memory.vault.blobs.put(b"picture", "image/png")
        memory.add("before", ANN)
        cube = replace(
            memory.list(ANN)[0].next_version(), id=memory._new_id(NOW), version=1, content=sent, substrate="neural"
        )  # type: ignore[arg-type]
        with memory.vault.store.unguarded.write() as tx:  # type: ignore[attr-defined]
            tx.insert(cube, None, b"")
        want = memory.search("where is the box?", ANN)
        report = migrate_vault(vault, str(new), no_server)
        assert report.switched and report.memories == memory.vault.store.count()
        assert [hit.content for hit in memory.search("where is the box?", ANN)] == [hit.content for hit in want]
        with pytest.raises(Moved, match="new"):
            memory.add("too late", ANN)
    with Memory(new, embedder="hashing") as memory:
        assert [(hit.id, hit.rank_score) for hit in memory.search("where is the box?", ANN)] == [
            (h.id, h.rank_score) for h in want
        ]
        assert memory.vault.blobs.get(sent) == b"picture"
        assert memory.verify() == []
        memory.add("life goes on", ANN)
        assert "old store" in str(memory.vault.store.ledger.records("copy"))
    assert (new / "anamnos.toml").read_text() == 'working = "off"\n'
    with pytest.raises(Moved) as raised:
        Memory(vault, embedder="hashing")
    assert str(new) in raised.value.hint
    assert migrate_vault(vault, str(new), no_server).switched  # once more changes nothing
    with Memory(new, embedder="hashing") as memory:
        assert "life goes on" in [cube.content for cube in memory.list(ANN, limit=None)]


def test_a_vault_moves_to_a_server_and_back(vault: Path, tmp_path: Path) -> None:
    """With the reference store in the place of a server."""
    server = ReferenceStore()
    address = "postgresql://ann:secret@db/memories"
    seen: list[str] = []

    def opened(url: str) -> Store:
        seen.append(url)
        return server

    with closing(SqliteStore(vault / "anamnos.db").open()) as old:
        old.set_setting("part", "1")
    report = migrate_vault(vault, address, opened)
    assert report.to == "postgresql://ann@db/memories"
    assert seen == [address]
    text = (vault / "anamnos.toml").read_text()
    assert text == 'store = "postgresql://ann@db/memories"\nworking = "off"\n'
    assert b"secret" not in b"".join(path.read_bytes() for path in vault.rglob("*") if path.is_file())
    with Memory(vault, embedder="hashing", store=server) as memory:
        assert len(memory.list(ANN, limit=None)) == report.memories
        memory.add("on the server", ANN)
    server.open()
    # once more, with the old file: it goes, and the server stays
    migrate_vault(vault, address, opened, server=address, drop_source=True)
    assert not (vault / "anamnos.db").exists() and not (vault / "index").exists()
    server.open()
    assert server.ledger.records("copy") == {}
    assert server.setting("part") == "1"
    with pytest.raises(InvalidInput, match="server"):
        migrate_vault(vault, str(tmp_path / "x"), opened, server=address, drop_source=True)
    back = migrate_vault(vault, str(vault), opened, server=address)
    assert back.memories == report.memories + 1
    assert (vault / "anamnos.toml").read_text() == 'working = "off"\n'
    with Memory(vault, embedder="hashing") as memory:
        assert "on the server" in [cube.content for cube in memory.list(ANN, limit=None)]
        assert memory.verify() == []


@NEEDED
def test_a_vault_moves_to_postgresql_and_back(vault: Path, tmp_path: Path, postgres_url: str) -> None:
    with Memory(vault, embedder="hashing") as memory:
        want = [hit.id for hit in memory.search("where is the box?", ANN)]
    assert migrate_vault(vault, postgres_url, store_at).memories == 20
    with Memory(vault, embedder="hashing") as memory:
        assert [hit.id for hit in memory.search("where is the box?", ANN)] == want
        memory.add("on the server", ANN)
        assert memory.verify() == []
    assert migrate_vault(vault, str(tmp_path / "back"), store_at, server=postgres_url).memories == 21
    with pytest.raises(Moved):
        Memory(vault, embedder="hashing")
    with Memory(tmp_path / "back", embedder="hashing") as memory:
        assert "on the server" in [cube.content for cube in memory.list(ANN, limit=None)]
        assert memory.verify() == []


def test_dropping_leaves_no_byte(vault: Path, tmp_path: Path) -> None:
    with Memory(vault, embedder="hashing") as memory:
        memory.vault.blobs.put(b"picture", "image/png")
        with pytest.raises(Busy):
            migrate_vault(vault, str(tmp_path / "new"), no_server, drop_source=True)
    migrate_vault(vault, str(tmp_path / "new"), no_server, drop_source=True)
    left = b"".join(path.read_bytes() for path in vault.rglob("*") if path.is_file())
    assert b"cellar" not in left and b"picture" not in left
    with Memory(tmp_path / "new", embedder="hashing") as memory:
        assert memory.vault.store.ledger.records("copy") == {}
        assert len(memory.list(ANN, limit=None)) == 20


def test_half_a_vault_cannot_be_opened(vault: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    with pytest.raises(ZeroDivisionError):
        migrate_vault(vault, str(new), no_server, progress=lambda done, total: 1 // 0)
    with pytest.raises(Moved, match="still being moved"):
        Memory(new, embedder="hashing")
    with Memory(vault, embedder="hashing") as memory:
        memory.add("the old one is still in use", ANN)
    assert migrate_vault(vault, str(new), no_server).memories == 21
    with Memory(new, embedder="hashing") as memory:
        assert memory.verify() == []


def test_mistakes_change_nothing(vault: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        migrate_vault(tmp_path / "nothing", str(tmp_path / "new"), no_server)
    with pytest.raises(InvalidInput, match="is where"):
        migrate_vault(vault, str(vault), no_server)
    with pytest.raises(NotFound):
        migrate_vault(vault, str(tmp_path / "new"), no_server, verify_only=True)
    assert not (tmp_path / "new").exists() and not (tmp_path / "nothing").exists()


def test_an_encrypted_vault_goes_to_no_server(tmp_path: Path) -> None:
    from anamnos.store.keys import UserKey
    from anamnos.store.sqlite_vfs import can_encrypt

    if not can_encrypt():
        pytest.skip("the installed apsw cannot encrypt")
    key, old, new = UserKey("file", bytes(range(32))), tmp_path / "old", tmp_path / "new"
    (tmp_path / "key").write_bytes(key.secret)
    (tmp_path / "key").chmod(0o600)
    with Memory(old, embedder="hashing", key_file=str(tmp_path / "key")) as memory:
        memory.add("the secret recipe", ANN)
    with pytest.raises(ConfigError, match="encrypted"):
        migrate_vault(old, "postgresql://db/x", lambda url: ReferenceStore(), key=key)
    migrate_vault(old, str(new), no_server, key=key)
    assert b"secret recipe" not in (new / "anamnos.db").read_bytes()
    with Memory(new, embedder="hashing", key_file=str(tmp_path / "key")) as memory:
        assert [cube.content for cube in memory.list(ANN)] == ["the secret recipe"]


def test_passwords_stay_out_of_files() -> None:
    assert without_password("postgresql://db/x") == "postgresql://db/x"
    assert without_password("postgresql://ann@db/x?sslmode=require") == "postgresql://ann@db/x?sslmode=require"
    assert without_password("postgresql://ann:p%40ss@db:1/x") == "postgresql://ann@db:1/x"
