"""The demo runs from end to end, in a folder of its own, without the language model."""

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "run.py"


def run(*args: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANAMNOS_")}
    environment |= {"ANAMNOS_EMBEDDER": "hashing", "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, str(DEMO), *args],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_the_walk_keeps_all_its_promises(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed in the middle" in done.stdout
    assert "after 0 times" in done.stdout
    assert "recall@10" in done.stdout
    assert "\x1b" not in done.stdout  # no colours in a pipe
    assert done.stderr == ""


def test_the_walk_leaves_a_foreign_folder_alone(tmp_path: Path) -> None:
    vault = tmp_path / "demo-vault" / "friends"
    vault.mkdir(parents=True)
    (vault / "letter.txt").write_text("Dear Ann", "utf-8")
    done = run(cwd=tmp_path)
    assert done.returncode == 1
    assert [path.name for path in vault.iterdir()] == ["letter.txt"]


def test_a_file_of_ones_own_is_remembered_and_asked_about(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Keys\n\nThe spare key is under the blue pot.\n", "utf-8")
    done = run("notes.md", cwd=tmp_path, stdin="Where is the spare key?\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "under the blue pot" in done.stdout


def test_a_missing_file_is_said_and_is_no_traceback(tmp_path: Path) -> None:
    done = run("nothing.md", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing.md" in done.stderr
    assert "Traceback" not in done.stderr
