"""Blobs: files named by what they hold."""

import hashlib
from pathlib import Path

import pytest

from anamnos.cube import BlobRef
from anamnos.errors import Corrupt, NotFound, StoreError
from anamnos.store.blobs import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 5_000])
def test_what_is_put_can_be_got(blobs: BlobStore, data: bytes) -> None:
    ref = blobs.put(data, "application/octet-stream")
    assert ref == BlobRef(hashlib.sha256(data).hexdigest(), len(data), "application/octet-stream")
    assert blobs.get(ref) == data
    assert files(blobs) == [blobs.path(ref.sha256)] == [blobs.folder / ref.sha256[:2] / ref.sha256]


def test_the_same_bytes_are_kept_once(blobs: BlobStore) -> None:
    first, again = blobs.put(b"same", "text/plain"), blobs.put(b"same", "image/png")
    other = blobs.put(b"other", "text/plain")
    assert first.sha256 == again.sha256
    assert len(files(blobs)) == 2
    assert list(blobs.names()) == sorted([first.sha256, other.sha256])


def test_a_blob_that_is_gone_is_not_found(blobs: BlobStore) -> None:
    ref = blobs.put(b"data", "text/plain")
    blobs.delete(ref.sha256)
    blobs.delete(ref.sha256)
    assert list(blobs.names()) == []
    with pytest.raises(NotFound, match=ref.sha256):
        blobs.get(ref)


@pytest.mark.parametrize("damage", [b"", b"dat", b"dbta", b"data and more"])
def test_a_damaged_blob_is_reported_and_left_as_it_is(blobs: BlobStore, damage: bytes) -> None:
    ref = blobs.put(b"data", "text/plain")
    blobs.path(ref.sha256).write_bytes(damage)
    with pytest.raises(Corrupt, match="does not hold what its name says"):
        blobs.get(ref)
    assert blobs.path(ref.sha256).read_bytes() == damage


@pytest.mark.parametrize("damage", [b"", b"dbta"])
def test_putting_again_mends_a_damaged_blob(blobs: BlobStore, damage: bytes) -> None:
    ref = blobs.put(b"data", "text/plain")
    blobs.path(ref.sha256).write_bytes(damage)
    assert blobs.put(b"data", "text/plain") == ref
    assert blobs.get(ref) == b"data"


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="could not be written"):
        BlobStore(tmp_path / "file").put(b"data", "text/plain")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_leaves_nothing(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            blobs.put(b"data", "text/plain")
    assert files(blobs) == []
    assert blobs.get(blobs.put(b"data", "text/plain")) == b"data"


def test_unfinished_files_are_no_blobs(blobs: BlobStore) -> None:
    ref = blobs.put(b"data", "text/plain")
    blobs.path(ref.sha256).with_name("0123.partial").write_bytes(b"da")
    assert list(blobs.names()) == [ref.sha256]
