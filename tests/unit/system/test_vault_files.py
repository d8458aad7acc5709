"""The vault as a whole: its folder, its indexes, its blobs, its sizes, its copies."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.cube import MemCube, Role, Substrate
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput, StoreError
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo
from anamnos.system.vault import Vault
from anamnos.testing import FakeEmbedder, seeded_ids
from anamnos.types import Op, OpKind

ANN = Scope(user="ann")
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def put_blob(memory: Memory, data: bytes) -> MemCube:
    blob = memory.vault.blobs.put(data, "application/octet-stream")
    cube = MemCube(
        id=seeded_ids(len(data))(NOW), content=blob, scope=ANN, substrate=Substrate.PARAMETRIC, role=Role.STATE
    )
    with memory.vault.store.write() as tx:
        apply(Op(OpKind.ADD, cube=cube), tx, now=NOW)
    return cube


def test_index_folders_are_named_after_their_embedder(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    specs = ("hashing-384-v1", "openai:text/embedding@http://x/../y", "openai:text/embedding@http://x/../z")
    names = [vault.index(EmbedderInfo(spec, 8)).folder.name for spec in specs]
    assert names[0].startswith("hashing-384-v1-")
    assert len(set(names)) == 3
    assert all(name.replace("-", "").isalnum() and len(name) < 64 for name in names)


def test_blobs_live_as_long_as_a_cube_refers_to_them(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        memory.add("text", ANN)
        one, two = put_blob(memory, b"first weights"), put_blob(memory, b"second weights!")
        assert memory.verify() == []
        memory.delete(one.id, ANN)
        assert list(memory.vault.blobs.names()) == [two.content.sha256]  # type: ignore[union-attr]
        assert b"first weights" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        path = memory.vault.blobs.path(two.content.sha256)  # type: ignore[union-attr]
        path.write_bytes(b"damaged")
        assert "damaged" in memory.verify()[0]
        path.unlink()
        assert "missing" in memory.verify()[0]


def test_a_backup_holds_blobs_and_settings(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        memory.add("text", ANN)
        put_blob(memory, b"weights")
        (tmp_path / "vault" / "anamnos.toml").write_text("batch_size = 7\n")
        memory.backup(tmp_path / "backup")
    with Memory(tmp_path / "backup", embedder=FakeEmbedder()) as copy:
        assert copy.verify() == []
        assert copy.settings.batch_size == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup", "vault"]


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        memory.add("text", ANN)

        def full(target: str) -> None:
            Path(target).write_bytes(b"half")
            raise StoreError("The disk is full.", hint="Free some space.")

        monkeypatch.setattr(memory.vault.store, "backup", full)
        with pytest.raises(StoreError):
            memory.backup(tmp_path / "backup")
        (tmp_path / "file").write_text("x")
        with pytest.raises(InvalidInput):
            memory.backup(tmp_path / "file")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "vault"]


def test_sizes_name_each_part(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add([{"role": "user", "content": f"number {n}"} for n in range(50)], ANN)
        memory.search("number", ANN)
        put_blob(memory, b"x" * 10_000)
        sizes = memory.vault.sizes()
    assert set(sizes) == {"database", "log", "index", "blobs"}
    assert sizes["database"] + sizes["log"] > 50 * 384 * 4
    assert 50 * 384 * 4 <= sizes["index"] < 2_000_000
    assert sizes["blobs"] >= 10_000


def test_only_the_index_in_use_is_kept(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add("text", ANN)
        memory.search("text", ANN)
        for dim in (32, 64, 32):
            memory.reembed(HashingEmbedder(dim))
            memory.search("text", ANN)
            assert len(list((tmp_path / "index").iterdir())) == 1
        assert memory.verify() == []


def test_an_older_database_put_back_gets_its_own_vectors(tmp_path: Path) -> None:
    """The index is ahead of a restored database; its vectors must not be taken for the database's."""
    with Memory(tmp_path / "vault", embedder="hashing") as memory:
        memory.add("The boat is blue.", ANN)
        memory.backup(tmp_path / "backup")
        memory.delete_all(ANN)
        memory.add([{"role": "user", "content": f"number {n}"} for n in range(20)], ANN)
        memory.search("number", ANN)
    for path in (tmp_path / "vault").glob("anamnos.db*"):
        path.unlink()
    (tmp_path / "backup" / "anamnos.db").rename(tmp_path / "vault" / "anamnos.db")
    with Memory(tmp_path / "vault", embedder="hashing") as memory:
        assert memory.search("the blue boat", ANN)[0].similarity > 0.5
        assert memory.verify() == []
