"""Small convolutional networks for tests, as nn modules, with data to run them on."""

from __future__ import annotations

import numpy as np

from sccc.ir import Module, Value
from sccc.verify import verify

ENCODINGS = [
    ("unipolar", "signed"),
    ("signed", "signed"),
    ("bipolar", "bipolar"),
    ("bipolar", "signed"),
    ("unipolar", "bipolar"),
]
"""Encodings of image and weights that a convolution multiplies."""

WINDOWS: dict[str, dict] = {
    "plain": {},
    "pads and strides": {"pads": [1, 0, 2, 1], "strides": [2, 1]},
    "dilations": {"dilations": [2, 1], "pads": [1, 1, 1, 1]},
    "groups": {"groups": 2, "pads": [0, 1, 0, 1]},
    "depthwise": {"groups": 4, "pads": [1, 1, 1, 1]},
    "wide pads": {"pads": [3, 3, 2, 4], "strides": [3, 3]},
}
"""Attributes of a convolution of `conv_module`: what its window may do at the edges and between positions."""


class Builder:
    """Appends layers with seeded random weights to a module; every op has an origin."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.module = Module("cnn")
        self.rng = np.random.default_rng(seed)
        self.x = self.add("nn.input", [], "x", shape=list(shape), name="x")

    def add(self, op: str, operands: list[Value], wish: str, /, **attributes: object) -> Value:
        result = self.module.append(op, operands, attributes, result=wish, origin=wish).result  # type: ignore[arg-type]
        assert result is not None
        return result

    def conv(self, x: Value, name: str, outputs: int, kernel: int = 3, groups: int = 1, **window: object) -> Value:
        inner = x.type.shape[0] // groups
        weight = self.rng.normal(0, 1.2 / np.sqrt(inner * kernel * kernel), (outputs, inner, kernel, kernel))
        bias = self.rng.normal(0, 0.1, outputs)
        return self.add("nn.conv", [x], name, weight=weight, bias=bias, groups=groups, **window)

    def dense(self, x: Value, name: str, outputs: int) -> Value:
        weight = self.rng.normal(0, 1.5 / np.sqrt(x.type.lanes), (outputs, x.type.lanes))
        return self.add("nn.dense", [x], name, weight=weight, bias=self.rng.normal(0, 0.1, outputs))

    def flat(self, x: Value, name: str = "flat") -> Value:
        return self.add("nn.reshape", [x], name, shape=[x.type.lanes])

    def end(self, x: Value, argmax: bool = False) -> Module:
        last = self.add("nn.argmax", [x], "argmax") if argmax else x
        self.module.append("nn.output", [last], {"name": "y"}, origin="y")
        return self.module


def lenet_like(pool: str = "nn.max_pool", function: str = "nn.relu", argmax: bool = False, seed: int = 1) -> Module:
    """conv - act - pool - conv - act - pool - dense on 1 x 10 x 10."""
    b = Builder((1, 10, 10), seed)
    x = b.add(function, [b.conv(b.x, "conv1", 3, pads=[1, 1, 1, 1])], "act1")
    x = b.add(pool, [x], "pool1", kernel=[2, 2], strides=[2, 2])
    x = b.add(function, [b.conv(x, "conv2", 4)], "act2")
    x = b.add(pool, [x], "pool2", kernel=[2, 2], strides=[1, 1])
    return b.end(b.dense(b.flat(x), "fc", 5), argmax)


def conv_module(
    x: str, w: str, window: dict, kernel: tuple[int, int] = (3, 2), fixed: bool = False, length: int = 9
) -> Module:
    """One convolution of 4 x 5 x 4 levels with random weights, and its totals."""
    rng = np.random.default_rng(7)
    module = Module("net")
    bits, layer = 3, {"layer": "c"}
    largest = {"largest": 7} if fixed else {}
    level = {"shape": [4, 5, 4], "name": "x", "encoding": x, "bits": bits, **largest}
    inputs = module.append("sc.input", [], level, result="x").result
    shape = (4, 4 // window.get("groups", 1), *kernel)
    levels = rng.integers(0 if w == "bipolar" else -8 + fixed, 9 - fixed, shape)
    weights = module.append("sc.constant", [], {"levels": levels, "encoding": w, "bits": bits, **layer}).result
    initial = rng.integers(-20, 20, (4, 1, 1))
    assert inputs is not None and weights is not None
    if fixed:
        total = module.append("fx.conv", [inputs, weights], {**window, "initial": initial, **layer}, result="t").result
    else:
        streams = []
        for index, (value, name) in enumerate(((inputs, "xs"), (weights, "ws"))):
            source = module.append("sc.source", [], {"kind": "sobol", "index": index, "bits": bits, **layer}).result
            assert source is not None
            streams.append(module.append("sc.sng", [value, source], {"length": length, **layer}, result=name).result)
        count = module.append("sc.conv", streams, {**window, **layer}, result="c").result  # type: ignore[arg-type]
        assert count is not None
        total = module.append("sc.accumulate", [count], {"initial": initial, **layer}, result="t").result
    assert total is not None
    module.append("sc.output", [total], {"name": "y", "layer": "c"})
    verify(module)
    return module


def residual(seed: int = 2) -> Module:
    """A basic block with a projection, another without, global average pooling, dense; on 2 x 6 x 6."""
    b = Builder((2, 6, 6), seed)
    stem = b.add("nn.relu", [b.conv(b.x, "stem", 4, pads=[1, 1, 1, 1])], "stem_relu")
    first = b.add("nn.relu", [b.conv(stem, "a1", 6, strides=[2, 2], pads=[1, 1, 1, 1])], "a1_relu")
    second = b.conv(first, "a2", 6, pads=[1, 1, 1, 1])
    short = b.conv(stem, "proj", 6, kernel=1, strides=[2, 2])
    block = b.add("nn.relu", [b.add("nn.add", [second, short], "a_sum")], "a_relu")
    third = b.conv(b.add("nn.relu", [b.conv(block, "b1", 6, pads=[1, 1, 1, 1])], "b1_relu"), "b2", 6, pads=[1, 1, 1, 1])
    out = b.add("nn.relu", [b.add("nn.add", [third, block], "b_sum")], "b_relu")
    pooled = b.add("nn.avg_pool", [out], "gap", kernel=[3, 3])
    return b.end(b.dense(b.flat(pooled), "fc", 4))


def mobile(seed: int = 3) -> Module:
    """An inverted residual with ReLU6 and a depthwise convolution, linear bottleneck, hard swish; on 3 x 5 x 5."""
    b = Builder((3, 5, 5), seed)
    stem = b.add("nn.hard_swish", [b.conv(b.x, "stem", 4, pads=[1, 1, 1, 1])], "stem_act")
    wide = b.add("nn.clip", [b.conv(stem, "expand", 8, kernel=1)], "relu6_1", lo=0.0, hi=6.0)
    deep = b.add("nn.clip", [b.conv(wide, "depth", 8, groups=8, pads=[1, 1, 1, 1])], "relu6_2", lo=0.0, hi=6.0)
    narrow = b.conv(deep, "project", 4, kernel=1)
    joined = b.add("nn.add", [stem, narrow], "sum")
    last = b.add("nn.relu", [b.conv(joined, "head", 6, kernel=2, strides=[2, 2], dilations=[2, 2])], "head_relu")
    return b.end(b.dense(b.flat(last), "fc", 3))


def joined(seed: int = 4) -> Module:
    """Branches that are sliced, padded, upsampled, transposed and concatenated; on 2 x 4 x 4."""
    b = Builder((2, 4, 4), seed)
    x = b.add("nn.tanh", [b.conv(b.x, "conv1", 4)], "tanh1")  # 4 x 2 x 2
    left = b.add("nn.slice", [x], "left", starts=[0, 0, 0], stops=[2, 2, 2], steps=[1, 1, 1])
    right = b.add("nn.slice", [x], "right", starts=[2, 0, 0], stops=[4, 2, 2], steps=[1, 1, 1])
    up = b.add("nn.upsample", [left], "up", factors=[2, 2])
    padded = b.add("nn.pad", [right], "padded", pads=[0, 1, 1, 0, 1, 1], value=0.25)
    cat = b.add("nn.concat", [up, padded], "cat", axis=0)  # 4 x 4 x 4
    turned = b.add("nn.transpose", [cat], "turned", perm=[0, 2, 1])
    y = b.add("nn.relu", [b.conv(turned, "conv2", 3)], "relu2")
    again = b.add("nn.tanh", [b.add("nn.max_pool", [y], "pool", kernel=[2, 2])], "tanh2")
    return b.end(b.dense(b.flat(again), "fc", 3))


NETWORKS = {"lenet": lenet_like, "residual": residual, "mobile": mobile, "joined": joined}


def data(module: Module, samples: int, seed: int = 5, signed: bool = False) -> np.ndarray:
    """Smooth-ish random images in 0 .. 1 (or -1 .. 1)."""
    (source,) = module.inputs
    assert source.result is not None
    x = np.random.default_rng(seed).uniform(-1.0 if signed else 0.0, 1.0, (samples, *source.result.type.shape))
    return (x + np.roll(x, 1, axis=-1)) / 2
