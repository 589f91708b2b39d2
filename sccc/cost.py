"""Gates, flip-flops and cycles, estimated from the cells before any synthesis.

A gate is a cell of Yosys' default gate-level netlist, as `synth` ends with (`techmap`, `abc -fast`): a two-input gate, an
inverter or a multiplexer. Flip-flops are counted apart, with the enable and synchronous reset that Yosys keeps inside
them. The formulas know structures only (adders, comparators, population counts, tables), never a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sccc.cells import Arbiter, Comb, CountCell, Fold, Fsm, Gather, Memory, MultiplyAdd, Race, SourceCell
from sccc.digits import signed_digits
from sccc.expr import Expr
from sccc.ir import Module, Operation, Value
from sccc.neurons import Neuron, constant_streams, neuron
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS, product_of
from sccc.ops.fixed import dot_weights
from sccc.ops.geometry import Geometry, geometry_of
from sccc.ops.images import pool_lanes
from sccc.ops.source import source_lanes
from sccc.schedule import schedule
from sccc.sources import CounterSource, LfsrSource
from sccc.types import Count, Encoding, Level, Random, Stream, Total, Type, signed_width

FULL_ADDER = 5
"""Gates of a full adder: two XOR, two AND, one OR."""

HALF_ADDER = 2
"""Gates per bit of adding a carry, or a constant."""

LOOKAHEAD_BITS, LOOKAHEAD_ADDER = 8, 6
"""Yosys builds adders and comparators with a Brent-Kung carry tree: wider than 8 bits they take about 6 gates per bit, not 5."""

CONSTANT_COMPARE = 0.8
"""Gates per bit of comparing a random number with each of many constants: they share."""

CONSTANT_BOUND = 2
"""Gates per bit of comparing a signed number with one constant."""

COMPARE = 4
"""Gates per bit of comparing two unsigned numbers."""


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


def lane_bits(kind: Type) -> int:
    """Bits that hold one lane of a value."""
    if isinstance(kind, Count | Total):
        return signed_width(kind.lo, kind.hi)
    if isinstance(kind, Level):
        return kind.bits + 1 + (kind.encoding is Encoding.SIGNED)
    return kind.bits if isinstance(kind, Random) else 1


def adder_gates(bits: int) -> int:
    """Adding or comparing two signed numbers of this width."""
    return bits * (FULL_ADDER if bits <= LOOKAHEAD_BITS else LOOKAHEAD_ADDER)


def popcount_gates(lanes: int) -> int:
    """The carry-save tree of `sccc.backends.verilog.popcount`: full adders, and a half adder where two bits are left."""
    gates = 0
    while lanes > 1:
        carries = 0
        while lanes > 1:
            third = lanes // 3
            gates += FULL_ADDER * third if third else HALF_ADDER
            carries += third or 1
            lanes = third + lanes - 3 * third if third else 1
        lanes = carries
    return gates


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
        cost += Cost(flipflops=op.result.type.lanes * lane_bits(op.result.type))
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
            ranges[name] = _value_range(t)
        logic = _Logic(ranges, lane_bits(kind))
        total += int(count) * sum(logic.gates(e) for e in (expr, *others))
    return total


def _value_range(kind: Type) -> tuple[int, int]:
    """The smallest and largest number that a lane holds."""
    if isinstance(kind, Level):
        return kind.encoding.minimum_level(kind.bits), kind.encoding.maximum_level(kind.bits)
    return (kind.lo, kind.hi) if isinstance(kind, Count | Total) else (0, 1)


class _Logic:
    """Gates of signed integer expressions, each part in as many bits as its range takes; parts that recur are counted once."""

    def __init__(self, ranges: Mapping[str, tuple[int, int]], result_bits: int) -> None:
        self.known: dict[str, tuple[int, int]] = dict(ranges)
        self.result_bits = result_bits
        self.adders: set[str] = set()
        self.spent = 0.0

    def gates(self, expr: Expr) -> float:
        self.spent = 0.0
        self._range(expr)
        return self.spent

    def _range(self, expr: Expr) -> tuple[int, int]:
        """The range of an expression; what it costs is added to `spent`."""
        if expr.kind == "const":
            return expr.args[0], expr.args[0]
        key = expr.args[0] if expr.kind == "var" else repr(expr)
        if key not in self.known:
            self.known[key] = self._operator(expr)
        return self.known[key]

    def _operator(self, expr: Expr) -> tuple[int, int]:
        if expr.kind == "?:":
            return self._select(expr)
        a, b = (self._range(arg) for arg in expr.args)
        if expr.kind in ("<", "<=", ">", ">=", "=="):
            return self._comparison(expr.kind, a, b)
        if expr.kind == ">>":
            return a[0] >> b[0], a[1] >> b[0]
        if expr.kind == "*":
            return self._product(a, b)
        before = self.spent
        low, high = (a[0] + b[0], a[1] + b[1]) if expr.kind == "+" else (a[0] - b[1], a[1] - b[0])
        width = signed_width(low, high)
        if _fixed(a) or _fixed(b):
            constant, other = (a[0], expr.args[1]) if _fixed(a) else (b[0], expr.args[0])
            free = 0 <= constant < 1 << self._zeros(other) or (_fixed(a) and _fixed(b))  # it only fills bits that are 0
            self.spent += 0 if free else HALF_ADDER * width
        elif b == (0, 1):
            # It enters the adder before it as a carry, where there is one.
            self.spent += 0 if repr(expr.args[0]) in self.adders else HALF_ADDER * width
        else:
            self.spent += adder_gates(width)
        if self.spent > before:
            self.adders.add(repr(expr))
        return low, high

    def _comparison(self, kind: str, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        least = {"<": a[1] < b[0], "<=": a[1] <= b[0], ">": a[0] > b[1], ">=": a[0] >= b[1]}.get(kind, False)
        most = {"<": a[0] < b[1], "<=": a[0] <= b[1], ">": a[1] > b[0], ">=": a[1] >= b[0]}.get(kind, True)
        if least == most:
            return int(least), int(least)
        if _fixed(a) or _fixed(b):
            varying, constant = (b, a[0]) if _fixed(a) else (a, b[0])
            self.spent += (
                CONSTANT_BOUND * signed_width(*varying) if constant else 0
            )  # the sign tells whether it is below 0
        else:
            self.spent += adder_gates(max(signed_width(*a), signed_width(*b)))
        return 0, 1

    def _product(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        """One factor is constant: it adds the other once for each one in it, and a power of two costs nothing."""
        varying, constant = (b, a[0]) if _fixed(a) else (a, b[0])
        width = signed_width(*varying)
        self.spent += max(0, abs(constant).bit_count() - 1) * FULL_ADDER * width
        ends = [varying[0] * constant, varying[1] * constant]
        return min(ends), max(ends)

    def _zeros(self, expr: Expr) -> int:
        """How many low bits of an expression are surely 0."""
        if expr.kind not in ("*", ">>"):
            return 0
        a, b = (self._range(arg) for arg in expr.args)
        if expr.kind == ">>":
            return max(0, self._zeros(expr.args[0]) - b[0])
        constant, other = (a[0], expr.args[1]) if _fixed(a) else (b[0], expr.args[0])
        return (constant & -constant).bit_length() - 1 + self._zeros(other) if constant else 0

    def _select(self, expr: Expr) -> tuple[int, int]:
        condition = self._range(expr.args[0])
        if _fixed(condition):
            return self._range(expr.args[1] if condition[0] else expr.args[2])
        then, other = self._range(expr.args[1]), self._range(expr.args[2])
        low, high = min(then[0], other[0]), max(then[1], other[1])
        bound = expr.args[0].args[-1] if expr.args[0].kind in "<>" else None
        if repr(bound) == repr(expr.args[1]):  # one end of a clamp
            low, high = (max(low, then[0]), high) if expr.args[0].kind == "<" else (low, min(high, then[1]))
        self.spent += min(signed_width(low, high), self.result_bits)
        return low, high


def _fixed(values: tuple[int, int]) -> bool:
    return values[0] == values[1]


def _count_cost(op: Operation) -> Cost:
    assert op.result is not None
    x, w = op.operands
    if w.op is None or w.op.name != "sc.sng" or not _is_constant(w.op.operands[0]):
        lanes = op.result.type.lanes * x.type.lanes
        return Cost(gates=lanes * (1 + FULL_ADDER), products=lanes)
    product, streams = product_of(op), constant_streams(w.op)
    total = Cost()
    for output, taps, number in _neurons(geometry_of(op)):
        total += _neuron_cost(neuron(product, streams.of_taps(output, taps), 0)).times(number)
    return total


def _neuron_cost(each: Neuron) -> Cost:
    gates, products = _sum_gates(each), 0
    seen: set[tuple[str, int, int]] = set()
    for group in each.groups.values():
        gates += popcount_gates(len(group)) + sum(_bit_gates(expr, lane, k, seen) for expr, lane, k in group)
        products += len(group)
    return Cost(gates=gates, products=products)


COUNTED_LANES = 1 << 21
"""Lanes of neurons that are looked at one by one; of larger layers some outputs stand for all."""


def _neurons(geometry: Geometry) -> Iterator[tuple[int, np.ndarray, float]]:
    """Different neurons: an output, its taps in the image, and how many there are like it."""
    lanes = geometry.lanes() >= 0
    for group in range(geometry.groups):
        masks, numbers = np.unique(lanes[:, group], axis=0, return_counts=True)
        size = geometry.groups * geometry.outputs * int(masks.sum())
        step = min(geometry.outputs, max(1, size // COUNTED_LANES))
        chosen = range(0, geometry.outputs, step)
        for output in chosen:
            for mask, number in zip(masks, numbers.tolist(), strict=True):
                share = number * geometry.outputs / len(chosen)
                yield group * geometry.outputs + output, np.flatnonzero(mask), share


def _sum_gates(each: Neuron) -> float:
    """Adding the groups of a neuron: full adders where two numbers overlap, carries beyond, a half adder at the lowest bit."""
    widths = sorted(len(group).bit_length() + (weight == -2) for weight, group in each.groups.items() if group)
    terms = widths[1:] if each.groups[1] else widths
    gates = sum(adder_gates(bits - 1) + HALF_ADDER for bits in terms) + HALF_ADDER * (
        widths[-1] - widths[0] if widths else 0
    )
    return gates + (HALF_ADDER * (widths[-1] + 1) if each.constant and widths else 0)


@lru_cache(maxsize=4096)
def _text(expr: Expr) -> str:
    """The expression's structure."""
    return repr(expr)


def _bit_gates(expr: Expr, lane: int, stream: int, seen: set[tuple[str, int, int]]) -> int:
    """Gates of a lane's bit that the neuron does not have yet; an inverter becomes part of the gate behind it."""
    key = (_text(expr), lane, stream)
    if expr.kind in ("var", "const") or key in seen:
        return 0
    seen.add(key)
    return sum(_bit_gates(a, lane, stream, seen) for a in expr.args) + (expr.kind != "~")


def _fsm_cost(op: Operation) -> Cost:
    """The state's register holds the enable and the start value; its logic is the step and the bounds."""
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
    registers = width + (1 if fsm.out is not None and "step" in fsm.out.variables() else 0)
    return Cost(gates=gates, flipflops=lanes * registers)


def _multiply_add_cost(op: Operation) -> Cost:
    """Constant multipliers and their sums, and a register.

    Each nonzero digit of a weight adds a number once: a multiplier takes one adder less than its weight has digits, the sum of the
    products the rest: trees of adders (6 gates per bit, see LOOKAHEAD_ADDER), one bit position for each bit that does not come out.
    """
    x = op.operands[0].type
    assert op.result is not None and isinstance(x, Level)
    weights, width, signed = dot_weights(op), lane_bits(op.result.type), x.encoding is Encoding.SIGNED
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
    kind = Total((), *_value_range(op.result.type))
    operands = {name: Value(name, Total((), *_value_range(x))) for name in ("a", "b")}
    if isinstance(x, Stream):
        return Cost(gates=steps)
    signed = HALF_ADDER * lane_bits(x) * (x.lanes + op.result.type.lanes) if x.encoding is Encoding.SIGNED else 0
    return Cost(gates=steps * _lane_gates(cell.result, {}, operands, kind) + signed)


def _memory_cost(op: Operation) -> Cost:
    """A table as the multiplexers of a shared decision diagram over the address bits, most significant first (Bryant 1986)."""
    total, kind = op.operands[0].type, op.result.type if op.result else None
    assert isinstance(kind, Level) and isinstance(total, Total)
    table = np.asarray(op.attributes["table"], dtype=np.int64)
    address = lane_bits(total)
    entries = np.full(1 << address, table[-1])
    entries[np.arange(total.lo, total.hi + 1) & ((1 << address) - 1)] = table
    if kind.encoding is Encoding.SIGNED:
        entries = np.abs(entries) | (entries < 0).astype(np.int64) << (kind.bits + 1)
    nodes = entries >> np.arange(lane_bits(kind))[:, None] & 1
    gates, number = 0, 2
    for _ in range(address):  # nodes 0 and 1 are constants; each step joins neighbours that differ in one address bit
        low, high = nodes[:, 0::2], nodes[:, 1::2]
        differ = low != high
        pairs, inverse = np.unique(np.stack([low[differ], high[differ]]), axis=1, return_inverse=True)
        gates += pairs.shape[1] - int(np.any((pairs[0] == 0) & (pairs[1] == 1)))  # that one is the address bit itself
        nodes = low.copy()
        nodes[differ] = number + inverse.reshape(-1)
        number += pairs.shape[1]
    return Cost(gates=kind.lanes * gates)


def _arbiter_cost(op: Operation) -> Cost:
    """A chain: compare with the best so far, take the larger, and its index."""
    total, width = op.operands[0].type, lane_bits(op.operands[0].type)
    return Cost(gates=(total.lanes - 1) * (adder_gates(width) + width + (total.lanes - 1).bit_length()))


def _race_cost(op: Operation) -> Cost:
    """Sums, and a chain that keeps the largest two: two comparisons and three choices a lane, a difference, two bounds."""
    assert op.result is not None
    lanes, width = op.result.type.lanes, lane_bits(op.result.type)
    chain = (lanes - 1) * (2 * adder_gates(width) + 3 * width)
    return _fsm_cost(op) + Cost(gates=chain + adder_gates(width) + CONSTANT_BOUND * 2 * width)


_COSTS: dict[type, Callable[[Operation], Cost]] = {
    SourceCell: _source_cost,
    Comb: _comb_cost,
    CountCell: _count_cost,
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
        origin = next((op.origin for op in ops if op.origin), "")
        rows.append(LayerCost(name, origin, _encodings(ops), _style(ops), _sources(ops), timing.length, total))
    return rows, plan.latency


def _encodings(ops: list[Operation]) -> str:
    for op in ops:
        if op.name in PRODUCT_SUMS:
            return " x ".join(v.type.encoding.value for v in op.operands if isinstance(v.type, Stream))
    return ""


def _style(ops: list[Operation]) -> str:
    names = {op.name for op in ops}
    if names & {"fx.dot", "fx.conv"}:
        return "fixed"
    if not names & set(PRODUCT_SUMS):
        return "levels"
    fsm = names & {"sc.btanh", "sc.sigmoid", "sc.relu"}
    return f"streaming ({next(iter(fsm)).removeprefix('sc.')})" if fsm else "accumulate"


def _sources(ops: list[Operation]) -> str:
    kinds = [str(op.attributes["kind"]) for op in ops if op.name == "sc.source"]
    masked = any(op.name == "sc.mask" for op in ops)
    return ", ".join(dict.fromkeys(kinds)) + (" + masks" if masked else "")
