"""Which operand lanes meet in a sum of products: what dense layers and convolutions have in common.

A result lane is (group, output of the group, position), in row-major order. It sums, over the taps of its group and position, a
lane of x times a weight. A dense layer has one group and one position.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sccc.ir import Operation
from sccc.ops.registry import Attr, refuse
from sccc.windows import Window

WINDOW_ATTRIBUTES = {
    "strides": Attr("ints", "rows and columns by which the window moves", [1, 1]),
    "pads": Attr("ints", "rows and columns of nothing around the image: top, left, bottom, right", [0, 0, 0, 0]),
    "dilations": Attr("ints", "rows and columns from one tap to the next", [1, 1]),
}
"""Attributes of a window beside its kernel."""

PARALLEL_ATTR = Attr(
    "ints",
    "folded hardware: groups, outputs of a group and taps that are multiplied at once (fold-layers); empty: everything",
    [],
)

NOTHING = -1
"""In place of a lane: padding, which adds nothing to a sum."""


@dataclass(frozen=True)
class Geometry:
    """`outputs` and `taps` are per group; `shape` is the result's; `window` is None for a dense layer, whose x is a vector."""

    groups: int
    outputs: int
    taps: int
    x_shape: tuple[int, ...]
    shape: tuple[int, ...]
    window: Window | None = None

    @property
    def positions(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))

    def lanes(self) -> np.ndarray:
        """The lane of x at each tap, or NOTHING: int32 [positions, groups, taps]. Taps are (channel, row, column) of the kernel."""
        return _lanes(self)

    def weights(self, array: np.ndarray) -> np.ndarray:
        """An array over the weights' lanes as [groups, outputs, taps]."""
        return array.reshape(self.groups, self.outputs, self.taps)

    @property
    def products(self) -> int:
        """Products that are summed, those with padding too."""
        return self.positions * self.groups * self.outputs * self.taps


@lru_cache(maxsize=64)
def _lanes(geometry: Geometry) -> np.ndarray:
    if geometry.window is None:
        return np.arange(geometry.taps, dtype=np.int32).reshape(1, 1, -1)
    lanes = np.arange(np.prod(geometry.x_shape), dtype=np.int32).reshape(geometry.x_shape)
    views = np.stack([*geometry.window.views(lanes, NOTHING)])  # [taps of the kernel, channels, rows, columns]
    kernel, channels = views.shape[:2]
    inner = channels // geometry.groups
    split = views.reshape(kernel, geometry.groups, inner, -1)
    return np.ascontiguousarray(split.transpose(3, 1, 2, 0)).reshape(-1, geometry.groups, inner * kernel)


def dot_geometry(op: Operation, x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> Geometry:
    """Of a product of weights [m, n] and a vector [n]. Raises SccError."""
    if len(x_shape) != 1 or len(w_shape) != 2 or w_shape[1] != x_shape[0]:
        raise refuse(op, f"weights of shape {w_shape} do not fit an input of shape {x_shape}; want [m, n] and [n]")
    return Geometry(1, w_shape[0], w_shape[1], x_shape, (w_shape[0],))


def conv_geometry(op: Operation, x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> Geometry:
    """Of a convolution of an image [c, h, w] with weights [m, c / groups, kh, kw], by the op's attributes. Raises SccError."""
    groups = int(op.attributes["groups"])
    if len(x_shape) != 3 or len(w_shape) != 4:
        raise refuse(op, f"weights of shape {w_shape} do not fit an input of shape {x_shape}; want 4 and 3 axes")
    if groups < 1 or x_shape[0] != groups * w_shape[1] or w_shape[0] % groups:
        raise refuse(op, f"{groups} groups do not fit {x_shape[0]} channels and weights of shape {w_shape}")
    window, rows, columns = window_of(op, x_shape, w_shape[2:])
    taps = w_shape[1] * window.taps
    return Geometry(groups, w_shape[0] // groups, taps, x_shape, (w_shape[0], rows, columns), window)


def window_of(
    op: Operation, x_shape: tuple[int, ...], kernel: tuple[int, ...] | None = None
) -> tuple[Window, int, int]:
    """The window of an op over an image [c, h, w], and the rows and columns of its result. Raises SccError."""
    if len(x_shape) != 3:
        raise refuse(op, f"wants an image [channels, rows, columns], and the input has shape {x_shape}")
    try:
        window = Window.of(op.attributes, kernel)  # type: ignore[arg-type]
        return window, *window.output(x_shape[1], x_shape[2])
    except ValueError as error:
        raise refuse(op, str(error)) from None


def pooled_shape(op: Operation, x_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a pooling op makes of an image [c, h, w]. Raises SccError."""
    window, rows, columns = window_of(op, x_shape)
    if window.covered(*x_shape[1:]).min() < 1:
        raise refuse(op, f"some windows of {window.kernel} see nothing but the pads {window.pads}", "use smaller pads")
    return (x_shape[0], rows, columns)


def geometry_of(op: Operation) -> Geometry:
    """The geometry of an op whose operands are x and constant or streamed weights. Raises SccError."""
    make = conv_geometry if "groups" in op.attributes else dot_geometry
    return make(op, op.operands[0].type.shape, op.operands[1].type.shape)
