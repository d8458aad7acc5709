"""From a file's bytes to text or JSON; every error names the file and the place in it."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from anamnos.errors import InvalidInput, LimitExceeded

MAX_BYTES = 512 * 2**20
JSONL_SUFFIXES = (".jsonl", ".ndjson")

_NOT_TEXT = "An image, an archive or an office document must be turned into text, Markdown or JSON first."
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def check_file(path: Path, max_bytes: int) -> None:
    """Raise InvalidInput unless ``path`` is a file with something in it, LimitExceeded if it is too large."""
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder.", hint="Name one file in it.")
        size = path.stat().st_size
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.", hint="Check the path.") from exc
    except (OSError, ValueError) as exc:
        _unreadable(path, exc)
    if not path.is_file():
        raise InvalidInput(f"{path} is not a regular file.", hint="Save its content to a file first.")
    if size == 0:
        raise InvalidInput(f"{path} is empty.")
    if size > max_bytes:
        raise LimitExceeded(
            f"{path} has {size:,} bytes; at most {max_bytes:,} are read.",
            hint="Split the file, or raise max_bytes.",
        )


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark; all line ends become ``\\n``.

    Raises: InvalidInput with the byte offset if it is neither, or if it is not text at all.
    """
    try:
        raw = path.read_bytes()
    except OSError as exc:
        _unreadable(path, exc)
    bom, encoding = _encoding(raw)
    if encoding == "utf-8" and (nul := raw.find(b"\0")) >= 0:
        raise InvalidInput(f"{path} is not text: byte {nul:,} is zero.", hint=_NOT_TEXT)
    try:
        text = raw[len(bom) :].decode(encoding)
    except UnicodeDecodeError as exc:
        offset = len(bom) + exc.start
        raise InvalidInput(
            f"{path} is not valid {encoding.upper()}: byte {offset:,} is 0x{raw[offset]:02x}.",
            hint=f"Convert the file to UTF-8, for instance with iconv. {_NOT_TEXT}",
        ) from exc
    if "\0" in text:
        raise InvalidInput(f"{path} is not text: character {text.index(chr(0)):,} is zero.", hint=_NOT_TEXT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_head(path: Path, max_bytes: int = 65_536) -> str:
    """Return the beginning of the file's text, good enough to guess its format; nothing is checked."""
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes)
    except OSError as exc:
        _unreadable(path, exc)
    bom, encoding = _encoding(raw)
    return raw[len(bom) :].decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises: InvalidInput with line and column if it is not JSON."""
    return _parse(read_text(path), str(path))


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, value) for each line of a JSON Lines file that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, _parse(line, str(path), line=number)


def _parse(text: str, path: str, line: int | None = None) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        place = f"line {line or exc.lineno}, column {exc.colno}"
        hint = "Is a comma or a quote missing there?"
        if line is None and exc.msg == "Extra data":
            hint = "If each line is a JSON value of its own, give the file the suffix .jsonl."
        raise InvalidInput(f"{path} is not JSON at {place}: {exc.msg}.", hint=hint) from exc
    except RecursionError as exc:
        raise InvalidInput(f"{path} is JSON that is nested too deeply to be read.") from exc
    except ValueError as exc:  # NaN and the like, or an integer with thousands of digits
        place = f" in line {line}" if line else ""
        raise InvalidInput(f"{path} is not JSON{place}: {exc}.") from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no number {name}")


def _encoding(raw: bytes) -> tuple[bytes, str]:
    """Return the byte order mark and the encoding that it stands for; no mark means UTF-8."""
    return next(((bom, name) for bom, name in _BOMS if raw.startswith(bom)), (b"", "utf-8"))


def _unreadable(path: Path, exc: OSError | ValueError) -> NoReturn:
    reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    hint = "Check the path and its permissions."
    raise InvalidInput(f"{str(path)!r} cannot be read: {reason}.", hint=hint) from exc
