"""What several facts come to: lists of what stands in one slot, and how often the same was said. Nothing is concluded.

Source: the aggregates per subject and predicate are the rule-based fall-back for the reflections of GAAMA,
arXiv:2603.27910; counting is ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from anamnos.cube import CubeId, MemCube, Role
from anamnos.evolve.consolidate.base import Reflection, Wording

MIN_FACTS = 3
MAX_FACTS = 30  # of a slot: the latest are looked at, and named as sources
_NEVER = datetime.min.replace(tzinfo=UTC)
EXTRACT = "extract"
"""Where facts say subject, predicate and object, as ``anamnos.ingest.extract`` wrote it."""


@dataclass(frozen=True, slots=True)
class SlotFact:
    """What counts of a fact here: few bytes, so that all of them can be held."""

    id: CubeId
    subject: str
    predicate: str
    object: str
    said_at: datetime | None


def slot_fact(cube: MemCube) -> SlotFact | None:
    """Return a fact with its slot; None for what has none, or is only a sentence that somebody said."""
    note = cube.annotations.data.get(EXTRACT)
    if cube.role is not Role.FACT or not isinstance(note, Mapping) or note.get("kind") == "said":
        return None
    who, does, what = (" ".join(str(note.get(name) or "").split()) for name in ("subject", "predicate", "object"))
    return SlotFact(cube.id, who, does, what, cube.time.created_at) if who and does and what else None


def reflections(facts: Iterable[SlotFact]) -> list[Reflection]:
    """Return a reflection for every slot with at least three facts, in the order of the slots' names.

    Its lines: what was said at least three times, and from when to when; and, if there are several, the objects of
    the slot, each with the day on which it was last said.
    """
    slots: dict[tuple[str, str], list[SlotFact]] = defaultdict(list)
    for fact in facts:
        slots[fact.subject.casefold(), fact.predicate.casefold()].append(fact)
    return [_reflection(slot, slots[slot]) for slot in sorted(slots) if len(slots[slot]) >= MIN_FACTS]


def _reflection(slot: tuple[str, str], facts: Sequence[SlotFact]) -> Reflection:
    told = sorted(facts, key=lambda fact: (fact.said_at or _NEVER, fact.id))[-MAX_FACTS:]
    by_object: dict[str, list[SlotFact]] = {}
    for fact in told:
        by_object.setdefault(fact.object.casefold(), []).append(fact)
    first = told[0]
    lines = [f"The latest {MAX_FACTS}:"] if len(facts) > MAX_FACTS else []
    lines += [_counted(same) for same in by_object.values() if len(same) >= MIN_FACTS]
    if len(by_object) > 1:
        named = [f"{same[-1].object}{_on(same[-1])}" for same in by_object.values()]
        lines.append(f"{first.subject}, {first.predicate}: {'; '.join(named)}.")
    sources = tuple(f"{fact.subject} {fact.predicate} {fact.object}" for fact in told)
    wording = Wording(f"{first.subject}: {first.predicate}", tuple(lines), sources)
    return Reflection(slot, wording, tuple(sorted(fact.id for fact in told)))


def _counted(same: Sequence[SlotFact]) -> str:
    last = same[-1]
    days = [fact.said_at.date().isoformat() for fact in same if fact.said_at is not None]
    span = f", from {days[0]} to {days[-1]}" if days and days[0] != days[-1] else ""
    return f"{last.subject} {last.predicate} {last.object}: said {len(same)} times{span}."


def _on(fact: SlotFact) -> str:
    return f" ({fact.said_at.date().isoformat()})" if fact.said_at is not None else ""
