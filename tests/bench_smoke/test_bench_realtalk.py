"""The REALTALK benchmark on a tiny chat, from the command line, into a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.realtalk import run_realtalk
from anamnos.cli.bench import bench
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    def message(n: int, who: str, text: str) -> dict[str, object]:
        when = f"{28 + n}.12.2023, 10:00:0{n}"
        return {
            "clean_text": text,
            "speaker": who,
            "date_time": when,
            "img_file": [],
            "img_url": [],
            "dia_id": f"D1:{n}",
        }

    chat = {
        "name": {"speaker_1": "Iris", "speaker_2": "Tom"},
        "session_1": [message(1, "Iris", "My canoe is called Walnut."), message(2, "Tom", "I prefer trains.")],
        "session_2": [message(3, "Tom", "The tunnel to Narvik was closed.")],
        "qa": [
            {"question": "What is the canoe of Iris called?", "answer": "Walnut", "evidence": ["D1:1"], "category": 1},
            {"question": "Which tunnel was closed?", "answer": "Narvik", "evidence": ["D1:3"], "category": 2},
            {"question": "Who?", "answer": "-", "evidence": [], "category": 3},
        ],
    }
    (tmp_path / "chats").mkdir()
    (tmp_path / "chats" / "Chat_1_Iris_Tom.json").write_text(json.dumps(chat), "utf-8")
    return tmp_path / "chats"


def test_a_session_is_the_messages_own_and_not_the_number_in_its_id(chats: Path) -> None:
    result = run_realtalk(chats, HashingEmbedder(), repeats=1, adds=1)
    assert result["data"] | {"sha256": ""} == {
        "name": "chats (1 chats)",
        "sha256": "",
        "conversations": 1,
        "turns": 3,
        "questions": 3,
        "excluded": 1,
        "skipped": 0,
        "pooled": False,
    }
    assert result["turn"]["all"]["n"] == 2
    assert result["turn"]["all"]["recall_frac@1"] == 1
    assert result["session"]["hit@1"] == 1
    assert result["limits"] == []


def test_it_writes_a_section_of_its_own_per_recipe(chats: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for recipe in ([], ["--recipe", "zsum-v1"]):
        options = ["--embedder", "hashing", "--repeats", "1", "--report", str(page), *recipe]
        done = CliRunner().invoke(bench, ["realtalk", "--data", str(chats), *options])
        assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert "bench:realtalk-hashing-384-v1 -->" in text
    assert "bench:realtalk-hashing-384-v1-zsum-v1 -->" in text


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no Chat_"):
        run_realtalk(tmp_path, HashingEmbedder())
