"""``keys`` on the command line."""

import pytest

from anamnos import Memory
from anamnos.errors import Unauthenticated

from .conftest import Cli


def test_a_key_is_shown_once_and_works_until_it_is_revoked(anamnos: Cli) -> None:
    shown = anamnos.run("keys", "create", "backend", "--of-tenant", "acme", "--right", "read")
    text = shown.stdout.strip()
    assert "cannot be shown again" in shown.stderr
    (key,) = anamnos.json("keys", "list")["keys"]
    assert (key["name"], key["tenants"], key["rights"], key["operator"]) == ("backend", ["acme"], ["read"], False)
    listed = anamnos.run("keys", "list").stdout
    assert key["id"] in listed
    assert text.split("_", 2)[2] not in listed
    with Memory(anamnos.vault, embedder="hashing") as memory:
        assert memory.keys.check(text).id == key["id"]
        assert anamnos.json("keys", "revoke", key["id"]) == {"revoked": key["id"]}  # by another opening of the vault
        with pytest.raises(Unauthenticated):
            memory.keys.check(text)
    assert "No keys." in anamnos.run("keys", "list").stdout
    assert "not_found" in anamnos.run("keys", "revoke", key["id"], "--json", code=3).stderr


def test_what_a_key_may_be_is_told_by_options(anamnos: Cli) -> None:
    every = anamnos.json("keys", "create", "every", "--all-tenants")
    assert (every["tenants"], every["rights"]) == (None, ["read", "write", "share", "all"])
    assert every["key"].startswith(f"anm_{every['id']}_")
    own = anamnos.json("keys", "create", "phone", "--owner", "user:ann", "--days", "30")
    assert (own["tenants"], own["owner"], own["rights"]) == (["default"], "user:ann", ["read", "write", "share"])
    assert own["expires_at"] > own["created_at"]
    ops = anamnos.json("keys", "create", "ops", "--operator")
    assert (ops["tenants"], ops["operator"]) == (None, True)
    text = anamnos.run("keys", "list").stdout
    assert "operator" in text
    assert "user:ann" in text
    assert "revoked" not in anamnos.run("keys", "revoke", ops["id"], "--json").stderr
    assert "revoked" in anamnos.run("keys", "revoke", own["id"]).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("x", "--operator", "--of-tenant", "acme"),
        ("x", "--operator", "--right", "read"),
        ("x", "--operator", "--owner", "user:ann"),
        ("x", "--right", "fly"),
        ("x", "--owner", "ann"),
        ("x", "--owner", "role:auditor"),
        ("x", "--days", "0"),
        (" ",),
    ],
)
def test_what_makes_no_sense_is_refused_and_makes_no_key(anamnos: Cli, words: tuple[str, ...]) -> None:
    anamnos.add("A vault.")
    anamnos.run("keys", "create", *words, code=2)
    assert anamnos.json("keys", "list")["keys"] == []
