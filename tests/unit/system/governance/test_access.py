"""Who sees and changes what: the rule by hand, then a thousand random pairs through every verb."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope
from anamnos.cube import CubeId, MemCube, Policy, Provenance, Role, State, Visibility
from anamnos.errors import AccessDenied, AnamnosError, InvalidInput, NotFound, UnknownPrincipal
from anamnos.ingest.plan import content_key
from anamnos.store.apply import apply
from anamnos.system.governance.access import ADMIN, ALL, READ, RIGHTS, SENSITIVE, SHARE, WRITE, Grant, Principal, may
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Op, OpKind, Where

ANN, BOB = Scope(user="ann"), Scope(user="bob")
NOW = datetime(2024, 5, 1, tzinfo=UTC)
ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))
_new_id = seeded_ids(9)


def opened(folder: Path, principal: str | None = None, clock: FakeClock | None = None, **more: Any) -> Memory:
    settings = {"embedder": FakeEmbedder(), "clock": clock or FakeClock(NOW), "principal": principal, **more}
    return Memory(folder, **settings)


def cube(scope: Scope = ANN, **policy: Any) -> MemCube:
    return MemCube(id=_new_id(NOW), content="x", scope=scope, policy=Policy(**policy))


TUTORING = Scope(user="ann", agent="tutor")
RULE = [  # who, right, memory, allowed
    ("user:ann", READ, cube(), True),
    ("user:ann", WRITE, cube(), True),
    ("user:ann", SHARE, cube(), True),
    ("user:bob", READ, cube(), False),
    ("user:bob", READ, cube(readers=("user:bob",)), True),
    ("user:bob", WRITE, cube(readers=("user:bob",)), False),
    ("user:bob", READ, cube(writers=("user:bob",)), True),
    ("user:bob", WRITE, cube(writers=("user:bob",)), True),
    ("user:bob", SHARE, cube(writers=("user:bob",)), False),
    ("user:bob", READ, cube(readers=("role:auditor",)), True),
    ("user:ann", READ, cube(BOB, readers=("role:auditor",)), False),
    ("user:bob", READ, cube(visibility="project"), True),
    ("user:bob", WRITE, cube(visibility="public"), False),
    ("user:bob", READ, cube(visibility="session"), False),
    ("agent:tutor", READ, cube(TUTORING), False),
    ("agent:tutor", READ, cube(TUTORING, visibility="session"), True),
    ("agent:coach", READ, cube(TUTORING, visibility="session"), False),
    ("agent:tutor", READ, cube(Scope(agent="tutor")), True),
    ("user:bob", READ, cube(Scope("other", user="bob")), False),
    ("user:bob", READ, cube(Scope("other", user="bob"), readers=("user:bob",)), False),
    ("user:bob", READ, cube(Scope("other", user="bob"), visibility="project"), False),
    ("user:bob", READ, cube(Scope("other", user="bob"), visibility="public"), True),
    ("user:root", READ, cube(), True),
    ("user:root", WRITE, cube(BOB), True),
    ("user:root", READ, cube(Scope("other", user="ann")), False),
    ("user:mute", READ, cube(Scope(user="mute")), False),
    ("key:desk", READ, cube(), True),
    ("key:desk", WRITE, cube(BOB), True),
    ("key:desk", SHARE, cube(), False),
    ("key:desk", READ, cube(Scope("other", user="ann")), False),
    ("key:desk", READ, cube(Scope("other", user="ann"), visibility="public"), False),
    ("key:looker", READ, cube(), True),
    ("key:looker", WRITE, cube(), False),
]
WHO = {
    "user:ann": Principal("user:ann"),
    "user:bob": Principal("user:bob", roles=("role:auditor",)),
    "agent:tutor": Principal("agent:tutor"),
    "agent:coach": Principal("agent:coach"),
    "user:root": Principal("user:root", rights=(ADMIN,)),
    "user:mute": Principal("user:mute", rights=(WRITE,)),
    "key:desk": Principal("key:desk", rights=(READ, WRITE, ALL)),
    "key:looker": Principal("key:looker", rights=(READ, ALL)),
}


@pytest.mark.parametrize(("who", "right", "of", "want"), RULE)
def test_the_rule(who: str, right: str, of: MemCube, want: bool) -> None:
    assert may(WHO[who], right, of) is want


def test_a_grant_counts_until_it_ends() -> None:
    one = cube()
    grant = Grant("user:bob", one.id, (READ,), NOW + timedelta(days=1))
    assert may(WHO["user:bob"], READ, one, [grant], NOW)
    assert not may(WHO["user:bob"], WRITE, one, [grant], NOW)
    assert not may(WHO["user:bob"], READ, one, [grant], NOW + timedelta(days=1))
    assert not may(WHO["user:ann"], READ, cube(BOB), [grant], NOW)


def test_admin_is_not_sensitive() -> None:
    assert [WHO["user:root"].may(right) for right in RIGHTS] == [True, True, True, True, True, False]


# --- one opened memory, many principals


def test_views_of_one_memory_see_and_do_what_their_principals_may(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        key = app.add("The spare key is under the blue pot.", ANN).ids[0]
        app.add("Elsewhere the key is in the shed.", Scope("other", user="ann"))
        looker, desk, bob = (app.as_principal(p) for p in (WHO["key:looker"], WHO["key:desk"], WHO["user:bob"]))
        assert [hit.id for hit in looker.search("key", ANN)] == [key] == [hit.id for hit in desk.search("key", ANN)]
        assert bob.search("key", ANN) == looker.search("key", Scope("other", user="ann")) == []
        with pytest.raises(AccessDenied):
            looker.add("x", ANN)
        with pytest.raises(AccessDenied):
            desk.add("x", Scope("other", user="ann"))
        with pytest.raises(AccessDenied):
            desk.backup(tmp_path / "copy")
        new = desk.add("The bike is in the cellar.", ANN).ids[0]
        looker.close()
        assert {cube.id for cube in desk.list(ANN)} == {key, new} == {cube.id for cube in app.list(ANN)}
        assert [(seen.principal, seen.entry.decision) for seen in app.audit.list(after=2)] == [
            ("key:looker", "denied"),
            ("key:desk", "denied"),
            ("key:desk", "denied"),
            ("key:desk", "allowed"),
        ]


def test_a_view_for_a_registered_principal_is_as_if_it_had_opened_the_vault(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:bob", purposes=["support"])
        with pytest.raises(UnknownPrincipal):
            app.as_principal("user:eve")
        with pytest.raises(AccessDenied):
            app.as_principal("user:bob")
        bob = app.as_principal("user:bob", purpose="support")
        assert bob.get(bob.add("Mine.", BOB).ids[0], BOB).content == "Mine."
        app.policy.remove("user:bob")
        with pytest.raises(UnknownPrincipal):
            bob.list(BOB)


# --- principals


def test_unknown_principals_and_bad_names_are_named_errors(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        (cube_id,) = memory.add("The key is under the pot.", ANN).ids
        before = memory.audit.head()
        with pytest.raises(UnknownPrincipal, match="user:bob"):
            memory.share(cube_id, ANN, to="user:bob")
        with pytest.raises(UnknownPrincipal, match="role:auditor"):
            memory.policy.register("user:bob", roles=["role:auditor"])
        with pytest.raises(InvalidInput, match="rights"):
            memory.policy.register("user:bob", rights=["fly"])
        with pytest.raises(InvalidInput, match="not written like one"):
            memory.policy.register("bob")
        memory.policy.register("user:bob")
        with pytest.raises(InvalidInput, match="over already"):
            memory.share(cube_id, ANN, to="user:bob", until=NOW)
        assert memory.get(cube_id, ANN).version == 1
        assert len(memory.audit.list()) == 2
        assert memory.audit.verify(before) == []
    with pytest.raises(UnknownPrincipal, match="user:eve"):
        opened(tmp_path, "user:eve")


def test_a_purpose_must_be_one_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as memory:
        memory.policy.register("user:bob", purposes=["support"])
    with pytest.raises(AccessDenied, match="sales"):
        opened(tmp_path, "user:bob", purpose="sales")
    with opened(tmp_path, "user:bob", purpose="support") as memory:
        memory.add("Hello.", BOB)
        assert memory.audit.list()[-1].entry.purpose == "support"
        with opened(tmp_path) as app:
            app.policy.register("user:bob", purposes=["sales"])
        with pytest.raises(AccessDenied, match="support"):
            memory.list(BOB)
    with opened(tmp_path) as memory:
        assert [seen.principal for seen in memory.audit.list(decision="denied")] == ["user:bob"]


# --- sharing


def test_share_and_unshare(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    with opened(tmp_path, clock=clock) as app:
        app.policy.register("user:ann")
        app.policy.register("user:bob")
        with opened(tmp_path, "user:ann", clock) as ann, opened(tmp_path, "user:bob", clock) as bob:
            (cube_id,) = ann.add("The key is under the pot.", ANN).ids
            (fact,) = _derive(app, cube_id, "The pot hides a key.")
            assert bob.search("key", ANN) == []
            with pytest.raises(NotFound):
                bob.get(cube_id, ANN)
            ann.share(cube_id, ANN, to="user:bob")
            assert [hit.id for hit in bob.search("key", ANN)] == [cube_id]
            assert [each.version for each in bob.history(cube_id, ANN)] == [2], "what was said before it was shared"
            with pytest.raises(NotFound):
                bob.get(fact, ANN)
            with pytest.raises(AccessDenied):
                bob.update(cube_id, ANN, content="It is gone.")
            with pytest.raises(AccessDenied):
                bob.share(cube_id, ANN, to="project")
            with pytest.raises(AccessDenied):
                bob.delete(cube_id, ANN)
            ann.share(cube_id, ANN, to="user:bob", rights=["write"])
            bob.update(cube_id, ANN, content="It is in the shed.")
            ann.unshare(cube_id, ANN)
            with pytest.raises(NotFound):
                bob.get(cube_id, ANN)
            assert bob.list(ANN, as_of=clock()) == [], "the past is closed as well"
            ann.share(cube_id, ANN, to="user:bob", until=clock() + timedelta(days=1))
            assert [hit.id for hit in bob.search("shed", ANN)] == [cube_id]
            clock.advance(days=1)
            assert bob.search("shed", ANN) == []
            assert app.expire().ids == ()
            assert app.policy.grants(ANN) == []


def test_only_who_may_share_ends_a_grant(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        for name in ("user:bob", "user:eve"):
            app.policy.register(name)
        (cube_id,) = app.add("The key is under the pot.", ANN).ids
        for name in ("user:bob", "user:eve"):
            app.share(cube_id, ANN, to=name, until=NOW + timedelta(days=1))
        with opened(tmp_path, "user:bob") as bob, opened(tmp_path, "user:eve") as eve:
            with pytest.raises(AccessDenied, match="unshare"):
                bob.unshare(cube_id, ANN, to="user:eve")
            assert [each.id for each in eve.list(ANN)] == [cube_id]
        app.policy.register("user:carl")
        with opened(tmp_path, "user:carl") as carl:
            assert carl.policy.grants(ANN) == []
        with pytest.raises(InvalidInput, match="rights"):
            app.share(cube_id, ANN, to="user:bob", rights=["share"], until=NOW + timedelta(days=1))


def test_a_derived_memory_stands_on_what_is_there_and_is_its_owners(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        (cube_id,) = app.add("The key is under the pot.", ANN).ids
        (other,) = app.add("The tutor's notes.", Scope(agent="tutor")).ids
        app.delete(cube_id, ANN)
        with pytest.raises(InvalidInput, match="not there"):
            _derive(app, cube_id, "The pot hides a key.")
        with pytest.raises(InvalidInput, match="somebody else"):
            _derive(app, other, "The tutor takes notes.", Scope(agent="coach"))
        assert app.list(ANN) == app.list(Scope(agent="coach")) == []


def test_what_is_derived_follows_its_source(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:bob")
        (cube_id,) = app.add("The key is under the pot.", ANN).ids
        app.share(cube_id, ANN, to="project")
        (fact,) = _derive(app, cube_id, "The pot hides a key.")
        (deeper,) = _derive(app, fact, "Keys hide.")
        with opened(tmp_path, "user:bob") as bob:
            assert {each.id for each in bob.list(ANN)} == {cube_id, fact, deeper}
            app.unshare(cube_id, ANN)
            assert bob.list(ANN, filter=ANY_STATE) == []
        with pytest.raises(InvalidInput, match="derived"):
            app.share(fact, ANN, to="user:bob")
        app.rollback(ANN, id=fact, version=1)
        assert app.get(fact, ANN).policy.visibility is Visibility.PRIVATE


def _derive(memory: Memory, source: str, text: str, scope: Scope = ANN) -> tuple[CubeId, ...]:
    origin = Provenance(derived_from=(CubeId(source),))
    made = MemCube(id=_new_id(NOW), content=text, scope=scope, role=Role.FACT, provenance=origin)
    from anamnos.ingest.plan import Planned

    return memory._write(memory._ops([Planned(content_key(made), cube=made)])).ids


# --- rights


def test_rights_bound_what_a_principal_does(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:ann", rights=["read"])
        app.policy.register("agent:tutor")
        (cube_id,) = app.add("The key is under the pot.", ANN).ids
        with opened(tmp_path, "user:ann") as ann:
            for refused in (
                lambda: ann.add("More.", ANN),
                lambda: ann.delete(cube_id, ANN),
                lambda: ann.delete_all(ANN),
                lambda: ann.archive(cube_id, ANN),
                lambda: ann.policy.register("user:eve"),
                lambda: ann.policy.add_rule("r", ANY_STATE, 1),
                lambda: ann.backup(tmp_path / "copy"),
                lambda: ann.import_(tmp_path / "nothing"),
                lambda: ann.forget_person("ann"),
                lambda: ann.expire(),
                lambda: ann.rebuild_index(),
                lambda: ann.calibrate([], ANN),
                lambda: ann.jobs.list(),
            ):
                with pytest.raises(AccessDenied):
                    refused()
            assert [each.id for each in ann.list(ANN)] == [cube_id]
            assert set(ann.stats(ANN)) & {"bytes", "sequence", "vault"} == set()
        with opened(tmp_path, "agent:tutor") as tutor:
            with pytest.raises(AccessDenied):
                tutor.add("Ann is slow.", ANN)
            (note,) = tutor.add("Ann is quick.", TUTORING).ids
            assert [each.id for each in tutor.list(ANN)] == [note], "its own, and nothing else of Ann's"
        assert app.get(note, ANN).policy == Policy(writers=("agent:tutor",))
        denied = [(seen.principal, seen.entry.verb) for seen in app.audit.list(decision="denied")]
        assert len(denied) == 14
        assert app.audit.verify() == []


def test_what_was_taken_away_counts_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("role:family")
        app.policy.register("user:bob", roles=["role:family"])
        (cube_id,) = app.add("The key is under the pot.", ANN).ids
        app.share(cube_id, ANN, to="role:family")
        with opened(tmp_path, "user:bob") as bob:
            assert [hit.id for hit in bob.search("key", ANN)] == [cube_id]
            app.policy.register("user:bob")
            assert bob.search("key", ANN) == []
            app.policy.remove("user:bob")
            with pytest.raises(UnknownPrincipal):
                bob.search("key", ANN)


def test_who_sees_a_part_of_a_scope_does_not_read_it_for_all(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:bob")
        app.add([{"role": "user", "name": "Ann", "content": "I live in Oslo."}], ANN)
        with opened(tmp_path, "user:bob") as bob:
            bob.enrich(ANN)
        assert len(app.enrich(ANN).ids) == 1


# --- what is delicate


def test_without_the_right_what_is_delicate_is_a_label(tmp_path: Path) -> None:
    text = "Call Bob: +44 20 7946 0958, at the old mill."
    with opened(tmp_path) as app:
        app.policy.register("user:ann")
        app.policy.register("user:eve", rights=["read", SENSITIVE])
        (cube_id,) = app.add(text, ANN).ids
        app.share(cube_id, ANN, to="user:eve")
        with opened(tmp_path, "user:ann") as ann:
            assert "7946" not in ann.search("mill", ANN)[0].cube.text
            assert "7946" not in ann.answer_context("where is the mill?", ANN).text
            assert "7946" not in json.dumps(ann.ask("what is Bob's number?", ANN).to_dict())
            assert "7946" not in ann.get(cube_id, ANN).text + ann.list(ANN)[0].text + ann.history(cube_id, ANN)[0].text
            assert ann.list(ANN, filter=Where(Field.TEXT, Comparison.CONTAINS, "7946")) == []
            ann.export(tmp_path / "out.jsonl", ANN)
            assert "7946" not in (tmp_path / "out.jsonl").read_text()
            ann.update(cube_id, ANN, tags=["mill"])
            ann.archive(cube_id, ANN)
            ann.reactivate(cube_id, ANN)
            ann.used(cube_id, ANN)
        assert app.get(cube_id, ANN).text == text, "changing what one saw as a label does not write the label"
        assert app.get(cube_id, ANN).annotations.tags == ("mill",)
        with opened(tmp_path, "user:eve") as eve:
            assert eve.get(cube_id, ANN).text == text


# --- a thousand pairs


NAMES = ["user:ann", "user:bob", "user:eve", "agent:tutor", "agent:coach", "role:auditor", "user:far"]
SCOPES = [
    ANN,
    BOB,
    TUTORING,
    Scope(user="ann", session="monday"),
    Scope(user="bob", agent="coach"),
    Scope(agent="tutor"),
    Scope("far", user="ann"),
]


def test_a_thousand_pairs_leak_nothing(tmp_path: Path) -> None:
    rng = random.Random(5)
    clock = FakeClock(NOW)
    with opened(tmp_path, clock=clock) as app:
        app.policy.register("role:auditor")
        for name in NAMES:
            roles = ["role:auditor"] if name in ("user:eve", "agent:coach") else []
            tenant = "far" if name == "user:far" else "default"
            app.policy.register(name, roles=roles, tenant=tenant, rights=["read", "write", "share", "sensitive"])
        cubes = [_random_cube(rng, number) for number in range(110)]
        cubes += [_random_derived(rng, number, cubes) for number in range(110, 143)]
        app.add("seed", Scope(user="nobody"))
        with app.vault.store.write() as tx:
            for one in cubes:
                derived = app._ops([_planned(one)])[0].derived
                apply(Op(OpKind.ADD, cube=one, derived=derived), tx, now=clock())
        for one in rng.sample(cubes, 40):
            changed = app.vault.store.get(one.id)
            assert changed is not None
            policy = _random_policy(rng)
            app._write([Op(OpKind.TRANSITION, target=one.id, cube=changed.next_version(policy=policy))])
        for one in rng.sample(cubes, 15):
            app.share(one.id, one.scope, to=rng.choice(NAMES), until=NOW + timedelta(days=1))
        pairs = 0
        for name in NAMES:
            pairs += _checked(app, name, cubes, tmp_path, clock)
        assert pairs == 1_001
        assert app.audit.verify() == []


def _checked(app: Memory, name: str, cubes: list[MemCube], folder: Path, clock: FakeClock) -> int:
    """Return how many pairs of one principal were looked at; every verb gives exactly what the rule allows."""
    who = next(each for each in app.policy.principals() if each.name == name)
    grants = app._guard.grants(who)
    raw = {one.id: app._guard.store.history(one.id) for one in cubes}
    current = {cube_id: versions[-1] for cube_id, versions in raw.items()}
    open_ = {cube_id for cube_id, one in current.items() if may(who, READ, one, grants, clock())}
    for cube_id in open_:  # of each source, too
        for source in current[cube_id].provenance.derived_from:
            granted = any(g.cube_id == cube_id for g in grants)
            assert granted or may(who, READ, current[source], [], clock()), "a derived memory tells of a closed one"
    closed_texts = {current[i].text for i in current.keys() - open_}
    with opened(folder, name, clock) as memory:
        for scope in SCOPES:
            inside = {i for i in open_ if scope.covers(current[i].scope)}
            assert {one.id for one in memory.list(scope, filter=ANY_STATE, limit=None)} == inside
            hits = memory.search("memory number of the harbour", scope, top_k=500)
            assert {hit.id for hit in hits} == inside - {i for i in inside if current[i].provenance.derived_from}
            facts = memory.search(
                "memory number", scope, top_k=500, filter=Where(Field.ROLE, Comparison.IN, tuple(Role))
            )
            assert {hit.id for hit in facts} == inside
            past = memory.list(scope, filter=ANY_STATE, limit=None, as_of=clock())
            assert {one.id for one in past} <= inside
            assert memory.stats(scope)["memories"] == len(inside)
            told = memory.answer_context("memory number of the harbour", scope, token_budget=2_000).text
            assert not any(text in told for text in closed_texts)
            target = folder / f"{name}-{SCOPES.index(scope)}.jsonl".replace(":", "-")
            memory.export(target, scope)
            lines = [json.loads(line) for line in target.read_text().splitlines()]
            assert {line["cube"]["id"] for line in lines if "cube" in line} == inside
            assert not any(f'"{text}"' in target.read_text() for text in closed_texts)
        for one in cubes:
            wide = _wide(one.scope)
            if one.id in open_:
                seen = memory.history(one.id, wide)
                assert seen[-1] == memory.get(one.id, wide) == current[one.id]
                assert all(may(who, READ, version, grants, clock()) for version in seen)
            else:
                with pytest.raises(NotFound):
                    memory.get(one.id, wide)
        assert {seen.principal for seen in memory.audit.list(limit=10_000)} <= {name}
        writable = {i for i, one in current.items() if may(who, WRITE, one, grants, clock())}
        for one in [one for one in cubes if one.id not in writable][::20]:
            for verb in (memory.archive, memory.delete, memory.used):
                refused = (AccessDenied, NotFound) if verb != memory.used or one.id not in open_ else ()
                if refused:
                    with pytest.raises(refused):
                        verb(one.id, _wide(one.scope))
            if one.id not in open_:
                with pytest.raises(NotFound):
                    memory.history(one.id, _wide(one.scope))
    assert {cube_id: app._guard.store.history(cube_id) for cube_id in raw} == raw, "nothing was changed"
    return len(cubes)


def _wide(scope: Scope) -> Scope:
    return Scope(scope.tenant, user=scope.user) if scope.user is not None else scope


def _planned(one: MemCube) -> Any:
    from anamnos.ingest.plan import Planned

    return Planned(b"", cube=one)


def _random_policy(rng: random.Random) -> Policy:
    return Policy(
        rng.choice([Visibility.PRIVATE, *Visibility]),
        tuple(rng.sample(NAMES, rng.choice([0, 0, 1, 2]))),
        tuple(rng.sample(NAMES, rng.choice([0, 0, 0, 1]))),
    )


def _random_cube(rng: random.Random, number: int) -> MemCube:
    text = f"memory number {number} of the harbour"
    return MemCube(id=_new_id(NOW), content=text, scope=rng.choice(SCOPES), policy=_random_policy(rng))


def _random_derived(rng: random.Random, number: int, cubes: list[MemCube]) -> MemCube:
    first = rng.choice(cubes)
    same = [one for one in cubes if one.scope == first.scope]
    sources = {first.id, rng.choice(same).id}
    return MemCube(
        id=_new_id(NOW),
        content=f"memory number {number} made of others",
        scope=first.scope,
        role=Role.FACT,
        policy=rng.choice([Policy(), _random_policy(rng)]),
        provenance=Provenance(derived_from=tuple(sources)),
    )


def test_the_store_of_a_principal_is_closed_to_what_nobody_thought_of(tmp_path: Path) -> None:
    with opened(tmp_path) as app:
        app.policy.register("user:ann")
        app.policy.register("user:root", rights=["admin"])
        with opened(tmp_path, "user:ann") as ann:
            for name in ("without_vector", "backup", "jobs", "_writer", "anything"):
                with pytest.raises(AnamnosError):
                    getattr(ann.vault.store, name)
        with opened(tmp_path, "user:root") as root:
            assert root.vault.store.without_vector(root._info) == []
