"""Graph colouring with costs: the cheapest colours for nodes such that no edge joins two that may not meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import networkx

Colour = TypeVar("Colour", bound=Hashable)

MAX_STEPS = 200_000
"""Partial colourings that are tried before the best one found so far is returned."""


def colour(
    graph: networkx.Graph,
    palette: Mapping[Hashable, Sequence[Colour]],
    *,
    colour_cost: Callable[[Colour], float] = lambda colour: 0.0,
    node_cost: Callable[[Hashable, Colour], float] = lambda node, colour: 0.0,
    edge_cost: Callable[[Hashable, Hashable, Colour, Colour], float] | None = None,
    max_steps: int = MAX_STEPS,
) -> dict[Hashable, Colour] | None:
    """Colours of the nodes with the smallest total cost; None when there are none.

    The total is `colour_cost` of every colour that is used, once, plus `node_cost` of every node plus `edge_cost` of every edge
    (the two ends' colours in the order of its arguments); inf forbids. Without `edge_cost`, equal colours are forbidden. All
    costs must be >= 0. `palette` gives each node's colours, the likeliest first: it is a branch and bound from the node of the
    highest degree on (exact unless `max_steps` stops it), which takes the cheapest extension first and evaluates an edge only
    when its ends are still within the bound.
    """
    if edge_cost is None:
        edge_cost = lambda u, v, a, b: math.inf if a == b else 0.0  # noqa: E731
    search: _Search[Colour] = _Search(graph, palette, colour_cost, node_cost, edge_cost, max_steps)
    search.extend(0, 0.0)
    return search.best


class _Search(Generic[Colour]):
    def __init__(
        self,
        graph: networkx.Graph,
        palette: Mapping[Hashable, Sequence[Colour]],
        colour_cost: Callable[[Colour], float],
        node_cost: Callable[[Hashable, Colour], float],
        edge_cost: Callable[[Hashable, Hashable, Colour, Colour], float],
        max_steps: int,
    ) -> None:
        self.graph, self.palette = graph, palette
        self.colour_cost, self.node_cost, self.edge_cost = colour_cost, node_cost, edge_cost
        self.order = _connected_order(graph)
        self.chosen: dict[Hashable, Colour] = {}
        self.best: dict[Hashable, Colour] | None = None
        self.bound = math.inf
        self.steps = max_steps

    def extend(self, position: int, cost: float) -> None:
        if position == len(self.order):
            if cost < self.bound:
                self.best, self.bound = dict(self.chosen), cost
            return
        node = self.order[position]
        used = set(self.chosen.values())
        options = []
        for rank, c in enumerate(self.palette[node]):
            own = cost + self.node_cost(node, c) + (0.0 if c in used else self.colour_cost(c))
            options.append((own, rank, c))
        for own, _, c in sorted(options, key=lambda option: option[:2]):
            if own >= self.bound or self.steps <= 0:
                return
            self.steps -= 1
            total = own
            for other in self.graph.adj[node]:
                if other in self.chosen and total < self.bound:
                    total += self.edge_cost(node, other, c, self.chosen[other])
            if total < self.bound:
                self.chosen[node] = c
                self.extend(position + 1, total)
                del self.chosen[node]


def _connected_order(graph: networkx.Graph) -> list[Hashable]:
    """Nodes by degree, each next one with the most neighbours before it (as DSATUR does; Brelaz 1979)."""
    order: list[Hashable] = []
    left = {node: number for number, node in enumerate(graph.nodes)}
    placed: set[Hashable] = set()
    while left:
        node = max(left, key=lambda n: (len(placed & set(graph.adj[n])), graph.degree(n), -left[n]))
        order.append(node)
        placed.add(node)
        del left[node]
    return order
