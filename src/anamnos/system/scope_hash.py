"""What settings are kept under that belong to a scope, without the names of those whose it is.

Whoever knows the scope can find its hash again, and it is no name that outlives the memories.
"""

from __future__ import annotations

import hashlib
import json

from anamnos.cube import Scope


def scope_hash(scope: Scope) -> str:
    """Return the hash of a scope: 32 hex digits."""
    parts = [scope.tenant, scope.user, scope.agent, scope.session]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def covering(scope: Scope) -> list[Scope]:
    """Return the scopes that cover this one, itself first.

    >>> [str(s) for s in covering(Scope(user="ann", session="monday"))]
    ['user=ann session=monday', 'user=ann']
    """
    agents = dict.fromkeys((scope.agent, None))
    sessions = dict.fromkeys((scope.session, None))
    parts = [(agent, session) for agent in agents for session in sessions]
    return [Scope(scope.tenant, scope.user, a, s) for a, s in parts if (scope.user, a, s) != (None, None, None)]
