"""Who may do what with which memory: the rule, as a filter.

There is one statement of the rule, ``allowed``. What it gives is ANDed to the filter of every read, which the store
compiles, and asked of single memories through ``matches``; so search and get cannot disagree.

A memory belongs to the user whom its scope names; where it names none, to its agent. Beside the owner it is seen by
those whom its policy names as readers or writers, in person or by a role, and, by its visibility:

========  =========================================================
private   nobody else
session   the agent whom its scope names
project   every principal of its tenant
public    every principal
========  =========================================================

Nothing but ``public`` goes through the wall between tenants. Source: MemGovernance of MemOS, arXiv:2507.03724 section
5.4, with the visibilities made definite.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from anamnos.cube import CubeId, MemCube, Policy, Scope, Visibility, check_name, check_time, from_iso, to_iso
from anamnos.errors import InvalidInput, UnknownPrincipal
from anamnos.types import And, Comparison, Field, Filter, Or, Where, matches, owner_of

READ, WRITE, SHARE, ALL, ADMIN, SENSITIVE = "read", "write", "share", "all", "admin", "sensitive"
RIGHTS = (READ, WRITE, SHARE, ALL, ADMIN, SENSITIVE)
DEFAULT_RIGHTS = (READ, WRITE, SHARE)
KINDS = ("user", "agent", "role", "key")

NOTHING: Filter = Or(())


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks.

    name      ``user:ann``, ``agent:tutor``, ``role:auditor`` or, for an application behind the server, ``key:backend``
    rights    what it may do at all, to whatever memory the rule gives it; ``all``: with every memory of its tenant;
              ``admin``: everything but ``sensitive``, with every memory of its tenant; ``sensitive``: see addresses,
              numbers and keys instead of their labels
    roles     names of roles that it has
    purposes  what it may say that it works for; none: anything
    """

    name: str
    tenant: str = "default"
    rights: tuple[str, ...] = DEFAULT_RIGHTS
    roles: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_principal("principal", self.name)
        check_name("tenant", self.tenant)
        for role in self.roles:
            if check_principal("role", role).partition(":")[0] != "role":
                raise InvalidInput(f"{role} is no role.", hint="Roles are written as role:auditor.")
        check_rights(self.rights)
        for purpose in self.purposes:
            check_name("purpose", purpose)

    def may(self, right: str) -> bool:
        """Return whether it has a right at all."""
        return right in self.rights or (ADMIN in self.rights and right != SENSITIVE)

    def owns(self, scope: Scope) -> bool:
        """Return whether what is written in a scope is its own, or with the right ``all`` as good as that."""
        return scope.tenant == self.tenant and (ALL in self.rights or owner_of(scope) == self.name)

    def takes_part_in(self, scope: Scope) -> bool:
        """Return whether it may write into a scope: its own, or one that names it as the agent."""
        return self.owns(scope) or (scope.tenant == self.tenant and f"agent:{scope.agent}" == self.name)

    def to_record(self) -> dict[str, Any]:
        parts = {part: list(getattr(self, part)) for part in ("rights", "roles", "purposes")}
        return {"tenant": self.tenant, **parts}

    @classmethod
    def from_record(cls, name: str, record: Mapping[str, Any]) -> Self:
        parts = {part: tuple(record[part]) for part in ("rights", "roles", "purposes")}
        return cls(name, record["tenant"], **parts)


@dataclass(frozen=True, slots=True)
class Grant:
    """A right to one memory that ends at a time."""

    principal: str
    cube_id: CubeId
    rights: tuple[str, ...]
    until: datetime

    @property
    def name(self) -> str:
        return f"{self.principal} {self.cube_id}"

    def to_record(self) -> dict[str, Any]:
        return {"rights": list(self.rights), "until": to_iso(self.until)}

    @classmethod
    def from_record(cls, name: str, record: Mapping[str, Any]) -> Self:
        principal, _, cube_id = name.rpartition(" ")
        until = from_iso("until", record["until"])
        if until is None:
            raise InvalidInput(f"The grant {name} has no end.")
        return cls(principal, CubeId(cube_id), tuple(record["rights"]), until)


def allowed(who: Principal, right: str, grants: Iterable[Grant] = (), now: datetime | None = None) -> Filter:
    """Return which memories ``who`` may read, write or share.

    grants  those that end; they count before their time is over
    """
    if not who.may(right):
        return NOTHING
    here: Filter = Where(Field.TENANT, Comparison.EQ, who.tenant)
    if ADMIN in who.rights or ALL in who.rights:
        return here
    own: list[Filter] = [Where(Field.OWNER, Comparison.EQ, who.name)]
    names = (who.name, *who.roles)
    if right != SHARE:
        own.append(Where(Field.WRITER, Comparison.IN, names))
    if right == READ:
        kind, _, name = who.name.partition(":")
        if kind == "agent":
            session = Where(Field.VISIBILITY, Comparison.EQ, Visibility.SESSION)
            own.append(And((session, Where(Field.AGENT, Comparison.EQ, name))))
        own.append(Where(Field.READER, Comparison.IN, names))
        own.append(Where(Field.VISIBILITY, Comparison.IN, (Visibility.PROJECT, Visibility.PUBLIC)))
    ids = tuple(g.cube_id for g in grants if g.principal in names and right in g.rights and now and now < g.until)
    if ids:
        own.append(Where(Field.ID, Comparison.IN, ids))
    mine = And((here, Or(tuple(own))))
    return Or((mine, Where(Field.VISIBILITY, Comparison.EQ, Visibility.PUBLIC))) if right == READ else mine


def may(who: Principal, right: str, cube: MemCube, grants: Iterable[Grant] = (), now: datetime | None = None) -> bool:
    """Return whether ``who`` may do that with one memory."""
    return matches(allowed(who, right, grants, now), cube)


def shared(policy: Policy, to: str, rights: Collection[str]) -> Policy:
    """Return a policy under which ``to`` has rights; ``to`` is a principal or a visibility."""
    if to in set(Visibility):
        return replace(policy, visibility=Visibility(to))
    if WRITE in rights:
        return policy if to in policy.writers else replace(policy, writers=(*policy.writers, to))
    return policy if to in policy.readers else replace(policy, readers=(*policy.readers, to))


def unshared(policy: Policy, to: str | None) -> Policy:
    """Return a policy that no longer names ``to``; None: nobody but the owner sees what has it."""
    if to is None:
        return replace(policy, visibility=Visibility.PRIVATE, readers=(), writers=())
    kept = [tuple(name for name in part if name != to) for part in (policy.readers, policy.writers)]
    return replace(policy, readers=kept[0], writers=kept[1])


def check_principal(what: str, name: object) -> str:
    """Return a principal's name if it is written like one."""
    kind, _, rest = check_name(what, name).partition(":")
    if kind not in KINDS or not rest.strip():
        raise InvalidInput(f"The {what} {name!r} is not written like one.", hint="Write user:ann or agent:tutor.")
    return str(name)


def check_rights(rights: Sequence[str], known: Collection[str] = RIGHTS) -> tuple[str, ...]:
    """Return rights if there are such."""
    if isinstance(rights, str) or not rights or any(right not in known for right in rights):
        raise InvalidInput(f"The rights must be some of {', '.join(known)}, got {rights!r}.")
    return tuple(dict.fromkeys(rights))


def check_until(until: datetime | None, now: datetime) -> datetime | None:
    """Return when a right ends, if that is still to come."""
    if until is not None and check_time("until", until) <= now:
        raise InvalidInput(f"until ({to_iso(until)}) is over already.", hint="Name a time to come.")
    return None if until is None else check_time("until", until)


def known(name: str, records: Mapping[str, Mapping[str, Any]]) -> Principal:
    """Return a registered principal. Raises: UnknownPrincipal."""
    check_principal("principal", name)
    if name not in records:
        raise UnknownPrincipal(f"There is no principal {name!r} in this vault.", hint=f"anamnos policy register {name}")
    return Principal.from_record(name, records[name])
