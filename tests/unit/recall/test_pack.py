"""Packing: never above the budget whatever counts the tokens, and what is changed, repeated or long over says so."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.cube import Link, LinkKind, MemCube, Provenance, Role, Times
from anamnos.errors import ConfigError
from anamnos.llm.base import estimate_tokens
from anamnos.recall.pack import pack, tokenizer_counter
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Hit, PackedContext

NOW = datetime(2024, 3, 1, 9, tzinfo=UTC)
ANN = Scope(user="ann", session="monday")
_new_id = seeded_ids(5)


def cube(text: str, day: int = 0, actor: str | None = "Ann", **parts: Any) -> MemCube:
    parts.setdefault("time", Times(created_at=NOW + timedelta(days=day)))
    return MemCube(_new_id(NOW), text, ANN, provenance=Provenance(actor=actor), **parts)


def packed(*cubes: MemCube, budget: int = 1_000, **more: Any) -> PackedContext:
    hits = [Hit(each, 0.5, float(-n)) for n, each in enumerate(cubes)]
    return pack(hits, more.pop("near", lambda hit: []), token_budget=budget, evidence="", **more)


# --- the budget

COUNTERS: dict[str, Callable[[str], int]] = {
    "estimate": estimate_tokens,
    "characters": len,
    "words": lambda text: len(text.split()),
    "special tokens": lambda text: 7 + len(text.split()),  # a whole is less than its parts
    "compressed": lambda text: int(len(text) ** 0.7),
    "square": lambda text: len(text) ** 2,  # a whole is more than its parts
    "lines": lambda text: text.count("\n") ** 2,
    "nothing": lambda text: 0,
    "always much": lambda text: 10_000,
    "odd": lambda text: crc32(text.encode()) % 997,  # neither
}
TEXTS = st.lists(st.sampled_from(["pear", "apples", "the boat", "日本", "x" * 70]), min_size=1, max_size=9).map(
    " ".join
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 3)), max_size=40),
    st.integers(1, 3_000),
    st.sampled_from(sorted(COUNTERS)),
)
def test_the_budget_is_kept_by_any_counter(drawn: list[tuple[str, int]], budget: int, name: str) -> None:
    count = COUNTERS[name]
    cubes = [cube(text, day) for text, day in drawn]
    around = {each.id: cubes[max(0, n - 1) : n + 2] for n, each in enumerate(cubes)}
    old = {each.id: cube(f"before {each.text}") for each in cubes[::3]}
    found = packed(
        *cubes,
        budget=budget,
        near=lambda hit: around[hit.id],
        before=lambda each: old.get(each.id),
        count_tokens=count,
    )
    assert found.tokens <= budget
    assert found.tokens == (count(found.text) if found.text else 0)
    lines = [line for line in found.text.split("\n") if line.startswith("[")]
    assert len(lines) == len(found.citations)
    assert all(each.text in line for each, line in zip(found.citations.values(), lines, strict=True))
    assert len({each.id for each in found.citations.values()}) == len(lines)
    if cubes and count(packed(cubes[0], count_tokens=len, budget=10_000).text) <= budget:
        assert found.text, "the best one alone would fit"


def test_a_note_of_repetitions_does_not_keep_the_best_out() -> None:
    said = "I keep bees on the roof of the old mill"
    alone = len(packed(cube(said)).text)
    found = packed(cube(said), cube(said, day=1), budget=alone, count_tokens=len)
    assert found.text == packed(cube(said)).text


def test_the_budget_is_used() -> None:
    """With each counter, no line that was left out would still fit, but for a few."""
    cubes = [cube(f"number {n} " + "word " * (n % 7), n // 10) for n in range(120)]
    for name in ("estimate", "characters", "words", "special tokens"):
        count = COUNTERS[name]
        found = packed(*cubes, budget=600, count_tokens=count)
        assert 600 - found.tokens <= 16, name


def test_each_line_is_counted_once_and_the_whole_a_few_times() -> None:
    cubes = [cube(f"number {n} has some words", n % 5) for n in range(2_000)]
    lengths: list[int] = []

    def count(text: str) -> int:
        lengths.append(len(text))
        return estimate_tokens(text)

    packed(*cubes, budget=20_000, count_tokens=count)
    assert sum(length > 200 for length in lengths) <= 20
    assert len(lengths) <= 2_000 + 5 + 20


def test_the_best_go_first_and_neighbours_last() -> None:
    best, worse, near = cube("best " * 10, 1), cube("worse " * 10), cube("near " * 10, 2)
    room = packed(best, worse).tokens
    found = packed(best, worse, near=lambda hit: [near], budget=room)
    assert [each.id for each in found.citations.values()] == [worse.id, best.id]
    assert [each.id for each in packed(best, worse, near=lambda hit: [near]).citations.values()] == [
        worse.id,
        best.id,
        near.id,
    ]


# --- what was said before, again, or otherwise


def test_what_a_memory_said_before_stands_right_below_it() -> None:
    now, other = cube("The key is under the mat.", version=2), cube("Else.", 1)
    old = replace(
        now, version=1, content="The key is under the pot.", time=Times(NOW, superseded_at=NOW + timedelta(2))
    )
    context = packed(other, now, before=lambda each: old if each.id == now.id else None)
    assert context.text.split("\n")[1:3] == [
        "[1] Ann: The key is under the mat.",
        "  [superseded on Sunday 03 March 2024: The key is under the pot.]",
    ]
    assert [each.id for each in context.citations.values()] == [now.id, other.id]
    tight = packed(other, now, before=lambda each: old, budget=context.tokens - 5)
    assert "superseded" not in tight.text
    passage = replace(now, role=Role.RESOURCE)
    assert "superseded" not in packed(passage, before=lambda each: old).text, "edits of a document are no news"


def test_the_earlier_words_of_an_updated_memory_are_packed(tmp_path: Path) -> None:
    clock = FakeClock()
    with Memory(tmp_path / "v", embedder=FakeEmbedder(64), clock=clock) as memory:
        user = Scope(user="ann")
        key = memory.add("The key is under the pot.", user).ids[0]
        clock.advance(days=1)
        memory.update(key, user, content="The key is under the mat.")
        clock.advance(days=1)
        memory.update(key, user, tags=["home"])
        text = memory.answer_context("Where is the key?", user).text
        assert text.split("\n")[1:] == [
            "[1] The key is under the mat.",
            "  [superseded on Tuesday 02 January 2024: The key is under the pot.]",
        ]
        past = memory.answer_context("Where is the key?", user, as_of=clock() - timedelta(days=2)).text
        assert past.split("\n")[1:] == ["[1] The key is under the pot."]


def test_of_two_turns_the_older_value_says_what_took_its_place() -> None:
    old, new = cube("I live in Lyon."), cube("I just moved to Oslo!", 40)
    context = packed(old, new)
    assert "[1] Ann: I live in Lyon. [superseded: see 2]" in context.text
    assert "[2] Ann: I just moved to Oslo!" in context.text
    assert "superseded" not in packed(old).text, "the newer one is not on the page"


def test_a_link_says_that_one_supersedes_another() -> None:
    old = cube("Tea at four.")
    new = cube("Coffee from now on.", 1, links=(Link(LinkKind.SUPERSEDES, old.id),))
    assert "[1] Ann: Tea at four. [superseded: see 2]" in packed(new, old).text


def test_the_end_of_its_truth_is_told() -> None:
    ended = cube("I work at the mill.", time=Times(NOW, valid_to=NOW + timedelta(days=31)))
    assert "[1] Ann: I work at the mill. [until Monday 01 April 2024]" in packed(ended).text


def test_the_same_said_again_is_a_date() -> None:
    first = cube("I went for a run today.", 3)
    again, shouted, same_day = (
        cube("I went for a run today!", 0),
        cube("I WENT for a run today", 9),
        cube(first.text, 3),
    )
    context = packed(first, again, shouted, same_day, cube("I went for a swim today.", 4))
    assert len(context.citations) == 2
    assert "[1] Ann: I went for a run today. (also on Friday 01 March 2024, Sunday 10 March 2024)" in context.text
    assert context.hits[1].id == again.id, "the hits are all there"


def test_what_differs_in_a_number_a_denial_or_the_speaker_is_not_the_same() -> None:
    long = "We met at the old mill by the river and talked about the boat that Oskar wants to sell in autumn for 400"
    texts = [long, long.replace("400", "500"), long.replace("wants", "does not want")]
    assert len(packed(*(cube(text) for text in texts), cube(long, actor="Bob")).citations) == 4
    longer = f"{long} and that nobody would buy at such a price"
    assert len(packed(cube(longer), cube(longer.replace("autumn", "the autumn"))).citations) == 1


# --- counting with a tokenizer


def test_a_tokenizer_file_counts(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    words = {word: n for n, word in enumerate(["[UNK]", "[CLS]", "a", "boat"])}
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}},
    }
    file = tmp_path / "tokenizer.json"
    file.write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
                "padding": None,
                "added_tokens": [],
                "normalizer": None,
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": template,
                "decoder": None,
                "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
            }
        )
    )
    count = tokenizer_counter(file)
    assert (count(""), count("a boat"), count("a boat, a boat!")) == (0, 2, 6)
    assert packed(cube("a boat"), budget=9, count_tokens=count).tokens <= 9
    file.write_text("{}")
    for path in (file, tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigError, match="no tokenizer"):
            tokenizer_counter(path)
