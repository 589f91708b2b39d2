"""What a layer is given on data, as the error model reads it: levels at some positions, the weights' levels, where lanes meet.

A dense layer has one position. Of convolutions some positions are judged, drawn at random, and of large layers some samples: an RMS
over a thousand sums of each output is good to a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sccc.cells import GroupCell
from sccc.correlation import generator_of
from sccc.diagnostics import InternalError
from sccc.evaluate import evaluate
from sccc.ir import Module, Operation, Value
from sccc.joint import level_index
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS, constant_levels
from sccc.ops.geometry import NOTHING, Geometry, geometry_of
from sccc.types import Encoding, Level, Stream

JUDGED_POSITIONS = 32
"""Positions of a convolution that are looked at."""

JUDGED_PRODUCTS = 1 << 24
"""Products that are looked at, all samples and positions together: larger layers see fewer samples, but LEAST_SAMPLES."""

LEAST_SAMPLES = 8

EVALUATED_NUMBERS = 1 << 26
"""Numbers that the ideal evaluator may hold: large networks are judged on fewer samples."""


@dataclass(frozen=True)
class JudgedLayer:
    """A product sum on data.

    x: levels (encoded numbers, where a state machine makes the stream) [samples, positions, groups, taps], anything in padding;
    lanes: of x, [positions, groups, taps], NOTHING in padding; w: levels [groups, outputs, taps].
    """

    geometry: Geometry
    x: np.ndarray
    lanes: np.ndarray
    w: np.ndarray
    w_shape: tuple[int, ...]
    x_encoding: Encoding
    w_encoding: Encoding
    bits: int
    length: int
    adder: Operation | None = None
    """The op itself, where OR or MUX adders join lanes."""

    @property
    def totals(self) -> tuple[int, int, int, int]:
        """The shape of what is summed: samples, positions, groups, outputs of a group."""
        return (*self.x.shape[:2], *self.w.shape[:2])

    @cached_property
    def rows(self) -> np.ndarray:
        """The row of each x in a table over levels (`joint.level_index`)."""
        return level_index(self.x, self.x_encoding, self.bits).astype(np.int32)

    @cached_property
    def columns(self) -> np.ndarray:
        """The column of each weight, [groups, taps, outputs]."""
        columns = level_index(self.w, self.w_encoding, self.bits).astype(np.int32)
        return np.ascontiguousarray(columns.transpose(0, 2, 1))

    def summed(self, table: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """The sum over taps of table[x level, w level]: [samples, positions, groups, outputs].

        `where`: only at these positions, groups and taps, bool [positions, groups, taps].
        """
        from sccc.table_sums import add_entries

        total = np.zeros(self.totals)
        taps = np.argwhere(self.lanes != NOTHING if where is None else where)
        add_entries(total, np.ascontiguousarray(table, dtype=np.float64), self.rows, self.columns, taps)
        return total

    def product(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """The sum over taps of x [samples, positions, groups, taps] * w [groups, outputs, taps]."""
        return np.einsum("spgt,got->spgo", x, w, optimize=True)


def judged_lanes(dot: Operation) -> np.ndarray:
    """The lane of x at each tap of the positions that are judged: [positions, groups, taps], NOTHING in padding."""
    lanes = geometry_of(dot).lanes()
    if len(lanes) <= JUDGED_POSITIONS:
        return lanes
    return lanes[np.sort(np.random.default_rng(0).choice(len(lanes), JUDGED_POSITIONS, replace=False))]


def judged_layer(dot: Operation, x_levels: np.ndarray) -> JudgedLayer:
    """An sc.dot or sc.conv on levels [samples, *x shape] (encoded numbers, where a state machine makes x)."""
    x, w = dot.operands[:2]
    levels, maker = constant_levels(w), generator_of(w)
    if levels is None or maker is None:
        raise InternalError("the error model knows constant weights only")
    assert isinstance(x.type, Stream) and isinstance(w.type, Stream)
    level = maker.operands[0].type
    assert isinstance(level, Level)
    geometry, lanes = geometry_of(dot), judged_lanes(dot)
    work = lanes.size * geometry.outputs
    x_levels = np.asarray(x_levels)[: max(LEAST_SAMPLES, JUDGED_PRODUCTS // work)]
    at_taps = x_levels.reshape(len(x_levels), -1)[:, lanes]
    weights = geometry.weights(levels)
    kinds = x.type.encoding, w.type.encoding
    adder = dot if isinstance(REGISTRY[dot.name].cell, GroupCell) else None
    return JudgedLayer(geometry, at_taps, lanes, weights, w.type.shape, *kinds, level.bits, x.type.length, adder)


def evaluated_samples(module: Module) -> int:
    """Samples on which a network is evaluated at most."""
    return max(LEAST_SAMPLES, EVALUATED_NUMBERS // sum(value.type.lanes for value in module.values()))


def ideal_levels(module: Module, x: np.ndarray) -> dict[Operation, np.ndarray]:
    """What the x operand of each sc.dot and sc.conv is given on inputs x [samples, ...] (real units), by the ideal evaluator.

    Levels, int64 [samples, *shape], where SNGs make the streams; encoded numbers, float, where state machines do. Large networks
    are evaluated on the first of the samples only.
    """
    seen: dict[Value, np.ndarray] = {}
    dots = module.ops_named(*PRODUCT_SUMS)
    wanted = {dot.operands[0] for dot in dots}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result in wanted:
            seen[op.result] = value

    (source,) = module.inputs
    assert source.result is not None
    x = x[: evaluated_samples(module)]
    evaluate(module, x.reshape(len(x), *source.result.type.shape), watch)
    levels = {}
    for dot in dots:
        numbers, maker = seen[dot.operands[0]], generator_of(dot.operands[0])
        if maker is not None:
            kind = maker.operands[0].type
            assert isinstance(kind, Level)
            numbers = kind.encoding.encode(numbers, kind.bits)
        levels[dot] = numbers
    return levels


def ideal_totals(dot: Operation, x_levels: np.ndarray) -> np.ndarray:
    """The total over the window of an sc.dot or sc.conv if streams were exact, in counts: [samples, *result shape]."""
    x, w = dot.operands[:2]
    kind, maker, weights = x.type, generator_of(w), constant_levels(w)
    assert isinstance(kind, Stream) and isinstance(w.type, Stream) and maker is not None and weights is not None
    numbers = x_levels if generator_of(x) is None else kind.encoding.decode(x_levels, _bits(x))
    value = REGISTRY[dot.name].value
    assert value is not None
    return kind.length * value(dot, numbers, w.type.encoding.decode(weights, _bits(w))[None])


def _bits(stream: Value) -> int:
    maker = generator_of(stream)
    assert maker is not None and isinstance(maker.operands[0].type, Level)
    return maker.operands[0].type.bits


def signal_deviation(dot: Operation, x_levels: np.ndarray, units: np.ndarray | float = 1.0) -> float:
    """Standard deviation over samples and positions of a layer's ideal total, RMS over its outputs, in counts.

    `units`: what a count is, one number or one per output, for a deviation in these units.
    """
    return float(np.sqrt((output_variance(ideal_totals(dot, x_levels)) * np.square(units)).mean()))


def output_variance(values: np.ndarray) -> np.ndarray:
    """Variance over samples and, of images, positions: [samples, outputs, ...] -> [outputs]."""
    variance: np.ndarray = values.var(axis=(0, *range(2, values.ndim)))
    return variance
