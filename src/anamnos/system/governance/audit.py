"""The record of who did what with which memory, and whether anybody has touched it since."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from anamnos.cube import CubeId, check_id
from anamnos.errors import Corrupt, InvalidInput
from anamnos.store.ledger import FIRST, Entry, Ledger, hash_of

LEVELS = ("off", "writes", "all")
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry as it is shown: with the name behind the pseudonym, or the pseudonym where that was forgotten."""

    entry: Entry
    principal: str | None

    def to_dict(self) -> dict[str, Any]:
        return {**self.entry.to_dict(), "pseudonym": self.entry.principal, "principal": self.principal}


@dataclass(frozen=True, slots=True)
class Audit:
    """Reads the audit of a vault.

    only  the name whose entries alone may be seen, as of now; None: all
    """

    ledger: Ledger
    only: Callable[[], str | None] = lambda: None

    def list(
        self,
        *,
        cube_id: str | None = None,
        principal: str | None = None,
        verb: str | None = None,
        decision: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Seen]:
        """Return entries behind number ``after``, oldest first, that are about all that is given."""
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise InvalidInput(f"limit must be a whole number >= 1, got {limit!r}.")
        wanted: CubeId | None = None if cube_id is None else check_id("cube_id", cube_id)
        names, only = self.ledger.names(), self.only()
        found: list[Seen] = []
        for entry in self._each(after):
            name = None if entry.principal is None else names.get(entry.principal, entry.principal)
            if (
                (wanted is None or entry.cube_id == wanted)
                and (principal is None or name == principal)
                and (verb is None or entry.verb == verb)
                and (decision is None or entry.decision == decision)
                and (only is None or name == only)
            ):
                found.append(Seen(entry, name))
                if len(found) == limit:
                    break
        return found

    def head(self) -> str:
        """Return the hash of the newest entry in hex: keep it elsewhere, and ``verify`` sees if later ones go."""
        last = self.ledger.last()
        return (FIRST if last is None else last.hash).hex()

    def verify(self, head: str | None = None) -> builtins.list[str]:
        """Return what is wrong with the chain, one sentence each; empty if it is whole.

        head  what ``head`` gave at some time: that entry must still be there. Without it, a chain whose end was cut
              off, or which was made anew from its beginning, looks whole.
        """
        problems: builtins.list[str] = []
        previous, number, known = FIRST, 0, head in (None, FIRST.hex())
        try:
            for entry in self._each(0):
                number += 1
                if entry.seq != number:
                    problems.append(f"entry {number} is missing")
                    number = entry.seq
                if entry.previous != previous:
                    problems.append(f"entry {entry.seq} does not follow the one before it")
                if hash_of(entry) != entry.hash:
                    problems.append(f"entry {entry.seq} was changed")
                previous = entry.hash
                known = known or entry.hash.hex() == head
        except Corrupt as exc:
            problems.append(exc.message)
        if not known:
            problems.append(f"no entry has the hash {head}: the end of the audit was cut off, or all of it made anew")
        return [*problems, *self.ledger.problems()]

    def _each(self, after: int) -> Iterator[Entry]:
        while page := self.ledger.entries(after=after, limit=_PAGE):
            yield from page
            after = page[-1].seq
