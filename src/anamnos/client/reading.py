"""What the answers of the REST face stand for, as values of the library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anamnos.cube import CubeId, MemCube
from anamnos.errors import AnamnosError, Conflict, Corrupt
from anamnos.types import ChannelScore, Hit, Hits, Receipt

if TYPE_CHECKING:
    from anamnos.system.tagging import Suggestion

Json = dict[str, Any]
_OTHER_VERSION = 412  # what If-Match names


@dataclass(frozen=True, slots=True)
class FoundContext:
    """Memories packed for a prompt: data to quote, never instructions to follow.

    text       dated, cited lines in time order
    evidence   the one sentence that answers best; "" if nothing was found
    citations  number in the text -> id of the memory it stands for
    tokens     estimated length of ``text``
    hits       the search behind it, best first
    """

    text: str
    evidence: str
    citations: Mapping[int, CubeId]
    tokens: int
    hits: Hits


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer with what it rests on; the fields are those of ``anamnos.recall.answer.Answer``.

    citations  number -> id of the memory
    """

    text: str
    kind: str
    confidence: float
    not_in_memory: bool
    citations: Mapping[int, CubeId]
    context: FoundContext


def as_is(data: Any) -> Any:
    """Return JSON as it came."""
    return data


def receipt(data: Json) -> Receipt:
    """Return the receipt of a write."""
    return Receipt(tuple(data["ids"]), tuple(data["outcomes"]), data["sequence"], data["state"])


def cube(data: Json) -> MemCube:
    """Return a memory, without loss."""
    return MemCube.from_dict(data)


def cubes(data: Json) -> list[MemCube]:
    """Return memories, without loss."""
    return [cube(item) for item in data["items"]]


def hits(data: Json) -> Hits:
    """Return what a search found. Its cubes hold what a hit tells."""
    return Hits(map(_hit, data["hits"]), data.get("confidence", 0.0))


def context(data: Json) -> FoundContext:
    """Return a packed context."""
    return FoundContext(data["text"], data["evidence"], _numbered(data["citations"]), data["tokens"], hits(data))


def answer(data: Json) -> FoundAnswer:
    """Return an answer."""
    told = {name: data[name] for name in ("kind", "confidence", "not_in_memory")}
    return FoundAnswer(data["answer"], **told, citations=_numbered(data["cited"]), context=context(data))


def suggestions(data: Json) -> list[Suggestion]:
    """Return suggested tags or places."""
    from anamnos.system.tagging import Suggestion  # with what learns them

    return [Suggestion(each["tag"], each["score"], tuple(map(CubeId, each["because"]))) for each in data["items"]]


def problems(data: Json) -> list[str]:
    """Return what is wrong with a vault."""
    return list(data["problems"])


def exported(path: Path) -> int:
    """Return how many versions a file of an export holds. Raises: Corrupt if it was cut off."""
    last = b""
    with path.open("rb") as file:
        for last in file:  # noqa: B007  # the last one is wanted
            pass
    try:
        end = json.loads(last)
        if end.get("end") is True:
            return int(end["count"])
    except (ValueError, KeyError, AttributeError):
        pass
    raise Corrupt("The export was cut off on its way.", hint="Export again.")


def error(status: int, data: Any) -> AnamnosError:
    """Return the error of the library that a problem stands for; for what is none of ours, the plain root of them."""
    told = data if isinstance(data, Mapping) else {}
    message, hint = str(told.get("detail") or f"The server answered {status}."), str(told.get("hint") or "")
    kind = next((each for each in _kinds(AnamnosError) if each.code == told.get("code")), AnamnosError)
    kind = Conflict if status == _OTHER_VERSION else kind
    try:
        found = kind(message, hint=hint)
    except TypeError:  # one with arguments of its own
        found = AnamnosError(message, hint=hint)
    found.http_status = status  # type: ignore[misc]  # of this answer
    found.retryable = bool(told.get("retryable", status in (429, 502, 503, 504)))  # type: ignore[misc]
    if "current_version" in told and hasattr(found, "current_version"):
        found.current_version = told["current_version"]
    return found


def _kinds(root: type[AnamnosError]) -> Iterator[type[AnamnosError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


def _numbered(citations: Mapping[str, str]) -> dict[int, CubeId]:
    return {int(number): CubeId(cube_id) for number, cube_id in citations.items()}


def _hit(data: Json) -> Hit:
    told = MemCube.from_dict(
        {
            **{name: data[name] for name in ("id", "version", "content", "role")},
            "scope": {part: name for part, name in data["scope"].items() if name is not None},
            "provenance": data["provenance"],
            "time": {"created_at": data["created_at"]},
            "annotations": {"tags": data["tags"]},
        }
    )
    scores = {name: ChannelScore(score["raw"], score["share"]) for name, score in data["channels"].items()}
    return Hit(told, data["similarity"], data["rank_score"], scores, data["reason"])
