"""Tokens of an OpenID Connect provider: checked with its public keys, which are fetched when they are needed.

Only signatures with a private key count: with ``HS256`` whoever has the public key could sign, with ``none`` anybody.
What a token says of keys itself (``jwk``, ``jku``, ``x5u``) is never looked at. Source: RFC 8725, sections 3.1 to 3.10;
OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from anamnos.config import ServerSettings, is_loopback
from anamnos.errors import AnamnosError, ConfigError, InvalidInput, MissingExtra, ProviderError, Unauthenticated
from anamnos.server.callers import Caller
from anamnos.system.governance.access import RIGHTS, Principal

try:
    import httpx2
    import jwt
except ImportError as exc:
    raise MissingExtra("OpenID Connect", "server,oidc") from exc

ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
LEEWAY_S = 30  # by which two clocks may differ
MAX_AGE_S = 3_600.0  # of the provider's keys, until they are fetched anew
PAUSE_S = 30.0  # between two fetches, whatever tokens come
TIMEOUT_S = 5.0
MAX_BYTES = 1_000_000

_CHECKS: Any = {"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True}


class Tokens:
    """Says who a token was made for.

    settings  issuer, audience, address of the keys, claim of the tenant
    clock     seconds that only grow
    Raises: ConfigError for an address over which keys could be swapped.
    """

    def __init__(self, settings: ServerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._claim = settings.oidc_tenant_claim
        self._keys = _PublicKeys(settings.oidc_issuer, settings.oidc_jwks_url, clock)

    def caller(self, token: str) -> Caller:
        """Return who a token was made for, with every right: what it has is for this vault to say.

        Raises: Unauthenticated, ProviderError.
        """
        try:
            key = self._keys.of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options=_CHECKS,
            )
        except jwt.PyJWTError as exc:
            raise Unauthenticated(f"This token does not count: {type(exc).__name__}.", hint="Sign in again.") from exc
        tenants = self._tenants(claims)
        try:
            (owner,) = {Principal(f"user:{claims['sub']}", tenant).name for tenant in tenants}
        except InvalidInput as exc:
            raise Unauthenticated("The token's subject or tenant cannot be a name.", hint=exc.message) from exc
        return Caller(owner, tenants, RIGHTS, owner)

    def _tenants(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        if not self._claim:
            return ("default",)
        said = claims.get(self._claim)
        named = [said] if isinstance(said, str) else said
        if not isinstance(named, list) or not named or not all(isinstance(one, str) and one.strip() for one in named):
            raise Unauthenticated(
                f"The token names no tenant in its claim {self._claim!r}.",
                hint="Let the provider add it, or set oidc_tenant_claim to the claim that has it.",
            )
        return tuple(dict.fromkeys(named))


class _PublicKeys:
    """The public keys of a provider; many threads may use them at once."""

    def __init__(self, issuer: str, url: str, clock: Callable[[], float]) -> None:
        for address in filter(None, (issuer, url)):
            _check_address(address, ConfigError)
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[Mapping[str, Any]] = []
        self._fetched = self._tried = float("-inf")

    def of(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """Return the key of a token with such a header. Raises: PyJWTError if there is none, ProviderError."""
        algorithm = header.get("alg")
        if not any(algorithm in known for known in ALGORITHMS.values()):
            raise jwt.InvalidAlgorithmError("no signature with a private key")
        found = self._find(header) if self._clock() - self._fetched < MAX_AGE_S else None
        if found is None:
            with self._lock:
                self._fetch()
            found = self._find(header)
        if found is None:
            raise jwt.InvalidKeyError("no such key")
        return jwt.PyJWK(dict(found), algorithm)

    def _find(self, header: Mapping[str, Any]) -> Mapping[str, Any] | None:
        fit = [
            key
            for key in self._keys
            if header["alg"] in ALGORITHMS.get(key.get("kty", ""), ())
            and key.get("alg", header["alg"]) == header["alg"]
            and key.get("use", "sig") == "sig"
            and ("kid" not in header or key.get("kid") == header["kid"])
        ]
        return fit[0] if len(fit) == 1 else None

    def _fetch(self) -> None:
        """Fetch the keys, unless that was tried a short time ago: strangers choose which key a token names."""
        now = self._clock()
        if now - self._tried < PAUSE_S:
            if now - self._fetched >= MAX_AGE_S:
                raise _failure("did not answer a short time ago")
            return
        self._tried = now
        url = self._url
        if not url:
            said = _document(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            url = str(said.get("jwks_uri", ""))
            if said.get("issuer") != self._issuer:
                raise _failure("calls itself otherwise than oidc_issuer")
            _check_address(url, ProviderError)
        keys = _document(url).get("keys")
        if not isinstance(keys, list):
            raise _failure("has no list of keys")
        self._keys = [key for key in keys if isinstance(key, dict)]
        self._fetched = now


def _document(url: str) -> dict[str, Any]:
    raw = b""
    try:
        with httpx2.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=False) as response:
            if response.status_code != 200:
                raise _failure(f"said {response.status_code} for {url}")
            for part in response.iter_bytes():
                raw += part
                if len(raw) > MAX_BYTES:
                    raise _failure(f"has more than {MAX_BYTES:,} bytes at {url}")
        found = json.loads(raw)
    except (httpx2.HTTPError, ValueError) as exc:
        raise _failure(f"did not answer with JSON: {type(exc).__name__} at {url}") from exc
    if not isinstance(found, dict):
        raise _failure(f"has no JSON object at {url}")
    return found


def _failure(did: str) -> ProviderError:
    return ProviderError(
        f"The OpenID Connect provider {did}.", hint="Check oidc_issuer, and try again.", retryable=True
    )


def _check_address(url: str, kind: type[AnamnosError]) -> None:
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not safe or not parts.hostname:
        raise kind(f"The address of an OpenID Connect provider must begin with https://; got {url!r}.")
