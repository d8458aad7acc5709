"""The face of governance: principals, shares that end, rules of retention. Reached as ``memory.policy``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anamnos.cube import MemCube, Scope, Visibility
from anamnos.errors import AccessDenied, InvalidInput, NotFound
from anamnos.store.inherit import inherited_policy
from anamnos.store.ledger import RecordKind
from anamnos.system.governance.access import (
    ADMIN,
    DEFAULT_RIGHTS,
    READ,
    SHARE,
    WRITE,
    Grant,
    Principal,
    allowed,
    check_principal,
    check_rights,
    check_until,
    known,
    shared,
    unshared,
)
from anamnos.system.governance.guard import Guard
from anamnos.system.governance.retention import Action, Rule
from anamnos.types import Filter, Op, OpKind, matches


@dataclass(frozen=True)
class Policies:
    """Reads and changes who may do what, and what must go when. Changes need the right ``admin``."""

    guard: Guard

    # --- principals

    def register(
        self,
        name: str,
        *,
        rights: Sequence[str] = DEFAULT_RIGHTS,
        roles: Sequence[str] = (),
        purposes: Sequence[str] = (),
        tenant: str = "default",
    ) -> Principal:
        """Make a principal known, or change what it may do. Raises: InvalidInput, UnknownPrincipal for a role."""
        self.guard.require(ADMIN, "register")
        who = Principal(name, tenant, check_rights(rights), tuple(roles), tuple(purposes))
        here = self.guard.store.ledger.records("principal")
        for role in who.roles:
            known(role, here)
        self._record("register", "principal", who.name, who.to_record())
        return who

    def remove(self, name: str) -> None:
        """Make a principal unknown. Its entries in the audit stay, and so do its name in policies and what it was
        granted, which count again if somebody is registered under that name: ``forget_person`` takes those as well."""
        self.guard.require(ADMIN, "unregister")
        known(name, self.guard.store.ledger.records("principal"))
        self._record("unregister", "principal", name, None)

    def principals(self) -> list[Principal]:
        """Return who is registered; to a principal that is no administrator, only itself."""
        everybody = self.guard.store.ledger.records("principal")
        who = self.guard.who()
        only = None if who is None or who.may(ADMIN) else who.name
        return [Principal.from_record(name, value) for name, value in everybody.items() if only in (None, name)]

    # --- rules

    def add_rule(self, name: str, filter: Filter, days: float, action: Action = "expire") -> Rule:
        """Keep a rule of retention, in place of the one of its name. ``Memory.expire`` applies it."""
        self.guard.require(ADMIN, "rule")
        rule = Rule(name, filter, days, action)
        self._record("rule", "rule", rule.name, rule.to_record())
        return rule

    def remove_rule(self, name: str) -> None:
        """Drop a rule. Raises: NotFound."""
        self.guard.require(ADMIN, "rule")
        if name not in self.guard.store.ledger.records("rule"):
            raise NotFound(f"There is no rule {name!r}.", hint="See: anamnos policy rules")
        self._record("rule", "rule", name, None)

    def rules(self) -> list[Rule]:
        """Return the rules of retention, by name."""
        return [Rule.from_record(name, value) for name, value in self.guard.store.ledger.records("rule").items()]

    # --- shares

    def share_ops(self, cubes: Sequence[MemCube], to: str, rights: Sequence[str]) -> list[Op]:
        """Return the operations after which ``to``, a principal or a visibility, has rights to memories for good.

        Raises: UnknownPrincipal; InvalidInput for a memory that was derived from what ``to`` may not read.
        """
        check_rights(rights, (READ, WRITE))
        if to not in set(Visibility):
            known(to, self.guard.store.ledger.records("principal"))
        new = [cube.next_version(policy=shared(cube.policy, to, rights)) for cube in cubes]
        for cube in new:
            found = map(self.guard.store.get, cube.provenance.derived_from)
            sources = [source for source in found if source is not None]
            limit = inherited_policy(cube.scope, [*sources, cube])
            if sources and (limit.visibility, limit.readers, limit.writers) != (
                cube.policy.visibility,
                cube.policy.readers,
                cube.policy.writers,
            ):
                raise InvalidInput(
                    f"Memory {cube.id} was derived from memories that {to} may not {'/'.join(rights)}.",
                    hint=f"Share these first: {', '.join(source.id for source in sources)}",
                )
        return [Op(OpKind.TRANSITION, target=cube.id, cube=cube) for cube in new]

    def grant(self, cubes: Sequence[MemCube], to: str, rights: Sequence[str], until: datetime) -> None:
        """Give a principal rights to memories until a time. Raises: UnknownPrincipal, InvalidInput, AccessDenied."""
        now = self.guard.clock()
        check_rights(rights, (READ, WRITE))
        known(to, self.guard.store.ledger.records("principal"))
        end = check_until(until, now)
        self._must_share(cubes, "share")
        with self.guard.store.write() as tx:
            for cube in cubes:
                grant = Grant(to, cube.id, tuple(rights), end or now)
                tx.record("grant", grant.name, grant.to_record())
                self.guard.note(tx, "share", cube.id)

    def unshare_ops(self, cubes: Sequence[MemCube], to: str | None) -> list[Op]:
        """Return the operations after which ``to`` (None: nobody but the owner) has no rights to memories."""
        if to is not None:
            check_principal("principal", to)
        new = [cube.next_version(policy=unshared(cube.policy, to)) for cube in cubes]
        return [Op(OpKind.TRANSITION, target=cube.id, cube=cube) for cube in new]

    def drop_grants(self, cubes: Sequence[MemCube], to: str | None) -> None:
        """End the grants that ``to`` (None: anybody) has to memories. Raises: AccessDenied."""
        self._must_share(cubes, "unshare")
        ids = {cube.id for cube in cubes}
        self._drop([g for g in self._grants() if g.cube_id in ids and to in (None, g.principal)])

    def drop_ended(self) -> int:
        """Remove grants whose time is over or whose memory is gone; return how many."""
        now, store = self.guard.clock(), self.guard.store
        return self._drop([g for g in self._grants() if g.until <= now or store.get(g.cube_id) is None])

    def grants(self, scope: Scope) -> list[Grant]:
        """Return the grants to memories of a scope, as far as the principal may read these."""
        found = [(g, self.guard.store.get(g.cube_id)) for g in self._grants()]
        return [g for g, cube in found if cube is not None and scope.covers(cube.scope) and self.guard.sees(cube)]

    def _must_share(self, cubes: Sequence[MemCube], verb: str) -> None:
        """Raise AccessDenied unless the principal may share each of these memories."""
        if (who := self.guard.who()) is None:
            return
        for cube in cubes:
            if not matches(allowed(who, SHARE), cube):
                self.guard.denied(verb, cube.id)
                raise AccessDenied(f"{who.name} may not {verb} memory {cube.id}.", hint="Its owner can.")

    def _grants(self) -> list[Grant]:
        return [Grant.from_record(name, value) for name, value in self.guard.store.ledger.records("grant").items()]

    def _drop(self, grants: Sequence[Grant]) -> int:
        if grants:
            with self.guard.store.write() as tx:
                for grant in grants:
                    tx.record("grant", grant.name, None)
                    self.guard.note(tx, "unshare", grant.cube_id)
        return len(grants)

    def _record(self, verb: str, kind: RecordKind, name: str, value: dict[str, object] | None) -> None:
        with self.guard.store.write() as tx:
            tx.record(kind, name, value)
            self.guard.note(tx, verb)
