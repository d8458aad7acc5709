"""The saved working memories of the PostgreSQL store. See ``anamnos.store.working`` for the laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import psycopg

from anamnos.cube import Scope
from anamnos.store.postgres.rows import scope_digest
from anamnos.store.rows import id_bytes, id_text
from anamnos.store.working import Kept

if TYPE_CHECKING:
    from anamnos.store.postgres.write import PostgresTransaction


class PostgresWorking:
    """The table ``working`` of one server. ``write`` and ``reading`` lend what they say."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[PostgresTransaction]],
        reading: Callable[[], AbstractContextManager[psycopg.Connection]],
    ) -> None:
        self._write = write
        self._reading = reading

    def load(self, scope: Scope) -> list[Kept]:
        tables = "working JOIN scopes USING (scope)"
        sql = f"SELECT id, sorting, hits, recordings FROM {tables} WHERE digest = %s ORDER BY place"
        with self._reading() as db:
            return [Kept(id_text(cube_id), *numbers) for cube_id, *numbers in db.execute(sql, (scope_digest(scope),))]

    def save(self, scope: Scope, items: Sequence[Kept]) -> None:
        with self._write() as tx:
            tx.db.execute(
                "DELETE FROM working WHERE scope = (SELECT scope FROM scopes WHERE digest = %s)", (scope_digest(scope),)
            )
            there = [item for item in items if tx.current(item.id) is not None]  # erased in this very moment
            if not there:
                return
            number = tx.scope_number(scope)
            rows = [
                (number, place, id_bytes(item.id), item.sorting, item.keyword_hits, item.recordings)
                for place, item in enumerate(there)
            ]
            with tx.db.cursor() as cursor:
                cursor.executemany("INSERT INTO working VALUES (%s, %s, %s, %s, %s, %s)", rows)

    def scopes(self) -> list[Scope]:
        with self._reading() as db:
            rows = db.execute(
                'SELECT DISTINCT tenant, "user", agent, session FROM working JOIN scopes USING (scope)'
                ' ORDER BY tenant, "user" NULLS FIRST, agent NULLS FIRST, session NULLS FIRST'
            )
            return [Scope(*row) for row in rows]
