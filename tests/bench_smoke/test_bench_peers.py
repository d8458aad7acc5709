"""The protocol that peers speak, spoken by Anamnos itself, and by each peer that is installed.

``ANAMNOS_PEERS`` names a folder with an environment per peer, called like it; a peer without one is skipped.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from anamnos.bench.child import run_child
from anamnos.bench.peers.setup import PEERS, command_of, own_code
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


@pytest.mark.parametrize("name", PEERS)
def test_each_peer_answers_as_the_protocol_says(name: str, tmp_path: Path) -> None:
    env = Path(os.environ["ANAMNOS_PEERS"]) / name if "ANAMNOS_PEERS" in os.environ else None
    if PEERS[name].installs and (env is None or not env.exists()):
        pytest.skip(f"{name} is not installed")
    told: list[str] = []
    command = command_of(name, env)
    result = run_child(command, _request(tmp_path), lambda what, *_: told.append(what), environment=own_code())
    assert result["system"] == name
    assert result["ranked"]["q"][0] == "t1"
    assert set(result["ranked"]["q"]) <= {"t0", "t1", "t2"}
    assert (result["add"] or result["bulk"])["per_s"] > 0
    assert result["versions"]
    assert f"{name}: searching" in told


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
