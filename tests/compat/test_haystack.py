"""``AnamnosDocumentStore`` passes Haystack's own tests of document stores, and works in a pipeline."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("haystack", reason="needs the package haystack-ai")
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ByteStream
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing.document_store import DocumentStoreBaseTests

from anamnos import Memory, Scope
from anamnos.compat.haystack import AnamnosDocumentStore, AnamnosRetriever
from anamnos.errors import InvalidInput

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=15)
META = st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53) | st.none() | st.lists(TEXT, max_size=2), max_size=3)
DOCUMENTS = st.builds(
    Document,
    content=st.none() | TEXT,
    meta=META,
    blob=st.none() | st.builds(ByteStream, data=st.binary(max_size=5), mime_type=st.none() | st.just("image/png")),
    embedding=st.none() | st.lists(st.floats(-1, 1), min_size=2, max_size=2),
)


@pytest.fixture
def document_store(memory: Memory) -> AnamnosDocumentStore:
    return AnamnosDocumentStore(memory=memory, agent="library")


class TestAsAnyDocumentStore(DocumentStoreBaseTests):  # type: ignore[misc]
    """Haystack's own tests."""

    @pytest.fixture
    def document_store(self, memory: Memory) -> AnamnosDocumentStore:
        return AnamnosDocumentStore(memory=memory, agent="library")

    def test_write_documents(self, document_store: Any) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


@settings(max_examples=25)
@given(st.lists(DOCUMENTS, max_size=4, unique_by=lambda document: document.id))
def test_documents_come_back_as_they_went_in(tmp_path_factory: Any, documents: list[Any]) -> None:
    with Memory(tmp_path_factory.mktemp("vault"), embedder="hashing") as memory:
        store = AnamnosDocumentStore(memory=memory, agent="library")
        store.write_documents(documents)
        assert store.filter_documents() == documents
        assert store.write_documents(documents, DuplicatePolicy.OVERWRITE) == len(documents)
        assert store.filter_documents() == documents and store.write_documents(documents, DuplicatePolicy.SKIP) == 0


def test_a_pipeline_writes_and_another_one_finds(tmp_path: Path) -> None:
    def store() -> AnamnosDocumentStore:
        return AnamnosDocumentStore(str(tmp_path / "vault"), user="ann", settings={"embedder": "hashing"})

    writing = Pipeline()
    writing.add_component("writer", DocumentWriter(store()))
    documents = [
        Document(content="The spare key is under the blue pot.", meta={"room": "garden"}),
        Document(content="The car is parked behind the library.", meta={"room": "street"}),
    ]
    assert writing.run({"writer": {"documents": documents}})["writer"]["documents_written"] == 2
    writing.get_component("writer").document_store.close()

    asking = Pipeline()
    asking.add_component("memory", AnamnosRetriever(store(), top_k=1))
    asking = Pipeline.loads(asking.dumps(), allowed_modules=[AnamnosRetriever.__module__])  # through YAML
    found = asking.run({"memory": {"query": "Where is the spare key?"}})["memory"]["documents"]
    assert [(d.id, d.content, d.meta) for d in found] == [(documents[0].id, documents[0].content, documents[0].meta)]
    assert 0.0 <= found[0].score <= 1.0
    filters = {"field": "meta.room", "operator": "==", "value": "street"}
    found = asking.run({"memory": {"query": "Where is the spare key?", "filters": filters}})["memory"]["documents"]
    assert [d.id for d in found] == [documents[1].id]
    asking.get_component("memory").document_store.close()


def test_nothing_is_written_if_one_is_known_or_no_json(document_store: AnamnosDocumentStore) -> None:
    document_store.write_documents([Document(content="one")])
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents([Document(content="two"), Document(content="one")])
    with pytest.raises(DuplicateDocumentError):
        document_store.write_documents([Document(content="two"), Document(content="two")])
    with pytest.raises(InvalidInput):
        document_store.write_documents([Document(content="two"), Document(content="three", meta={"x": object()})])
    assert document_store.count_documents() == 1


def test_what_else_is_in_the_scope_is_not_the_stores(memory: Memory, document_store: AnamnosDocumentStore) -> None:
    memory.add("A note", Scope(agent="library"))
    document_store.write_documents([Document(id="k", content="A document")])
    assert document_store.count_documents() == 1 and len(document_store.search("note document")) == 1
    document_store.delete_documents(["k"])
    assert [cube.text for cube in memory.list(Scope(agent="library"))] == ["A note"]


def test_a_filter_that_few_pass_finds_them_among_many(document_store: AnamnosDocumentStore) -> None:
    document_store.write_documents([Document(content=f"thing {n}", meta={"n": n}) for n in range(60)])
    filters = {"field": "meta.n", "operator": ">=", "value": 59}
    assert [d.content for d in document_store.search("thing 1", filters=filters, top_k=5)] == ["thing 59"]


def test_a_store_over_an_open_memory_cannot_be_written_down(document_store: AnamnosDocumentStore) -> None:
    with pytest.raises(InvalidInput):
        document_store.to_dict()
    with pytest.raises(InvalidInput):
        AnamnosRetriever(document_store, top_k=0)


@pytest.fixture(autouse=True)
def unused(memory: Memory) -> Iterator[None]:
    yield
    assert memory.verify() == []
