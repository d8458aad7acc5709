"""A person is forgotten: from rows, indexes, files and names; or it says what stands in the way."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope, where
from anamnos.cube import State
from anamnos.errors import InvalidInput
from anamnos.system.governance.forget import residue
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Where

NOW = datetime(2024, 5, 1, tzinfo=UTC)
PAULA, BOB, FAR = Scope(user="paula.winterbottom"), Scope(user="bob"), Scope("far", user="bob")
ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))


def opened(folder: Path, **more: Any) -> Memory:
    return Memory(folder, **{"embedder": FakeEmbedder(), "clock": FakeClock(NOW), "new_id": seeded_ids(1), **more})


def filled(memory: Memory) -> dict[str, str]:
    """Return the ids of what is remembered of and around a person."""
    memory.policy.register("user:paula.winterbottom")
    memory.policy.register("user:bob")
    ids = {}
    turn = {"role": "user", "name": "Paula", "content": "I moved to Oslo in 2019 for the glaciers.", "id": "m1"}
    ids["own"] = memory.add([turn], Scope(user="paula.winterbottom", session="monday"), source="chat").ids[0]
    memory.update(ids["own"], PAULA, content="I moved to Bergen in 2019 for the glaciers.")
    memory.enrich(PAULA)
    ids["mention"] = memory.add("Dinner with Paula Winterbottom and her sister.", BOB).ids[0]
    ids["said"] = memory.add([{"role": "user", "name": "Paula", "content": "See you at the harbour tower."}], BOB).ids[
        0
    ]
    ids["past"] = memory.add("A birthday list: Paula, Tim.", BOB).ids[0]
    memory.update(ids["past"], BOB, content="A birthday list: Tim.")
    ids["other"] = memory.add("Buy stamps. Paulas are a kind of flower shop.", BOB).ids[0]
    ids["far"] = memory.add("Paula of another tenant.", FAR).ids[0]
    memory.share(ids["other"], BOB, to="user:paula.winterbottom")
    memory.share(ids["mention"], BOB, to="user:paula.winterbottom", until=datetime(2025, 1, 1, tzinfo=UTC))
    memory.policy.add_rule("paula", where(actor="Paula"), 30)  # type: ignore[arg-type]
    return ids


def in_bytes(folder: Path, *words: str) -> list[str]:
    data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [word for word in words if word.encode() in data]


def test_all_of_a_person_goes(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with opened(vault) as memory:
        ids = filled(memory)
        with opened(vault, principal="user:paula.winterbottom", new_id=seeded_ids(2)) as paula:
            assert {hit.id for hit in paula.search("birthday stamps", BOB)} == {ids["other"], ids["mention"]}
            paula.add("A diary of snow and silence.", PAULA)
        derived = len(memory.list(PAULA, filter=where(role="fact")))
        memory.search("glaciers", PAULA)
        memory.backup(tmp_path / "copy")
        report = memory.forget_person("paula.winterbottom", mentions=True, names=["Paula", "Paula Winterbottom"])
        assert derived > 0
        assert (report.state, report.own, report.mentioned) == ("erased", 2 + derived, 3)
        assert sum(report.roles.values()) == report.own + report.mentioned + report.derived
        assert (report.names, report.records) == (2, 3), "a pseudonym and a reader; principal, grant, rule"
        assert report.copies == (f"backup {(tmp_path / 'copy').absolute()}",)
        assert report.residue == ()
        assert report.searched["pieces"] > 5
        assert memory.search("glaciers", PAULA) == []
        assert {one.id for one in memory.list(BOB, filter=ANY_STATE)} == {ids["other"]}
        assert {one.id for one in memory.list(FAR)} == {ids["far"]}
        assert memory.get(ids["other"], BOB).policy.readers == ()
        assert [who.name for who in memory.policy.principals()] == ["user:bob"]
        assert memory.policy.rules() == []
        assert memory.audit.verify() == []
        assert memory.verify() == []
        found = in_bytes(
            vault, "glaciers", "snow and silence", "harbour tower", "winterbottom", "Winterbottom", "birthday"
        )
        assert found == []
        memory.backup(tmp_path / "after")
    assert in_bytes(vault, "glaciers", "winterbottom") == in_bytes(tmp_path / "after", "glaciers", "winterbottom") == []


def test_without_mentions_others_keep_what_they_wrote(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        ids = filled(memory)
        report = memory.forget_person("paula.winterbottom")
        assert report.mentioned == 0
        assert {one.id for one in memory.list(BOB)} == {ids[name] for name in ("mention", "said", "past", "other")}
        assert memory.list(PAULA, filter=ANY_STATE) == []


def test_a_scope_can_be_forgotten_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.add("Monday.", Scope(user="bob", session="monday"))
        (kept,) = memory.add("Tuesday.", Scope(user="bob", session="tuesday")).ids
        memory.policy.register("user:bob")
        report = memory.forget_person(Scope(user="bob", session="monday"))
        assert (report.own, report.records) == (1, 0)
        assert [one.id for one in memory.list(BOB)] == [kept]


def test_only_whole_names_and_only_that_person(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.policy.register("user:ann")
        memory.policy.add_rule("annual", where(tags="planning"), 365)  # type: ignore[arg-type]
        memory.policy.add_rule("of Ann", where(tags="diary"), 30)  # type: ignore[arg-type]
        texts = {"To  Ann\nSmith, with love.": True, "Annabel left.": False, "ann_smith@example.org": True}
        ids = {memory.add(text, BOB).ids[0]: gone for text, gone in texts.items()}
        ids[memory.add("A list.", BOB, source="/home/bob/for-ann.txt").ids[0]] = True
        ids[memory.add("A note.", Scope(user="bob", session="call with ANN")).ids[0]] = True
        memory.add("Another Ann.", Scope("far", user="ann"))
        report = memory.forget_person("ann", tenant="far")
        assert (report.own, report.records) == (1, 1), "the rule alone: the principal is another tenant's Ann"
        assert [who.name for who in memory.policy.principals()] == ["user:ann"]
        memory.policy.add_rule("of Ann", where(tags="diary"), 30)  # type: ignore[arg-type]
        report = memory.forget_person("ann", mentions=True, names=["Ann Smith"])
        assert (report.own, report.mentioned, report.records) == (0, sum(ids.values()), 2)
        assert {one.id for one in memory.list(BOB)} == {cube_id for cube_id, gone in ids.items() if not gone}
        assert [rule.name for rule in memory.policy.rules()] == ["annual"]


def test_who_forgets_itself_leaves_no_name(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:paula.winterbottom", rights=["admin"])
        with opened(tmp_path, principal="user:paula.winterbottom") as paula:
            paula.add("A diary.", PAULA)
            assert paula.forget_person("paula.winterbottom").state == "erased"
        assert {seen.principal for seen in app.audit.list()} == {None, app.audit.list()[1].entry.principal}
        assert app.audit.list()[-1].entry.verb == "forget"
        assert app.audit.verify() == []
    assert in_bytes(tmp_path, "winterbottom") == []


def test_what_bundles_brought_back_goes_too(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("The glaciers of Spitsbergen.", PAULA)
        memory.bundles.create(tmp_path / "hers.zip", PAULA, name="hers")
        memory.bundles.install(tmp_path / "hers.zip")
        with opened(tmp_path / "other", new_id=seeded_ids(7)) as other:
            other.add("A recipe of Paula Winterbottom's.", BOB)
            other.add("A recipe of nobody's.", BOB)
            other.bundles.create(tmp_path / "recipes.zip", BOB, name="recipes")
        memory.bundles.install(tmp_path / "recipes.zip")
        report = memory.forget_person("paula.winterbottom", mentions=True, names=["Paula Winterbottom"])
        assert (report.own, report.installed, report.mentioned) == (1, 1, 1)
        assert report.residue == ()
        assert f"bundle {tmp_path / 'hers.zip'}" in report.copies
        assert [one.text for one, _, _ in memory.vault.store.export()] == ["A recipe of nobody's."]
    assert in_bytes(tmp_path / "vault", "Spitsbergen", "Winterbottom") == []


def test_a_legal_hold_blocks_and_nothing_changes(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        ids = filled(memory)
        memory.freeze(ids["own"], PAULA)
        before = [one.to_dict() for one, _, _ in memory.vault.store.export()]
        report = memory.forget_person("paula.winterbottom", mentions=True)
        assert (report.state, report.blocked) == ("blocked", (ids["own"],))
        assert [one.to_dict() for one, _, _ in memory.vault.store.export()] == before
        assert memory.audit.list()[-1].entry.decision == "denied"
        memory.unfreeze(ids["own"], PAULA)
        assert memory.forget_person("paula.winterbottom").state == "erased"


def test_nobody_is_no_mistake_and_bad_names_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        report = memory.forget_person("nobody")
        assert (report.state, report.own) == ("erased", 0)
        with pytest.raises(InvalidInput):
            memory.forget_person("")
        with pytest.raises(InvalidInput, match="no name"):
            memory.forget_person(Scope(agent="tutor"), mentions=True)


def test_the_search_of_bytes_finds_what_is_there(tmp_path: Path) -> None:
    with opened(tmp_path / "vault") as memory:
        memory.add("A song about the silver moon.", BOB)
        (tmp_path / "vault" / "left.txt").write_text("a forgotten line of words")
        found, files = residue(
            memory.vault.store, tmp_path / "vault", ["forgotten line of", "about the silver", "absent"]
        )
        assert found == ["left.txt: 'forgotten line of'"], "what a memory says is no residue"
        assert files >= 2
