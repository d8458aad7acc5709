"""Who is asking, what for, and what follows from it: the rule of reads, the notes for the audit.

``principal=None`` is the application itself: it may do everything, and what it does is recorded all the same. How the
rule is kept on every way to the store is in ``guarded``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from anamnos.cube import Clock, CubeId, MemCube, Scope, State, check_name, to_iso
from anamnos.errors import AccessDenied, ConfigError
from anamnos.store.base import Store, Transaction
from anamnos.store.ledger import Decision, Note
from anamnos.system.governance import access, audit
from anamnos.system.governance.access import ADMIN, READ, SENSITIVE, Grant, Principal
from anamnos.system.governance.sensitivity import LABELS, labelled, redact, redacted
from anamnos.types import And, Comparison, Field, Filter, Hit, Not, Where, matches, names_state, owner_of

ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))

_H = TypeVar("_H", bound=Hit)


@dataclass(frozen=True)
class Guard:
    """Knows the principal of an opened memory.

    store        of the vault, without any guard before it
    principal    who asks; None: the application itself
    given        the same, from an application that vouches for it, instead of one that is registered
    purpose      what for, as the audit shows it
    level        of the audit: off, writes, all
    sensitivity  on, or off: what is written is not looked through
    Raises: UnknownPrincipal if the principal is not registered, AccessDenied if the purpose is not one of its own.
    """

    store: Store
    clock: Clock
    principal: str | None = None
    purpose: str | None = None
    level: str = "writes"
    sensitivity: str = "on"
    given: Principal | None = None

    def __post_init__(self) -> None:
        if self.level not in audit.LEVELS:
            raise ConfigError(f"There is no audit {self.level!r}.", hint=f"Use: {', '.join(audit.LEVELS)}.")
        if self.sensitivity not in ("on", "off"):
            raise ConfigError(f"sensitivity cannot be {self.sensitivity!r}.", hint="Use: on, off.")
        if self.purpose is not None:
            check_name("purpose", self.purpose)
        try:
            self.who()
        except AccessDenied:
            self.denied("open")
            raise

    def who(self) -> Principal | None:
        """Return the principal as it is registered now: what was taken from it counts at once.

        Raises: UnknownPrincipal; AccessDenied if it does not work for this purpose.
        """
        if self.principal is None:
            return None
        who = self.given or access.known(self.principal, self.store.ledger.records("principal", self.principal))
        if who.purposes and self.purpose not in who.purposes:
            raise AccessDenied(
                f"{who.name} may not work for the purpose {self.purpose!r}.",
                hint=f"Its own: {', '.join(who.purposes)}.",
            )
        return who

    def grants(self, who: Principal) -> list[Grant]:
        """Return the rights that end, of a principal and its roles."""
        names, records = (who.name, *who.roles), self.store.ledger.records
        return [Grant.from_record(*item) for name in names for item in records("grant", f"{name} ").items()]

    # --- what may be read

    def rule(self, scope: Scope | None = None) -> Filter | None:
        """Return which memories the principal may read; None: all, as far as they are of ``scope``."""
        who = self.who()
        if who is None or (scope is not None and who.owns(scope) and who.may(READ)):
            return None
        return access.allowed(who, READ, self.grants(who), self.clock())

    def sees_all(self, scope: Scope) -> bool:
        """Return whether nothing of a scope is closed to the principal."""
        who = self.who()
        return who is None or (scope.tenant == who.tenant and who.may(ADMIN)) or self.rule(scope) is None

    def takes_part_in(self, scope: Scope) -> bool:
        """Return whether the principal may write into a scope, or sees all of it."""
        who = self.who()
        return who is None or who.takes_part_in(scope) or self.sees_all(scope)

    def narrowed(self, tree: Filter | None, scope: Scope, as_of: datetime | None = None) -> Filter | None:
        """Return a read's filter with what the principal may not have taken out.

        Of a past moment, it sees what it might read then and may read now.
        """
        who, parts = self.who(), [] if tree is None else [tree]
        if (rule := self.rule(scope)) is not None:
            parts.append(rule)
            if as_of is not None:
                now_open = self.store.list(scope, And((rule, ANY_STATE)))
                parts.append(Where(Field.ID, Comparison.IN, [cube.id for cube in now_open]))
        if who is not None and not who.may(SENSITIVE) and tree is not None and _names_words(tree):
            parts.append(Not(Where(Field.SENSITIVITY, Comparison.IN, LABELS)))  # else one could ask digit by digit
        return joined(parts)

    def fresh(self, tree: Filter | None, scope: Scope, as_of: datetime | None = None) -> Filter | None:
        """Return a read's filter without what has expired, though ``Memory.expire`` has not come to it yet."""
        if as_of is not None or names_state(tree) or not (gone := self.store.expired(self.clock(), scope)):
            return tree
        return joined([*([] if tree is None else [tree]), Not(Where(Field.ID, Comparison.IN, gone))])

    def sees(self, cube: MemCube, rule: Filter | None = None) -> bool:
        """Return whether the principal may read a version: the policy of that one, and the present one, allow it."""
        rule = self.rule() if rule is None else rule
        if rule is None:
            return True
        if not matches(rule, cube):
            return False
        if cube.time.superseded_at is None:
            return True
        current = self.store.get(cube.id)
        return current is not None and matches(rule, current)

    def hides(self) -> bool:
        """Return whether the principal is shown labels in place of what is delicate."""
        who = self.who()
        return who is not None and not who.may(SENSITIVE)

    def shown(self, cubes: Iterable[MemCube], *, hide: bool = False) -> list[MemCube]:
        """Return memories as the principal is shown them."""
        return [redacted(cube) for cube in cubes] if hide or self.hides() else list(cubes)

    def shown_hits(self, hits: Sequence[_H], *, hide: bool = False) -> list[_H]:
        """Return hits as the principal is shown them."""
        return [replace(h, cube=redacted(h.cube)) for h in hits] if hide or self.hides() else list(hits)

    def shown_text(self, text: str) -> str:
        """Return a text that was made of memories as the principal is shown it."""
        return redact(text) if self.hides() else text

    # --- what may be done

    def governs(self) -> bool:
        """Return whether the principal is an administrator, or the application itself."""
        who = self.who()
        return who is None or who.may(ADMIN)

    def own_name(self) -> str | None:
        """Return whose entries of the audit may be seen; None: everybody's."""
        return None if self.governs() else self.principal

    def require(self, right: str, verb: str) -> None:
        """Raise AccessDenied unless the principal has a right at all."""
        who = self.who()
        if who is not None and not who.may(right):
            self.denied(verb)
            raise AccessDenied(f"{who.name} has no right {right!r}, which {verb} needs.", hint="Ask an administrator.")

    def admitted(self, cube: MemCube) -> MemCube:
        """Return a cube as it is to be written: with its labels, and, if new, open to the agent that writes it."""
        if self.sensitivity == "on":
            cube = labelled(cube)
        if cube.version > 1:
            return cube
        agent = f"agent:{cube.scope.agent}"
        if self.principal == agent != owner_of(cube.scope) and agent not in cube.policy.writers:
            cube = replace(cube, policy=replace(cube.policy, writers=(*cube.policy.writers, agent)))
        return cube

    # --- what is recorded

    def note(
        self,
        tx: Transaction,
        verb: str,
        cube_id: CubeId | None = None,
        before: int | None = None,
        after: int | None = None,
        decision: Decision = "allowed",
    ) -> None:
        """Enter something into the audit, inside its write."""
        if self.level != "off":
            tx.audit(Note(self.clock(), self.principal, verb, cube_id, before, after, self.purpose, decision))

    def denied(self, verb: str, cube_id: CubeId | None = None) -> None:
        """Enter a refused attempt, in a write of its own."""
        if self.level != "off":
            with self.store.write() as tx:
                self.note(tx, verb, cube_id, decision="denied")

    def missed(self, verb: str, cube_id: CubeId) -> None:
        """Enter an attempt on a memory that is there, but not for the principal."""
        if self.principal is not None and self.store.get(cube_id) is not None:
            self.denied(verb, cube_id)

    def copied(self, what: str, path: Path) -> None:
        """Note that memories were written to a place that erasing cannot reach, and enter it."""
        with self.store.write() as tx:
            tx.record("copy", str(path.absolute()), {"what": what, "at": to_iso(self.clock())})
            self.note(tx, what)

    def read(self, verb: str, cube_id: CubeId | None = None) -> None:
        """Enter a read, if reads are audited."""
        if self.level == "all":
            with self.store.write() as tx:
                self.note(tx, verb, cube_id)


def joined(parts: Sequence[Filter]) -> Filter | None:
    """Return the filter that asks for all of ``parts``."""
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None


def _names_words(tree: Filter) -> bool:
    if isinstance(tree, Where):
        return tree.field is Field.TEXT
    return _names_words(tree.part) if isinstance(tree, Not) else any(map(_names_words, tree.parts))
