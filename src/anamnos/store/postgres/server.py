"""The server of a PostgreSQL store: its connections, its schema, its transactions, and what its errors mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg_pool import ConnectionPool, PoolTimeout

from anamnos.errors import AnamnosError, Busy, ConfigError, Corrupt, InvalidInput, MigrationNeeded, StoreError
from anamnos.store.base import MOVED_TO, refuse_moved
from anamnos.store.migrations.postgres import MIGRATIONS, SCHEMA_VERSION
from anamnos.store.postgres.write import PostgresTransaction

LEAST_SERVER = 150_000  # as server_version counts: 15
_CONNECT_S = 10
_RECOVERY_S = 10.0  # how long a write that was cut off at its end asks what became of it
_DOWN = "Start the server, or check the address, the network and the password; then try again."


class PostgresServer:
    """A schema of a database, and the connections to it.

    url             ``postgresql://…``, as libpq understands it; what it leaves out comes from PGUSER, ~/.pgpass …
    schema          where the tables are; made if the role may
    tenant          None: all; else rows of this tenant only, kept apart by the server's row-level security
    connections     how many are open at most
    busy_timeout_s  how long a write waits for other writers before it raises Busy
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "anamnos",
        tenant: str | None = None,
        connections: int = 8,
        busy_timeout_s: float = 60.0,
    ) -> None:
        self.schema = schema
        self.tenant = tenant
        self.busy_timeout_s = busy_timeout_s
        try:
            self._conninfo = make_conninfo(url, application_name="anamnos", connect_timeout=_CONNECT_S)
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            parts = None
        if parts is not None and "@" in str(parts.get("host", ""))[1:]:  # the end of a password
            parts = None
        if parts is None or connections < 2:  # not from the error, which quotes the address and so the password
            raise ConfigError(
                "The address of the PostgreSQL server cannot be read."
                if parts is None
                else f"A PostgreSQL store needs at least 2 connections, got {connections}.",
                hint="Write postgresql://user@host:5432/database, with special characters as %XX.",
            )
        self.name = f"postgresql://{parts.get('host', '')}/{parts.get('dbname', '')}"
        self._connections = connections
        self._pool: ConnectionPool[psycopg.Connection] | None = None
        self._suspect = False  # a connection broke: the others may be broken too
        self._write_lock = threading.RLock()
        self._writing = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, schema={self.schema!r}, tenant={self.tenant!r})"

    # --- opening and closing

    def open(self) -> Self:
        with self._errors():
            with psycopg.connect(self._conninfo, autocommit=True) as db:
                self._check(db)
                self._migrate(db)
                self._configure(db)
                self._check_wall(db)
            self._pool = ConnectionPool(
                self._conninfo,
                min_size=1,
                max_size=self._connections,
                open=False,
                configure=self._configure,
                kwargs={"autocommit": True},
                timeout=self.busy_timeout_s,
                reconnect_timeout=_CONNECT_S,
                name="anamnos",
            )
            self._pool.open()
        return self

    def close(self) -> None:
        with self._write_lock:
            pool, self._pool = self._pool, None
            if pool is not None:
                pool.close()

    def _check(self, db: psycopg.Connection) -> None:
        if db.info.server_version < LEAST_SERVER:
            raise StoreError(
                f"{self.name} is PostgreSQL {db.info.server_version // 10_000}; version {LEAST_SERVER // 10_000} is the"
                " oldest that will do.",
                hint="Upgrade the server.",
            )
        encoding = db.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreError(
                f"The database {self.name} has the encoding {encoding}.", hint="Make one with: createdb -E UTF8 …"
            )

    def _configure(self, db: psycopg.Connection) -> None:
        """Make a new connection ready: its search path, whose rows it sees, how long it waits, how safe it commits."""
        db.adapters.register_dumper(int, Int8Dumper)  # else the size of a number decides which plan is prepared
        db.adapters.register_dumper(int, Int8BinaryDumper)
        wait = f"{round(self.busy_timeout_s * 1000)}ms"
        settings = {
            "search_path": self.schema_name(),
            "lock_timeout": wait,
            "jit": "off",  # it costs more than these queries take
            "anamnos.tenant": self.tenant or "",
        }
        db.execute(
            "SELECT " + ", ".join(["set_config(%s, %s, false)"] * len(settings)),
            [part for pair in settings.items() for part in pair],
        )
        # a server that acknowledges before it has written would break the promise of an acknowledged write
        db.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )

    def schema_name(self) -> str:
        """Return the name of the schema, quoted."""
        return sql.Identifier(self.schema).as_string(None)

    def _migrate(self, db: psycopg.Connection) -> None:
        version = self._version(db)
        if version > SCHEMA_VERSION:
            raise MigrationNeeded(
                f"{self.name} has schema {version}; this version of Anamnos knows schemas up to {SCHEMA_VERSION}.",
                hint="Upgrade with: pip install --upgrade anamnos",
            )
        if version == SCHEMA_VERSION:
            return
        if self.tenant is not None:
            raise MigrationNeeded(
                f"{self.name} has schema {version}, not {SCHEMA_VERSION}, and is opened for one tenant.",
                hint="Open it once as the owner of its tables, without a tenant.",
            )
        with db.transaction():
            # one at a time, also where there is nothing yet to lock
            db.execute("SELECT pg_advisory_xact_lock(hashtext('anamnos'), hashtext(%s))", (self.schema,))
            if self._version(db) == 0:
                db.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name()}")
            db.execute(f"SET LOCAL search_path = {self.schema_name()}")
            for number, step in enumerate(MIGRATIONS, start=1):
                if number > self._version(db):
                    step(db)
                    db.execute("UPDATE state SET schema = %s", (number,))

    def _version(self, db: psycopg.Connection) -> int:
        """Return the number of the schema; 0 if there is none. Raises: StoreError if the tables are not ours."""
        table = f"{self.schema_name()}.state"
        if db.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
            return 0
        try:
            row = db.execute(f"SELECT schema FROM {table}").fetchone()
        except errors.UndefinedColumn as exc:
            raise StoreError(
                f"{self.name} has a table {table}, but not one of Anamnos.", hint="Name another schema or database."
            ) from exc
        return int(row[0]) if row else 0

    def _check_wall(self, db: psycopg.Connection) -> None:
        if self.tenant is not None and db.execute("SELECT row_security_active('cubes')").fetchone() != (True,):
            raise ConfigError(
                f"The role {db.info.user} sees the rows of every tenant: it owns the tables, or bypasses policies.",
                hint="Connect as a role of its own; see docs/engines/postgres.md.",
            )

    # --- transactions

    @contextmanager
    def write(self) -> Iterator[PostgresTransaction]:
        with self._turn(), self._errors(), self._connection() as db:
            db.execute("BEGIN")
            try:
                tx = PostgresTransaction(db)
                refuse_moved(tx.setting(MOVED_TO))
                yield tx
                tx.finish()
            except BaseException:
                with suppress(psycopg.Error):
                    db.execute("ROLLBACK")
                raise
            self._commit(db, tx.xid)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep to one write at a time in this process, so that those who wait take no connection from readers."""
        if not self._write_lock.acquire(timeout=self.busy_timeout_s):
            raise self._busy()
        try:
            if self._writing:
                raise StoreError("A write is going on in this thread already.")
            self._writing = True
            try:
                yield
            finally:
                self._writing = False
        finally:
            self._write_lock.release()

    def _commit(self, db: psycopg.Connection, xid: str) -> None:
        try:
            done = db.execute("COMMIT").statusmessage
        except psycopg.OperationalError:
            if self._was_kept(xid):
                return
            raise
        if done != "COMMIT":  # a statement failed, and somebody caught its error
            raise StoreError("A part of this write had failed; nothing was kept.")

    def _was_kept(self, xid: str) -> bool:
        """Return whether a write was kept whose connection broke at its end.

        Raises: StoreError if nobody can say, which is the only error after which something may have changed.
        """
        deadline = time.monotonic() + _RECOVERY_S
        while time.monotonic() < deadline:
            with suppress(psycopg.Error), psycopg.connect(self._conninfo, autocommit=True) as db:
                found = db.execute("SELECT pg_xact_status(%s::xid8)", (xid,)).fetchone()
                if found in (("committed",), ("aborted",)):
                    return found == ("committed",)
            time.sleep(0.2)
        raise StoreError(
            f"{self.name} went away while a write was being finished: it is kept as a whole or not at all.",
            hint="When the server is back, look whether it is there before doing it again.",
        )

    @contextmanager
    def _reading(self, *, snapshot: bool = False) -> Iterator[psycopg.Connection]:
        """Lend a connection to read with.

        snapshot  all that is read comes from one moment; without it, each statement sees its own
        """
        with self._errors(), self._connection() as db:
            if snapshot:
                db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield db
            except (ValueError, TypeError, KeyError, OverflowError, InvalidInput) as exc:  # no sound row gives these
                raise Corrupt(
                    f"{self.name} holds a damaged row: {exc}. It was left as it is.", hint="Restore a backup."
                ) from exc
            finally:
                if snapshot:
                    with suppress(psycopg.Error):
                        db.execute("ROLLBACK")

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        pool = self._pool
        if pool is None:
            raise StoreError("The store is closed.", hint="Open the vault again.")
        if self._suspect:
            with psycopg.connect(self._conninfo):  # says at once, and why, if the server is still away
                self._suspect = False
            pool.check()
        db = pool.getconn()
        try:
            yield db
        finally:
            if db.closed:
                self._suspect = True
            pool.putconn(db)

    # --- errors

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn psycopg's errors into ours: the one place where that happens."""
        try:
            yield
        except AnamnosError:
            raise
        except PoolTimeout as exc:
            raise Busy(
                f"No connection to {self.name} came free in {self.busy_timeout_s:g} s.",
                hint="Let fewer threads work at once, or allow more connections.",
            ) from exc
        except psycopg.Error as exc:
            raise self._named(exc) from exc

    def _named(self, exc: psycopg.Error) -> AnamnosError:
        said = (exc.diag.message_primary or str(exc)).strip().splitlines()[0] if str(exc) else type(exc).__name__
        if isinstance(exc, errors.LockNotAvailable):
            return self._busy()
        if isinstance(exc, errors.TransactionRollback | errors.QueryCanceled | errors.TooManyConnections):
            return Busy(f"{self.name} could not do it now: {said}. Nothing was kept.", hint="Try again.")
        if isinstance(exc, errors.DiskFull):
            return StoreError("The server's disk is full; nothing was written.", hint="Free some space and try again.")
        if isinstance(exc, errors.DataCorrupted | errors.IndexCorrupted):
            return Corrupt(f"{self.name} is damaged: {said}. It was left as it is.", hint="Restore a backup.")
        if isinstance(exc, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return StoreError(
                f"{self.name} does not allow this: {said}.", hint="See docs/engines/postgres.md for roles."
            )
        if isinstance(exc, psycopg.DataError) and "NUL" in str(exc):
            return InvalidInput("A name or setting holds the character NUL, which PostgreSQL cannot keep.")
        if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
            return StoreError(f"{self.name} cannot be reached: {said}. Nothing was kept.", hint=_DOWN)
        return StoreError(f"The store failed: {type(exc).__name__}: {said}.", hint="Run: anamnos verify")

    def _busy(self) -> Busy:
        return Busy(f"{self.name} was held by other writers for {self.busy_timeout_s:g} s.", hint="Try again.")
