"""Vectors in Milvus, for more of them than one machine holds; the truth stays in the store.

A collection per vault and embedder. Its partition key is the space of a row, its tenant and user, so that a search
looks at the vectors of one user only. The entity of row 0 is the mark: it is written after the rows it speaks of, so a
kill between them only makes the next process apply the same changes again, which changes nothing.

A file as the address (``….db``) runs milvus-lite inside this process; a cluster is only another address and a token.

Source: https://milvus.io/docs; HNSW, arXiv:1603.09320.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import ConfigError, MissingExtra, StoreError
from anamnos.index.engine import EngineIndex, Mark, Spaces, as_rows, readable
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Vector

_LINKS, _BUILD_BREADTH = 16, 200  # HNSW's M and efConstruction
_LEAST_BREADTH = 128  # of ef
_MOST_RESULTS = 16_384  # that Milvus gives for one query
_LOOKUP_ROWS = 8_192
_SEAL_ROWS = 10_000  # from so many new rows on, maintain() has their graph built
_CONSISTENCIES = ("Strong", "Session", "Bounded", "Eventually")
_CONNECT_S = 10.0
_WAIT_S = 60.0  # for one answer
_NO_COLLECTION, _NOT_LOADED = 100, 101  # Milvus' codes


class MilvusIndex(EngineIndex):
    """All vectors of one embedder in Milvus.

    uri          of the server (``http://host:19530``, ``https://…``), or of a file ``….db`` for milvus-lite; may end in
                 ``?token=…&consistency=…``, which then count
    store        where the vectors come from
    info         which embedder's vectors
    token        ``user:password`` or an API key; empty: none
    consistency  of searches. ``Strong``: what any process has applied is found; ``Bounded``: faster on a cluster, and
                 may miss what was written in the last seconds; ``Session`` and ``Eventually``: as Milvus says

    Raises: MissingExtra without pymilvus; ConfigError for an address or option that is none; StoreError while the
    server cannot be asked.
    """

    scans = 5_000.0  # measured on milvus-lite

    def __init__(
        self, uri: str, store: Store, info: EmbedderInfo, *, token: str = "", consistency: str = "Strong"
    ) -> None:
        super().__init__(store, info)
        address, _, told = uri.partition("?")
        if not address.startswith(("http://", "https://")) and not address.endswith(".db"):
            raise ConfigError(
                f"The index milvus needs the address of a Milvus server; got {readable(uri)!r}.",
                hint="Set index_url to http://host:19530, or to a file ….db for milvus-lite.",
            )
        options = {"token": token, "consistency": consistency, **dict(parse_qsl(told, keep_blank_values=True))}
        if len(options) > 2 or options["consistency"] not in _CONSISTENCIES:
            raise ConfigError(
                f"The address {readable(uri)} of the vector index has an option that is none.",
                hint=f"There are token=… and consistency=…, which is one of {', '.join(_CONSISTENCIES)}.",
            )
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its errors are raised; it would print them as well
        try:
            import pymilvus
        except ImportError as exc:
            raise MissingExtra("The index milvus", "milvus") from exc
        for name in ("pymilvus", "milvus_lite", "grpc._server"):  # the same
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.uri = address
        self.consistency = options["consistency"]
        self._token = options["token"]
        self._milvus: Any = pymilvus
        self._rpc_error: Any = importlib.import_module("grpc").RpcError  # some get through pymilvus as they are
        self._client: Any = None
        self._unsealed = 0

    # --- applying changes

    def _alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _read_mark(self) -> Mark | None:
        def read(client: Any) -> Any:
            try:
                return client.query(
                    self.name, ids=[0], output_fields=["mark"], consistency_level="Strong", timeout=_WAIT_S
                )
            except self._milvus.MilvusException as exc:
                if exc.code == _NO_COLLECTION:
                    return []
                raise

        found = self._ask(read)
        return Mark(**json.loads(found[0]["mark"])) if found else None

    def _make(self) -> None:
        kinds = self._milvus.DataType

        def make(client: Any) -> None:
            client.drop_collection(self.name, timeout=_WAIT_S)
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("row", kinds.INT64, is_primary=True)
            schema.add_field("space", kinds.INT64, is_partition_key=True)
            schema.add_field("mark", kinds.VARCHAR, max_length=512, nullable=True)
            schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self.info.dim)
            indexes = client.prepare_index_params()
            graph = {"M": _LINKS, "efConstruction": _BUILD_BREADTH}
            indexes.add_index("vector", index_type="HNSW", metric_type="COSINE", params=graph)
            client.create_collection(self.name, schema=schema, consistency_level=self.consistency, timeout=_WAIT_S)
            client.create_index(self.name, indexes, sync=False, timeout=_WAIT_S)
            client.load_collection(self.name, timeout=_WAIT_S)

        self._ask(make)
        self._write_mark(Mark())

    def _apply(self, rows: Rows, spaces: Spaces, vectors: NDArray[np.float32], gone: Rows, mark: Mark) -> None:
        if len(gone):
            self._ask(lambda client: client.delete(self.name, ids=gone.tolist(), timeout=_WAIT_S))
        if len(rows):
            entities = [
                {"row": row, "space": space, "mark": None, "vector": vector}
                for row, space, vector in zip(rows.tolist(), spaces.tolist(), vectors, strict=True)
            ]
            self._ask(lambda client: client.upsert(self.name, entities, timeout=_WAIT_S))
        self._write_mark(mark)
        self._unsealed += len(rows)

    def _write_mark(self, mark: Mark) -> None:
        vector = np.zeros(self.info.dim, dtype=np.float32)
        vector[0] = 1  # Milvus wants one; row 0 is never asked for
        entity = {"row": 0, "space": 0, "mark": json.dumps(asdict(mark)), "vector": vector}
        self._ask(lambda client: client.upsert(self.name, [entity], timeout=_WAIT_S))

    # --- searching

    def _nearest(self, query: Vector, limit: int, spaces: Spaces) -> Rows:
        (found,) = self._ask(
            lambda client: client.search(
                self.name,
                data=[query],
                anns_field="vector",
                filter=f"space in {spaces.tolist()}",
                limit=min(limit, _MOST_RESULTS),
                output_fields=["row"],
                search_params={"params": {"ef": max(limit, _LEAST_BREADTH)}},
                consistency_level=self.consistency,
                timeout=_WAIT_S,
            )
        )
        return as_rows(hit["row"] for hit in found)

    # --- what it holds

    def _held(self, first: int, last: int) -> Rows:
        found = self._query(f"row >= {first} and row <= {last}", ["row"])
        return np.sort(as_rows(entity["row"] for entity in found))

    def _spaces_held(self, rows: Rows) -> tuple[Rows, Spaces]:
        found: list[Any] = []
        for start in range(0, len(rows), _LOOKUP_ROWS):
            found += self._query(f"row in {rows[start : start + _LOOKUP_ROWS].tolist()}", ["row", "space"])
        return as_rows(entity["row"] for entity in found), as_rows(entity["space"] for entity in found)

    def _vectors_held(self, rows: Rows) -> dict[int, Vector]:
        found = self._query(f"row in {rows.tolist()}", ["row", "vector"]) if len(rows) else []
        return {entity["row"]: np.array(entity["vector"], dtype=np.float32) for entity in found}

    def _query(self, among: str, fields: list[str]) -> list[Any]:
        return list(
            self._ask(
                lambda client: client.query(
                    self.name, filter=among, output_fields=fields, consistency_level="Strong", timeout=_WAIT_S
                )
            )
        )

    def _names(self) -> list[str]:
        return list(self._ask(lambda client: client.list_collections(timeout=_WAIT_S)))

    def _drop(self, name: str) -> None:
        self._ask(lambda client: client.drop_collection(name, timeout=_WAIT_S))

    # --- upkeep

    def maintain(self) -> bool:
        """Write what is new into sealed segments, which get a graph, and have those with erased rows written anew.

        milvus-lite never writes a segment anew for what was deleted from it, so there everything is.
        """
        with self._mutex:
            mark = self._read_mark()
            if mark is None or not (mark.erased or self._unsealed >= _SEAL_ROWS):
                return False
            if mark.erased and self.uri.endswith(".db"):
                self.rebuild()
                return True
            self._ask(lambda client: client.flush(self.name, timeout=_WAIT_S))
            self._unsealed = 0
            if mark.erased:
                self._ask(lambda client: client.compact(self.name, timeout=_WAIT_S))
                self._write_mark(Mark(mark.seq, mark.anchor))
        return True

    def close(self) -> None:
        with self._mutex:
            if self._client is not None:
                self._client.close()
            self._client, self._applied = None, -1

    # --- the connection

    def _ask(self, what: Callable[[Any], Any]) -> Any:
        """Return what the server answers; turn its errors into ours."""
        try:
            client = self._opened()
            try:
                return what(client)
            except self._milvus.MilvusException as exc:
                if exc.code != _NOT_LOADED:  # as after a restart of milvus-lite
                    raise
                client.load_collection(self.name, timeout=_WAIT_S)
                return what(client)
        except (self._milvus.MilvusException, self._rpc_error) as exc:
            raise StoreError(
                f"The vector index in {readable(self.uri)} cannot be asked: {' '.join(str(exc).split())}.",
                hint="The memories themselves are safe. Is the server up, and index_url right? A file of milvus-lite"
                " serves one process at a time. The index catches up by itself once it can be asked.",
            ) from exc

    def _opened(self) -> Any:
        with self._mutex:
            if self._client is None:
                self._client = self._milvus.MilvusClient(uri=self.uri, token=self._token, timeout=_CONNECT_S)
            return self._client
