"""Rows to bytes and back with the tables of a circuit.

A code is a head (magic, version, hash of the model, rows), blocks of rows, and a CRC-32 over all of that. A block is a
head (rows, lanes at first and at last, batches, words, length, CRC-32 of its rows), the number of lanes of each batch,
and what the lanes hold. A batch is rows that are coded side by side, one per lane: as many as there are lanes, only the
first rows' batch may have fewer. All numbers are little-endian; ``_HEAD`` and ``_BLOCK`` say how wide they are.

Rows are coded from the last to the first and variables from the last in the tree's order, as the lanes give back what
was put on them last first. What is coded depends on whole numbers only (see ``walk.CodingWalk``), so that every machine
whose float64 follows IEEE 754 reads it; should one not, the checksum of the rows says so.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from anamnos.associative.circuits import steps
from anamnos.associative.circuits.lanes import MOST_LANES, Lanes
from anamnos.associative.circuits.structure import Rows
from anamnos.associative.circuits.tables import Tables
from anamnos.errors import Corrupt, InvalidInput

_MAGIC = b"APCS"
_VERSION = 1
_HEAD = struct.Struct("<4sBxHI16sQ")  # magic, version, lanes of blocks at most, blocks, hash of the model, rows
_BLOCK = struct.Struct("<IHHIIII")  # rows, lanes at first, lanes at last, batches, words, bytes, CRC-32 of the rows
_CRC = struct.Struct("<I")
_BLOCK_SYMBOLS = 1 << 23  # bounds the memory: 16 bytes per symbol while a block is coded
_FREE_LANE = 10_000  # a lane that starts with nothing costs 32 bits: one per so many times 32 bits of raw symbols


def encode(tables: Tables, name: bytes, rows: Rows) -> bytes:
    """Return the code of rows that are within the alphabets."""
    size = max(1, _BLOCK_SYMBOLS // rows.shape[1])
    blocks = [_encode_block(tables, rows[start : start + size]) for start in range(0, len(rows), size)]
    head = _HEAD.pack(_MAGIC, _VERSION, MOST_LANES, len(blocks), name[:16], len(rows))
    body = b"".join([head, *blocks])
    return body + _CRC.pack(zlib.crc32(body))


def decode(tables: Tables, name: bytes, data: bytes, most_rows: int | None) -> Rows:
    """Return the rows of a code. Raises: Corrupt, InvalidInput."""
    if len(data) < _HEAD.size + _CRC.size or data[:4] != _MAGIC:
        raise Corrupt("These bytes are no code of a circuit, or are cut off.")
    _, version, _, blocks, made_with, count = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise Corrupt(f"The code is of version {version}; this Anamnos reads {_VERSION}.", hint="Update Anamnos.")
    if made_with != name[:16]:
        raise InvalidInput(
            f"The code was made with the circuit {made_with.hex()}, not with {name[:16].hex()}.",
            hint="Decode with the model that encoded.",
        )
    if zlib.crc32(data[: -_CRC.size]) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise Corrupt("The code is damaged or cut off: its checksum does not fit.")
    if most_rows is not None and count > most_rows:
        raise InvalidInput(f"The code is of {count:,} rows, more than the {most_rows:,} that are allowed.")
    found, place, left = [], _HEAD.size, count
    for _ in range(blocks):
        rows, place = _decode_block(tables, data[: -_CRC.size], place, left)
        found.append(rows)
        left -= len(rows)
    if left or place != len(data) - _CRC.size:
        raise Corrupt("The code does not hold what its head says.")
    return np.concatenate([np.zeros((0, len(tables.emissions)), dtype=np.uint8), *found])


def _encode_block(tables: Tables, rows: Rows) -> bytes:
    starts, frequencies = steps.intervals(tables, rows)
    raw_bits = len(rows) * float(np.log2(tables.alphabets).sum())
    first = min(MOST_LANES, len(rows), 1 + int(raw_bits / 32 / _FREE_LANE))
    lanes, widths, end = Lanes.empty(first), list[int](), len(rows)
    while end:
        lanes.grow(lanes.can_grow(min(MOST_LANES, end)))
        size = min(len(lanes.states), end)
        for place in reversed(range(rows.shape[1])):
            lanes.push(starts[place, end - size : end], frequencies[place, end - size : end])
        widths.append(len(lanes.states))
        end -= size
    last = len(lanes.states)
    lanes.shrink(1)
    held = lanes.to_bytes()
    head = _BLOCK.pack(len(rows), first, last, len(widths), len(lanes.stack), len(held), zlib.crc32(rows.tobytes()))
    return head + np.array(widths, dtype="<u2").tobytes() + held


def _decode_block(tables: Tables, data: bytes, place: int, most: int) -> tuple[Rows, int]:
    try:
        count, first, last, batches, words, length, summed = _BLOCK.unpack_from(data, place)
        place += _BLOCK.size
        widths = np.frombuffer(data, dtype="<u2", count=batches, offset=place).astype(int).tolist()
    except (struct.error, ValueError) as exc:
        raise Corrupt("A block of the code is cut off.") from exc
    place += 2 * batches
    held = data[place : place + length]
    grown = [first, *widths, last]
    if count > most or len(held) != length or first < 1 or grown != sorted(grown) or (widths and widths[-1] != last):
        raise Corrupt("A block of the code does not hold what its head says.")
    lanes = Lanes.from_bytes(held, words)
    lanes.grow(last)
    parts = []
    for size, width in reversed(_sizes(count, widths)):
        lanes.shrink(width)
        parts.append(steps.decode_batch(tables, lanes, size))
    lanes.shrink(first)
    rows = np.concatenate([np.zeros((0, len(tables.emissions)), dtype=np.uint8), *parts])
    if not lanes.is_empty() or zlib.crc32(rows.tobytes()) != summed:
        raise Corrupt("The rows that come out of the code are not those that went in.")
    return rows, place + length


def _sizes(count: int, widths: list[int]) -> list[tuple[int, int]]:
    """Return rows and lanes of each batch, in the order of encoding: from the last rows. Raises: Corrupt."""
    found = []
    for width in widths:
        found.append((min(width, count), width))
        count -= found[-1][0]
    if count or (found and not found[-1][0]):
        raise Corrupt("A block of the code does not hold as many rows as its head says.")
    return found


def head_bytes(code: bytes) -> int:
    """Return how many bytes of a code are heads and checksums: what it takes beside the symbols."""
    blocks, place, found = _HEAD.unpack_from(code)[3], _HEAD.size, _HEAD.size + _CRC.size
    for _ in range(blocks):
        _, _, _, batches, _, length, _ = _BLOCK.unpack_from(code, place)
        found += _BLOCK.size + 2 * batches
        place += _BLOCK.size + 2 * batches + length
    return found
