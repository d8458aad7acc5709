"""Haystack: ``AnamnosDocumentStore``, a ``DocumentStore``, and ``AnamnosRetriever``, the component that searches it.

Each document is one memory of the store's scope: its content is what it is found by, the document itself, with its id,
``meta``, ``blob`` and embeddings, stands beside it as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anamnos.compat.records import PRESENT, every, is_alive, missing, now, record_of, remember, rewrite
from anamnos.cube import MemCube, Role, Scope, freeze_json
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.memory import Memory
from anamnos.types import And, Comparison, Field, Where

try:
    from haystack import Document, component, default_from_dict, default_to_dict  # type: ignore[import-not-found]
    from haystack.document_stores.errors import DuplicateDocumentError  # type: ignore[import-not-found]
    from haystack.document_stores.types import DuplicatePolicy  # type: ignore[import-not-found]
    from haystack.utils.filters import document_matches_filter  # type: ignore[import-not-found]
except ImportError as exc:
    raise missing("AnamnosDocumentStore", "haystack-ai") from exc

_SOURCE = "haystack:"
_MAX_TOP_K = 10_000


class AnamnosDocumentStore:
    """A ``DocumentStore`` of Haystack over a vault, for pipelines: a writer before it, an ``AnamnosRetriever`` behind.

    vault   its folder; opened at first use and closed by ``close``
    memory  one that is open already, instead: then the store cannot be written to a pipeline's YAML
    user, agent, session, tenant  the scope of its documents; what else is in it is never touched
    settings  of ``Memory``, such as ``{"embedder": "hashing"}``

    ``write_documents`` refuses a known id unless the policy says otherwise, and writes all new ones in one transaction.
    """

    def __init__(
        self,
        vault: str | None = None,
        *,
        memory: Memory | None = None,
        user: str | None = None,
        agent: str | None = None,
        session: str | None = None,
        tenant: str = "default",
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.scope = Scope(tenant, user, agent, session)
        self.vault = vault
        self.settings = settings or {}
        self._given = memory
        self._opened: Memory | None = None

    @property
    def memory(self) -> Memory:
        """The memory, opened if it is not yet."""
        if self._given is not None:
            return self._given
        if self._opened is None:
            self._opened = Memory(None if self.vault is None else Path(self.vault), **self.settings)
        return self._opened

    def close(self) -> None:
        """Let go of the vault, unless it was handed over."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def to_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` makes the store of. Raises: InvalidInput if it was handed an open memory."""
        if self._given is not None:
            raise InvalidInput(
                "A store over an open memory cannot be written down.", hint="Give it the vault's folder."
            )
        named = {part: getattr(self.scope, part) for part in ("user", "agent", "session", "tenant")}
        return default_to_dict(self, vault=self.vault, settings=self.settings, **named)  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AnamnosDocumentStore:
        """Return the store that ``to_dict`` described."""
        return default_from_dict(cls, data)  # type: ignore[no-any-return]

    def count_documents(self) -> int:
        """Return how many documents there are."""
        return len(self._cubes())

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """Return the documents that pass a filter of Haystack, in the order in which they were first written."""
        documents = [_document(cube) for cube in self._cubes()]
        return [document for document in documents if _passes(document, filters)]

    def write_documents(self, documents: list[Any], policy: Any = DuplicatePolicy.NONE) -> int:
        """Write documents, durably, and return how many. NONE is FAIL.

        Raises: DuplicateDocumentError for a known id, ValueError for what is no list of documents; then nothing has
        changed.
        """
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise ValueError("write_documents needs a list of Documents.")
        given = {document.id: document for document in documents}
        records = {name: _record(document) for name, document in given.items()}
        known = {record_of(cube)["document"]["id"]: cube for cube in self._cubes()}
        doubled = [name for name in given if name in known]
        refuses = policy in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL)
        if refuses and (doubled or len(given) < len(documents)):
            name = doubled[0] if doubled else next(d.id for i, d in enumerate(documents) if d in documents[:i])
            raise DuplicateDocumentError(f"ID '{name}' already exists.")
        for name in doubled if policy == DuplicatePolicy.OVERWRITE else ():
            rewrite(self.memory, known[name], records[name], content=_words(given[name]), expires_at=None)
        new = [self._turn(given[name], records[name]) for name in given if name not in known]
        if new:
            remember(self.memory, new, self.scope, source=_SOURCE)
        return len(documents) if policy == DuplicatePolicy.OVERWRITE else len(new)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Erase documents from every file of the vault. Ids that are not there are passed over."""
        wanted = set(document_ids)
        if doomed := [cube.id for cube in self._cubes() if record_of(cube)["document"]["id"] in wanted]:
            self.memory.delete(doomed, self.scope)

    def search(self, query: str, *, filters: dict[str, Any] | None = None, top_k: int = 10) -> list[Any]:
        """Return the documents that answer a query best, best first; ``score`` is the similarity, in [0, 1]."""
        moment, tree, depth = now(self.memory), And((PRESENT, _OURS)), min(2 * top_k if filters else top_k, _MAX_TOP_K)
        while True:
            hits = self.memory.search(query, self.scope, top_k=depth, filter=tree)
            cubes = [hit for hit in hits if "document" in record_of(hit.cube) and is_alive(hit.cube, moment)]
            found = [_document(hit.cube, hit.similarity) for hit in cubes]
            found = [document for document in found if _passes(document, filters)]
            if len(found) >= top_k or len(hits) < depth or depth == _MAX_TOP_K:
                return found[:top_k]
            depth = min(4 * depth, _MAX_TOP_K)

    def _cubes(self) -> list[MemCube]:
        return [cube for cube in every(self.memory, self.scope, _OURS) if "document" in record_of(cube)]

    def _turn(self, document: Any, record: dict[str, Any]) -> Turn:
        return Turn(
            _words(document),
            said_at=now(self.memory),
            message_id=hashlib.sha256(document.id.encode()).hexdigest(),
            role=Role.RESOURCE,
            data=record,
        )


_OURS = Where(Field.SOURCE, Comparison.EQ, _SOURCE)


@component
class AnamnosRetriever:
    """The component that answers a query from an ``AnamnosDocumentStore``: ``query`` in, ``documents`` out.

    filters  of Haystack; those of a run go before them
    top_k    how many documents at most
    """

    def __init__(
        self, document_store: AnamnosDocumentStore, filters: dict[str, Any] | None = None, top_k: int = 10
    ) -> None:
        if top_k < 1:
            raise InvalidInput(f"top_k must be at least 1, got {top_k}.")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k

    def to_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` makes the component of."""
        return default_to_dict(  # type: ignore[no-any-return]
            self, document_store=self.document_store.to_dict(), filters=self.filters, top_k=self.top_k
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AnamnosRetriever:
        """Return the component that ``to_dict`` described."""
        given = data["init_parameters"]
        if isinstance(given["document_store"], dict):
            given["document_store"] = AnamnosDocumentStore.from_dict(given["document_store"])
        return default_from_dict(cls, data)  # type: ignore[no-any-return]

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": […]}``, best first."""
        wanted = self.top_k if top_k is None else top_k
        return {"documents": self.document_store.search(query, filters=filters or self.filters, top_k=wanted)}


def _record(document: Any) -> dict[str, Any]:
    """Return a document as JSON. Raises: InvalidInput if its ``meta`` holds what JSON cannot."""
    record = {"document": {**document.to_dict(flatten=False), "score": None}}
    freeze_json(f"document {document.id}", record)
    return record


def _document(cube: MemCube, score: float | None = None) -> Any:
    return Document.from_dict({**record_of(cube)["document"], "score": score})


def _words(document: Any) -> str:
    """Return what a document is found by: its content, else its ``meta``, else its id."""
    if document.content and document.content.strip():
        return str(document.content)
    said: Iterable[str] = (f"{name}: {value}" for name, value in document.meta.items())
    return "\n".join(said) or json.dumps(document.id)


def _passes(document: Any, filters: dict[str, Any] | None) -> bool:
    return not filters or bool(document_matches_filter(filters, document))
