"""What happens to files that cannot be read, and how a reader is found."""

import codecs
import os
from pathlib import Path

import pytest

from anamnos.errors import AnamnosError, InvalidInput, LimitExceeded
from anamnos.ingest.readers import find_reader, read_file
from anamnos.ingest.readers.turns import label


def written(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def failure(path: Path, **options: object) -> AnamnosError:
    with pytest.raises(AnamnosError) as caught:
        read_file(path, **options)  # type: ignore[arg-type]
    assert str(path) in caught.value.message or path.name in caught.value.message
    return caught.value


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "There is no file" in failure(tmp_path / "nope.txt").message
    assert "is a folder" in failure(tmp_path).message


def test_a_path_that_no_system_has() -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_file("a\0b.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    assert "not a regular file" in failure(path).message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = written(tmp_path, "a.txt", "x")
    path.chmod(0)
    assert "cannot be read" in failure(path).message


def test_too_large(tmp_path: Path) -> None:
    error = failure(written(tmp_path, "a.txt", "x" * 11), max_bytes=10)
    assert isinstance(error, LimitExceeded)
    assert "11 bytes; at most 10" in error.message


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jsonl", "a.md"])
def test_empty_and_blank_files(tmp_path: Path, name: str) -> None:
    assert "is empty" in failure(written(tmp_path, name, "")).message
    failure(written(tmp_path, name, " \n\n\t \n"))


def test_blank_text_holds_no_words(tmp_path: Path) -> None:
    assert "no words" in failure(written(tmp_path, "a.txt", " \n\n")).message
    assert "no words" in failure(written(tmp_path, "a.json", '[{"role": "user", "content": " "}]')).message


@pytest.mark.parametrize(
    ("head", "offset"), [(b"\x89PNG\r\n\x1a\n\0\0", 8), (b"PK\x03\x04\x14\0", 5), (b"%PDF-1.7\n\0", 9)]
)
def test_binary_files_are_not_text(tmp_path: Path, head: bytes, offset: int) -> None:
    error = failure(written(tmp_path, "a.txt", head))
    assert f"not text: byte {offset} is zero" in error.message
    assert "must be turned into text" in error.hint


def test_broken_utf8_names_the_byte(tmp_path: Path) -> None:
    assert "byte 4 is 0xe9" in failure(written(tmp_path, "a.txt", b"abcd\xe9!")).message
    marked = codecs.BOM_UTF8 + b"abcd\xe9!"
    assert "byte 7 is 0xe9" in failure(written(tmp_path, "b.txt", marked)).message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_with_a_mark(tmp_path: Path, encoding: str) -> None:
    assert read_file(written(tmp_path, "a.txt", "Olá, 世界".encode(encoding)))[0].content == "Olá, 世界"
    message = '[{"role": "user", "content": "Olá"}]'.encode(encoding)
    assert read_file(written(tmp_path, "a.json", message))[0].content == "Olá"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_half_a_character_of_utf16(tmp_path: Path, mark: bytes) -> None:
    assert "not valid UTF-16" in failure(written(tmp_path, "a.txt", mark + b"a\0b")).message


def test_utf32_is_not_text(tmp_path: Path) -> None:
    assert "not text" in failure(written(tmp_path, "a.txt", "ab".encode("utf-32"))).message


def test_control_characters_are_kept(tmp_path: Path) -> None:
    assert read_file(written(tmp_path, "a.txt", "a\x07\tb"))[0].content == "a\x07\tb"


def test_line_ends_of_all_systems(tmp_path: Path) -> None:
    turns = read_file(written(tmp_path, "a.txt", "one\r\ntwo\r\n\r\nthree\r\rfour"))
    assert [turn.content for turn in turns] == ["one\ntwo", "three", "four"]


def test_json_that_is_not_json(tmp_path: Path) -> None:
    error = failure(written(tmp_path, "a.json", '[\n {"role": }\n]'))
    assert "line 2, column 11" in error.message
    error = failure(written(tmp_path, "a.json", '{"role": "user"}\n{"role": "user"}\n'))
    assert ".jsonl" in error.hint
    assert "no number NaN" in failure(written(tmp_path, "a.json", "[NaN]")).message
    assert "nested too deeply" in failure(written(tmp_path, "a.json", "[" * 200_000)).message
    failure(written(tmp_path, "a.json", "1" * 5_000))


def test_a_bad_line_of_json_lines(tmp_path: Path) -> None:
    good = '{"role": "user", "content": "hi"}\n'
    assert "line 4, column 2" in failure(written(tmp_path, "a.jsonl", good + "\n" + good + "{oops}\n")).message
    assert "line 1, column 1" in failure(written(tmp_path, "a.jsonl", "oops\n" + good)).message


def test_json_that_no_reader_knows(tmp_path: Path) -> None:
    error = failure(written(tmp_path, "a.json", '{"prices": [1, 2]}'))
    assert "no reader knows" in error.message
    assert "locomo, realtalk, longmemeval, chatgpt, claude, mem0, zep, langgraph, messages" in error.hint


def test_unknown_reader_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no reader 'word'") as caught:
        read_file(written(tmp_path, "a.txt", "x"), reader="word")
    assert "messages" in caught.value.hint
    path = written(tmp_path, "a.rst", "x")
    assert "reader='text'" in failure(path).hint
    assert read_file(path, reader="text")[0].content == "x"


def test_a_named_reader_overrules_the_suffix(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", '[{"role": "user", "content": "hi"}]')
    assert read_file(path, reader="text")[0].content.startswith("[{")
    path = written(tmp_path, "export", '[{"role": "user", "content": "hi"}]')
    assert read_file(path, reader="messages")[0].content == "hi"
    assert find_reader(path)[0].name == "text"


def test_suffixes_in_capitals(tmp_path: Path) -> None:
    assert find_reader(written(tmp_path, "NOTES.MD", "x"))[0].name == "markdown"


def test_labels_are_short_lines() -> None:
    assert label("a\x00b\n\u200ec") == "a b c"
    assert label(" \n") == "untitled"
    assert label("bad\udcff") == "bad?"
    assert len(label("x" * 1_000)) == 512
    assert label("x" * 1_000).endswith("x…")
