"""The life of a memory as a finite-state machine: which state may follow which, and what makes it so.

Two of the eight states are never stored. ``resolving`` lasts as long as the transaction that merges memories, so that a
stop in the middle leaves them as they were. ``deleted`` is erasure: nothing is left that could have a state.
Source: MemLifecycle of MemOS, arXiv:2507.03724 section 5.3, with the triggers made definite.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from anamnos.cube import State
from anamnos.errors import IllegalTransition

RESOLVING, DELETED = "resolving", "deleted"
STATES = (*map(str, State), RESOLVING, DELETED)

_USED = "used in an answer"
_MERGE = "a merge or an update begins"
_ARCHIVE = "hardly remembered, superseded, or over the quota"
_EXPIRE = "expires_at has passed"
_ERASE = "erased by its owner"
_HOLD = "freeze: a legal hold"
_RESTORE = "restored, or rolled back to"
_LIFTED = "unfreeze: the hold is lifted; only to the state before it"

TRANSITIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "generated": {
            "activated": _USED,
            RESOLVING: _MERGE,
            "archived": _ARCHIVE,
            "expired": _EXPIRE,
            DELETED: _ERASE,
            "frozen": _HOLD,
        },
        "activated": {
            "generated": "not used for 30 days",
            RESOLVING: _MERGE,
            "archived": _ARCHIVE,
            "expired": _EXPIRE,
            DELETED: _ERASE,
            "frozen": _HOLD,
        },
        RESOLVING: {
            "merged": "the loser of a merge; its winner has a link to it",
            "generated": "the merge failed, or it won",
            "activated": "the merge failed, or it won",
            "frozen": _HOLD,
        },
        "merged": {"activated": _RESTORE, "archived": _ARCHIVE, DELETED: _ERASE, "frozen": _HOLD},
        "archived": {
            "activated": _RESTORE,
            "expired": f"{_EXPIRE}, or 180 days in the archive without use",
            DELETED: _ERASE,
            "frozen": _HOLD,
        },
        "expired": {"activated": _RESTORE, DELETED: "purged, or erased by its owner", "frozen": _HOLD},
        "frozen": dict.fromkeys(("generated", "activated", RESOLVING, "merged", "archived", "expired"), _LIFTED),
        DELETED: {},
    }
)
"""From each state, the states that may follow and what makes them follow."""


def may_become(before: State, after: State) -> bool:
    """Return whether a stored memory in one state may be in the other after one write.

    A write may pass through ``resolving``; staying as it is, is no transition.
    """
    followers = TRANSITIONS[before]
    return after in followers or (before is not State.FROZEN and RESOLVING in followers and after is State.MERGED)


def check_transition(what: str, before: State, after: State) -> None:
    """Raise IllegalTransition if ``what``, in one state, may not come into the other."""
    if not may_become(before, after):
        followers = [state for state in State if may_become(before, state)]
        raise IllegalTransition(
            f"{what} is {before}; it cannot become {after}.",
            hint=f"What is {before} may become: {', '.join(followers)}.",
        )
