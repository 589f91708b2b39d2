"""The steps of a network that learns, forward and backward: sums of products, sums of branches, and pooling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.ir import Operation, Value
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.passes.training_activations import activation, step_name
from sccc.passes.training_builder import Builder, fixed_type
from sccc.passes.training_streams import stream_sums
from sccc.passes.training_updates import update_dense, update_shared
from sccc.windows import Window

MEAN_BITS = 12
"""Fractional bits of one over a pooling window's taps, where these are no power of two."""


@dataclass
class Products:
    """A dense layer or a convolution. `inputs`: x as a vector, or the patches [groups x positions, taps] of an image x."""

    op: Operation
    inputs: Value
    weights: Value
    bias: Value
    out: Value

    @property
    def groups(self) -> int:
        return int(self.op.attributes.get("groups", 1))

    @staticmethod
    def forward(b: Builder, op: Operation, x: Value, last: bool) -> Products:
        """Registers, sums and activation. Of the last step the result is scores."""
        name, groups = step_name(op), int(op.attributes.get("groups", 1))
        weight = np.asarray(op.attributes["weight"])
        bias = np.broadcast_to(np.asarray(op.attributes["bias"]), (len(weight),))
        limit = b.options.weight_range or _power_of_two(max(float(np.abs(a).max()) for a in (weight, bias)))
        if op.name == "nn.conv_layer":
            inputs = b.add("patches", [x], f"{name}_patches", **_patch_attributes(op, groups, weight.shape[2:]))
        else:
            inputs = b.shaped(x, (x.type.lanes,), f"{name}_x")
        w = b.register(weight.reshape(len(weight), -1), f"{name}_w", limit)
        held = b.register(bias, f"{name}_b", limit)
        if b.options.forward == "streams":
            sums = stream_sums(b, op, x, w, held)
        else:
            sums = b.add("dense", [inputs, w, held], f"{name}_sum", groups=groups)
        return Products(op, inputs, w, held, activation(b, op, sums, last))

    def back(self, b: Builder, delta: Value, needed: bool) -> list[Value]:
        """Learn from the error in front of the activation; the error of x, where it is needed."""
        name, groups, convolves = step_name(self.op), self.groups, self.op.name == "nn.conv_layer"
        handed = [b.add("backward", [delta, self.weights], f"{name}_back", groups=groups)] if needed else []
        registers = self.weights, self.bias
        if convolves:
            update_shared(b, name, registers, delta, self.inputs, groups)
        else:
            update_dense(b, name, registers, delta, self.inputs)
        if needed and convolves:
            window = _patch_attributes(self.op, groups, np.asarray(self.op.attributes["weight"]).shape[2:])
            handed = [b.add("overlap_add", handed, f"{name}_image", **window)]
        return handed


@dataclass
class Joint:
    """Where branches meet: an activation of the exact sum of x and y, or of x alone."""

    op: Operation
    out: Value

    @staticmethod
    def forward(b: Builder, op: Operation, x: Value, y: Value) -> Joint:
        sums = x if op.attributes["alone"] else b.added(x, y, f"{step_name(op)}_sum")
        return Joint(op, activation(b, op, sums, False))

    def back(self, b: Builder, delta: Value) -> list[Value]:
        """The error in front of the activation, handed to both branches as it is."""
        return [delta] if self.op.attributes["alone"] else [delta, delta]


@dataclass
class Pooling:
    """The largest number or the mean under a window, channel by channel. `index`: which tap was the largest.

    `share`: what a tap counts for in the mean, for all windows or for each. Padding is less than any number, so it is never the
    largest; the mean is over the image, or (include_pad) over all taps.
    """

    op: Operation
    out: Value
    index: Value | None
    share: Value | None
    taps: int

    @staticmethod
    def forward(b: Builder, op: Operation, x: Value) -> Pooling:
        name, channels, kind = step_name(op), op.operands[0].type.shape[0], fixed_type(x)
        most = op.name == "nn.max_pool"
        padding = {"padding": kind.lo - 1} if most and any(op.attributes["pads"]) else {}
        windows = b.add("patches", [x], f"{name}_windows", **_patch_attributes(op, channels), **padding)
        index, share = None, None
        if most:
            index = b.add("argmax", [windows], f"{name}_index")
            out = b.add("maximum", [windows], f"{name}_largest")
        else:
            share = _share(b, op)
            mean = b.add("multiply", [b.add("sum", [windows], f"{name}_total"), share], f"{name}_mean")
            out = b.rounded(mean, kind.bits, f"{name}_rounded", kind.lo, kind.hi)
        out = b.shaped(out, (channels, out.type.lanes // channels), f"{name}_out")
        return Pooling(op, out, index, share, windows.type.shape[1])

    def back(self, b: Builder, handed: Value) -> list[Value]:
        """The error of x, from the error of the result."""
        name = step_name(self.op)
        limited = b.limited(handed, f"{name}_delta")
        if self.index is not None:
            taps = b.add("route", [limited, self.index], f"{name}_routed", taps=self.taps)
        else:
            assert self.share is not None
            flat = b.add("reshape", [limited], f"{name}_flat", shape=[limited.type.lanes])
            share = b.limited(b.add("multiply", [flat, self.share], f"{name}_share"), f"{name}_each")
            taps = b.add("spread", [share], f"{name}_spread", taps=self.taps)
        window = _patch_attributes(self.op, self.op.operands[0].type.shape[0])
        return [b.add("overlap_add", [taps], f"{name}_image", **window)]


Step = Products | Joint | Pooling


def _power_of_two(most: float) -> int:
    """The smallest power of two from 1 on that is at least as large."""
    return 1 << max(0, int(np.ceil(np.log2(max(most, 1.0)))))


def _patch_attributes(op: Operation, groups: int, kernel: tuple[int, ...] = ()) -> dict[str, Any]:
    window = {key: list(op.attributes[key]) for key in WINDOW_ATTRIBUTES}
    image, size = list(op.operands[0].type.shape), list(kernel or op.attributes["kernel"])
    return {"image": image, "kernel": size, **window, "groups": groups}


def _share(b: Builder, op: Operation) -> Value:
    """One over the taps of a window, for each window where they see more or less of the padding."""
    window, (channels, rows, columns) = Window.of(op.attributes), op.operands[0].type.shape
    covered = np.full((1,), window.taps) if op.attributes["include_pad"] else window.covered(rows, columns)
    taps = np.broadcast_to(covered.reshape(-1), (channels, covered.size)).reshape(-1)
    if taps.min() == taps.max():
        taps = taps[0]
    exact = not np.any(taps & (taps - 1))
    bits = int(taps.max()).bit_length() - 1 if exact else MEAN_BITS
    return b.constant("share", np.rint((1 << bits) / taps).astype(np.int64), bits)
