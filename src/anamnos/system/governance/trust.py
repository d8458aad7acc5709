"""How far a memory is believed, by where it came from: a defence against memories that somebody planted.

What the user says is believed; what a web page, a tool or another agent says is kept, found and shown, but as theirs:
it is capped in rank (``anamnos.recall.rerank.trusted``), takes no part in short answers while something believed does,
and is marked in packed contexts. Source: ours; the attack is that of AgentPoison, arXiv:2407.12784, and MINJA,
arXiv:2503.03704, in which records written through the front door steer later answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anamnos.cube import MemCube, Role, check_unit
from anamnos.errors import InvalidInput
from anamnos.types import TRUSTED as TRUSTED
from anamnos.types import Hit

LEVELS = {"user": 1.0, "assistant": 0.8, "file": 0.6, "tool": 0.5, "web": 0.3, "agent": 0.3}
"""How far each source is believed."""

_ASSISTANTS = {"assistant", "ai", "model", "bot"}
_TOOLS = {"tool", "function"}


def check_trust(trust: float | str | None) -> float | None:
    """Return a level as a number in [0, 1]; None, for "by its source", stays None."""
    if isinstance(trust, str):
        if trust not in LEVELS:
            raise InvalidInput(f"There is no source {trust!r} of trust.", hint=f"Use: {', '.join(LEVELS)}.")
        return LEVELS[trust]
    return None if trust is None else check_unit("trust", trust)


def source_of(cube: MemCube) -> str:
    """Return from which kind of source a memory is, of ``LEVELS``, as far as its provenance tells."""
    origin = cube.provenance
    speaker = (origin.actor or "").casefold()
    if (origin.source or "").casefold().startswith(("http://", "https://")):
        return "web"
    if speaker in _TOOLS:
        return "tool"
    if cube.role is Role.RESOURCE:
        return "file"
    return "assistant" if speaker in _ASSISTANTS else "user"


def believed(cube: MemCube) -> MemCube:
    """Return a memory with the trust that its source has."""
    return replace(cube, provenance=replace(cube.provenance, trust=LEVELS[source_of(cube)]))


def mark(cube: MemCube) -> str:
    """Return what a packed context says of a memory that is not believed: ``[untrusted: web]``; "" of others."""
    if cube.provenance.trust >= TRUSTED:
        return ""
    source = source_of(cube)
    if LEVELS[source] >= TRUSTED:  # it was told how far to believe it
        source = {LEVELS["tool"]: "tool", LEVELS["agent"]: "other agent"}.get(cube.provenance.trust, "source unknown")
    return f"[untrusted: {source}]"


def for_answers(hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits that an answer may rest on: those that are believed, or all if none is."""
    return [hit for hit in hits if hit.cube.provenance.trust >= TRUSTED] or list(hits)
