"""Who sends a request, by API keys: what a caller may be, and never more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory
from anamnos.config import ServerSettings, check_bind, load_server_settings, load_settings
from anamnos.errors import AccessDenied, ConfigError, Unauthenticated
from anamnos.server import auth
from anamnos.server.auth import Authenticator, session_key
from anamnos.server.callers import Caller
from anamnos.system.governance.access import DEFAULT_RIGHTS, RIGHTS, Principal
from anamnos.testing import FakeEmbedder

TENANTS = ("a", "b", "default")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as opened:
        yield opened


def asked(memory: Memory, text: str, **settings: Any) -> Caller:
    return Authenticator(memory.keys, ServerSettings(**settings)).authenticate({"Authorization": f"Bearer {text}"})


# --- API keys


def test_a_key_of_an_application(memory: Memory) -> None:
    caller = asked(memory, memory.keys.create("backend", tenants=("a",)).text)
    assert caller == Caller("key:backend", ("a",), (*DEFAULT_RIGHTS, "all"))
    assert caller.principal("a") == Principal("key:backend", "a", (*DEFAULT_RIGHTS, "all"))
    with pytest.raises(AccessDenied):
        caller.principal("b")


def test_a_key_of_an_operator_is_the_application(memory: Memory) -> None:
    caller = asked(memory, memory.keys.create("ops", operator=True).text)
    assert (caller.operator, caller.tenants, caller.principal("anything")) == (True, None, None)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"authorization": "Basic YW5uOnNlY3JldA=="},
        {"authorization": "Bearer anm_000000000000_" + "x" * 43},
        {"authorization": "Bearer " + "x" * 9_000},
        {"authorization": "Bearer a.b.c"},  # no provider is set
        {"x-api-key": "anything"},
    ],
)
def test_without_a_key_that_counts_nobody_is_let_in(memory: Memory, headers: dict[str, str]) -> None:
    memory.keys.create("backend")
    with pytest.raises(Unauthenticated) as caught:
        Authenticator(memory.keys, ServerSettings(), session_key()).authenticate(headers)
    assert caught.value.http_status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")
    assert "x" * 9 not in str(caught.value)


def test_the_name_of_header_and_scheme_may_be_written_in_any_case(memory: Memory) -> None:
    text = memory.keys.create("backend").text
    known = Authenticator(memory.keys, ServerSettings())
    for name, scheme in (("authorization", "bearer"), ("AUTHORIZATION", "BEARER")):
        assert known.authenticate({name: f"{scheme} {text}"}).name == "key:backend"


def test_revoking_takes_a_caller_away_at_once(memory: Memory) -> None:
    key = memory.keys.create("backend")
    known = Authenticator(memory.keys, ServerSettings())
    headers = {"authorization": f"Bearer {key.text}"}
    known.authenticate(headers)
    memory.keys.revoke(key.id)
    with pytest.raises(Unauthenticated):
        known.authenticate(headers)


# --- the key of one run, and none


def test_the_key_of_a_run_counts_for_this_run_only(memory: Memory) -> None:
    text = session_key()
    caller = Authenticator(memory.keys, ServerSettings(), text).authenticate({"authorization": f"Bearer {text}"})
    assert (caller.operator, caller.principal("a")) == (True, None)
    assert memory.keys.list() == []
    with pytest.raises(Unauthenticated):
        Authenticator(memory.keys, ServerSettings(), session_key()).authenticate({"authorization": f"Bearer {text}"})


def test_the_key_of_a_run_is_compared_in_constant_time(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    compared, really = [], auth.hmac.compare_digest
    monkeypatch.setattr(auth.hmac, "compare_digest", lambda *pair: compared.append(pair) or really(*pair))
    with pytest.raises(Unauthenticated):
        Authenticator(memory.keys, ServerSettings(), session_key()).authenticate({"authorization": "Bearer wrong"})
    assert len(compared) == 2  # with the key of the run, and with that of no key


def test_without_auth_everybody_on_this_machine_is_let_in(memory: Memory) -> None:
    caller = Authenticator(memory.keys, ServerSettings(auth="none")).authenticate({})
    assert (caller.operator, caller.tenants) == (True, None)
    with pytest.raises(ConfigError):
        Authenticator(memory.keys, ServerSettings(auth="none", host="0.0.0.0"))


# --- a key that stands for a principal


def test_a_registered_owner_has_no_more_than_both_allow(memory: Memory) -> None:
    memory.policy.register("role:auditor")
    memory.policy.register("user:ann", rights=("read", "share"), roles=("role:auditor",))
    text = memory.keys.create("phone", owner="user:ann", rights=("read", "write", "admin")).text
    caller = asked(memory, text)
    assert caller == Caller("key:phone", ("default",), ("read", "share"), "user:ann", ("role:auditor",))
    assert caller.principal("default") == Principal("user:ann", "default", ("read", "share"), ("role:auditor",))
    memory.policy.register("user:ann", rights=("read",))  # what is taken away counts at once
    assert asked(memory, text).rights == ("read",)
    memory.policy.remove("user:ann")
    assert asked(memory, text).rights == ("read", "write", "admin")


def test_a_registered_owner_is_of_one_tenant(memory: Memory) -> None:
    memory.policy.register("user:ann", tenant="a", rights=("read",))
    every = asked(memory, memory.keys.create("x", owner="user:ann", tenants=None).text)
    assert (every.tenants, every.rights) == (("a",), ("read",))
    namesake = asked(memory, memory.keys.create("x", owner="user:ann", tenants=("b",)).text)
    assert (namesake.tenants, namesake.rights) == (("b",), DEFAULT_RIGHTS)


def test_an_owner_with_nothing_in_common_with_its_key_is_refused(memory: Memory) -> None:
    memory.policy.register("user:ann", rights=("read",))
    with pytest.raises(AccessDenied):
        asked(memory, memory.keys.create("x", owner="user:ann", rights=("write",)).text)


def test_who_must_say_a_purpose_is_refused_rather_than_let_in_without(memory: Memory) -> None:
    memory.policy.register("user:ann", purposes=("care",))
    with pytest.raises(AccessDenied, match="purposes"):
        asked(memory, memory.keys.create("x", owner="user:ann").text)


some_rights = st.lists(st.sampled_from(RIGHTS), min_size=1, unique=True).map(tuple)
some_tenants = st.none() | st.lists(st.sampled_from(TENANTS), min_size=1, unique=True).map(tuple)


@given(
    tenants=some_tenants,
    rights=st.none() | some_rights,
    owner=st.sampled_from(("", "user:ann", "agent:tutor")),
    registered=st.none() | st.tuples(st.sampled_from(TENANTS), some_rights),
)
def test_no_key_gives_a_principal_of_another_tenant_or_with_more_rights(
    tmp_path_factory: pytest.TempPathFactory,
    tenants: tuple[str, ...] | None,
    rights: tuple[str, ...] | None,
    owner: str,
    registered: tuple[str, tuple[str, ...]] | None,
) -> None:
    with Memory(tmp_path_factory.mktemp("vault"), embedder=FakeEmbedder()) as memory:
        key = memory.keys.create("backend", tenants=tenants, rights=rights, owner=owner)
        if registered is not None:
            memory.policy.register(owner or "key:backend", tenant=registered[0], rights=registered[1])
        for tenant in (*TENANTS, "unheard-of"):
            try:
                who = asked(memory, key.text).principal(tenant)
            except AccessDenied:
                continue
            assert who is not None
            assert tenants is None or tenant in tenants
            assert (who.tenant, who.name) == (tenant, owner or "key:backend")
            allowed = Principal("user:x", rights=key.rights)
            assert all(allowed.may(right) for right in who.rights)
            if registered is not None and registered[0] == tenant:
                given_to = Principal("user:x", rights=registered[1])
                assert all(given_to.may(right) for right in who.rights)


# --- settings


def test_settings_of_the_server_come_from_the_call_the_environment_and_the_file(tmp_path: Path) -> None:
    (tmp_path / "anamnos.toml").write_text('batch_size = 8\n[server]\nport = 1\nthreads = 2\nhosts = "x.example"\n')
    settings = load_server_settings(tmp_path, {"port": 3, "host": None}, {"ANAMNOS_SERVER_THREADS": "4"})
    assert (settings.port, settings.threads, settings.hosts, settings.host) == (3, 4, "x.example", "127.0.0.1")
    assert load_settings(tmp_path).batch_size == 8
    assert load_server_settings(tmp_path, {"port": 0, "rate_per_minute": 0}).rate_per_minute == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prot": 1}, "no setting"),
        ({"port": -1}, "above 0"),
        ({"port": 70_000}, "no port"),
        ({"threads": 0}, "above 0"),
        ({"body_mb": "much"}, "no float"),
        ({"auth": "maybe"}, "cannot be"),
        ({"web": "yes"}, "cannot be"),
        ({"oidc_issuer": "https://id.example"}, "oidc_audience"),
        ({"auth": "none", "cors": "https://x.example"}, "auth is none"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_server_settings(tmp_path, wrong)


def test_a_server_entry_that_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "anamnos.toml").write_text("server = 1\n")
    with pytest.raises(ConfigError, match="no table"):
        load_server_settings(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_at_an_address_of_this_machine_all_is_allowed(host: str) -> None:
    for settings in (ServerSettings(host=host), ServerSettings(host=host, auth="none")):
        check_bind(settings, keys_exist=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "memory.example.org"])
def test_a_public_address_needs_somebody_who_is_let_in_and_others_who_are_not(host: str) -> None:
    for settings in (ServerSettings(host=host), ServerSettings(host=host, auth="none")):
        with pytest.raises(ConfigError):
            check_bind(settings, keys_exist=False)
    with pytest.raises(ConfigError):
        check_bind(ServerSettings(host=host, auth="none"), keys_exist=True)
    check_bind(ServerSettings(host=host), keys_exist=True)
    check_bind(ServerSettings(host=host, oidc_issuer="https://id.example", oidc_audience="x"), keys_exist=False)
