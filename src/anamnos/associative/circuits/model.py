"""A probabilistic circuit over rows of symbols: how likely a row is, and its shortest code.

A hidden Chow-Liu tree: every variable has a hidden state, the states form a tree. All that coding needs is whole
numbers, so a code made on one machine is read on any other. Source: arXiv:2111.11632.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive, check_whole
from anamnos.associative.circuits import coder
from anamnos.associative.circuits.structure import Floats, Rows, Tree
from anamnos.associative.circuits.tables import BITS, Tables
from anamnos.associative.circuits.walk import ExactWalk
from anamnos.errors import Corrupt, InvalidInput

MOST_STATES = 64
_MAGIC = b"APCM"
_VERSION = 1
_HEAD = struct.Struct("<4sBBHI32s")  # magic, version, states, 0, variables, SHA-256 of the rest
_MOST_VARIABLES = 1 << 20
_MOST_MEMORY = 1 << 26  # bytes, to unpack a model
_CHUNK = 2_048


class CircuitModel:
    """A fitted circuit. Models of the same tables have the same ``name`` and read each other's codes."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    @classmethod
    def fit(
        cls,
        rows: ArrayLike,
        *,
        alphabets: ArrayLike | None = None,
        states: int = 16,
        epochs: int = 10,
        smoothing: float = 1.0,
        seed: int = 0,
    ) -> Self:
        """Return a circuit for rows like these.

        rows       (n, variables) of whole numbers from 0 to 255
        alphabets  how many symbols each variable has, a number or (variables,); None: as many as the rows show
        states     hidden ones per variable; more fit better and cost size and time
        epochs     of expectation maximisation over all rows
        smoothing  rows of even chance that are put to those of each distribution
        Raises: InvalidInput.
        """
        check_whole("states", states, most=MOST_STATES)
        check_whole("epochs", epochs, least=0)
        check_whole("seed", seed, least=0)
        check_positive("smoothing", smoothing, zero=True)
        from anamnos.associative.circuits.learn import learn

        given = _symbols(rows)
        if not given.size:
            raise InvalidInput("A circuit is fitted to at least one row of one variable.", hint="Give rows.")
        sizes = _alphabets(alphabets, given)
        _check_alphabets(given, sizes)
        random = np.random.Generator(np.random.PCG64(seed))
        return cls(learn(given, sizes, states=states, epochs=epochs, smoothing=smoothing, random=random))

    @property
    def variables(self) -> int:
        return len(self._tables.emissions)

    @property
    def states(self) -> int:
        return self._tables.states

    @property
    def alphabets(self) -> NDArray[np.int64]:
        """How many symbols each variable has, (variables,)."""
        return self._tables.alphabets

    @cached_property
    def name(self) -> bytes:
        """SHA-256 of the tables."""
        return hashlib.sha256(_body(self._tables)).digest()

    def log_likelihood(self, rows: ArrayLike, *, known: ArrayLike | None = None) -> Floats:
        """Return log P of each row in nats, (n,): how familiar it is, at most 0.

        known  (variables,) of bool: the others are summed out exactly; None: all are known
        Raises: InvalidInput.
        """
        given = self._checked(rows)
        seen = np.ones(self.variables, dtype=np.bool_) if known is None else np.asarray(known, dtype=np.bool_)
        if seen.shape != (self.variables,):
            raise InvalidInput(f"known must have {self.variables} entries, got the shape {seen.shape}.")
        parts = [self._upwards(given[start : start + _CHUNK], seen) for start in range(0, len(given), _CHUNK)]
        return np.concatenate([np.zeros(0), *parts])

    def chances(self, rows: ArrayLike) -> Floats:
        """Return P(symbol | those before it in the coding order), (n, variables), by the changed path only."""
        given = self._checked(rows)
        walk, found = ExactWalk(self._tables, len(given)), np.zeros(given.shape)
        for place, node in enumerate(self._tables.tree.order):
            walk.predict(place)
            found[:, node] = walk.chances(place, given[:, node])
            walk.observe(place, given[:, node])
        return found

    @property
    def order(self) -> list[int]:
        """The variables in the order in which they are coded."""
        return list(self._tables.tree.order)

    def encode(self, rows: ArrayLike) -> bytes:
        """Return the code of rows, about as long as -log2 of their likelihood. Raises: InvalidInput."""
        return coder.encode(self._tables, self.name, self._checked(rows))

    def decode(self, data: bytes, *, most_rows: int | None = None) -> Rows:
        """Return the rows of a code, (n, variables) uint8.

        most_rows  of a code that is not trusted; None: any number
        Raises: InvalidInput if another model made it or it is of too many rows; Corrupt if it is damaged.
        """
        return coder.decode(self._tables, self.name, data, most_rows)

    def to_bytes(self) -> bytes:
        """Return the model; the same tables give the same ``name``."""
        tables = self._tables
        head = _HEAD.pack(_MAGIC, _VERSION, tables.states, 0, self.variables, self.name)
        return head + lzma.compress(_body(tables), format=lzma.FORMAT_ALONE, preset=6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the model that ``to_bytes`` wrote. Raises: Corrupt."""
        if len(data) < _HEAD.size or data[:4] != _MAGIC:
            raise Corrupt("These bytes are no model of a circuit.")
        _, version, states, spare, variables, name = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise Corrupt(f"The model is of version {version}; this Anamnos reads {_VERSION}.", hint="Update Anamnos.")
        if spare or not 1 <= states <= MOST_STATES or not 1 <= variables <= _MOST_VARIABLES:
            raise Corrupt("The head of the model is damaged.")
        most = variables * (6 + 2 * states * (states + 256)) + 2 * states  # of symbols and states that there can be
        try:
            unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_MOST_MEMORY)
            body = unpacker.decompress(data[_HEAD.size :], max_length=most + 1)
        except lzma.LZMAError as exc:
            raise Corrupt(f"The model is damaged: {exc}.") from exc
        if hashlib.sha256(body).digest() != name:
            raise Corrupt("The model is not what was written: its checksum does not fit.")
        return cls(_tables(body, states, variables))

    def _checked(self, rows: ArrayLike) -> Rows:
        given = _symbols(rows)
        if given.shape[1] != self.variables:
            raise InvalidInput(f"rows must have {self.variables} variables, got the shape {given.shape}.")
        _check_alphabets(given, self.alphabets)
        return given

    def _upwards(self, rows: Rows, seen: NDArray[np.bool_]) -> Floats:
        tables, scale = self._tables, float(1 << BITS)
        told: dict[int, Floats] = {}
        logs = np.zeros(len(rows))
        for node in reversed(tables.tree.order):
            if seen[node]:
                message = tables.by_symbol[node][rows[:, node]] / scale
            else:
                message = np.ones((len(rows), tables.states))
            for child in tables.tree.children[node]:
                message = message * told.pop(child)
            top = message.max(axis=1)
            logs += np.log(top)
            message = message / top[:, None]
            told[node] = message @ tables.upwards[node] / scale
            if node == tables.tree.root:
                logs += np.log(message @ tables.root / scale)
        return logs


def _symbols(rows: ArrayLike) -> Rows:
    given = np.asarray(rows)
    if given.ndim != 2 or given.dtype.kind not in "uib":
        raise InvalidInput(f"rows must be whole numbers of shape (n, variables), got {given.dtype} of {given.shape}.")
    if given.size and (given.min() < 0 or given.max() > 255):
        raise InvalidInput(f"Symbols must be from 0 to 255, got {given.min()} to {given.max()}.")
    return np.ascontiguousarray(given, dtype=np.uint8)


def _alphabets(alphabets: ArrayLike | None, rows: Rows) -> NDArray[np.int64]:
    if alphabets is None:
        return np.asarray(rows.max(axis=0), dtype=np.int64) + 1
    sizes = np.asarray(alphabets)
    if sizes.dtype.kind not in "ui" or sizes.shape not in ((), (rows.shape[1],)):
        raise InvalidInput(f"alphabets must be a whole number, or {rows.shape[1]} of them; got {sizes.shape}.")
    if sizes.min() < 1 or sizes.max() > 256:
        raise InvalidInput(f"alphabets must be from 1 to 256, got {sizes.min()} to {sizes.max()}.")
    return np.broadcast_to(sizes, (rows.shape[1],)).astype(np.int64)


def _check_alphabets(rows: Rows, alphabets: NDArray[np.int64]) -> None:
    outside = rows >= alphabets
    if outside.any():
        row, variable = np.argwhere(outside)[0].tolist()
        raise InvalidInput(
            f"The symbol {rows[row, variable]} of row {row}, variable {variable}, is outside its alphabet of "
            f"{alphabets[variable]}.",
            hint="Fit the circuit with alphabets that have all symbols.",
        )


def _body(tables: Tables) -> bytes:
    """Return the tables as bytes: 1 is taken off every number, so that it fits into two bytes."""
    parts = [tables.tree.parents.astype("<i4"), (tables.alphabets - 1).astype("<u2"), _small(tables.root)]
    parts += [_small(tables.transitions), *(_small(table) for table in tables.emissions)]
    return b"".join(part.tobytes() for part in parts)


def _small(table: Floats) -> NDArray[np.uint16]:
    return np.asarray(table - 1, dtype="<u2")


def _tables(body: bytes, states: int, variables: int) -> Tables:
    if len(body) < variables * 6:
        raise Corrupt("The model is too short.")
    parents = np.frombuffer(body, dtype="<i4", count=variables).astype(np.int32)
    alphabets = np.frombuffer(body, dtype="<u2", count=variables, offset=4 * variables).astype(np.int64) + 1
    numbers = np.frombuffer(body[6 * variables :], dtype=np.uint8)
    sizes = [states, variables * states * states, *(states * alphabets).tolist()]
    if numbers.size != 2 * sum(sizes) or alphabets.max() > 256 or not (tree := Tree(parents)).is_tree():
        raise Corrupt("The model does not hold what its head says.")
    cuts = np.cumsum(sizes)[:-1]
    root, transitions, *emissions = np.split(numbers.view("<u2").astype(np.float64) + 1, cuts)
    tables = Tables(
        tree,
        root,
        transitions.reshape(variables, states, states),
        tuple(table.reshape(states, -1) for table in emissions),
    )
    for table in (tables.root, tables.transitions, *tables.emissions):
        if (table.sum(axis=-1) != 1 << BITS).any():
            raise Corrupt("A distribution of the model does not sum to one.")
    return tables


__all__ = ["CircuitModel"]
