"""What timelines and decisions come to: the next version of each memory that must change. Nothing is ever dropped.

Each change is written with its reason into ``annotations.data["resolve"]``: ``slot`` for what the slot rule wants; it
is compared with what is there, so that doing it again changes nothing, and what no longer holds is taken back;
``judged`` for what a resolver decided once, ``apart`` for memories that somebody has parted by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from anamnos.cube import CubeId, Link, LinkKind, MemCube, State, thaw_json, to_iso
from anamnos.evolve.resolve.base import Decision, Kind
from anamnos.evolve.resolve.claims import NOTE, claims_of, said_until, since, slot_note
from anamnos.evolve.resolve.slots import Claim, Slot, Timeline, timeline
from anamnos.lifecycle import may_become
from anamnos.types import TRUSTED

IN_DOUBT = 0.5  # of its confidence is left to a memory that another one contradicts


@dataclass
class _Wanted:
    """What the timelines of its slots want of a memory."""

    until: datetime | None = None
    by: str | None = None
    into: str | None = None
    doubted: bool = False
    links: set[tuple[str, str]] = field(default_factory=set)


def by_slots(cubes: Iterable[MemCube]) -> list[MemCube]:
    """Return the next versions of those of ``cubes`` that are not as the timelines of their slots want them.

    cubes  all that claim anything in these slots
    A value that another one followed ends when that begins, and is superseded by it; who says the same again is merged
    into who said it first; of two at one moment, both stay, linked, and the one that is not believed loses confidence.
    """
    known = {cube.id: cube for cube in cubes}
    wanted: dict[str, _Wanted] = {cube_id: _Wanted() for cube_id in known}
    for _, claims in sorted(in_slots(known.values()).items(), key=lambda item: _sorted(item[0])):
        for believed in (True, False):  # whatever a stranger says ends nothing that is believed
            of_kind = [c for c in claims if (known[CubeId(c.id)].provenance.trust >= TRUSTED) is believed]
            _want(timeline(of_kind), wanted, known)
    changed = (_as_wanted(cube, wanted[cube.id]) for cube in known.values())
    return [cube for cube in changed if cube is not None]


def in_slots(cubes: Iterable[MemCube]) -> dict[Slot, list[Claim]]:
    """Return the claims that facts make, by slot; a denial of many is in each slot of its relation."""
    found: dict[Slot, list[Claim]] = {}
    for cube in cubes:
        for claim in claims_of(cube):
            found.setdefault(claim.slot, []).append(claim)
    return found


def _sorted(slot: Slot) -> tuple[str, ...]:
    return slot.subject, slot.relation, slot.kind, slot.value


def _want(line: Timeline, wanted: Mapping[str, _Wanted], known: Mapping[CubeId, MemCube]) -> None:
    for span in line.spans:
        first = span.claim.id
        for again in span.again:
            if _says_again(known[CubeId(again.id)], known[CubeId(first)]):
                wanted[again.id].into = first
                wanted[again.id].links.add((LinkKind.SUPPORTS, first))
                wanted[first].links.add((LinkKind.DERIVED_FROM, again.id))
        if span.ended_by is None:
            continue
        for claim in (span.claim, *span.again):
            if claim.id != span.ended_by.id and wanted[claim.id].into is None:
                wanted[claim.id].until, wanted[claim.id].by = span.until, span.ended_by.id
                wanted[span.ended_by.id].links.add((LinkKind.SUPERSEDES, claim.id))
    for loser, winner in line.lost.items():
        wanted[loser].doubted = True
        wanted[loser].links.add((LinkKind.CONTRADICTS, winner.id))
        wanted[winner.id].links.add((LinkKind.CONTRADICTS, loser))
    begins = {span.claim.id: span.since for span in line.spans}
    for loser, winner in line.replaced.items():
        wanted[loser].until, wanted[loser].by = begins.get(winner.id, winner.since), winner.id
        wanted[winner.id].links.add((LinkKind.SUPERSEDES, loser))


def _says_again(cube: MemCube, first: MemCube) -> bool:
    """Return whether a memory confirms another: both stand on something else, and nobody has parted them."""
    same = cube.id == first.id or set(cube.provenance.derived_from) & set(first.provenance.derived_from)
    return not same and _may_merge(cube, first.id)


def _may_merge(cube: MemCube, into: str) -> bool:
    merged = cube.lifecycle.state is State.MERGED or may_become(cube.lifecycle.state, State.MERGED)
    return merged and into not in note_of(cube).get("apart", ())


def _as_wanted(cube: MemCube, wanted: _Wanted) -> MemCube | None:
    """Return the next version of a cube as it is wanted; None if it is so, or frozen."""
    if cube.lifecycle.state is State.FROZEN:
        return None
    before = slot_note(cube)
    ours = {(kind, target) for kind, target in before.get("links", ())}
    kept = [link for link in cube.links if (str(link.kind), str(link.target)) not in ours]
    links = sorted({(str(kind), target) for kind, target in wanted.links})
    here = {(str(link.kind), str(link.target)) for link in kept}
    added = [Link(LinkKind(kind), CubeId(target)) for kind, target in links if (kind, target) not in here]
    state = cube.lifecycle.state
    if wanted.into is not None:
        state = State.MERGED
    elif state is State.MERGED and "into" in before:
        state = State.ACTIVATED
    note = {
        "until": to_iso(wanted.until),
        "by": wanted.by,
        "into": wanted.into,
        "links": [[str(link.kind), str(link.target)] for link in added],
        "confidence": _confidence(cube) * IN_DOUBT if wanted.doubted else None,
    }
    changed = replace(
        cube,
        time=replace(cube.time, valid_to=said_until(cube) if wanted.until is None else wanted.until),
        lifecycle=replace(cube.lifecycle, state=state),
        annotations=with_note(cube, "slot", {name: value for name, value in note.items() if value}).annotations,
        links=(*kept, *added),
    )
    return None if changed == cube else _next(changed)


def decided(new: MemCube, decisions: Sequence[Decision], held: Mapping[CubeId, MemCube], how: str) -> list[MemCube]:
    """Return how the new memory and the targets of decisions become, in the versions that they have.

    held  the memories as they are so far, by id; what is frozen stays as it is
    how   who decided
    """
    changed = {new.id: new}
    for decision in decisions:
        if decision.target is None or (old := held.get(decision.target)) is None:
            continue
        old, new = changed.get(old.id, old), changed[new.id]
        if State.MERGED in (new.lifecycle.state, old.lifecycle.state):
            continue
        for cube in _carried_out(decision, new, old, how):
            changed[cube.id] = cube
    return [cube for cube in changed.values() if cube != held.get(cube.id) and cube.lifecycle.state is not State.FROZEN]


def _carried_out(decision: Decision, new: MemCube, old: MemCube, how: str) -> Iterable[MemCube]:
    judged = {"reason": decision.reason, "how": how}
    if decision.kind in (Kind.NOOP, Kind.UPDATE):
        winner, loser = (old, new) if decision.kind is Kind.NOOP else (new, old)
        return merged_into(winner, loser, "judged", judged) if _may_merge(loser, winner.id) else ()
    if decision.kind is Kind.SUPERSEDE:
        winner, loser = (old, new) if decision.reverse else (new, old)
        end = max(since(winner), since(loser))
        ended = replace(loser, time=replace(loser.time, valid_to=end))
        return linked(winner, LinkKind.SUPERSEDES, loser), with_note(ended, "judged", {**judged, "by": winner.id})
    if decision.kind is Kind.CONTRADICT:
        pair = (linked(new, LinkKind.CONTRADICTS, old), linked(old, LinkKind.CONTRADICTS, new))
        return [with_note(c, "judged", {**judged, "confidence": _confidence(c) * IN_DOUBT}) for c in pair]
    if decision.kind is Kind.LINK:
        return (linked(new, LinkKind.SIMILAR, old, decision.weight),)
    return ()


def merged_into(winner: MemCube, loser: MemCube, name: str, note: Mapping[str, Any]) -> tuple[MemCube, MemCube]:
    """Return two memories as one: the winner linked to the loser, whose sources thereby are its own too, and the loser
    in the state merged, which supports it."""
    loser = linked(loser, LinkKind.SUPPORTS, winner)
    loser = replace(loser, lifecycle=replace(loser.lifecycle, state=State.MERGED))
    return linked(winner, LinkKind.DERIVED_FROM, loser), with_note(loser, name, {**note, "into": winner.id})


def parted(winner: MemCube, loser: MemCube) -> tuple[MemCube, MemCube]:
    """Return two memories that were merged as two again, never to be merged by a rule."""
    both = {winner.id, loser.id}
    pair = []
    for cube, other in ((winner, loser), (loser, winner)):
        links = tuple(
            link
            for link in cube.links
            if not (link.target in both and link.kind in (LinkKind.SUPPORTS, LinkKind.DERIVED_FROM))
        )
        apart = sorted({*note_of(cube).get("apart", ()), str(other.id)})
        pair.append(with_note(replace(cube, links=links), "apart", apart))
    back = pair[1]
    for name in ("slot", "judged", "merged"):
        if "into" in (note_of(back).get(name) or {}):
            back = with_note(back, name, None)
    return pair[0], replace(back, lifecycle=replace(back.lifecycle, state=State.ACTIVATED))


def merged_with(cube: MemCube) -> str | None:
    """Return the id of the memory that this one was merged into, by whichever way; None if it is not merged."""
    if cube.lifecycle.state is not State.MERGED:
        return None
    notes = (note_of(cube).get(name) or {} for name in ("slot", "judged", "merged"))
    return next((str(note["into"]) for note in notes if "into" in note), None)


def revived(cube: MemCube) -> MemCube:
    """Return the next version of a merged memory whose winner is gone: it stands for itself again."""
    for name in ("slot", "judged", "merged"):
        cube = with_note(cube, name, None)
    return _next(replace(cube, lifecycle=replace(cube.lifecycle, state=State.ACTIVATED)))


def next_versions(changed: Iterable[MemCube]) -> list[MemCube]:
    """Return each cube as its next version."""
    return [_next(cube) for cube in changed]


def _next(cube: MemCube) -> MemCube:
    return cube.next_version()


def linked(cube: MemCube, kind: LinkKind, other: MemCube, weight: float = 1.0) -> MemCube:
    """Return a cube with a link to another one, unless it has that."""
    if any(link.kind is kind and link.target == other.id for link in cube.links):
        return cube
    return replace(cube, links=(*cube.links, Link(kind, other.id, weight)))


def note_of(cube: MemCube) -> Mapping[str, Any]:
    """Return all that resolving wrote of a cube."""
    note = cube.annotations.data.get(NOTE)
    return note if isinstance(note, Mapping) else {}


def with_note(cube: MemCube, name: str, value: Any) -> MemCube:
    """Return a cube with one part of its note replaced; an empty one is left out."""
    notes = {part: thaw_json(old) for part, old in note_of(cube).items() if part != name}
    if value:
        notes[name] = value
    data = {part: thaw_json(old) for part, old in cube.annotations.data.items() if part != NOTE}
    if notes:
        data[NOTE] = notes
    return replace(cube, annotations=replace(cube.annotations, data=data))


def _confidence(cube: MemCube) -> float:
    note = cube.annotations.data.get("extract")
    found = note.get("confidence") if isinstance(note, Mapping) else None
    return float(found) if isinstance(found, int | float) else 1.0
