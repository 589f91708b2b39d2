"""Rewirings of levels and streams: the same numbers in other lanes. They cost nothing but wires."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sccc.cells import Gather
from sccc.ir import Operation
from sccc.ops.geometry import NOTHING
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.ops.source import LAYER_ATTR
from sccc.types import Level, Stream, Type


def _lanes(op: Operation, operand: int = 0, first: int = 0) -> np.ndarray:
    """The lanes of an operand, numbered from `first`, in its shape."""
    kind = op.operands[operand].type
    return np.arange(first, first + kind.lanes).reshape(kind.shape)


def _reshape(op: Operation) -> np.ndarray:
    shape = tuple(op.attributes["shape"])
    if math.prod(shape) != op.operands[0].type.lanes or min(shape, default=1) < 1:
        raise refuse(op, f"cannot reshape {op.operands[0].type.shape} to {shape}")
    return _lanes(op).reshape(shape)


def _transpose(op: Operation) -> np.ndarray:
    perm = list(op.attributes["perm"])
    if sorted(perm) != list(range(len(op.operands[0].type.shape))):
        raise refuse(op, f"perm {perm} is not a permutation of the {len(op.operands[0].type.shape)} axes")
    return _lanes(op).transpose(perm)


def _slice(op: Operation) -> np.ndarray:
    a: dict[str, Any] = op.attributes
    shape = op.operands[0].type.shape
    parts = [list(a[k]) for k in ("starts", "stops", "steps")]
    if any(len(part) != len(shape) for part in parts) or min(parts[2]) < 1 or min(parts[0]) < 0:
        raise refuse(op, f"starts, stops and steps must have {len(shape)} numbers each, steps positive")
    lanes = _lanes(op)[tuple(slice(*each) for each in zip(*parts, strict=True))]
    if lanes.size == 0:
        raise refuse(op, f"nothing is left of {shape}")
    return lanes


def _pad(op: Operation) -> np.ndarray:
    shape, pads = op.operands[0].type.shape, list(op.attributes["pads"])
    if len(pads) != 2 * len(shape) or min(pads) < 0:
        raise refuse(op, f"pads must have {2 * len(shape)} numbers that are not negative")
    return np.pad(_lanes(op), list(zip(pads[: len(shape)], pads[len(shape) :], strict=True)), constant_values=NOTHING)


def _upsample(op: Operation) -> np.ndarray:
    factors = list(op.attributes["factors"])
    if len(op.operands[0].type.shape) != 3 or len(factors) != 2 or min(factors) < 1:
        raise refuse(op, "wants an image [channels, rows, columns] and two positive factors")
    return _lanes(op).repeat(factors[0], axis=1).repeat(factors[1], axis=2)


def _concat(op: Operation) -> np.ndarray:
    x, y = op.operands[0].type, op.operands[1].type
    if dataclasses.replace(x, shape=()) != dataclasses.replace(y, shape=()):
        raise refuse(op, f"{x} and {y} have different encodings", "give both one scale, encoding and number of bits")
    axis = op.attributes["axis"]
    try:
        return np.concatenate([_lanes(op), _lanes(op, 1, x.lanes)], axis=axis)
    except ValueError:
        raise refuse(op, f"shapes {x.shape} and {y.shape} cannot be joined along axis {axis}") from None


def _infer(op: Operation) -> Type:
    for number in range(len(op.operands)):
        expect(op, number, Level, Stream)
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Gather)
    kind = op.operands[0].type
    if "level" in op.attributes and isinstance(kind, Level):
        level = op.attributes["level"]
        if not kind.encoding.minimum_level(kind.bits) <= level <= kind.encoding.maximum_level(kind.bits):
            raise refuse(op, f"level = {level} is outside what {kind} holds")
    return dataclasses.replace(kind, shape=cell.index(op).shape)


def _infer_pad(op: Operation) -> Type:
    expect(op, 0, Level)
    return _infer(op)


def _value(op: Operation, *operands: np.ndarray) -> np.ndarray:
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Gather)
    return gather(cell.index(op), operands, padding(op))


def gather(index: np.ndarray, operands: tuple[np.ndarray, ...], padding: Any = 0) -> np.ndarray:
    """The chosen lanes of arrays [batch, *lanes]; `padding` where the index is negative. Returns [batch, *index.shape]."""
    samples = max(len(x) for x in operands)
    flat = [np.broadcast_to(x, (samples, *x.shape[1:])).reshape(samples, -1) for x in operands]
    joined = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
    made = joined[:, index.reshape(-1)]
    if index.size and index.min() < 0:
        made = np.where(index.reshape(-1) < 0, padding, made)
    return made.reshape(samples, *index.shape)


def padding(op: Operation) -> Any:
    """The number that padding stands for."""
    kind = op.operands[0].type
    return (
        kind.encoding.decode(op.attributes["level"], kind.bits)
        if isinstance(kind, Level) and "level" in op.attributes
        else 0
    )


def _layout(
    name: str, doc: str, index: Callable[[Operation], np.ndarray], operands: tuple[str, ...] = ("x",), **own: Attr
) -> Op:
    infer = _infer_pad if name == "sc.pad" else _infer
    return Op(name, doc, operands, _value, infer, {**own, "layer": LAYER_ATTR}, cell=Gather(index))


REGISTRY.add(
    _layout(
        "sc.reshape",
        "The same lanes in row-major order under another shape.",
        _reshape,
        shape=Attr("ints", "new shape without the batch axis"),
    ),
    _layout("sc.transpose", "Axes permuted.", _transpose, perm=Attr("ints", "permutation of the axes")),
    _layout(
        "sc.slice",
        "A part of each axis.",
        _slice,
        starts=Attr("ints", "first element, for each axis"),
        stops=Attr("ints", "one past the last element"),
        steps=Attr("ints", "from one element to the next"),
    ),
    _layout(
        "sc.pad",
        "Constant levels around an array of levels.",
        _pad,
        pads=Attr("ints", "elements before each axis, then elements behind each axis"),
        level=Attr("int", "the level of what is added", 0),
    ),
    _layout(
        "sc.upsample",
        "Each element of an image repeated.",
        _upsample,
        factors=Attr("ints", "rows and columns that take the place of one"),
    ),
    _layout("sc.concat", "Two values joined along an axis.", _concat, ("x", "y"), axis=Attr("int", "the axis")),
)
