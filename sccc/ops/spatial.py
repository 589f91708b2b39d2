"""nn: images [channels, rows, columns] of the float network, and what joins, cuts and surrounds tensors of any shape.

As in `nn`, shapes leave out the batch axis, which is axis 0 of the arrays handed to `value`.
"""

from __future__ import annotations

import functools

import numpy as np

from sccc.ir import Operation
from sccc.ops.geometry import WINDOW_ATTRIBUTES, conv_geometry, pooled_shape
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.types import Real, Type
from sccc.windows import Window, convolve

KERNEL = Attr("ints", "taps of the window: rows, columns")
POOLING = Attr("str", "counting or streams (choose-encoding)", "")


def infer_conv(op: Operation) -> Type:
    x = expect(op, 0, Real)
    weight, bias = (np.asarray(op.attributes[k]) for k in ("weight", "bias"))
    if 0 in weight.shape:
        raise refuse(op, f"the weight is empty: {weight.shape}")
    shape = conv_geometry(op, x.shape, weight.shape).shape
    if bias.shape not in ((), shape[:1]):
        raise refuse(op, f"a bias of shape {bias.shape} does not fit {shape[0]} outputs")
    return Real(shape)


def _conv(op: Operation, x: np.ndarray) -> np.ndarray:
    weight, bias = (np.asarray(op.attributes[k], dtype=np.float64) for k in ("weight", "bias"))
    window = Window.of(op.attributes, weight.shape[2:])
    return convolve(x, weight, window, op.attributes["groups"]) + bias.reshape(-1, 1, 1)


def _infer_pool(op: Operation) -> Type:
    return Real(pooled_shape(op, expect(op, 0, Real).shape))


def _max_pool(op: Operation, x: np.ndarray) -> np.ndarray:
    for window in Window.of(op.attributes).along_axes():
        views = window.views(x, -np.inf)
        x = next(views).copy()
        for view in views:
            np.maximum(x, view, out=x)
    return x


def _avg_pool(op: Operation, x: np.ndarray) -> np.ndarray:
    window = Window.of(op.attributes)
    divisor = window.taps if op.attributes["include_pad"] else window.covered(*x.shape[-2:])
    for part in window.along_axes():
        x = functools.reduce(np.add, part.views(x))
    return x / divisor


def _infer_add(op: Operation) -> Type:
    x, y = expect(op, 0, Real), expect(op, 1, Real)
    if x.shape != y.shape:
        raise refuse(op, f"shapes {x.shape} and {y.shape} differ")
    return x


def _infer_concat(op: Operation) -> Type:
    x, y = expect(op, 0, Real).shape, expect(op, 1, Real).shape
    axis = op.attributes["axis"]
    if not 0 <= axis < len(x) or x[:axis] != y[:axis] or x[axis + 1 :] != y[axis + 1 :] or len(x) != len(y):
        raise refuse(op, f"shapes {x} and {y} cannot be joined along axis {axis}")
    return Real((*x[:axis], x[axis] + y[axis], *x[axis + 1 :]))


def _infer_pad(op: Operation) -> Type:
    shape, pads = expect(op, 0, Real).shape, op.attributes["pads"]
    if len(pads) != 2 * len(shape) or min(pads, default=0) < 0:
        raise refuse(op, f"pads {list(pads)} are not a begin and an end, none negative, for each of {len(shape)} axes")
    return Real(tuple(b + size + e for b, size, e in zip(pads, shape, pads[len(shape) :], strict=False)))


def _pad(op: Operation, x: np.ndarray) -> np.ndarray:
    pads = op.attributes["pads"]
    widths = zip(pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True)
    return np.pad(x, [(0, 0), *widths], constant_values=op.attributes["value"])


def _ranges(op: Operation) -> list[range]:
    """The indices that an nn.slice takes along each axis."""
    return [range(*bounds) for bounds in zip(*(op.attributes[k] for k in ("starts", "stops", "steps")), strict=True)]


def _infer_slice(op: Operation) -> Type:
    shape = expect(op, 0, Real).shape
    lists = [op.attributes[k] for k in ("starts", "stops", "steps")]
    bounds = list(zip(shape, *lists, strict=False))
    if any(len(numbers) != len(shape) for numbers in lists) or not all(
        0 <= start < stop <= size and step > 0 for size, start, stop, step in bounds
    ):
        raise refuse(op, f"starts {lists[0]}, stops {lists[1]} and steps {lists[2]} do not cut a part out of {shape}")
    return Real(tuple(len(taken) for taken in _ranges(op)))


def _slice(op: Operation, x: np.ndarray) -> np.ndarray:
    return x[(slice(None), *(slice(taken.start, taken.stop, taken.step) for taken in _ranges(op)))]


def _infer_upsample(op: Operation) -> Type:
    shape, factors = expect(op, 0, Real).shape, op.attributes["factors"]
    if len(shape) != 3 or len(factors) != 2 or min(factors) < 1:
        raise refuse(op, f"factors {list(factors)} are not two positive integers for an image, whose shape is {shape}")
    return Real((shape[0], shape[1] * factors[0], shape[2] * factors[1]))


REGISTRY.add(
    Op(
        "nn.conv",
        "y = weight * x + bias, a cross-correlation of images; beyond an image's edge lie zeros.",
        ("x",),
        _conv,
        infer_conv,
        {
            "weight": Attr("tensor", "[outputs, channels / groups, rows, columns]"),
            "bias": Attr("tensor", "[outputs]", 0.0),
            **WINDOW_ATTRIBUTES,
            "groups": Attr("int", "parts of the channels that are convolved each for themselves", 1),
            "range": Attr("float", "as in nn.dense", 0.0),
        },
    ),
    Op(
        "nn.max_pool",
        "The largest number in each window; what lies beyond the edge is never the largest.",
        ("x",),
        _max_pool,
        _infer_pool,
        {"kernel": KERNEL, **WINDOW_ATTRIBUTES, "pooling": POOLING},
    ),
    Op(
        "nn.avg_pool",
        "The mean of each window.",
        ("x",),
        _avg_pool,
        _infer_pool,
        {
            "kernel": KERNEL,
            **WINDOW_ATTRIBUTES,
            "include_pad": Attr("bool", "whether pads count as zeros; if not, the mean is over the image only", False),
            "pooling": POOLING,
        },
    ),
    Op("nn.add", "x + y, of one shape: where branches meet.", ("x", "y"), lambda op, x, y: x + y, _infer_add),
    Op(
        "nn.concat",
        "x, and y behind it along an axis.",
        ("x", "y"),
        lambda op, x, y: np.concatenate((x, y), axis=op.attributes["axis"] + 1),
        _infer_concat,
        {"axis": Attr("int", "axis, without the batch axis")},
    ),
    Op(
        "nn.pad",
        "x surrounded by a constant.",
        ("x",),
        _pad,
        _infer_pad,
        {
            "pads": Attr(
                "ints", "elements before the first one, for each axis, then behind the last one, for each axis"
            ),
            "value": Attr("float", "the constant", 0.0),
        },
    ),
    Op(
        "nn.slice",
        "The elements start, start + step, ... below stop of each axis.",
        ("x",),
        _slice,
        _infer_slice,
        {
            "starts": Attr("ints", "first index, for each axis"),
            "stops": Attr("ints", "end, exclusive, for each axis; at most the size"),
            "steps": Attr("ints", "distance, at least 1, for each axis"),
        },
    ),
    Op(
        "nn.upsample",
        "Rows and columns repeated (nearest neighbour).",
        ("x",),
        lambda op, x: x.repeat(op.attributes["factors"][0], axis=2).repeat(op.attributes["factors"][1], axis=3),
        _infer_upsample,
        {"factors": Attr("ints", "how often each row and each column comes")},
    ),
)
