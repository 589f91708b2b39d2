"""Search for the cheapest random sources within an error budget, and for the fewest: colouring of the interference graph.

Pairs of candidates (`sccc.passes.candidates`) are screened by `joint.pair_error` and legality, what is left is judged by the error
model on calibration data (`sccc.passes.judge`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable

import numpy as np

from sccc.colouring import colour
from sccc.correlation import generator_of
from sccc.cost import op_cost
from sccc.diagnostics import Location, SccError
from sccc.interference import constraint_graph, interference_graph
from sccc.ir import Module, Operation
from sccc.joint import pair_error
from sccc.neurons import root_source
from sccc.passes.candidates import QUICK_MASKED_BITS, Spec, promising, randomness_pair, source_area, specs
from sccc.passes.judge import Judge
from sccc.passes.plans import Plan, bits_of, feeds_fsm, lane_masks, length_of, sng_name

TIE = 0.4
"""Gates that the error of a choice counts at most, within its budget: it decides between choices of equal cost."""

ONE_SOURCE = 1e9
"""What a further source costs when the fewest are wanted: more than anything else."""

ACCURACY = 1e4
"""Gates that an error as large as independent streams' counts when the fewest sources are wanted and no budget is given."""


def plan_of(dot: Operation, x: Spec | None, w: Spec) -> Plan:
    """The plan in which all lanes share these sources."""
    x = x or w  # not used: there is no SNG
    masks = lane_masks(dot.operands[0], dot.operands[1], bits_of(dot.operands[1])) if w.masked else (None, None)
    return Plan((x.kind, w.kind), (x.index, w.index), masks, (x.taps, w.taps))


def comparators(dot: Operation, masked: bool) -> float:
    """Gates of a layer's weight SNGs, with or without a mask for each lane: one comparator for each distinct constant stream."""
    sng = dot.operands[1].op
    assert sng is not None and sng.operands[0].op is not None
    constant, bits = sng.operands[0].op, bits_of(dot.operands[1])
    scratch = Module("scratch")
    level = scratch.append("sc.constant", [], constant.attributes).result
    random = scratch.append("sc.source", [], {"kind": "sobol", "bits": bits}).result
    assert level is not None and random is not None
    masks = lane_masks(dot.operands[0], dot.operands[1], bits)[1] if masked else None
    if masks is not None:
        random = scratch.append("sc.mask", [random], {"masks": masks}).result
        assert random is not None
    return op_cost(scratch.append("sc.sng", [level, random], {"length": length_of(dot)})).gates


def cheapest_within(judge: Judge, dot: Operation, source: str, seed: int, budget: float) -> Plan:
    """The cheapest sources of one layer whose predicted error is within the budget. Raises SccError when there are none.

    Where a state machine follows, weights keep a mask per lane: the machine needs the low variance per cycle.
    """
    import networkx

    x, w = dot.operands[:2]
    bits, length = bits_of(w), length_of(dot)
    found = specs(source, bits, seed)
    pairs = frozenset(map(frozenset, promising(tuple(found), bits, length)))
    behind = _behind_state_machines(judge.module, dot)
    masks = _masks(judge.module, dot)
    compare = {masked: comparators(dot, masked) for masked in masks}
    graph = networkx.Graph()
    graph.add_node(w.name)
    by_sng = generator_of(x) is not None
    if by_sng:
        graph.add_edge(x.name, w.name)

    def node_cost(node: Hashable, spec: Spec) -> float:
        area = source_area(spec.unmasked, bits) + (compare[spec.masked] if node == w.name else 0.0)
        return area if by_sng else area + within(None, spec)

    def edge_cost(u: Hashable, v: Hashable, a: Spec, b: Spec) -> float:
        sx, sw = (b, a) if u == w.name else (a, b)
        return within(sx, sw) if frozenset((sx, sw.unmasked)) in pairs else math.inf

    def within(sx: Spec | None, sw: Spec) -> float:
        error = judge.error(dot, sx, sw)
        return TIE * error / budget if error <= budget else math.inf

    usable = [spec for spec in found if spec not in behind]
    palette: dict[Hashable, list[Spec]] = {w.name: [Spec(s.kind, s.index, s.taps, m) for m in masks for s in usable]}
    if by_sng:
        palette[x.name] = found
    chosen = colour(graph, palette, node_cost=node_cost, edge_cost=edge_cost)
    if chosen is None:
        raise judge.refuse(dot, budget, judge.best.get(dot, math.inf))
    return plan_of(dot, chosen.get(x.name), chosen[w.name])


def _masks(module: Module, dot: Operation) -> tuple[bool, ...]:
    """Whether weights are tried without and with a mask for each lane."""
    if feeds_fsm(module, dot):
        return (True,)
    return (False, True) if bits_of(dot.operands[1]) <= QUICK_MASKED_BITS else (False,)


def is_within(judge: Judge, dot: Operation, source: str, seed: int, budget: float, *, masks: bool = True) -> bool:
    """Whether `cheapest_within` would find sources, of a layer that does not feed a state machine: as soon as one pair fits.

    masks: whether they may be tried too.
    """
    if judge.rounding.get(dot, 0.0) > budget:
        return False
    found = specs(source, bits_of(dot.operands[1]), seed)
    pairs = promising(tuple(found), bits_of(dot.operands[1]), length_of(dot))
    for masked in _masks(judge.module, dot) if masks else (False,):
        for a, b in (ordered for pair in pairs for ordered in (pair, pair[::-1])):
            if judge.error(dot, a, Spec(b.kind, b.index, b.taps, masked)) <= budget:
                return True
    return False


def _behind_state_machines(module: Module, dot: Operation) -> set[Spec]:
    """Sources that a layer's streaming input depends on: those of the layers before it, which have been chosen."""
    graph, w = constraint_graph(interference_graph(module)), sng_name(dot.operands[1])
    found = set()
    for name, edge in graph.adj[w].items():
        maker = generator_of(module.value(name))
        if maker is None or not edge["through"] or edge["through"] != dot.operands[0].name:
            continue  # a layer behind this one, which will keep away from what this one gets
        a = root_source(maker.operands[1]).attributes
        if np.ndim(a["index"]) == 0:
            found.add(Spec(a["kind"], int(a["index"]), int(a["taps"])))
    return found


def fewest_sources(
    module: Module, judge: Judge | None, wishes: dict[Operation, tuple[str, float]], seed: int
) -> dict[Operation, Plan]:
    """Plans for all layers of `wishes` together with as few different sources as possible, and no masks.

    wishes: dot -> (source option, error budget or 0). Layers share sources where streams of both never meet, directly or through
    state machines. Each layer's netlist still holds its own copy of a source, as its window has its own start. Among equally few:
    within budgets the cheapest, without them those with the smallest `pair_error`. Raises SccError when there is no choice.
    """
    dots = {sng_name(v): dot for dot in wishes for v in dot.operands[:2] if generator_of(v) is not None}
    graph = constraint_graph(interference_graph(module)).subgraph(dots).copy()
    found = {dot: specs(source, bits_of(dot.operands[1]), seed) for dot, (source, _) in wishes.items()}

    pairs = {
        dot: frozenset(map(frozenset, promising(tuple(found[dot]), bits_of(dot.operands[1]), length_of(dot))))
        for dot in wishes
    }

    def node_cost(node: Hashable, spec: Spec) -> float:
        dot = dots[str(node)]
        area = source_area(spec, bits_of(dot.operands[1]))
        return area if generator_of(dot.operands[0]) is not None else area + cost(dot, None, spec)

    def edge_cost(u: Hashable, v: Hashable, a: Spec, b: Spec) -> float:
        if graph.edges[u, v]["through"]:
            return math.inf if a == b else 0.0
        dot = dots[str(u)]
        return cost(dot, *((a, b) if u != sng_name(dot.operands[1]) else (b, a)))

    def cost(dot: Operation, x: Spec | None, w: Spec) -> float:
        bits, length, budget = bits_of(dot.operands[1]), length_of(dot), wishes[dot][1]
        if x is not None and frozenset((x, w)) not in pairs[dot]:
            return math.inf
        if budget and judge is not None:
            error = judge.error(dot, x, w)
            return TIE * error / budget if error <= budget else math.inf
        return ACCURACY * pair_error(*randomness_pair(x, w, bits), bits, length) if x is not None else 0.0

    palette: dict[Hashable, list[Spec]] = {node: found[dots[node]] for node in graph.nodes}
    chosen = colour(graph, palette, colour_cost=lambda spec: ONE_SOURCE, node_cost=node_cost, edge_cost=edge_cost)
    if chosen is None:
        raise _explained(judge, wishes)
    sides = {dot: [chosen.get(sng_name(v)) for v in dot.operands[:2]] for dot in wishes}
    return {dot: plan_of(dot, x, w) for dot, (x, w) in sides.items() if w is not None}


def _explained(judge: Judge | None, wishes: dict[Operation, tuple[str, float]]) -> SccError:
    """Why there are no sources for all layers: the layer that is worst off, or all of them together."""
    tried: Iterable[tuple[float, Operation, float]] = (
        (judge.best[dot] / budget, dot, budget) for dot, (_, budget) in wishes.items() if budget and dot in judge.best
    ) if judge is not None else ()  # fmt: skip
    over, dot, budget = max(tried, key=lambda each: each[0], default=(0.0, None, 0.0))
    if judge is not None and dot is not None and over > 1.0:
        return judge.refuse(dot, budget, judge.best[dot])
    names = ", ".join(f"'{d.origin or d.attributes['layer']}'" for d in wishes)
    return SccError(
        f"no choice of shared sources is legal for the layers {names} together",
        Location(option="--sharing"),
        "use --sharing auto, another --source, or a longer --length",
    )
