"""Images in ONNX's layout, and the windows that Conv and the poolings slide over them.

Vectors with channels [N, C, L] are images of height 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sccc.frontend.bindings import Tensor
from sccc.frontend.handlers import LARGEST_VALUE, Step
from sccc.frontend.layout import reshape_lanes, show
from sccc.ir import Attribute
from sccc.windows import Window

WINDOW_ATTRIBUTES: dict[str, Any] = {
    "auto_pad": "NOTSET",
    "dilations": None,
    "kernel_shape": None,
    "pads": None,
    "strides": None,
}
"""Attributes that Conv and the poolings have in common."""


@dataclass(frozen=True)
class Image:
    """`tensor` has an nn value of shape [channels, rows, columns]; `axes`: how many spatial axes ONNX sees, 1 or 2."""

    tensor: Tensor
    axes: int

    @staticmethod
    def of(step: Step, x: Tensor) -> Image:
        """A tensor [N, C, H, W] or [N, C, L]. Raises SccError for any other."""
        if x.batch is None and x.dims[:1] == (1,):
            x = reshape_lanes(step, replace(x, batch=0), x.value.type.shape[1:])
        if x.batch != 0 or x.rank not in (3, 4):
            what = "images in three dimensions are not supported" if x.rank == 5 else "that is no image"
            raise step.refuse(
                f"its input has the shape {show(x.dims)}: {what}",
                "it must be [N, channels, rows, columns], or [N, channels, length], with the batch first",
            )
        channels, *sizes = x.value.type.shape
        return Image(reshape_lanes(step, x, [channels, *([1, *sizes] if x.rank == 3 else sizes)]), x.rank - 2)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        _, height, width = self.tensor.value.type.shape
        return height, width

    def apply(self, step: Step, op: str, **attributes: Attribute) -> Tensor:
        """The result of an nn op on the image, in the layout that ONNX expects."""
        result = step.apply(op, self.tensor, **attributes)
        channels, height, width = result.value.type.shape
        return reshape_lanes(step, result, [channels, height, width] if self.axes == 2 else [channels, width])

    def sizes(self, step: Step, what: str, numbers: Sequence[int], fill: int = 1) -> list[int]:
        """One number per spatial axis, as rows and columns. Raises SccError when there are more or fewer."""
        if len(numbers) != self.axes:
            raise step.refuse(f"{what} {list(numbers)} does not have one number for each of {self.axes} spatial axes")
        return [fill] * (2 - self.axes) + [int(number) for number in numbers]

    def window(self, step: Step, kernel: Sequence[int]) -> Window:
        """The window that the node's attributes and a kernel (one number per spatial axis) describe. Raises SccError."""
        taps, strides, dilations = (
            self.sizes(step, what, given or [1] * self.axes)
            for what, given in (
                ("kernel_shape", kernel),
                ("strides", step.attributes["strides"]),
                ("dilations", step.attributes["dilations"]),
            )
        )
        try:
            window = Window.of({"strides": strides, "pads": [0] * 4, "dilations": dilations}, (taps[0], taps[1]))
            window = replace(window, pads=self._pads(step, window))
        except ValueError as error:
            raise step.refuse(str(error)) from error
        (channels, height, width), (top, left, bottom, right) = self.tensor.value.type.shape, window.pads
        padded = channels * (top + height + bottom) * (left + width + right)
        if padded > LARGEST_VALUE:
            raise step.refuse(f"pads its image to {padded:,} numbers; at most {LARGEST_VALUE:,} are computed")
        return window

    def _pads(self, step: Step, window: Window) -> tuple[int, int, int, int]:
        mode, given = step.attributes["auto_pad"], step.attributes["pads"]
        if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise step.refuse(f"the auto_pad '{mode}' is unknown")
        if mode == "NOTSET":
            begins, ends = (given or [0] * 2 * self.axes)[: self.axes], (given or [0] * 2 * self.axes)[self.axes :]
            top, left, bottom, right = self.sizes(step, "pads", begins, 0) + self.sizes(step, "pads", ends, 0)
            if min(top, left, bottom, right) < 0:
                raise step.refuse(f"pads {list(given)} are negative", "cut the image with a Slice")
            return top, left, bottom, right
        if any(given or ()):
            raise step.refuse(f"has both pads and auto_pad '{mode}'", "give one of them")
        if mode == "VALID":
            return 0, 0, 0, 0
        # As many windows as strides begin in the image; an odd pad goes to the side that the mode names.
        totals = [
            max((-(-size // stride) - 1) * stride + span - size, 0)
            for size, stride, span in zip(self.size, window.strides, window.span, strict=True)
        ]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        begins, ends = (less, more) if mode == "SAME_UPPER" else (more, less)
        return begins[0], begins[1], ends[0], ends[1]
