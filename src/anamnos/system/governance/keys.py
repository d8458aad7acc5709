"""Keys of applications that use the memory over a network. Reached as ``memory.keys``.

A key is ``anm_<public id>_<32 random bytes>``. Only its SHA-256 is kept: a secret that long cannot be guessed from it,
so no slow hash is needed, and who has the vault's file has no key. A key is looked up by its public id, and the rest is
compared in a time that does not depend on where it differs, for an id that is not known as well.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from anamnos.cube import check_name, from_iso, to_iso
from anamnos.errors import AccessDenied, InvalidInput, NotFound, Unauthenticated
from anamnos.system.governance.access import (
    ADMIN,
    ALL,
    DEFAULT_RIGHTS,
    RIGHTS,
    check_principal,
    check_rights,
    check_until,
)
from anamnos.system.governance.guard import Guard

_FORM = re.compile(r"anm_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NO_KEY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()  # what is compared where there is nothing to compare


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key.

    id          its public part
    name        of the application; in the audit it is ``key:<name>``
    tenants     which it reaches; None: all
    rights      as of a ``Principal``
    owner       the one principal that it stands for; "": it speaks for everybody of its tenants
    operator    whether it may also do what touches the whole vault; then it is bound by nothing else
    expires_at  None: it counts until it is revoked
    text        the key itself, from ``Keys.create`` only
    """

    id: str
    name: str
    tenants: tuple[str, ...] | None
    rights: tuple[str, ...]
    owner: str
    operator: bool
    created_at: datetime
    expires_at: datetime | None = None
    text: str = field(default="", repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data, without the key itself."""
        return {"id": self.id, **self._record()}

    def _record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tenants": None if self.tenants is None else list(self.tenants),
            "rights": list(self.rights),
            "owner": self.owner,
            "operator": self.operator,
            "created_at": to_iso(self.created_at),
            "expires_at": to_iso(self.expires_at),
        }

    def to_record(self) -> dict[str, Any]:
        return {**self._record(), "sha256": digest(self.text)}

    @classmethod
    def from_record(cls, key_id: str, record: Mapping[str, Any]) -> Self:
        created = from_iso("created_at", record["created_at"])
        if created is None:
            raise InvalidInput(f"The key {key_id} has no time of creation.")
        return cls(
            key_id,
            record["name"],
            None if record["tenants"] is None else tuple(record["tenants"]),
            tuple(record["rights"]),
            record["owner"],
            record["operator"],
            created,
            from_iso("expires_at", record["expires_at"]),
        )


@dataclass(frozen=True)
class Keys:
    """Makes, lists, revokes and checks the keys of a vault.

    All but ``check`` need the right ``admin``; an administrator has to do with keys of its own tenant only.
    """

    guard: Guard

    def create(
        self,
        name: str,
        *,
        tenants: Sequence[str] | None = ("default",),
        rights: Sequence[str] | None = None,
        owner: str = "",
        operator: bool = False,
        expires_at: datetime | None = None,
    ) -> Key:
        """Make a key; its ``text`` is told here and never again.

        name      of the application that gets it
        tenants   which it reaches; None: all. With ``operator`` it is all
        rights    None: read, write and share; without an ``owner`` also ``all``, with ``operator`` every right
        owner     the one principal that it stands for, as ``user:ann``; "": it speaks for everybody of its tenants
        operator  it may also do what touches the whole vault: backups, jobs, keys …
        Raises: InvalidInput, AccessDenied.
        """
        self.guard.require(ADMIN, "create key")
        check_principal("key's name", f"key:{check_name('name', name)}")
        if owner and check_principal("owner", owner).partition(":")[0] not in ("user", "agent"):
            raise InvalidInput(f"The owner of a key cannot be {owner!r}.", hint="Write user:ann or agent:tutor.")
        if owner and operator:
            raise InvalidInput(
                "A key of an operator cannot stand for a principal.", hint="Leave owner or operator out."
            )
        if operator:
            tenants, rights = None, RIGHTS
        elif rights is None:
            rights = DEFAULT_RIGHTS if owner else (*DEFAULT_RIGHTS, ALL)
        now, key_id = self.guard.clock(), secrets.token_hex(6)
        key = Key(
            key_id,
            name,
            _checked_tenants(tenants),
            check_rights(rights),
            owner,
            bool(operator),
            now,
            check_until(expires_at, now),
            new_text(key_id),
        )
        self._must_reach(key, "create key")
        with self.guard.store.write() as tx:
            tx.record("key", key.id, key.to_record())
            self.guard.note(tx, "create key")
        return key

    def list(self) -> builtins.list[Key]:
        """Return the keys, oldest first, also those that have expired. Raises: AccessDenied."""
        self.guard.require(ADMIN, "list keys")
        found = [Key.from_record(*item) for item in self.guard.store.ledger.records("key").items()]
        return sorted((key for key in found if self._reaches(key)), key=lambda key: (key.created_at, key.id))

    def revoke(self, key_id: str) -> Key:
        """Make a key count no more, from now on and everywhere; return what it was. Raises: NotFound, AccessDenied."""
        self.guard.require(ADMIN, "revoke key")
        record = self.guard.store.ledger.records("key").get(check_name("key's id", key_id))
        key = None if record is None else Key.from_record(key_id, record)
        if key is None or not self._reaches(key):
            raise NotFound(f"There is no key {key_id!r}.", hint="See: anamnos keys list")
        with self.guard.store.write() as tx:
            tx.record("key", key_id, None)
            self.guard.note(tx, "revoke key")
        return key

    def check(self, text: str) -> Key:
        """Return what is known of the key that somebody shows. Raises: Unauthenticated if it does not count."""
        form = _FORM.fullmatch(text)
        key_id = form[1] if form else ""
        record = self.guard.store.ledger.records("key", key_id).get(key_id) if form else None
        same = hmac.compare_digest(digest(text), _NO_KEY if record is None else record["sha256"])
        key = Key.from_record(key_id, record) if same and record is not None else None
        if key is None or (key.expires_at is not None and key.expires_at <= self.guard.clock()):
            raise Unauthenticated(
                "This key is not known, or does not count any more.", hint="Make one with: anamnos keys create NAME"
            )
        return key

    def _must_reach(self, key: Key, verb: str) -> None:
        who = self.guard.who()
        if not self._reaches(key) or (who is not None and not all(map(who.may, key.rights))):
            self.guard.denied(verb)
            raise AccessDenied(
                f"{who and who.name} may not make a key that reaches further than itself.",
                hint="Name its own tenant, and rights that it has.",
            )

    def _reaches(self, key: Key) -> bool:
        who = self.guard.who()
        return who is None or (key.tenants == (who.tenant,) and not key.operator)


def digest(text: str) -> str:
    """Return what is kept of a key: its SHA-256, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_text(key_id: str) -> str:
    """Return a key that nobody can guess."""
    return f"anm_{key_id}_{secrets.token_urlsafe(32)}"


def _checked_tenants(tenants: Sequence[str] | None) -> tuple[str, ...] | None:
    if tenants is None:
        return None
    if isinstance(tenants, str) or not tenants:
        raise InvalidInput(f"The tenants must be names, or None for all, got {tenants!r}.")
    return tuple(dict.fromkeys(check_name("tenant", tenant) for tenant in tenants))
