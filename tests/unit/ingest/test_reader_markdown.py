import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import Role
from anamnos.ingest.readers import read_file
from anamnos.ingest.readers.markdown import MarkdownReader, _blocks, _cut


def read(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "notes.md"
    path.write_text(text, encoding="utf-8")
    return read_file(path)


def contents(tmp_path: Path, text: str) -> list[str]:
    return [turn.content for turn in read(tmp_path, text)]


def test_headings_make_sections(tmp_path: Path) -> None:
    turns = read(tmp_path, "Intro.\n\n# Travel #\n## Lisbon\nSun.\n\nSea.\n## Porto\nWine.\n# C#\nCode.\n")
    assert [(t.session, t.content) for t in turns] == [
        ("notes", "Intro."),
        ("notes > Travel > Lisbon", "Sun."),
        ("notes > Travel > Lisbon", "Sea."),
        ("notes > Travel > Porto", "Wine."),
        ("notes > C#", "Code."),
    ]
    assert turns[2].data == {"headings": ("Travel", "Lisbon"), "line": 7}
    assert {t.role for t in turns} == {Role.RESOURCE}


def test_a_heading_with_nothing_below_is_a_passage(tmp_path: Path) -> None:
    turns = read(tmp_path, "# Ideas\n## Fly to Mars\n## Rest\n---\n# Done\nx\n### Deep")
    assert [(t.session, t.content) for t in turns] == [
        ("notes > Ideas > Fly to Mars", "Fly to Mars"),
        ("notes > Ideas > Rest", "Rest"),
        ("notes > Done", "x"),
        ("notes > Done > Deep", "Deep"),
    ]


def test_underlined_headings(tmp_path: Path) -> None:
    turns = read(tmp_path, "Travel\n======\nLisbon\n------\nSun.\n\ntwo lines\nof prose\n---\nmore\n")
    assert [(t.session, t.content) for t in turns] == [
        ("notes > Travel > Lisbon", "Sun."),
        ("notes > Travel > Lisbon", "two lines\nof prose"),
        ("notes > Travel > Lisbon", "more"),
    ]


def test_blocks_stay_whole(tmp_path: Path) -> None:
    code = "```python\n# not a heading\n\nx = 1\n```"
    table = "| a | b |\n|---|:-:|\n| 1 | 2 |"
    nested = "- one\n  - inner\n\n  more of one\n- two\nlazy\n\n- three"
    quote = "> said\n> she"
    found = contents(tmp_path, f"Text:\n{code}\n{table}\nafter\n\n{nested}\n\nEnd.\n\n{quote}\n#tag is text\n")
    assert found == ["Text:", code, table, "after", nested, "End.", quote + "\n#tag is text"]


def test_fences_close_only_with_their_own_mark(tmp_path: Path) -> None:
    code = "~~~~\n```\n~~~\n\n# x\n~~~~"
    assert contents(tmp_path, f"{code}\nafter") == [code, "after"]
    assert contents(tmp_path, "```\nnever\n\nclosed") == ["```\nnever\n\nclosed"]
    assert contents(tmp_path, "```inline``` code") == ["```inline``` code"]


def test_a_year_at_the_start_of_a_line_is_prose(tmp_path: Path) -> None:
    assert contents(tmp_path, "It was\n1986. It rained.\n- item") == ["It was\n1986. It rained.", "- item"]


def test_a_long_list_is_cut_by_its_items(tmp_path: Path) -> None:
    items = [f"{n}. " + "words " * 60 + f"\n   - inner {n}" for n in range(1, 5)]
    assert contents(tmp_path, "\n".join(items)) == [item.strip() for item in items]
    long_item = "- " + "\n  - ".join(["head"] + ["y" * 400] * 3)
    found = contents(tmp_path, f"{long_item}\n- short")
    assert found == ["- head\n  - " + "y" * 400 + "\n  - " + "y" * 400, "- " + "y" * 400, "- short"]


def test_long_code_and_tables_stay_whole_and_long_paragraphs_do_not(tmp_path: Path) -> None:
    code = "```\n" + "x = 1\n" * 400 + "```"
    table = "a | b\n--|--\n" + "\n".join(["1 | 2"] * 400)
    assert contents(tmp_path, f"{code}\n\n{table}") == [code, table]
    assert [len(c) for c in contents(tmp_path, "It rains. " * 150)] == [999, 499]


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-05-01", (2024, 5, 1)),
        ('"2024-05-01T18:20:00Z"', (2024, 5, 1, 18, 20)),
        ("2024-05-01 18:20:00 +0200 # start", (2024, 5, 1, 16, 20)),
    ],
)
def test_the_date_of_the_front_matter(tmp_path: Path, date: str, expected: tuple[int, ...]) -> None:
    turns = read(tmp_path, f"---\ntitle: Trip\ndate: {date}\ntags: [sea]\n---\n# A\nSun.\n")
    assert [(t.session, t.content) for t in turns] == [
        ("notes", "title: Trip\ntags: [sea]"),
        ("notes > A", "Sun."),
    ]
    assert {t.said_at for t in turns} == {datetime(*expected, tzinfo=UTC)}  # type: ignore[misc,arg-type]
    assert turns[1].data["line"] == 7


def test_a_date_in_words_is_kept_as_words(tmp_path: Path) -> None:
    turns = read(tmp_path, "---\ndate: last spring\n...\nSun.\n")
    assert [(t.content, t.said_at) for t in turns] == [("date: last spring", None), ("Sun.", None)]


@pytest.mark.parametrize("text", ["---\nSun.\n---\nSea.", "---\ntitle: never closed\nSun.", "---"])
def test_what_is_no_front_matter(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text(text, encoding="utf-8")
    words = " ".join(turn.content + " " + (turn.session or "") for turn in MarkdownReader().read(path, None))
    for word in re.findall(r"\w+", text):
        assert word in words


def test_a_very_long_heading_is_kept_whole_in_the_data(tmp_path: Path) -> None:
    heading = "word " * 200 + "end"
    (turn,) = read(tmp_path, f"# {heading}\n\nSun.\n")
    assert len(turn.session) == 512
    assert turn.data["headings"] == (heading,)


line = st.sampled_from(
    [
        "",
        "words here",
        "# Head",
        "## Sub",
        "- item",
        "  - inner",
        "1. one",
        "7) seven",
        "```",
        "~~~",
        "a | b",
        "--|--",
        "---",
        "===",
        "> quote",
        "    code",
        "\ttab",
        "***",
        "#",
        "text " * 120,
        "x" * 1_200,
        "- " + "é. " * 500,
    ]
)


@given(st.lists(line, max_size=30))
def test_no_word_of_any_arrangement_is_lost(lines: list[str]) -> None:
    blocks = list(_blocks(lines, 0))
    kept = "".join("".join(_cut(b)) for b in blocks if b.kind != "rule")
    assert re.findall(r"\w", kept) == re.findall(r"\w", "".join(lines))
    for block in blocks:
        if block.kind in ("text", "list"):
            assert all(0 < len(piece) <= 1_000 for piece in _cut(block))
    assert [b.line for b in blocks] == sorted({b.line for b in blocks})
