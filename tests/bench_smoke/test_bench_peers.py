"""The protocol that peers speak, spoken by Anamnos itself."""

import sys
from pathlib import Path
from typing import Any

import pytest

from anamnos.bench.child import run_child
from anamnos.bench.timing import quiet
from anamnos.errors import AnamnosError

TURNS = ["I keep bees on the roof.", "The train to Graz was late.", "My violin needs new strings."]


def _request(folder: Path) -> dict[str, Any]:
    turns = [
        {"id": f"t{n}", "speaker": "Mia", "text": text, "session": "s1", "said_at": "2024-05-01T10:00:00+00:00"}
        for n, text in enumerate(TURNS)
    ]
    return {
        "folder": str(folder),
        "embedder": "hashing",
        "model_dir": None,
        "top_k": 2,
        "cases": [{"id": "mia", "turns": turns, "queries": [{"id": "q", "text": "Which train was late?"}]}],
    }


def test_ours_answers_as_the_protocol_says(tmp_path: Path) -> None:
    told: list[str] = []
    command = [sys.executable, "-m", "anamnos.bench.peers.ours"]
    result = run_child(command, _request(tmp_path), lambda what, done, total: told.append(what))
    assert result["ranked"]["q"][0] == "t1"
    assert len(result["ranked"]["q"]) == 2
    assert result["add"]["n"] == 3
    assert 0 < result["add"]["embedding_share"] < 1
    assert result["disk_bytes"] > 0
    assert result["bulk"]["per_s"] > 0
    assert set(told) == {"anamnos: adding", "anamnos: searching"}


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(AnamnosError, match="step of the benchmark failed"):
        run_child([sys.executable, "-c", "raise SystemExit(3)"], {}, quiet)


def test_the_network_is_refused(tmp_path: Path) -> None:
    code = (
        "import socket; from anamnos.bench.child import serve;"
        "from anamnos.bench.peers.protocol import refuse_network; refuse_network()\n"
        "def answer(request):\n"
        "    try: socket.create_connection(('127.0.0.1', 9))\n"
        "    except OSError as exc: return {'said': str(exc)}\n"
        "serve(answer)"
    )
    assert "no network" in run_child([sys.executable, "-c", code], {}, quiet)["said"]
