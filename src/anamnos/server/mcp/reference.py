"""Drop-in mode: the tools of the reference MCP memory server, by name, parameter and result.

Whoever has prompts or habits for that server can change the command in the settings of the assistant and go on. The
graph is kept as memories (see ``graph``), so that the other faces see it. What differs, and is meant: two processes do
not lose each other's writes, the same observation is not kept twice of one entity, and erased is erased from all files.
Source: README and tool definitions of github.com/modelcontextprotocol/servers, src/memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel
from pydantic import Field as Described

from anamnos.server.mcp.graph import Entity, Graph, Known, Relation
from anamnos.server.mcp.server import here

MAX_QUERY_CHARS = 2_048

R = TypeVar("R")

_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
_ERASES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class Node(BaseModel):
    name: str = Described(description="The name of the entity")
    entityType: str = Described(description="The type of the entity")
    observations: list[str] = Described(description="What was observed of the entity")


class Edge(BaseModel):
    source: str = Described(alias="from", description="The name of the entity where the relation starts")
    to: str = Described(description="The name of the entity where the relation ends")
    relationType: str = Described(description="The type of the relation, in active voice")


class Addition(BaseModel):
    entityName: str = Described(description="The name of the entity to add the observations to")
    contents: list[str] = Described(description="The observations to add")


class Removal(BaseModel):
    entityName: str = Described(description="The name of the entity that has the observations")
    observations: list[str] = Described(description="The observations to delete")


class Nodes(BaseModel):
    entities: list[Node]


class Edges(BaseModel):
    relations: list[Edge]


class Added(BaseModel):
    entityName: str
    addedObservations: list[str]


class Additions(BaseModel):
    results: list[Added]


class Done(BaseModel):
    success: bool
    message: str


class KnowledgeGraph(BaseModel):
    entities: list[Node]
    relations: list[Edge]


# --- the tools


async def create_entities(entities: list[Node]) -> Annotated[CallToolResult, Nodes]:
    """Create multiple new entities in the knowledge graph. Entities whose names are known are left as they are."""
    wanted = [Entity(e.name, e.entityType, tuple(e.observations)) for e in entities]
    made = await _graph(lambda graph: graph.create_entities(wanted))
    return _listed(Nodes(entities=list(map(_node, made))), "entities")


async def create_relations(relations: list[Edge]) -> Annotated[CallToolResult, Edges]:
    """Create multiple new relations between entities in the knowledge graph. Relations should be in active voice."""
    made = await _graph(lambda graph: graph.create_relations(list(map(_relation, relations))))
    return _listed(Edges(relations=list(map(_edge, made))), "relations")


async def add_observations(observations: list[Addition]) -> Annotated[CallToolResult, Additions]:
    """Add new observations to existing entities in the knowledge graph. Fails if an entity does not exist."""
    made = await _graph(lambda graph: graph.add_observations([(o.entityName, o.contents) for o in observations]))
    return _listed(Additions(results=[Added(entityName=n, addedObservations=new) for n, new in made]), "results")


async def delete_entities(
    entityNames: Annotated[list[str], Described(description="The names of the entities to delete")],
) -> Annotated[CallToolResult, Done]:
    """Delete multiple entities and their associated relations from the knowledge graph."""
    found = await _graph(lambda graph: graph.delete_entities(entityNames))
    missing = [name for name in entityNames if name not in found]
    if not missing:
        return _done("Entities deleted successfully")
    there = len(entityNames) - len(missing)
    return _done(f"Deleted {there} of {len(entityNames)} entities. Not found: {', '.join(missing)}")


async def delete_observations(deletions: list[Removal]) -> Annotated[CallToolResult, Done]:
    """Delete specific observations from entities in the knowledge graph."""
    asked = sum(len(one.observations) for one in deletions)
    gone, missing = await _graph(
        lambda graph: graph.delete_observations([(one.entityName, one.observations) for one in deletions])
    )
    if gone == asked:
        return _done("Observations deleted successfully")
    rest = f" Entities not found: {', '.join(missing)}" if missing else ""
    return _done(f"Deleted {gone} of {asked} observations.{rest}")


async def delete_relations(
    relations: Annotated[list[Edge], Described(description="The relations to delete")],
) -> Annotated[CallToolResult, Done]:
    """Delete multiple relations from the knowledge graph."""
    gone = await _graph(lambda graph: graph.delete_relations(list(map(_relation, relations))))
    if gone == len(relations):
        return _done("Relations deleted successfully")
    return _done(f"Deleted {gone} of {len(relations)} relations. The rest matched nothing.")


async def read_graph() -> Annotated[CallToolResult, KnowledgeGraph]:
    """Read the entire knowledge graph."""
    return _whole(_drawn(await _graph(Graph.known), lambda entity: True))


async def search_nodes(
    query: Annotated[
        str,
        Described(
            max_length=MAX_QUERY_CHARS,
            description="The search query to match against entity names, types, and observation content",
        ),
    ],
) -> Annotated[CallToolResult, KnowledgeGraph]:
    """Search for nodes in the knowledge graph whose name, type or observations contain the query."""
    wanted = query.lower()

    def holds(entity: Entity) -> bool:
        return any(wanted in text.lower() for text in (entity.name, entity.kind, *entity.observations))

    return _whole(_drawn(await _graph(Graph.known), holds))


async def open_nodes(
    names: Annotated[list[str], Described(description="The names of the entities to retrieve")],
) -> Annotated[CallToolResult, KnowledgeGraph]:
    """Open specific nodes in the knowledge graph by their names."""
    return _whole(_drawn(await _graph(Graph.known), lambda entity: entity.name in names))


async def knowledge_graph() -> str:
    """The full knowledge graph with all entities and relations."""
    return _drawn(await _graph(Graph.known), lambda entity: True).model_dump_json(by_alias=True, indent=2)


def install(server: MCPServer[Any]) -> None:
    """Give a server the tools, and the graph as a resource."""
    tools: tuple[tuple[ToolAnnotations, Callable[..., Any]], ...] = (
        *((_ADDS, tool) for tool in (create_entities, create_relations, add_observations)),
        *((_ERASES, tool) for tool in (delete_entities, delete_observations, delete_relations)),
        *((_READS, tool) for tool in (read_graph, search_nodes, open_nodes)),
    )
    for how, tool in tools:
        server.add_tool(tool, title=tool.__name__.replace("_", " ").title(), annotations=how)
    offered = server.resource(
        "memory://knowledge-graph", name="knowledge-graph", title="Knowledge Graph", mime_type="application/json"
    )
    offered(knowledge_graph)


# --- inside


async def _graph(verb: Callable[[Graph], R]) -> R:
    """Return what a verb of the graph gives, called in a thread."""
    place = here()
    return await anyio.to_thread.run_sync(verb, Graph(place.memory.memory, place.scope))


def _drawn(known: Known, wanted: Callable[[Entity], bool]) -> KnowledgeGraph:
    """Return the entities that are wanted, and the relations that begin or end at one of them."""
    found = {entity.name: entity for entity in map(known.entity, known.entities) if wanted(entity)}
    edges = [one for one in known.relations if one.source in found or one.target in found]
    return KnowledgeGraph(entities=list(map(_node, found.values())), relations=list(map(_edge, edges)))


def _node(entity: Entity) -> Node:
    return Node(name=entity.name, entityType=entity.kind, observations=list(entity.observations))


def _edge(relation: Relation) -> Edge:
    return Edge.model_validate({"from": relation.source, "to": relation.target, "relationType": relation.kind})


def _relation(edge: Edge) -> Relation:
    return Relation(edge.source, edge.to, edge.relationType)


def _whole(result: BaseModel) -> CallToolResult:
    data = result.model_dump(mode="json", by_alias=True)
    return _said(json.dumps(data, ensure_ascii=False, indent=2), data)


def _listed(result: BaseModel, name: str) -> CallToolResult:
    """Return a result whose text is the bare list, as the reference server has it."""
    data = result.model_dump(mode="json", by_alias=True)
    return _said(json.dumps(data[name], ensure_ascii=False, indent=2), data)


def _done(message: str) -> CallToolResult:
    return _said(message, {"success": True, "message": message})


def _said(text: str, data: dict[str, Any]) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)
