"""Hits packed for a prompt: neighbours added, in order of time, dated, cited, within a budget of tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from anamnos.cube import CubeId, MemCube, Role
from anamnos.errors import ConfigError, MissingExtra
from anamnos.llm.base import estimate_tokens
from anamnos.recall.rerank.duplicates import repeats
from anamnos.recall.rerank.updates import superseded
from anamnos.types import Hit, PackedContext

CountTokens = Callable[[str], int]
_EARLIEST = float("-inf")
_COMPARED = 100  # hits among which repetitions and changes are looked for
_ROUNDS = 4  # choices, each in less room where the whole came to more than its lines
_TRIES = 16  # lines of a choice that are counted together with the whole
_ALSO = 5  # further days on which the same was said
_INSIDE = "\n    "  # before the further lines of a memory: none of them can look like a line or heading of the page


def tokenizer_counter(path: str | Path) -> CountTokens:
    """Return a counter of the tokens that a model reads, by its ``tokenizer.json`` (the format of ``tokenizers``).

    Tokens that the model's own prompt adds (``[CLS]``, ``<s>``) are not counted.
    Raises: MissingExtra without the package tokenizers; ConfigError if the file is not there or no tokenizer.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as exc:
        raise MissingExtra("Counting with a tokenizer", "embed") from exc
    try:
        tokenizer = Tokenizer.from_str(Path(path).read_text("utf-8"))
    except Exception as exc:  # tokenizers raises bare Exception
        raise ConfigError(f"{path} is no tokenizer: {exc}.", hint="Name a tokenizer.json of the model.") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the text: what a memory says, or, indented below that, what it said in the version before."""

    cube: MemCube
    earlier: MemCube | None = None


def pack(
    hits: Sequence[Hit],
    neighbours: Callable[[Hit], Sequence[MemCube]],
    before: Callable[[MemCube], MemCube | None] = lambda cube: None,
    mark: Callable[[MemCube], str] = lambda cube: "",
    *,
    token_budget: int,
    evidence: str,
    count_tokens: CountTokens = estimate_tokens,
) -> PackedContext:
    """Return the best hits and their neighbours as text of at most ``token_budget`` tokens.

    Hits are taken best first while they fit, then what they said before they were changed, then those of their
    neighbours that fit; then all are put in order of time under a heading per session, so that a model reads them as
    they happened. A hit that only repeats a better one is a date in that one's line, and one that another hit
    supersedes says so.

    neighbours  gives the memories next to a hit
    before      gives the version that said something else before, or None; not asked for passages of documents
    mark        gives what a reader must know before the words of a memory, such as that nobody vouches for them; ""
    evidence    the sentence that answers best

    The budget is kept whatever ``count_tokens`` makes of a whole and its parts: what is returned was counted whole.
    Each line is counted once, and a whole some dozens of times at most, so the work grows as the number of hits.
    """
    page = _Page([hit.cube for hit in hits[:_COMPARED]], mark)
    counted = functools.cache(count_tokens)
    near = functools.cache(lambda number: tuple(neighbours(hits[number])))
    past = functools.cache(lambda number: before(hits[number].cube))

    def choose(fits: Callable[[_Line], bool]) -> list[_Line]:
        """Return the lines that fit, asked for in the order of their worth."""
        whole = ((number, _Line(hit.cube)) for number, hit in enumerate(hits) if hit.id not in page.repeated)
        taken = [(number, line) for number, line in whole if fits(line)]
        lines = {line.cube.id: line for _, line in taken}
        changed = (number for number, line in taken if line.cube.role is not Role.RESOURCE)
        versions = (_Line(hits[number].cube, old) for number in changed if (old := past(number)) is not None)
        earlier = [line for line in versions if fits(line)]
        for cube in (cube for number, _ in taken for cube in near(number)):
            if cube.id not in lines and cube.id not in page.repeated and fits(line := _Line(cube)):
                lines[cube.id] = line
        return [*lines.values(), *earlier]

    def within(room: int) -> Callable[[_Line], bool]:
        """Return what fits into ``room`` tokens by the lengths of the lines; the whole is counted where those say no.

        A whole is often shorter than its parts together, so that a room that seems full is not. Below 0, only the
        whole counts.
        """
        tries, headed, here = _TRIES, set[str](), list[_Line]()

        def fits(line: _Line) -> bool:
            nonlocal room, tries
            heading = _heading(line.cube)
            cost = counted(page.line(line, {}) + "\n") + (0 if heading in headed else counted(heading + "\n"))
            if cost <= room:
                room -= cost
            else:
                tries -= 1
                if tries < 0 or (size := page.tokens([*here, line], count_tokens)) > token_budget:
                    return False
                room = token_budget - size if room >= 0 else room
            headed.add(heading)
            here.append(line)
            return True

        return fits

    room = token_budget
    for _ in range(_ROUNDS):
        chosen = choose(within(room))
        over = page.tokens(chosen, count_tokens) - token_budget
        if over <= 0:
            break
        room = max(room - over, -1)
    else:
        chosen = choose(within(-1))
    if not chosen and hits:  # what is said of repetitions may be what was too long
        page = _Page([hits[0].cube], mark)
        alone = [_Line(hits[0].cube)]
        chosen = alone if page.tokens(alone, count_tokens) <= token_budget else []
    ordered = page.cubes(chosen)
    text = page.text(chosen)
    return PackedContext(
        text=text,
        evidence=evidence,
        citations=dict(enumerate(ordered, start=1)),
        tokens=count_tokens(text) if text else 0,
        hits=tuple(hits),
    )


class _Page:
    """How lines look on the page, given the best of the memories that may stand on it."""

    def __init__(self, cubes: Sequence[MemCube], mark: Callable[[MemCube], str]) -> None:
        self._mark = mark
        self.repeated = repeats(cubes)
        self._superseded = superseded(cubes)
        self._again: dict[CubeId, list[MemCube]] = {}
        for cube in cubes:
            if cube.id in self.repeated:
                self._again.setdefault(self.repeated[cube.id], []).append(cube)

    def tokens(self, lines: Iterable[_Line], count_tokens: CountTokens) -> int:
        text = self.text(lines)
        return count_tokens(text) if text else 0

    def cubes(self, lines: Iterable[_Line]) -> list[MemCube]:
        """Return the memories that are cited, in order of time: their numbers are their places, from 1."""
        return sorted((line.cube for line in lines if line.earlier is None), key=_when)

    def text(self, lines: Iterable[_Line]) -> str:
        lines = list(lines)
        cubes = self.cubes(lines)
        numbers = {cube.id: number for number, cube in enumerate(cubes, start=1)}
        below = {line.cube.id: line for line in lines if line.earlier is not None}
        out: list[str] = []
        heading = None
        for cube in cubes:
            if (here := _heading(cube)) != heading:
                heading = here
                out.append(here)
            out.append(self.line(_Line(cube), numbers))
            if cube.id in below:
                out.append(self.line(below[cube.id], numbers))
        return "\n".join(out)

    def line(self, line: _Line, numbers: Mapping[CubeId, int]) -> str:
        """Return a line; memories without a number count as number 0."""
        cube = line.cube
        if line.earlier is not None:
            return f"  [superseded on {_day(line.earlier.time.superseded_at)}: {_inside(line.earlier.text)}]"
        speaker = f"{_flat(cube.provenance.actor)}: " if cube.provenance.actor else ""
        text = f"[{numbers.get(cube.id, 0)}] {speaker}{_inside(cube.text)}"
        if mark := self._mark(cube):  # on one line, so that its words cannot look like a line of another memory
            text = f"[{numbers.get(cube.id, 0)}] {mark} {speaker}{' '.join(cube.text.split())}"
        days = {_day(again.time.created_at): None for again in self._again.get(cube.id, ()) if again.time.created_at}
        if also := [day for day in days if day != _day(cube.time.created_at)][:_ALSO]:
            text += f" (also on {', '.join(also)})"
        if cube.time.valid_to is not None:
            text += f" [until {_day(cube.time.valid_to)}]"
        newer = self._superseded.get(cube.id)
        if newer is not None and (not numbers or newer.id in numbers):
            text += f" [superseded: see {numbers.get(newer.id, 0)}]"
        return text


def _when(cube: MemCube) -> tuple[float, CubeId]:
    said = cube.time.created_at
    return (said.timestamp() if said else _EARLIEST, cube.id)


def _heading(cube: MemCube) -> str:
    session = cube.scope.session
    return f"## {_day(cube.time.created_at)}" + (f" ({_flat(session)})" if session else "")


def _inside(text: str) -> str:
    """Return what a memory says with its further lines indented, whatever sign breaks them."""
    return _INSIDE.join(text.splitlines())


def _flat(name: str) -> str:
    """Return a name on one line."""
    return " ".join(name.splitlines())


def _day(time: datetime | None) -> str:
    return time.strftime("%A %d %B %Y") if time else "undated"
