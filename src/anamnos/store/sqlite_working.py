"""The saved working memories of the SQLite store. See ``anamnos.store.working`` for the laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import apsw

from anamnos.cube import Scope
from anamnos.store.rows import id_bytes, id_text
from anamnos.store.working import Kept

if TYPE_CHECKING:
    from anamnos.store.sqlite_write import SqliteTransaction

_NAMED = "s.tenant = ? AND s.user IS ? AND s.agent IS ? AND s.session IS ?"


class SqliteWorking:
    """The table ``working`` of one SQLite file. ``write`` and ``reading`` lend what they say."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[SqliteTransaction]],
        reading: Callable[[], AbstractContextManager[apsw.Connection]],
    ) -> None:
        self._write = write
        self._reading = reading

    def load(self, scope: Scope) -> list[Kept]:
        sql = f"SELECT id, sorting, hits, recordings FROM working JOIN scopes s USING (scope) WHERE {_NAMED}"
        with self._reading() as db:
            rows: Any = db.execute(f"{sql} ORDER BY place", _names(scope))
            return [Kept(id_text(cube_id), *numbers) for cube_id, *numbers in rows]

    def save(self, scope: Scope, items: Sequence[Kept]) -> None:
        with self._write() as tx:
            there = [item for item in items if tx.current(item.id) is not None]  # erased in this very moment
            if there:
                number = tx.scope_number(scope)
            else:
                number = tx.db.execute(f"SELECT scope FROM scopes s WHERE {_NAMED}", _names(scope)).get
            tx.db.execute("DELETE FROM working WHERE scope = ?", (number,))
            tx.db.executemany(
                "INSERT INTO working VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (number, place, id_bytes(item.id), item.sorting, item.keyword_hits, item.recordings)
                    for place, item in enumerate(there)
                ],
            )

    def scopes(self) -> list[Scope]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT DISTINCT tenant, user, agent, session FROM working JOIN scopes USING (scope)"
                " ORDER BY tenant, user, agent, session"
            )
            return [Scope(*row) for row in rows]


def _names(scope: Scope) -> tuple[str | None, ...]:
    return scope.tenant, scope.user, scope.agent, scope.session
