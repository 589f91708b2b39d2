"""The steps of a network that learns, forward and backward: sums of products with an activation, and pooling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.ir import Operation, Value
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.passes.training_builder import Builder, fixed_type
from sccc.passes.training_streams import stream_sums
from sccc.passes.training_updates import update_dense, update_shared

SUM_BITS = 7
"""Fractional bits of a sum before its activation's table, and of the reciprocal's argument."""

SUM_RANGE = 4
"""Sums are limited to -4 .. 4 before a table: tanh and sigmoid have saturated (tanh 4 = 0.9993); sigmoid to twice that."""

SCORE_BITS, SCORE_RANGE = 8, 32
"""Fractional bits and range of the scores that softmax reads."""

MEAN_BITS = 12
"""Fractional bits of one over a pooling window's taps, where these are no power of two."""


@dataclass
class Products:
    """A dense layer or a convolution. `inputs`: x as a vector, or the patches [positions, taps] of an image x."""

    op: Operation
    inputs: Value
    weights: Value
    bias: Value
    out: Value

    @property
    def function(self) -> str:
        return str(self.op.attributes["function"])

    @property
    def name(self) -> str:
        return _name(self.op)

    @staticmethod
    def forward(b: Builder, op: Operation, x: Value, last: bool) -> Products:
        """Registers, sums and activation. Of the last step the result is scores."""
        name = _name(op)
        weight = np.asarray(op.attributes["weight"])
        bias = np.broadcast_to(np.asarray(op.attributes["bias"]), (len(weight),))
        limit = b.options.weight_range or _power_of_two(max(float(np.abs(a).max()) for a in (weight, bias)))
        if op.name == "nn.conv_layer":
            inputs = b.add("patches", [x], f"{name}_patches", **_patch_attributes(op, weight.shape[2:]))
        else:
            inputs = x if len(x.type.shape) == 1 else b.add("reshape", [x], f"{name}_x", shape=[x.type.lanes])
        w = b.register(weight.reshape(len(weight), -1), f"{name}_w", limit)
        held = b.register(bias, f"{name}_b", limit)
        if b.options.forward == "streams":
            sums = stream_sums(b, op, x, w, held)
        else:
            sums = b.add("dense", [inputs, w, held], f"{name}_sum")
        return Products(op, inputs, w, held, _activation(b, str(op.attributes["function"]), sums, name, last))

    def back(self, b: Builder, delta: Value, first: bool) -> Value:
        """Learn from the error in front of the activation; the error of x, unless this is the first layer."""
        handed = delta if first else b.add("backward", [delta, self.weights], f"{self.name}_back")
        update = update_shared if self.op.name == "nn.conv_layer" else update_dense
        update(b, self.name, (self.weights, self.bias), delta, self.inputs)
        if not first and self.op.name == "nn.conv_layer":
            taps = np.asarray(self.op.attributes["weight"]).shape[2:]
            handed = b.add("overlap_add", [handed], f"{self.name}_image", **_patch_attributes(self.op, taps))
        return handed

    def through(self, b: Builder, handed: Value) -> Value:
        """The error in front of the activation, limited, from the error behind it."""
        if handed.type.shape != self.out.type.shape:
            handed = b.add("reshape", [handed], f"{self.name}_handed", shape=list(self.out.type.shape))
        slope = self.slope(b)
        exact = handed if slope is None else b.add("multiply", [handed, slope], f"{self.name}_delta_exact")
        return b.limited(exact, f"{self.name}_delta")

    def slope(self, b: Builder) -> Value | None:
        """The activation's derivative, from its output: 1 - a**2, a (1 - a), or 1 where ReLU is not 0 or saturated; None for 1."""
        out, name, bits = self.out, f"{self.name}_slope", fixed_type(self.out).bits
        if self.function == "identity":
            return None
        if self.function == "relu":
            return b.add("between", [out], name, above=0, below=fixed_type(out).hi)
        if self.function == "sigmoid":
            rest = b.add("subtract", [b.constant("one", 1 << bits, bits), out], f"{name}_rest")
            return b.add("multiply", [out, rest], name)
        square = b.add("multiply", [out, out], f"{name}_square")
        return b.add("subtract", [b.constant("one", 1 << 2 * bits, 2 * bits), square], name)


@dataclass
class Pooling:
    """The largest number or the mean under a window, channel by channel. `index`: which tap was the largest."""

    op: Operation
    out: Value
    index: Value | None
    taps: int

    @staticmethod
    def forward(b: Builder, op: Operation, x: Value) -> Pooling:
        name, shape = _name(op), [op.operands[0].type.shape[0], -1]
        windows = b.add("patches", [x], f"{name}_windows", **_patch_attributes(op), per_channel=True)
        taps, kind, index = windows.type.shape[1], fixed_type(x), None
        if op.name == "nn.max_pool":
            index = b.add("argmax", [windows], f"{name}_index")
            out = b.add("maximum", [windows], f"{name}_largest")
        else:
            mean = b.add("multiply", [b.add("sum", [windows], f"{name}_total"), _share(b, taps)], f"{name}_mean")
            out = b.rounded(mean, kind.bits, f"{name}_rounded", kind.lo, kind.hi)
        shape[1] = out.type.lanes // shape[0]
        return Pooling(op, b.add("reshape", [out], f"{name}_out", shape=shape), index, taps)

    def back(self, b: Builder, handed: Value) -> Value:
        """The error of x, from the error of the result."""
        name = _name(self.op)
        limited = b.limited(handed, f"{name}_delta")
        if self.index is not None:
            taps = b.add("route", [limited, self.index], f"{name}_routed", taps=self.taps)
        else:
            flat = b.add("reshape", [limited], f"{name}_flat", shape=[limited.type.lanes])
            share = b.limited(b.add("multiply", [flat, _share(b, self.taps)], f"{name}_share"), f"{name}_each")
            taps = b.add("spread", [share], f"{name}_spread", taps=self.taps)
        return b.add("overlap_add", [taps], f"{name}_image", **_patch_attributes(self.op), per_channel=True)


def _name(op: Operation) -> str:
    assert op.result is not None
    return op.result.name


def _power_of_two(most: float) -> int:
    """The smallest power of two from 1 on that is at least as large."""
    return 1 << max(0, int(np.ceil(np.log2(max(most, 1.0)))))


def _patch_attributes(op: Operation, kernel: tuple[int, ...] = ()) -> dict[str, Any]:
    window = {key: list(op.attributes[key]) for key in WINDOW_ATTRIBUTES}
    return {"image": list(op.operands[0].type.shape), "kernel": list(kernel or op.attributes["kernel"]), **window}


def _share(b: Builder, taps: int) -> Value:
    """One over the taps of a window."""
    bits = taps.bit_length() - 1 if taps & (taps - 1) == 0 else MEAN_BITS
    return b.constant("share", round((1 << bits) / taps), bits)


def _activation(b: Builder, function: str, sums: Value, name: str, last: bool) -> Value:
    top = b.options.value_bits
    if function == "identity":
        if not last:
            return b.rounded(sums, top, f"{name}_out", -(1 << top), 1 << top)
        limit = SCORE_RANGE << SCORE_BITS
        return b.rounded(sums, SCORE_BITS, f"{name}_score", -limit, limit - 1)
    if function == "relu":
        return b.rounded(sums, top - b.options.relu_range.bit_length() + 1, f"{name}_out", 0, 1 << top)
    curve: Callable[[np.ndarray], np.ndarray] = np.tanh
    limit = SUM_RANGE
    if function == "sigmoid":
        curve, limit = _sigmoid, 2 * SUM_RANGE
    limit <<= SUM_BITS
    v = b.rounded(sums, SUM_BITS, f"{name}_v", -limit, limit)
    table = np.rint(curve(np.arange(-limit, limit + 1) / 2.0**SUM_BITS) * (1 << top)).astype(np.int64)
    return b.add("lookup", [v], f"{name}_out", table=table, bits=top)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
