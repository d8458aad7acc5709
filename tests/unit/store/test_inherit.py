"""What is derived is never seen by more than its sources, nor believed more."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import MemCube, Policy, Provenance, Scope, State, Visibility
from anamnos.store.inherit import inherited, inherited_policy
from anamnos.system.governance.access import READ, WRITE, Principal, may
from anamnos.testing.fakes import seeded_ids

NOW = datetime(2024, 5, 1, tzinfo=UTC)
_new_id = seeded_ids(4)
PEOPLE = [Principal(name) for name in ("user:bob", "user:eve", "agent:tutor", "agent:coach", "role:auditor")]
PEOPLE += [Principal("user:zed", tenant="other")]
NAMES = [who.name for who in PEOPLE]


def cube(policy: Policy, agent: str | None = None, **more: object) -> MemCube:
    scope = Scope(user="ann", agent=agent)
    return MemCube(id=_new_id(NOW), content="x", scope=scope, policy=policy, **more)  # type: ignore[arg-type]


policies = st.builds(
    Policy,
    st.sampled_from(Visibility),
    st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True).map(tuple),
    st.lists(st.sampled_from(["phone", "medical"]), max_size=2, unique=True).map(tuple),
)
agents = st.sampled_from([None, "tutor", "coach"])
sources = st.lists(st.builds(cube, policies, agents), min_size=1, max_size=3)


@given(sources, policies, agents, st.booleans())
def test_nobody_sees_more_than_each_source_shows(of: list[MemCube], own: Policy, agent: str | None, new: bool) -> None:
    derived = inherited(cube(own, agent), of, new=new)
    for who in PEOPLE:
        for right in (READ, WRITE):
            if may(who, right, derived):
                assert all(may(who, right, source) for source in of), (who.name, right)
    assert set(derived.policy.sensitivity) >= {label for source in of for label in source.policy.sensitivity}
    assert inherited(derived, of, new=False) == derived


def test_by_hand() -> None:
    public = cube(Policy(Visibility.PUBLIC, sensitivity=("phone",)))
    for_bob = cube(Policy(Visibility.PROJECT, readers=("user:bob",)))
    closed = cube(Policy(readers=("user:bob", "user:eve"), writers=("user:eve",)))
    assert inherited_policy(public.scope, [public, for_bob]) == Policy(
        Visibility.PROJECT, ("user:bob",), (), ("phone",)
    )
    assert inherited_policy(public.scope, [public, closed]).readers == ("user:bob", "user:eve")
    assert inherited_policy(public.scope, [for_bob, closed]) == Policy(readers=("user:bob",))
    assert inherited_policy(public.scope, []) == Policy()


def test_trust_is_that_of_the_least_trusted() -> None:
    web = cube(Policy(), provenance=Provenance(trust=0.3))
    assert inherited(cube(Policy()), [web, cube(Policy())], new=True).provenance.trust == 0.3
    assert State.GENERATED is web.lifecycle.state
