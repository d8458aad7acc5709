"""Files of data sets: found or missed by name, plain or gzip."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput


def data_file(data: Path, pattern: str, origin: str, *, corpus: bool = False) -> Path:
    """Return ``data`` if it is a file, else the first file of that folder whose name fits ``pattern``.

    origin  where the data come from, for the hint
    corpus  whether it is a corpus that is looked for; its name has "_corpus." in it
    Raises: InvalidInput naming what is missing.
    """
    if data.is_file():
        return data
    if not data.exists():
        raise InvalidInput(f"There is no file {data}.", hint=f"Get it from {origin}.")
    found = sorted(path for path in data.glob(pattern) if ("_corpus." in path.name) is corpus)
    if not found:
        raise InvalidInput(f"There is no {pattern} in {data}.", hint=f"Get it from {origin}.")
    return found[0]


def beside(path: Path, ending: str, origin: str) -> Path:
    """Return the file that goes with ``path``: same stem, then ``ending``, gzipped or not."""
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    wanted = path.with_name(f"{stem}{ending}")
    for candidate in (wanted, wanted.with_name(f"{wanted.name}.gz")):
        if candidate.is_file():
            return candidate
    raise InvalidInput(f"There is no file {wanted}, which belongs to {path.name}.", hint=f"Get it from {origin}.")


def read_data(path: Path) -> str:
    """Return the text of a file in UTF-8; one that ends in .gz is unpacked."""
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except FileNotFoundError as exc:
        raise InvalidInput(f"There is no file {path}.", hint="Check the path.") from exc
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path} cannot be read: {exc}.", hint="Is the file whole?") from exc


def read_json_data(path: Path) -> Any:
    """Return the JSON of a file, gzipped or not."""
    return _parsed(read_data(path), str(path))


def read_jsonl_data(path: Path) -> list[Any]:
    """Return the JSON of each line of a file, gzipped or not."""
    lines = enumerate(read_data(path).splitlines(), start=1)
    return [_parsed(line, f"line {number} of {path}") for number, line in lines if line.strip()]


def about(*paths: Path) -> dict[str, str]:
    """Return name and SHA-256 of the data: of several files, that of all bytes in this order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return {"name": ", ".join(path.name for path in paths), "sha256": digest.hexdigest()}


def records(value: Any, needed: Sequence[str], where: str) -> list[Mapping[str, Any]]:
    """Return ``value`` if it is a list of JSON objects that all have the fields ``needed``."""
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"{where} must be a JSON list of records.")
    for number, record in enumerate(value, start=1):
        if not isinstance(record, Mapping):
            raise InvalidInput(f"Record {number} of {where} must be a JSON object, got {type(record).__name__}.")
        missing = [name for name in needed if name not in record]
        if missing:
            raise InvalidInput(f"Record {number} of {where} lacks {', '.join(map(repr, missing))}.")
    return value


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise InvalidInput(f"{where} is not JSON: {exc}.") from exc
