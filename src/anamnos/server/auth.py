"""Who sends a request: found out by an API key, the key of this run, or the token of an OpenID Connect provider."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from anamnos.config import ServerSettings, is_loopback
from anamnos.errors import AccessDenied, ConfigError, Unauthenticated
from anamnos.server.callers import Caller
from anamnos.system.governance.access import DEFAULT_RIGHTS, RIGHTS, Principal
from anamnos.system.governance.keys import Key, Keys, digest, new_text

if TYPE_CHECKING:
    from anamnos.server.oidc import Tokens

MAX_CHARS = 8_192  # of what a caller shows
_HINT = "Send the header: Authorization: Bearer KEY. A key is made with: anamnos keys create NAME"


def session_key() -> str:
    """Return a key for one run of a server, which keeps it in its memory only."""
    return new_text(secrets.token_hex(6))


class Authenticator:
    """Says who sends a request.

    keys         of the vault, as the application has it: ``memory.keys``
    settings     ``auth``, ``host`` and what they say of OpenID Connect
    session_key  a key that may do everything while this server runs; None: there is none
    Raises: ConfigError when made, if everybody would be let in from elsewhere, MissingExtra without PyJWT.
    """

    def __init__(self, keys: Keys, settings: ServerSettings, session_key: str | None = None) -> None:
        if settings.auth == "none" and not is_loopback(settings.host):
            raise ConfigError("Without auth a server may only listen at an address of this machine.")
        self._keys = keys
        self._open = settings.auth == "none"
        self._session = None if session_key is None else digest(session_key)
        self._tokens: Tokens | None = None
        if settings.oidc_issuer:
            from anamnos.server.oidc import Tokens

            self._tokens = Tokens(settings)

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Return who sends a request with these headers. It may read the vault or ask the provider, so it may wait.

        Raises: Unauthenticated; AccessDenied if nothing is left that the caller may do; ProviderError if the provider
        does not answer.
        """
        if self._open:
            return Caller("local", None, RIGHTS, operator=True)
        header = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
        scheme, _, shown = header.strip().partition(" ")
        shown = shown.strip()
        if scheme.lower() != "bearer" or not shown:
            raise Unauthenticated("This needs a key.", hint=_HINT)
        if len(shown) > MAX_CHARS:
            raise Unauthenticated(f"The key is longer than {MAX_CHARS:,} characters.", hint=_HINT)
        if self._session is not None and hmac.compare_digest(digest(shown), self._session):
            return Caller("session", None, RIGHTS, operator=True)
        if self._tokens is not None and shown.count(".") == 2:  # no key has a dot
            return self._as_registered(self._tokens.caller(shown), unregistered=DEFAULT_RIGHTS)
        return self._of_key(self._keys.check(shown))

    def _of_key(self, key: Key) -> Caller:
        caller = Caller(f"key:{key.name}", key.tenants, key.rights, key.owner, operator=key.operator)
        return caller if key.operator else self._as_registered(caller, unregistered=key.rights)

    def _as_registered(self, caller: Caller, unregistered: Sequence[str]) -> Caller:
        """Return a caller with no more than was given, in this vault, to the principal that it stands for.

        A principal is registered in one tenant: a caller that reaches that one reaches no other. Where it does not,
        whoever is registered under the name is somebody else.
        """
        name = caller.owner or caller.name
        record = self._keys.guard.store.ledger.records("principal", name).get(name)
        who = None if record is None else Principal.from_record(name, record)
        if who is None or (caller.tenants is not None and who.tenant not in caller.tenants):
            return replace(caller, rights=tuple(unregistered))
        if who.purposes:
            raise AccessDenied(
                f"{name} may only work for purposes of its own, and over the network none can be said.",
                hint="Register another principal for the server.",
            )
        given = Principal(name, who.tenant, caller.rights)
        rights = tuple(right for right in RIGHTS if given.may(right) and who.may(right))
        if not rights:
            raise AccessDenied(f"{caller.name} and {name} have no right in common.", hint="Make another key.")
        return replace(caller, tenants=(who.tenant,), rights=rights, roles=who.roles)
