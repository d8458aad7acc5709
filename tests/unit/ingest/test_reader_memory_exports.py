"""Exports of other memories: Mem0, Zep and Graphiti, LangGraph's store."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope
from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")
MEM0 = [
    {
        "id": "6f1c",
        "memory": "Likes green tea",
        "hash": "d41d",
        "metadata": {"category": "food"},
        "score": None,
        "created_at": "2024-07-01T01:00:00-07:00",
        "updated_at": None,
        "user_id": "ann",
        "run_id": "trip",
    },
    {"id": "77aa", "memory": "Is allergic to nuts", "created_at": "2024-07-02T00:00:00Z", "actor_id": "Ann"},
]
EPISODE = {
    "uuid": "e1",
    "name": "chat 1",
    "content": "Ann: I work at Brind now.",
    "source": "message",
    "source_description": "support chat",
    "valid_at": "2024-03-02T10:00:00Z",
    "created_at": "2025-01-01T00:00:00Z",
    "group_id": "g1",
}
EDGE = {
    "uuid": "f1",
    "fact": "Ann works at Brind.",
    "name": "WORKS_AT",
    "source_node_uuid": "n1",
    "target_node_uuid": "n2",
    "episodes": ["e1"],
    "created_at": "2025-01-01T00:00:00Z",
    "valid_at": "2024-03-01T00:00:00Z",
    "invalid_at": None,
}
GRAPH = {
    "nodes": [{"uuid": "n1", "name": "Ann"}, {"uuid": "n2", "name": "Brind"}],
    "episodes": [EPISODE],
    "edges": [EDGE],
}
ITEM = {
    "namespace": ["memories", "ann"],
    "key": "a1",
    "value": {"text": "Prefers short answers", "weight": 2},
    "created_at": "2025-02-01T10:00:00+00:00",
    "updated_at": "2025-02-03T10:00:00+00:00",
}


def write(tmp_path: Path, data: Any, name: str = "export.json") -> Path:
    path = tmp_path / name
    lines = "\n".join(json.dumps(item) for item in data) if name.endswith(".jsonl") else json.dumps(data)
    path.write_text(lines, "utf-8")
    return path


# --- Mem0


@pytest.mark.parametrize("data", [MEM0, {"results": MEM0, "relations": []}, {"memories": MEM0}])
def test_mem0_memories_are_facts_with_their_ids_and_times(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path, data)
    assert find_reader(path)[0].name == "mem0"
    tea, nuts = read_file(path)
    assert (tea.content, tea.role, tea.session, tea.message_id) == ("Likes green tea", Role.FACT, "trip", "6f1c")
    assert tea.said_at == datetime(2024, 7, 1, 8, tzinfo=UTC)
    assert tea.data == {"user_id": "ann", "metadata": {"category": "food"}, "hash": "d41d"}
    assert (nuts.speaker, nuts.session) == ("Ann", None)


def test_mem0_as_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, MEM0, "m.jsonl")
    assert find_reader(path)[0].name == "mem0"
    assert [turn.message_id for turn in read_file(path)] == ["6f1c", "77aa"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"result": []}, "has no 'results' or 'memories'"),
        ([MEM0[0], {"id": "2"}], "'memory' of item 2 .* must be text, got nothing"),
        ([{**MEM0[0], "created_at": "June"}], "item 1 .* is not ISO 8601"),
    ],
)
def test_what_is_not_mem0_says_what_was_expected(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_file(write(tmp_path, data), reader="mem0")


# --- Zep and Graphiti


def test_graphiti_episodes_are_said_and_edges_are_facts_with_their_validity(tmp_path: Path) -> None:
    path = write(tmp_path, GRAPH)
    assert find_reader(path)[0].name == "zep"
    episode, fact = read_file(path)
    assert (episode.content, episode.role, episode.session) == ("Ann: I work at Brind now.", Role.TURN, "g1")
    assert episode.said_at == datetime(2024, 3, 2, 10, tzinfo=UTC)
    assert (fact.content, fact.role, fact.message_id) == ("Ann works at Brind.", Role.FACT, "f1")
    assert fact.said_at == episode.said_at, "when its episode was said, not when it was extracted"
    assert (fact.valid_from, fact.valid_to) == (datetime(2024, 3, 1, tzinfo=UTC), None)
    assert dict(fact.data) == {"name": "WORKS_AT", "episodes": ("e1",), "source": "Ann", "target": "Brind"}


@pytest.mark.parametrize("data", [[EDGE], {"facts": [EDGE]}])
def test_zep_facts_alone(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path, data)
    assert find_reader(path)[0].name == "zep"
    (fact,) = read_file(path)
    assert fact.said_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_zep_episodes_of_a_thread(tmp_path: Path) -> None:
    episode = {"uuid": "e9", "content": "Hello", "role": "Ann", "role_type": "user", "thread_id": "t1"}
    path = write(tmp_path, [{**episode, "created_at": "2025-05-01T00:00:00Z"}])
    assert find_reader(path)[0].name == "zep", "not taken for a plain list of messages"
    (turn,) = read_file(path)
    assert (turn.speaker, turn.session, turn.role) == ("Ann", "t1", Role.TURN)


def test_a_document_in_a_graph_is_a_passage(tmp_path: Path) -> None:
    (turn,) = read_file(write(tmp_path, [{**EPISODE, "source": "text"}]))
    assert (turn.role, turn.speaker) == (Role.RESOURCE, None)


def test_bounds_in_the_wrong_order_bound_nothing_and_are_kept(tmp_path: Path) -> None:
    (fact,) = read_file(write(tmp_path, [{**EDGE, "invalid_at": "2020-01-01T00:00:00Z"}]))
    assert (fact.valid_from, fact.valid_to) == (None, None)
    assert fact.data["invalid_at"] == "2020-01-01T00:00:00Z"


def test_a_fact_is_searched_as_of_when_it_was_true_and_ends_when_the_graph_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, GRAPH)
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        first = memory.ingest(path, ANN)
        assert memory.ingest(path, ANN).outcomes == ("unchanged", "unchanged")
        write(tmp_path, {**GRAPH, "edges": [{**EDGE, "invalid_at": "2025-06-01T00:00:00Z"}]})
        assert memory.ingest(path, ANN).outcomes == ("unchanged", "updated")
        fact = memory.get(first.ids[1], ANN)
        assert (fact.version, fact.time.valid_to) == (2, datetime(2025, 6, 1, tzinfo=UTC))
        assert memory.ingest(path, ANN).outcomes == ("unchanged", "unchanged")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"graph": 1}, "has no 'episodes' or 'edges' or 'facts'"),
        ({"edges": [{"uuid": "1", "fact": 3}]}, "'fact' of item 1 of 'edges'"),
        ({"episodes": ["x"]}, "item 1 of 'episodes' .* must be a JSON object"),
        ([{**EDGE, "valid_at": "soon"}], "is not ISO 8601"),
    ],
)
def test_what_is_not_a_graph_says_what_was_expected(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_file(write(tmp_path, data), reader="zep")


# --- LangGraph


@pytest.mark.parametrize("data", [[ITEM], {"items": [ITEM]}])
def test_items_of_a_store_are_notes(tmp_path: Path, data: Any) -> None:
    path = write(tmp_path, data)
    assert find_reader(path)[0].name == "langgraph"
    (note,) = read_file(path)
    assert (note.content, note.role, note.session) == ("Prefers short answers", Role.NOTE, "memories/ann")
    assert note.message_id == "memories/ann/a1"
    assert note.said_at == datetime(2025, 2, 1, 10, tzinfo=UTC)
    assert note.data == {"value": {"weight": 2}, "updated_at": ITEM["updated_at"]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("plain", "plain"),
        ({"kind": "Memory", "content": {"content": "Lives in Oslo"}}, "Lives in Oslo"),
        ({"data": "From data"}, "From data"),
        ({"city": "Århus"}, '{"city": "Århus"}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_the_words_of_a_value(tmp_path: Path, value: Any, words: str) -> None:
    (note,) = read_file(write(tmp_path, [{**ITEM, "value": value}], "store.jsonl"))
    assert note.content == words


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"x": 1}, "has no 'items'"),
        ([ITEM, {"key": "b"}], "item 2 .* has no 'namespace', 'value'"),
        ([{**ITEM, "key": "k" * 600}], "'key' of item 1"),
        ([{**ITEM, "namespace": 3}], "'namespace' of item 1 .* must be a JSON array"),
    ],
)
def test_what_is_not_a_store_says_what_was_expected(tmp_path: Path, data: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_file(write(tmp_path, data), reader="langgraph")
