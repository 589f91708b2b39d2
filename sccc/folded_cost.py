"""The bill of folded hardware: an engine's multipliers, how much of the time they work, its memories, gates and flip-flops.

Gates follow the structure of the engines, module by module (`sccc.folded_gates`). What is at an engine's output, a fork or the
register of the result, counts with it. Memory bits are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from sccc import folded_gates as parts
from sccc.cells import Comb
from sccc.cost import Cost, op_cost
from sccc.dataflow import Dataflow, dataflow
from sccc.dataflow_timing import timing
from sccc.engines import AddEngine, Engine, LayoutEngine, PoolEngine, ProductEngine, constant_of
from sccc.expr import Expr
from sccc.gates import COMPARE, FULL_ADDER
from sccc.ir import Module
from sccc.neurons import root_source
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import product_of
from sccc.ops.fixed import number_range
from sccc.types import Level, Stream, Total, lane_width


@dataclass(frozen=True)
class EngineCost:
    """One engine's row in the bill. `cycles` per sample when it never waits, `working`: of these, those in which it multiplies.

    `utilisation`: the share of the slowest engine's cycles in which this one works.
    """

    name: str
    origin: str
    kind: str
    multipliers: int
    cycles: int
    working: int
    utilisation: float
    memory_bits: int
    cost: Cost


@dataclass(frozen=True)
class FoldedBill:
    """All engines; cycles from a start until the result, and from one result to the next."""

    engines: tuple[EngineCost, ...]
    latency: int
    interval: int

    @property
    def total(self) -> Cost:
        return sum((engine.cost for engine in self.engines), Cost())


def folded_bill(module: Module) -> FoldedBill:
    """The bill of a module whose sums of products are folded. Raises SccError when they cannot be."""
    flow = dataflow(module)
    times = timing(flow)
    rows = [_row(flow, engine) for engine in flow.engines]
    return FoldedBill(tuple(rows), times.latency, times.interval)


def _row(flow: Dataflow, engine: Engine) -> EngineCost:
    folding = engine.folding if isinstance(engine, ProductEngine) else None
    working = folding.working if folding else engine.cycles
    return EngineCost(
        engine.name,
        engine.origin,
        type(engine).__name__.removesuffix("Engine").lower(),
        folding.multipliers if folding else 0,
        engine.cycles,
        working,
        working / max(flow.slowest.cycles, 1),
        sum(engine.memory_bits.values()),
        _engine_cost(engine) + _output_cost(flow, engine),
    )


def _engine_cost(engine: Engine) -> Cost:
    if isinstance(engine, ProductEngine):
        return _product_cost(engine)
    if isinstance(engine, PoolEngine):
        kind, beat = engine.op.operands[0].type, engine.output.beat
        read = parts.line_buffer(engine.buffer, engine.walk, kind)
        return read + parts.numbers(kind, beat) + parts.fold_step(engine.op, beat) + _tail_cost(engine)
    if isinstance(engine, AddEngine):
        return _add_cost(engine)
    assert isinstance(engine, LayoutEngine)
    return _layout_cost(engine)


def _product_cost(engine: ProductEngine) -> Cost:
    f, x = engine.folding, engine.inputs[0].value.type
    totals = engine.totals.type if engine.totals else None
    assert isinstance(x, Level) and isinstance(totals, Total)
    width = lane_width(totals)
    cost = parts.line_buffer(f.buffer, f.walk, x) + parts.taps(f.walk.step_words, f.word * lane_width(x))
    cost += parts.control(f.length, f.tap_blocks, f.uses) + parts.counter(f.windows)
    cost += _stream_cost(engine) if isinstance(engine.op.operands[0].type, Stream) else _number_cost(engine)
    cost += parts.accumulators(f.results, width) + parts.results(f.results, width, engine.output.beat)
    cost += parts.counter(f.sending_blocks)
    if engine.initial.size > 1:
        cost += parts.counter(engine.initial.size // f.results)
    return cost + _tail_cost(engine)


def _stream_cost(engine: ProductEngine) -> Cost:
    """SNGs, products and counts."""
    f, x, w = engine.folding, engine.inputs[0].value.type, constant_of(engine.op).type
    assert isinstance(x, Level) and isinstance(w, Level)
    comparators = COMPARE * (f.slots * x.bits + f.multipliers * w.bits)
    product = product_of(engine.op)
    negative = bool(product.neg.variables())
    counted = parts.counts(f.results, f.taps, negative, gates_of(product.bit) + gates_of(product.neg))
    sources = (root_source(v.op.operands[1]) for v in engine.op.operands if v.op is not None)
    made = Cost(gates=comparators, sngs=f.slots + f.multipliers, products=f.multipliers)
    return sum((op_cost(source) for source in sources), counted + made)


def gates_of(expr: Expr) -> int:
    """Two-input gates of an expression of single bits; inverters become part of other gates."""
    inner = sum(gates_of(arg) for arg in expr.args if isinstance(arg, Expr))
    return inner + (expr.kind not in ("var", "const", "~"))


def _number_cost(engine: ProductEngine) -> Cost:
    """Multipliers of numbers, and their sums."""
    f, x, w = engine.folding, engine.inputs[0].value.type, constant_of(engine.op).type
    assert isinstance(x, Level) and isinstance(w, Level)
    top = number_range(x)[1].bit_length() + 1
    product = parts.multiplier(top, w.bits + 1)
    added = FULL_ADDER * (top + w.bits + (f.taps - 1).bit_length())
    return Cost(gates=f.multipliers * (product + added), products=f.multipliers)


def _add_cost(engine: AddEngine) -> Cost:
    cost, lanes = Cost(), engine.output.beat
    for depth, link in zip(engine.depths, engine.inputs, strict=True):
        cost += parts.fifo(depth, link.beat * lane_width(link.value.type)) + parts.numbers(link.value.type, lanes)
    cell = REGISTRY[engine.op.name].cell
    assert isinstance(cell, Comb)
    return cost + parts.integer_op(engine.op, cell, lanes) + _tail_cost(engine)


def _layout_cost(engine: LayoutEngine) -> Cost:
    """Addresses of what is stored and of the order, and the choice of what is sent."""
    width = engine.output.beat * lane_width(engine.output.value.type)
    cost = parts.counter(engine.output.beats) + parts.stage(width)
    entry = sum(link.beats for link in engine.inputs).bit_length()
    for link in engine.inputs:
        cost += parts.counter(link.beats) + Cost(gates=width + 3 * FULL_ADDER * entry)
    return cost + Cost(flipflops=entry + 3)


def _tail_cost(engine: Engine) -> Cost:
    """What happens to the totals that leave at a time, and the register behind."""
    lanes = engine.output.beat
    cost = sum((parts.tail_op(op, lanes) for op in engine.tail), Cost())
    return cost + parts.stage(lanes * lane_width(engine.output.value.type))


def _output_cost(flow: Dataflow, engine: Engine) -> Cost:
    """What takes the output: a fork, and the register in which the result is gathered."""
    link = engine.output
    cost = parts.fork(len(flow.readers(link)))
    if flow.sink.link is link:
        cost += parts.collect(link.beats, link.beat * lane_width(link.value.type))
        cost += op_cost(flow.argmax) if flow.argmax is not None else Cost()
    return cost
