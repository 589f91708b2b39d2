"""Pooling, and the addition of levels where branches of a network meet."""

from __future__ import annotations

import dataclasses

import numpy as np

from sccc.cells import Comb, Fold
from sccc.expr import Var, select
from sccc.ir import Operation
from sccc.ops.geometry import NOTHING, WINDOW_ATTRIBUTES, pooled_shape, window_of
from sccc.ops.registry import REGISTRY, Attr, Op, Shared, expect, per_lane, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Encoding, Level, Stream, Total, Type
from sccc.windows import Window

A, B = Var("a"), Var("b")

POOL_ATTRIBUTES = {"kernel": Attr("ints", "rows and columns of the window"), **WINDOW_ATTRIBUTES, "layer": LAYER_ATTR}


def levels_of(kind: Level, value: np.ndarray) -> np.ndarray:
    """The (fractional) levels that numbers in [-1, 1] stand for: the inverse of `Encoding.decode`."""
    scaled = (value + 1.0) / 2.0 if kind.encoding is Encoding.BIPOLAR else value
    return scaled * (1 << kind.bits)


def pool_lanes(op: Operation) -> np.ndarray:
    """The lane of x at each tap of a pooling window, NOTHING in the padding: int [taps, channels, rows, columns]."""
    shape = op.operands[0].type.shape
    window, _, _ = window_of(op, shape)
    return np.stack([*window.views(np.arange(np.prod(shape)).reshape(shape), NOTHING)])


def _infer_max(op: Operation) -> Type:
    return dataclasses.replace(expect(op, 0, Level), shape=pooled_shape(op, op.operands[0].type.shape))


def _infer_sum(op: Operation) -> Type:
    x = expect(op, 0, Level)
    shape = pooled_shape(op, op.operands[0].type.shape)
    taps = window_of(op, x.shape)[0].taps
    return Total(shape, taps * x.encoding.minimum_level(x.bits), taps * x.encoding.maximum_level(x.bits))


def _infer_or(op: Operation) -> Type:
    x = expect(op, 0, Stream)
    if x.encoding is Encoding.SIGNED:
        raise refuse(
            op, "OR has no meaning for streams with a sign", "use sc.max_pool on the levels, or bipolar streams"
        )
    return dataclasses.replace(x, shape=pooled_shape(op, op.operands[0].type.shape))


def _max_value(op: Operation, x: np.ndarray) -> np.ndarray:
    window, _, _ = window_of(op, op.operands[0].type.shape)
    result: np.ndarray = np.max(np.stack([*window.views(x, -np.inf)]), axis=0)
    return result


def _sum_value(op: Operation, x: np.ndarray) -> np.ndarray:
    kind = op.operands[0].type
    assert isinstance(kind, Level)
    window: Window = window_of(op, kind.shape)[0]
    result: np.ndarray = np.sum(np.stack([*window.views(levels_of(kind, x))]), axis=0)
    return result


def _infer_add(op: Operation) -> Type:
    bounds = []
    for number, name in ((0, "mult_a"), (1, "mult_b")):
        x = expect(op, number, Level)
        if x.encoding is Encoding.BIPOLAR:
            raise refuse(op, "bipolar levels are not added, as their zero is not 0", "use encoding auto or signed")
        mult = int(per_lane(op, name, x.shape, 0).max())
        bounds.append((mult * x.encoding.minimum_level(x.bits), mult * x.encoding.maximum_level(x.bits)))
    if op.operands[0].type.shape != op.operands[1].type.shape:
        raise refuse(op, f"shapes {op.operands[0].type.shape} and {op.operands[1].type.shape} differ")
    return Total(op.operands[0].type.shape, bounds[0][0] + bounds[1][0], bounds[0][1] + bounds[1][1])


def _add_value(op: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    kinds = [operand.type for operand in op.operands]
    levels = [levels_of(kind, value) for kind, value in zip(kinds, (a, b), strict=True)]  # type: ignore[arg-type]
    return levels[0] * np.asarray(op.attributes["mult_a"]) + levels[1] * np.asarray(op.attributes["mult_b"])


REGISTRY.add(
    Op(
        "sc.max_pool",
        "The largest level under a window (max pooling by counting); held until the next sample.",
        ("x",),
        _max_value,
        _infer_max,
        POOL_ATTRIBUTES,
        cell=Fold(select(A < B, B, A)),
        latency=1,
    ),
    Op(
        "sc.sum_pool",
        "The sum of the levels under a window (average pooling by counting; sc.rescale divides it).",
        ("x",),
        _sum_value,
        _infer_sum,
        POOL_ATTRIBUTES,
        cell=Fold(A + B),
    ),
    Op(
        "sc.or_pool",
        "Max pooling of streams that share their random numbers (SCC = +1; Alaghi & Hayes 2013): the OR of the bits in a window.",
        ("x",),
        _max_value,
        _infer_or,
        POOL_ATTRIBUTES,
        cell=Fold(A | B),
        needs=(Shared("x"),),
    ),
    Op(
        "sc.add",
        "Levels of two branches, brought to one scale by integers and added: a * mult_a + b * mult_b.",
        ("a", "b"),
        _add_value,
        _infer_add,
        {
            "mult_a": Attr("tensor", "units of a's level in the total, for all lanes or per lane", 1),
            "mult_b": Attr("tensor", "units of b's level in the total, for all lanes or per lane", 1),
            "layer": LAYER_ATTR,
        },
        cell=Comb(A * Var("mult_a") + B * Var("mult_b")),
    ),
)
