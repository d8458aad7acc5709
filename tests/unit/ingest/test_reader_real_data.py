"""The readers on the real data sets, which are not part of this project: set ANAMNOS_DATA to their folder."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from anamnos.ingest.readers import find_reader, locomo, longmemeval, read_file, realtalk

DATA = Path(os.environ.get("ANAMNOS_DATA") or "no-data-given")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="ANAMNOS_DATA names no folder")


def needed(*names: str) -> Path:
    path = DATA.joinpath(*names)
    if not path.exists():
        pytest.skip(f"{'/'.join(names)} is not there")
    return path


def test_locomo() -> None:
    path = needed("locomo", "locomo10_conv0-4.json")
    turns = read_file(path)
    assert len(turns) == 2_760
    assert len({turn.session.split("/")[0] for turn in turns if turn.session}) == 5
    assert all(turn.said_at and turn.speaker and turn.message_id for turn in turns)
    records = locomo.conversations(json.loads(path.read_text(encoding="utf-8")))
    assert sum(len(locomo.read_conversation(record)) for record in records) == 2_760
    asked = [question for record in records for question in locomo.questions(record)]
    answerable = [question for question in asked if question.evidence]
    assert (len(asked), len(answerable)) == (999, 997)
    assert Counter(q.category for q in answerable) == {1: 142, 2: 156, 3: 44, 4: 418, 5: 237}


def test_realtalk() -> None:
    paths = sorted(needed("realtalk").glob("Chat_*.json"))
    counts, asked = {}, []
    for path in paths:
        assert find_reader(path)[0].name == "realtalk"
        counts[path.stem] = len(read_file(path))
        asked += realtalk.questions(json.loads(path.read_text(encoding="utf-8")), name=path.stem)
    assert sum(counts.values()) == 3_309
    assert Counter(q.category for q in asked if q.evidence) == {1: 151, 2: 152, 3: 55}
    assert not any("Kate" in q.text for q in asked)


@pytest.mark.parametrize(
    ("name", "turns", "sessions"),
    [("oracle_sample.json", 164, 14), ("abstention_sample.json", 227, 24), ("s20_user_text.json", 482, 482)],
)
def test_longmemeval(name: str, turns: int, sessions: int) -> None:
    path = needed("longmemeval", name)
    found = read_file(path)
    assert (len(found), len({turn.session for turn in found})) == (turns, sessions)
    items = json.loads(path.read_text(encoding="utf-8"))
    assert sum(len(longmemeval.read_item(item)) for item in items) >= turns


def test_books() -> None:
    for path in sorted(needed("books").glob("*.txt")):
        turns = read_file(path)
        assert " ".join(turn.content for turn in turns).split() == path.read_text(encoding="utf-8").split()
        assert max(len(turn.content) for turn in turns) <= 1_000
