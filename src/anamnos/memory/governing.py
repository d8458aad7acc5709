"""The verbs of governance: sharing, expiry, forgetting a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from anamnos.cube import Scope
from anamnos.memory.core import Core
from anamnos.system import lifecycle
from anamnos.system.bundles import is_installed
from anamnos.system.governance.forget import Forgotten, forgotten
from anamnos.system.governance.guard import ANY_STATE
from anamnos.system.governance.retention import due
from anamnos.system.scope_hash import scope_hash
from anamnos.types import Outcome, Receipt


class Governing(Core):
    """Sharing, expiry, forgetting a person."""

    def share(
        self,
        ids: str | Iterable[str],
        scope: Scope,
        *,
        to: str,
        rights: Sequence[str] = ("read",),
        until: datetime | None = None,
    ) -> Receipt:
        """Let others read or write memories: a principal (``user:bob``), or all whom a visibility names (``project``).

        rights  read; or write, which is both
        until   when it ends by itself; None: with ``unshare``
        What was derived from memories is not shared with them. Raises: UnknownPrincipal, InvalidInput, AccessDenied.
        """
        cubes = self._named_cubes(ids, scope)
        if until is None:
            return self._write(self.policy.share_ops(cubes, to, rights))
        self.policy.grant(cubes, to, rights, until)
        kept: list[Outcome] = ["unchanged" for _ in cubes]
        return Receipt(tuple(cube.id for cube in cubes), tuple(kept), self.vault.store.sequence())

    def unshare(self, ids: str | Iterable[str], scope: Scope, *, to: str | None = None) -> Receipt:
        """Take back what ``share`` gave to a principal; None: to all, so that nobody but the owner sees the memories.

        What was derived from them is closed as well.
        """
        cubes = self._named_cubes(ids, scope)
        receipt = self._write(self.policy.unshare_ops(cubes, to))
        self.policy.drop_grants(cubes, to)
        return receipt

    def expire(self, scope: Scope | None = None) -> Receipt:
        """Do what time asks for: ``expires_at`` and the rules of ``policy.rules()``. None: in all scopes.

        Frozen memories, and those from which something frozen was made, stay. Searches leave out what has expired even
        before. Receipt: what is expired or archived (updated), and what was erased (deleted).
        """
        if scope is None:
            self._govern("expire")
        rules, now, done = self.policy.rules(), self._clock(), Receipt((), (), self.vault.store.sequence())
        scopes = [one for one in self.vault.store.scopes() if not is_installed(one)]  # a bundle's go with the bundle
        for there in [one for one in scopes if scope is None or scope.covers(one)]:
            cubes = [cube for cube in self._each(there, ANY_STATE) if cube.scope == there]
            past = due(cubes, rules, now)
            moved = self._write_moved([lifecycle.moved(d.cube, d.state) for d in past if d.state is not None])
            gone = [d.id for d in past if d.state is None and not self._held([d.cube])]
            for part in (moved, self._erase(gone)) if gone else (moved,):
                done = Receipt(done.ids + part.ids, done.outcomes + part.outcomes, part.sequence, part.state)
        self.policy.drop_ended()
        return done

    def forget_person(
        self,
        person: str | Scope,
        *,
        tenant: str = "default",
        mentions: bool = False,
        names: Sequence[str] = (),
    ) -> Forgotten:
        """Erase a user (or a scope) from every file of the vault, with all that was made of what they said; report it.

        mentions  also what others' scopes of the tenant, and installed bundles, hold that the person said, or that
                  names the person
        names     what else the person is called, beside the name of the user
        If anything of it is under a legal hold, nothing is done, and the report says what stands in the way.
        Raises: InvalidInput, AccessDenied.
        """
        self._govern("forget person")
        scope = person if isinstance(person, Scope) else Scope(tenant, user=person)
        mounts = self.mounts.list()
        mounted = [mount.folder for mount in mounts]
        report = forgotten(
            self._guard, self.vault.folder, scope, names, self._erase, mentions=mentions, mounted=mounted
        )
        if report.state != "blocked":
            for mount in mounts:
                if scope.covers(mount.scope) or mount.into == scope_hash(scope):
                    self.mounts.remove(mount.name)
        self._known.clear()
        self._recaller.forget_spaces()
        return report
