"""Colouring with costs: hand-made graphs whose answers are known."""

from __future__ import annotations

import itertools
import math

import networkx
import numpy as np
import pytest

from sccc.colouring import colour


def fewest(graph, colours=6):
    """How many colours it takes."""
    chosen = colour(graph, {node: range(colours) for node in graph}, colour_cost=lambda c: 1.0)
    assert all(chosen[u] != chosen[v] for u, v in graph.edges)
    return len(set(chosen.values()))


@pytest.mark.parametrize(
    ("graph", "chromatic"),
    (
        (networkx.empty_graph(4), 1),
        (networkx.path_graph(6), 2),
        (networkx.cycle_graph(6), 2),
        (networkx.cycle_graph(7), 3),
        (networkx.complete_graph(5), 5),
        (networkx.complete_bipartite_graph(3, 4), 2),
        (networkx.wheel_graph(6), 4),
        (networkx.petersen_graph(), 3),
        (networkx.disjoint_union(networkx.cycle_graph(5), networkx.path_graph(3)), 3),
    ),
    ids=("empty", "path", "even", "odd", "complete", "bipartite", "wheel", "petersen", "two"),
)
def test_the_chromatic_number_of_known_graphs(graph, chromatic):
    assert fewest(graph) == chromatic


def test_none_when_there_are_too_few_colours():
    assert colour(networkx.complete_graph(4), {node: "abc" for node in range(4)}) is None
    assert colour(networkx.path_graph(2), {0: "a", 1: "a"}) is None


def test_the_cheap_colour_goes_to_the_node_that_pays_most():
    """A path a - b - c: b costs 10 in red, the ends 4 each; blue is free but may not be next to itself."""
    graph = networkx.path_graph(["a", "b", "c"])
    price = {("a", "red"): 4.0, ("b", "red"): 10.0, ("c", "red"): 4.0}
    chosen = colour(graph, dict.fromkeys("abc", ("red", "blue")), node_cost=lambda n, c: price.get((n, c), 0.0))
    assert chosen == {"a": "red", "b": "blue", "c": "red"}
    price["c", "red"] = 7.0
    chosen = colour(graph, dict.fromkeys("abc", ("red", "blue")), node_cost=lambda n, c: price.get((n, c), 0.0))
    assert chosen == {"a": "blue", "b": "red", "c": "blue"}


def test_a_colour_is_paid_once():
    """Two separate nodes: together 5 for one colour is cheaper than 3 each of two."""
    cost = {"shared": 5.0, "one": 3.0, "two": 3.0}
    palette = {0: ("one", "shared"), 1: ("two", "shared")}
    assert set(colour(networkx.empty_graph(2), palette, colour_cost=cost.get).values()) == {"shared"}
    cost["shared"] = 6.5
    assert set(colour(networkx.empty_graph(2), palette, colour_cost=cost.get).values()) == {"one", "two"}


def test_edge_costs_weigh_against_node_costs():
    graph, palette = networkx.path_graph(2), {0: "xy", 1: "xy"}
    node = lambda n, c: 3.0 if c == "y" else 0.0  # noqa: E731
    for near, wanted in ((2.0, ["x", "x"]), (4.0, ["x", "y"])):
        chosen = colour(graph, palette, node_cost=node, edge_cost=lambda u, v, a, b, near=near: near if a == b else 0.0)
        assert sorted(chosen.values()) == wanted


def test_edges_are_asked_for_in_the_order_of_their_ends():
    seen = []
    colour(networkx.path_graph(2), {0: ["a"], 1: ["b"]}, edge_cost=lambda u, v, a, b: seen.append((u, v, a, b)) or 0.0)
    assert seen in ([(0, 1, "a", "b")], [(1, 0, "b", "a")])


def test_it_is_the_optimum_of_all_colourings():
    rng = np.random.default_rng(3)
    for number in range(20):
        graph = networkx.gnp_random_graph(5, 0.5, seed=number)
        node, edge, own = rng.random((5, 3)), rng.random((5, 5, 3, 3)) * 2, rng.random(3)
        edge[rng.random(edge.shape) < 0.2] = math.inf
        edge = np.minimum(edge, edge.transpose(1, 0, 3, 2))

        def total(c, graph=graph, node=node, edge=edge, own=own):
            meet = sum(edge[u, v, c[u], c[v]] for u, v in graph.edges)
            return sum(node[n, c[n]] for n in range(5)) + meet + sum(own[k] for k in set(c))

        chosen = colour(
            graph,
            {n: range(3) for n in range(5)},
            colour_cost=lambda c, own=own: own[c],
            node_cost=lambda n, c, node=node: node[n, c],
            edge_cost=lambda u, v, a, b, edge=edge: edge[u, v, a, b],
        )
        best = min(total(c) for c in itertools.product(range(3), repeat=5))
        assert (chosen is None) == math.isinf(best)
        assert chosen is None or total([chosen[n] for n in range(5)]) == pytest.approx(best)


def test_when_steps_run_out_the_best_so_far_is_given():
    graph = networkx.complete_graph(9)
    chosen = colour(graph, {n: range(9) for n in graph}, node_cost=lambda n, c: (n * c) % 5, max_steps=60)
    assert len(set(chosen.values())) == 9
