"""``anamnos consolidate`` and ``anamnos lifecycle show`` as users type them."""

from __future__ import annotations

import json

from .conftest import Cli


def filled(anamnos: Cli) -> None:
    talk = "Please remind me to take the blue pills before breakfast."
    days = [
        {"role": "user", "content": talk, "id": f"m{day}", "created_at": f"2024-01-0{day}T08:00:00Z"}
        for day in range(1, 6)
    ]
    (anamnos.folder / "chat.json").write_text(json.dumps(days))
    anamnos.run("ingest", str(anamnos.folder / "chat.json"))
    anamnos.run("add", "I moved to Oslo in 2019 and I love skiing.")
    anamnos.run("enrich")


def test_repetitions_are_archived_and_a_second_run_finds_nothing(anamnos: Cli) -> None:
    filled(anamnos)
    report = anamnos.json("consolidate", "--step", "duplicates")
    assert report["finished"] and report["steps"][0]["changed"] == {"archived": 3}
    told = anamnos.run("consolidate").stdout
    assert "duplicates" in told and "archive" in told and "nothing" in told
    assert anamnos.json("stats")["states"]["archived"] == 3


def test_a_run_that_was_cut_short_says_so(anamnos: Cli) -> None:
    filled(anamnos)
    assert "Run it again" in anamnos.run("consolidate", "--budget", "0.000001").stdout
    for _ in range(20):
        if anamnos.json("consolidate", "--budget", "0.000001")["finished"]:
            return
    raise AssertionError("it never ends")


def test_show_says_how_much_is_left(anamnos: Cli) -> None:
    filled(anamnos)
    shown = anamnos.json("lifecycle", "show", "--limit", "100")
    assert shown["states"] == {"generated": len(shown["memories"])}
    assert {row["retention"] for row in shown["memories"] if row["becomes"]} == set()
    assert all(0.99 < row["retention"] <= 1 for row in shown["memories"])
    assert "generated" in anamnos.run("lifecycle", "show").stdout
    assert anamnos.json("lifecycle", "show", "--fading", "--apply") == {
        "states": shown["states"],
        "decay": "fsrs",
        "memories": [],
        "archived": 0,
    }


def test_bad_input(anamnos: Cli) -> None:
    filled(anamnos)
    assert "rust" in anamnos.run("consolidate", "--decay", "rust", code=2).stderr
    assert "ANAMNOS_LLM_URL" in anamnos.run("consolidate", "--wording", "llm", code=6).stderr
    anamnos.run("consolidate", "--budget", "0", code=2)
