"""Sealed bytes: opened by the same key and name only, and never in part without an error."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.cube import BlobRef
from anamnos.errors import Corrupt, NotFound
from anamnos.store import sealed
from anamnos.store.blobs import BlobStore
from anamnos.store.files import wipe
from anamnos.store.sealed import Unsealable, derive, seal, unseal

pytest.importorskip("cryptography")
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def opened(key: bytes, data: bytes, name: str = "name") -> bytes:
    return b"".join(unseal(key, io.BytesIO(data), name))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "PIECE", 10)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 35])
@pytest.mark.usefixtures("small_pieces")
def test_what_is_sealed_comes_back_whole_or_not_at_all(size: int) -> None:
    data = bytes(range(size))
    whole = b"".join(seal(KEY, data, "name"))
    assert opened(KEY, whole) == data
    assert whole != b"".join(seal(KEY, data, "name"))
    assert size < 9 or data[:9] not in whole
    with pytest.raises(Unsealable):
        opened(OTHER, whole)
    with pytest.raises(Unsealable):
        opened(KEY, whole, "another")
    for end in range(len(whole)):  # cut off anywhere
        with pytest.raises(Unsealable):
            opened(KEY, whole[:end])
    for place in range(len(whole)):  # any byte another
        with pytest.raises(Unsealable):
            opened(KEY, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(Unsealable):
        opened(KEY, whole + b"x")
    if size == 35:  # pieces 1 and 2 change places
        first, second = whole[40 + 26 : 40 + 52], whole[40 + 52 : 40 + 78]
        with pytest.raises(Unsealable):
            opened(KEY, whole[: 40 + 26] + second + first + whole[40 + 78 :])


@given(st.binary(max_size=300), st.text(max_size=9))
@settings(max_examples=50, deadline=None)
def test_any_bytes_under_any_name(data: bytes, name: str) -> None:
    assert opened(KEY, b"".join(seal(KEY, data, name)), name) == data


def test_a_file_of_several_pieces() -> None:
    data = bytes(range(256)) * (3 * sealed.PIECE // 256) + b"end"
    assert opened(KEY, b"".join(seal(KEY, data, "n")), "n") == data


def test_each_purpose_has_a_key_of_its_own() -> None:
    made = {derive(KEY, "a"), derive(KEY, "b"), derive(KEY, "a", b"salt"), derive(OTHER, "a"), KEY}
    assert len(made) == 5
    assert derive(KEY, "a") == derive(KEY, "a")
    # HKDF of RFC 5869 with SHA-256, no salt, worked with hmac alone
    import hmac

    middle = hmac.digest(bytes(32), KEY, "sha256")
    assert derive(KEY, "a") == hmac.digest(middle, b"anamnos a\x01", "sha256")


# --- blobs


def files(blobs: BlobStore) -> list[Path]:
    return [path for path in blobs.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"weights" * 1000])
def test_an_encrypted_blob_comes_back_and_shows_nothing(tmp_path: Path, data: bytes) -> None:
    blobs = BlobStore(tmp_path / "blobs", KEY)
    ref = blobs.put(data, "text/plain")
    assert ref == BlobRef(hashlib.sha256(data).hexdigest(), len(data), "text/plain") == blobs.put(data, "text/plain")
    assert blobs.get(ref) == data
    (path,) = files(blobs)
    assert path == blobs.path(ref.sha256)
    assert ref.sha256 not in str(path)
    assert b"weights" not in path.read_bytes()
    with pytest.raises(NotFound):
        BlobStore(tmp_path / "blobs", OTHER).get(ref)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="does not hold what its name says"):
        blobs.get(ref)
    assert blobs.get(blobs.put(data, "text/plain")) == data  # mended
    blobs.delete(ref.sha256)
    assert files(blobs) == []


def test_blobs_of_another_name_or_key_go(tmp_path: Path) -> None:
    plain, mine, theirs = (BlobStore(tmp_path / "blobs", key) for key in (None, KEY, OTHER))
    refs = [mine.put(data, "text/plain") for data in (b"one", b"two")]
    for blobs in (plain, theirs):
        blobs.put(b"one", "text/plain")
    assert len(files(mine)) == 4
    mine.keep_only([refs[0].sha256])
    assert files(mine) == [mine.path(refs[0].sha256)]
    assert mine.get(refs[0]) == b"one"


# --- wiping


def test_a_wiped_file_is_overwritten_unless_it_has_another_name(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"secret" * 1000)
    with path.open("rb") as held:
        wipe(path)
        assert held.read() == bytes(6000)
    assert not path.exists()
    wipe(path)
    other.write_bytes(b"secret")
    path.hardlink_to(other)
    wipe(path)
    assert other.read_bytes() == b"secret"
    assert not path.exists()
