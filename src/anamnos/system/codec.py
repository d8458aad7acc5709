"""Payloads packed for cold keeping: smaller on the disk, slower to read. ``unpack`` undoes ``pack``.

none  the bytes as they are
zlib  deflated
xz    the arrays of the payload of an associative memory, or the bytes of any other, by xz
pc    as xz; but an array of rows of small symbols by a probabilistic circuit that is fitted to it, or that is given,
      where that is smaller with the circuit included. Takes seconds per megabyte.

A packed payload says itself how it was packed: ``_HEAD``, then the bytes; or for arrays the length of a list in JSON
by xz (name, type, shape, way, what was taken off, bytes of model and code), and models and codes in its order.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from anamnos.errors import Corrupt, InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from anamnos.associative.circuits import CircuitModel

Codec = Literal["none", "zlib", "xz", "pc"]
CODECS: tuple[Codec, ...] = ("none", "zlib", "xz", "pc")

_MAGIC = b"ANPK"
_VERSION = 1
_HEAD = struct.Struct("<4sBBHQ32s")  # magic, version, how, 0, bytes unpacked, SHA-256 of what comes out
_BYTES, _ZLIB, _XZ, _ARRAYS = range(4)
_XZ_MEMORY = 1 << 28
# what a circuit is tried on; below, its own size is not earned back
_LEAST_ROWS = 500
_MOST_VARIABLES = 1_024
_FITTED_ROWS = 20_000
_TRIED_STATES = (4, 16)


def pack(payload: bytes, codec: Codec, *, models: Iterable[CircuitModel] = ()) -> bytes:
    """Return the payload packed; what does not get smaller is kept as it is, under a head of 48 bytes.

    models  circuits that are kept elsewhere and will be given to ``unpack``; with them, small payloads gain too
    Raises: InvalidInput if there is no such codec.
    """
    if codec not in CODECS:
        raise InvalidInput(f"codec must be one of {', '.join(CODECS)}, got {codec!r}.")
    found = {_BYTES: payload}
    if codec == "zlib":
        found[_ZLIB] = zlib.compress(payload, 9)
    if codec in ("xz", "pc"):
        found[_XZ] = _xz(payload)
        if (arrays := _arrays(payload)) is not None:
            found[_ARRAYS] = _pack_arrays(arrays, _CircuitChoice(tuple(models)) if codec == "pc" else None)
    how = min(found, key=lambda kind: (len(found[kind]), kind))
    summed = _summed(arrays) if how == _ARRAYS and arrays is not None else sha256(payload).digest()
    return _HEAD.pack(_MAGIC, _VERSION, how, 0, len(payload), summed) + found[how]


def unpack(data: bytes, *, models: Iterable[CircuitModel] = (), most_bytes: int | None = None) -> bytes:
    """Return the payload. Arrays come back bit by bit; the archive around them may be packed by another zlib.

    most_bytes  of payload and of all its arrays, of data that is not trusted; None: any number
    Raises: Corrupt if it is damaged or no packed payload; InvalidInput if it is too large, or its circuit is missing.
    """
    if not is_packed(data):
        raise Corrupt("These bytes are no packed payload.")
    _, version, how, spare, length, summed = _HEAD.unpack_from(data)
    if version != _VERSION or spare or how > _ARRAYS:
        raise Corrupt(f"The payload is packed in a way, {version}.{how}, that is not known.", hint="Update Anamnos.")
    if most_bytes is not None and length > most_bytes:
        raise InvalidInput(f"The payload has {length:,} bytes, more than the {most_bytes:,} that are allowed.")
    body = data[_HEAD.size :]
    if how == _ARRAYS:
        arrays = _unpack_arrays(body, {model.name: model for model in models}, most_bytes)
        if _summed(arrays) != summed:
            raise Corrupt("The arrays that come out are not those that went in.")
        return _archive(arrays)
    payload = _UNPACK[how](body, length)
    if len(payload) != length or sha256(payload).digest() != summed:
        raise Corrupt("What comes out of the packed payload is not what went in.")
    return payload


def is_packed(data: bytes) -> bool:
    """Return whether ``pack`` made these bytes."""
    return len(data) >= _HEAD.size and data[:4] == _MAGIC


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32)


def _inflate(body: bytes, length: int) -> bytes:
    return _all_of(zlib.decompressobj(), body, length)


def _unxz(body: bytes, length: int) -> bytes:
    return _all_of(lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), body, length)


def _all_of(unpacker: Any, body: bytes, length: int) -> bytes:
    try:
        found: bytes = unpacker.decompress(body, length + 1)
    except (zlib.error, lzma.LZMAError, EOFError) as exc:
        raise Corrupt(f"The packed payload is damaged: {exc}.") from exc
    if not unpacker.eof or unpacker.unused_data:
        raise Corrupt("The packed payload is cut off, or longer than it says.")
    return found


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {_BYTES: lambda body, _: body, _ZLIB: _inflate, _XZ: _unxz}

# --- arrays


def _arrays(payload: bytes) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of an archive that can be made again from them; None if the payload is no such archive."""
    import numpy as np

    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ):
        return None
    plain = all(array.dtype.kind in "biuf" and array.flags.c_contiguous for array in arrays.values())
    return arrays if plain and _archive(arrays) == payload else None


def _archive(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    import numpy as np

    file = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez_compressed(file, **named)
    return file.getvalue()


def _summed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    summed = sha256()
    for name, array in arrays.items():
        summed.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        summed.update(array.tobytes())
    return summed.digest()


def _pack_arrays(arrays: Mapping[str, NDArray[Any]], circuits: _CircuitChoice | None) -> bytes:
    head, parts = [], []
    for name, array in arrays.items():
        plain = _xz(array.tobytes())
        how, low, part, model = "xz", None, plain, b""
        if circuits is not None and (rows := _rows(array)) is not None:
            coded = circuits.shortest(rows.symbols)
            if coded is not None and len(coded[0]) + len(coded[1]) < len(plain):
                how, low, (model, part) = "pc", rows.low, coded
        head.append(
            {"name": name, "dtype": array.dtype.str, "shape": list(array.shape), "how": how, "low": low}
            | {"model": len(model), "bytes": len(part)}
        )
        parts += [model, part]
    told = _xz(json.dumps(head).encode())
    return b"".join([struct.pack("<I", len(told)), told, *parts])


def _unpack_arrays(
    body: bytes, models: Mapping[bytes, CircuitModel], most_bytes: int | None
) -> dict[str, NDArray[Any]]:
    import numpy as np

    try:
        (cut,) = struct.unpack_from("<I", body)
        place, total = 4 + cut, 0
        found: dict[str, NDArray[Any]] = {}
        for entry in json.loads(_unxz(body[4:place], 1 << 24)):
            dtype, shape = np.dtype(entry["dtype"]), tuple(int(side) for side in entry["shape"])
            size = dtype.itemsize
            for side in shape:
                size *= side
            if dtype.kind not in "biuf" or min(shape, default=1) < 0:
                raise Corrupt(f"The array {entry['name']!r} of the packed payload is of no known kind.")
            total += size
            if most_bytes is not None and total > most_bytes:
                raise InvalidInput(
                    f"The arrays of the payload have {total:,} bytes or more; allowed are {most_bytes:,}."
                )
            end = place + entry["model"]
            model, part = body[place:end], body[end : end + entry["bytes"]]
            place = end + entry["bytes"]
            if entry["how"] == "xz":
                raw = _unxz(part, size)
            else:
                raw = _bytes_of(_decoded(model, part, models, size), dtype, entry["low"])
            if len(raw) != size:
                raise Corrupt(f"The array {entry['name']!r} of the packed payload is cut off.")
            found[str(entry["name"])] = np.frombuffer(raw, dtype=dtype).reshape(shape)
    except (struct.error, KeyError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise Corrupt(f"The packed payload is damaged: {exc}.") from exc
    return found


# --- circuits


@dataclass(frozen=True)
class _Rows:
    """An array as rows of symbols, and what was taken off each number; None: they are the bytes of wider numbers."""

    symbols: NDArray[np.uint8]
    low: int | None


def _rows(array: NDArray[Any]) -> _Rows | None:
    """Return an array as rows that a circuit may be worth; None if they are too few, too wide or too long."""
    import numpy as np

    if array.ndim < 2 or not array.size:
        return None
    flat = array.reshape(-1, array.shape[-1])
    if array.dtype.kind in "iu" and int(flat.max()) - int(flat.min()) < 256:
        low = int(flat.min())
        rows = _Rows((flat - flat.dtype.type(low)).astype(np.uint8), low)
    else:
        rows = _Rows(flat.view(np.uint8), None)
    fits = len(flat) >= _LEAST_ROWS and 1 < rows.symbols.shape[1] <= _MOST_VARIABLES
    return rows if fits else None


def _bytes_of(symbols: NDArray[np.uint8], dtype: np.dtype[Any], low: int | None) -> bytes:
    return symbols.tobytes() if low is None else (symbols.astype(dtype) + dtype.type(low)).tobytes()


@dataclass(frozen=True)
class _CircuitChoice:
    """Finds the circuit that makes rows shortest: one that is given, or one fitted to them and kept with them."""

    models: tuple[CircuitModel, ...]

    def shortest(self, rows: NDArray[np.uint8]) -> tuple[bytes, bytes] | None:
        """Return the model, empty if it was given, and the code; None if a circuit cannot take these rows."""
        found = [(b"", model.name + model.encode(rows)) for model in self.models if _takes(model, rows)]
        if not found:
            found = [self._fitted(rows)]
        return min(found, key=lambda pair: len(pair[0]) + len(pair[1]))

    def _fitted(self, rows: NDArray[np.uint8]) -> tuple[bytes, bytes]:
        import numpy as np

        from anamnos.associative.circuits import CircuitModel

        alphabets = rows.max(axis=0).astype(np.int64) + 1
        sample = rows[np.random.Generator(np.random.PCG64(0)).permutation(len(rows))[:_FITTED_ROWS]]
        tried = [CircuitModel.fit(sample, alphabets=alphabets, states=states, epochs=3) for states in _TRIED_STATES]
        sizes = [len(m.to_bytes()) - m.log_likelihood(sample).mean() * len(rows) / np.log(256) for m in tried]
        best = tried[int(np.argmin(sizes))]
        return best.to_bytes(), best.name + best.encode(rows)


def _takes(model: CircuitModel, rows: NDArray[np.uint8]) -> bool:
    return rows.shape[1] == model.variables and bool((rows.max(axis=0) < model.alphabets).all())


def _decoded(model: bytes, part: bytes, models: Mapping[bytes, CircuitModel], most_bytes: int) -> NDArray[np.uint8]:
    from anamnos.associative.circuits import CircuitModel

    name = part[:32]
    circuit = CircuitModel.from_bytes(model) if model else models.get(name)
    if circuit is None:
        raise InvalidInput(
            f"The payload needs the circuit {name.hex()[:16]}…, which was not given.",
            hint="Give the models that it was packed with.",
        )
    return circuit.decode(part[32:], most_rows=most_bytes // circuit.variables)
