"""Search for the cheapest random sources within an error budget, and for the fewest: colouring of the interference graph.

Candidates are counters (the ramp and the Sobol dimensions; one counter per layer feeds them, so that each costs only its XOR gates)
and LFSRs (seeds and polynomials). Pairs are screened by `joint.pair_error` and legality, what is left is judged by the error model
on calibration data. Costs are those of `sccc.cost`: gates and flip-flops of sources, comparators of distinct constant streams
(masks make more of these distinct, and cost nothing else).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import networkx
import numpy as np

from sccc.colouring import colour
from sccc.correlation import DEPENDENCE_LIMIT, Randomness, generator_of, joint_deviation
from sccc.cost import op_cost
from sccc.diagnostics import Location, SccError
from sccc.error_model import Assignment, layer_error
from sccc.interference import constraint_graph, interference_graph
from sccc.ir import Module, Operation
from sccc.joint import pair_error
from sccc.judged_layer import ideal_levels, signal_deviation
from sccc.neurons import root_source
from sccc.ops.source import source_lanes
from sccc.passes.manager import PassContext
from sccc.passes.plans import Plan, bits_of, feeds_fsm, lane_masks, length_of
from sccc.sources import MAX_SEARCHED_WIDTH, SOBOL_DIMENSIONS, Source, maximal_taps, splitmix64

JUDGED_SAMPLES = 100
"""Calibration samples that errors are predicted on: an RMS over them and all outputs is good to a few per cent."""

PAIRS_KEPT, CHEAP_PAIRS_KEPT = 24, 8
"""Pairs of sources that are judged on data: so many of the best by `pair_error`, and of the cheapest."""

QUICK_BITS, QUICK_MASKED_BITS = 8, 6
"""Bits of level up to which a judgement takes a fraction of a second, without and with masks. Beyond, a quarter as many pairs
are judged, and masks are not tried where no state machine needs them (they change a total's error by some per cent only)."""

LFSR_SEEDS, LFSR_POLYNOMIALS = 8, 6
"""Size of the search among LFSRs."""

FLIPFLOP_GATES = 6
"""Two-input gates that one flip-flop counts for when costs are compared (about its area in standard-cell libraries)."""

TIE = 0.4
"""Gates that the error of a choice counts at most, within its budget: it decides between choices of equal cost."""

ONE_SOURCE = 1e9
"""What a further source costs when the fewest are wanted: more than anything else."""

ACCURACY = 1e4
"""Gates that an error as large as independent streams' counts when the fewest sources are wanted and no budget is given."""


@dataclass(frozen=True)
class Spec:
    """One random source for all lanes, as the attributes of an sc.source; `masked`: another mask for each weight lane."""

    kind: str
    index: int = 0
    taps: int = 0
    masked: bool = False


@lru_cache(maxsize=4096)
def _source_op(spec: Spec, bits: int) -> Operation:
    attributes: dict[str, Any] = {"kind": spec.kind, "index": spec.index, "taps": spec.taps, "bits": bits}
    return Module("scratch").append("sc.source", [], attributes)


def _source(spec: Spec, bits: int) -> Source:
    return source_lanes(_source_op(spec, bits))[0]


@lru_cache(maxsize=4096)
def source_area(spec: Spec, bits: int) -> float:
    """A source's cost in gates, flip-flops counted as FLIPFLOP_GATES."""
    cost = op_cost(_source_op(spec, bits))
    return cost.gates + FLIPFLOP_GATES * cost.flipflops


def specs(source: str, bits: int, seed: int) -> list[Spec]:
    """Candidates for an option `source`, the cheapest first."""
    sobol = [Spec("sobol", dimension) for dimension in range(SOBOL_DIMENSIONS)]
    found = {"sobol": sobol, "ramp": [Spec("ramp"), *sobol], "lfsr": [], "auto": [Spec("ramp"), *sobol]}[source]
    width = max(3, bits)
    if source in ("lfsr", "auto") and width <= MAX_SEARCHED_WIDTH:
        polynomials = (0, *maximal_taps(width, LFSR_POLYNOMIALS if source == "lfsr" else 2)[1:])
        seeds = dict.fromkeys(splitmix64(seed * 7919 + k) % (1 << width) for k in range(LFSR_SEEDS))
        found = found + [Spec("lfsr", s, taps) for taps, s in itertools.product(polynomials, seeds)]
    return sorted(found, key=lambda spec: source_area(spec, bits))


def legal(a: Spec, b: Spec, bits: int, length: int) -> bool:
    """Whether streams that share these sources may be multiplied: like the verifier, and as strict as for any pair of all lanes."""
    return a != b and joint_deviation(*_randomness(a, b, bits), bits, length) <= DEPENDENCE_LIMIT / 2


def _randomness(a: Spec, b: Spec, bits: int) -> tuple[Randomness, Randomness]:
    return Randomness(_source(a, bits)), Randomness(_source(b, bits))


@lru_cache(maxsize=64)
def promising(found: tuple[Spec, ...], bits: int, length: int) -> frozenset[frozenset[Spec]]:
    """Legal pairs that are worth judging on data. `found`: unmasked candidates."""
    family = {"sobol": 0, "ramp": 0, "lfsr": 1}
    pairs = [p for p in itertools.combinations(found, 2) if family[p[0].kind] == family[p[1].kind]]
    ranked = sorted(pairs, key=lambda p: pair_error(*_randomness(p[0], p[1], bits), bits, length))
    cheapest = sorted(pairs, key=lambda p: source_area(p[0], bits) + source_area(p[1], bits))
    kept: dict[frozenset[Spec], None] = {}
    part = 1 if bits <= QUICK_BITS else 4
    for order, count in ((ranked, PAIRS_KEPT // part), (cheapest, CHEAP_PAIRS_KEPT // part)):
        good = (frozenset(p) for p in order if legal(p[0], p[1], bits, length))
        kept |= dict.fromkeys(itertools.islice(good, count))
    return frozenset(kept)


class Judge:
    """Predicted errors of layers, in units of their output's standard deviation on calibration data."""

    def __init__(self, module: Module, context: PassContext) -> None:
        if context.calibration is None:
            raise SccError(
                "an error budget is in units of what layers put out, which is not known without data",
                Location(option="--error-budget"),
                "give --calibrate, or leave out --error-budget",
            )
        self.module = module
        self.levels = ideal_levels(module, context.calibration[:JUDGED_SAMPLES])
        self.known: dict[Hashable, float] = {}
        self.best: dict[Operation, float] = {}

    def error(self, dot: Operation, x: Spec | None, w: Spec) -> float:
        """RMS error of a layer whose lanes share these sources; x is None where a state machine makes the stream.

        Without the bias where correct-bias folds that into the accumulator's start value.
        """
        key = (dot, x, w)
        if key not in self.known:
            self.known[key] = self.of(dot, self._assignment(dot, x, w))
        self.best[dot] = min(self.best.get(dot, math.inf), self.known[key])
        return self.known[key]

    def of(self, dot: Operation, assignment: Assignment | None = None) -> float:
        """The same for any assignment, or for the one that the module has."""
        error = layer_error(dot, self.levels[dot], assignment)
        unit = signal_deviation(dot, self.levels[dot])
        counts = error.rms if feeds_fsm(self.module, dot) else error.residual
        return counts / unit if unit > 0 else (math.inf if counts > 0 else 0.0)

    def _assignment(self, dot: Operation, x: Spec | None, w: Spec) -> Assignment:
        bits = bits_of(dot.operands[1])
        masks = lane_masks(dot.operands[0], dot.operands[1], bits) if w.masked else (None, None)
        return Assignment(_lanes(x, masks[0], bits) if x else None, _lanes(w, masks[1], bits))

    def refuse(self, dot: Operation, budget: float, error: float) -> SccError:
        """The error for a layer that cannot be kept within its budget."""
        length = length_of(dot)
        needed = 1 << math.ceil(math.log2(length * min(max(error / budget, 1.01), 1e4)))
        return SccError(
            f"layer '{dot.origin or dot.attributes['layer']}' cannot be kept within an error budget of {budget:g}: the best that "
            f"was found has an RMS error of {error:.3g} standard deviations of the layer's output",
            Location(node=dot.origin or None, option="--error-budget"),
            f"errors fall about as 1 / length: give --length {needed}, or a larger budget",
        )


def _lanes(spec: Spec, masks: np.ndarray | None, bits: int) -> np.ndarray:
    source = _source(spec, bits)
    numbers = [0] if masks is None else np.ravel(masks).tolist()
    lanes = np.empty(len(numbers), dtype=object)
    lanes[:] = [Randomness(source, mask) for mask in numbers]
    return lanes.reshape(()) if masks is None else lanes


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
    x, w = dot.operands
    bits, length = bits_of(w), length_of(dot)
    found = specs(source, bits, seed)
    pairs = promising(tuple(found), bits, length)
    behind = _behind_state_machines(judge.module, dot)
    masks = (True,) if feeds_fsm(judge.module, dot) else (False, True) if bits <= QUICK_MASKED_BITS else (False,)
    compare = {masked: comparators(dot, masked) for masked in masks}
    graph = networkx.Graph()
    graph.add_node(w.name)
    by_sng = generator_of(x) is not None
    if by_sng:
        graph.add_edge(x.name, w.name)

    def node_cost(node: Hashable, spec: Spec) -> float:
        area = source_area(_unmasked(spec), bits) + (compare[spec.masked] if node == w.name else 0.0)
        return area if by_sng else area + within(None, spec)

    def edge_cost(u: Hashable, v: Hashable, a: Spec, b: Spec) -> float:
        sx, sw = (b, a) if u == w.name else (a, b)
        return within(sx, sw) if frozenset((sx, _unmasked(sw))) in pairs else math.inf

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


def _behind_state_machines(module: Module, dot: Operation) -> set[Spec]:
    """Sources that a layer's streaming input depends on: those of the layers before it, which have been chosen."""
    graph, w = constraint_graph(interference_graph(module)), dot.operands[1].name
    found = set()
    for name, edge in graph.adj[w].items():
        maker = generator_of(module.value(name))
        if maker is None or not edge["through"] or edge["through"] != dot.operands[0].name:
            continue  # a layer behind this one, which will keep away from what this one gets
        a = root_source(maker.operands[1]).attributes
        if np.ndim(a["index"]) == 0:
            found.add(Spec(a["kind"], int(a["index"]), int(a["taps"])))
    return found


def _unmasked(spec: Spec) -> Spec:
    return Spec(spec.kind, spec.index, spec.taps)


def fewest_sources(
    module: Module, judge: Judge | None, wishes: dict[Operation, tuple[str, float]], seed: int
) -> dict[Operation, Plan]:
    """Plans for all layers of `wishes` together with as few different sources as possible, and no masks.

    wishes: dot -> (source option, error budget or 0). Layers share sources where streams of both never meet, directly or through
    state machines. Each layer's netlist still holds its own copy of a source, as its window has its own start. Among equally few:
    within budgets the cheapest, without them those with the smallest `pair_error`. Raises SccError when there is no choice.
    """
    dots = {v.name: dot for dot in wishes for v in dot.operands if generator_of(v) is not None}
    graph = constraint_graph(interference_graph(module)).subgraph(dots).copy()
    found = {dot: specs(source, bits_of(dot.operands[1]), seed) for dot, (source, _) in wishes.items()}

    def node_cost(node: Hashable, spec: Spec) -> float:
        dot = dots[str(node)]
        area = source_area(spec, bits_of(dot.operands[1]))
        return area if generator_of(dot.operands[0]) is not None else area + cost(dot, None, spec)

    def edge_cost(u: Hashable, v: Hashable, a: Spec, b: Spec) -> float:
        if graph.edges[u, v]["through"]:
            return math.inf if a == b else 0.0
        dot = dots[str(u)]
        return cost(dot, *((a, b) if u == dot.operands[0].name else (b, a)))

    def cost(dot: Operation, x: Spec | None, w: Spec) -> float:
        bits, length, budget = bits_of(dot.operands[1]), length_of(dot), wishes[dot][1]
        if x is not None and frozenset((x, w)) not in promising(tuple(found[dot]), bits, length):
            return math.inf
        if budget and judge is not None:
            error = judge.error(dot, x, w)
            return TIE * error / budget if error <= budget else math.inf
        return ACCURACY * pair_error(*_randomness(x, w, bits), bits, length) if x is not None else 0.0

    palette: dict[Hashable, list[Spec]] = {node: found[dots[node]] for node in graph.nodes}
    chosen = colour(graph, palette, colour_cost=lambda spec: ONE_SOURCE, node_cost=node_cost, edge_cost=edge_cost)
    if chosen is None:
        raise _explained(judge, wishes)
    return {dot: plan_of(dot, chosen.get(dot.operands[0].name), chosen[dot.operands[1].name]) for dot in wishes}


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
