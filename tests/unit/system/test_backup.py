"""Backups that are brought up to date in place: consistent at any moment, and rid of what was erased."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from filelock import FileLock

from anamnos import Memory, Scope
from anamnos.cube import MemCube, Role, Substrate
from anamnos.errors import Busy, Corrupt, InvalidInput, MigrationNeeded, StoreError
from anamnos.store import sqlite_file
from anamnos.store.apply import apply
from anamnos.store.keys import make_key_file
from anamnos.store.sqlite_vfs import can_encrypt
from anamnos.system import backup
from anamnos.system.backup import LOCK, MANIFEST, REDO, read_manifest, restore
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Op, OpKind

ANN = Scope(user="ann")


def opened(folder: Path) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(), clock=FakeClock())


def held(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def put_blob(memory: Memory, data: bytes) -> MemCube:
    blob = memory.vault.blobs.put(data, "a/b")
    cube = MemCube(seeded_ids(len(data))(FakeClock()()), blob, ANN, substrate=Substrate.PARAMETRIC, role=Role.STATE)
    with memory.vault.store.write() as tx:
        apply(Op(OpKind.ADD, cube=cube), tx, now=FakeClock()())
    return cube


def texts(folder: Path) -> list[str]:
    with opened(folder) as memory:
        assert memory.verify() == []
        return [cube.text for cube in memory.list(ANN, limit=None) if cube.substrate is Substrate.TEXT]


def test_only_what_differs_is_written_and_the_result_is_the_vault(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add([{"role": "user", "content": f"memory number {n} " * 20} for n in range(400)], ANN)
        put_blob(memory, b"weights" * 100)
        first = memory.backup(tmp_path / "backup", incremental=True)
        assert first.written_bytes == first.size_bytes
        memory.backup(tmp_path / "backup", incremental=True)  # the head of the file differs after a copy by SQLite
        again = memory.backup(tmp_path / "backup", incremental=True)
        assert again.written_bytes <= 8 * 8192, "no more than the note of the backup before"
        memory.add("one more", ANN)
        second = memory.backup(tmp_path / "backup", incremental=True)
        assert 0 < second.written_bytes < first.written_bytes / 4
        assert second.sequence == memory.stats()["sequence"]
        now = [cube.text for cube in memory.list(ANN, limit=None) if cube.substrate is Substrate.TEXT]
    assert restore(tmp_path / "backup", tmp_path / "restored")["sequence"] == second.sequence
    assert texts(tmp_path / "restored") == now
    assert texts(tmp_path / "backup") == now, "a backup is a vault"


def test_what_was_erased_is_erased_in_the_backup_too(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add([{"role": "user", "content": f"number {n}"} for n in range(50)], ANN)
        (secret,) = memory.add("the secret zebra", ANN).ids
        blob = put_blob(memory, b"striped weights")
        memory.backup(tmp_path / "backup")
        assert held(tmp_path / "backup", b"zebra") and held(tmp_path / "backup", b"striped")
        memory.delete([secret, blob.id], ANN)
        memory.backup(tmp_path / "backup", incremental=True)
    assert not held(tmp_path / "backup", b"zebra")
    assert not held(tmp_path / "backup", b"striped")
    assert len(texts(tmp_path / "backup")) == 50


def test_settings_come_and_go_with_the_vault(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        (tmp_path / "vault" / "anamnos.toml").write_text("batch_size = 7\n")
        memory.backup(tmp_path / "backup")
        (tmp_path / "vault" / "anamnos.toml").write_text("batch_size = 8\n")
        memory.backup(tmp_path / "backup", incremental=True)
        assert (tmp_path / "backup" / "anamnos.toml").read_text() == "batch_size = 8\n"
        (tmp_path / "vault" / "anamnos.toml").unlink()
        memory.backup(tmp_path / "backup", incremental=True)
        assert not (tmp_path / "backup" / "anamnos.toml").exists()


def test_each_backup_made_while_others_write_is_a_moment_of_the_vault(tmp_path: Path) -> None:
    """Each write adds two memories at once: a backup with an odd number would be torn."""
    stop = threading.Event()
    with opened(tmp_path / "vault") as memory:
        memory.add("the first", ANN)
        memory.add("the second", ANN)
        memory.backup(tmp_path / "backup", incremental=True)

        def write() -> None:
            n = 0
            while not stop.is_set():
                pair = [{"role": "user", "content": f"pair {n} {side} " * 50} for side in ("left", "right")]
                ids = memory.add(pair, ANN).ids
                if n % 5 == 0:
                    memory.delete(list(ids), ANN)
                n += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for n in range(8):
                report = memory.backup(tmp_path / "backup", incremental=True)
                restore(tmp_path / "backup", tmp_path / f"restored-{n}")
                found = texts(tmp_path / f"restored-{n}")
                assert len(found) % 2 == 0
                assert report.sequence <= memory.stats()["sequence"]
        finally:
            stop.set()
            thread.join()
        assert memory.verify() == []


def _at(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an increment stop at a step, as a kill would."""

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    if step == "before the journal counts":
        monkeypatch.setattr(Path, "replace", stop)
    elif step == "before it is carried out":
        real = backup._finish
        monkeypatch.setattr(backup, "_finish", lambda t: stop() if (t / REDO).exists() else real(t))
    elif step == "before the manifest":
        monkeypatch.setattr(backup, "write_whole", stop)
    else:
        monkeypatch.setattr(backup, "wipe", stop)


@pytest.mark.parametrize(
    ("step", "new"),
    [
        ("before the journal counts", False),
        ("before it is carried out", True),
        ("before the manifest", True),
        ("before what is left over goes", True),
    ],
)
def test_a_stop_at_any_moment_leaves_the_old_backup_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, new: bool
) -> None:
    with opened(tmp_path / "vault") as memory:
        (first,) = memory.add("the secret zebra", ANN).ids
        blob = put_blob(memory, b"striped weights")
        memory.backup(tmp_path / "backup")
        memory.add("the second", ANN)
        memory.delete([first, blob.id], ANN)
        with monkeypatch.context() as patched:
            _at(step, patched)
            with pytest.raises(KeyboardInterrupt):
                memory.backup(tmp_path / "backup", incremental=True)
        restore(tmp_path / "backup", tmp_path / "restored")
        assert texts(tmp_path / "restored") == (["the second"] if new else ["the secret zebra"])
        memory.backup(tmp_path / "backup", incremental=True)
    assert texts(tmp_path / "backup") == ["the second"]
    assert not held(tmp_path / "backup", b"zebra") and not held(tmp_path / "backup", b"striped")


def test_a_full_disk_leaves_the_old_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("the first", ANN)
        memory.backup(tmp_path / "backup")
        memory.add("the second", ANN)

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(StoreError, match="No space left"):
                memory.backup(tmp_path / "backup", incremental=True)
    restore(tmp_path / "backup", tmp_path / "restored")
    assert texts(tmp_path / "restored") == ["the first"]


def _flip(folder: Path) -> None:
    data = bytearray((folder / "anamnos.db").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "anamnos.db").write_bytes(data)


def _said(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8")) | changes
        (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (_flip, Corrupt, "anamnos.db in the backup"),
        (lambda folder: (folder / "anamnos.db").unlink(), Corrupt, "anamnos.db is missing"),
        (lambda folder: (folder / MANIFEST).unlink(), InvalidInput, "is not a backup"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), InvalidInput, "is not a backup"),
        (_said(anamnos_backup=2), MigrationNeeded, "of format 2"),
        (_said(files={}), InvalidInput, "is not a backup"),
        (lambda folder: (folder / REDO).write_bytes(b"x" * 100), Corrupt, "damaged"),
    ],
)
def test_a_damaged_backup_is_not_restored(
    tmp_path: Path, damage: Callable[[Path], None], kind: type[Exception], said: str
) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        memory.backup(tmp_path / "backup")
    damage(tmp_path / "backup")
    with pytest.raises(kind, match=said):
        restore(tmp_path / "backup", tmp_path / "restored")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "vault"]


def test_what_is_not_a_backup_of_this_vault_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
        one.add("one", ANN)
        two.add("two", ANN)
        one.backup(tmp_path / "backup")
        with pytest.raises(InvalidInput, match="of another vault"):
            two.backup(tmp_path / "backup", incremental=True)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "mine.txt").write_text("mine")
        with pytest.raises(InvalidInput, match="is not a backup"):
            two.backup(tmp_path / "folder", incremental=True)
        with pytest.raises(InvalidInput, match="is there already"):
            one.backup(tmp_path / "backup")
        with pytest.raises(InvalidInput, match="is there already"):
            restore(tmp_path / "backup", tmp_path / "two")
        with opened(tmp_path / "backup") as in_use:
            in_use.add("written into the backup", ANN)
            with pytest.raises(InvalidInput, match="in use as a vault"):
                one.backup(tmp_path / "backup", incremental=True)
        one.backup(tmp_path / "backup", incremental=True)
    assert texts(tmp_path / "backup") == ["one"]


def test_what_somebody_put_beside_a_backup_stays(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        memory.backup(tmp_path / "backup")
        (tmp_path / "backup" / "notes.txt").write_text("on the blue disk")
        opened(tmp_path / "backup").close()  # which makes an index
        memory.backup(tmp_path / "backup", incremental=True)
    assert (tmp_path / "backup" / "notes.txt").read_text() == "on the blue disk"
    restore(tmp_path / "backup", tmp_path / "restored")
    assert [path.name for path in (tmp_path / "restored").iterdir()] == ["anamnos.db"]


def test_two_backups_to_one_folder_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        memory.backup(tmp_path / "backup")
        with FileLock(tmp_path / "backup" / LOCK):
            with pytest.raises(Busy, match="Somebody is writing"):
                memory.backup(tmp_path / "backup", incremental=True)
            with pytest.raises(Busy):
                restore(tmp_path / "backup", tmp_path / "restored")
        memory.backup(tmp_path / "backup", incremental=True)
    assert not (tmp_path / "restored").exists()


def test_blobs_come_and_go_while_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        blobs = [put_blob(memory, b"weights" * n) for n in (1, 2)]
        (memory.vault.blobs.folder / "00").mkdir(exist_ok=True)
        (memory.vault.blobs.folder / "00" / "x.partial").write_bytes(b"half")
        erasing = [blobs[0].id]
        real = backup._copy_blobs

        def copy(folder: Path, target: Path) -> int:
            if erasing:
                memory.delete(erasing.pop(), ANN)
            return real(folder, target)

        monkeypatch.setattr(backup, "_copy_blobs", copy)
        memory.backup(tmp_path / "whole")
        erasing.append(blobs[1].id)
        memory.backup(tmp_path / "whole", incremental=True)
    assert not (tmp_path / "whole" / "blobs" / "00" / "x.partial").exists()
    assert texts(tmp_path / "whole") == ["x"]


def test_a_manifest_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        memory.backup(tmp_path / "backup")
    text = (tmp_path / "backup" / MANIFEST).read_text("utf-8").replace('"anamnos.db"', '"../anamnos.db"')
    (tmp_path / "backup" / MANIFEST).write_text(text, "utf-8")
    with pytest.raises(InvalidInput):
        read_manifest(tmp_path / "backup")


@pytest.mark.skipif(not can_encrypt(), reason="the installed apsw cannot encrypt; see make test-encrypted")
def test_the_backup_of_an_encrypted_vault_is_encrypted_and_increments_are_small(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "key"
    make_key_file(key)
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), key_file=str(key)) as memory:
        memory.add([{"role": "user", "content": f"a secret zebra {n} " * 20} for n in range(200)], ANN)
        put_blob(memory, b"striped weights")
        whole = memory.backup(tmp_path / "backup", incremental=True)
        memory.backup(tmp_path / "backup", incremental=True)
        memory.add("one more zebra", ANN)
        assert memory.backup(tmp_path / "backup", incremental=True).written_bytes < whole.size_bytes / 3
        memory.bundles.create(tmp_path / "bundle.zip", ANN, name="zebras")
    restore(tmp_path / "backup", tmp_path / "restored")
    assert not held(tmp_path / "backup", b"zebra") and not held(tmp_path / "backup", b"striped")
    with Memory(tmp_path / "restored", embedder=FakeEmbedder(), key_file=str(key)) as memory:
        assert memory.verify() == []
        assert memory.stats(ANN)["memories"] == 202
    with opened(tmp_path / "plain") as memory:
        memory.bundles.load(tmp_path / "bundle.zip")  # a bundle is plain
        assert memory.verify() == []
        assert memory.stats(ANN)["memories"] == 202


def test_a_log_that_another_process_is_folding_is_not_taken_for_folded() -> None:
    class Log:
        def execute(self, sql: str) -> Any:
            return self

        def fetchone(self) -> tuple[int, int, int]:
            return 1, -1, -1

    with pytest.raises(apsw.BusyError):
        sqlite_file._fold_log(Log())  # type: ignore[arg-type]


_WRITER = """
import sys
from anamnos import Memory, Scope
from anamnos.testing import FakeEmbedder
scope, n = Scope(user="ann"), 0
with Memory(sys.argv[1], embedder=FakeEmbedder()) as memory:
    while True:
        pair = [{"role": "user", "content": f"{sys.argv[2]} {n} {side} " * (n % 300 + 1)} for side in ("l", "r")]
        ids = memory.add(pair, scope).ids
        if n % 3 == 0:
            memory.delete(list(ids), scope)
        n += 1
"""


@pytest.mark.slow
def test_backups_beside_writers_in_other_processes(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("x", ANN)
        memory.add("y", ANN)
        memory.backup(tmp_path / "backup")
        command = [sys.executable, "-c", _WRITER, str(tmp_path / "vault")]
        writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
        try:
            for n in range(40):
                memory.backup(tmp_path / "backup", incremental=True)
                restore(tmp_path / "backup", tmp_path / f"restored-{n}")
                assert len(texts(tmp_path / f"restored-{n}")) % 2 == 0
                shutil.rmtree(tmp_path / f"restored-{n}")
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()
        assert memory.verify() == []
