"""Memories out to a file and in again, with all versions, times and vectors. See docs/formats/export.md."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.cube import BlobRef, MemCube, Scope, Substrate, to_iso
from anamnos.errors import AnamnosError, InvalidInput, StoreError
from anamnos.store.base import EmbedderInfo, Store
from anamnos.types import Vector

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Exported:
    """One version of one cube in a file.

    vector  of the reading vault's embedder; None if the file has none of it
    tokens  of the same embedder; b"" if the file has none
    blob    what a cube that is no text refers to; None if the file has it not
    """

    cube: MemCube
    key: bytes
    vector: Vector | None
    tokens: bytes = b""
    blob: bytes | None = None

    @property
    def is_text(self) -> bool:
        return self.cube.substrate is Substrate.TEXT


def write_export(
    path: Path,
    store: Store,
    scope: Scope | None,
    info: EmbedderInfo,
    now: datetime,
    keep: Callable[[MemCube], bool] = lambda cube: True,
    shown: Callable[[MemCube], MemCube] | None = None,
    blob: Callable[[BlobRef], bytes] | None = None,
) -> int:
    """Write the versions of a scope's cubes to ``path``, one JSON object a line; return how many.

    keep   says of each version whether it is written
    shown  makes of each version what is written; one that it changes goes without key and vectors, which would tell
    blob   gives the bytes that a cube refers to which is no text; None: they are not written
    Raises: InvalidInput if the file is there; StoreError if it cannot be written. A half-written file is removed.
    """
    count = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            head = {
                "anamnos_export": FORMAT,
                "exported_at": to_iso(now),
                "embedder": info.id,
                "dim": info.dim,
            }
            file.write(json.dumps(head) + "\n")
            for cube, derived, key in store.export(scope):
                if not keep(cube):
                    continue
                if shown is not None and (as_shown := shown(cube)) != cube:
                    cube, derived, key = as_shown, None, b""
                line: dict[str, Any] = {"cube": cube.to_dict()}
                if key:
                    line["key"] = key.hex()
                if derived is not None and derived.vector is not None:
                    line["vector"] = base64.b64encode(derived.vector.astype("<f4").tobytes()).decode()
                    if derived.tokens:
                        line["tokens"] = base64.b64encode(derived.tokens).decode()
                if blob is not None and not isinstance(cube.content, str):
                    line["blob"] = base64.b64encode(blob(cube.content)).decode()
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                count += 1
            file.write(json.dumps({"end": True, "count": count}) + "\n")
    except FileExistsError as exc:
        raise InvalidInput(f"{path} is there already.", hint="Name a new file.") from exc
    except OSError as exc:
        with suppress(OSError):
            path.unlink()
        raise StoreError(f"{path} could not be written: {exc.strerror}.", hint="Choose another place.") from exc
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return count


def read_export(path: Path, info: EmbedderInfo) -> list[Exported]:
    """Return what ``write_export`` wrote.

    Raises: InvalidInput naming the line if the file is not an export, is of a newer format, is damaged or cut off.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.") from exc
    except OSError as exc:
        raise InvalidInput(f"{path} could not be read: {exc}.") from exc
    return parse_export(data, str(path), info)


def parse_export(data: bytes, path: str, info: EmbedderInfo) -> list[Exported]:
    """Return what the bytes of an export hold; ``path`` is what errors call it. Raises: as ``read_export``."""
    try:
        lines = data.decode("utf-8").rstrip("\n").split("\n")  # splitlines would also cut at U+2028 in a text
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"{path} could not be read as UTF-8 text: {exc}.") from exc
    head, *body = [_json(path, number, line) for number, line in enumerate(lines, start=1)] or [{}]
    if head.get("anamnos_export") != FORMAT:
        raise InvalidInput(
            f"{path} is not an Anamnos export of format {FORMAT}.",
            hint="Chat exports and notes go through: anamnos ingest",
        )
    if not body or body[-1] != {"end": True, "count": len(body) - 1}:
        raise InvalidInput(f"{path} is cut off or lines were taken out: its end does not agree with its content.")
    usable = (head.get("embedder"), head.get("dim")) == (info.id, info.dim)
    items = [_exported(path, number, line, info if usable else None) for number, line in enumerate(body[:-1], start=2)]
    current = Counter(item.cube.id for item in items if item.cube.time.superseded_at is None)
    for item in items:
        if current[item.cube.id] != 1:
            raise InvalidInput(
                f"{path} is damaged: memory {item.cube.id} has {current[item.cube.id]} current versions."
            )
    return items


def _exported(path: str, number: int, line: dict[str, Any], info: EmbedderInfo | None) -> Exported:
    try:
        cube = MemCube.from_dict(line["cube"])
        key = bytes.fromhex(line.get("key", ""))
        vector, tokens = None, b""
        if info is not None and "vector" in line:
            vector = np.frombuffer(base64.b64decode(line["vector"], validate=True), dtype="<f4")
            if vector.shape != (info.dim,) or not np.isfinite(vector).all():
                raise InvalidInput(f"a vector of shape {vector.shape} or with numbers that are not finite")
            tokens = base64.b64decode(line.get("tokens", ""), validate=True)
        blob = base64.b64decode(line["blob"], validate=True) if "blob" in line else None
        if blob is not None and (isinstance(cube.content, str) or sha256(blob).hexdigest() != cube.content.sha256):
            raise InvalidInput("a blob that is not the one that the memory refers to")
    except (AnamnosError, KeyError, ValueError, TypeError, binascii.Error) as exc:
        raise InvalidInput(f"{path}, line {number}, is damaged: {exc}.") from exc
    return Exported(cube, key, vector, tokens, blob)


def _json(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"{path}, line {number}, is not JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}, line {number}, is not a JSON object.")
    return value
