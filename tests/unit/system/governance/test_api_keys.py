"""Keys: what is kept of them, who may make them, and that nothing but the key itself opens anything."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.errors import AccessDenied, InvalidInput, NotFound, Unauthenticated
from anamnos.system.governance import keys as module
from anamnos.system.governance.access import DEFAULT_RIGHTS, RIGHTS, Principal
from anamnos.testing import FakeClock, FakeEmbedder

NOW = datetime(2024, 5, 1, tzinfo=UTC)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder(), clock=clock) as opened:
        yield opened


def test_a_key_is_what_it_was_made_to_be(memory: Memory) -> None:
    made = memory.keys.create("backend", tenants=("acme", "umbrella"), rights=("read",), owner="user:ann")
    known = memory.keys.check(made.text)
    assert known == made
    assert known.text == ""
    assert made.text not in repr(made)
    assert (known.tenants, known.rights, known.owner) == (("acme", "umbrella"), ("read",), "user:ann")
    assert "text" not in known.to_dict()
    assert made.text.split("_", 2)[2] not in str(made.to_dict())


def test_what_is_not_said_is_little(memory: Memory) -> None:
    assert memory.keys.create("backend").tenants == ("default",)
    assert memory.keys.create("backend").rights == (*DEFAULT_RIGHTS, "all")
    assert memory.keys.create("phone", owner="user:ann").rights == DEFAULT_RIGHTS
    ops = memory.keys.create("ops", operator=True)
    assert (ops.tenants, ops.rights, ops.operator) == (None, RIGHTS, True)


def test_only_a_hash_is_kept(memory: Memory, tmp_path: Path) -> None:
    text = memory.keys.create("backend").text
    secret = text.split("_", 2)[2].encode()
    memory.close()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert hashlib.sha256(text.encode()).hexdigest().encode() in b"".join(files)
    assert not any(secret in held for held in files)


def test_revoking_counts_at_once_in_every_process(memory: Memory, tmp_path: Path) -> None:
    key, other = memory.keys.create("one"), memory.keys.create("two")
    with Memory(tmp_path, embedder=FakeEmbedder()) as elsewhere:
        assert elsewhere.keys.check(key.text).id == key.id
        assert memory.keys.revoke(key.id).name == "one"
        with pytest.raises(Unauthenticated):
            elsewhere.keys.check(key.text)
        assert elsewhere.keys.check(other.text).id == other.id
    assert [kept.id for kept in memory.keys.list()] == [other.id]
    with pytest.raises(NotFound):
        memory.keys.revoke(key.id)


def test_a_key_ends_by_itself(memory: Memory, clock: FakeClock) -> None:
    key = memory.keys.create("guest", expires_at=clock.now + timedelta(hours=1))
    memory.keys.check(key.text)
    clock.now = key.expires_at or NOW
    with pytest.raises(Unauthenticated):
        memory.keys.check(key.text)
    with pytest.raises(InvalidInput, match="over already"):
        memory.keys.create("guest", expires_at=NOW - timedelta(days=1))


def test_making_and_revoking_are_entered_into_the_audit(memory: Memory) -> None:
    key = memory.keys.create("backend")
    memory.keys.revoke(key.id)
    assert [seen.entry.verb for seen in memory.audit.list()] == ["create key", "revoke key"]
    assert memory.audit.verify() == []


@given(place=st.integers(0, 59), letter=st.sampled_from(LETTERS), data=st.data())
def test_a_key_with_one_wrong_character_opens_nothing(
    tmp_path_factory: Any, place: int, letter: str, data: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "one-character"
    with Memory(folder, embedder=FakeEmbedder()) as memory:
        text = memory.keys.create("backend").text
        assert len(text) == 60
        wrong = text[:place] + letter + text[place + 1 :]
        if wrong == text:
            assert memory.keys.check(wrong).name == "backend"
        else:
            with pytest.raises(Unauthenticated):
                memory.keys.check(wrong)
        for other in (text + letter, text[:-1], text.upper(), f" {text}", text + "\n", data.draw(st.text(max_size=80))):
            with pytest.raises(Unauthenticated):
                memory.keys.check(other)


def test_the_secret_of_one_key_does_not_fit_another(memory: Memory) -> None:
    one, two = memory.keys.create("one"), memory.keys.create("two", tenants=("other",))
    mixed = f"anm_{two.id}_{one.text.partition(one.id + '_')[2]}"
    with pytest.raises(Unauthenticated):
        memory.keys.check(mixed)


def test_what_is_unknown_is_compared_like_what_is_known(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may tell a known id from an unknown one, nor how much of a key was right."""
    compared: list[tuple[str, str]] = []
    really = hmac.compare_digest

    def watched(one: str, other: str) -> bool:
        compared.append((one, other))
        return really(one, other)

    monkeypatch.setattr(module.hmac, "compare_digest", watched)
    key = memory.keys.create("backend")
    unknown = f"anm_{'0' * 12}_{'x' * 43}"
    said = []
    for text in (f"anm_{key.id}_{'x' * 43}", unknown, "no key at all", "", "anm_\udcff"):
        with pytest.raises(Unauthenticated) as caught:
            memory.keys.check(text)
        said.append(caught.value.to_dict())
    assert len(compared) == 5
    assert {len(one) for pair in compared for one in pair} == {64}
    assert all(one == said[0] for one in said)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x", "tenants": ()},
        {"name": "x", "tenants": "acme"},
        {"name": "x", "tenants": ("",)},
        {"name": "x", "rights": ()},
        {"name": "x", "rights": ("fly",)},
        {"name": "x", "owner": "ann"},
        {"name": "x", "owner": "role:auditor"},
        {"name": "x", "owner": "key:other"},
        {"name": "x", "owner": "user:ann", "operator": True},
        {"name": "x", "expires_at": datetime(2030, 1, 1)},  # noqa: DTZ001  (that is what is wrong with it)
    ],
)
def test_bad_input_makes_no_key(memory: Memory, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        memory.keys.create(**wrong)
    assert memory.keys.list() == []


# --- who may


def test_only_administrators_have_to_do_with_keys(memory: Memory) -> None:
    key = memory.keys.create("backend")
    ann = memory.as_principal(Principal("user:ann"))
    for verb in (lambda: ann.keys.create("x"), ann.keys.list, lambda: ann.keys.revoke(key.id)):
        with pytest.raises(AccessDenied):
            verb()
    assert [kept.id for kept in memory.keys.list()] == [key.id]
    assert [seen.entry.decision for seen in memory.audit.list()] == ["allowed", "denied", "denied", "denied"]


@pytest.mark.parametrize(
    "further",
    [
        {"tenants": None},
        {"tenants": ("other",)},
        {"tenants": ("default", "other")},
        {"operator": True},
        {"rights": ("read", "sensitive")},
    ],
)
def test_an_administrator_makes_no_key_that_reaches_further_than_itself(
    memory: Memory, further: dict[str, Any]
) -> None:
    boss = memory.as_principal(Principal("user:boss", rights=("admin",)))
    with pytest.raises(AccessDenied):
        boss.keys.create("x", **further)
    assert memory.keys.list() == []


def test_an_administrator_sees_and_revokes_the_keys_of_its_tenant_only(memory: Memory) -> None:
    boss = memory.as_principal(Principal("user:boss", rights=("admin",)))
    own, hidden = boss.keys.create("own"), memory.keys.create("hidden", tenants=None)
    other = memory.keys.create("other", tenants=("other",))
    assert [key.id for key in boss.keys.list()] == [own.id]
    for key in (hidden, other):
        with pytest.raises(NotFound):
            boss.keys.revoke(key.id)
    boss.keys.revoke(own.id)
    assert {key.id for key in memory.keys.list()} == {hidden.id, other.id}


def test_the_keys_of_a_person_go_with_the_person(memory: Memory) -> None:
    memory.add("The spare key is under the blue pot.", Scope(user="ann"))
    gone = [memory.keys.create("phone", owner="user:ann"), memory.keys.create("all", tenants=None, owner="user:ann")]
    kept = [memory.keys.create("phone", owner="user:bob"), memory.keys.create("p", tenants=("b",), owner="user:ann")]
    kept.append(memory.keys.create("backend"))
    report = memory.forget_person("ann")
    assert (report.own, report.records) == (1, 2)
    assert {key.id for key in memory.keys.list()} == {key.id for key in kept}
    for key in gone:
        with pytest.raises(Unauthenticated):
            memory.keys.check(key.text)
