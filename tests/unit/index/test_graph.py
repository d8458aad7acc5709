"""The graph of a space: walks checked by hand and against a linear solve, hubs held back, edges as they should be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.errors import InvalidInput
from anamnos.index.graph import Graph, SpaceGraph, graph_of, joined
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")


def pairs(*edges: tuple[int, int], size: int, hub: int = 50) -> Graph:
    first, second = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    return joined(size, first, second, np.ones(len(edges)), hub=hub)


def at(size: int, *nodes: int) -> np.ndarray:
    seeds = np.zeros(size)
    seeds[list(nodes)] = 1
    return seeds


def solved(graph: Graph, seeds: np.ndarray, damping: float) -> np.ndarray:
    """Return (I - d P^T)^-1 (1 - d) v, with a row of P for each node without an edge that leads to the seeds."""
    start = seeds / seeds.sum()
    step = np.zeros((graph.size, graph.size))
    np.add.at(step, (graph.sources, graph.targets), graph.weights)
    leaving = step.sum(axis=1)
    step[leaving == 0] = start
    step /= step.sum(axis=1, keepdims=True)
    return np.linalg.solve(np.eye(graph.size) - damping * step.T, (1 - damping) * start)


# --- walks


def test_a_walk_between_two_nodes_by_hand() -> None:
    # r0 = 1/2 + r1/2 and r1 = r0/2
    np.testing.assert_allclose(pairs((0, 1), size=2).walk(at(2, 0)), [2 / 3, 1 / 3], atol=1e-6)


def test_a_walk_from_a_node_without_edges_stays_there() -> None:
    np.testing.assert_allclose(pairs((0, 1), size=3).walk(at(3, 2)), [0, 0, 1])


def test_a_walk_from_nowhere_leads_nowhere() -> None:
    assert not pairs((0, 1), size=2).walk(np.zeros(2)).any()


graphs = st.integers(2, 9).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(
            st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), st.floats(0.01, 5)), min_size=1, max_size=20
        ),
        st.lists(st.floats(0, 3), min_size=size, max_size=size).filter(lambda seeds: sum(seeds) > 0.01),
        st.floats(0, 0.9),
        st.integers(1, 4),
    )
)


@given(graphs)
def test_a_walk_is_the_solution_of_its_equation(
    case: tuple[int, list[tuple[int, int, float]], list[float], float, int],
) -> None:
    size, edges, seeds, damping, hub = case
    first, second, weights = (np.array(column) for column in zip(*edges, strict=True))
    graph = joined(size, first, second, weights, hub=hub)
    found = graph.walk(np.array(seeds), damping=damping, tolerance=1e-9)
    np.testing.assert_allclose(found, solved(graph, np.array(seeds), damping), atol=1e-6)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("seeds", [np.zeros(3), np.array([1.0, -1.0]), np.array([np.nan, 1.0])])
def test_seeds_that_are_none_are_refused(seeds: np.ndarray) -> None:
    graph = pairs((0, 1), size=2)
    with pytest.raises(InvalidInput, match="seeds"):
        graph.walk(seeds)
    with pytest.raises(InvalidInput, match="seeds"):
        graph.spread(seeds)


def test_a_walk_that_never_returns_is_refused() -> None:
    with pytest.raises(InvalidInput, match="damping"):
        pairs((0, 1), size=2).walk(at(2, 0), damping=1)


def test_hubs_are_held_back() -> None:
    """Node 0 is joined to 1 and to a hub, which is joined to 40 others."""
    edges = [(0, 1), (0, 2), *((2, other) for other in range(3, 43))]
    free, held = pairs(*edges, size=43).walk(at(43, 0)), pairs(*edges, size=43, hub=4).walk(at(43, 0))
    assert free[2] > free[1]  # the hub gets more than the only true neighbour
    assert held[2] < held[1] / 5
    assert held[1] > free[1]
    # without the hub, all goes to the neighbour: held back, it matters less
    alone = pairs((0, 1), size=43).walk(at(43, 0))
    assert np.abs(held - alone).sum() < np.abs(free - alone).sum() / 2


# --- spreading


def test_activation_along_a_path_by_hand() -> None:
    # a - b - c: .7 to b; of it .7 / sqrt(2) back to a and on to c; both give .7 of theirs to b
    second = 0.7 * 0.7 / np.sqrt(2)
    path = pairs((0, 1), (1, 2), size=3)
    np.testing.assert_allclose(path.spread(at(3, 0), hops=2), [1 + second, 0.7, second])
    np.testing.assert_allclose(path.spread(at(3, 0)), [1 + second, 0.7 + 2 * 0.7 * second, second])


def test_what_is_faint_is_not_passed_on() -> None:
    path = pairs((0, 1), (1, 2), size=3)
    np.testing.assert_allclose(path.spread(at(3, 0), threshold=0.71), [1, 0.7, 0])
    np.testing.assert_allclose(path.spread(at(3, 0), hops=0), [1, 0, 0])


# --- the graph of a space


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        yield memory


def tell(memory: Memory, scope: Scope, *texts: str) -> None:
    memory.add(
        [{"role": "user", "name": "Ann", "content": text, "id": f"{scope.session}{text}"} for text in texts], scope
    )


def passages(memory: Memory, folder: Path, *found: tuple[str, str]) -> None:
    path = folder / "passages.json"
    path.write_text(json.dumps([{"title": title, "text": text} for title, text in found]))
    memory.ingest(path, ANN)


def graph(memory: Memory, scope: Scope = ANN) -> SpaceGraph:
    space = memory._recaller.space(scope)
    return graph_of(space, space.in_scope(scope), memory._reader)


def joins(memory: Memory, scope: Scope = ANN) -> dict[tuple[str, str], float]:
    """Return which texts are joined, by what weight, and by which word."""
    space, found = memory._recaller.space(scope), graph(memory, scope)
    living = np.flatnonzero(space.alive)
    cubes = memory.vault.store.at(space.rows[living].tolist())
    names = {doc: str(cube.content) for doc, cube in zip(living.tolist(), cubes, strict=True)}
    words = {memory._reader.term(word): word for text in names.values() for word in memory._reader.words(f"Ann {text}")}
    for place, term in enumerate(found.terms.tolist()):
        names[found.documents + place] = f"<{words[term]}>"
    edges = zip(found.graph.sources.tolist(), found.graph.targets.tolist(), found.graph.weights.tolist(), strict=True)
    return {(names[a], names[b]): round(weight, 4) for a, b, weight in edges if a < b}


def test_words_in_two_memories_and_the_order_of_a_session_join(memory: Memory) -> None:
    tell(memory, Scope(user="ann", session="a"), "red heron", "pear")
    tell(memory, Scope(user="ann", session="b"), "blue heron")
    # the speaker's name is in all three
    heron, ann = (np.log(1 + (3.5 - held) / (held + 0.5)) / np.log(1 + 2.5 / 1.5) for held in (2, 3))
    assert joins(memory) == {
        ("red heron", "pear"): 1,
        ("red heron", "<heron>"): round(heron, 4),
        ("blue heron", "<heron>"): round(heron, 4),
        **{(text, "<ann>"): round(ann, 4) for text in ("red heron", "pear", "blue heron")},
    }


def test_a_word_of_a_single_memory_is_no_node(memory: Memory) -> None:
    tell(memory, ANN, "red heron", "blue heron")
    assert graph(memory).node(memory._reader.term("red")) is None
    assert graph(memory).node(memory._reader.term("heron")) is not None


def test_a_title_joins_what_mentions_it(memory: Memory, tmp_path: Path) -> None:
    passages(
        memory,
        tmp_path,
        ("Grey Heron (film)", "By Ilse Maurer."),
        ("Ilse Maurer", "Born in Graz."),
        ("Maurer", "A trade."),
    )
    links = {pair for pair, weight in joins(memory).items() if weight == 1}
    film, director, trade = "Grey Heron (film)\nBy Ilse Maurer.", "Ilse Maurer\nBorn in Graz.", "Maurer\nA trade."
    assert links == {(film, director), (film, trade), (director, trade)}


def test_what_is_outside_the_scope_joins_nothing(memory: Memory) -> None:
    one, two = Scope(user="ann", session="a"), Scope(user="ann", session="b")
    tell(memory, one, "red heron", "pear heron")
    alone = joins(memory, one)
    tell(memory, two, "blue heron", "green pear")
    assert joins(memory, one) == alone


def test_new_and_forgotten_memories_are_followed(memory: Memory, tmp_path: Path) -> None:
    tell(memory, Scope(user="ann", session="a"), "red heron", "pear", "plum heron")
    graph(memory)
    tell(memory, Scope(user="ann", session="a"), "blue heron", "plum")
    passages(memory, tmp_path, ("Plum", "A heron eats none."))
    graph(memory)
    memory.delete([hit.cube.id for hit in memory.search("pear", ANN) if hit.content == "pear"], ANN)
    followed = joins(memory)
    assert ("red heron", "plum heron") in followed
    memory._recaller.forget_spaces()
    assert joins(memory) == followed


def test_an_empty_space_has_an_empty_graph(memory: Memory) -> None:
    found = graph(memory)
    assert (found.graph.size, found.documents, len(found.graph.sources)) == (0, 0, 0)


def test_a_fact_two_steps_away_is_reached(memory: Memory) -> None:
    """Who is P7's manager, and where does that one live? Each person is named in two memories."""
    people = [f"Per{chr(97 + i)}son" for i in range(20)]
    for i, person in enumerate(people):
        tell(memory, Scope(user="ann", session=f"m{i}"), f"{person} has manager {people[(i + 7) % 20]}")
        tell(memory, Scope(user="ann", session=f"h{i}"), f"{person} lives in City{chr(97 + i)}")
    space, found = memory._recaller.space(ANN), graph(memory)
    texts = [str(cube.content) for cube in memory.vault.store.at(space.rows.tolist())]
    asked = texts.index(f"{people[3]} has manager {people[10]}")
    rank = found.graph.walk(at(found.graph.size, asked))[: found.documents]
    near = [texts[doc] for doc in np.argsort(-rank)[:5]]
    assert f"{people[10]} lives in Cityk" in near
