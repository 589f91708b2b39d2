"""The bill of folded hardware: an engine's multipliers, how much of the time they work, its memories, gates and flip-flops.

Gates follow the structure of the engines: a comparator for each level that is turned into a stream, a gate and a full adder for
each product, an accumulator and a rescaling multiplier for each total that is summed at once. Memory bits are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from sccc.cost import Cost
from sccc.dataflow import Dataflow, dataflow
from sccc.dataflow_timing import timing
from sccc.engines import AddEngine, Engine, PoolEngine, ProductEngine, constant_of
from sccc.gates import COMPARE, FULL_ADDER, HALF_ADDER, adder_gates
from sccc.ir import Module
from sccc.ops.fixed import number_range
from sccc.types import Level, Stream, Total, lane_width

CONTROL = Cost(gates=150, flipflops=40)
"""Counters of an engine's position, taps and blocks, and the handshakes of its links."""


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
        CONTROL + (_product_cost(engine) if isinstance(engine, ProductEngine) else _other_cost(engine)),
    )


def _product_cost(engine: ProductEngine) -> Cost:
    f, x = engine.folding, engine.inputs[0].value.type
    w, totals = constant_of(engine.op).type, engine.totals.type if engine.totals else None
    assert isinstance(x, Level) and isinstance(w, Level) and isinstance(totals, Total)
    width = lane_width(totals)
    # Levels are held twice: those that are multiplied, and those of the next step on their way.
    held = Cost(flipflops=2 * f.slots * lane_width(x) + f.results * width)
    if isinstance(engine.op.operands[0].type, Stream):
        comparators = COMPARE * (f.slots * x.bits + f.multipliers * w.bits)
        products = f.multipliers * (2 + FULL_ADDER)
        multiplied = Cost(gates=comparators + products, sngs=f.slots + f.multipliers, sources=2, products=f.multipliers)
    else:
        top = number_range(x)[1].bit_length()
        multiplied = Cost(gates=f.multipliers * (FULL_ADDER + 1) * top * (w.bits + 1), products=f.multipliers)
    return held + multiplied + Cost(gates=f.results * adder_gates(width)) + _tail_cost(engine, width)


def _tail_cost(engine: Engine, width: int) -> Cost:
    """Rescaling and the level: a shift-and-add multiplier of 8 bits for the total that leaves at a time."""
    return Cost(gates=8 * adder_gates(width) + HALF_ADDER * width, flipflops=width) if engine.tail else Cost()


def _other_cost(engine: Engine) -> Cost:
    width = lane_width(engine.output.value.type)
    lanes = engine.output.beat
    if isinstance(engine, PoolEngine | AddEngine):
        return Cost(gates=lanes * 2 * adder_gates(width), flipflops=lanes * width) + _tail_cost(engine, width)
    return Cost(gates=lanes * width, flipflops=lanes * width)
