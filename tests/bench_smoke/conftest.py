"""What several smoke tests share: a tiny LoCoMo file written for them, and results that are measured once."""

import json
from pathlib import Path
from typing import Any

import pytest

from anamnos.bench.locomo import run_locomo
from anamnos.bench.speed import run_speed
from anamnos.embed.hashing import HashingEmbedder

MEMORIES = 2_000

FIRST = {
    "sample_id": "talk-1",
    "conversation": {
        "speaker_a": "Nora",
        "speaker_b": "Emil",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Nora", "dia_id": "D1:1", "text": "I adopted a grey donkey called Pepper."},
            {"speaker": "Emil", "dia_id": "D1:2", "text": "Lovely! I am learning to play the cello."},
        ],
        "session_2_date_time": "9:10 am on 3 June, 2023",
        "session_2": [
            {"speaker": "Nora", "dia_id": "D2:1", "text": "Yesterday we sailed to the lighthouse."},
            {"speaker": "Emil", "dia_id": "D2:2", "text": "My sister moved to Oslo for her doctorate."},
        ],
    },
    "qa": [
        {"question": "What is Nora's donkey called?", "answer": "Pepper", "category": 4, "evidence": ["D1:1"]},
        {
            "question": "Which instrument, and where did the sister move?",
            "answer": "cello; Oslo",
            "category": 1,
            "evidence": ["D1:2; D2:2"],
        },
        {"question": "When did they sail to the lighthouse?", "answer": 2023, "category": 2, "evidence": ["D2:1"]},
        {"question": "What did Emil adopt?", "category": 5, "evidence": ["D", "D9:9"]},
    ],
}
SECOND = {
    "sample_id": "talk-2",
    "conversation": {
        "speaker_a": "Ivo",
        "speaker_b": "Lea",
        "session_1_date_time": "6:00 pm on 1 July, 2023",
        "session_1": [
            {"speaker": "Ivo", "dia_id": "D1:1", "text": "The bakery hired me for the night shift."},
            {"speaker": "Lea", "dia_id": "D1:2", "text": "Then bring me croissants on Sunday!"},
        ],
    },
    "qa": [{"question": "Who hired Ivo for the night shift?", "answer": "bakery", "category": 4, "evidence": ["D1:1"]}],
}


@pytest.fixture(scope="session")
def locomo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("locomo") / "tiny.json"
    path.write_text(json.dumps([FIRST, SECOND]), "utf-8")
    return path


@pytest.fixture(scope="session")
def locomo_result(locomo_data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(run_locomo(locomo_data, HashingEmbedder(), repeats=2, adds=3)))
    return found


@pytest.fixture(scope="session")
def speed_result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(run_speed(MEMORIES, embedder="hashing", searches=10)))
    return found
