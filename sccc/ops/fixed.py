"""Fixed-point arithmetic, the conventional rival of streams: whole numbers are multiplied and added, once per sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sccc.cells import Fold, Gather, MultiplyAdd
from sccc.ir import Operation, Value
from sccc.ops.arithmetic import constant_levels
from sccc.ops.geometry import PARALLEL_ATTR, WINDOW_ATTRIBUTES, geometry_of
from sccc.ops.registry import REGISTRY, Attr, Op, expect, per_lane, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Encoding, Level, Total, Type
from sccc.windows import convolve

LARGEST_TOTAL = 1 << 62
"""Totals beyond it would not fit the simulator's integers."""


FIXED_SUMS = ("fx.dot", "fx.conv")
"""Ops that sum products of numbers."""


def number_range(kind: Level) -> tuple[int, int]:
    """The smallest and largest level that a number of the hardware holds: two's complement when signed, else unsigned."""
    return kind.encoding.minimum_level(kind.bits), kind.encoding.maximum_level(kind.bits) - 1


def dot_weights(op: Operation) -> np.ndarray:
    """The constant weights of an `fx.dot`, int64 [m, n]. Raises SccError when they are not constant."""
    levels = constant_levels(op.operands[1])
    if levels is None:
        raise refuse(op, f"%{op.operands[1].name} is not constant", "fixed-point weights are an sc.constant")
    return levels.astype(np.int64)


def _infer_dot(op: Operation) -> Type:
    x, w = expect(op, 0, Level), expect(op, 1, Level)
    if x.encoding is Encoding.BIPOLAR or w.encoding is not Encoding.SIGNED:
        raise refuse(
            op,
            f"no fixed-point multiplier for {x.encoding.value} times {w.encoding.value} levels",
            "want unipolar or signed levels, and signed weights",
        )
    geometry = geometry_of(op)
    lo, hi = number_range(x)
    weights = dot_weights(op).reshape(geometry.shape[0], -1)
    per_lane(op, "initial", geometry.shape)
    initial = per_output(op.attributes["initial"], geometry.shape)
    positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    # Padding takes lanes away, so that a sum may end anywhere between none of them and all.
    reach = np.minimum(lo * positive + hi * negative, 0), np.maximum(hi * positive + lo * negative, 0)
    exact = (lo * positive + hi * negative, hi * positive + lo * negative)
    least, most = reach if geometry.window is not None and any(geometry.window.pads) else exact
    lowest, highest = int((initial[0] + least).min()), int((initial[1] + most).max())
    if max(-lowest, highest) >= LARGEST_TOTAL:
        raise refuse(op, f"totals of {x.bits} by {w.bits} bits may reach 2**62", "use fewer bits")
    return Total(geometry.shape, lowest, highest)


def per_output(values: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest of an attribute's integers within each output (axis 0 of the lanes), int64 [outputs]."""
    spread = np.broadcast_to(np.asarray(values), shape).reshape(shape[0], -1)
    return spread.min(axis=1), spread.max(axis=1)


def largest_level(value: Value) -> int:
    """The largest level that a value can have, as far as the op that makes it says."""
    op, kind = value.op, value.type
    assert isinstance(kind, Level)
    if op is not None and isinstance(REGISTRY[op.name].cell, Gather | Fold):  # the levels of others, in other lanes
        return max(int(op.attributes.get("level", 0)), *(largest_level(operand) for operand in op.operands))
    if op is not None and "table" in op.attributes:
        return int(np.max(np.asarray(op.attributes["table"])))
    if op is not None and op.operands and isinstance(op.operands[0].type, Total) and "largest" not in op.attributes:
        return op.operands[0].type.hi
    largest = op.attributes.get("largest", 0) if op is not None else 0
    return int(largest) or kind.encoding.maximum_level(kind.bits)


def _check_dot(op: Operation) -> None:
    """An encoded 1.0 does not fit a number of the usual width."""
    x = op.operands[0]
    assert isinstance(x.type, Level)
    if largest_level(x) > number_range(x.type)[1]:
        raise refuse(
            op,
            f"%{x.name} may be {largest_level(x)}, and numbers go up to {number_range(x.type)[1]}",
            f"limit it where it is made: largest = {number_range(x.type)[1]} at an sc.input, or the entries of a table",
        )


def _units(op: Operation) -> float:
    """The total that a product of encoded 1.0 and 1.0 makes."""
    return float(2.0 ** (op.operands[0].type.bits + op.operands[1].type.bits))  # type: ignore[attr-defined]


def _dot_value(op: Operation, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return (x @ w[0].T) * _units(op) + op.attributes["initial"]


def _conv_value(op: Operation, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    window = geometry_of(op).window
    assert window is not None
    return convolve(x, w[0], window, op.attributes["groups"]) * _units(op) + op.attributes["initial"]


_ATTRIBUTES = {
    "initial": Attr("tensor", "integers added (the bias), for all lanes or per lane", 0),
    "exact": Attr("tensor", "what initial rounds, where that is known; correct-bias adds to it", math.nan),
    "scale": Attr("tensor", "the real number that a total of 1 stands for, for all lanes or per lane", 1.0),
    "parallel": PARALLEL_ATTR,
    "layer": LAYER_ATTR,
}


REGISTRY.add(
    Op(
        "fx.dot",
        "Dot products in fixed point: the sum over all lanes of x's level times a constant weight's level, plus a constant. "
        "Computed in the cycle in which the layer is told to start, and held until the next one.",
        ("x", "w"),
        _dot_value,
        _infer_dot,
        _ATTRIBUTES,
        cell=MultiplyAdd(),
        check=_check_dot,
    ),
    Op(
        "fx.conv",
        "A convolution in fixed point: sc.conv with numbers for streams, plus a constant, in the time of an fx.dot.",
        ("x", "w"),
        _conv_value,
        _infer_dot,
        {**WINDOW_ATTRIBUTES, "groups": Attr("int", "parts of the channels that do not mix", 1), **_ATTRIBUTES},
        cell=MultiplyAdd(),
        check=_check_dot,
    ),
)
