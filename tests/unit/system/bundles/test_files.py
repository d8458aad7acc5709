"""Bundles as files: equal ones are equal, signed ones are the signer's, and nothing damaged or forged gets in."""

import hashlib
import json
import random
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory
from anamnos.errors import (
    AnamnosError,
    BadSignature,
    InvalidInput,
    LimitExceeded,
    MigrationNeeded,
    MissingExtra,
)
from anamnos.system.bundles.format import CUBES, MANIFEST, version_key
from anamnos.system.bundles.reading import open_bundle
from anamnos.system.bundles.signing import make_keys
from anamnos.testing import FakeEmbedder

from .conftest import ANN, blob_cube, make, opened, rewrite, snapshot


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_round_trip_gives_the_same_lines_and_the_same_searches(tmp_path: Path, source: Memory, name: str) -> None:
    blob_cube(source, b"some weights")
    bundle = make(source, tmp_path / name)
    with opened(tmp_path / "target") as target:
        receipt = target.bundles.load(bundle)
        assert receipt.count("added") == 63
        again = make(target, tmp_path / f"again-{name}")
        with open_bundle(bundle) as one, open_bundle(again) as two:
            assert sorted(one.read(CUBES).split(b"\n")) == sorted(two.read(CUBES).split(b"\n"))
            assert one.manifest == replace(two.manifest, parts=one.manifest.parts, id=one.manifest.id)
        rng = random.Random(1)
        for _ in range(50):
            query = " ".join(rng.sample(["boats", "trains", "memory", "corrected", "7", "49", "of"], 2))
            hits, found = source.search(query, ANN), target.search(query, ANN)
            assert [(h.id, h.similarity) for h in hits] == [(h.id, h.similarity) for h in found]
        assert target.verify() == []


def test_equal_memories_make_equal_files(tmp_path: Path, source: Memory) -> None:
    one, two = make(source, tmp_path / "one.zip"), make(source, tmp_path / "two.zip")
    assert one.read_bytes() == two.read_bytes()


def test_the_manifest_says_what_is_in_it(tmp_path: Path, source: Memory) -> None:
    manifest = source.bundles.create(
        tmp_path / "b", ANN, name="boats", version="1.2", licence="CC-BY-4.0", description="of boats"
    )
    assert (manifest.memories, manifest.versions, manifest.blobs) == (60, 62, 0)
    assert (manifest.scope, manifest.signer, manifest.substrates) == (ANN, None, ("text",))
    with open_bundle(tmp_path / "b") as bundle:
        assert bundle.manifest == manifest
    text = json.loads((tmp_path / "b" / MANIFEST).read_text("utf-8"))
    assert text["parts"][CUBES]["sha256"] == hashlib.sha256((tmp_path / "b" / CUBES).read_bytes()).hexdigest()
    assert "what bob knows" not in (tmp_path / "b" / CUBES).read_text("utf-8")


def test_substrates_can_be_chosen(tmp_path: Path, source: Memory) -> None:
    blob_cube(source, b"weights")
    manifest = source.bundles.create(tmp_path / "b", ANN, name="weights", substrates=["parametric"])
    assert (manifest.memories, manifest.blobs) == (1, 1)


def test_vectors_of_another_embedder_are_made_anew(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b")
    with opened(tmp_path / "target", embedder=FakeEmbedder(8)) as target:
        target.bundles.load(bundle)
        assert target.verify() == []


def test_what_the_audit_holds_can_come_along(tmp_path: Path, source: Memory) -> None:
    make(source, tmp_path / "b", audit=True)
    with open_bundle(tmp_path / "b") as bundle:
        assert "audit.jsonl" in bundle.manifest.parts
        held = {cube.id for cube, _, _ in source.vault.store.export(ANN)}
        rows = [json.loads(line) for line in bundle.read("audit.jsonl").splitlines()]
        assert {row["cube_id"] for row in rows} <= held


def test_a_target_that_is_there_is_refused(tmp_path: Path, source: Memory) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "file.zip").write_text("x")
    for path in ("full", "file.zip"):
        with pytest.raises(InvalidInput, match="is there already"):
            make(source, tmp_path / path)
    (tmp_path / "empty").mkdir()
    make(source, tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file.zip", "full", "source"]


@pytest.mark.parametrize(
    "wrong", [{"name": "../x"}, {"name": "A b"}, {"version": "one"}, {"version": "1..2"}, {"name": ""}]
)
def test_names_and_versions(tmp_path: Path, source: Memory, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        source.bundles.create(tmp_path / "b", ANN, **{"name": "boats", **wrong})
    assert not (tmp_path / "b").exists()
    assert version_key("1.10") > version_key("1.9.3") > version_key("1")


# --- signatures


def test_a_signed_bundle(tmp_path: Path, source: Memory) -> None:
    pytest.importorskip("cryptography")
    ours, others = make_keys(tmp_path / "ours"), make_keys(tmp_path / "others")
    assert stat.S_IMODE((tmp_path / "ours.key").stat().st_mode) == 0o600
    bundle = make(source, tmp_path / "b.zip", key=tmp_path / "ours.key")
    for signer in (None, ours, str(tmp_path / "ours.pub")):
        with open_bundle(bundle, signer=signer) as found:
            assert found.manifest.signer == ours
    with pytest.raises(BadSignature, match=f"signed by {ours}"), open_bundle(bundle, signer=others):
        pass
    with pytest.raises(BadSignature, match="not signed"), open_bundle(make(source, tmp_path / "u"), signer=ours):
        pass
    with pytest.raises(InvalidInput, match="there already"):
        make_keys(tmp_path / "ours")


@pytest.mark.parametrize("change", ["name", "signature", "signer", "no signature", "no signer"])
def test_a_manifest_that_was_changed_after_signing(tmp_path: Path, source: Memory, change: str) -> None:
    pytest.importorskip("cryptography")
    make_keys(tmp_path / "ours")
    other = make_keys(tmp_path / "others")
    bundle = make(source, tmp_path / "b", key=tmp_path / "ours.key")
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    manifest |= {
        "name": {"name": "other"},
        "signature": {"signature": "00" * 64},
        "signer": {"signer": other},
        "no signature": {"signature": None},
        "no signer": {"signer": None},
    }[change]
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BadSignature), open_bundle(bundle):
        pass


def test_keys_that_are_none(tmp_path: Path, source: Memory) -> None:
    pytest.importorskip("cryptography")
    (tmp_path / "x.key").write_text("nothing")
    with pytest.raises(InvalidInput, match="no private key"):
        make(source, tmp_path / "b", key=tmp_path / "x.key")
    with pytest.raises(InvalidInput, match="neither a public key"), open_bundle(tmp_path / "b", signer="abc"):
        pass


def test_without_the_library_a_signature_cannot_be_checked(
    tmp_path: Path, source: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    make_keys(tmp_path / "ours")
    bundle = make(source, tmp_path / "b", key=tmp_path / "ours.key")
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(MissingExtra, match="signed"), open_bundle(bundle):
        pass


# --- what must not get in


def changed(**changes: Any) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        manifest = json.loads((bundle / MANIFEST).read_text("utf-8")) | changes
        (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")

    return change


def flip(bundle: Path) -> None:
    data = bytearray((bundle / CUBES).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / CUBES).write_bytes(data)


def grow(bundle: Path) -> None:
    with (bundle / CUBES).open("ab") as file:
        file.write(b"\n")


def link(bundle: Path) -> None:
    (bundle / "blobs").symlink_to("/etc")


DAMAGE: list[tuple[str, Callable[[Path], None], type[AnamnosError], str]] = [
    ("flipped bit", flip, InvalidInput, "checksum is wrong"),
    ("longer", grow, InvalidInput, "not as long as"),
    ("missing part", lambda b: (b / CUBES).unlink(), InvalidInput, "missing"),
    ("no manifest", lambda b: (b / MANIFEST).unlink(), InvalidInput, "not a bundle"),
    ("no JSON", lambda b: (b / MANIFEST).write_text("{"), InvalidInput, "not JSON"),
    ("a list", lambda b: (b / MANIFEST).write_text("[]"), InvalidInput, "not JSON"),
    ("newer schema", changed(anamnos_bundle=2), MigrationNeeded, "schema 2"),
    ("no schema", changed(anamnos_bundle="1"), InvalidInput, "no known schema"),
    ("incomplete", changed(counts={}), InvalidInput, "incomplete"),
    ("negative", changed(counts={"memories": -1, "versions": 0, "blobs": 0}), InvalidInput, "incomplete"),
    ("signer a path", changed(signer="/etc/passwd"), InvalidInput, "no public key"),
    ("file beside", lambda b: (b / "run.py").write_text("x"), InvalidInput, "no part of a bundle"),
    ("link", link, InvalidInput, "which is a link"),
    ("traversal", lambda b: rewrite(b, "blobs/../x", b"x"), InvalidInput, "no part of a bundle"),
    ("absolute", changed(parts={"/etc/passwd": {"sha256": "0" * 64, "size_bytes": 1}}), InvalidInput, "no part of"),
    ("no hash", changed(parts={CUBES: {"sha256": "x", "size_bytes": 1}}), InvalidInput, "no SHA-256"),
    ("wrongly named blob", lambda b: rewrite(b, f"blobs/00/{'0' * 64}", b"x"), InvalidInput, "not named after"),
    ("other counts", changed(counts={"memories": 9, "versions": 9, "blobs": 0}), InvalidInput, "other memories"),
    ("deeply nested", lambda b: rewrite(b, CUBES, b"[" * 100_000), InvalidInput, "not JSON"),
    ("not an export", lambda b: rewrite(b, CUBES, b"{}\n"), InvalidInput, "not an Anamnos export"),
]


@pytest.mark.parametrize(("damage", "kind", "said"), [d[1:] for d in DAMAGE], ids=[d[0] for d in DAMAGE])
def test_a_bad_bundle_is_named_and_changes_nothing(
    tmp_path: Path, source: Memory, damage: Callable[[Path], None], kind: type[AnamnosError], said: str
) -> None:
    bundle = make(source, tmp_path / "b")
    damage(bundle)
    with opened(tmp_path / "target") as target:
        for load in (target.bundles.load, target.bundles.install):
            with pytest.raises(kind, match=said):
                load(bundle)
        assert (snapshot(target), target.bundles.installed(), list(target.vault.blobs.names())) == ([], [], [])


def archive(path: Path, folder: Path, **more: Any) -> zipfile.ZipFile:
    file = zipfile.ZipFile(path, "w", more.pop("compression", zipfile.ZIP_STORED))
    for each in sorted(p for p in folder.rglob("*") if p.is_file()):
        file.write(each, each.relative_to(folder).as_posix())
    return file


def renamed(archive: bytes, letters: bytes) -> bytes:
    """Return an archive whose list of files gives the first one another name, said to be UTF-8."""
    start = archive.index(b"PK\x01\x02")
    length = int.from_bytes(archive[start + 28 : start + 30], "little")
    entry = bytearray(archive[start : start + 46])
    entry[9] |= 0x08
    entry[28:30] = len(letters).to_bytes(2, "little")
    entry[30:32] = (length - len(letters)).to_bytes(2, "little")  # what is left over is an extra field
    extra = (0xFFFF).to_bytes(2, "little") + (length - len(letters) - 4).to_bytes(2, "little")
    padding = extra + bytes(length - len(letters) - 4)
    return archive[:start] + bytes(entry) + letters + padding + archive[start + 46 + length :]


def test_bad_archives(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b")

    def refused(name: str, said: str) -> None:
        with pytest.raises(InvalidInput, match=said), open_bundle(tmp_path / name):
            pass

    archive(tmp_path / "bomb.zip", bundle, compression=zipfile.ZIP_DEFLATED).close()
    refused("bomb.zip", "compressed")
    with archive(tmp_path / "up.zip", bundle) as file:
        file.writestr("../../evil", "x")
    refused("up.zip", "no part of a bundle")
    with archive(tmp_path / "abs.zip", bundle) as file:
        file.writestr("/etc/evil", "x")
    refused("abs.zip", "no part of a bundle")
    with archive(tmp_path / "link.zip", bundle) as file:
        info = zipfile.ZipInfo(f"blobs/00/{'0' * 64}")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "/etc/passwd")
    refused("link.zip", "is a link")
    with archive(tmp_path / "twice.zip", bundle) as file, pytest.warns(UserWarning):
        file.writestr(CUBES, "x")
    refused("twice.zip", "twice")
    whole = make(source, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "short.zip").write_bytes(whole[: len(whole) // 2])
    refused("short.zip", "not a bundle, or damaged")
    at = whole.index(b"anamnos_export") + 400
    (tmp_path / "flipped.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    refused("flipped.zip", "damaged")
    for name, letters in (("no letters", b"\xff"), ("no name", b"")):
        (tmp_path / f"{name}.zip").write_bytes(renamed(whole, letters))
        refused(f"{name}.zip", "not a bundle, or damaged")
    (tmp_path / "text.zip").write_text("hello")
    refused("text.zip", "not a bundle")
    refused("nowhere.zip", "There is no bundle")


def test_entries_that_overlap_are_no_way_to_hold_more_than_the_file_is_long(tmp_path: Path, source: Memory) -> None:
    path = make(source, tmp_path / "b.zip")
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    first = data[start:end]
    length = 46 + int.from_bytes(first[28:30], "little")
    entry = bytearray(first[:length])
    copies = b""
    for n in range(3):
        entry[46:length] = f"c{n}".ljust(length - 46, "x").encode()
        copies += bytes(entry)
    tail = bytearray(data[end:])
    count = int.from_bytes(tail[10:12], "little") + 3
    tail[8:10] = tail[10:12] = count.to_bytes(2, "little")
    tail[12:16] = (len(first) + len(copies)).to_bytes(4, "little")
    path.write_bytes(data[:end] + copies + bytes(tail))
    with pytest.raises(InvalidInput, match=r"more than it is long|damaged"), open_bundle(path):
        pass


def test_a_bundle_that_is_too_large(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b")
    with pytest.raises(LimitExceeded, match="at most 100"), open_bundle(bundle, max_bytes=100):
        pass
    with (bundle / MANIFEST).open("ab") as file:
        file.truncate(20 * 2**20)
    with pytest.raises(LimitExceeded, match="manifest"), open_bundle(bundle):
        pass
