"""A memory to make bundles of, and what the tests of bundles do again and again."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope
from anamnos.cube import Annotations, MemCube, Role, Substrate
from anamnos.store.apply import apply
from anamnos.system.bundles.format import MANIFEST
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Op, OpKind

ANN, BOB = Scope(user="ann"), Scope(user="bob")
NOW = datetime(2024, 5, 1, tzinfo=UTC)


def opened(folder: Path, **more: Any) -> Memory:
    return Memory(folder, embedder=more.pop("embedder", None) or FakeEmbedder(), clock=FakeClock(), **more)


def snapshot(memory: Memory) -> list[dict[str, Any]]:
    return [cube.to_dict() for cube, _, _ in memory.vault.store.export()]


def put(memory: Memory, cube: MemCube) -> MemCube:
    with memory.vault.store.write() as tx:
        apply(Op(OpKind.ADD, cube=cube), tx, now=NOW)
    return cube


def blob_cube(memory: Memory, data: bytes, substrate: Substrate = Substrate.PARAMETRIC, **data_of: Any) -> MemCube:
    blob = memory.vault.blobs.put(data, "application/octet-stream")
    cube = MemCube(seeded_ids(len(data))(NOW), blob, ANN, substrate=substrate, role=Role.STATE)
    return put(memory, replace(cube, annotations=Annotations(data=data_of)))


@pytest.fixture
def source(tmp_path: Path) -> Memory:
    memory = opened(tmp_path / "source", new_id=seeded_ids(7))
    words = [f"memory {n} of {'boats' if n % 3 else 'trains'} {n * n}" for n in range(60)]
    ids = memory.add([{"role": "user", "content": text, "session": f"s{n % 4}"} for n, text in enumerate(words)], ANN)
    memory.update(ids.ids[3], ANN, content="a corrected memory", tags=["new"])
    memory.archive(ids.ids[4], ANN)
    memory.add("what bob knows", BOB)
    return memory


def make(memory: Memory, path: Path, scope: Scope | None = ANN, **more: Any) -> Path:
    memory.bundles.create(path, scope, name="boats", **more)
    return path


def rewrite(bundle: Path, name: str, data: bytes) -> None:
    """Change a part and the manifest with it, as an attacker would."""
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / MANIFEST).read_text("utf-8"))
    manifest["parts"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    (bundle / MANIFEST).write_text(json.dumps(manifest), "utf-8")
