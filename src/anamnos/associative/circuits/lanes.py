"""Asymmetric numeral systems (rANS) on many states at once, the lanes; their words go onto one stack.

The coder works last in, first out: what is pushed last is popped first. A lane holds a number in [2^32, 2^48); pushing
a symbol of frequency f out of 2^24 makes it 2^24 / f times as large, and the low 16 bits go onto the stack whenever it
would not fit. A new lane starts with a state that is popped off the others, as if it had been a symbol of the usual
chance of states, so that having many lanes costs next to nothing.
Source: arXiv:1311.2540; words of many states on one stack: arXiv:1402.3392.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import Corrupt

TOTAL_BITS = 24
"""All frequencies of a symbol's table sum to two to this power."""
LEAST = 1 << 8
"""A symbol's frequency is not below this."""
MOST_LANES = 1_024

_ONE = np.uint64(1)
_LOW_BITS = np.uint64(32)
_LOW = np.uint64(1 << 32)
_ROOM = np.uint64(48 - TOTAL_BITS)
_SCALE = np.uint64(TOTAL_BITS)
_MASK = np.uint64((1 << TOTAL_BITS) - 1)
_WORD = np.uint64(16)
_WORD_MASK = np.uint64(0xFFFF)
_LENGTH = np.uint64(TOTAL_BITS - 4)  # a length of 1 to 16 is one of sixteen symbols
_STATE_BYTES = 6

Numbers = NDArray[np.uint64]


class Stack:
    """Words of 16 bits, last in, first out."""

    def __init__(self, words: NDArray[np.uint16] | None = None) -> None:
        self._room = np.zeros(1 << 12, dtype=np.uint16) if words is None else words
        self._count = 0 if words is None else len(words)

    def __len__(self) -> int:
        return self._count

    def push(self, words: Numbers) -> None:
        end = self._count + len(words)
        if end > len(self._room):
            self._room = np.concatenate([self._room, np.zeros(max(end, len(self._room)), dtype=np.uint16)])
        self._room[self._count : end] = words
        self._count = end

    def pop(self, count: int) -> Numbers:
        """Return the last ``count`` words, in the order of pushing. Raises: Corrupt if there are fewer."""
        if count > self._count:
            raise Corrupt("The coded rows end too early.")
        self._count -= count
        return self._room[self._count : self._count + count].astype(np.uint64)

    def to_bytes(self) -> bytes:
        return self._room[: self._count].astype("<u2").tobytes()


class Lanes:
    """The states. ``push`` and ``pop`` use the first so many of them as there are symbols."""

    def __init__(self, states: Numbers, stack: Stack) -> None:
        self.states = states
        self.stack = stack

    @classmethod
    def empty(cls, count: int) -> Lanes:
        """Return new lanes. A single one starts at 1 and costs nothing; of several, each costs 32 bits."""
        return cls(_first_states(count), Stack())

    def push(self, starts: Numbers, frequencies: Numbers) -> None:
        """Put one symbol onto each of the first lanes: its frequency and the sum of those before it."""
        count = len(starts)
        states = self.states[:count]
        full = (states >> _ROOM) >= frequencies
        self.stack.push(states[full] & _WORD_MASK)
        states = np.where(full, states >> _WORD, states)
        whole = states // frequencies
        self.states[:count] = (whole << _SCALE) + (states - whole * frequencies) + starts

    def slots(self, count: int) -> Numbers:
        """Return where in [0, 2^24) each lane stands: within the interval of the symbol that is on top of it."""
        return self.states[:count] & _MASK

    def pop(self, slots: Numbers, starts: Numbers, frequencies: Numbers) -> None:
        """Take the symbols of these intervals off the lanes. Raises: Corrupt where words are missing."""
        count = len(starts)
        states = frequencies * (self.states[:count] >> _SCALE) + slots - starts
        low = np.flatnonzero(states < _LOW)
        if len(self.stack) or len(self.states) > 1:  # a single lane that started at 1 may be low with nothing left
            states[low] = (states[low] << _WORD) | self.stack.pop(len(low))
        self.states[:count] = states

    def can_grow(self, count: int) -> int:
        """Return to how many lanes, at most ``count``, the words on the stack suffice."""
        return max(len(self.states), min(count, len(self.states) + len(self.stack) // 4))

    def grow(self, count: int) -> None:
        """Make it ``count`` lanes: new ones take their states off the old ones and the stack. Raises: Corrupt."""
        for kept, total in _doublings(len(self.states), count):
            new = total - kept
            slots = self.slots(new)
            bits = (slots >> _LENGTH) + _ONE
            self.pop(slots, (bits - _ONE) << _LENGTH, np.full(new, _ONE << _LENGTH))
            slots = self.slots(new)
            width = np.uint64(TOTAL_BITS + 1) - bits
            low = slots >> width
            self.pop(slots, low << width, _ONE << width)
            words = self.stack.pop(2 * new)
            high = ((_ONE << (bits - _ONE)) + low) << _LOW_BITS
            self.states = np.concatenate([self.states, high | (words[:new] << _WORD) | words[new:]])

    def shrink(self, count: int) -> None:
        """Undo ``grow``: put the lanes beyond ``count`` onto the others and the stack. Raises: Corrupt."""
        for kept, _ in reversed(_doublings(count, len(self.states))):
            gone, self.states = self.states[kept:], self.states[:kept]
            high = gone >> _LOW_BITS
            if not high.all():
                raise Corrupt("The coded rows are not what was written.")
            self.stack.push(np.concatenate([(gone >> _WORD) & _WORD_MASK, gone & _WORD_MASK]))
            bits = np.frexp(high.astype(np.float64))[1].astype(np.uint64)  # 1 to 16, about equally often
            width = np.uint64(TOTAL_BITS + 1) - bits
            self.push((high - (_ONE << (bits - _ONE))) << width, _ONE << width)
            self.push((bits - _ONE) << _LENGTH, np.full(len(gone), _ONE << _LENGTH))

    def is_empty(self) -> bool:
        """Return whether all that was pushed has been popped."""
        return not len(self.stack) and bool((self.states == _first_states(len(self.states))).all())

    def to_bytes(self) -> bytes:
        """Return the words and the state of a single lane, without zeros at its end."""
        return self.stack.to_bytes() + int(self.states[0]).to_bytes(_STATE_BYTES, "little").rstrip(b"\0")

    @classmethod
    def from_bytes(cls, data: bytes, words: int) -> Lanes:
        """Return what ``to_bytes`` wrote, of so many words. Raises: Corrupt if the length does not fit."""
        cut = 2 * words
        if not cut < len(data) <= cut + _STATE_BYTES:
            raise Corrupt("The coded rows are shorter or longer than their head says.")
        stack = Stack(np.frombuffer(data[:cut], dtype="<u2").astype(np.uint16))
        return cls(np.array([int.from_bytes(data[cut:], "little")], dtype=np.uint64), stack)


def _doublings(count: int, wanted: int) -> list[tuple[int, int]]:
    """Return (lanes, lanes afterwards) of the steps from ``count`` to ``wanted``: no step more than doubles."""
    steps = []
    while count < wanted:
        steps.append((count, min(2 * count, wanted)))
        count = steps[-1][1]
    return steps


def _first_states(count: int) -> Numbers:
    return np.full(count, 1 if count == 1 else _LOW, dtype=np.uint64)
