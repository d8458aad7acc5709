"""Markdown: headings make sections, blocks make passages.

A passage is a paragraph, a list, a table or a fenced code block, verbatim. A list of over 1,000 characters
is cut by its items; a paragraph or an item that still is too long, at sentence or line ends. Code and tables
stay whole.
Source: the block structure of CommonMark 0.31 and the tables of GFM, less HTML blocks and link references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import read_text
from anamnos.ingest.readers.passages import MAX_PASSAGE_CHARS, split_long
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import label

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_ITEM = re.compile(r" {0,3}(?:[-*+]|[0-9]{1,9}[.)])(?:[ \t]|$)")
_INTERRUPTING_ITEM = re.compile(r" {0,3}(?:[-*+]|1[.)])[ \t]+\S")  # "1986. It rained" may be prose
_INDENTED = re.compile(r"(?: {2,}|\t)\s*\S")
_DELIMITER = re.compile(r":?-+:?")
_KEY = re.compile(r"[A-Za-z_][\w.-]*[ \t]*:(?:[ \t]|$)")
_DATE = re.compile(r"date[ \t]*:", re.IGNORECASE)
_MAX_UNDERLINED_CHARS = 200  # a longer line above a row of dashes is prose above a rule


@dataclass(frozen=True, slots=True)
class _Block:
    """Some lines of the file. kind: heading, fence, rule, list, table or text; level: a heading's, else 0."""

    kind: str
    text: str
    line: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class MarkdownReader:
    """Reads Markdown notes. session = "<file> > <heading> > <subheading>"; data holds headings and line.

    A heading is a passage only if nothing stands below it. Front matter is the first passage, except for its
    ``date``, which is the time of all passages.
    """

    name: str = "markdown"
    suffixes: tuple[str, ...] = (".md", ".markdown")

    def accepts(self, path: Path, data: Any) -> bool:
        return data is None

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        lines = read_text(path).split("\n")
        start = _front_matter_end(lines)
        said_at, front_matter = _front_matter(lines[1 : start - 1] if start else [])
        open_headings: list[_Block] = []
        bare: _Block | None = None  # a heading with nothing below it so far

        def passage(text: str, line: int) -> Turn:
            headings = tuple(h.text for h in open_headings if h.text)
            session = label(" > ".join((path.stem, *headings)))
            data = {"headings": headings, "line": line}
            return Turn(text, said_at=said_at, session=session, role=Role.RESOURCE, data=data)

        if front_matter:
            yield passage(front_matter, 2)
        for block in _blocks(lines, start):
            if block.kind == "heading":
                if bare and block.level <= bare.level and bare.text:
                    yield passage(bare.text, bare.line)
                bare = block
                open_headings = [*(h for h in open_headings if h.level < block.level), block]
            elif block.kind != "rule":
                bare = None
                for text in _cut(block):
                    yield passage(text, block.line)
        if bare and bare.text:
            yield passage(bare.text, bare.line)


def _front_matter_end(lines: list[str]) -> int:
    """Return the number of the line below the front matter; 0 if there is none."""
    if lines[0].rstrip() != "---" or len(lines) < 2 or not _KEY.match(lines[1]):
        return 0
    return next((i + 1 for i, line in enumerate(lines) if i and line.rstrip() in ("---", "...")), 0)


def _front_matter(lines: list[str]) -> tuple[datetime | None, str]:
    """Return the date that the front matter names, if it can be read, and the front matter's other lines."""
    dates = [i for i, line in enumerate(lines) if _DATE.match(line)]
    for i in dates[:1]:
        written = lines[i].partition(":")[2].partition(" #")[0]
        try:
            said_at = parse_time(written.strip().strip("\"'"), "the front matter")
        except InvalidInput:  # "last spring" is no error: the line stays among the words
            break
        return said_at, "\n".join(lines[:i] + lines[i + 1 :]).strip()
    return None, "\n".join(lines).strip()


def _blocks(lines: list[str], start: int) -> Iterator[_Block]:
    i = start
    while i < len(lines):
        if not lines[i].strip():
            i += 1
            continue
        kind = _kind(lines, i)
        if kind == "heading":
            text, level = _heading(lines[i])
            yield _Block(kind, text, i + 1, level)
            i += 1
            continue
        end = _ENDS[kind](lines, i)
        level = _underlined_level(lines, i, end) if kind == "text" else 0
        if level:
            yield _Block("heading", lines[i].strip(), i + 1, level)
            end += 1
        else:
            yield _Block(kind, "\n".join(lines[i:end]).strip("\n").rstrip(), i + 1)
        i = end


def _kind(lines: list[str], i: int) -> str:
    line = lines[i]
    for kind, pattern in (("heading", _HEADING), ("fence", _FENCE), ("rule", _RULE), ("list", _ITEM)):
        if pattern.match(line):
            return kind
    return "table" if "|" in line and i + 1 < len(lines) and _is_delimiter_row(lines[i + 1]) else "text"


def _is_delimiter_row(line: str) -> bool:
    """Return whether ``line`` is the second one of a table, like ``|:--|--:|``."""
    cells = line.strip().removeprefix("|").removesuffix("|").split("|")
    return "|" in line and all(_DELIMITER.fullmatch(cell.strip()) for cell in cells)


def _heading(line: str) -> tuple[str, int]:
    """Return the text of ``## Text ##`` and its level."""
    marks = _HEADING.match(line)
    text = line[marks.end() :].strip() if marks else line
    without = text.rstrip("#")
    if not without or without[-1] in " \t":
        text = without.rstrip()
    return text, len(marks[1]) if marks else 0


def _underlined_level(lines: list[str], start: int, end: int) -> int:
    """Return 1 or 2 if the text is one line with === or --- below it, else 0."""
    if end - start != 1 or end >= len(lines) or len(lines[start]) > _MAX_UNDERLINED_CHARS:
        return 0
    if not _UNDERLINE.match(lines[end]):
        return 0
    return 1 if "=" in lines[end] else 2


def _fence_end(lines: list[str], start: int) -> int:
    fence = _FENCE.match(lines[start])
    mark = fence[1] if fence else "```"
    for i in range(start + 1, len(lines)):
        line = lines[i].strip()
        if len(line) >= len(mark) and not line.strip(mark[0]):
            return i + 1
    return len(lines)


def _list_end(lines: list[str], start: int) -> int:
    """A list goes on over items, indented lines, text right below one, and blank lines between these."""
    i = start + 1
    while i < len(lines):
        below = i
        while below < len(lines) and not lines[below].strip():
            below += 1
        if below == len(lines):
            return i
        kind = _kind(lines, below)
        goes_on = kind == "list" or _INDENTED.match(lines[below]) or (kind == "text" and below == i)
        if not goes_on:
            return i
        i = below + 1
    return i


def _table_end(lines: list[str], start: int) -> int:
    return next((i for i in range(start, len(lines)) if "|" not in lines[i]), len(lines))


def _text_end(lines: list[str], start: int) -> int:
    """A paragraph ends at a blank line, at the underline of a heading, or where another block starts."""
    for i in range(start + 1, len(lines)):
        kind = _kind(lines, i)
        other = _INTERRUPTING_ITEM.match(lines[i]) if kind == "list" else kind != "text"
        if not lines[i].strip() or other or _underlined_level(lines, start, i):
            return i
    return len(lines)


_ENDS: dict[str, Callable[[list[str], int], int]] = {
    "fence": _fence_end,
    "rule": lambda lines, start: start + 1,
    "list": _list_end,
    "table": _table_end,
    "text": _text_end,
}


def _cut(block: _Block) -> list[str]:
    """Return the passages of a block."""
    if block.kind in ("fence", "table") or len(block.text) <= MAX_PASSAGE_CHARS:
        return [block.text]
    if block.kind == "text":
        return split_long(block.text)
    items: list[list[str]] = []
    indent = re.match(r" *", block.text)
    top = indent.end() if indent else 0
    for line in block.text.split("\n"):
        if not items or (_ITEM.match(line) and len(line) - len(line.lstrip(" ")) <= top):
            items.append([])
        items[-1].append(line)
    return [piece for item in items for piece in split_long("\n".join(item), at_lines=True)]
