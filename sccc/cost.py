"""Gates, flip-flops and cycles, estimated from the cells before any synthesis.

Gates are those of `sccc.gates`. Flip-flops are counted apart, with the enable and synchronous reset that Yosys keeps inside
them. The formulas know structures only (adders, comparators, population counts, tables), never a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sccc import counting_gates
from sccc.cells import Arbiter, Comb, CountCell, Fold, Fsm, Gather, GroupCell, Memory, MultiplyAdd, Race, SourceCell
from sccc.counting import counted_bits
from sccc.counting_gates import cheapest, difference_gates, gate_parts
from sccc.digits import signed_digits
from sccc.expr import Expr
from sccc.gates import (
    COMPARE,
    CONSTANT_BOUND,
    CONSTANT_COMPARE,
    FULL_ADDER,
    HALF_ADDER,
    LOOKAHEAD_ADDER,
    Logic,
    adder_gates,
    sum_bits,
    sum_gates,
    table_gates,
)
from sccc.grouping import Line, lines, weight_streams
from sccc.ir import Module, Operation, Value
from sccc.neurons import constant_streams, root_source
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS, product_of
from sccc.ops.fixed import FIXED_SUMS, dot_weights
from sccc.ops.geometry import Geometry, geometry_of
from sccc.ops.images import pool_lanes
from sccc.ops.source import source_lanes
from sccc.schedule import layer_origin, schedule
from sccc.sources import CounterSource, LfsrSource
from sccc.types import Count, Encoding, Level, Random, Stream, Total, Type, lane_width, signed_width


@dataclass(frozen=True)
class Cost:
    """`gates` and `flipflops` are counts; `sources` random sources, `sngs` comparators, `products` lanes that are counted."""

    gates: float = 0.0
    flipflops: int = 0
    sources: int = 0
    sngs: int = 0
    products: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.gates + other.gates,
            self.flipflops + other.flipflops,
            self.sources + other.sources,
            self.sngs + other.sngs,
            self.products + other.products,
        )

    def times(self, number: float) -> Cost:
        """The cost of `number` such parts."""
        counts = (round(getattr(self, name) * number) for name in ("flipflops", "sources", "sngs", "products"))
        return Cost(self.gates * number, *counts)


def op_cost(op: Operation) -> Cost:
    """What one op costs, by its cell kind. Constants and ports cost nothing by themselves."""
    if op.result is None:
        return Cost()
    cell = REGISTRY[op.name].cell
    handler = _COSTS.get(type(cell))
    cost = handler(op) if handler else Cost()
    if (
        isinstance(op.result.type, Level)
        and not isinstance(cell, Gather)
        and op.name not in ("sc.input", "sc.constant")
    ):
        cost += Cost(flipflops=op.result.type.lanes * lane_width(op.result.type))
    return cost


def _source_cost(op: Operation) -> Cost:
    lanes = source_lanes(op)
    gates, flipflops = 0.0, 0
    for source in lanes:
        if isinstance(source, CounterSource):
            gates += sum(max(0, len(row) - 1) for row in source.rows())
        elif isinstance(source, LfsrSource):
            gates += source.taps.bit_count() - 1 + source.width - 1  # the second part inserts the zero state
            flipflops += source.width
    return Cost(gates=gates, flipflops=flipflops, sources=len(lanes))


def _is_constant(level: Value) -> bool:
    return level.op is not None and level.op.name == "sc.constant"


def _comb_cost(op: Operation) -> Cost:
    assert op.result is not None
    kind = op.result.type
    if isinstance(kind, Stream):
        level = op.operands[0].type
        assert isinstance(level, Level)
        if _is_constant(op.operands[0]):
            streams = len(constant_streams(op).levels)
            return Cost(gates=CONSTANT_COMPARE * level.bits * streams, sngs=streams)
        if op.name == "sc.wbg":
            # Of random's bit k: whether one above it is 1, and it alone. A lane: an AND for each bit, and an OR with the next.
            return Cost(gates=2 * level.bits + 2 * level.bits * kind.lanes, sngs=kind.lanes)
        return Cost(gates=COMPARE * level.bits * kind.lanes, sngs=kind.lanes)
    if isinstance(kind, Random):
        return Cost()  # a constant mask turns comparisons with constants into other constants
    definition = REGISTRY[op.name]
    assert isinstance(definition.cell, Comb)
    parameters = definition.parameters(op)
    operands = dict(zip(definition.operands, op.operands, strict=True))
    for name, value in operands.items():
        if isinstance(value.type, Stream):  # a constant's stream: a bit, and a sign known for each lane
            assert value.op is not None
            parameters[f"{name}_sign"] = constant_streams(value.op).signs
    return Cost(gates=_lane_gates(definition.cell.result, parameters, operands, kind))


def _lane_gates(
    expr: Expr, parameters: Mapping[str, np.ndarray], operands: Mapping[str, Value], kind: Type, *others: Expr
) -> float:
    """Gates of an integer expression (and of others, sharing parts with it), all lanes; equal lanes are computed once."""
    names = [n for n in parameters if any(n in e.variables() for e in (expr, *others))]
    rows = [np.broadcast_to(np.asarray(parameters[n]), kind.shape).reshape(-1) for n in names]
    lanes, counts = (
        np.unique(np.stack(rows, axis=1), axis=0, return_counts=True) if rows else (np.zeros((1, 0)), [kind.lanes])
    )
    total = 0.0
    for lane, count in zip(lanes, counts, strict=True):
        ranges = {n: (int(v), int(v)) for n, v in zip(names, lane, strict=True)}
        for name, value in operands.items():
            t = value.type
            ranges[name] = value_range(t)
        logic = Logic(ranges, lane_width(kind))
        total += int(count) * sum(logic.gates(e) for e in (expr, *others))
    return total


def value_range(kind: Type) -> tuple[int, int]:
    """The smallest and largest number that a lane holds."""
    if isinstance(kind, Level):
        return kind.encoding.minimum_level(kind.bits), kind.encoding.maximum_level(kind.bits)
    return (kind.lo, kind.hi) if isinstance(kind, Count | Total) else (0, 1)


def _count_cost(op: Operation) -> Cost:
    assert op.result is not None
    x, w = op.operands
    if w.op is None or w.op.name != "sc.sng" or not _is_constant(w.op.operands[0]):
        lanes = op.result.type.lanes * x.type.lanes
        return Cost(gates=lanes * (1 + FULL_ADDER), products=lanes)
    total, random = Cost(), root_source(w.op.operands[1]).result
    assert random is not None and isinstance(random.type, Random)
    streams = constant_streams(w.op)
    for outputs, taps, number in _blocks(geometry_of(op)):
        plan = cheapest(product_of(op), streams.block(outputs, taps), random.type)
        products = sum(bit.place < 0 for bit in counted_bits(plan))
        total += Cost(counting_gates.gates(plan), counting_gates.flipflops(plan), products=products).times(number)
    return total


def _group_cost(op: Operation) -> Cost:
    """The distinct products, the gates that join them, and for each output two counters of lines and their difference."""
    gates, products = 0.0, 0
    seen: set[tuple[object, ...]] = set()
    for up, down in lines(op, weight_streams(op)):
        for line in (*up, *down):
            gates += len(line.lanes) - 1
            products += len(line.lanes)
            seen.update(_drive_gates(line))
        sums = [(len(side),) for side in (up, down) if side]
        if sums:
            gates += sum(map(sum_gates, sums)) + difference_gates([sum_bits(s) for s in sums], negated=not up)
    return Cost(gates=gates + len(seen), products=products)


def _drive_gates(line: Line) -> Iterator[tuple[object, ...]]:
    """The gates by which lanes drive a line, each named by what it computes of which signals."""
    for lane, place, stream, drive in zip(line.lanes, line.places, line.streams, line.drives, strict=True):
        for part in gate_parts(drive):
            read = part.variables()
            signals = (lane if read & {"x", "xs"} else -1, stream if "w" in read else -1)
            yield repr(part), *signals, place if "chosen" in read else -1


COUNTED_LANES = 1 << 18
"""Of larger layers some outputs stand for all."""


def _blocks(geometry: Geometry) -> Iterator[tuple[slice, np.ndarray, float]]:
    """Outputs that see the same lanes: which they are, their taps in the image, and how many such blocks there are."""
    lanes = geometry.lanes() >= 0
    for group in range(geometry.groups):
        masks, numbers = np.unique(lanes[:, group], axis=0, return_counts=True)
        size = geometry.groups * geometry.outputs * int(masks.sum())
        chosen = max(1, min(geometry.outputs, geometry.outputs * COUNTED_LANES // max(1, size)))
        first = group * geometry.outputs
        for mask, number in zip(masks, numbers.tolist(), strict=True):
            yield slice(first, first + chosen), np.flatnonzero(mask), number * geometry.outputs / chosen


def _fsm_cost(op: Operation) -> Cost:
    """The state's register holds the enable and the start value; its logic is the step and the bounds.

    A gate for each bit of a sum over the window keeps what follows at rest until it is complete.
    """
    definition = REGISTRY[op.name]
    fsm = definition.cell.sum if isinstance(definition.cell, Race) else definition.cell
    assert isinstance(fsm, Fsm) and op.result is not None
    parameters = definition.parameters(op)
    lowest, highest = int(np.min(fsm.lowest.evaluate(parameters))), int(np.max(fsm.highest.evaluate(parameters)))
    width, lanes = signed_width(lowest, highest), op.result.type.lanes
    state = Expr("var", ("state",))
    bound = {"step": fsm.step}
    parts = [fsm.next.substitute(bound)] + ([fsm.out.substitute(bound)] if fsm.out is not None else [])
    operands = dict(zip(definition.operands, op.operands, strict=True))
    operands[state.args[0]] = Value("state", Total((lanes,), lowest, highest))
    gates = _lane_gates(parts[0], parameters, operands, Total((lanes,), lowest, highest), *parts[1:])
    gates += lanes * width if fsm.out is None else 0
    registers = width + (1 if fsm.out is not None and "step" in fsm.out.variables() else 0)
    return Cost(gates=gates, flipflops=lanes * registers)


def _multiply_add_cost(op: Operation) -> Cost:
    """Constant multipliers and their sums, and a register.

    Each nonzero digit of a weight adds a number once: a multiplier takes one adder less than its weight has digits, the sum of the
    products the rest: trees of adders (6 gates per bit, see LOOKAHEAD_ADDER), one bit position for each bit that does not come out.
    """
    x = op.operands[0].type
    assert op.result is not None and isinstance(x, Level)
    weights, width, signed = dot_weights(op), lane_width(op.result.type), x.encoding is Encoding.SIGNED
    geometry = geometry_of(op)
    # The bias adds as many bits to each output as come out of it. At the edges of images lanes are missing.
    positions = (geometry.lanes() >= 0).sum(axis=0)
    digits, nonzero = (
        float((geometry.weights(each).sum(axis=1) * positions).sum())
        for each in (np.abs(signed_digits(weights)).sum(axis=0, dtype=np.int64), weights != 0)
    )
    gates = LOOKAHEAD_ADDER * digits * (x.bits + signed) + (2 * x.bits * x.lanes if signed else 0)
    return Cost(gates=gates, flipflops=op.result.type.lanes * width, products=round(nonzero))


def _fold_cost(op: Operation) -> Cost:
    """A chain of two-input steps for each window; levels with a sign become integers first and levels again."""
    cell, x = REGISTRY[op.name].cell, op.operands[0].type
    assert isinstance(cell, Fold) and op.result is not None
    steps = int((pool_lanes(op) >= 0).sum()) - op.result.type.lanes
    kind = Total((), *value_range(op.result.type))
    operands = {name: Value(name, Total((), *value_range(x))) for name in ("a", "b")}
    if isinstance(x, Stream):
        return Cost(gates=steps)
    assert isinstance(x, Level)
    signed = HALF_ADDER * lane_width(x) * (x.lanes + op.result.type.lanes) if x.encoding is Encoding.SIGNED else 0
    return Cost(gates=steps * _lane_gates(cell.result, {}, operands, kind) + signed)


def _memory_cost(op: Operation) -> Cost:
    """A table for each lane."""
    total, kind = op.operands[0].type, op.result.type if op.result else None
    assert isinstance(kind, Level) and isinstance(total, Total)
    table = np.asarray(op.attributes["table"], dtype=np.int64)
    address = lane_width(total)
    entries = np.full(1 << address, table[-1])
    entries[np.arange(total.lo, total.hi + 1) & ((1 << address) - 1)] = table
    if kind.encoding is Encoding.SIGNED:
        entries = np.abs(entries) | (entries < 0).astype(np.int64) << (kind.bits + 1)
    return Cost(gates=kind.lanes * table_gates(entries, lane_width(kind), address))


def _arbiter_cost(op: Operation) -> Cost:
    """A chain: compare with the best so far, take the larger, and its index."""
    total, width = op.operands[0].type, lane_width(op.operands[0].type)
    return Cost(gates=(total.lanes - 1) * (adder_gates(width) + width + (total.lanes - 1).bit_length()))


def _race_cost(op: Operation) -> Cost:
    """Sums, and a chain that keeps the largest two: two comparisons and three choices a lane, a difference, two bounds."""
    assert op.result is not None
    lanes, width = op.result.type.lanes, lane_width(op.result.type)
    chain = (lanes - 1) * (2 * adder_gates(width) + 3 * width)
    return _fsm_cost(op) + Cost(gates=chain + adder_gates(width) + CONSTANT_BOUND * 2 * width)


_COSTS: dict[type, Callable[[Operation], Cost]] = {
    SourceCell: _source_cost,
    Comb: _comb_cost,
    CountCell: _count_cost,
    GroupCell: _group_cost,
    MultiplyAdd: _multiply_add_cost,
    Fsm: _fsm_cost,
    Race: _race_cost,
    Memory: _memory_cost,
    Arbiter: _arbiter_cost,
    Fold: _fold_cost,
}


@dataclass(frozen=True)
class LayerCost:
    """One layer's row in the bill."""

    name: str
    origin: str
    encoding: str
    style: str
    sources: str
    cycles: int
    cost: Cost


def bill(module: Module) -> tuple[list[LayerCost], int]:
    """The cost of each layer and the cycles from start to valid."""
    plan = schedule(module)
    rows = []
    for name, timing in plan.layers.items():
        ops = [op for op in module if op.attributes.get("layer") == name and op.name not in ("sc.input", "sc.output")]
        counter = max(1, (timing.length - 1).bit_length())
        control = Cost(gates=HALF_ADDER * counter + 5, flipflops=counter + 3)
        total = sum((op_cost(op) for op in ops), control)
        origin = layer_origin(ops)
        rows.append(LayerCost(name, origin, _encodings(ops), layer_style(ops), _sources(ops), timing.length, total))
    return rows, plan.latency


def _encodings(ops: list[Operation]) -> str:
    for op in ops:
        if op.name in PRODUCT_SUMS:
            return " x ".join(v.type.encoding.value for v in op.operands if isinstance(v.type, Stream))
    return ""


def layer_style(ops: list[Operation]) -> str:
    """accumulate, streaming (with its state machine), fixed, or levels where nothing is multiplied."""
    names = {op.name for op in ops}
    if names & set(FIXED_SUMS):
        return "fixed"
    if not names & set(PRODUCT_SUMS):
        return "levels"
    fsm = names & {"sc.btanh", "sc.sigmoid", "sc.relu"}
    return f"streaming ({next(iter(fsm)).removeprefix('sc.')})" if fsm else "accumulate"


def _sources(ops: list[Operation]) -> str:
    kinds = [str(op.attributes["kind"]) for op in ops if op.name == "sc.source"]
    masked = any(op.name == "sc.mask" for op in ops)
    return ", ".join(dict.fromkeys(kinds)) + (" + masks" if masked else "")
