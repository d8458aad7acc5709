"""A vault encrypted, decrypted, given another key: nothing readable in its files, nothing lost, no half measures."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.cube import MemCube, Role, Substrate
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import AccessDenied, Busy, ConfigError, Corrupt, NotFound, StoreError
from anamnos.store import keys
from anamnos.store.apply import apply
from anamnos.store.keys import UserKey, make_key_file
from anamnos.store.sqlite import SqliteStore
from anamnos.store.sqlite_vfs import can_encrypt
from anamnos.system import encryption
from anamnos.system.encryption import decrypt, encrypt, rotate_key
from anamnos.testing import ReferenceStore
from anamnos.types import Op, OpKind

encrypts = pytest.mark.skipif(not can_encrypt(), reason="the installed apsw cannot encrypt; see make test-encrypted")
pytest.importorskip("cryptography")

ANN = Scope(user="annqwxz", tenant="tenantqwxz")
TEXTS = ["My secretive zyzzyvas live by the harbour.", "Quizzaciously, flibbertigibbet!", "日本語記憶装置試験"]
BLOB = b"weights of a flibbertigibbet" * 100
PASSPHRASE = UserKey("passphrase", b"correct horse")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_COST", {"n": 16, "r": 8, "p": 1})
    monkeypatch.setattr(encryption, "_WAIT_S", 0.1)


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def key(tmp_path: Path) -> UserKey:
    return make_key_file(tmp_path / "key")


def opened(vault: Path, **settings: Any) -> Memory:
    return Memory(vault, embedder="hashing", **settings)


def with_key(vault: Path) -> Memory:
    return opened(vault, key_file=str(vault.parent / "key"))


def fill(memory: Memory) -> None:
    for text in TEXTS:
        memory.add(text, ANN, tags=["tagtagonist"], source="hemidemisemi.txt")
    blob = memory.vault.blobs.put(BLOB, "application/octet-stream")
    cube = MemCube(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        content=blob,
        scope=ANN,
        substrate=Substrate.PARAMETRIC,
        role=Role.STATE,
    )
    with memory.vault.store.write() as tx:
        apply(Op(OpKind.ADD, cube=cube), tx, now=memory.list(ANN)[0].time.recorded_at)
    memory.search("zyzzyvas", ANN)


def whole(memory: Memory) -> bool:
    """Return whether all that ``fill`` wrote is there and sound."""
    cubes = memory.list(ANN)
    texts = [cube.text for cube in cubes if cube.substrate is Substrate.TEXT]
    (blob,) = (cube.content for cube in cubes if cube.substrate is not Substrate.TEXT)
    found = memory.search("Where do the zyzzyvas live?", ANN)[0].content
    return (texts, found) == (TEXTS, TEXTS[0]) and memory.vault.blobs.get(blob) == BLOB and memory.verify() == []


def traces(*folders: Path) -> list[str]:
    """Return which files hold a word, a name or a vector of the memories."""
    words = [
        *TEXTS,
        "zyzzyvas",
        "uizzaciousl",
        "ibbertigibbe",
        "記憶装置",
        "tagtagonist",
        "hemidemisemi",
        "nqwxz",
        "tqwxz",
    ]
    kept = HashingEmbedder().embed(TEXTS).astype(np.float16)
    numbers = [form.tobytes() for vector in kept for form in (vector, vector.astype(np.float32))]
    found = []
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found += [f"{path.name}: {trace!r}" for trace in (*(w.encode() for w in words), *numbers) if trace in data]
    return found


@encrypts
def test_no_byte_of_a_memory_is_in_any_file_while_the_vault_is_used_and_afterwards(
    vault: Path, key: UserKey, tmp_path: Path
) -> None:
    with with_key(vault) as memory:  # a new vault is encrypted from the start
        fill(memory)
        assert (vault / "anamnos.db-wal").stat().st_size > 10_000
        assert traces(vault) == []
        memory.backup(tmp_path / "backup")
    assert traces(vault, tmp_path / "backup") == []
    assert not (vault / "index").exists()
    with with_key(vault) as memory:
        assert whole(memory)
        (deleted,) = memory.delete(memory.list(ANN)[0].id, ANN).ids
        assert deleted not in [cube.id for cube in memory.list(ANN)]
        memory.reembed(HashingEmbedder(64))
        memory.rebuild_index()
        assert memory.search("flibbertigibbet", ANN)[0].content == TEXTS[1]
        assert memory.verify() == []
    with with_key(tmp_path / "backup") as memory:
        assert whole(memory)
    assert traces(vault, tmp_path / "backup") == []


@encrypts
def test_a_backup_follows_a_vault_that_is_encrypted(vault: Path, key: UserKey, tmp_path: Path) -> None:
    with opened(vault) as memory:
        fill(memory)
        memory.backup(tmp_path / "backup")
    encrypt(vault, key)
    with with_key(vault) as memory:
        memory.backup(tmp_path / "backup", incremental=True)
        for path in (tmp_path / "backup" / "anamnos.db").parent.glob("anamnos.db*"):
            assert b"zyzzyvas" not in path.read_bytes()
        assert whole(memory)
    assert traces(tmp_path / "backup") == []
    with with_key(tmp_path / "backup") as memory:
        assert whole(memory)


ANOTHER_PROCESS = """
import sys
from pathlib import Path
from anamnos.errors import Busy
from anamnos.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), busy_timeout_s=0.05, key=bytes.fromhex(sys.argv[2])).open()
try:
    store.set_setting("a", "b")
except Busy:
    print("busy")
"""


@encrypts
def test_looking_at_the_file_lets_go_of_no_lock(vault: Path, key: UserKey) -> None:
    """A process that closes a file loses all its locks on it, so looking at its first page must not be by ``open``."""
    with with_key(vault) as memory, memory.vault.store.write():
        with_key(vault).close()
        words = [sys.executable, "-c", ANOTHER_PROCESS, str(vault / "anamnos.db"), memory.vault.data_key.hex()]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "busy\n"


@encrypts
def test_the_search_by_bytes_sees_what_a_plain_vault_holds(vault: Path) -> None:
    with opened(vault) as memory:
        fill(memory)
    assert {trace.split(":")[0] for trace in traces(vault)} >= {"anamnos.db", "vectors.f32"}


@encrypts
def test_a_vault_is_encrypted_and_decrypted_in_place(vault: Path, key: UserKey) -> None:
    with opened(vault) as memory:
        fill(memory)
        before = [cube.to_dict() for cube in memory.list(ANN)]
    encrypt(vault, key)
    assert traces(vault) == []
    assert sorted(p.name for p in vault.iterdir()) == ["anamnos.db", "blobs", "key.json"]
    with with_key(vault) as memory:
        assert [cube.to_dict() for cube in memory.list(ANN)] == before
        assert whole(memory)
    decrypt(vault, key)
    assert not (vault / "key.json").exists()
    with opened(vault) as memory:
        assert [cube.to_dict() for cube in memory.list(ANN)] == before
        assert whole(memory)
        assert len([path for path in (vault / "blobs").rglob("*") if path.is_file()]) == 1


@encrypts
def test_another_key_needs_only_key_json_unless_all_is_to_be_written_anew(vault: Path, key: UserKey) -> None:
    with with_key(vault) as memory:
        fill(memory)
        database = (vault / "anamnos.db").read_bytes()
    rest = (vault / "anamnos.db").read_bytes()
    with with_key(vault) as other:  # others may go on meanwhile
        rotate_key(vault, key, PASSPHRASE)
        assert whole(other)
    assert (vault / "anamnos.db").read_bytes() == rest
    with pytest.raises(AccessDenied, match="opened with a passphrase"):
        with_key(vault)
    with opened(vault, passphrase="correct horse") as memory:
        assert whole(memory)
    rotate_key(vault, PASSPHRASE, key, reencrypt=True)
    renewed = (vault / "anamnos.db").read_bytes()
    assert not any(renewed[n : n + 64] in database for n in range(0, len(renewed), 8192))
    assert len(keys.read(vault).wrapped) == 1  # type: ignore[union-attr]
    with with_key(vault) as memory:
        assert whole(memory)
    rotate_key(vault, key, reencrypt=True)  # the same user's key, another data key
    with with_key(vault) as memory:
        assert whole(memory)


@encrypts
def test_while_somebody_sets_another_key_nobody_makes_another_data_key(
    vault: Path, key: UserKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the data key that the vault is encrypted with would be in no ``key.json``."""
    with with_key(vault) as memory:
        fill(memory)
    write = keys.write

    def meanwhile(*args: Any, **more: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(keys, "write", write)
            with pytest.raises(Busy):
                rotate_key(vault, key, reencrypt=True)
        write(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(keys, "write", meanwhile)
        rotate_key(vault, key, PASSPHRASE)
    with opened(vault, passphrase="correct horse") as memory:
        assert whole(memory)


# --- refused, and nothing changed


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@encrypts
def test_wrong_keys_change_nothing(vault: Path, key: UserKey, tmp_path: Path) -> None:
    with with_key(vault) as memory:
        fill(memory)
    other = make_key_file(tmp_path / "other")
    before = files(vault)
    for wrong, refusal in ((other, AccessDenied), (PASSPHRASE, AccessDenied)):
        for work in (lambda w: decrypt(vault, w), lambda w: rotate_key(vault, w, key, reencrypt=True)):
            with pytest.raises(refusal):
                work(wrong)
    for settings in ({}, {"passphrase": "x"}, {"key_file": str(tmp_path / "other")}):
        with pytest.raises((ConfigError, AccessDenied)):
            opened(vault, **settings)
    with pytest.raises(ConfigError, match="encrypted already"):
        encrypt(vault, other)
    assert files(vault) == before


@encrypts
def test_plain_and_missing_vaults_are_named(vault: Path, key: UserKey) -> None:
    for work in (lambda: encrypt(vault, key), lambda: decrypt(vault, key), lambda: rotate_key(vault, key, PASSPHRASE)):
        with pytest.raises(NotFound, match="no vault"):
            work()
    with opened(vault) as memory:
        fill(memory)
    before = files(vault)
    with pytest.raises(ConfigError, match="not encrypted, though a key is given"):
        with_key(vault)
    for work in (lambda: decrypt(vault, key), lambda: rotate_key(vault, key, PASSPHRASE)):
        with pytest.raises(ConfigError, match="is not encrypted"):
            work()
    assert files(vault) == before


@encrypts
def test_a_vault_without_its_key_json_or_with_anothers_is_corrupt_and_left_as_it_is(
    vault: Path, key: UserKey, tmp_path: Path
) -> None:
    for folder in (vault, tmp_path / "second"):
        with with_key(folder) as memory:
            fill(memory)
    (tmp_path / "second" / "key.json").replace(vault / "key.json")
    before = files(vault)
    with pytest.raises(Corrupt, match="belongs to another vault"):
        with_key(vault)
    assert files(vault) == before
    with pytest.raises(Corrupt, match=r"key\.json is missing"):
        with_key(tmp_path / "second")
    with pytest.raises(Corrupt, match="damaged or not a database"):
        opened(tmp_path / "second")


@encrypts
def test_a_vault_that_is_open_elsewhere_is_left_as_it_is(vault: Path, key: UserKey) -> None:
    with opened(vault) as memory:
        fill(memory)
        with pytest.raises(Busy, match="open elsewhere"):
            encrypt(vault, key)
        memory.add("one more", ANN)
        assert not (vault / "key.json").exists()
    with opened(vault) as memory:
        assert len(memory.list(ANN)) == 5


@encrypts
def test_a_copy_that_fails_leaves_the_vault_as_it_was(
    vault: Path, key: UserKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(vault) as memory:
        fill(memory)

    replace = Path.replace

    for failing in ("key.json", "anamnos.db"):

        def full(path: Path, target: Path, failing: str = failing) -> Path:
            if target.name == failing:
                raise OSError(28, "No space left on device")
            return replace(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", full)
            with pytest.raises(StoreError, match="No space left"):
                encrypt(vault, key)
        with opened(vault) as memory:
            assert whole(memory)
    assert sorted(p.name for p in vault.iterdir()) == ["anamnos.db", "blobs", "index"]


def test_without_an_engine_that_encrypts_it_is_said_what_to_install(
    vault: Path, tmp_path: Path, key: UserKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anamnos.store.sqlite_vfs.can_encrypt", lambda: False)
    with opened(vault) as memory:
        fill(memory)
    with pytest.raises(ConfigError, match="apsw-sqlite3mc") as refusal:
        encrypt(vault, key)
    assert "pip install" in refusal.value.hint
    with opened(vault) as memory:
        assert whole(memory)


def test_an_engine_of_the_caller_is_not_encrypted_and_that_is_said(vault: Path, key: UserKey) -> None:
    with pytest.raises(ConfigError, match="not the vault's own"):
        Memory(vault, embedder="hashing", store=ReferenceStore(), key_file=str(vault.parent / "key"))


# --- kills


@pytest.fixture
def killed_at(vault: Path) -> Callable[[Callable[[], None], int], bool]:
    """Return a function that does some work in a process of its own and kills it just before it touches a file of the
    vault for the n-th time; it says whether the work went so far."""

    def run(work: Callable[[], None], step: int) -> bool:
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1] != 0
        left = step

        def count(event: str, args: tuple[Any, ...]) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.link", "os.truncate", "os.rmdir", "write"):
                if event == "write" or str(vault) in str(args[0]):
                    left -= 1
                if left <= 0:
                    os._exit(9)

        sys.addaudithook(count)
        try:
            work()
        except BaseException as exc:
            os.write(2, f"{exc!r}\n".encode())
            os._exit(7)
        os._exit(0)

    return run


@encrypts
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("what", ["encrypt", "decrypt", "reencrypt"])
def test_a_kill_anywhere_leaves_the_one_form_or_the_other_whole(
    vault: Path, key: UserKey, tmp_path: Path, what: str, killed_at: Callable[[Callable[[], None], int], bool]
) -> None:
    start = tmp_path / "start"
    with opened(start) if what == "encrypt" else with_key(start) as memory:
        fill(memory)
    work = {
        "encrypt": lambda: encrypt(vault, key),
        "decrypt": lambda: decrypt(vault, key),
        "reencrypt": lambda: rotate_key(vault, key, reencrypt=True),
    }[what]
    seen = set()
    for step in range(1, 1_000):
        shutil.copytree(start, vault)
        cut = killed_at(work, step)
        sealed = (vault / "anamnos.db").read_bytes()[:6] != b"SQLite"
        with with_key(vault) if sealed else opened(vault) as memory:
            assert whole(memory), step
        names = {path.name for path in vault.iterdir() if path.suffix != ".partial"} - {"index"}
        assert names == {"anamnos.db", "blobs"} | ({"key.json"} if sealed else set()), step
        assert len([path for path in (vault / "blobs").rglob("*") if path.is_file()]) == 1
        if sealed:
            assert traces(vault) == [], step
            assert len(keys.read(vault).wrapped) == 1  # type: ignore[union-attr]
        seen.add(sealed)
        if step % 10 == 0 and sealed == (what == "decrypt"):  # doing it again is right
            work()
        shutil.rmtree(vault)
        if not cut:
            break
    assert step > 20
    assert seen == ({True} if what == "reencrypt" else {True, False})


def test_a_store_that_others_wait_for_finds_zeros_not_the_old_rows(vault: Path) -> None:
    """Whoever opened the old file just before it was replaced must not write to what nobody will read again."""
    if not can_encrypt():
        pytest.skip("the installed apsw cannot encrypt; see make test-encrypted")
    with opened(vault) as memory:
        fill(memory)
    path = vault / "anamnos.db"
    with path.open("rb") as old:
        SqliteStore(path).rewrite(bytes(range(32)), lambda: None)
        assert not old.read().strip(b"\0")


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("ANAMNOS_KEY_FILE", "ANAMNOS_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    yield
