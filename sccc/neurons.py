"""What a dot product with constant weights comes down to: distinct streams, and the lanes that each output counts.

The product's expressions are simplified with what is known of each lane (the weight's sign, a weight of 0 or 1), so that a lane
costs what is left: nothing for a zero weight, one AND for most, no AND for a full-scale one. The Verilog backend emits this
and the cost estimate counts it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from sccc.cells import Product
from sccc.expr import Expr, fold_bits
from sccc.ir import Operation, Value
from sccc.types import Encoding, Level


@dataclass
class ConstantStreams:
    """The distinct streams of a constant's SNG: `index[lane]` is the stream of a lane, -1 where its bits never change."""

    levels: list[int]
    masks: list[int]
    sources: list[int]
    index: np.ndarray
    constant_bits: np.ndarray
    signs: np.ndarray

    def of_taps(self, output: int, taps: np.ndarray) -> ConstantStreams:
        """Those of some lanes of one output, as of a neuron that has no others. Outputs are the first axis of the lanes."""
        parts = {k: getattr(self, k) for k in ("index", "constant_bits", "signs")}
        return replace(self, **{k: v.reshape(len(v), -1)[output, taps][None] for k, v in parts.items()})


def constant_streams(sng: Operation) -> ConstantStreams:
    """Find the distinct (level, source, mask) among the lanes of an SNG whose levels are constant."""
    level_value, random = sng.operands
    maker = level_value.op
    assert maker is not None and isinstance(level_value.type, Level)
    levels = np.asarray(maker.attributes["levels"])
    signed = level_value.type.encoding is Encoding.SIGNED
    magnitude = np.abs(levels) if signed else levels
    sources, masks = _root_lanes(random)
    sources, masks = np.broadcast_to(sources, levels.shape), np.broadcast_to(masks, levels.shape)
    full = 1 << level_value.type.bits
    varying = (magnitude > 0) & (magnitude < full)
    index = np.full(levels.shape, -1, dtype=np.int64)
    keys = np.stack([sources[varying], magnitude[varying], masks[varying]], axis=1)
    distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
    index[varying] = inverse.reshape(-1)
    return ConstantStreams(
        levels=distinct[:, 1].tolist(),
        masks=distinct[:, 2].tolist(),
        sources=distinct[:, 0].tolist(),
        index=index,
        constant_bits=(magnitude >= full).astype(np.int64),
        signs=(levels < 0).astype(np.int64) if signed else np.zeros(levels.shape, dtype=np.int64),
    )


def root_source(random: Value) -> Operation:
    """The sc.source behind masks."""
    op = random.op
    while op is not None and op.name == "sc.mask":
        op = op.operands[0].op
    assert op is not None
    return op


def _root_lanes(random: Value) -> tuple[np.ndarray, np.ndarray]:
    """For each lane of a random value: the number of its source in the root sc.source, and the mask XORed to it."""
    op = random.op
    assert op is not None
    if op.name == "sc.source":
        lanes = np.arange(random.type.lanes).reshape(random.type.shape)
        return lanes, np.zeros(lanes.shape, dtype=np.int64)
    sources, masks = _root_lanes(op.operands[0])
    own = np.asarray(op.attributes["masks"])
    shape = random.type.shape
    return np.broadcast_to(sources, shape), np.broadcast_to(masks, shape) ^ np.broadcast_to(own, shape)


@dataclass
class Neuron:
    """What one output counts: lane expressions with weight +1, -1 and -2, and a constant."""

    constant: int = 0
    groups: dict[int, list[tuple[Expr, int, int]]] = field(default_factory=lambda: {1: [], -1: [], -2: []})


def neuron(product: Product, streams: ConstantStreams, output: int) -> Neuron:
    """Reduce every lane of one output to what is not known at compile time: (expression, x lane, stream)."""
    result = Neuron()
    index, fixed, signs = streams.index[output], streams.constant_bits[output], streams.signs[output]
    for lane in range(index.shape[0]):
        stream = int(index[lane])
        constant, terms = _lane_form(product, int(signs[lane]), -1 if stream >= 0 else int(fixed[lane]))
        result.constant += constant
        for weight, expr in terms:
            result.groups[weight].append((expr, lane, stream))
    return result


@lru_cache(maxsize=256)
def _lane_form(product: Product, sign: int, w: int) -> tuple[int, tuple[tuple[int, Expr], ...]]:
    """A lane's constant and its (weight, expression) terms, with the weight's sign and, unless -1, its bit w known."""
    known = {"ws": sign} | ({} if w < 0 else {"w": w})
    bit, neg = fold_bits(product.bit, known), fold_bits(product.neg, known)
    if bit.is_const(0):
        return 0, ()
    if neg.kind == "const":
        terms = [(-1 if neg.is_const(1) else 1, bit)]
    elif bit.is_const(1):
        terms = [(1, bit), (-2, neg)]
    else:
        terms = [(1, fold_bits(bit & ~neg, {})), (-1, fold_bits(bit & neg, {}))]
    constant = sum(weight * expr.args[0] for weight, expr in terms if expr.kind == "const")
    return constant, tuple(term for term in terms if term[1].kind != "const")
