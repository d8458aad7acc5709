"""Memories of a bundle made one's own: all or nothing, and who wins where they differ."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory
from anamnos.cube import MemCube, Policy, Substrate
from anamnos.errors import (
    AccessDenied,
    AnamnosError,
    Conflict,
    InvalidInput,
    StoreError,
)
from anamnos.system.bundles.format import CUBES, MANIFEST
from anamnos.testing import seeded_ids

from .conftest import ANN, BOB, NOW, blob_cube, make, opened, put, rewrite, snapshot


def test_skip_overwrite_and_branch(tmp_path: Path, source: Memory) -> None:
    (same,) = source.add("the same in both", ANN).ids
    (other,) = source.add("as it was", ANN).ids
    bundle = make(source, tmp_path / "theirs")
    source.used(same, ANN)
    source.update(other, ANN, content="as it is here")
    before = snapshot(source)

    receipt = source.bundles.load(bundle, conflict="skip")
    assert (receipt.ids, snapshot(source)) == ((), before)

    source.bundles.load(bundle, conflict="branch")
    assert [c.text for c in source.history(other, ANN)] == ["as it was", "as it is here", "as it was"]
    assert source.get(same, ANN).lifecycle.uses == 1, "it says the same here and there"

    source.update(other, ANN, content="once more")
    source.bundles.load(bundle, conflict="overwrite")
    assert [c.text for c in source.history(other, ANN)] == ["as it was"]
    assert b"as it is here" not in b"".join(p.read_bytes() for p in (tmp_path / "source").rglob("*") if p.is_file())
    assert source.verify() == []


def test_what_was_derived_from_an_overwritten_memory_comes_back_if_the_bundle_has_it(
    tmp_path: Path, source: Memory
) -> None:
    (turn,) = source.add([{"role": "user", "content": "I moved to Oslo in 2019."}], ANN).ids
    source.enrich(ANN)
    bundle = make(source, tmp_path / "theirs")
    derived = {cube.id for cube, _, _ in source.vault.store.export(ANN) if turn in cube.provenance.derived_from}
    assert derived
    source.update(turn, ANN, content="I moved to Rome in 2019.")
    source.bundles.load(bundle, conflict="overwrite")
    left = {cube.id for cube, _, _ in source.vault.store.export(ANN) if turn in cube.provenance.derived_from}
    assert left == derived
    assert source.verify() == []


def test_a_memory_and_what_was_derived_from_it_are_overwritten_together(tmp_path: Path, source: Memory) -> None:
    source.add([{"role": "user", "content": "I moved to Oslo in 2019."}], BOB)
    source.enrich(BOB)
    before = [cube.to_dict() for cube in source.list(BOB)]
    bundle = make(source, tmp_path / "theirs", BOB)
    for cube in source.list(BOB):
        source.update(cube.id, BOB, tags=["ours"])
    source.bundles.load(bundle, conflict="overwrite")
    assert [cube.to_dict() for cube in source.list(BOB)] == before
    assert source.verify() == []


def test_a_branch_may_say_what_another_memory_says_already(tmp_path: Path, source: Memory) -> None:
    (first,) = source.add("the tide is high", BOB).ids
    bundle = make(source, tmp_path / "theirs", BOB)
    source.update(first, BOB, content="the tide is low")
    (second,) = source.add("the tide is high", BOB).ids
    assert first != second
    source.bundles.load(bundle, conflict="branch")
    assert [source.get(each, BOB).text for each in (first, second)] == ["the tide is high"] * 2
    assert source.verify() == []


def test_a_frozen_memory_refuses_the_whole_bundle(tmp_path: Path, source: Memory) -> None:
    (held,) = source.add("as it was", ANN).ids
    bundle = make(source, tmp_path / "theirs")
    source.update(held, ANN, content="held")
    source.freeze(held, ANN)
    before = snapshot(source)
    for mode in ("overwrite", "branch"):
        with pytest.raises(AnamnosError, match="frozen"):
            source.bundles.load(bundle, conflict=mode)  # type: ignore[arg-type]
    assert snapshot(source) == before


def test_the_memory_of_somebody_else_is_not_taken_over(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b")
    lines = (bundle / CUBES).read_text("utf-8").replace('"user": "ann"', '"user": "eve"')
    rewrite(bundle, CUBES, lines.encode())
    before = snapshot(source)
    with pytest.raises(Conflict, match="somebody else"):
        source.bundles.load(bundle, conflict="overwrite")
    assert snapshot(source) == before
    source.bundles.load(bundle, conflict="skip")
    assert snapshot(source) == before


def test_an_unknown_conflict_mode(tmp_path: Path, source: Memory) -> None:
    with pytest.raises(InvalidInput, match="skip, overwrite, branch"):
        source.bundles.load(make(source, tmp_path / "b"), conflict="merge")  # type: ignore[arg-type]


def test_trust_can_be_capped(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b")
    with opened(tmp_path / "target") as target:
        target.bundles.load(bundle, trust=0.3)
        assert {cube.provenance.trust for cube in target.list(ANN)} == {0.3}


def test_a_memory_whose_blob_is_not_in_the_bundle(tmp_path: Path, source: Memory) -> None:
    cube = blob_cube(source, b"weights")
    bundle = make(source, tmp_path / "b")
    sha256 = cube.content.sha256  # type: ignore[union-attr]
    (bundle / "blobs" / sha256[:2] / sha256).unlink()
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    del manifest["parts"][f"blobs/{sha256[:2]}/{sha256}"]
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    with opened(tmp_path / "target") as target, pytest.raises(InvalidInput, match="no blob"):
        target.bundles.load(bundle)


def test_principals_that_are_not_known_here_are_mapped(tmp_path: Path, source: Memory) -> None:
    policy = Policy(readers=("user:carl", "user:ann"), writers=("role:editor",))
    cube = MemCube(seeded_ids(1)(NOW), source.vault.blobs.put(b"x", "a/b"), ANN, substrate=Substrate.PARAMETRIC)
    put(source, replace(cube, policy=policy))
    bundle = make(source, tmp_path / "b")
    with opened(tmp_path / "target") as target:
        with pytest.raises(InvalidInput, match="role:editor, user:carl"):
            target.bundles.load(bundle)
        assert snapshot(target) == []
        target.bundles.load(bundle, principals={"user:carl": "user:karl"}, known=["role:editor"])
        found = target.get(cube.id, ANN).policy
        assert (found.readers, found.writers) == (("user:karl", "user:ann"), ("role:editor",))


def test_activation_memory_of_another_model(tmp_path: Path, source: Memory) -> None:
    blob_cube(source, b"keys and values", Substrate.ACTIVATION, model_signature="llama-1b")
    bundle = make(source, tmp_path / "b")
    with opened(tmp_path / "target") as target:
        for signature in (None, "qwen-4b"):
            with pytest.raises(InvalidInput, match="of the model 'llama-1b'"):
                target.bundles.load(bundle, model_signature=signature)
        assert (snapshot(target), list(target.vault.blobs.names())) == ([], [])
        assert target.bundles.load(bundle, skip_activation=True).count("added") == 62
    with opened(tmp_path / "other") as target:
        assert target.bundles.load(bundle, model_signature="llama-1b").count("added") == 63


def test_a_load_that_fails_leaves_no_blob(tmp_path: Path, source: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    blob_cube(source, b"weights")
    bundle = make(source, tmp_path / "b")
    with opened(tmp_path / "target") as target:

        def full(*args: Any, **kwargs: Any) -> None:
            raise StoreError("The disk is full.")

        monkeypatch.setattr(target.bundles, "_write", full)
        with pytest.raises(StoreError):
            target.bundles.load(bundle)
        assert list(target.vault.blobs.names()) == []


def test_a_bundle_brings_no_memories_into_one_that_is_installed(tmp_path: Path, source: Memory) -> None:
    bundle = make(source, tmp_path / "b", BOB)
    with opened(tmp_path / "target") as target:
        installed = target.bundles.install(bundle)
        lines = (bundle / CUBES).read_text("utf-8").replace('"user": "bob"', '"agent": "boats"')
        lines = lines.replace('"tenant": "default"', '"tenant": "bundle:boats"')
        assert "bundle:boats" in lines
        rewrite(bundle, CUBES, lines.encode())
        before = snapshot(target)
        with pytest.raises(AccessDenied, match="belongs to an installed bundle"):
            target.bundles.load(bundle)
        assert snapshot(target) == before
        assert target.bundles.installed() == [installed]
