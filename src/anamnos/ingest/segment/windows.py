"""Messages in windows of at most so many tokens, the next one beginning with the end of the one before.

Source: the reader of MemOS, arXiv:2507.03724: 1,024 tokens a window, of which at most 200 are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

WINDOW_TOKENS = 1_024
OVERLAP_TOKENS = 200

Part = tuple[int, str]
"""The place of a message, and its text or, if that fills more than a window, a part of it."""


def windows(
    texts: Sequence[str],
    count_tokens: Callable[[str], int],
    *,
    size: int = WINDOW_TOKENS,
    overlap: int = OVERLAP_TOKENS,
) -> list[list[Part]]:
    """Return the windows over messages, in order; every word of every message is in one of them.

    count_tokens  of a text that is longer, never fewer
    size          most tokens of a window, counted message by message
    overlap       most tokens of whole messages that a window repeats from the one before
    """
    parts = [(place, part) for place, text in enumerate(texts) for part in _cut(text, count_tokens, size)]
    found: list[list[Part]] = []
    here: list[Part] = []
    for part in parts:
        if here and _tokens([*here, part], count_tokens) > size:
            found.append(here)
            here = _tail(here, count_tokens, min(overlap, size - count_tokens(part[1])))
        here = [*here, part]
    return [*found, here] if here else found


def _tail(parts: Sequence[Part], count_tokens: Callable[[str], int], room: int) -> list[Part]:
    """Return the last parts, but not all of them, that fit into so many tokens."""
    last = range(1, len(parts))
    fitting = list(takewhile(lambda count: _tokens(parts[-count:], count_tokens) <= room, last))
    return list(parts[-fitting[-1] :]) if fitting else []


def _tokens(parts: Sequence[Part], count_tokens: Callable[[str], int]) -> int:
    return sum(count_tokens(text) for _, text in parts)


def _cut(text: str, count_tokens: Callable[[str], int], size: int) -> Iterator[str]:
    """Yield a text in parts of at most ``size`` tokens, cut between words where there are such."""
    while count_tokens(text) > size and len(text) > 1:
        low, high = 1, len(text) - 1  # the longest beginning that fits, by bisection
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if count_tokens(text[:middle]) <= size else (low, middle - 1)
        space = text.rfind(" ", 1, low + 1)
        end = space if space > 0 else low
        yield text[:end]
        text = text[end:].removeprefix(" ")
    if text:
        yield text
