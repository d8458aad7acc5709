from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file


def read(tmp_path: Path, text: str, **options: Any) -> Any:
    path = tmp_path / "chat.txt"
    path.write_text(text, encoding="utf-8")
    return read_file(path, **options)


def test_brackets(tmp_path: Path) -> None:
    first, second = read(
        tmp_path,
        "[2024-05-01 18:20] Ann: Hello: you!\nsecond line\n\nthird\n\n[2024-05-02 09:05:07] Ben Q.: Hi\n",
    )
    assert (first.content, first.speaker, first.session) == (
        "Hello: you!\nsecond line\n\nthird",
        "Ann",
        "2024-05-01",
    )
    assert first.said_at == datetime(2024, 5, 1, 18, 20, tzinfo=UTC)
    assert (second.content, second.speaker, second.session) == ("Hi", "Ben Q.", "2024-05-02")
    assert second.said_at == datetime(2024, 5, 2, 9, 5, 7, tzinfo=UTC)
    assert second.message_id is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("01/05/2024, 18:20 - Ann: x", (2024, 5, 1, 18, 20)),
        ("1.5.24, 18:20 - Ann: x", (2024, 5, 1, 18, 20)),
        ("[01/05/2024, 18:20:33] Ann: x", (2024, 5, 1, 18, 20, 33)),
        ("\u200e[01/05/2024, 6:20:33\u202fPM] Ann: \u200ex", (2024, 5, 1, 18, 20, 33)),
        ("01/05/2024, 12:20 a.m. - Ann: x", (2024, 5, 1, 0, 20)),
        ("01/05/2024, 12:20 pm - Ann: x", (2024, 5, 1, 12, 20)),
        ("2024/05/01 18:20 - Ann: x", (2024, 5, 1, 18, 20)),
        ("[2024-05-01T18:20:33.250Z] Ann: x", (2024, 5, 1, 18, 20, 33)),
    ],
)
def test_forms_of_the_time(tmp_path: Path, line: str, expected: tuple[int, ...]) -> None:
    (turn,) = read(tmp_path, line)
    assert turn.said_at == datetime(*expected, tzinfo=UTC)  # type: ignore[misc,arg-type]
    assert (turn.speaker, turn.content.strip("\u200e")) == ("Ann", "x")


@pytest.mark.parametrize(
    ("other", "month"),
    [("02/05/2024", 5), ("13/05/2024", 5), ("01/13/2024", 1)],
    ids=["unclear: day first", "day first", "month first"],
)
def test_the_whole_file_decides_about_day_and_month(tmp_path: Path, other: str, month: int) -> None:
    turns = read(tmp_path, f"01/05/2024, 18:20 - Ann: x\n{other}, 18:20 - Ben: y\n")
    assert turns[0].said_at.month == month


def test_a_date_that_fits_neither_way_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"line 2 of .*chat\.txt does not exist: month must be in 1\.\.12"):
        read(tmp_path, "13/05/2024, 18:20 - Ann: x\n01/13/2024, 18:20 - Ben: y\n")
    with pytest.raises(InvalidInput, match="line 1 of"):
        read(tmp_path, "[2024-02-30 18:20] Ann: x\n")


def test_notices_have_no_speaker_and_empty_messages_are_left_out(tmp_path: Path) -> None:
    turns = read(
        tmp_path,
        "01/05/2024, 18:20 - Messages are encrypted\n01/05/2024, 18:21 - Ann: \n01/05/2024, 18:22 - Ann:\nlate\n",
    )
    assert [(t.speaker, t.content) for t in turns] == [(None, "Messages are encrypted"), ("Ann", "late")]


def test_words_before_the_first_time_are_kept_if_the_reader_is_named(tmp_path: Path) -> None:
    text = "Our chat\n[2024-05-01 18:20] Ann: x"
    first, _ = read(tmp_path, text, reader="chatlog")
    assert (first.content, first.speaker, first.said_at, first.session) == ("Our chat", None, None, None)
    assert find_reader(tmp_path / "chat.txt")[0].name == "text"


@pytest.mark.parametrize(
    "text",
    [
        "Just words.",
        "2024-05-01 was a day: sunny",
        "[2024-05-01 18:20] ERROR: disk full\n[2024-05-01 18:21] INFO: disk empty\n",
        "[2024-05-01 18:20] started\n",
        "\n\n",
    ],
)
def test_what_is_no_chat(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.log"
    path.write_text(text, encoding="utf-8")
    assert find_reader(path)[0].name == "text"


def test_a_file_without_times_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no line that starts with a time"):
        read(tmp_path, "Just words.", reader="chatlog")
