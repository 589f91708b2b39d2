"""Gates, flip-flops and cycles, estimated from the cells before any synthesis.

A gate is one two-input gate (or inverter) as Yosys counts them after `techmap`; a full adder is 5. Constants are taken into
account where the netlist is specialised for them: constant streams, neurons, tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sccc.cells import Arbiter, Comb, CountCell, Fsm, Memory, MultiplyAdd, SourceCell
from sccc.digits import signed_digits
from sccc.expr import Expr
from sccc.ir import Module, Operation, Value
from sccc.neurons import constant_streams, neuron
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import product_of
from sccc.ops.fixed import dot_weights
from sccc.ops.source import source_lanes
from sccc.schedule import schedule
from sccc.sources import CounterSource, LfsrSource
from sccc.types import Count, Encoding, Level, Random, Stream, Total, Type, signed_width

FULL_ADDER = 5
"""Gates of a full adder: two XOR, two AND, one OR."""

CONSTANT_COMPARE = 1.0
"""Gates per bit of comparing a random number with a constant."""

COMPARE = 4
"""Gates per bit of comparing two numbers."""


@dataclass(frozen=True)
class Cost:
    """`gates` and `flipflops` are counts; `sources` random sources, `sngs` comparators, `products` lanes that are counted."""

    gates: float = 0.0
    flipflops: int = 0
    sources: int = 0
    sngs: int = 0
    products: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self.__tuple(), other.__tuple(), strict=True)))

    def __tuple(self) -> tuple[float, int, int, int, int]:
        return self.gates, self.flipflops, self.sources, self.sngs, self.products


def lane_bits(kind: Type) -> int:
    """Bits that hold one lane of a value."""
    if isinstance(kind, Count | Total):
        return signed_width(kind.lo, kind.hi)
    return kind.bits + 1 if isinstance(kind, Level) else kind.bits if isinstance(kind, Random) else 1


def popcount_gates(lanes: int) -> float:
    """A carry-save tree over `lanes` bits: n - popcount(n) full adders."""
    return FULL_ADDER * (lanes - lanes.bit_count()) if lanes > 1 else 0.0


def op_cost(op: Operation) -> Cost:
    """What one op costs, by its cell kind. Constants and ports cost nothing by themselves."""
    if op.result is None:
        return Cost()
    cell = REGISTRY[op.name].cell
    handler = _COSTS.get(type(cell))
    cost = handler(op) if handler else Cost()
    if isinstance(op.result.type, Level) and op.name != "sc.input" and op.name != "sc.constant":
        cost += Cost(flipflops=op.result.type.lanes * lane_bits(op.result.type))
    return cost


def _source_cost(op: Operation) -> Cost:
    lanes = source_lanes(op)
    gates, flipflops = 0.0, 0
    for source in lanes:
        if isinstance(source, CounterSource):
            gates += sum(max(0, len(row) - 1) for row in source.rows())
        elif isinstance(source, LfsrSource):
            gates += source.taps.bit_count() - 1
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
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Comb)
    width = max(lane_bits(kind), *(lane_bits(v.type) for v in op.operands))
    return Cost(gates=kind.lanes * _expression_gates(cell.result, width, op))


def _expression_gates(expr: Expr, width: int, op: Operation) -> float:
    """Gates of integer logic of `width` bits; multiplying by a constant adds once per further one in it."""
    if expr.kind in ("var", "const", ">>"):
        return sum(_expression_gates(a, width, op) for a in expr.args[:1]) if expr.kind == ">>" else 0.0
    inner = sum(_expression_gates(a, width, op) for a in dict.fromkeys(expr.args))
    if expr.kind == "*":
        ones = np.mean([int(v).bit_count() for v in np.ravel(op.attributes.get("mult", 1))])
        return inner + (FULL_ADDER * width * max(0.0, float(ones) - 1.0) if "mult" in expr.variables() else 0.0)
    per_bit = {"+": FULL_ADDER, "-": FULL_ADDER, "?:": 1, "<": 1, ">": 1, "<=": 1, ">=": 1}.get(expr.kind, 1)
    return inner + per_bit * width


def _count_cost(op: Operation) -> Cost:
    assert op.result is not None
    x, w = op.operands
    width = lane_bits(op.result.type)
    if w.op is None or w.op.name != "sc.sng" or not _is_constant(w.op.operands[0]):
        lanes = op.result.type.lanes * x.type.lanes
        return Cost(gates=lanes * (1 + FULL_ADDER), products=lanes)
    product, streams = product_of(op), constant_streams(w.op)
    gates, products = 0.0, 0
    for j in range(op.result.type.lanes):
        each = neuron(product, streams, j)
        used = [group for group in each.groups.values() if group]
        gates += sum(popcount_gates(len(group)) + sum(_bit_gates(expr) for expr, _, _ in group) for group in used)
        gates += FULL_ADDER * width * max(0, len(used) + bool(each.constant) - 1)
        products += sum(len(group) for group in used)
    return Cost(gates=gates, products=products)


def _bit_gates(expr: Expr) -> float:
    if expr.kind in ("var", "const"):
        return 0.0
    return sum(_bit_gates(a) for a in expr.args) + (0.0 if expr.kind == "~" else 1.0)


def _fsm_cost(op: Operation) -> Cost:
    definition = REGISTRY[op.name]
    fsm = definition.cell
    assert isinstance(fsm, Fsm) and op.result is not None
    parameters = definition.parameters(op)
    width = signed_width(int(np.min(fsm.lowest.evaluate(parameters))), int(np.max(fsm.highest.evaluate(parameters))))
    inner = max(width, lane_bits(op.operands[0].type))
    lanes = op.result.type.lanes
    gates = _expression_gates(fsm.step, inner, op) + _expression_gates(fsm.next, inner, op) + 2 * width
    registers = width + (1 if fsm.out is not None and "step" in fsm.out.variables() else 0)
    return Cost(gates=lanes * gates, flipflops=lanes * registers)


def _multiply_add_cost(op: Operation) -> Cost:
    """Constant multipliers and their sums, and a register.

    Each nonzero digit of a weight adds a number once: a multiplier takes one adder less than its weight has digits, the sum of the
    products the rest. As a carry-save tree over all bits, that is a full adder for each bit that does not come out again.
    """
    x = op.operands[0].type
    assert op.result is not None and isinstance(x, Level)
    weights, width, signed = dot_weights(op), lane_bits(op.result.type), x.encoding is Encoding.SIGNED
    # The bias adds as many bits to each output as come out of it.
    bits = np.abs(signed_digits(weights)).sum(axis=(0, 2), dtype=np.int64) * (x.bits + signed)
    gates = FULL_ADDER * float(bits.sum()) + (2 * x.bits * x.lanes if signed else 0)
    return Cost(gates=gates, flipflops=op.result.type.lanes * width, products=int(np.count_nonzero(weights)))


def _memory_cost(op: Operation) -> Cost:
    """A table with sorted entries: about one gate per output bit for each change of it along the table."""
    assert op.result is not None
    table = np.asarray(op.attributes["table"])
    bits = (np.abs(table)[:, None] >> np.arange(lane_bits(op.result.type))) & 1
    changes = float(np.abs(np.diff(bits, axis=0)).sum())
    return Cost(gates=op.result.type.lanes * changes)


def _arbiter_cost(op: Operation) -> Cost:
    total = op.operands[0].type
    return Cost(gates=(total.lanes - 1) * lane_bits(total) * (COMPARE + 1))


_COSTS: dict[type, Callable[[Operation], Cost]] = {
    SourceCell: _source_cost,
    Comb: _comb_cost,
    CountCell: _count_cost,
    MultiplyAdd: _multiply_add_cost,
    Fsm: _fsm_cost,
    Memory: _memory_cost,
    Arbiter: _arbiter_cost,
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
        control = Cost(gates=counter * 5.0 + 10, flipflops=counter + 3)
        total = sum((op_cost(op) for op in ops), control)
        origin = next((op.origin for op in ops if op.origin), "")
        rows.append(LayerCost(name, origin, _encodings(ops), _style(ops), _sources(ops), timing.length, total))
    return rows, plan.latency


def _encodings(ops: list[Operation]) -> str:
    for op in ops:
        if op.name == "sc.dot":
            return " x ".join(v.type.encoding.value for v in op.operands if isinstance(v.type, Stream))
    return ""


def _style(ops: list[Operation]) -> str:
    names = {op.name for op in ops}
    fsm = names & {"sc.btanh", "sc.sigmoid", "sc.relu"}
    return f"streaming ({next(iter(fsm)).removeprefix('sc.')})" if fsm else "accumulate"


def _sources(ops: list[Operation]) -> str:
    kinds = [str(op.attributes["kind"]) for op in ops if op.name == "sc.source"]
    masked = any(op.name == "sc.mask" for op in ops)
    return ", ".join(dict.fromkeys(kinds)) + (" + masks" if masked else "")
