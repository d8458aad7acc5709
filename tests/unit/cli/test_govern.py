"""``policy``, ``audit``, ``expire`` and ``forget-person`` on the command line."""

from collections.abc import Callable

import apsw

from .conftest import Cli


def test_principals_and_shares(anamnos: Cli) -> None:
    cube_id = anamnos.add("The spare key is under the blue pot.")
    assert "unknown_principal" in anamnos.run("policy", "share", cube_id, "--to", "user:bob", "--json", code=2).stderr
    assert anamnos.json("policy", "register", "user:bob", "--right", "read")["principals"] == [
        {"name": "user:bob", "tenant": "default", "rights": ["read"], "roles": [], "purposes": []}
    ]
    assert "user:bob" in anamnos.run("policy", "show").stdout
    assert anamnos.json("policy", "share", cube_id, "--to", "user:bob")["outcomes"] == ["updated"]
    anamnos.run("policy", "share", cube_id, "--to", "user:bob", "--until", "2999-01-01")
    (shown,) = anamnos.json("policy", "show", cube_id)["memories"]
    assert (shown["visibility"], shown["readers"]) == ("private", ["user:bob"])
    assert [grant["to"] for grant in shown["grants"]] == ["user:bob"]
    anamnos.run("policy", "unshare", cube_id)
    (shown,) = anamnos.json("policy", "show", cube_id)["memories"]
    assert (shown["readers"], shown["grants"]) == ([], [])
    anamnos.run("policy", "remove", "user:bob")
    assert anamnos.json("policy", "show")["principals"] == []


def test_rules_and_expire(anamnos: Cli) -> None:
    cube_id = anamnos.add("A call.", "--tag", "call")
    tree = '{"field": "tag", "op": "eq", "value": "call"}'
    assert "Give --filter" in anamnos.run("policy", "rules", "--add", "calls", code=2).stderr
    assert "not JSON" in anamnos.run("policy", "rules", "--add", "r", "--days", "1", "--filter", "{", code=2).stderr
    rules = anamnos.json("policy", "rules", "--add", "calls", "--filter", tree, "--days", "0", "--action", "erase")
    assert rules["rules"][0]["name"] == "calls"
    assert anamnos.json("expire", "--all")["outcomes"] == ["deleted"]
    assert "Nothing had to change." in anamnos.run("expire").stdout
    assert cube_id in anamnos.run("get", cube_id, code=3).stderr
    assert anamnos.json("policy", "rules", "--remove", "calls")["rules"] == []


def test_audit_list_and_verify(anamnos: Cli) -> None:
    cube_id = anamnos.add("The spare key is under the blue pot.")
    anamnos.run("lifecycle", "freeze", cube_id)
    anamnos.run("delete", cube_id, "--yes", code=4)
    listed = anamnos.json("audit", "list", "--memory", cube_id)
    assert [(e["verb"], e["decision"]) for e in listed["entries"]] == [
        ("add", "allowed"),
        ("transition", "allowed"),
        ("write", "denied"),
    ]
    text = anamnos.run("audit", "list").stdout
    assert "the application" in text
    assert cube_id in text
    assert "blue pot" not in text
    assert anamnos.json("audit", "verify", "--head", listed["head"]) == {
        "ok": True,
        "problems": [],
        "head": listed["head"],
    }
    db = apsw.Connection(str(anamnos.vault / "anamnos.db"))
    db.execute("DROP TRIGGER audit_keeps_words")
    db.execute("UPDATE audit SET verb = 'read' WHERE seq = 2")
    db.close()
    assert "entry 2 was changed" in anamnos.run("audit", "verify", code=7).stdout


def test_forget_person_asks_and_reports(anamnos: Cli, somebody_is_there: Callable[[], None]) -> None:
    anamnos.add("The spare key is under the blue pot.")
    assert "--yes" in anamnos.run("forget-person", "ann", code=2).stderr
    somebody_is_there()
    anamnos.run("forget-person", "ann", stdin="bob\n", code=130)
    assert "erased" in anamnos.run("forget-person", "ann", stdin="ann\n").stdout
    report = anamnos.json("forget-person", "ann", "--yes")
    assert (report["state"], report["own"], report["residue"]) == ("erased", 0, [])
