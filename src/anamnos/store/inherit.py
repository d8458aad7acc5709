"""What a derived memory takes over from its sources: never more readers, and never more trust, than each of them has.

``apply`` does this in the transaction of the write, so that no strategy can leave it out.
Source: "derived cubes inherit the strictest policy of their sources", MemOS, arXiv:2507.03724 section 5.4; trust: ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from anamnos.cube import MemCube, Policy, Scope, Visibility

_WIDER = (Visibility.PRIVATE, Visibility.SESSION, Visibility.PROJECT, Visibility.PUBLIC)


def inherited_policy(scope: Scope, sources: Sequence[MemCube]) -> Policy:
    """Return the widest policy in ``scope`` under which nobody sees more than the policies of all ``sources`` allow.

    Delicate is what any of them is. Without sources: the default policy.
    """
    if not sources:
        return Policy()
    visibility = min((_visibility(source, scope) for source in sources), key=_WIDER.index)
    policies = [source.policy for source in sources]
    writers = [name for name in policies[0].writers if all(name in policy.writers for policy in policies)]
    named = dict.fromkeys(name for policy in policies for name in (*policy.readers, *policy.writers))
    readers = [name for name in named if all(_reads(name, policy) for policy in policies) and name not in writers]
    labels = dict.fromkeys(label for policy in policies for label in policy.sensitivity)
    return Policy(visibility, tuple(readers), tuple(writers), tuple(labels))


def inherited(cube: MemCube, sources: Sequence[MemCube], *, new: bool) -> MemCube:
    """Return a derived cube with no wider a policy and no more trust than its sources.

    new  a first version that says nothing about who may read it takes that over too; a later one never gets wider
    """
    if not sources:
        return cube
    policy, own = inherited_policy(cube.scope, sources), cube.policy
    silent = new and own == Policy(sensitivity=own.sensitivity)
    if not silent:
        policy = inherited_policy(cube.scope, [cube, replace(cube, policy=policy)])
    labels = dict.fromkeys((*own.sensitivity, *policy.sensitivity))
    policy = replace(policy, sensitivity=tuple(labels))
    trust = min(cube.provenance.trust, *(source.provenance.trust for source in sources))
    if (policy, trust) == (own, cube.provenance.trust) or (_same(policy, own) and trust == cube.provenance.trust):
        return cube
    return replace(cube, policy=policy, provenance=replace(cube.provenance, trust=trust))


def _reads(name: str, policy: Policy) -> bool:
    return policy.visibility is Visibility.PUBLIC or name in policy.readers or name in policy.writers


def _visibility(source: MemCube, scope: Scope) -> Visibility:
    """Return a source's visibility as it is in another scope: its session has another agent there, who saw nothing."""
    other = source.policy.visibility is Visibility.SESSION and source.scope.agent != scope.agent
    return Visibility.PRIVATE if other else source.policy.visibility


def _same(a: Policy, b: Policy) -> bool:
    """Return whether two policies say the same, in whatever order."""
    return a.visibility is b.visibility and all(
        set(one) == set(other)
        for one, other in ((a.readers, b.readers), (a.writers, b.writers), (a.sensitivity, b.sensitivity))
    )
