"""Bundles beside one's own memories: found, not believed too much, not to be changed, and gone as a whole."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.cube import Link, LinkKind
from anamnos.errors import (
    AnamnosError,
    Conflict,
    InvalidInput,
)
from anamnos.store.apply import apply
from anamnos.system.bundles.format import CUBES
from anamnos.system.bundles.reading import open_bundle
from anamnos.system.bundles.signing import make_keys
from anamnos.testing import FakeClock, FakeEmbedder
from anamnos.types import Op, OpKind

from .conftest import ANN, BOB, NOW, make, opened, snapshot


def test_an_installed_bundle_joins_searches_and_cannot_be_changed(tmp_path: Path, source: Memory) -> None:
    first, second = source.list(BOB)[0], source.add("what bob knows about ketches", BOB).ids[0]
    with source.vault.store.write() as tx:
        linked = source.get(second, BOB)
        links = (Link(LinkKind.NEXT, first.id), Link(LinkKind.SIMILAR, source.list(ANN)[0].id))
        apply(Op(OpKind.TRANSITION, linked.id, linked.next_version(links=links)), tx, now=NOW)
    bundle = make(source, tmp_path / "b.zip", BOB)
    with opened(tmp_path / "target") as target:
        target.add("my own ketches", ANN)
        installed = target.bundles.install(bundle, into=ANN, trust=0.9)
        assert (installed.name, installed.memories, installed.trust) == ("boats", 2, 0.9)
        hits = target.search("what bob knows about ketches", ANN)
        assert hits[0].content == "what bob knows about ketches"
        assert hits[0].reason.endswith("from the bundle boats")
        assert (hits[0].cube.provenance.trust, hits[0].cube.provenance.operator) == (0.9, "import/1")
        assert [link.kind for link in hits[0].cube.links] == [LinkKind.NEXT], "links out of the bundle are dropped"
        assert hits[0].id != second
        assert [h.content for h in target.search("ketches", Scope(user="carl"))] == []
        assert target.search("ketches", Scope(user="ann", session="x"))[0].cube.scope == installed.scope
        before = snapshot(target)
        for change in (
            lambda: target.update(hits[0].id, installed.scope, content="mine"),
            lambda: target.archive(hits[0].id, installed.scope),
            lambda: target.add("mine", installed.scope),
        ):
            with pytest.raises(AnamnosError, match="belongs to an installed bundle"):
                change()
        assert snapshot(target) == before
        assert target.verify() == []
        assert make(target, tmp_path / "all", None).exists()
        with open_bundle(tmp_path / "all") as everything:
            assert everything.manifest.memories == 1, "bundles of others are not handed on as one's own"
        target.bundles.uninstall("boats")
        assert target.bundles.installed() == []
        assert [h.content for h in target.search("ketches", ANN)] == ["my own ketches"]
    assert b"what bob knows" not in b"".join(p.read_bytes() for p in (tmp_path / "target").rglob("*") if p.is_file())


def test_what_works_on_everybody_passes_by_installed_bundles(tmp_path: Path, source: Memory) -> None:
    (old,) = source.list(BOB)
    life = replace(old.lifecycle, expires_at=datetime(2024, 2, 1, tzinfo=UTC))
    with source.vault.store.write() as tx:
        apply(Op(OpKind.TRANSITION, old.id, old.next_version(lifecycle=life)), tx, now=NOW)
    bundle = make(source, tmp_path / "b", BOB)
    clock = FakeClock()
    with Memory(tmp_path / "target", embedder=FakeEmbedder(), clock=clock) as target:
        target.add("my own", ANN)
        target.bundles.install(bundle)
        clock.advance(days=400)
        before = snapshot(target)
        target.expire()
        assert snapshot(target) == before
        assert [hit.content for hit in target.search("what bob knows", ANN)] == ["my own"], "it has expired"
        target.export(tmp_path / "all.jsonl")
    with opened(tmp_path / "other") as other:
        assert other.import_(tmp_path / "all.jsonl").count("added") == 1


def test_the_weight_of_a_bundle(tmp_path: Path, source: Memory) -> None:
    with opened(tmp_path / "target") as target:
        target.add("what bob knows", ANN)
        target.bundles.install(make(source, tmp_path / "b", BOB))
        own, other = target.search("what bob knows", ANN)
        assert own.cube.scope == ANN
        assert own.rank_score >= other.rank_score
        for weight in (0, 1.5, True):
            with pytest.raises(InvalidInput, match="weight"):
                target.bundles.install(tmp_path / "b", weight=weight)


def test_what_nobody_vouches_for_is_not_believed(tmp_path: Path, source: Memory) -> None:
    pytest.importorskip("cryptography")
    signer = make_keys(tmp_path / "ours")
    bundle = make(source, tmp_path / "b", BOB, key=tmp_path / "ours.key")
    with opened(tmp_path / "target") as target:
        assert target.bundles.install(bundle).trust == 0.5
        assert target.bundles.install(bundle, signer=signer).trust == 0.8


def test_what_is_sensitive_can_be_left_out(tmp_path: Path, source: Memory) -> None:
    source.add("Write to carl.ketch@example.org.", BOB)
    make(source, tmp_path / "b", BOB, redact=True)
    text = (tmp_path / "b" / CUBES).read_text("utf-8")
    assert "example.org" not in text and "what bob knows" in text


def test_a_bundle_of_another_signer_does_not_take_the_place_of_one(tmp_path: Path, source: Memory) -> None:
    pytest.importorskip("cryptography")
    make_keys(tmp_path / "ours")
    signed = make(source, tmp_path / "signed", BOB, key=tmp_path / "ours.key")
    unsigned = make(source, tmp_path / "unsigned", BOB)
    with opened(tmp_path / "target") as target:
        target.bundles.install(signed)
        before = snapshot(target)
        with pytest.raises(Conflict, match="signed by"):
            target.bundles.install(unsigned)
        assert snapshot(target) == before


def test_who_forgets_somebody_is_told_of_the_bundles_that_were_made(tmp_path: Path, source: Memory) -> None:
    source.bundles.create(tmp_path / "b", ANN, name="boats")
    assert source.forget_person(BOB).copies == (f"bundle {(tmp_path / 'b').absolute()}",)


def test_what_is_derived_goes_with_an_installed_bundle(tmp_path: Path, source: Memory) -> None:
    source.add([{"role": "user", "content": "I moved to Oslo in 2019."}], BOB)
    source.enrich(BOB)
    bundle = make(source, tmp_path / "b", BOB)
    with opened(tmp_path / "target") as target:
        memories = target.bundles.install(bundle).memories
        assert memories > 2
        assert target.bundles.install(bundle).memories == memories, "again, in its own place"
        target.bundles.uninstall("boats")
        assert snapshot(target) == []
        assert target.verify() == []
