"""Predicted error of a layer's total: bias and variance of a sum of products over a window, for any choice of sources.

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

A convolution is such a sum at each of its positions, and padding adds nothing to it; an output's bias and variance are over samples
and positions, as one start value per output is all that correct-bias may choose.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sccc.correlation import Randomness, generator_of, randomness_of
from sccc.diagnostics import InternalError
from sccc.group_error import group_totals
from sccc.ir import Operation
from sccc.joint import contribution, ideal_product, joint_counts, product_deviation, summed_product, table_bits
from sccc.judged_layer import JudgedLayer, judged_layer
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding

EXACT_ENTRIES = 1 << 25
"""Entries of all tables of a layer together up to which it is computed exactly; beyond, by a sample of its pairs."""

EXACT_PAIRS = 4096
"""Distinct pairs of sources up to which a layer is computed exactly."""

SAMPLED_ENTRIES, SAMPLED_PAIRS = 1 << 26, 1024
"""Pairs of sources whose tables are averaged for an ensemble, and what their tables may hold together: a few pairs of neighbouring
LFSR phases make most of the error, so that 128 pairs of 65,536 are too few (off by 28 %, measured)."""


@dataclass(frozen=True)
class LayerError:
    """Error of a layer's total, in counts. bias, variance: [outputs], over the samples and positions."""

    bias: np.ndarray
    variance: np.ndarray

    def in_units(self, units: np.ndarray | float) -> LayerError:
        """The same in units of which a count is so many, one number for all outputs or one per output."""
        return LayerError(self.bias * units, self.variance * np.square(units))

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
    """Sources of a product sum's two operands: object arrays of `Randomness` that broadcast to the operands' shapes.

    x is None where it is a state machine's stream (independent bits).
    """

    x: np.ndarray | None
    w: np.ndarray

    @staticmethod
    def of(dot: Operation) -> Assignment:
        """What a product sum's streams have now."""
        if generator_of(dot.operands[1]) is None:
            raise InternalError(f"{dot.operands[1]} is not made by an SNG")
        x = dot.operands[0]
        return Assignment(randomness_of(x) if generator_of(x) is not None else None, randomness_of(dot.operands[1]))


@dataclass(frozen=True)
class _Lanes:
    """The sources that meet in a layer, numbered. x: [positions, groups, taps], -1 in padding; w: [groups, outputs or 1, taps]."""

    sources: list[Randomness]
    x: np.ndarray
    w: np.ndarray

    @property
    def w_shared(self) -> bool:
        """Whether all outputs have the same."""
        return self.w.shape[1] == 1

    def pair(self, code: int) -> tuple[Randomness, Randomness]:
        """Of a code x * len(sources) + w."""
        return self.sources[code // len(self.sources)], self.sources[code % len(self.sources)]

    def codes(self) -> np.ndarray:
        """The pair of sources at each tap, where all outputs have the same: [positions, groups, taps], -1 in padding."""
        return np.where(self.x >= 0, self.x * len(self.sources) + self.w[:, 0], -1)


def _lanes(layer: JudgedLayer, x: np.ndarray, w: np.ndarray) -> _Lanes:
    number: dict[Randomness, int] = {}
    x_numbers, w_numbers = (
        np.array([number.setdefault(each, len(number)) for each in side.ravel()]).reshape(side.shape) for side in (x, w)
    )
    of_lane = np.broadcast_to(x_numbers, layer.geometry.x_shape).ravel()
    at_tap = np.where(layer.lanes >= 0, of_lane[layer.lanes], -1)
    shape = layer.w_shape
    if w.ndim < len(shape) or w.shape[0] == 1:  # one for all outputs
        taps = np.broadcast_to(w_numbers, (1, *shape[1:])).reshape(1, 1, -1)
        return _Lanes(list(number), at_tap, np.broadcast_to(taps, (len(layer.w), 1, taps.shape[-1])))
    return _Lanes(list(number), at_tap, layer.geometry.weights(np.broadcast_to(w_numbers, shape)))


def layer_error(dot: Operation, x_levels: np.ndarray, assignment: Assignment | None = None) -> LayerError:
    """Predicted error of an sc.dot's or sc.conv's total over the window, in counts, on samples of its input.

    x_levels: what x's SNGs are given, integers [samples, *x shape]; where x is a state machine's stream, its encoded numbers.
    `assignment`: sources to predict for, which need not be those that the module has. Large layers are judged on some of their
    positions and samples (`sccc.judged_layer`).
    """
    return predicted_error(judged_layer(dot, x_levels), assignment or Assignment.of(dot))


def predicted_error(layer: JudgedLayer, assignment: Assignment) -> LayerError:
    """The same for a layer that has been made ready: many assignments are judged on one."""
    if assignment.x is None:
        return _independent_bits(layer, assignment.w)
    if layer.adder is not None:
        return _behind_adders(layer, layer.adder, assignment.x, assignment.w)
    lanes = _lanes(layer, assignment.x, assignment.w)
    size = 2 * table_bits(layer.bits)
    if lanes.w_shared:
        codes = lanes.codes()
        pairs = np.unique(codes[codes >= 0])
        if len(pairs) << size <= EXACT_ENTRIES:
            error = np.zeros(layer.totals)
            for code in pairs.tolist():
                error += layer.summed(_deviation(layer, *lanes.pair(code)), None if len(pairs) == 1 else codes == code)
            return _over_samples(error)
    products = layer.lanes.size * layer.w.shape[1]
    if products <= EXACT_PAIRS and products << size <= EXACT_ENTRIES:
        return _over_samples(_every_product(layer, lanes))
    return _ensemble(layer, lanes)


def _behind_adders(layer: JudgedLayer, adder: Operation, x: np.ndarray, w: np.ndarray) -> LayerError:
    """Of OR and MUX adders, which are for dense layers: what the bits add up to, less what the products stand for."""
    totals = group_totals(adder, layer.x[:, 0, 0], layer.w[0], (x, w), layer.length)
    x_numbers = layer.x_encoding.decode(layer.x, layer.bits)
    ideal = layer.length * layer.product(x_numbers, layer.w_encoding.decode(layer.w, layer.bits))
    return _over_samples(totals[:, None, None] - ideal)


def _over_samples(error: np.ndarray, own: np.ndarray | float = 0.0) -> LayerError:
    """error: [samples, positions, groups, outputs]; `own`: a further variance, the same shape."""
    variance = error.var(axis=(0, 1)) + np.broadcast_to(own, error.shape).mean(axis=(0, 1))
    return LayerError(error.mean(axis=(0, 1)).ravel(), variance.ravel())


def _deviation(layer: JudgedLayer, a: Randomness, b: Randomness) -> np.ndarray:
    return product_deviation(a, b, layer.bits, layer.length, layer.x_encoding, layer.w_encoding)


def _every_product(layer: JudgedLayer, lanes: _Lanes) -> np.ndarray:
    """Small layers with a source for every SNG: one table for each product. [samples, positions, groups, outputs]."""
    total = np.zeros(layer.totals)
    w = np.broadcast_to(lanes.w, layer.w.shape)
    for p, g, t in np.argwhere(layer.lanes >= 0).tolist():
        for j in range(w.shape[1]):
            table = _deviation(layer, lanes.sources[lanes.x[p, g, t]], lanes.sources[w[g, j, t]])
            total[:, p, g, j] += table[layer.rows[:, p, g, t], layer.columns[g, t, j]]
    return total


def _products(layer: JudgedLayer, lanes: _Lanes, count: int) -> Iterator[tuple[Randomness, Randomness]]:
    """The sources of at most `count` of the layer's products, drawn at random."""
    rng = np.random.default_rng(0)
    met, outputs = np.argwhere(layer.lanes >= 0), layer.w.shape[1]
    chosen = rng.choice(len(met) * outputs, min(count, len(met) * outputs), replace=False)
    w = np.broadcast_to(lanes.w, layer.w.shape)
    for at, (p, g, t) in zip(chosen // len(met), met[chosen % len(met)].tolist(), strict=True):
        yield lanes.sources[lanes.x[p, g, t]], lanes.sources[w[g, at, t]]


def _ensemble(layer: JudgedLayer, lanes: _Lanes) -> LayerError:
    """Lanes as independent draws from the layer's pairs of sources."""
    count = min(SAMPLED_PAIRS, max(64, SAMPLED_ENTRIES >> 2 * table_bits(layer.bits)))
    coherent = np.zeros((1, 1))
    x, w = np.unique(lanes.x[lanes.x >= 0]), np.unique(lanes.w)
    if min(len(x), len(w)) == 1:
        coherent = _coherent(layer, lanes.sources[x[0]], lanes.sources[w[0]], x_shared=len(x) == 1)
    square, drawn = np.zeros((1, 1)), 0
    for a, b in _products(layer, lanes, count):
        square, drawn = square + (_deviation(layer, a, b) - coherent) ** 2, drawn + 1
    error = layer.summed(coherent) if coherent.size > 1 else np.zeros(layer.totals)
    return _over_samples(error, layer.summed(square / drawn))


def _coherent(layer: JudgedLayer, a: Randomness, b: Randomness, *, x_shared: bool) -> np.ndarray:
    """Mean of a product's error over the sources of one side, with the other side's source fixed; see the module's docstring."""
    counts = joint_counts(a, b, layer.bits, layer.length, table_bits(layer.bits))
    fraction = np.linspace(0.0, 1.0, len(counts))
    both = np.outer(counts[:, -1], fraction) if x_shared else np.outer(fraction, counts[-1, :])
    x, w = layer.x_encoding, layer.w_encoding
    return summed_product(both, layer.length, x, w) - ideal_product(layer.length, layer.bits, x, w)


def _independent_bits(layer: JudgedLayer, w_lanes: np.ndarray) -> LayerError:
    """x's bits independent in time and of w's; w's streams as they are. The layer's x: encoded numbers."""
    if layer.x_encoding is Encoding.SIGNED:
        raise InternalError("no state machine makes signed streams")
    product, met = PRODUCTS[layer.x_encoding, layer.w_encoding], layer.lanes >= 0
    ones = _ones(layer, w_lanes)
    p = ((layer.x + 1.0) / 2.0 if layer.x_encoding is Encoding.BIPOLAR else layer.x) * met
    negative = layer.w < 0
    v = {
        (i, k): np.where(negative, *(contribution(product, i, k, 0, ws) for ws in (1, 0)))
        for i, k in itertools.product((0, 1), repeat=2)
    }
    zeros = layer.length - ones
    # Mean over x's bits of the sum, for x = 1 and x = 0 in every cycle; it is linear in p.
    if_one, if_zero = ones * v[1, 1] + zeros * v[1, 0], ones * v[0, 1] + zeros * v[0, 0]
    numbers = layer.w_encoding.decode(layer.w, layer.bits)
    error = (
        layer.product(p, if_one)
        + layer.product(met - p, if_zero)
        - layer.length * layer.product(layer.x * met, numbers)
    )
    spread = ones * (v[1, 1] - v[0, 1]) ** 2 + zeros * (v[1, 0] - v[0, 0]) ** 2
    return _over_samples(error, layer.product(p * (met - p), spread))


def _ones(layer: JudgedLayer, lanes: np.ndarray) -> np.ndarray:
    """Ones in a window of every weight's stream, [groups, outputs, taps]: exact, or N |level| / 2**bits of too many sources."""
    magnitude = np.abs(layer.w)
    number: dict[Randomness, int] = {}
    which = np.array([number.setdefault(each, len(number)) for each in lanes.ravel()]).reshape(lanes.shape)
    if len(number) > EXACT_PAIRS:
        return layer.length * magnitude / (1 << layer.bits)
    ones = np.empty(layer.w.shape)
    which = layer.geometry.weights(np.broadcast_to(which, layer.w_shape))
    for each, k in number.items():
        below = np.bincount(each.sequence(layer.length), minlength=1 << layer.bits).cumsum()
        ones[which == k] = np.concatenate([[0], below])[magnitude[which == k]]
    return ones
