"""Book-SORT on made-up books: pairs as they must be drawn, and a memory that quotes knows the order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from anamnos.bench.sort import bins, draw, run_sort, sentence_starts
from anamnos.bench.synthetic import texts
from anamnos.cli.bench import bench
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput


def test_sentences_start_after_an_end() -> None:
    assert sentence_starts(["He", "said:", '"Go!"', "They", "went.", "Mr"]) == [0, 3, 5]


def test_bins_are_the_papers() -> None:
    assert bins(1_000, 20) == [
        (20, 250),
        (250, pytest.approx(333.3, abs=0.1)),
        (pytest.approx(333.3, abs=0.1), 500),
        (500, 1_250),
    ]
    assert bins(20_000, 50) == [(50, 1_000), (1_000, 5_000), (5_000, 10_000), (10_000, 25_000)]


def test_pairs_keep_their_distance_and_half_are_turned() -> None:
    words = " ".join(texts(400)).split()
    where = {" ".join(words[at : at + 20]): at for at in sentence_starts(words)}
    pairs = draw(words, 1_000, 20, 10, np.random.default_rng(1))
    assert len(pairs) == 40
    assert sum(pair.first_is_earlier for pair in pairs) == 20
    for pair in pairs:
        first, second = (where[text] for text in pair.shown)
        assert (first < second) is pair.first_is_earlier
        above, upto = bins(1_000, 20)[pair.bin]
        assert above < abs(first - second) <= min(upto, 980)


def test_a_text_too_short_has_no_pairs() -> None:
    assert draw(["One.", "Two."], 250, 20, 10, np.random.default_rng(0)) == []
    with pytest.raises(InvalidInput, match="No book is as long"):
        run_sort(None, HashingEmbedder(), pairs=2, excerpts=(10**7,))


def test_a_memory_that_quotes_knows_the_order() -> None:
    result = run_sort(None, HashingEmbedder(), pairs=10, excerpts=(250, 2_500), segments=(20,))
    assert result["all"]["n"] == 80
    assert result["all"]["accuracy"] > 0.98
    assert result["first_share"] == pytest.approx(0.5, abs=0.05)
    assert sum(row["n"] for row in result["bins"]) == 80
    assert result["bins"][0] | {"accuracy": 0, "interval": []} == {
        "excerpt": 250,
        "segment": 20,
        "above": 20,
        "upto": 62,
        "n": 10,
        "accuracy": 0,
        "interval": [],
    }


def test_the_same_seed_gives_the_same_answers(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("\n\n".join(texts(300)), "utf-8")
    options = {"pairs": 4, "excerpts": (250,), "segments": (20,), "dropout": 0.5}
    first, second = (run_sort(book, HashingEmbedder(), **options) for _ in range(2))  # type: ignore[arg-type]
    assert first["bins"] == second["bins"]
    assert first["data"]["name"] == "book.txt"


def test_the_command_writes_a_section(tmp_path: Path) -> None:
    book, page = tmp_path / "book.txt", tmp_path / "page.md"
    book.write_text("\n\n".join(texts(100)), "utf-8")
    options = ["--data", str(book), "--pairs", "2", "--embedder", "hashing", "--json", "--report", str(page)]
    done = CliRunner().invoke(bench, ["sort", *options])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["benchmark"] == "sort"
    text = page.read_text("utf-8")
    assert "Book-SORT" in text
    assert str(tmp_path) not in text
