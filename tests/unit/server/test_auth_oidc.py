"""Tokens of an OpenID Connect provider: a real one on loopback, with keys that are made here, and those who forge."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from anamnos import Memory
from anamnos.config import ServerSettings
from anamnos.errors import ConfigError, ProviderError, Unauthenticated
from anamnos.server.auth import Authenticator
from anamnos.server.callers import Caller
from anamnos.server.oidc import PAUSE_S, Tokens
from anamnos.system.governance.access import DEFAULT_RIGHTS
from anamnos.testing import FakeEmbedder

pytestmark = pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")

AUDIENCE = "anamnos"
KEY, STRANGER = (rsa.generate_private_key(65_537, 2_048) for _ in range(2))
CURVE = ec.generate_private_key(ec.SECP256R1())
WEAK = rsa.generate_private_key(65_537, 1_024)


class Provider:
    """Serves its own description and its public keys.

    asked  the paths that were asked for
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: list[dict[str, Any]] = [
            {**json.loads(RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "1", "use": "sig"},
            {**json.loads(ECAlgorithm.to_jwk(CURVE.public_key())), "kid": "2", "alg": "ES256"},
            {**json.loads(RSAAlgorithm.to_jwk(WEAK.public_key())), "kid": "weak"},
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        ]
        self.status, self.calls_itself = 200, ""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                said: Any = {"keys": provider.keys}
                if self.path.endswith("openid-configuration"):
                    said = {"issuer": provider.calls_itself or provider.issuer, "jwks_uri": f"{provider.issuer}/keys"}
                self.send_response(provider.status)
                self.send_header("Location", f"{provider.issuer}/keys")
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def settings(self, **more: Any) -> ServerSettings:
        return ServerSettings(oidc_issuer=self.issuer, oidc_audience=AUDIENCE, **more)

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600, "tenant": "acme"}
        return {name: value for name, value in {**claims, **more}.items() if value is not None}

    def token(self, key: Any = KEY, algorithm: str = "RS256", kid: str | None = "1", **claims: Any) -> str:
        return jwt.encode(self.claims(**claims), key, algorithm, headers={} if kid is None else {"kid": kid})


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as opened:
        yield opened


def asked(memory: Memory, settings: ServerSettings, token: str) -> Caller:
    return Authenticator(memory.keys, settings).authenticate({"authorization": f"Bearer {token}"})


def test_a_token_stands_for_its_subject_in_its_tenant(memory: Memory, provider: Provider) -> None:
    caller = asked(memory, provider.settings(), provider.token())
    assert caller == Caller("user:ann", ("acme",), DEFAULT_RIGHTS, "user:ann")
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


def test_what_a_subject_may_is_for_the_vault_to_say(memory: Memory, provider: Provider) -> None:
    memory.policy.register("user:ann", tenant="acme", rights=("read", "admin"))
    caller = asked(memory, provider.settings(), provider.token(rights=["sensitive"], operator=True))
    assert (caller.tenants, caller.operator) == (("acme",), False)
    assert "admin" in caller.rights
    assert "sensitive" not in caller.rights
    namesake = asked(memory, provider.settings(), provider.token(tenant="umbrella"))
    assert (namesake.tenants, namesake.rights) == (("umbrella",), DEFAULT_RIGHTS)


def test_a_key_of_the_vault_counts_beside_tokens(memory: Memory, provider: Provider) -> None:
    key = memory.keys.create("backend")
    assert asked(memory, provider.settings(), key.text).name == "key:backend"
    assert provider.asked == []


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(KEY, "RS256", "1"), (KEY, "PS512", "1"), (CURVE, "ES256", "2"), (CURVE, "ES256", None)],
)
def test_signatures_with_a_private_key_count(
    memory: Memory, provider: Provider, key: Any, algorithm: str, kid: str | None
) -> None:
    settings = provider.settings(oidc_jwks_url=f"{provider.issuer}/keys")
    assert asked(memory, settings, provider.token(key, algorithm, kid)).owner == "user:ann"
    assert provider.asked == ["/keys"]


@pytest.mark.parametrize(
    ("claim", "tenants"),
    [("acme", ("acme",)), (["acme", "umbrella", "acme"], ("acme", "umbrella"))],
)
def test_a_claim_names_the_tenants(memory: Memory, provider: Provider, claim: Any, tenants: tuple[str, ...]) -> None:
    settings = provider.settings(oidc_tenant_claim="org")
    assert asked(memory, settings, provider.token(org=claim, tenant="other")).tenants == tenants


def test_without_a_claim_set_all_are_of_the_default_tenant(memory: Memory, provider: Provider) -> None:
    assert asked(memory, provider.settings(oidc_tenant_claim=""), provider.token()).tenants == ("default",)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 3_600},
        {"exp": None},
        {"nbf": int(time.time()) + 3_600},
        {"iat": int(time.time()) + 3_600},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another application"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 5_000},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": []},
        {"tenant": ["acme", 1]},
        {"tenant": ["acme", "a\nb"]},
        {"tenant": {"name": "acme"}},
    ],
    ids=lambda claims: ", ".join(f"{name} {type(said).__name__}" for name, said in claims.items()),
)
def test_tokens_that_say_something_else_do_not_count(
    memory: Memory, provider: Provider, claims: dict[str, Any]
) -> None:
    with pytest.raises(Unauthenticated):
        asked(memory, provider.settings(), provider.token(**claims))


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """Return a token that is put together by hand, signed with HMAC-SHA256 or not at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    mark = b"" if secret is None else hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def test_a_token_without_a_signature_does_not_count(memory: Memory, provider: Provider) -> None:
    for algorithm in ("none", "None", "NONE", "", None):
        with pytest.raises(Unauthenticated):
            asked(memory, provider.settings(), forged({"alg": algorithm, "kid": "1"}, provider.claims()))


def test_a_public_key_is_no_secret_to_sign_with(memory: Memory, provider: Provider) -> None:
    """RFC 8725, 2.1: a verifier that trusts ``alg`` takes the public key for the secret of an HMAC."""
    public = KEY.public_key()
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    for secret in (public.public_bytes(*pem), public.public_bytes(*der), RSAAlgorithm.to_jwk(public).encode()):
        for kid in ("1", "secret"):
            with pytest.raises(Unauthenticated):
                asked(memory, provider.settings(), forged({"alg": "HS256", "kid": kid}, provider.claims(), secret))
    with pytest.raises(Unauthenticated):  # a secret that the provider shows everybody is none either
        asked(memory, provider.settings(), forged({"alg": "HS256", "kid": "secret"}, provider.claims(), b"secret"))


def test_keys_that_a_token_brings_along_are_not_looked_at(memory: Memory, provider: Provider) -> None:
    own = json.loads(RSAAlgorithm.to_jwk(STRANGER.public_key()))
    for headers in ({"jwk": own, "kid": "1"}, {"jku": "http://127.0.0.1:1/keys", "kid": "1"}, {"jwk": own}):
        with pytest.raises(Unauthenticated):
            asked(memory, provider.settings(), jwt.encode(provider.claims(), STRANGER, "RS256", headers=headers))


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [
        (STRANGER, "RS256", "1"),
        (STRANGER, "RS256", "3"),
        (KEY, "RS256", "2"),
        (CURVE, "ES256", "1"),
        (KEY, "RS256", None),  # two keys could be meant
        (WEAK, "RS256", "weak"),
    ],
)
def test_signatures_of_others_do_not_count(
    memory: Memory, provider: Provider, key: Any, algorithm: str, kid: str | None
) -> None:
    with pytest.raises(Unauthenticated):
        asked(memory, provider.settings(), provider.token(key, algorithm, kid))


@pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.", "\x00.\x00.\x00", "é.é.é"])
def test_what_is_no_token_does_not_count(memory: Memory, provider: Provider, token: str) -> None:
    with pytest.raises(Unauthenticated):
        asked(memory, provider.settings(), token)


def test_a_changed_token_does_not_count(memory: Memory, provider: Provider) -> None:
    head, body, mark = provider.token().split(".")
    other = provider.token(sub="bob").split(".")[1]
    with pytest.raises(Unauthenticated):
        asked(memory, provider.settings(), f"{head}.{other}.{mark}")
    assert asked(memory, provider.settings(), f"{head}.{body}.{mark}").owner == "user:ann"


def test_keys_are_fetched_when_they_are_needed_and_not_as_often_as_strangers_like(provider: Provider) -> None:
    now = 0.0
    tokens = Tokens(provider.settings(oidc_jwks_url=f"{provider.issuer}/keys"), lambda: now)
    for _ in range(3):
        tokens.caller(provider.token())
    for number in range(20):
        with pytest.raises(Unauthenticated):
            tokens.caller(provider.token(kid=f"made up {number}"))
    assert len(provider.asked) == 1
    now += PAUSE_S  # the provider changes its keys
    provider.keys = [{**json.loads(RSAAlgorithm.to_jwk(STRANGER.public_key())), "kid": "new"}]
    assert tokens.caller(provider.token(STRANGER, kid="new")).owner == "user:ann"
    with pytest.raises(Unauthenticated):
        tokens.caller(provider.token())
    assert len(provider.asked) == 2


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_provider_that_fails_lets_nobody_in_and_is_not_asked_by_each_request(provider: Provider, status: int) -> None:
    provider.status = status
    tokens = Tokens(provider.settings(oidc_jwks_url=f"{provider.issuer}/elsewhere"), lambda: 0.0)
    for _ in range(3):
        with pytest.raises(ProviderError):
            tokens.caller(provider.token())
    assert provider.asked == ["/elsewhere"]


def test_a_provider_that_calls_itself_otherwise_is_not_believed(provider: Provider) -> None:
    provider.calls_itself = "https://elsewhere.example"
    with pytest.raises(ProviderError):
        Tokens(provider.settings()).caller(provider.token())


@pytest.mark.parametrize("url", ["http://id.example.org", "id.example.org", "file:///etc/passwd", "https://"])
def test_keys_over_an_open_line_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Tokens(ServerSettings(oidc_issuer=url, oidc_audience=AUDIENCE))
