"""The speed benchmark at a small size, its made-up texts, and the bare search that it compares with."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.baseline import Baseline
from anamnos.bench.synthetic import StandInEmbedder, cues, texts, write_messages
from anamnos.testing import EmbedderContract


def test_every_part_is_measured(speed_result: dict[str, Any]) -> None:
    assert speed_result["ingest"]["memories"] == speed_result["memories"]
    assert speed_result["ingest"]["without_embedding_per_s"] > 0
    assert speed_result["search"]["hits"] == 10 * 15  # ten for each cue, those of the warm-up too
    assert speed_result["whole_search"]["memories"] == speed_result["memories"]
    assert speed_result["whole_search"]["embedder"].startswith("hashing")
    assert {"p50_ms", "bare_product_p50_ms", "bare_fts_p50_ms"} <= set(speed_result["search"])
    assert {"empty_s", "open_s", "first_search_s"} <= set(speed_result["open"])
    assert {"cubes", "vectors", "changes"} <= set(speed_result["disk"]["tables"])
    assert len(speed_result["limits"]) == 7


def test_limits_with_room_to_spare(speed_result: dict[str, Any]) -> None:
    """Slack for busy machines; the exact limits are for the benchmark itself."""
    limits = {limit["name"]: limit for limit in speed_result["limits"]}
    assert limits["peak memory of ingest"]["ok"]
    assert limits["opening"]["ok"]
    assert limits["disk per memory"]["measured"] < 1.2 * limits["disk per memory"]["limit"]


def test_made_up_texts_repeat_and_are_like_talk() -> None:
    made = texts(500, seed=3)
    assert made == texts(500, seed=3)
    assert made != texts(500, seed=4)
    assert 110 < statistics.fmean(map(len, made)) < 150
    assert len({word for text in made for word in text.split()}) > 1_500


def test_messages_come_in_sessions_of_twenty(tmp_path: Path) -> None:
    write_messages(tmp_path / "m.jsonl", texts(45))
    messages = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text("utf-8").splitlines()]
    assert [sum(m["session"] == f"s{n}" for m in messages) for n in range(3)] == [20, 20, 5]
    assert len({m["id"] for m in messages}) == 45


def test_cues_are_parts_of_turns() -> None:
    made = texts(50)
    for cue in cues(made, 10):
        words = cue.lower().rstrip("?")
        assert any(words in text.lower().replace(".", "") for text in made)


def test_the_baseline_finds_what_it_should(tmp_path: Path) -> None:
    embedder = StandInEmbedder()
    made = ["red apples", "green pears", "red pears"]
    vectors = embedder.embed(made)
    baseline = Baseline(tmp_path / "plain.db", made, vectors)
    assert baseline.keyword_top(["apples", "red", "red"])[0] == 1
    assert int(np.argmax(baseline.cosines(vectors[2]))) == 2
    baseline.close()


class TestStandIn(EmbedderContract):
    def make_embedder(self) -> StandInEmbedder:
        return StandInEmbedder()
