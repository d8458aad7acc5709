"""Checks of what callers give to the verbs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anamnos.cube import Role, Scope, Substrate
from anamnos.errors import InvalidInput
from anamnos.types import Filter


def check_scope(scope: object) -> None:
    """Raise InvalidInput unless it is a Scope."""
    if not isinstance(scope, Scope):
        raise InvalidInput(
            f"scope must be a Scope, got {type(scope).__name__}.", hint="For instance Scope(user='ann')."
        )


def check_filter(filter: object) -> None:
    """Raise InvalidInput unless it is a filter or None."""
    if filter is not None and not isinstance(filter, Filter):
        raise InvalidInput(
            f"filter must be a filter, got {type(filter).__name__}.",
            hint="Make one with anamnos.where(role='turn'), or with filter_from_dict from JSON.",
        )


def checked_role(role: Role | str) -> Role:
    """Return a role by its name. Raises: InvalidInput."""
    try:
        return Role(role)
    except ValueError as exc:
        raise InvalidInput(f"role must be one of {', '.join(Role)}, got {role!r}.") from exc


def checked_substrate(to: Substrate | str) -> Substrate:
    """Return a substrate by its name. Raises: InvalidInput."""
    try:
        return Substrate(to)
    except ValueError as exc:
        raise InvalidInput(f"to must be one of {', '.join(Substrate)}, got {to!r}.") from exc


def checked_labels(tags: Sequence[str]) -> tuple[str, ...]:
    """Return labels as a tuple. Raises: InvalidInput for a single text."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInput(f"tags must be a list of labels, got {tags!r}.", hint="For instance ['work'].")
    return tuple(tags)
