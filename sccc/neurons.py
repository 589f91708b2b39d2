"""What a lane of a dot product with constant weights comes down to: one of the distinct streams, and the bits that it adds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sccc.cells import Product
from sccc.diagnostics import InternalError
from sccc.expr import ZERO, Expr, fold_bits
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

    def block(self, outputs: slice, taps: np.ndarray) -> ConstantStreams:
        """Those of some outputs (the first axis of the lanes) at some of their taps, as [outputs, taps]."""
        parts = {k: getattr(self, k) for k in ("index", "constant_bits", "signs")}
        return replace(self, **{k: v.reshape(len(v), -1)[outputs, taps] for k, v in parts.items()})


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
    keys, index[varying] = distinct(sources[varying], magnitude[varying], masks[varying])
    return ConstantStreams(
        levels=keys[1].tolist(),
        masks=keys[2].tolist(),
        sources=keys[0].tolist(),
        index=index,
        constant_bits=(magnitude >= full).astype(np.int64),
        signs=(levels < 0).astype(np.int64) if signed else np.zeros(levels.shape, dtype=np.int64),
    )


def distinct(*columns: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The distinct tuples of integers, in order, by column; and the number of each tuple. Faster than numpy.unique of rows."""
    if not columns[0].size:
        return [np.zeros(0, dtype=np.int64) for _ in columns], np.zeros(0, dtype=np.int64)
    least = [int(column.min()) for column in columns]
    sizes = tuple(int(column.max()) - low + 1 for column, low in zip(columns, least, strict=True))
    codes = np.ravel_multi_index([column - low for column, low in zip(columns, least, strict=True)], sizes)
    found, inverse = np.unique(codes, return_inverse=True)
    return [part + low for part, low in zip(np.unravel_index(found, sizes), least, strict=True)], inverse


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


@dataclass(frozen=True)
class Form:
    """What a lane adds to a count, as bits to be counted: weight[0] * bit[0] + weight[1] * bit[1] ... - offset.

    For a weight that is not negative; a negative one adds the opposite. All of weight[..] have the size `scale`. The offset is a
    constant, or an expression of one variable: its sum over the lanes is cheap.
    """

    terms: tuple[tuple[int, Expr], ...]
    offset: Expr

    @property
    def scale(self) -> int:
        return abs(self.terms[0][0])

    @property
    def of(self) -> str:
        """The variable that the offset depends on: xs, w or x; "" when it is a constant."""
        return next(iter(self.offset.variables()), "")


@lru_cache(maxsize=64)
def forms(product: Product) -> tuple[Form, ...]:
    """The ways in which a lane's (neg ? -1 : +1) * bit can be counted, the plain one last.

    Two identities need one bit per lane instead of two: it is (bit ^ neg) - neg, and 2 * (bit & ~neg) - bit. The first one pays
    when the sum of `neg` is known: of signs, which are constant in a window, and are what is counted while all weights are 0. The
    second pays when the sum of `bit` is: of one stream only.
    """
    known = {"ws": 0}
    bit, neg = fold_bits(product.bit, known), fold_bits(product.neg, known)
    _require_sign(product)
    found = []
    silent = fold_bits(bit, {"w": 0}).is_const(0)
    if neg.kind == "const" or (neg.variables() == {"xs"} and silent):
        found.append(Form(((1, fold_bits(bit ^ neg, {})),), neg))
    if len(bit.variables()) <= 1:
        found.append(Form(((2, fold_bits(bit & ~neg, {})),), bit))
    settled = [form for form in found if not form.of]
    if settled:
        return (settled[0],)
    return (*found, Form(((1, fold_bits(bit & ~neg, {})), (-1, fold_bits(bit & neg, {}))), ZERO))


def _require_sign(product: Product) -> None:
    """A weight's sign must do nothing else than negate what the lane adds."""
    for values in itertools.product((0, 1), repeat=3):
        plain, negated = ({**dict(zip(("x", "w", "xs"), values, strict=True)), "ws": sign} for sign in (0, 1))
        bits = [int(product.bit.evaluate(env)) & 1 for env in (plain, negated)]
        signs = [int(product.neg.evaluate(env)) & 1 for env in (plain, negated)]
        if "ws" in product.neg.variables() and (bits[0] != bits[1] or (bits[0] and signs[0] == signs[1])):
            raise InternalError(f"the weight's sign does not negate {product}")
