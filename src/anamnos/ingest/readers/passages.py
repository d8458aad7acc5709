"""Cutting documents into passages that are short enough to find and whole enough to read."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_PASSAGE_CHARS = 1_000

_BLANK_LINE = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(
    r"""[.!?\u2026] ["'\u201d\u2019)\]]* (?=\s)  # before a space
    | [\u3002\uff01\uff1f] ["\u201d\u2019\u300d\u300f\uff09]*  # Chinese and Japanese need no space""",
    re.VERBOSE,
)
_LINE_END = re.compile(r"\n")
_SPACE = re.compile(r"\s")


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of its first line, paragraph) for each piece of ``text`` between blank lines."""
    line, position = 1, 0
    for end, after in [*(m.span() for m in _BLANK_LINE.finditer(text)), (len(text), len(text))]:
        piece = text[position:end]
        if words := piece.strip():
            lead = len(piece) - len(piece.lstrip())
            yield line + piece.count("\n", 0, lead), words
        line += text.count("\n", position, after)
        position = after


def split_long(text: str, *, at_lines: bool = False) -> list[str]:
    """Return ``text`` in pieces of at most 1,000 characters that together hold all its words in order.

    A piece ends at the last sentence end that fits, else at the last space; only a word that is longer than a
    piece is cut. With ``at_lines`` it ends at the last line end that fits, if there is one.

    >>> [len(piece) for piece in split_long("x" * 600 + ". " + "y" * 600)]
    [601, 600]
    """
    boundaries = (_LINE_END, _SENTENCE_END, _SPACE) if at_lines else (_SENTENCE_END, _SPACE)
    text = text.strip()
    start, pieces = 0, []
    while len(text) - start > MAX_PASSAGE_CHARS:
        cut = next((c for b in boundaries if (c := _last(b, text, start))), start + MAX_PASSAGE_CHARS)
        pieces.append(text[start:cut].strip())
        start = cut
        while text[start].isspace():
            start += 1
    return [*pieces, text[start:]] if text else []


def _last(boundary: re.Pattern[str], text: str, start: int) -> int:
    """Return where the last boundary within 1,000 characters from ``start`` ends; 0 if there is none."""
    cut, limit = 0, start + MAX_PASSAGE_CHARS
    for match in boundary.finditer(text, start, limit + 1):
        end = match.start() if match.group().isspace() else match.end()
        if end <= limit:
            cut = end
    return cut
