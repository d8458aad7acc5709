"""Who sends a request, and as which principal the memory is asked for it."""

from __future__ import annotations

from dataclasses import dataclass

from anamnos.errors import AccessDenied
from anamnos.system.governance.access import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    name      as logs, rate limits and ``/v1/me`` show it
    tenants   which it may reach; None: all
    rights    as of a ``Principal``
    owner     name of the one principal that it stands for; "": an application that speaks for everybody of its tenants
    roles     of that principal
    operator  whether it may also do what touches the whole vault: backups, jobs, keys, import …
    """

    name: str
    tenants: tuple[str, ...] | None
    rights: tuple[str, ...]
    owner: str = ""
    roles: tuple[str, ...] = ()
    operator: bool = False

    def principal(self, tenant: str) -> Principal | None:
        """Return as whom a memory of ``tenant`` is asked; None: as the application itself.

        Raises: AccessDenied for a tenant that the caller does not reach.
        """
        if self.tenants is not None and tenant not in self.tenants:
            raise AccessDenied(f"{self.name} may not use the tenant {tenant!r}.", hint="Ask for a key of that tenant.")
        if self.operator and not self.owner:
            return None
        return Principal(self.owner or self.name, tenant, self.rights, self.roles)
