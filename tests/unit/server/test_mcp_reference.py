"""Drop-in mode: what the README of the reference MCP memory server says, and its graph as memories of the house."""

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import TextContent

from anamnos import AsyncMemory, Memory, Scope
from anamnos.errors import Busy, InvalidInput, NotFound
from anamnos.server.mcp import Place, make_server
from anamnos.server.mcp.graph import Entity, Graph, Relation
from anamnos.types import Receipt

ANN = Scope(user="ann")
JOHN = {"name": "John_Smith", "entityType": "person", "observations": ["Speaks fluent Spanish"]}
HELIOS = {"name": "Helios", "entityType": "organization", "observations": []}
WORKS = {"from": "John_Smith", "to": "Helios", "relationType": "works_at"}
NAMES = {
    *("create_entities", "create_relations", "add_observations", "delete_entities", "delete_observations"),
    *("delete_relations", "read_graph", "search_nodes", "open_nodes"),
}

Call = Callable[..., Any]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder="hashing") as opened:
        yield opened


def talk(memory: Memory, conversation: Callable[[Client], Awaitable[None]], scope: Scope = ANN) -> None:
    async def whole() -> None:
        async with Client(make_server(Place(AsyncMemory(memory), scope), reference=True)) as client:
            await conversation(client)

    asyncio.run(whole())


@pytest.fixture
def call(memory: Memory) -> Call:
    """Return what calls a tool and gives its data, after a look at its text; or the words of its refusal."""

    def run(name: str, **arguments: Any) -> Any:
        found: list[Any] = []

        async def conversation(client: Client) -> None:
            result = await client.call_tool(name, arguments)
            (block,) = result.content
            assert isinstance(block, TextContent)
            found.append(block.text if result.is_error else (result.structured_content, block.text))

        talk(memory, conversation)
        if isinstance(found[0], str):
            return found[0]
        data, text = found[0]
        listed = {"create_entities": "entities", "create_relations": "relations", "add_observations": "results"}
        if name in listed:
            assert json.loads(text) == data[listed[name]]
        elif name.startswith("delete"):
            assert data == {"success": True, "message": text}
        else:
            assert json.loads(text) == data
        return data

    return run


@pytest.fixture
def graph(memory: Memory) -> Graph:
    made = Graph(memory, ANN)
    made.create_entities([Entity("John_Smith", "person", ("Speaks fluent Spanish",)), Entity("Helios", "organization")])
    made.create_relations([Relation("John_Smith", "Helios", "works_at")])
    return made


def test_the_tools_have_the_names_and_parameters_of_the_reference_server(memory: Memory) -> None:
    async def conversation(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == NAMES
        assert {name: list(tool.input_schema["properties"]) for name, tool in tools.items()} == {
            "create_entities": ["entities"],
            "create_relations": ["relations"],
            "add_observations": ["observations"],
            "delete_entities": ["entityNames"],
            "delete_observations": ["deletions"],
            "delete_relations": ["relations"],
            "read_graph": [],
            "search_nodes": ["query"],
            "open_nodes": ["names"],
        }
        inner = {
            name: one["properties"].keys()
            for t in tools.values()
            for name, one in t.input_schema.get("$defs", {}).items()
        }
        assert inner == {
            "Node": {"name", "entityType", "observations"},
            "Edge": {"from", "to", "relationType"},
            "Addition": {"entityName", "contents"},
            "Removal": {"entityName", "observations"},
        }
        for name, tool in tools.items():
            hints = tool.annotations
            assert hints is not None
            assert tool.output_schema is not None
            assert hints.open_world_hint is False
            assert hints.read_only_hint is (name in ("read_graph", "search_nodes", "open_nodes"))
            assert hints.destructive_hint is name.startswith("delete")
            assert hints.idempotent_hint is not name.startswith(("create", "add"))
            assert tool.title == name.replace("_", " ").title()

    talk(memory, conversation)


def test_entities_whose_names_are_known_are_ignored(call: Call) -> None:
    assert call("create_entities", entities=[JOHN, HELIOS]) == {"entities": [JOHN, HELIOS]}
    other = {"name": "John_Smith", "entityType": "cat", "observations": ["Sleeps"]}
    assert call("create_entities", entities=[other]) == {"entities": []}
    twice = {"name": "Ada", "entityType": "person", "observations": []}
    made = call("create_entities", entities=[twice, {**twice, "entityType": "ship"}])
    assert made == {"entities": [twice]}
    assert call("read_graph")["entities"] == [JOHN, HELIOS, twice]
    assert call("create_entities", entities=[]) == {"entities": []}


def test_relations_need_their_entities_and_are_kept_once(call: Call) -> None:
    call("create_entities", entities=[JOHN, HELIOS])
    assert call("create_relations", relations=[WORKS, WORKS]) == {"relations": [WORKS]}
    assert call("create_relations", relations=[WORKS]) == {"relations": []}
    itself = {"from": "Helios", "to": "Helios", "relationType": "owns"}
    assert call("create_relations", relations=[itself]) == {"relations": [itself]}
    for missing in ({**WORKS, "from": "Nobody"}, {**WORKS, "to": "Nobody"}):
        refused = call("create_relations", relations=[{**WORKS, "relationType": "likes"}, missing])
        assert "Entity with name Nobody not found" in refused
    assert call("read_graph")["relations"] == [WORKS, itself]


def test_observations_are_added_to_entities_that_are_there(call: Call) -> None:
    call("create_entities", entities=[JOHN])
    added = call(
        "add_observations",
        observations=[{"entityName": "John_Smith", "contents": ["Speaks fluent Spanish", "Graduated in 2019"]}],
    )
    assert added == {"results": [{"entityName": "John_Smith", "addedObservations": ["Graduated in 2019"]}]}
    refused = call(
        "add_observations",
        observations=[{"entityName": "John_Smith", "contents": ["Late"]}, {"entityName": "Nobody", "contents": ["x"]}],
    )
    assert "Entity with name Nobody not found" in refused
    assert call("read_graph")["entities"][0]["observations"] == ["Speaks fluent Spanish", "Graduated in 2019"]


def test_deleting_an_entity_takes_its_relations_and_is_silent_about_others(call: Call, memory: Memory) -> None:
    call("create_entities", entities=[JOHN, HELIOS])
    call("create_relations", relations=[WORKS])
    assert call("delete_entities", entityNames=["John_Smith"])["message"] == "Entities deleted successfully"
    told = call("delete_entities", entityNames=["John_Smith", "Helios", "Nobody"])["message"]
    assert told == "Deleted 1 of 3 entities. Not found: John_Smith, Nobody"
    assert call("read_graph") == {"entities": [], "relations": []}
    assert memory.stats(ANN)["memories"] == 0
    assert call("create_entities", entities=[JOHN]) == {"entities": [JOHN]}  # the name is free again


def test_observations_and_relations_are_deleted_one_by_one(call: Call) -> None:
    call("create_entities", entities=[JOHN, HELIOS])
    call("create_relations", relations=[WORKS])
    gone = [{"entityName": "John_Smith", "observations": ["Speaks fluent Spanish"]}]
    assert call("delete_observations", deletions=gone)["message"] == "Observations deleted successfully"
    told = call("delete_observations", deletions=[*gone, {"entityName": "Nobody", "observations": ["x"]}])["message"]
    assert told == "Deleted 0 of 2 observations. Entities not found: Nobody"
    assert call("delete_relations", relations=[WORKS])["message"] == "Relations deleted successfully"
    told = call("delete_relations", relations=[WORKS])["message"]
    assert told == "Deleted 0 of 1 relations. The rest matched nothing."
    assert call("read_graph") == {"entities": [{**JOHN, "observations": []}, HELIOS], "relations": []}


@pytest.mark.parametrize("query", ["john", "PERSON", "fluent span", "John_Smith"])
def test_nodes_are_searched_by_name_type_and_observation(call: Call, query: str) -> None:
    call("create_entities", entities=[JOHN, HELIOS])
    call("create_relations", relations=[WORKS])
    assert call("search_nodes", query=query) == {"entities": [JOHN], "relations": [WORKS]}


def test_nodes_are_opened_by_name_and_unknown_ones_skipped(call: Call) -> None:
    call("create_entities", entities=[JOHN, HELIOS])
    call("create_relations", relations=[WORKS])
    assert call("open_nodes", names=["Helios", "Nobody"]) == {"entities": [HELIOS], "relations": [WORKS]}
    assert call("open_nodes", names=["john_smith"]) == {"entities": [], "relations": []}
    assert call("search_nodes", query="nothing like it") == {"entities": [], "relations": []}
    assert "query" in call("search_nodes", query="x" * 2_049)


def test_names_and_texts_may_be_anything(call: Call) -> None:
    odd = [
        {"name": "", "entityType": "", "observations": ["", "a: b", "x" * 600]},
        {"name": "a: b", "entityType": "\n", "observations": ["a: b: c", "日本語 \n tab\t"]},
        {"name": "n" * 600, "entityType": "type", "observations": []},
    ]
    assert call("create_entities", entities=odd) == {"entities": odd}
    assert call("read_graph")["entities"] == odd
    loop = [{"from": "", "to": "a: b", "relationType": ""}]
    assert call("create_relations", relations=loop) == {"relations": loop}
    assert call("read_graph")["relations"] == loop


def test_arguments_that_the_reference_server_drops_are_dropped(call: Call) -> None:
    assert call("create_entities", entities=[{**JOHN, "mood": "good"}], why="because") == {"entities": [JOHN]}
    assert "entityType" in call("create_entities", entities=[{"name": "x"}])
    assert "from" in call("create_relations", relations=[{"source": "a", "to": "b", "relationType": "c"}])


def test_the_graph_is_a_resource(memory: Memory, graph: Graph) -> None:
    async def conversation(client: Client) -> None:
        (content,) = (await client.read_resource("memory://knowledge-graph")).contents
        assert json.loads(content.text) == {"entities": [JOHN, HELIOS], "relations": [WORKS]}  # type: ignore[union-attr]
        with pytest.raises(MCPError):
            await client.read_resource("anamnos://recent")

    talk(memory, conversation)


# --- the graph as memories of the house


def test_every_part_of_the_graph_is_a_memory_that_a_search_finds(memory: Memory, graph: Graph) -> None:
    texts = {cube.text: cube for cube in memory.list(ANN)}
    assert {text: str(cube.role) for text, cube in texts.items()} == {
        "John_Smith (person)": "entity",
        "John_Smith: Speaks fluent Spanish": "fact",
        "Helios (organization)": "entity",
        "John_Smith works_at Helios": "fact",
    }
    assert memory.search("Who speaks Spanish?", ANN)[0].content == "John_Smith: Speaks fluent Spanish"
    assert {cube.provenance.trust for cube in texts.values()} == {0.8}
    assert {cube.provenance.source for cube in texts.values()} == {"mcp:graph"}


def test_a_change_by_another_face_shows_in_the_graph(memory: Memory, graph: Graph) -> None:
    (fact,) = [cube for cube in memory.list(ANN) if "Spanish" in cube.text]
    memory.update(fact.id, ANN, content="John_Smith: Speaks some Spanish")
    assert graph.known().entity("John_Smith").observations == ("Speaks some Spanish",)
    memory.update(fact.id, ANN, content="He speaks Spanish, and Catalan")
    assert graph.known().entity("John_Smith").observations == ("He speaks Spanish, and Catalan",)
    memory.archive([fact.id], ANN)  # out of searches, but not out of the graph
    assert graph.known().entity("John_Smith").observations == ("He speaks Spanish, and Catalan",)
    memory.delete([fact.id], ANN)
    assert graph.known().entity("John_Smith").observations == ()


def test_an_entity_that_was_deleted_elsewhere_leaves_nothing_behind(memory: Memory, graph: Graph) -> None:
    (john,) = [cube for cube in memory.list(ANN) if cube.text == "John_Smith (person)"]
    memory.delete([john.id], ANN)
    known = graph.known()
    assert (set(known.entities), known.relations, len(known.adrift)) == ({"Helios"}, {}, 2)
    graph.delete_entities([])
    assert [cube.text for cube in memory.list(ANN)] == ["Helios (organization)"]


def test_other_memories_are_no_part_of_the_graph(memory: Memory, graph: Graph) -> None:
    memory.add("John_Smith: likes tea", ANN)
    memory.add("x", ANN, source="mcp:graph")
    assert set(graph.known().entities) == {"John_Smith", "Helios"}
    graph.delete_entities(["John_Smith", "Helios"])
    assert {cube.text for cube in memory.list(ANN)} == {"John_Smith: likes tea", "x"}
    assert Graph(memory, Scope(user="bob")).known().entities == {}
    assert Graph(memory, Scope(user="bob")).create_entities([Entity("Helios", "ship")]) == [Entity("Helios", "ship")]


def test_a_frozen_memory_refuses_and_nothing_is_erased(memory: Memory, graph: Graph, call: Call) -> None:
    (fact,) = [cube for cube in memory.list(ANN) if "Spanish" in cube.text]
    memory.freeze([fact.id], ANN)
    assert "frozen" in call("delete_entities", entityNames=["John_Smith"])
    assert graph.known().entity("John_Smith").observations == ("Speaks fluent Spanish",)


def test_an_entity_that_has_expired_keeps_its_name(memory: Memory, graph: Graph) -> None:
    """It comes back by the other faces; a second one of its name would be a twin then."""
    (helios,) = [cube for cube in memory.list(ANN) if cube.text == "Helios (organization)"]
    memory.archive([helios.id], ANN)
    assert graph.create_entities([Entity("Helios", "ship")]) == []


# --- several writers


def test_what_another_writer_does_meanwhile_is_not_lost(tmp_path: Path) -> None:
    """Four openings of one vault add to the same entities at once: the reference server loses some of it."""
    vault, start = tmp_path / "vault", threading.Barrier(4)
    failed: list[BaseException] = []

    def work(who: int) -> None:
        try:
            with Memory(vault, embedder="hashing") as memory:
                graph = Graph(memory, ANN)
                start.wait(20)
                for number in range(8):
                    graph.create_entities([Entity("shared", "thing"), Entity(f"own {who} {number}", "thing")])
                    graph.add_observations([("shared", [f"seen by {who}, {number}", "seen by all"])])
                    graph.create_relations([Relation("shared", f"own {who} {number}", "next_to")])
        except BaseException as exc:
            failed.append(exc)

    with Memory(vault, embedder="hashing") as memory:
        threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert failed == []
        known = Graph(memory, ANN).known()
        assert len(known.entities) == 1 + 4 * 8
        seen = known.entity("shared").observations
        assert len(seen) == len(set(seen)) == 4 * 8 + 1
        assert len(known.relations) == 4 * 8
        assert memory.stats(ANN)["memories"] == 33 + 33 + 32


def racing(graph: Graph, other: Callable[[], object], monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Let ``other`` happen between the look at the graph and the write, so many times."""
    known, left = graph.known, [times]

    def looked() -> Any:
        found = known()
        if left[0]:
            left[0] -= 1
            other()
        return found

    monkeypatch.setattr(graph, "known", looked)


def test_an_observation_of_an_entity_that_was_just_erased_is_refused(
    memory: Memory, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    racing(graph, lambda: Graph(memory, ANN).delete_entities(["Helios"]), monkeypatch)
    with pytest.raises(NotFound, match="Helios"):
        graph.add_observations([("Helios", ["Founded in 1990"])])
    assert all("1990" not in cube.text for cube in memory.list(ANN))


def test_what_is_written_while_an_entity_is_erased_goes_with_it(
    memory: Memory, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, calls = Graph(memory, ANN), []

    def add() -> None:
        calls.append(1)
        if len(calls) == 2:  # after the plan of the deletion, not after the look at what is there
            other.add_observations([("Helios", ["Founded in 1990"])])

    racing(graph, add, monkeypatch, times=2)
    assert graph.delete_entities(["Helios"]) == ["Helios"]
    assert sorted(cube.text for cube in memory.list(ANN)) == [
        "John_Smith (person)",
        "John_Smith: Speaks fluent Spanish",
    ]


def test_a_name_that_was_just_taken_stays_the_other_ones(
    memory: Memory, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    racing(graph, lambda: Graph(memory, ANN).create_entities([Entity("Ada", "ship")]), monkeypatch)
    assert graph.create_entities([Entity("Ada", "person", ("Sails",)), Entity("Bo", "person")]) == [
        Entity("Bo", "person")
    ]
    assert graph.known().entity("Ada") == Entity("Ada", "ship")


def test_a_graph_that_others_change_all_the_time_says_so(
    memory: Memory, graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_write", lambda ops, when: Receipt((), (), 0))
    with pytest.raises(Busy):
        graph.create_entities([Entity("Ada", "ship")])


# --- the file of the reference server


def lines(*items: dict[str, Any]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


FILE = lines(
    {"type": "entity", **JOHN},
    {"type": "entity", **HELIOS},
    {"type": "relation", **WORKS},
)


def test_a_file_of_the_reference_server_is_read_once(memory: Memory, tmp_path: Path) -> None:
    graph, path = Graph(memory, ANN), tmp_path / "memory.jsonl"
    path.write_text(FILE + "\n", "utf-8")
    assert graph.read_file(path) == (2, 1)
    assert graph.read_file(path) == (0, 0)
    path.write_text(lines({"type": "entity", **JOHN, "observations": ["Plays chess"]}), "utf-8")
    assert graph.read_file(path) == (0, 0)
    assert graph.known().entity("John_Smith").observations == ("Speaks fluent Spanish", "Plays chess")
    assert graph.known().relations.keys() == {Relation("John_Smith", "Helios", "works_at")}


def test_a_relation_of_a_file_to_something_that_nobody_made_is_kept(memory: Memory, tmp_path: Path) -> None:
    graph, path = Graph(memory, ANN), tmp_path / "memory.jsonl"
    path.write_text(lines({"type": "relation", **WORKS}, {"type": "entity", **HELIOS}), "utf-8")
    assert graph.read_file(path) == (2, 1)
    assert graph.known().entity("John_Smith") == Entity("John_Smith", "unknown")
    assert graph.known().entity("Helios").kind == "organization"


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"type": "thing"}',
        '{"type": "entity", "name": "x"}',
        '{"type": "entity", "name": 5, "entityType": "y", "observations": []}',
        '{"type": "entity", "name": "x", "entityType": "y", "observations": "z"}',
        '{"type": "relation", "from": "a", "to": "b"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_with_its_line(memory: Memory, tmp_path: Path, line: str) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text(FILE + line + "\n", "utf-8")
    with pytest.raises(InvalidInput, match="line 4"):
        Graph(memory, ANN).read_file(path)
    assert memory.stats()["memories"] == 0


def test_a_file_that_is_no_text_is_refused(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="UTF-8"):
        Graph(memory, ANN).read_file(path)


# --- against the plainest model of the reference server


class Plain:
    """The graph in two dictionaries, as the reference server describes it."""

    def __init__(self) -> None:
        self.entities: dict[str, tuple[str, list[str]]] = {}
        self.relations: list[Relation] = []

    def create_entities(self, entities: list[Entity]) -> list[Entity]:
        made = []
        for entity in entities:
            if entity.name not in self.entities:
                self.entities[entity.name] = entity.kind, list(dict.fromkeys(entity.observations))
                made.append(Entity(entity.name, entity.kind, tuple(self.entities[entity.name][1])))
        return made

    def create_relations(self, relations: list[Relation]) -> list[Relation] | None:
        if any({one.source, one.target} - self.entities.keys() for one in relations):
            return None
        new = [one for one in dict.fromkeys(relations) if one not in self.relations]
        self.relations += new
        return new

    def add_observations(self, wanted: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]] | None:
        if any(name not in self.entities for name, _ in wanted):
            return None
        made = []
        for name, texts in wanted:
            new = [text for text in dict.fromkeys(texts) if text not in self.entities[name][1]]
            self.entities[name][1].extend(new)
            made.append((name, new))
        return made

    def delete_entities(self, names: list[str]) -> list[str]:
        found = [name for name in dict.fromkeys(names) if self.entities.pop(name, None)]
        self.relations = [one for one in self.relations if not {one.source, one.target} & set(names)]
        return found

    def delete_observations(self, doomed: list[tuple[str, list[str]]]) -> tuple[int, list[str]]:
        gone = 0
        for name, texts in doomed:
            kept = [text for text in self.entities.get(name, ("", []))[1] if text not in texts]
            if name in self.entities:
                gone += len(self.entities[name][1]) - len(kept)
                self.entities[name][1][:] = kept
        return gone, [name for name, _ in doomed if name not in self.entities]

    def delete_relations(self, relations: list[Relation]) -> int:
        before = len(self.relations)
        self.relations = [one for one in self.relations if one not in relations]
        return before - len(self.relations)


names = st.sampled_from(["a", "b", "a: b", ""])
notes = st.lists(st.sampled_from(["x", "b", "b: x", ""]), max_size=3)
edges = st.lists(st.builds(Relation, names, names, st.sampled_from(["r", "s"])), max_size=3)
nodes = st.lists(st.builds(Entity, names, st.sampled_from(["k", "l"]), notes.map(tuple)), max_size=3)
steps = st.one_of(
    st.tuples(st.just("create_entities"), nodes),
    st.tuples(st.just("create_relations"), edges),
    st.tuples(st.just("add_observations"), st.lists(st.tuples(names, notes), max_size=2)),
    st.tuples(st.just("delete_entities"), st.lists(names, max_size=2)),
    st.tuples(st.just("delete_observations"), st.lists(st.tuples(names, notes), max_size=2)),
    st.tuples(st.just("delete_relations"), edges),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Memory, Iterator[int]]]:
    with Memory(tmp_path_factory.mktemp("shared"), embedder="hashing") as opened:
        yield opened, itertools.count()


@given(st.lists(steps, max_size=8))
def test_any_life_of_a_graph_is_that_of_the_plain_model(
    shared: tuple[Memory, Iterator[int]], life: list[tuple[str, Any]]
) -> None:
    memory, number = shared
    scope = Scope(user=f"user {next(number)}")
    graph, plain = Graph(memory, scope), Plain()
    for verb, what in life:
        wanted = getattr(plain, verb)(what)
        try:
            assert getattr(graph, verb)(what) == wanted
        except NotFound:
            assert wanted is None
        known = graph.known()
        assert {name: (known.entity(name).kind, list(known.entity(name).observations)) for name in known.entities} == (
            plain.entities
        )
        assert sorted(map(repr, known.relations)) == sorted(map(repr, plain.relations))
        count = len(plain.entities) + sum(len(texts) for _, texts in plain.entities.values()) + len(plain.relations)
        assert memory.stats(scope)["memories"] == count  # and nothing is left behind
