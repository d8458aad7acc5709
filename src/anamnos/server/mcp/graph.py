"""A knowledge graph (entities, what was observed of them, relations between them) kept as memories of the house.

An entity is a memory of role entity. An observation, and a relation, is a fact of its own, which says in words what it
is about ("Ann_Lee: Plays the cello", "Ann_Lee works_at Helios"), so that recall and every other face find it, it has
its own time, versions and provenance, and two writers never write the same memory. Facts are tied to their entities by
links (``part_of``, ``mentions``) and not by ``derived_from``: what is derived is left out of ordinary searches, as it
only repeats its source, but these repeat nothing. A relation is no bare link of its entities either: a link is found by
no search, and adding one would write a version of the entity over that of another writer.

Any number of processes may change one graph. Each change is one transaction that first looks whether what it was
planned on is still so; if not, it is planned anew. The reference server writes the whole file, and what somebody else
wrote meanwhile is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anamnos.cube import Annotations, CubeId, Link, LinkKind, MemCube, Provenance, Role, Scope, State, Times
from anamnos.errors import Busy, InvalidInput, NotFound
from anamnos.ingest.plan import Planned
from anamnos.memory import Memory
from anamnos.store.base import Transaction
from anamnos.system.governance.trust import LEVELS
from anamnos.types import And, Comparison, Field, Where

SOURCE = "mcp:graph"
"""Where the memories of a graph say that they are from."""

_ROOM = "graph"  # of ``annotations.data``
_STATES = (State.GENERATED, State.ACTIVATED, State.FROZEN, State.ARCHIVED)
_OURS = And((Where(Field.SOURCE, Comparison.EQ, SOURCE), Where(Field.STATE, Comparison.IN, _STATES)))
_TRIES = 50  # one is lost each time that another process has changed the same part of the graph in the same moment


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed edge: ``source`` does ``kind`` to ``target``; names of entities."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A node; ``observations`` in the order in which they were made."""

    name: str
    kind: str
    observations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The graph as it is now, with the memories that hold it."""

    entities: dict[str, MemCube] = field(default_factory=dict)
    observations: dict[str, dict[str, CubeId]] = field(default_factory=dict)  # name -> text -> memory
    relations: dict[Relation, CubeId] = field(default_factory=dict)
    adrift: tuple[CubeId, ...] = ()  # facts whose entity was erased as they were written

    def entity(self, name: str) -> Entity:
        return Entity(name, _note(self.entities[name])["type"], tuple(self.observations[name]))


class Graph:
    """The graph of a scope. Its verbs read and write the vault, so they are called in a thread."""

    def __init__(self, memory: Memory, scope: Scope) -> None:
        self._memory = memory
        self._scope = scope

    def known(self) -> Known:
        """Return the graph as it is now."""
        cubes = self._memory.list(self._scope, filter=_OURS, limit=None)
        graph, names, adrift = Known(), {}, []
        for cube in cubes:
            if "name" in (note := _note(cube)) and note["name"] not in graph.entities:
                graph.entities[note["name"]] = cube
                graph.observations[note["name"]] = {}
                names[cube.id] = note["name"]
        for cube in cubes:
            if "ends" not in (note := _note(cube)):
                continue
            ends = note["ends"]
            if {names.get(link.target) for link in cube.links} != set(ends):
                adrift.append(cube.id)
            elif "relation" in note:
                graph.relations.setdefault(Relation(ends[0], ends[1], note["relation"]), cube.id)
            else:
                graph.observations[ends[0]].setdefault(cube.text.removeprefix(f"{ends[0]}: "), cube.id)
        return Known(graph.entities, graph.observations, graph.relations, tuple(adrift))

    def create_entities(self, entities: Sequence[Entity]) -> list[Entity]:
        """Add those whose names are not known, and return them. The first one of a name counts."""
        wanted = {entity.name: entity for entity in reversed(entities)}
        wanted = {entity.name: wanted[entity.name] for entity in entities}

        def plan(graph: Known) -> _Change:
            keys = {name: self._key("entity", name) for name in wanted}
            taken = self._memory.vault.store.find(keys.values())  # also by one that has expired
            new = [e for e in wanted.values() if e.name not in graph.entities and keys[e.name] not in taken]
            planned: list[Planned] = []
            for entity in new:
                cube = self._cube(
                    f"{entity.name} ({entity.kind})", Role.ENTITY, {"name": entity.name, "type": entity.kind}
                )
                planned.append(Planned(keys[entity.name], cube=cube))
                planned += [self._observation(cube, entity.name, text) for text in dict.fromkeys(entity.observations)]
            made = [Entity(e.name, e.kind, tuple(dict.fromkeys(e.observations))) for e in new]
            return _Change(planned, made)

        made: list[Entity] = self._change(plan)
        return made

    def create_relations(self, relations: Sequence[Relation]) -> list[Relation]:
        """Add those that are not known, and return them.

        Raises: NotFound if one names an entity that is not there; then nothing has changed.
        """

        def plan(graph: Known) -> _Change:
            for relation in relations:
                _must_be_there((relation.source, relation.target), graph)
            new = [one for one in dict.fromkeys(relations) if one not in graph.relations]
            planned = []
            for one in new:
                ends = [graph.entities[name].id for name in (one.source, one.target)]
                links = tuple(Link(LinkKind.MENTIONS, end) for end in ends)
                note = {"relation": one.kind, "ends": [one.source, one.target]}
                cube = self._cube(f"{one.source} {one.kind} {one.target}", Role.FACT, note, links)
                planned.append(Planned(self._key("relation", *ends, one.kind), cube=cube))
            names = {name for one in new for name in (one.source, one.target)}
            return _Change(planned, new, [graph.entities[name].id for name in names])

        made: list[Relation] = self._change(plan)
        return made

    def add_observations(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
        """Add to each named entity what was not observed of it yet, and return that.

        Raises: NotFound if an entity is not there; then nothing has changed.
        """

        def plan(graph: Known) -> _Change:
            _must_be_there((name for name, _ in wanted), graph)
            planned, made, taken = [], [], {name: set(graph.observations[name]) for name, _ in wanted}
            for name, texts in wanted:
                new = [text for text in dict.fromkeys(texts) if text not in taken[name]]
                taken[name].update(new)
                made.append((name, new))
                planned += [self._observation(graph.entities[name], name, text) for text in new]
            return _Change(planned, made, [graph.entities[name].id for name, _ in wanted])

        made: list[tuple[str, list[str]]] = self._change(plan)
        return made

    def delete_entities(self, names: Sequence[str]) -> list[str]:
        """Erase entities with their observations and relations, and return those that were there."""
        found = [name for name in dict.fromkeys(names) if name in self.known().entities]

        def doomed(graph: Known) -> list[CubeId]:
            ids = list(graph.adrift)  # what another process wrote about an entity as it was erased
            for name in names:
                if name in graph.entities:
                    ids += [graph.entities[name].id, *graph.observations[name].values()]
            ends = set(names)
            return ids + [i for one, i in graph.relations.items() if {one.source, one.target} & ends]

        self._erase(doomed)
        return found

    def delete_observations(self, doomed: Sequence[tuple[str, Sequence[str]]]) -> tuple[int, list[str]]:
        """Erase what was observed, and return how much of it there was, and the entities that are not there."""

        def found(graph: Known) -> list[CubeId]:
            pairs = dict.fromkeys((name, text) for name, texts in doomed for text in texts)
            observed = (graph.observations.get(name, {}).get(text) for name, text in pairs)
            return [cube_id for cube_id in observed if cube_id is not None]

        entities = self.known().entities
        return self._erase(found), [name for name, _ in doomed if name not in entities]

    def delete_relations(self, relations: Sequence[Relation]) -> int:
        """Erase relations, and return how many of them there were."""
        return self._erase(
            lambda graph: [graph.relations[one] for one in dict.fromkeys(relations) if one in graph.relations]
        )

    def read_file(self, path: str | Path) -> tuple[int, int]:
        """Add what a ``memory.jsonl`` of the reference server holds; return how many entities and relations are new.

        Reading it again adds nothing. Observations of entities that are known are added to them. What relations name
        and nobody made, as older versions of that server allow, becomes an entity of the type "unknown".
        Raises: InvalidInput naming the line; then nothing has changed.
        """
        entities, relations = _parsed(Path(path))
        named = [Entity(name, "unknown") for one in relations for name in (one.source, one.target)]
        made = self.create_entities([*entities, *named])
        self.add_observations([(entity.name, entity.observations) for entity in entities])
        return len(made), len(self.create_relations(relations))

    # --- inside

    def _change(self, plan: Callable[[Known], _Change]) -> Any:
        """Carry out what ``plan`` makes of the graph, and return what it promises."""
        for _ in range(_TRIES):
            change = plan(self.known())
            ops = self._memory._ops(change.planned)

            def still_so(tx: Transaction, change: _Change = change) -> bool:
                free = all(tx.find(item.key) is None for item in change.planned)
                return free and all(tx.current(needed) is not None for needed in change.needs)

            if not ops or self._memory._write(ops, when=still_so).ids:
                return change.made
        raise Busy("Others change the same part of the graph all the time.", hint="Try again in a moment.")

    def _erase(self, doomed: Callable[[Known], list[CubeId]]) -> int:
        """Erase what ``doomed`` finds in the graph until it finds nothing more; return how much it was."""
        erased = 0
        for _ in range(_TRIES):
            if not (ids := doomed(self.known())):
                return erased
            try:
                self._memory.delete(ids, self._scope)
                erased += len(ids)
            except NotFound:  # another process was faster with one of them; then none was erased
                continue
        raise Busy("Others change the same part of the graph all the time.", hint="Try again in a moment.")

    def _observation(self, entity: MemCube, name: str, text: str) -> Planned:
        links = (Link(LinkKind.PART_OF, entity.id),)
        cube = self._cube(f"{name}: {text}", Role.FACT, {"ends": [name]}, links)
        return Planned(self._key("observation", entity.id, text), cube=cube)

    def _cube(self, text: str, role: Role, note: dict[str, Any], links: Iterable[Link] = ()) -> MemCube:
        memory = self._memory
        now = memory._clock()
        return MemCube(
            id=memory._new_id(now),
            content=memory._checked_text(text),
            scope=self._scope,
            role=role,
            provenance=Provenance(SOURCE, actor="assistant", operator="graph/1", trust=LEVELS["assistant"]),
            time=Times(created_at=now),
            annotations=Annotations(data={_ROOM: note}),
            links=tuple(links),
        )

    def _key(self, *parts: str) -> bytes:
        scope = self._scope
        words = [scope.tenant, scope.user, scope.agent, scope.session, _ROOM, *parts]
        return hashlib.blake2b(json.dumps(words).encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be written, what the caller is told then, and which memories must still be there."""

    planned: Sequence[Planned]
    made: Any
    needs: Sequence[CubeId] = ()


def _note(cube: MemCube) -> dict[str, Any]:
    """Return what a memory is in the graph; nothing if it is no part of it, whatever somebody has written there."""
    note = cube.annotations.data.get(_ROOM)
    if not isinstance(note, Mapping):
        return {}
    ends = note.get("ends", ())
    texts = [note[name] for name in ("name", "type", "relation") if name in note]
    if not isinstance(ends, tuple) or not all(isinstance(text, str) for text in (*texts, *ends)):
        return {}
    forms = ({"name", "type"}, 0), ({"ends"}, 1), ({"ends", "relation"}, 2)
    return dict(note) if (set(note), len(ends)) in forms else {}


def _must_be_there(names: Iterable[str], graph: Known) -> None:
    for name in names:
        if name not in graph.entities:
            raise NotFound(f"Entity with name {name} not found", hint="Make it with create_entities first.")


def _parsed(path: Path) -> tuple[list[Entity], list[Relation]]:
    """Return the lines of a file of the reference server."""
    entities, relations = [], []
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path} cannot be read as UTF-8 text: {exc}.") from exc
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
            if item["type"] == "entity":
                entities.append(Entity(_text(item["name"]), _text(item["entityType"]), _texts(item["observations"])))
            elif item["type"] == "relation":
                relations.append(Relation(_text(item["from"]), _text(item["to"]), _text(item["relationType"])))
            else:
                raise ValueError("neither an entity nor a relation")
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            raise InvalidInput(
                f"{path}, line {number}, is no entity and no relation: {exc}.", hint="Mend or remove the line."
            ) from exc
    return entities, relations


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(map(_text, value))
