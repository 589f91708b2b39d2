"""train: the ends of a forward pass that runs on streams. Between them stand sc.sng, sc.dot or sc.conv, and sc.accumulate,
as in inference.

A number becomes a level, which an SNG compares with random numbers: a weight's level is the upper bits of its counter, rounded. The
total of a window becomes a number again.
"""

from __future__ import annotations

import numpy as np

from sccc.cells import Comb, Wire
from sccc.expr import ZERO, Expr, Var, select
from sccc.intervals import interval
from sccc.ir import Operation
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.ops.source import BITS_ATTR, ENCODING_ATTR, bits_of, encoding_of
from sccc.ops.training_types import fixed, ranges_of
from sccc.types import Fixed, Level, Total, Type

X, SHIFT = Var("x"), Var("shift")


def _rounded(magnitude: Expr) -> Expr:
    return (((magnitude * 2) >> SHIFT) + 1) >> 1


NEAREST = select(X < 0, ZERO - _rounded(ZERO - X), _rounded(X))
"""Sign and magnitude, as SNGs want them: the magnitude's upper bits plus the bit below, which a comparator takes as its carry (a +
c > b where a + ~b + c has a carry)."""


def _bits(op: Operation) -> int:
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    return kind.bits


def _infer_nearest(op: Operation) -> Type:
    x, shift = expect(op, 0, Fixed), op.attributes["shift"]
    if not 0 <= shift <= 60:
        raise refuse(op, f"shift = {shift} is outside 0 .. 60")
    return fixed(op, x.shape, *interval(NEAREST, ranges_of(op)), x.bits - shift)


def _nearest_value(op: Operation, x: np.ndarray) -> np.ndarray:
    unit = 2.0 ** (_bits(op) - op.attributes["shift"])
    return np.copysign(np.floor(np.abs(x) * unit + 0.5), x) / unit


def _infer_level(op: Operation) -> Type:
    x, encoding, bits = expect(op, 0, Fixed), encoding_of(op), bits_of(op)
    if x.lo < encoding.minimum_level(bits) or x.hi > encoding.maximum_level(bits):
        raise refuse(op, f"{x} does not fit {encoding.value} levels of {bits} bits")
    return Level(x.shape, encoding, bits)


def _infer_total(op: Operation) -> Type:
    x = expect(op, 0, Total)
    return fixed(op, x.shape, x.lo, x.hi, op.attributes["bits"])


def _infer_add(op: Operation) -> Type:
    a, b = expect(op, 0, Fixed), expect(op, 1, Fixed)
    units = [op.attributes[f"{name}_unit"] for name in "ab"]
    if any(unit < 1 or unit & (unit - 1) for unit in units) or b.shape not in (a.shape, a.shape[:1]):
        raise refuse(op, f"{b} must have the shape of {a}, or a lane per row; and units {units} be powers of two")
    bits = [kind.bits + int(unit).bit_length() - 1 for kind, unit in zip((a, b), units, strict=True)]
    if bits[0] != bits[1]:
        raise refuse(op, f"units {units} do not bring {a} and {b} to the same fractional bits")
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Comb)
    return fixed(op, a.shape, *interval(cell.result, ranges_of(op)), bits[0])


REGISTRY.add(
    Op(
        "train.nearest",
        "x with `shift` fractional bits fewer, rounded to the nearest integer, halves away from zero: signs change nothing else.",
        ("x",),
        _nearest_value,
        _infer_nearest,
        {"shift": Attr("int", "fractional bits that are rounded away")},
        cell=Comb(NEAREST),
    ),
    Op(
        "train.level",
        "A number's integer taken as the level that an SNG compares; 2**bits of it are an encoded 1.0.",
        ("x",),
        lambda op, x: encoding_of(op).decode(x * 2.0 ** _bits(op), bits_of(op)),
        _infer_level,
        {"encoding": ENCODING_ATTR, "bits": BITS_ATTR},
        cell=Wire(),
    ),
    Op(
        "train.total",
        "The total of a window taken as a fixed-point number.",
        ("x",),
        lambda op, x: x / 2.0 ** op.attributes["bits"],
        _infer_total,
        {"bits": Attr("int", "fractional bits: log2 of the total that the product of real 1.0 and 1.0 adds")},
        cell=Wire(),
    ),
    Op(
        "train.add",
        "a + b, brought to the same fractional bits by a_unit and b_unit: lane by lane, or a lane of b for each row of a.",
        ("a", "b"),
        lambda op, a, b: a + b.reshape(b.shape + (1,) * (a.ndim - b.ndim)),
        _infer_add,
        {"a_unit": Attr("int", "a power of two"), "b_unit": Attr("int", "a power of two")},
        cell=Comb(Var("a") * Var("a_unit") + Var("b") * Var("b_unit")),
    ),
)
