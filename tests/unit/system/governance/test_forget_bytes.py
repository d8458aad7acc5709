"""After a person was forgotten, no file holds a byte of it: vault, log, index, backups and bundles made since."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from anamnos import Memory, Scope, where
from anamnos.cube import MemCube, Provenance, Role, State
from anamnos.system.governance.forget import _words
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Op, OpKind, Where

START = datetime(2024, 3, 1, 9, tzinfo=UTC)
PAULA, BOB = Scope(user="paula.winterbottom"), Scope(user="bob")
ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))
NAMES = ["Paula", "Paula Winterbottom"]
WEIGHTS = b"what was learned of the barometer"
RUN = 10  # characters of what was said that must not be found in a row

TALK = (
    "The glazier mended window {n} of the conservatory before the hailstorm.",
    "Rehearsal {n} of the madrigal choir went on until the caretaker came.",
    "My marathon training of week {n} was ruined by a blister.",
)
LIVES = (
    "I live in Trondheim.",
    "I moved to Ulaanbaatar.",
    "My sister is called Philippa.",
    "I live in Valparaiso now.",
)


def opened(folder: Path, seed: int, **more: Any) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(64), clock=FakeClock(START), new_id=seeded_ids(seed), **more)


def chat(name: str, texts: list[str], key: str) -> list[dict[str, Any]]:
    days = ((START + timedelta(days=day)).isoformat() for day in range(len(texts)))
    turns = enumerate(zip(texts, days, strict=True))
    return [
        {
            "role": "user",
            "name": name,
            "content": text,
            "id": f"{key}{n}",
            "session": f"{key}{n // 5}",
            "created_at": at,
        }
        for n, (text, at) in turns
    ]


def fill(memory: Memory) -> None:
    """Let Paula, Bob and what is made of their words go through all that keeps something somewhere."""
    memory.policy.register("user:paula.winterbottom", purposes=["diary"])
    texts = [text.format(n=number) for number in range(12) for text in TALK] + list(LIVES)
    memory.add(chat("Paula", texts, "xylophonic"), PAULA, source="archive-of-winterbottom.jsonl", tags=["tagtagonist"])
    memory.add("My card is 4111 1111 1111 1111, my mail quillfeather@example.org.", PAULA)
    noted = memory.add("The combination is in the almanac.", PAULA).ids[0]
    memory.update(noted, PAULA, content="The combination is behind the barometer.", data={"why": "ultracrepidarian"})
    memory.add(chat("Bob", ["I live in Leeds.", "I keep bees.", "I moved to York."], "bob"), BOB)
    memory.add("Tell Paula Winterbottom about the honeycomb prize.", BOB)
    memory.add("Nobody reads this list.", BOB, source="letters-to-paula.txt")
    for scope in (PAULA, BOB):
        memory.enrich(scope)
        memory.resolve(scope)
        memory.consolidate(scope)
    memory.correct("It is behind the thermometer, not the barometer.", PAULA)
    pair = [cube.id for cube in memory.list(PAULA, filter=where(role="turn"), limit=2)]
    memory.merge(pair, PAULA)
    memory.freeze(noted, PAULA)
    memory.unfreeze(noted, PAULA)
    memory.archive(noted, PAULA)
    memory.jobs.add("enrich", PAULA)
    memory.jobs.every(timedelta(days=1), "consolidate", PAULA)
    memory.policy.add_rule("of paula", where(actor="Paula"), 90)  # type: ignore[arg-type]
    blob = memory.vault.blobs.put(WEIGHTS, "application/octet-stream")
    made = Provenance(derived_from=(noted,))
    adapter = MemCube(
        id=seeded_ids(8)(START), content=blob, scope=PAULA, substrate="parametric", role="state", provenance=made
    )  # type: ignore[arg-type]
    memory._write([Op(OpKind.ADD, cube=adapter)])
    for question in ("Where does Paula live?", "the conservatory window", "the madrigal choir"):
        memory.search(question, PAULA)
        memory.search(question, BOB)
        memory.ask(question, PAULA)
        memory.used([hit.id for hit in memory.search(question, PAULA)], PAULA)


def runs(cubes: list[MemCube]) -> set[str]:
    """Return every run of so many characters of what versions say, and every shorter text as a whole; but no dates."""
    texts = {text for cube in cubes for text in _words(cube) if not re.fullmatch(r"[\dTZ:.+-]+", text)}
    return {text[at : at + RUN] for text in texts for at in range(max(1, len(text) - RUN + 1)) if len(text) >= 6}


def derived_bytes(memory: Memory) -> dict[str, set[bytes]]:
    """Return the index terms and vectors of each memory as they are stored."""
    found: dict[str, set[bytes]] = {}
    for cube, derived, _ in memory._guard.store.export():
        if derived is not None and derived.vector is not None:
            vector = np.asarray(derived.vector, dtype="<f4")
            parts = {derived.terms.astype("<u4").tobytes(), vector.tobytes(), vector.astype("<f2").tobytes()}
            found.setdefault(cube.id, set()).update(part for part in parts if len(part) >= 12)
    return found


def left(folder: Path, wanted: set[bytes]) -> list[str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else [folder]
    found = []
    for path in files:
        data = path.read_bytes().replace(bytes(64), b"")  # holes of sparse files
        found += [f"{path.name}: {each!r}" for each in sorted(wanted) if each in data]
    return found


def test_no_byte_of_a_person_is_left_anywhere(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with opened(vault, 1, working="on", background="worker", extract="rules", audit="all") as memory:
        fill(memory)
        with opened(vault, 2, principal="user:paula.winterbottom", purpose="diary") as paula:
            paula.add("A soliloquy about the lighthouse.", PAULA)
        backup = tmp_path / "backup"
        memory.backup(backup)
        with opened(vault, 3, working="on") as other:  # has all of it in mind as it is forgotten
            assert other.search("the conservatory window", PAULA)
            assert other.ask("Where does Paula live?", PAULA).text
            before = [cube for cube, _, _ in memory._guard.store.export()]
            bytes_before = derived_bytes(memory)
            assert {cube.role for cube in before if cube.scope.user == PAULA.user} >= {Role.FACT, Role.CONCEPT}
            assert any(cube.links for cube in before if cube.scope.user == PAULA.user)
            assert len(left(vault, {WEIGHTS, b"winterbottom", b"tagtagonist"})) >= 3
            assert memory.working(PAULA)
            assert memory.jobs.counts()

            report = memory.forget_person("paula.winterbottom", mentions=True, names=NAMES)

            assert (report.state, report.residue, report.blocked) == ("erased", (), ())
            assert report.own > 40
            assert report.mentioned >= 2
            assert report.searched["pieces"] > 50
            for one in (memory, other):
                assert one.search("the conservatory window", PAULA) == []
                assert one.working(PAULA) == []
                assert one.list(PAULA, filter=ANY_STATE) == []
                assert "Valparaiso" not in json.dumps(one.ask("Where does Paula live?", PAULA).to_dict())
            after = [cube for cube, _, _ in memory._guard.store.export()]
            texts = "\0".join(text for cube in after for text in _words(cube))
            gone = [cube for cube in before if cube.id not in {one.id for one in after}]
            words = {run.encode() for run in runs(gone) if run not in texts}
            assert len(words) > 1_000
            words |= {
                WEIGHTS,
                b"winterbottom",
                b"Winterbottom",
                b"user:paula",
                b"xylophonic",
                b"tagtagonist",
                b"of paula",
            }
            kept = {part for cube in after for part in bytes_before.get(cube.id, ())}
            vectors = {part for cube in gone for part in bytes_before.get(cube.id, ())} - kept
            assert len(vectors) > 100
            assert left(vault, words | vectors) == []
            assert _rows_about(vault, {cube.id for cube in gone}) == {"changes", "audit"}
            assert memory.audit.verify() == []
            assert memory.verify() == []
        memory.backup(tmp_path / "new backup")
        memory.backup(backup, incremental=True)
        memory.export(tmp_path / "export.jsonl")
        memory.bundles.create(tmp_path / "bundle", None, name="all", audit=True)
        memory.bundles.create(tmp_path / "bundle.zip", None, name="all", audit=True)
    for name in ("vault", "backup", "new backup", "export.jsonl", "bundle", "bundle.zip"):
        assert left(tmp_path / name, words | vectors) == [], name
    with opened(vault, 4) as memory:
        assert memory.verify() == []
        assert memory.search("bees", BOB)


def _rows_about(vault: Path, ids: set[str]) -> set[str]:
    """Return the tables that still hold one of some ids."""
    db = apsw.Connection(str(vault / "anamnos.db"))
    wanted = {bytes.fromhex(cube_id.replace("-", "")) for cube_id in ids}
    found = set()
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for name in tables:
        for row in db.execute(f'SELECT * FROM "{name}"'):
            if any(isinstance(value, bytes) and value in wanted for value in row) or any(
                isinstance(value, str) and any(cube_id in value for cube_id in ids) for value in row
            ):
                found.add(name)
                break
    db.close()
    return found
