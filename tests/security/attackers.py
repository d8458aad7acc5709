"""Two tenants in one vault, whose people and keys have the same names; and the same requests about what is there and
about what is not, to be compared."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as part
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.testclient import TestClient

from anamnos import Memory
from anamnos.config import ServerSettings
from anamnos.cube import Scope
from anamnos.server.app import create_app
from anamnos.testing import FakeEmbedder
from anamnos.types import Comparison, Field, Where

BASE = "http://127.0.0.1"
MINE, THEIRS = "tenant-alfa", "tenant-berta"
SECRETS = ("hippogriff", "heliotrope", "zeppelin")
"""Words that only the victims' memories hold, and that no request of an attacker does."""
ISSUED_FOR = "anamnos"


@dataclass
class Victim:
    """What is there and is not the attacker's.

    there  ids, names and numbers that an attacker may have heard of -> some of the same kind that are not there
    """

    scope: dict[str, str]
    ids: list[str]
    there: dict[str, str] = part(default_factory=dict)

    def elsewhere(self, value: Any) -> Any:
        """Return a request, or an answer, with everything that is there replaced by what is not."""
        if isinstance(value, str):
            for real, none in self.there.items():
                value = re.sub(rf"(?<![\w-]){re.escape(real)}(?![\w-])", none, value)
            return value
        if isinstance(value, Mapping):
            return {self.elsewhere(name): self.elsewhere(inner) for name, inner in value.items()}
        return [self.elsewhere(one) for one in value] if isinstance(value, list | tuple) else value


@dataclass
class House:
    """A served vault with its victims, and the headers of those who attack and of those who do not."""

    client: TestClient
    memory: Memory
    attackers: dict[str, dict[str, str]]
    operator: dict[str, str]
    app_of_theirs: dict[str, str]
    owner_of_theirs: dict[str, str]
    neighbour: Victim
    housemate: Victim
    own: list[str]

    def kept(self, victim: Victim) -> str:
        """Return all that is stored of a victim: versions, vectors, working memory, rights, rules, keys, jobs."""
        store, ledger = self.memory.vault.store, self.memory.vault.store.ledger
        tenant, user = victim.scope["tenant"], victim.scope["user"]
        whose = [s for s in store.scopes() if s.tenant == tenant and (tenant != MINE or s.user == user)]
        cubes = [
            (cube.to_dict(), repr(derived), key.hex())
            for scope in sorted(whose, key=str)
            for cube, derived, key in store.export(scope)
        ]
        working = [[kept.id for kept in store.working.load(scope)] for scope in sorted(whose, key=str)]
        kinds: Any = ("principal", "grant", "key", "rule", "quota") if tenant != MINE else ()
        records = [
            {name: value for name, value in ledger.records(kind).items() if value.get("tenants") != [MINE]}
            for kind in kinds
        ]
        jobs = [job.to_dict() for job in self.memory.jobs.list(limit=100)]
        return json.dumps([cubes, working, records, jobs], default=str, sort_keys=True)


@contextlib.contextmanager
def house(folder: Path) -> Iterator[House]:
    """Yield two tenants under one roof."""
    with _provider() as (issuer, token):
        settings = ServerSettings(
            rate_per_minute=0,
            mcp="on",
            web="on",
            oidc_issuer=issuer,
            oidc_audience=ISSUED_FOR,
            ingest_hosts="x.example",
        )
        memory = Memory(folder / "vault", embedder=FakeEmbedder(), working="on")
        app = create_app(memory, settings)
        with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
            yield _furnished(client, memory, token)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def _furnished(client: TestClient, memory: Memory, token: Any) -> House:
    keys = memory.keys
    operator = bearer(keys.create("root", operator=True).text)

    def both(name: str, **more: Any) -> list[dict[str, str]]:
        return [bearer(keys.create(name, tenants=[tenant], **more).text) for tenant in (MINE, THEIRS)]

    app, app_of_theirs = both("app")
    own, own_of_theirs = both("own", owner="user:ann")
    chief, _ = both("chief", rights=["admin", "sensitive"])
    attackers = {"app": app, "owner": own, "chief": chief, "token": bearer(token("ann", MINE))}
    neighbour = _victim(client, app_of_theirs, {"tenant": THEIRS, "user": "ann", "session": "zulu"}, "Zebedee")
    housemate = _victim(client, app, {"tenant": MINE, "user": "bob", "session": "zorro"}, "Zacharias")
    client.patch(
        f"/v1/memories/{neighbour.ids[0]}",
        json={"scope": neighbour.scope, "content": "The heliotrope hippogriff moved."},
        headers=own_of_theirs,
    )
    memory.policy.register("user:carl", tenant=THEIRS)
    memory.policy.add_rule("rule-of-berta", Where(Field.TENANT, Comparison.EQ, THEIRS), 9_000.0, "archive")
    job = memory.jobs.add("enrich", Scope(THEIRS, "ann"), payload={"zeppelin": 1})
    memory.quotas.set(Scope(THEIRS, "ann"), memories=1_000)
    key_id = next(key.id for key in keys.list() if key.tenants == (THEIRS,))
    neighbour.there |= {
        THEIRS: "tenant-none0",
        "zulu": "nulu",
        "rule-of-berta": "rule-of-nobody",
        "user:carl": "user:none",
        key_id: "0123456789ab",
        f"jobs/{job.id}": "jobs/987654",
    }
    housemate.there |= {"bob": "nob", "user:bob": "user:nob", "zorro": "norro"}
    mine = [
        one
        for text in ("Mine is the pot. I live in Porto.", "Mine is the key.")
        for one in _post(client, app, text, {"tenant": MINE, "user": "ann"})
    ]
    return House(client, memory, attackers, operator, app_of_theirs, own_of_theirs, neighbour, housemate, mine)


def _victim(client: TestClient, head: dict[str, str], scope: dict[str, str], who: str) -> Victim:
    ids = _post(client, head, f"{who} keeps a heliotrope hippogriff.", scope)
    ids += _post(client, head, f"I live with {who} in the zeppelin. I moved there in 2019.", scope)
    client.post("/v1/search", json={"scope": scope, "query": "Where is the hippogriff?"}, headers=head)
    return Victim(scope, ids, {one: f"{one[:-4]}ffff" for one in ids})


def _post(client: TestClient, head: dict[str, str], text: str, scope: dict[str, str]) -> list[str]:
    answer = client.post("/v1/memories", json={"content": text, "scope": scope}, headers=head)
    assert answer.status_code == 201, answer.text
    found: list[str] = answer.json()["ids"]
    return found


@contextlib.contextmanager
def _provider() -> Iterator[tuple[str, Any]]:
    """Yield the address of an OpenID Connect provider on loopback, and what makes its tokens."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = {**json.loads(ECAlgorithm.to_jwk(private.public_key())), "kid": "1", "alg": "ES256"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            described = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
            said = json.dumps(described if self.path.startswith("/.well-known") else {"keys": [public]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(subject: str, tenant: str) -> str:
        claims = {"iss": issuer, "aud": ISSUED_FOR, "sub": subject, "tenant": tenant, "exp": time.time() + 3_600}
        return jwt.encode(claims, private, "ES256", headers={"kid": "1"})

    try:
        yield issuer, token
    finally:
        server.shutdown()
        server.server_close()
