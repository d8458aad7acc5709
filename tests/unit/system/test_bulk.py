"""Engines of bulk work: the same results in the same order from each, and the same memory; who dies is replaced."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.cli.main import cli
from anamnos.cube import MemCube, State
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import AnamnosError, Busy, ConfigError, InvalidInput, MissingExtra, ProviderError
from anamnos.evolve.sleep import Report, alone
from anamnos.index.terms import TermReader
from anamnos.store.sqlite import SqliteStore
from anamnos.system import bulk
from anamnos.system.bulk import Engine, Local, Ray, each, resolve_engine, result
from anamnos.system.reembed import Embedding, Portable
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Receipt, Where

ANN = Scope(user="ann")
EVERY = Where(Field.STATE, Comparison.IN, tuple(State))


@pytest.fixture(scope="module")
def ray() -> Iterator[Ray]:
    if find_spec("ray") is None:  # which it must not be imported for: what it listens on is read then
        pytest.skip("needs ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "STORE_BYTES", 80 * 2**20)
        with Ray(workers=2) as engine:
            yield engine


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.getfixturevalue("ray") if request.param == "ray" else Local()
    return made


# --- the engines


def test_results_come_in_the_order_of_the_items_and_items_are_read_only_a_little_ahead(engine: Engine) -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            read.append(number)
            yield number

    made = engine.map(lambda number: number * number, items())
    assert next(made) == 0
    assert len(read) <= 4  # two workers, with one piece in work and one that waits
    assert list(made) == [number * number for number in range(1, 20)]
    assert list(engine.map(len, [])) == []


def test_an_error_of_ours_stands_in_the_place_of_its_result(engine: Engine) -> None:
    def work(number: int) -> int:
        if number == 1:
            raise MissingExtra("Dreaming", "dreams")
        if number == 2:
            raise ProviderError("The model is away.", hint="Wait.", retryable=True)
        return number

    first, extra, away, last = engine.map(work, range(4))
    assert (first, last) == (0, 3)
    assert isinstance(extra, MissingExtra) and extra.hint == "Install them with: pip install 'anamnos[dreams]'"
    assert isinstance(away, ProviderError) and away.retryable and str(away) == "The model is away.\n  hint: Wait."
    with pytest.raises(MissingExtra):
        result(extra)


def test_what_reading_raises_comes_behind_the_results_before_it(engine: Engine) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise InvalidInput("There is no third.")

    made = each(engine, lambda number: -number, items(), lambda number: 10 * number)
    assert [next(made), next(made)] == [(1, -10), (2, -20)]
    with pytest.raises(InvalidInput, match="no third"):
        next(made)


def test_a_worker_that_dies_is_replaced_and_its_piece_done_again(ray: Ray, tmp_path: Path) -> None:
    died = tmp_path / "died"

    def work(number: int) -> int:
        if number == 2 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert list(ray.map(work, range(6))) == list(range(6))
    assert died.exists()


@pytest.mark.slow
def test_a_piece_that_kills_every_worker_ends_the_work(ray: Ray) -> None:
    def work(number: int) -> int:
        return number if number < 1 else os.kill(os.getpid(), signal.SIGKILL) or 0

    made = ray.map(work, range(2))
    assert next(made) == 0
    with pytest.raises(ProviderError, match="4 times"):
        next(made)


def test_work_that_cannot_travel_is_refused(ray: Ray) -> None:
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent"):
        next(ray.map(lambda number: (lock, number), range(2)))


def test_a_worker_with_another_version_is_refused(ray: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_version", lambda: "9.9")
    (made,) = ray.map(len, ["x"])
    assert isinstance(made, ConfigError) and "9.9" in made.message


def test_an_engine_is_resolved_by_its_name() -> None:
    assert isinstance(resolve_engine("local"), Local)
    assert isinstance(resolve_engine("ray", workers=3), Ray)
    for name, kwargs in (("spark", {}), ("local", {"workers": 2}), ("local", {"address": "auto"})):
        with pytest.raises(InvalidInput):
            resolve_engine(name, **kwargs)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Ray(workers=0)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"anamnos\[ray\]"), Ray():
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_does_not_answer_is_named_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match=address), Ray(address=address):
        pass


def test_more_workers_than_processors_are_refused_and_a_ray_of_the_program_stays(ray: Ray) -> None:
    with pytest.raises(ConfigError, match="3 workers"), Ray(workers=3):
        pass
    with Ray(workers=1) as other:
        assert list(other.map(len, ["ab"])) == [2]
    assert list(ray.map(len, ["abc"])) == [3]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ray_listens_on_loopback_only(ray: Ray) -> None:
    list(ray.map(len, ["a", "b"]))  # with workers
    mine = {os.getpid()}
    processes = [(int(path.name), _parent(path)) for path in Path("/proc").iterdir() if path.name.isdigit()]
    for _ in range(5):
        mine |= {own for own, parent in processes if parent in mine}
    sockets = {link for own in mine for link in _links(Path(f"/proc/{own}/fd")) if link.startswith("socket:")}
    assert len(mine) > 3
    seen = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and f"socket:[{parts[9]}]" in sockets:  # it listens
                seen += 1
                assert parts[1].split(":")[0] in ("0100007F", "0000000000000000FFFF00000100007F", f"{1:032X}"), line
    assert seen >= 2


def _parent(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _links(folder: Path) -> list[str]:
    try:
        return [str(path.readlink()) for path in folder.iterdir()]
    except OSError:
        return []


# --- embedding


def test_an_embedder_travels_by_its_name_or_as_it_is() -> None:
    words = [("Ann: the key", 5), ("a walk", 0)]
    for portable in (Portable(HashingEmbedder(), "hashing"), Portable(FakeEmbedder())):
        here = Embedding(portable, TermReader())
        there = pickle.loads(pickle.dumps(here))
        assert np.array_equal(here(words)[0], there(words)[0])
        assert there([])[1] == []
    other = pickle.loads(pickle.dumps(Portable(HashingEmbedder(64), "hashing")))
    with pytest.raises(ConfigError, match="hashing-384-v1"):
        other.get()


# --- the verbs


def opened(folder: Path, **settings: Any) -> Memory:
    settings = {"embedder": "hashing", "batch_size": 3, "new_id": seeded_ids(7), **settings}
    return Memory(folder, clock=FakeClock(), **settings)


def chat(path: Path, *texts: str) -> Path:
    lines = [{"role": "user", "name": "Ann", "content": text, "id": f"m{n}"} for n, text in enumerate(texts)]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "notes.txt").write_text("\n\n".join(f"note {n % 4} of the garden" for n in range(8)), "utf-8")
    (folder / "bad.json").write_text("{", "utf-8")
    chat(folder / "chat.jsonl", *(f"mail me at ann{n}@example.org" for n in range(7)))
    (folder / "last.md").write_text("# Trip\n\nWe flew to Lisbon.\n\nThe hotel was by the river.", "utf-8")
    return [folder / name for name in ("notes.txt", "bad.json", "chat.jsonl", "last.md", "notes.txt")]


def contents(memory: Memory) -> list[Any]:
    """Return all that the store holds: every version with its vectors, in the order of writing."""
    store = memory.vault.store
    versions = [v for cube in memory.list(ANN, filter=EVERY, limit=None) for v in memory.history(cube.id, cube.scope)]
    rows = store.rows_of((cube.id, cube.version) for cube in versions)
    vectors = store.vectors(rows, memory._info)
    return sorted(zip(rows.tolist(), versions, vectors.tolist(), strict=True), key=lambda each: each[0])


def lives(memory: Memory, files: list[Path], engine: Engine | None) -> list[Any]:
    """Ingest, edit, ingest again; return what came of it."""
    memory.quotas.set(ANN, memories=22)
    told: list[Any] = [memory.ingest_all(files, ANN, tags=["bulk"], engine=engine)]
    chat(files[2], *(f"write to ben{n}@example.org" if n % 2 else f"mail me at ann{n}@example.org" for n in range(9)))
    told.append(memory.ingest_all(files, ANN, engine=engine))
    return [
        (path, made.to_dict() if isinstance(made, Receipt | AnamnosError) else made)
        for found in told
        for path, made in found
    ]


def test_ingest_gives_the_same_memory_with_either_engine(ray: Ray, files: list[Path], tmp_path: Path) -> None:
    before = files[2].read_text("utf-8")
    with opened(tmp_path / "local", extract="rules") as memory:
        local, there = lives(memory, files, None), contents(memory)
    files[2].write_text(before, "utf-8")
    with opened(tmp_path / "ray", extract="rules") as memory:
        assert lives(memory, files, ray) == local
        assert _without_ids(contents(memory)) == _without_ids(there)
        assert memory.verify() == []
    names = [(path.name, made.get("error"), made.get("outcomes", []).count("added")) for path, made in local[:4]]
    assert [name for name, _, _ in names] == ["notes.txt", "bad.json", "chat.jsonl", "last.md"]
    assert [error for _, error, _ in names] == [None, "invalid_input", None, "limit"]  # no room for the last
    assert [made.get("error") for _, made in local[4:]] == [None, "invalid_input", "limit", "limit"]
    labelled = [cube for _, cube, _ in there if cube.policy.sensitivity]
    assert labelled and all("@" in cube.text for cube in labelled)  # the guard saw what was written


def _without_ids(found: list[Any]) -> list[Any]:
    names: dict[str, int] = {}
    for _, cube, _ in found:
        names.setdefault(cube.id, len(names))

    def nameless(cube: MemCube) -> str:
        text = repr(cube)
        for cube_id, number in names.items():
            text = text.replace(cube_id, f"#{number}")
        return text

    return [(row, nameless(cube), vector) for row, cube, vector in found]


def test_with_injected_ids_even_those_are_the_same(ray: Ray, files: list[Path], tmp_path: Path) -> None:
    found = []
    for name, engine in (("local", None), ("ray", ray)):
        with opened(tmp_path / name) as memory:
            seen: list[tuple[int, int]] = []
            memory.ingest_all(files, ANN, engine=engine, progress=lambda *at, seen=seen: seen.append(at))  # type: ignore[misc]
            assert [done for done, _ in seen] == [3, 6, 8, 8, 11, 14, 15, 17] and seen[-1] == (17, 17)
            found.append(contents(memory))
    assert found[0] == found[1] and len(found[0]) == 17


def test_an_error_in_the_middle_keeps_what_was_written_before(
    engine: Engine, files: list[Path], tmp_path: Path
) -> None:
    class Failing(FakeEmbedder):
        def embed(self, texts: Any) -> Any:
            if any("ann4@" in text for text in texts):
                raise ProviderError("It will not.")
            return super().embed(texts)

    with opened(tmp_path / "vault", embedder=Failing()) as memory:
        with pytest.raises(ProviderError, match="It will not"):
            memory.ingest_all(files, ANN, engine=engine)
        assert len(memory.list(ANN, limit=None)) == 8 + 3  # the notes, and the first batch of the chat
    with opened(tmp_path / "vault", embedder=FakeEmbedder(), new_id=seeded_ids(8)) as memory:
        memory.ingest_all(files, ANN, engine=engine)
        assert len(memory.list(ANN, limit=None)) == 17 and memory.verify() == []


def test_reembedding_gives_the_same_vectors_with_either_engine(ray: Ray, files: list[Path], tmp_path: Path) -> None:
    found = []
    for name, engine in (("local", None), ("ray", ray)):
        with opened(tmp_path / name, embedder=FakeEmbedder()) as memory:
            memory.ingest_all(files, ANN)
            with pytest.raises(ZeroDivisionError):  # a stop behind the first batch
                memory.reembed("hashing", engine=engine, progress=lambda done, total: print(1 / 0))
            seen: list[tuple[int, int]] = []
            memory.reembed("hashing", engine=engine, progress=lambda *at, seen=seen: seen.append(at))  # type: ignore[misc]
            assert memory.stats()["embedder"]["dim"] == 384 and seen[-1] == (14, 17)
            assert memory.verify() == []
            found.append(contents(memory))
    assert found[0] == found[1]


USERS = [Scope(user=name) for name in ("ann", "ben", "cleo")]


def slept(memory: Memory, **how: Any) -> list[Any]:
    for scope in USERS:
        said = [
            {"role": "user", "content": f"{scope.user} likes the {thing} of day {n % 3}", "id": f"{thing}{n}"}
            for n in range(9)
            for thing in ("tea", "harbour", "chess club", "kiln")
        ]
        memory.add(said, scope)
        memory.enrich(scope)
    return memory.consolidate_all(**how)


def test_consolidation_of_all_gives_the_same_with_either_engine(ray: Ray, tmp_path: Path) -> None:
    found = []
    for name, engine in (("local", None), ("ray", ray)):
        seen: list[tuple[int, int]] = []
        with opened(tmp_path / name, batch_size=64) as memory:
            reports = slept(memory, engine=engine, progress=lambda *at, seen=seen: seen.append(at))
            assert seen == [(1, 3), (2, 3), (3, 3)]
            assert [scope for scope, _ in reports] == USERS
            assert memory.verify() == []
            every = [cube for scope in USERS for cube in memory.list(scope, filter=EVERY, limit=None)]
            said = sorted((str(cube.scope), cube.role, cube.lifecycle.state, cube.text) for cube in every)
            again = memory.consolidate_all()
            found.append((reports, said, again))
    assert found[0] == found[1]
    assert all(isinstance(report, Report) and report.finished for _, report in found[0][0])
    assert sum(report.count("archived") for _, report in found[0][0]) > 0
    assert all(report.count("archived") == 0 for _, report in found[0][2])


def test_consolidation_of_all_keeps_to_its_time_and_its_lock(engine: Engine, tmp_path: Path) -> None:
    with opened(tmp_path / "vault", batch_size=64) as memory:
        reports = slept(memory, engine=engine, budget_s=1e-6)
        assert not all(report.finished for _, report in reports)
        assert len(reports) == 3
        with alone(memory.vault.folder), pytest.raises(Busy):
            memory.consolidate_all(engine=engine)
        with pytest.raises(InvalidInput, match="dream"):
            memory.consolidate_all(engine=engine, steps=["dream"])
        with pytest.raises(ConfigError):
            memory.consolidate_all(engine=engine, decay="rust")


def test_a_vault_whose_store_is_an_object_cannot_be_opened_by_workers(ray: Ray, tmp_path: Path) -> None:
    from anamnos.testing.reference_store import ReferenceStore

    with opened(tmp_path / "vault", store=ReferenceStore()) as memory:
        memory.add("The key is under the pot.", ANN)
        with pytest.raises(ConfigError, match="store object"):
            memory.consolidate_all([ANN], engine=ray)
    with opened(tmp_path / "other", store=SqliteStore(tmp_path / "elsewhere.db")) as memory:
        memory.add("The key is under the pot.", ANN)
        with pytest.raises(ConfigError, match="store object"):
            memory.consolidate_all([ANN], engine=ray)


# --- the commands


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    from click.testing import CliRunner

    env = {"ANAMNOS_VAULT": str(tmp_path / "vault"), "ANAMNOS_EMBEDDER": "hashing", "ANAMNOS_USER": "ann"}

    def call(*words: str, code: int = 0) -> Any:
        done = CliRunner(env=env).invoke(cli, [*words, "--json"], prog_name="anamnos")
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return json.loads(done.stdout) if done.stdout else None

    return call


def test_the_commands_take_an_engine(ray: Ray, run: Callable[..., Any], files: list[Path]) -> None:
    there = ("--engine", "ray", "--workers", "1")
    good = [str(path) for path in files if path.name != "bad.json"]
    first = run("ingest", *good, *there)
    assert first["added"] == 17 and len(first["files"]) == 3
    assert run("ingest", *good)["unchanged"] == 17
    assert run("ingest", *good, *there)["unchanged"] == 17
    one = run("consolidate", *there, "--step", "archive")
    assert set(one) == {"finished", "seconds", "steps"}
    every = run("consolidate", "--all", *there)
    assert every["finished"] and [user["scope"] for user in every["users"]] == [str(ANN)] and every["failed"] == []
    assert run("reembed", "--embedder", "hashing", *there)["memories"] == 17
    run("ingest", *good, "--workers", "2", code=2)
