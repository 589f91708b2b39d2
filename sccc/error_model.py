"""Predicted error of a layer's total: bias and variance of a dot product's count over a window, for any choice of sources.

All figures are in counts: the total is the sum over N cycles of what the lanes add, and its error is that sum minus
N * (w . x) for the levels that the SNGs are given (rounding of levels is not part of it). Three cases (shared/notes/sc-facts.md,
sections 3 and 8):

* Exact. Where a lane's two sources are fixed, its error is a table D[lx, lw] of the two levels (`joint.product_deviation`), one
  table per distinct pair of sources and masks; the layer's is the sum over lanes. Nothing is assumed.
* Ensemble. Where there are too many different pairs for a table each (a source for every SNG), lanes are taken as independent and
  each adds the mean square of D over a sample of the pairs. What a single source shared by one side still does to all lanes alike,
  (A[lx] - N lx / 2**b) lw / 2**b, is added up coherently; it is 0 over full periods.
* Independent bits. A state machine's stream is modelled as bits that are independent in time and of the weights: a lane adds
  B p (1-p) (v11 - v01)**2 + (N - B) p (1-p) (v10 - v00)**2, with B the ones of the weight's stream and v what a lane adds.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.cells import GroupCell
from sccc.correlation import Randomness, generator_of, lanes_of
from sccc.diagnostics import InternalError
from sccc.evaluate import evaluate
from sccc.group_error import group_totals
from sccc.ir import Module, Operation, Value
from sccc.joint import (
    contribution,
    ideal_product,
    joint_counts,
    level_index,
    product_deviation,
    summed_product,
    table_bits,
)
from sccc.ops import REGISTRY
from sccc.ops.adders import ADDERS
from sccc.ops.arithmetic import PRODUCTS, constant_levels
from sccc.types import Encoding, Level, Stream

EXACT_ENTRIES = 1 << 25
"""Entries of all tables of a layer together up to which it is computed exactly; beyond, by a sample of its pairs."""

EXACT_PAIRS = 4096
"""Distinct pairs of sources up to which a layer is computed exactly."""

SAMPLED_ENTRIES, SAMPLED_PAIRS = 1 << 26, 1024
"""Pairs of sources whose tables are averaged for an ensemble, and what their tables may hold together: a few pairs of neighbouring
LFSR phases make most of the error, so that 128 pairs of 65,536 are too few (off by 28 %, measured)."""


@dataclass(frozen=True)
class LayerError:
    """Error of a layer's total, in counts. bias, variance: [outputs], over the samples."""

    bias: np.ndarray
    variance: np.ndarray

    @property
    def rms(self) -> float:
        """Root mean square error over samples and outputs."""
        return float(np.sqrt(np.mean(self.bias**2 + self.variance)))

    @property
    def residual(self) -> float:
        """What is left of it when each output's bias has been folded into its start value (pass correct-bias)."""
        return float(np.sqrt(np.mean(self.variance)))


@dataclass(frozen=True)
class Assignment:
    """Sources of a dot's two operands: object arrays of `Randomness` that broadcast to [n] and [m, n].

    x is None where it is a state machine's stream (independent bits).
    """

    x: np.ndarray | None
    w: np.ndarray

    @staticmethod
    def of(dot: Operation) -> Assignment:
        """What a dot's streams have now."""
        x, w = (_randomness(v) for v in dot.operands[:2])
        if w is None:
            raise InternalError(f"{dot.operands[1]} is not made by an SNG")
        return Assignment(x, w)


def _randomness(stream: Value) -> np.ndarray | None:
    maker = generator_of(stream)
    if maker is None:
        return None
    random = maker.operands[1]
    lanes = np.empty(random.type.lanes, dtype=object)
    lanes[:] = lanes_of(random)
    return lanes.reshape(random.type.shape)


@dataclass(frozen=True)
class _Layer:
    """What predictions need to know of a dot. x: levels [samples, n] (encoded numbers for independent bits), w: levels [m, n]."""

    x: np.ndarray
    w: np.ndarray
    x_encoding: Encoding
    w_encoding: Encoding
    bits: int
    length: int


def _layer(dot: Operation, x_levels: np.ndarray) -> _Layer:
    x, w = dot.operands[:2]
    levels, maker = constant_levels(w), generator_of(w)
    if levels is None or maker is None:
        raise InternalError("the error model knows constant weights only")
    assert isinstance(x.type, Stream) and isinstance(w.type, Stream)
    level = maker.operands[0].type
    assert isinstance(level, Level)
    x_levels = np.asarray(x_levels).reshape(len(x_levels), -1)
    return _Layer(x_levels, levels, x.type.encoding, w.type.encoding, level.bits, x.type.length)


def layer_error(dot: Operation, x_levels: np.ndarray, assignment: Assignment | None = None) -> LayerError:
    """Predicted error of an sc.dot's total over the window, in counts, on samples of its input.

    x_levels: what x's SNGs are given, integers [samples, n]; where x is a state machine's stream, its encoded numbers.
    `assignment`: sources to predict for, which need not be those that the module has.
    """
    assignment = assignment or Assignment.of(dot)
    layer = _layer(dot, x_levels)
    if assignment.x is None:
        return _independent_bits(layer, assignment.w)
    if isinstance(REGISTRY[dot.name].cell, GroupCell):
        return _behind_adders(dot, layer, assignment.x, assignment.w)
    m, n = layer.w.shape
    x, w = np.broadcast_to(assignment.x, (n,)), assignment.w
    per_input = w.ndim < 2 or w.shape[0] == 1
    if per_input:
        row = np.broadcast_to(w, (1, n))[0]
        pairs: dict[tuple[Randomness, Randomness], list[int]] = {}
        for lane, pair in enumerate(zip(x, row, strict=True)):
            pairs.setdefault(pair, []).append(lane)
        if len(pairs) << 2 * table_bits(layer.bits) <= EXACT_ENTRIES:
            error = np.zeros((len(layer.x), m))
            for pair, lanes in pairs.items():
                error += _summed(_deviation(layer, *pair), layer, lanes)
            return _over_samples(error)
    w = np.broadcast_to(w, (m, n))
    if m * n <= EXACT_PAIRS and (m * n) << 2 * table_bits(layer.bits) <= EXACT_ENTRIES:
        return _over_samples(_every_product(layer, x, w))
    return _ensemble(layer, x, w)


def _behind_adders(dot: Operation, layer: _Layer, x: np.ndarray, w: np.ndarray) -> LayerError:
    """Of OR and MUX adders: what the bits add up to, less what the products stand for."""
    totals = group_totals(dot, layer.x, layer.w, (x, w), layer.length)
    numbers = layer.x_encoding.decode(layer.x, layer.bits) @ layer.w_encoding.decode(layer.w, layer.bits).T
    return _over_samples(totals - layer.length * numbers)


def _over_samples(error: np.ndarray) -> LayerError:
    """error: [samples, outputs]."""
    return LayerError(error.mean(axis=0), error.var(axis=0))


def _deviation(layer: _Layer, a: Randomness, b: Randomness) -> np.ndarray:
    return product_deviation(a, b, layer.bits, layer.length, layer.x_encoding, layer.w_encoding)


def _summed(table: np.ndarray, layer: _Layer, lanes: Any = None) -> np.ndarray:
    """Sum over lanes of table[x level, w level]: [samples, outputs]."""
    rows = level_index(layer.x, layer.x_encoding, layer.bits)
    columns = level_index(layer.w, layer.w_encoding, layer.bits)
    total = np.zeros((len(rows), len(columns)))
    for lane in range(rows.shape[1]) if lanes is None else lanes:
        total += table[:, columns[:, lane]][rows[:, lane]]
    return total


def _every_product(layer: _Layer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Small layers with a source for every SNG: one table for each product. [samples, outputs]."""
    rows = level_index(layer.x, layer.x_encoding, layer.bits)
    columns = level_index(layer.w, layer.w_encoding, layer.bits)
    total = np.zeros((len(rows), len(w)))
    for j, i in itertools.product(range(len(w)), range(len(x))):
        total[:, j] += _deviation(layer, x[i], w[j, i])[rows[:, i], columns[j, i]]
    return total


def _ensemble(layer: _Layer, x: np.ndarray, w: np.ndarray) -> LayerError:
    """Lanes as independent draws from the layer's pairs of sources."""
    rng = np.random.default_rng(0)
    count = min(SAMPLED_PAIRS, max(64, SAMPLED_ENTRIES >> 2 * table_bits(layer.bits)))
    chosen = rng.choice(w.size, min(count, w.size), replace=False)
    coherent = np.zeros(1)
    x_shared, w_shared = len(set(x)) == 1, len(set(w.ravel())) == 1
    if x_shared or w_shared:
        coherent = _coherent(layer, x[0], w[0, 0], x_shared)
    square = np.zeros(1)
    for number in chosen.tolist():
        j, i = divmod(number, w.shape[1])
        square = square + (_deviation(layer, x[i], w[j, i]) - coherent) ** 2 / len(chosen)
    error = _summed(coherent, layer) if coherent.ndim == 2 else np.zeros((len(layer.x), len(w)))
    own = _summed(square, layer)
    return LayerError(error.mean(axis=0), error.var(axis=0) + own.mean(axis=0))


def _coherent(layer: _Layer, a: Randomness, b: Randomness, x_shared: bool) -> np.ndarray:
    """Mean of a product's error over the sources of one side, with the other side's source fixed; see the module's docstring."""
    counts = joint_counts(a, b, layer.bits, layer.length, table_bits(layer.bits))
    fraction = np.linspace(0.0, 1.0, len(counts))
    both = np.outer(counts[:, -1], fraction) if x_shared else np.outer(fraction, counts[-1, :])
    x, w = layer.x_encoding, layer.w_encoding
    return summed_product(both, layer.length, x, w) - ideal_product(layer.length, layer.bits, x, w)


def _independent_bits(layer: _Layer, w_lanes: np.ndarray) -> LayerError:
    """x's bits independent in time and of w's; w's streams as they are. x: encoded numbers [samples, n]."""
    if layer.x_encoding is Encoding.SIGNED:
        raise InternalError("no state machine makes signed streams")
    product = PRODUCTS[layer.x_encoding, layer.w_encoding]
    ones = _ones(layer, w_lanes)
    p = (layer.x + 1.0) / 2.0 if layer.x_encoding is Encoding.BIPOLAR else layer.x
    negative = layer.w < 0
    v = {
        (i, k): np.where(negative, *(contribution(product, i, k, 0, ws) for ws in (1, 0)))
        for i in (0, 1)
        for k in (0, 1)
    }
    zeros = layer.length - ones
    # Mean over x's bits of the sum, for x = 1 and x = 0 in every cycle; it is linear in p.
    if_one, if_zero = ones * v[1, 1] + zeros * v[1, 0], ones * v[0, 1] + zeros * v[0, 0]
    numbers = layer.w_encoding.decode(layer.w, layer.bits)
    error = p @ if_one.T + (1.0 - p) @ if_zero.T - layer.length * (layer.x @ numbers.T)
    spread = ones * (v[1, 1] - v[0, 1]) ** 2 + zeros * (v[1, 0] - v[0, 0]) ** 2
    variance = (p * (1.0 - p)) @ spread.T
    return LayerError(error.mean(axis=0), error.var(axis=0) + variance.mean(axis=0))


def _ones(layer: _Layer, lanes: np.ndarray) -> np.ndarray:
    """Ones in a window of every weight's stream, [m, n]: exact, or N |level| / 2**bits where lanes have too many sources."""
    magnitude = np.abs(layer.w)
    distinct = dict.fromkeys(lanes.ravel())
    if len(distinct) > EXACT_PAIRS:
        return layer.length * magnitude / (1 << layer.bits)
    ones = np.empty(layer.w.shape)
    spread = np.broadcast_to(lanes, layer.w.shape)
    number = {each: k for k, each in enumerate(distinct)}
    which = np.array([number[each] for each in lanes.ravel()]).reshape(lanes.shape)
    which = np.broadcast_to(which, spread.shape)
    for each, k in number.items():
        below = np.bincount(each.sequence(layer.length), minlength=1 << layer.bits).cumsum()
        ones[which == k] = np.concatenate([[0], below])[magnitude[which == k]]
    return ones


def ideal_levels(module: Module, x: np.ndarray) -> dict[Operation, np.ndarray]:
    """What each sc.dot's x operand is given on inputs x [samples, ...] (real units), by the ideal evaluator.

    Levels, int64 [samples, n], where SNGs make the streams; encoded numbers, float, where state machines do.
    """
    seen: dict[Value, np.ndarray] = {}

    def watch(op: Operation, value: np.ndarray) -> None:
        if op.result is not None and isinstance(op.result.type, Stream):
            seen[op.result] = value

    (source,) = module.inputs
    assert source.result is not None
    evaluate(module, x.reshape(len(x), *source.result.type.shape), watch)
    levels = {}
    for dot in module.ops_named("sc.dot", *ADDERS.values()):
        stream = dot.operands[0]
        numbers, maker = seen[stream], generator_of(stream)
        if maker is not None:
            kind = maker.operands[0].type
            assert isinstance(kind, Level)
            numbers = kind.encoding.encode(numbers, kind.bits)
        levels[dot] = numbers
    return levels


def signal_deviation(dot: Operation, x_levels: np.ndarray) -> float:
    """Standard deviation over the samples of a layer's ideal total, in counts, RMS over its outputs."""
    layer = _layer(dot, x_levels)
    x = layer.x if generator_of(dot.operands[0]) is None else layer.x_encoding.decode(layer.x, layer.bits)
    totals = layer.length * (x @ layer.w_encoding.decode(layer.w, layer.bits).T)
    return float(np.sqrt(totals.var(axis=0).mean()))
