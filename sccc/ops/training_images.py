"""train: what convolutions and pooling add to a network that learns.

An image is [channels, positions], positions row by row. A convolution is a dense layer on patches (im2col): the lanes under the
window at each position. What goes back to the image is added where patches overlap (col2im), the transposed convolution.
"""

from __future__ import annotations

import math

import numpy as np

from sccc.cells import Arbiter, Comb, Gather
from sccc.expr import Var, select
from sccc.ir import Operation
from sccc.ops.geometry import NOTHING, WINDOW_ATTRIBUTES
from sccc.ops.registry import REGISTRY, Attr, Op, expect, refuse
from sccc.ops.training_types import fixed
from sccc.training_cells import Scatter
from sccc.types import Fixed, Type, signed_width
from sccc.windows import Window

PATCH_ATTRIBUTES = {
    "image": Attr("ints", "channels, rows and columns of the image"),
    "kernel": Attr("ints", "rows and columns of the window"),
    **WINDOW_ATTRIBUTES,
    "groups": Attr("int", "parts of the channels, with patches of their own: as many as channels for pooling", 1),
}


def patch_lanes(op: Operation) -> np.ndarray:
    """The image's lane at each tap of each patch, NOTHING in the padding: int32 [groups x positions, taps]. Raises SccError."""
    shape = tuple(int(size) for size in op.attributes["image"])
    if len(shape) != 3 or min(shape) < 1:
        raise refuse(op, f"image {list(shape)} must be channels, rows and columns, all positive")
    try:
        window = Window.of(op.attributes)
        views = np.stack([*window.views(np.arange(math.prod(shape), dtype=np.int32).reshape(shape), NOTHING)])
    except ValueError as error:
        raise refuse(op, str(error)) from None
    groups, (taps, channels) = op.attributes["groups"], views.shape[:2]
    if groups < 1 or channels % groups:
        raise refuse(op, f"{channels} channels cannot be parted in {groups} groups")
    lanes = views.reshape(taps, groups, channels // groups, -1)
    return np.ascontiguousarray(lanes.transpose(1, 3, 2, 0).reshape(-1, channels // groups * taps))


def _infer_patches(op: Operation) -> Type:
    x, lanes = expect(op, 0, Fixed), patch_lanes(op)
    if x.lanes != math.prod(op.attributes["image"]):
        raise refuse(op, f"{x} does not hold an image {list(op.attributes['image'])}")
    if lanes.min() != NOTHING:
        return fixed(op, lanes.shape, x.lo, x.hi, x.bits)
    padding = op.attributes["padding"]
    lo, hi = min(x.lo, padding), max(x.hi, padding)
    if padding and signed_width(lo, hi) != signed_width(x.lo, x.hi):
        raise refuse(op, f"padding = {padding} needs more bits than {x} has")
    return fixed(op, lanes.shape, lo, hi, x.bits)


def _patches_value(op: Operation, x: np.ndarray) -> np.ndarray:
    lanes = patch_lanes(op)
    kind = op.operands[0].type
    assert isinstance(kind, Fixed)
    return np.where(lanes == NOTHING, op.attributes["padding"] / 2.0**kind.bits, x.reshape(len(x), -1)[:, lanes])


def _infer_overlap_add(op: Operation) -> Type:
    x, lanes = expect(op, 0, Fixed), patch_lanes(op)
    if x.shape != lanes.shape:
        raise refuse(op, f"{x} does not hold patches of shape {lanes.shape}")
    image = op.attributes["image"]
    most = int(np.bincount(lanes[lanes != NOTHING], minlength=1).max(initial=1))
    return fixed(op, (image[0], image[1] * image[2]), min(most * x.lo, 0), max(most * x.hi, 0), x.bits)


def _overlap_add_value(op: Operation, x: np.ndarray) -> np.ndarray:
    lanes, image = patch_lanes(op), op.attributes["image"]
    made = np.zeros((math.prod(image) + 1, len(x)))
    np.add.at(made, lanes, np.moveaxis(x, 0, -1))
    return made[:-1].T.reshape(len(x), image[0], -1)


def _infer_reshape(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    shape = tuple(op.attributes["shape"])
    if math.prod(shape) != x.lanes or min(shape, default=1) < 1:
        raise refuse(op, f"cannot reshape {x} to {list(shape)}")
    return Fixed(shape, x.lo, x.hi, x.bits)


def _infer_argmax(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    if not x.shape:
        raise refuse(op, f"{x} has no axis along which to look for the largest")
    return fixed(op, x.shape[:-1], 0, x.shape[-1] - 1, 0)


def _taps_of(op: Operation) -> int:
    if op.attributes["taps"] < 1:
        raise refuse(op, f"taps = {op.attributes['taps']} must be positive")
    return int(op.attributes["taps"])


def _infer_route(op: Operation) -> Type:
    x, index = expect(op, 0, Fixed), expect(op, 1, Fixed)
    if index.bits or index.hi != _taps_of(op) - 1 or x.lanes != index.lanes or len(index.shape) != 1:
        raise refuse(op, f"{index} does not tell which of {op.attributes['taps']} taps is meant for each lane of {x}")
    return fixed(op, (*index.shape, _taps_of(op)), min(x.lo, 0), max(x.hi, 0), x.bits)


def _infer_spread(op: Operation) -> Type:
    x = expect(op, 0, Fixed)
    return fixed(op, (*x.shape, _taps_of(op)), x.lo, x.hi, x.bits)


TAPS_ATTR = Attr("int", "lanes of the new last axis")

REGISTRY.add(
    Op(
        "train.patches",
        "The lanes of an image under a window at each of its positions (im2col), and a constant in the padding.",
        ("x",),
        _patches_value,
        _infer_patches,
        {**PATCH_ATTRIBUTES, "padding": Attr("int", "what stands in the padding, in units of x", 0)},
        cell=Gather(patch_lanes),
    ),
    Op(
        "train.overlap_add",
        "What train.patches does, the other way round: numbers of patches added up in the image's lanes that they came from "
        "(col2im).",
        ("x",),
        _overlap_add_value,
        _infer_overlap_add,
        PATCH_ATTRIBUTES,
        cell=Scatter(patch_lanes),
    ),
    Op(
        "train.reshape",
        "The same numbers in row-major order under another shape.",
        ("x",),
        lambda op, x: x.reshape(len(x), *op.attributes["shape"]),
        _infer_reshape,
        {"shape": Attr("ints", "new shape")},
        cell=Gather(lambda op: np.arange(op.operands[0].type.lanes).reshape(op.attributes["shape"])),
    ),
    Op(
        "train.argmax",
        "The index of the largest lane (the first one of equals) along the last axis.",
        ("x",),
        lambda op, x: np.argmax(x, axis=-1),
        _infer_argmax,
        cell=Arbiter(),
    ),
    Op(
        "train.route",
        "The error behind a maximum, handed to the tap that was the largest; 0 for the others.",
        ("x", "index"),
        lambda op, x, index: np.where(
            np.arange(op.attributes["taps"]) == index[..., None], x.reshape(*index.shape, 1), 0
        ),
        _infer_route,
        {"taps": TAPS_ATTR},
        cell=Comb(select(Var("lane").equals(Var("index")), Var("x"), 0)),
    ),
    Op(
        "train.spread",
        "Each lane `taps` times: the error behind a sum.",
        ("x",),
        lambda op, x: np.repeat(x[..., None], op.attributes["taps"], axis=-1),
        _infer_spread,
        {"taps": TAPS_ATTR},
        cell=Comb(Var("x")),
    ),
)
