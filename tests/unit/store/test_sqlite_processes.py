"""The SQLite store shared by processes: opened for the first time by many at once, written by many."""

import os
import subprocess
import sys
from pathlib import Path

from anamnos.store.sqlite import SqliteStore
from anamnos.testing.store_contract import ANN, INFO, texts

SCRIPT = """
import sys
from pathlib import Path
from anamnos.store.sqlite import SqliteStore
from anamnos.testing import store_contract as kit
path, name, writes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
store = SqliteStore(path).open()
store.use_embedder(kit.INFO)
new_id = kit.seeded_ids(int(name.split()[1]))
for n in range(writes):
    text = f"{name} {n}"
    kit.add(store, kit.MemCube(id=new_id(kit.NOW), content=text, scope=kit.ANN))
    print(text, flush=True)
store.close()
"""


def run(path: Path, processes: int, writes: int) -> list[str]:
    """Let several processes open the store at the same moment and write; return what they were told is kept."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path), f"process {n}", str(writes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for n in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said: list[str] = []
    for child in children:
        out, err = child.communicate(timeout=100)
        assert (child.returncode, err) == (0, "")
        said += out.splitlines()
    return said


def check(path: Path, said: list[str]) -> None:
    store = SqliteStore(path).open()
    assert sorted(texts(store.list(ANN))) == sorted(said)
    assert store.embedder() == INFO
    assert store.verify() == []
    assert len(store.changes(0)) == len(said)
    store.close()


def test_eight_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    said = run(tmp_path / "anamnos.db", processes=8, writes=1)
    assert len(said) == 8
    check(tmp_path / "anamnos.db", said)


def test_no_write_of_four_processes_is_lost(tmp_path: Path) -> None:
    said = run(tmp_path / "anamnos.db", processes=4, writes=100)
    assert len(said) == 400
    check(tmp_path / "anamnos.db", said)
