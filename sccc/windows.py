"""Windows that slide over images: the arithmetic that convolutions and poolings share, in numpy.

Images are [batch, channels, height, width], or without the batch axis where only a shape is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Window:
    """A window of `kernel` taps (rows, columns), `dilations` apart, moved by `strides` over an image padded by `pads`.

    `pads` are (top, left, bottom, right), none negative.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    @staticmethod
    def of(attributes: Mapping[str, Any], kernel: tuple[int, int] | None = None) -> Window:
        """From an op's attributes strides, pads, dilations and, unless given, kernel. Raises ValueError on what is no window."""
        parts = [kernel or attributes["kernel"], *(attributes[k] for k in ("strides", "pads", "dilations"))]
        sizes = [tuple(int(v) for v in part) for part in parts]
        if [len(part) for part in sizes] != [2, 2, 4, 2]:
            raise ValueError("kernel, strides and dilations have two numbers, pads has four")
        if min(*sizes[0], *sizes[1], *sizes[3]) < 1 or min(sizes[2]) < 0:
            raise ValueError("kernel, strides and dilations must be positive, and pads not negative")
        return Window(*sizes)  # type: ignore[arg-type]

    @property
    def span(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last one."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))  # type: ignore[return-value]

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the result. Raises ValueError when the window is larger than the padded image."""
        sizes = []
        for axis, size in enumerate((height, width)):
            padded = size + self.pads[axis] + self.pads[axis + 2]
            if padded < self.span[axis]:
                raise ValueError(
                    f"a window of {self.span} does not fit an image of {height} x {width} with pads {self.pads}"
                )
            sizes.append((padded - self.span[axis]) // self.strides[axis] + 1)
        return sizes[0], sizes[1]

    def offsets(self) -> Iterator[tuple[int, int]]:
        """Row and column of each tap in the window, row by row."""
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                yield row * self.dilations[0], column * self.dilations[1]

    def pad(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """Images with the window's padding."""
        top, left, bottom, right = self.pads
        if not any(self.pads):
            return x
        widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
        return np.pad(x, widths, constant_values=value)

    def views(self, x: np.ndarray, value: float = 0.0) -> Iterator[np.ndarray]:
        """For each tap, the elements [..., output rows, output columns] that it sees: views of the padded images."""
        rows, columns = self.output(x.shape[-2], x.shape[-1])
        padded = self.pad(x, value)
        for row, column in self.offsets():
            yield padded[
                ...,
                row : row + (rows - 1) * self.strides[0] + 1 : self.strides[0],
                column : column + (columns - 1) * self.strides[1] + 1 : self.strides[1],
            ]

    def covered(self, height: int, width: int) -> np.ndarray:
        """How many taps see the image and not its padding, [output rows, output columns]."""
        counts = []
        for axis, (size, outputs) in enumerate(zip((height, width), self.output(height, width), strict=True)):
            begin = np.arange(outputs) * self.strides[axis] - self.pads[axis]
            first = np.maximum(-(begin // self.dilations[axis]), 0)
            last = np.minimum((size - 1 - begin) // self.dilations[axis], self.kernel[axis] - 1)
            counts.append(np.maximum(last - first + 1, 0))
        return np.multiply.outer(*counts)

    def along_axes(self) -> tuple[Window, Window]:
        """The window as one along rows and one along columns: sums and maxima can be taken one after the other."""
        (kh, kw), (sh, sw), (top, left, bottom, right), (dh, dw) = self.kernel, self.strides, self.pads, self.dilations
        return (
            Window((kh, 1), (sh, 1), (top, 0, bottom, 0), (dh, 1)),
            Window((1, kw), (1, sw), (0, left, 0, right), (1, dw)),
        )


CONVOLVED = 1 << 15
"""Sums that are worked on at a time, so that they stay in the second-level cache while all taps pass by."""


def convolve(x: np.ndarray, weight: np.ndarray, window: Window, groups: int = 1) -> np.ndarray:
    """Cross-correlation of images [batch, channels, h, w] with weight [outputs, channels / groups, kh, kw], tap by tap.

    No array is larger than the images or the result. Returns [batch, outputs, rows, columns].
    """
    outputs, inner = weight.shape[:2]
    rows, columns = window.output(x.shape[2], x.shape[3])
    result = np.zeros((len(x), groups, outputs // groups, rows * columns))
    parts = np.ascontiguousarray(np.moveaxis(weight.reshape(groups, outputs // groups, inner, -1), -1, 0))
    some = max(1, CONVOLVED // (outputs * rows * columns))
    for start in range(0, len(x), some):
        sums = result[start : start + some]
        for tap, view in enumerate(window.views(x[start : start + some])):
            lanes = view.reshape(len(sums), groups, inner, rows * columns)
            sums += np.matmul(parts[tap], lanes)
    return result.reshape(len(x), outputs, rows, columns)
