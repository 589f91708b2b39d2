"""What a module's operations become: steps that are prepared once and run for every batch.

A step is chosen by the *kind of cell* of its operation, and evaluates the cell's own expressions; no operation is known
here by name. Values are whole numbers [samples, *lanes] in any order and width for levels and totals, int64 [samples, lanes,
cycles] for counts, a `StreamValue` for streams and `Numbers` for random numbers. What does not depend on the input is computed
while the steps are made, and has samples = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.backends.simulator import integers, reference
from sccc.backends.simulator.convolution import FixedConvolution
from sccc.backends.simulator.faults import disturbance, flipped_numbers, state_masks, state_width
from sccc.backends.simulator.flips import PRODUCT, STATE, FlipSource, W, X, flip_bits, wrapped
from sccc.backends.simulator.groups import group_counter
from sccc.backends.simulator.layouts import Scratch, whole_type
from sccc.backends.simulator.product_flips import ProductFlips
from sccc.backends.simulator.randoms import CombNumbers, SourceNumbers
from sccc.backends.simulator.streams import Generator, PlainStream, StreamValue, fresh_key, reference_bits
from sccc.cells import (
    Arbiter,
    Comb,
    CountCell,
    Fold,
    Fsm,
    Gather,
    GroupCell,
    Memory,
    MultiplyAdd,
    Race,
    SourceCell,
    Wire,
)
from sccc.diagnostics import InternalError, SccError
from sccc.expr import Expr, wrap
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import has_multiplier, product_of
from sccc.ops.fixed import dot_weights
from sccc.ops.geometry import geometry_of
from sccc.ops.images import pool_lanes
from sccc.ops.layout import gather
from sccc.ops.source import input_levels
from sccc.types import Count, Level, Random, Stream, Total, Type

Disturb = Callable[[int, np.ndarray], np.ndarray]
"""What flips do to the states after a cycle."""

INPUTS_PER_PIECE = 1 << 14
"""Real inputs that are converted to levels at a time."""


@dataclass
class Batch:
    """Samples `first` .. of the data on their way through the steps; `cycles`: how long the last window was, if that varies."""

    first: int
    inputs: np.ndarray
    scratch: Scratch
    values: dict[Value, Any] = field(default_factory=dict)
    cycles: np.ndarray | None = None

    @property
    def samples(self) -> int:
        return len(self.inputs)


@dataclass
class Step:
    """One operation (or several fused ones) for a batch; `memory` is what it holds, in bytes per sample."""

    op: Operation
    run: Callable[[Batch], Any]
    reads: list[Value]
    memory: float


class Builder:
    """Makes the steps of a module. `packed`: packed streams and compiled kernels (numba), or plain bits and numpy."""

    def __init__(self, module: Module, packed: bool, flips: FlipSource | None) -> None:
        self.module, self.packed, self.flips = module, packed, flips
        self.static: dict[Value, Any] = {}
        self.number = {op: i for i, op in enumerate(module.ops)}

    def step(self, op: Operation) -> Step:
        """The step of one operation. Raises SccError when it has no form in hardware."""
        cell = REGISTRY[op.name].cell
        if cell is None:
            raise SccError(
                f"{op.name} cannot be simulated as bit streams",
                op.place(),
                "compile the module first (map-activations)",
            )
        return Step(op, _MAKERS[type(cell)](self, op, cell), list(op.operands), memory_of(op, self.packed))

    def is_static(self, op: Operation) -> bool:
        return not op.name.endswith(".input") and all(v in self.static for v in op.operands)

    def value(self, batch: Batch, value: Value) -> Any:
        return self.static[value] if value in self.static else batch.values[value]


def _wire(builder: Builder, op: Operation, cell: Wire) -> Callable[[Batch], Any]:
    if op.operands:
        return lambda batch: builder.value(batch, op.operands[0])
    if "levels" in op.attributes:
        levels = np.asarray(op.attributes["levels"], dtype=np.int64)[None]
        return lambda batch: levels
    if not builder.packed:
        return lambda batch: _converted(op, batch.inputs)
    encoder = integers.Encoder(op)

    def run(batch: Batch) -> np.ndarray:
        levels, holds_nan = encoder.run(batch.inputs, batch.scratch)
        if holds_nan:
            raise _no_level(op)
        return levels

    return run


def _no_level(op: Operation) -> SccError:
    return SccError("the data holds nan, which no level stands for", op.place())


def _converted(op: Operation, inputs: np.ndarray) -> np.ndarray:
    """The levels of real inputs, a piece at a time: a piece's intermediate arrays stay in the cache."""
    height = max(1, INPUTS_PER_PIECE // max(1, inputs[0].size))
    pieces = []
    for i in range(0, len(inputs), height):
        piece = inputs[i : i + height]
        if np.isnan(piece).any():
            raise _no_level(op)
        pieces.append(input_levels(op, piece))
    return np.concatenate(pieces)


def sng_bit(op: Operation) -> Expr:
    """The bit that an SNG makes of its level and random number."""
    definition = REGISTRY[op.name]
    assert isinstance(definition.cell, Comb)
    return definition.cell.result.substitute({k: wrap(int(v)) for k, v in definition.parameters(op).items()})


def _comb(builder: Builder, op: Operation, cell: Comb) -> Callable[[Batch], Any]:
    kind = result_type(op)
    if isinstance(kind, Random):
        numbers = CombNumbers(op, cell, builder.static[op.operands[0]])
        return lambda batch: numbers
    if isinstance(kind, Stream):
        level, random = op.operands
        assert isinstance(level.type, Level)
        generator = Generator(sng_bit(op), level.type, kind, builder.static[random])
        make = generator.packed if builder.packed else generator.plain
        return lambda batch: make(builder.value(batch, level))
    if builder.packed and all(isinstance(v.type, Level | Total) for v in op.operands):
        definition = REGISTRY[op.name]
        ranges = dict(zip(definition.operands, (integers.range_of(v.type) for v in op.operands), strict=True))
        if builder.flips is not None:  # a flipped number may lie outside
            ranges = dict.fromkeys(ranges, integers.WIDE)
        made = integers.lanewise(cell.result, ranges, definition.parameters(op), kind.shape)
        return lambda batch: made([builder.value(batch, v) for v in op.operands], batch.scratch)
    return lambda batch: evaluate_comb(op, cell.result, [builder.value(batch, v) for v in op.operands])


def evaluate_comb(op: Operation, expression: Expr, operands: list[Any]) -> np.ndarray:
    """An expression over counts, totals and bits, and the op's attributes: int64 [samples, lanes (, cycles)].

    A stream operand `f` is read as its bits, and `f_sign` as its signs (0 when it has none).
    """
    kind, definition = result_type(op), REGISTRY[op.name]
    in_time = isinstance(kind, Count)
    env: dict[str, np.ndarray] = {}
    for name, value in definition.parameters(op).items():
        lanes = np.asarray(value, dtype=np.int64)
        env[name] = lanes[..., None] if in_time and lanes.ndim else lanes
    for name, value in zip(definition.operands, operands, strict=True):
        if isinstance(value, StreamValue):
            env[name] = value.bits().astype(np.int64)
            env[f"{name}_sign"] = np.zeros(1, np.int64) if value.signs is None else value.signs[..., None]
        else:
            env[name] = value.astype(np.int64, copy=False)
    return np.asarray(expression.evaluate(env), dtype=np.int64)


def _source(builder: Builder, op: Operation, cell: SourceCell) -> Callable[[Batch], Any]:
    numbers = SourceNumbers(op)
    return lambda batch: numbers


def _memory(builder: Builder, op: Operation, cell: Memory) -> Callable[[Batch], Any]:
    table = np.asarray(op.attributes["table"], dtype=np.int64)
    total = op.operands[0].type
    assert isinstance(total, Total)
    if builder.flips is not None:  # a flipped total may lie outside: the hardware then takes the last entry
        table, last = np.append(table, table[-1:]), len(table)

        def run(batch: Batch) -> np.ndarray:
            address = builder.value(batch, op.operands[0]).astype(np.int64) - total.lo
            return reference.select_from(table, 0, np.where((address < 0) | (address > last), last, address))

        return run
    if builder.packed:
        narrow, key = table.astype(whole_type(int(table.min()), int(table.max()))), fresh_key()
        return lambda batch: integers.look_up(
            narrow, total.lo, builder.value(batch, op.operands[0]), batch.scratch, key
        )
    return lambda batch: reference.select_from(table, total.lo, builder.value(batch, op.operands[0]))


def _race(builder: Builder, op: Operation, cell: Race) -> Callable[[Batch], Any]:
    parameters = REGISTRY[op.name].parameters(op)

    def run(batch: Batch) -> np.ndarray:
        counts, disturb = _disturbed(builder, op, batch)
        state, batch.cycles = reference.race(cell, counts, parameters, disturb)
        return state

    return run


def _arbiter(builder: Builder, op: Operation, cell: Arbiter) -> Callable[[Batch], Any]:
    return lambda batch: reference.first_largest(builder.value(batch, op.operands[0]))


def _count(builder: Builder, op: Operation, cell: CountCell) -> Callable[[Batch], Any]:
    product, geometry, flips = product_of(op), geometry_of(op), builder.flips
    number = builder.number[op]
    operands = flips is not None and flips.touches(number, X, W)
    products = product_flips(builder, op)

    def run(batch: Batch) -> np.ndarray:
        x, w = (builder.value(batch, v) for v in op.operands)
        if not operands and products is None:
            return reference.count(product, geometry, reference_bits(x), reference_bits(w))
        counts = []
        for s in range(batch.samples):
            sides = [sample_of(builder, op, side, stream, batch.first, s) for side, stream in enumerate((x, w))]
            counts.append(reference.count(product, geometry, *(reference_bits(side) for side in sides)))
            if products is not None:
                products.apply(counts[-1][0], sides[0], sides[1], 0, batch.first + s)
        return np.concatenate(counts)

    return run


def product_flips(builder: Builder, op: Operation) -> ProductFlips | None:
    """What flips the products of an operation; None where nothing may."""
    flips, number = builder.flips, builder.number[op]
    if flips is None or not flips.touches(number, PRODUCT):
        return None
    return ProductFlips(flips, op, number, builder.packed)


def sample_of(builder: Builder, op: Operation, side: int, stream: StreamValue, first: int, s: int) -> PlainStream:
    """Operand `side` of a dot product for sample s of the batch that starts at sample `first`, with its flips."""
    assert builder.flips is not None
    bits, signs = stream.sample(s)
    kind = stream.type
    drawn = builder.flips.draw(first + s, builder.number[op], side, kind.lanes, kind.length)
    flipped = flip_bits(bits, drawn)
    if side == W:  # a weight that has no hardware has no stream that could flip
        flipped[~has_multiplier(op).reshape(-1)] = bits[~has_multiplier(op).reshape(-1)]
    return PlainStream(kind, flipped.reshape(1, *kind.shape, kind.length), signs)


def _groups(builder: Builder, op: Operation, cell: GroupCell) -> Callable[[Batch], Any]:
    count = group_counter(op, builder.packed)

    def run(batch: Batch) -> np.ndarray:
        x, w, *select = (builder.value(batch, v) for v in op.operands)
        return count(x, w, select[0] if select else None)

    return run


def _multiply_add(builder: Builder, op: Operation, cell: MultiplyAdd) -> Callable[[Batch], Any]:
    kind, geometry = result_type(op), geometry_of(op)
    assert isinstance(kind, Total)
    initial = np.asarray(op.attributes["initial"], dtype=np.int64)
    least, most = kind.lo - int(initial.max()), kind.hi - int(initial.min())
    weights = [reference.exact_weights(part, least, most) for part in geometry.weights(dot_weights(op))]
    convolution = FixedConvolution(geometry, weights) if geometry.window is not None else None
    flips, number = builder.flips, builder.number[op]

    def run(batch: Batch) -> np.ndarray:
        numbers = builder.value(batch, op.operands[0])
        if flips is not None and flips.touches(number, X):
            numbers = flipped_numbers(flips, op, number, batch.first, numbers)
        if convolution is not None:
            totals = convolution.run(numbers) + initial
        else:
            totals = reference.multiply_add(numbers, weights[0], initial)
        if flips is not None and flips.touches(number, STATE):
            masks = state_masks(flips, op, number, batch.first, batch.samples, 1)[..., 0]
            totals = wrapped(totals ^ masks, state_width(op))
        return totals

    return run


def _fold(builder: Builder, op: Operation, cell: Fold) -> Callable[[Batch], Any]:
    taps, kind, key = pool_lanes(op), result_type(op), fresh_key()

    def run(batch: Batch) -> Any:
        x = builder.value(batch, op.operands[0])
        values = x.bits() if isinstance(x, StreamValue) else x
        lanes = values.reshape(len(values), op.operands[0].type.lanes, *values.shape[1 + len(kind.shape) :])
        if builder.packed and not isinstance(x, StreamValue):
            return integers.fold(cell.result, taps, lanes, whole_type(*integers.range_of(kind)), batch.scratch, key)
        made = reference.fold(cell.result, taps, lanes)
        return PlainStream(kind, made) if isinstance(kind, Stream) else made

    return run


def _gather(builder: Builder, op: Operation, cell: Gather) -> Callable[[Batch], Any]:
    index, kind, level = cell.index(op), result_type(op), op.attributes.get("level", 0)
    only_shape = len(op.operands) == 1 and np.array_equal(index.reshape(-1), np.arange(op.operands[0].type.lanes))

    def run(batch: Batch) -> Any:
        operands = tuple(builder.value(batch, v) for v in op.operands)
        if not isinstance(kind, Stream):
            x = operands[0]
            return x.reshape(len(x), *kind.shape) if only_shape else gather(index, operands, level)
        bits = [x.bits() for x in operands]
        flat = np.concatenate([b.reshape(len(b), -1, kind.length) for b in bits], axis=1)
        signs = None if operands[0].signs is None else gather(index, tuple(x.signs for x in operands))
        return PlainStream(kind, flat[:, index], signs)

    return run


def _fsm(builder: Builder, op: Operation, cell: Fsm) -> Callable[[Batch], Any]:
    parameters = REGISTRY[op.name].parameters(op)
    kind = result_type(op)

    def run(batch: Batch) -> Any:
        counts, disturb = _disturbed(builder, op, batch)
        bits, state = reference.run_fsm(cell, counts, parameters, disturb)
        return PlainStream(kind, bits) if isinstance(kind, Stream) else state

    return run


def _disturbed(builder: Builder, op: Operation, batch: Batch) -> tuple[np.ndarray, Disturb | None]:
    """The counts that a machine reads, and what flips do to its states, if any may."""
    counts, flips, number = builder.value(batch, op.operands[0]), builder.flips, builder.number[op]
    if flips is None or not flips.touches(number, STATE):
        return counts, None
    counts = np.broadcast_to(counts, (batch.samples, *counts.shape[1:]))
    masks = state_masks(flips, op, number, batch.first, batch.samples, counts.shape[-1])
    return counts, disturbance(masks, state_width(op))


def result_type(op: Operation) -> Type:
    """The type of the result. An op without one is a wire, of its operand's type."""
    return op.result.type if op.result is not None else op.operands[0].type


def memory_of(op: Operation, packed: bool) -> float:
    """About how many bytes per sample an operation's result and its making hold."""
    kind = result_type(op)
    if isinstance(kind, Stream):
        return kind.lanes * kind.length * (0.3 if packed and not isinstance(REGISTRY[op.name].cell, Fsm) else 2.0)
    if isinstance(kind, Count):
        x = op.operands[0].type
        made = 10.0 * x.lanes * kind.length if isinstance(x, Stream) else 0.0
        return made + 16.0 * kind.lanes * kind.length
    if isinstance(kind, Random):
        return 0.0
    if isinstance(REGISTRY[op.name].cell, MultiplyAdd):
        return 8.0 * op.operands[0].type.lanes + 24.0 * kind.lanes
    return 24.0 * kind.lanes


_MAKERS: dict[type, Callable[[Builder, Operation, Any], Callable[[Batch], Any]]] = {
    Wire: _wire,
    Gather: _gather,
    Fold: _fold,
    Comb: _comb,
    SourceCell: _source,
    Memory: _memory,
    Race: _race,
    Arbiter: _arbiter,
    CountCell: _count,
    GroupCell: _groups,
    MultiplyAdd: _multiply_add,
    Fsm: _fsm,
}


def check_runnable(module: Module) -> tuple[Operation, Operation]:
    """The input and the output of a module that can be simulated. Raises SccError."""
    for kind, ops in (("input", module.ops_named("sc.input")), ("output", module.ops_named("sc.output"))):
        if len(ops) != 1:
            raise SccError(f"module '{module.name}' has {len(ops)} sc.{kind} ops; simulation wants exactly one")
    if module.ops_named("sc.output")[0].operands[0].op is None:
        raise InternalError("the output reads a value that no operation defines")
    return module.ops_named("sc.input")[0], module.ops_named("sc.output")[0]
