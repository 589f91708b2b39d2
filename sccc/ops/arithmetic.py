"""Multiplication, counting and comparison of streams."""

from __future__ import annotations

import numpy as np

from sccc.cells import Arbiter, Comb, CountCell, Product
from sccc.expr import ONE, ZERO, Var, fold_bits, select
from sccc.ir import Operation, Value
from sccc.ops.geometry import PARALLEL_ATTR, WINDOW_ATTRIBUTES, geometry_of
from sccc.ops.registry import REGISTRY, Attr, Op, Uncorrelated, expect, per_lane, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Count, Encoding, Stream, Total, Type
from sccc.windows import convolve

X, W, XS, WS = Var("x"), Var("w"), Var("xs"), Var("ws")

UNIPOLAR, BIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.BIPOLAR, Encoding.SIGNED

PRODUCTS = {
    (UNIPOLAR, UNIPOLAR): Product(bit=X & W, neg=ZERO),
    (UNIPOLAR, SIGNED): Product(bit=X & W, neg=WS),
    (SIGNED, UNIPOLAR): Product(bit=X & W, neg=XS),
    (SIGNED, SIGNED): Product(bit=X & W, neg=XS ^ WS),
    (BIPOLAR, BIPOLAR): Product(bit=ONE, neg=X ^ W),
    (BIPOLAR, UNIPOLAR): Product(bit=W, neg=~X),
    (BIPOLAR, SIGNED): Product(bit=W, neg=~X ^ WS),
    (UNIPOLAR, BIPOLAR): Product(bit=X, neg=~W),
}
"""What a lane adds to a count, (neg ? -1 : +1) * bit; the expectation is the product of the encoded numbers.

AND multiplies unipolar streams, XNOR bipolar ones (Gaines 1969). A bipolar stream times a signed weight gates a +1/-1
with the weight's magnitude bit, so that a zero weight adds no variance.
"""


PRODUCT_SUMS = ("sc.dot", "sc.conv", "sc.or_dot", "sc.mux_dot")
"""Ops that sum products of streams."""


def product_of(op: Operation) -> Product:
    """The product of an `sc.dot`'s lanes, by the encodings of its operands. Raises SccError."""
    x, w = expect(op, 0, Stream), expect(op, 1, Stream)
    if (x.encoding, w.encoding) not in PRODUCTS:
        raise refuse(
            op,
            f"no multiplier for {x.encoding.value} times {w.encoding.value} streams",
            "encode the weights as bipolar, or the activations as unipolar",
        )
    return PRODUCTS[x.encoding, w.encoding]


def carries_sign(product: Product) -> bool:
    """Whether a multiplier's output is the sign, as the streams decide that, and not the bit."""
    return bool(product.neg.variables() & {"x", "w"})


def has_multiplier(op: Operation) -> np.ndarray:
    """Which lanes, bool of w's shape, have a multiplier: not those of zero weights where they never add anything."""
    product, levels = product_of(op), constant_levels(op.operands[1])
    shape = op.operands[1].type.shape
    if levels is None or not fold_bits(product.bit, {"w": 0}).is_const(0):
        return np.ones(shape, dtype=bool)
    return np.broadcast_to(levels != 0, shape)


def constant_levels(value: Value) -> np.ndarray | None:
    """The levels of a constant that `value` is, or is the stream of; None when it is not constant."""
    op = value.op
    while op is not None and op.name == "sc.sng":
        op = op.operands[0].op
    return np.asarray(op.attributes["levels"]) if op is not None and op.name == "sc.constant" else None


def _count_range(op: Operation, product: Product, lanes: int) -> tuple[int, int]:
    """The smallest and largest count. Constant signed or unipolar weights narrow it: a level 0 never adds anything."""
    levels = constant_levels(op.operands[1])
    if levels is None or "w" not in product.bit.variables():
        return (0 if product.neg is ZERO else -lanes), lanes
    levels = levels.reshape(len(levels), -1)
    positive, negative = (levels > 0).sum(axis=1), (levels < 0).sum(axis=1)
    if product.neg is WS:
        return -int(negative.max(initial=0)), int(positive.max(initial=0))
    largest = int((positive + negative).max(initial=0))
    return (0 if product.neg is ZERO else -largest), largest


def _infer_product_sum(op: Operation) -> Type:
    """Of sc.dot and sc.conv."""
    x, w = expect(op, 0, Stream), expect(op, 1, Stream)
    product, geometry = product_of(op), geometry_of(op)
    if x.length != w.length:
        raise refuse(op, f"streams of {x.length} and of {w.length} cycles meet", "give both the same length")
    lo, hi = _count_range(op, product, geometry.taps)
    return Count(geometry.shape, lo, hi, x.length)


def _infer_offset(op: Operation) -> Type:
    count, fraction = expect(op, 0, Count), expect(op, 1, Stream)
    if fraction.encoding is BIPOLAR or fraction.shape != count.shape or fraction.length != count.length:
        raise refuse(op, f"{fraction} cannot be added to {count}", "want unipolar or signed streams, one per lane")
    whole = per_lane(op, "whole", count.shape)
    below = 1 if fraction.encoding is SIGNED else 0
    return Count(count.shape, count.lo + int(whole.min()) - below, count.hi + int(whole.max()) + 1, count.length)


def _infer_argmax(op: Operation) -> Type:
    total = expect(op, 0, Total)
    return Total((), 0, total.lanes - 1)


REGISTRY.add(
    Op(
        "sc.dot",
        "Dot products: in each cycle the signed count over all lanes of the products of x's and w's bits. Exact per cycle "
        "(APC). The multiplier follows from the two encodings.",
        ("x", "w"),
        lambda op, x, w: x @ w[0].T,
        _infer_product_sum,
        {"parallel": PARALLEL_ATTR, "layer": LAYER_ATTR},
        cell=CountCell(PRODUCTS),
        needs=(Uncorrelated("x", "w"),),
    ),
    Op(
        "sc.conv",
        "A convolution: at each position of the window the dot products of the lanes under it with the weights "
        "[outputs, channels / groups, rows, columns]. Padding adds nothing. The multiplier is that of sc.dot.",
        ("x", "w"),
        lambda op, x, w: convolve(x, w[0], geometry_of(op).window, op.attributes["groups"]),  # type: ignore[arg-type]
        _infer_product_sum,
        {
            **WINDOW_ATTRIBUTES,
            "groups": Attr("int", "parts of the channels that do not mix", 1),
            "parallel": PARALLEL_ATTR,
            "layer": LAYER_ATTR,
        },
        cell=CountCell(PRODUCTS),
        needs=(Uncorrelated("x", "w"),),
    ),
    Op(
        "sc.offset",
        "A count plus a constant per cycle (a bias): an integer, and a fraction that is a stream.",
        ("count", "fraction"),
        lambda op, count, fraction: count + op.attributes["whole"] + fraction,
        _infer_offset,
        {"whole": Attr("tensor", "integer added each cycle, one per lane", 0), "layer": LAYER_ATTR},
        cell=Comb(
            select(
                Var("fraction_sign"), Var("count") + Var("whole") - Var("fraction"),
                Var("count") + Var("whole") + Var("fraction"),
            )
        ),
    ),
    Op(
        "sc.argmax",
        "The index of the largest total (the first one of equals).",
        ("total",),
        lambda op, total: np.argmax(total.reshape(len(total), -1), axis=1),
        _infer_argmax,
        {"layer": LAYER_ATTR},
        cell=Arbiter(),
    ),
)  # fmt: skip
