"""What an answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from anamnos.cube import MemCube
from anamnos.types import PackedContext

NOT_IN_MEMORY = "No information available in memory."


class Kind(StrEnum):
    """How an answer was made."""

    SENTENCE = "sentence"  # what was said, word for word
    DATE = "date"  # a date or period, resolved against when it was said
    DURATION = "duration"  # how long, as it was said
    COUNT = "count"  # a number that was said, or how many things were found
    LIST = "list"  # several things, one after the other
    YES_NO = "yes_no"
    VALUE = "value"  # what holds now of something, from facts
    GENERATED = "generated"  # worded by a language model
    NONE = "none"  # nothing to answer with


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and from what.

    text           the answer; ``NOT_IN_MEMORY`` if there is none
    citations      number in ``context.text`` -> the memory that the answer rests on; numbers that the context has no
                   room for go on after its last
    confidence     in [0, 1]: how likely it is that the memories answer the question at all, as ``Hits.confidence``,
                   with the sentences read as well
    not_in_memory  whether the memories do not answer it
    context        all the evidence, as for a prompt
    """

    text: str
    citations: Mapping[int, MemCube]
    confidence: float
    kind: Kind
    not_in_memory: bool
    context: PackedContext

    def to_dict(self) -> dict[str, Any]:
        return {
            "answer": self.text,
            "kind": str(self.kind),
            "confidence": round(self.confidence, 4),
            "not_in_memory": self.not_in_memory,
            "cited": {str(number): cube.id for number, cube in self.citations.items()},
            **self.context.to_dict(),
        }


def cited(context: PackedContext, cubes: list[MemCube]) -> dict[int, MemCube]:
    """Return ``cubes`` under their numbers in the context; those that it has no room for under new ones."""
    numbers = {cube.id: number for number, cube in context.citations.items()}
    free = max(numbers.values(), default=0) + 1
    out = {}
    for cube in cubes:
        if cube.id not in numbers:
            numbers[cube.id] = free
            free += 1
        out[numbers[cube.id]] = cube
    return out
