from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import Role
from anamnos.ingest.readers import read_file
from anamnos.ingest.readers.passages import MAX_PASSAGE_CHARS, paragraphs, split_long

word = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=30)
prose = st.lists(
    st.tuples(word, st.sampled_from([" ", ". ", "! ", "\n", "\n\n", "\n \n", "。", ".\u00a0"])), max_size=400
)


def joined(parts: list[tuple[str, str]]) -> str:
    return "".join(a + b for a, b in parts)


@given(prose)
def test_no_word_is_lost_and_no_passage_is_too_long(parts: list[tuple[str, str]]) -> None:
    text = joined(parts)
    pieces = [piece for _, paragraph in paragraphs(text) for piece in split_long(paragraph)]
    assert all(len(piece) <= MAX_PASSAGE_CHARS and piece.strip() == piece != "" for piece in pieces)
    assert " ".join("".join(pieces).split()).replace(" ", "") == "".join(text.split())
    if "。" not in text:  # which may be cut at without a space
        assert " ".join(pieces).split() == text.split()


@given(prose, st.booleans())
def test_splitting_does_not_depend_on_paragraphs(parts: list[tuple[str, str]], at_lines: bool) -> None:
    text = joined(parts)
    pieces = split_long(text, at_lines=at_lines)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(0 < len(piece) <= MAX_PASSAGE_CHARS for piece in pieces)


@given(st.text(max_size=3_000))
def test_any_text_at_all(text: str) -> None:
    assert "".join("".join(split_long(text)).split()) == "".join(text.split())


def test_a_cut_is_at_the_last_sentence_end_that_fits() -> None:
    first, second, third = "a" * 500 + ".", "b" * 400 + '?"', "c" * 300 + "."
    assert split_long(f"{first} {second} {third}") == [f"{first} {second}", third]


def test_a_piece_may_fill_the_limit_exactly() -> None:
    full = "a" * 999 + "."
    assert split_long(full) == [full]
    assert split_long(full + " " + full) == [full, full]
    assert split_long("b" + full + " x") == ["b" + full[:-1], ". x"]
    words = "a" * 1_000
    assert split_long(words + " b") == [words, "b"]
    assert split_long("。" * 1_001) == ["。" * 1_000, "。"]


def test_a_long_sentence_is_cut_at_a_space_and_a_long_word_anywhere() -> None:
    assert split_long("a " * 600) == [("a " * 500).strip(), ("a " * 100).strip()]
    assert split_long("a" * 2_500) == ["a" * 1_000, "a" * 1_000, "a" * 500]


def test_lines_come_first_where_asked() -> None:
    lines = "\n".join(["- one. two" + "x" * 390] * 4)
    assert all(piece.startswith("- one") for piece in split_long(lines, at_lines=True))
    assert not all(piece.startswith("- one") for piece in split_long(lines))


def test_a_million_words_in_one_paragraph_are_cut_in_a_moment() -> None:
    assert len(split_long("word " * 1_000_000)) == 5_000


def test_paragraphs_know_their_lines() -> None:
    assert list(paragraphs("\n\n one\ntwo\n \n\nthree\n")) == [(3, "one\ntwo"), (7, "three")]
    assert list(paragraphs("")) == []


def test_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("Monday.\nRain.\n\n\nTuesday. " + "Sun. " * 300, encoding="utf-8")
    turns = read_file(path)
    assert [turn.data["line"] for turn in turns] == [1, 5, 5]
    assert turns[0].content == "Monday.\nRain."
    assert {(turn.session, turn.role, turn.said_at, turn.message_id) for turn in turns} == {
        ("diary", Role.RESOURCE, None, None)
    }


def test_files_without_suffix_and_logs(tmp_path: Path) -> None:
    for name in ("README", "server.log", ".profile"):
        (tmp_path / name).write_text("words", encoding="utf-8")
        assert read_file(tmp_path / name)[0].content == "words"
