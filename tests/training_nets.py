"""Random dense networks for the tests of learning on chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sccc.ir import Module, Value
from sccc.training_bench import network

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_on_chip"
MODEL, DIGITS = EXAMPLE / "digits_64_16_10.onnx", EXAMPLE / "digits.npz"


def random_network(sizes: tuple[int, ...], seed: int = 1, function: str = "tanh") -> Module:
    """A network with random weights; hidden layers have this activation."""
    module, random = network(sizes), np.random.default_rng(seed)
    for op in module.ops_named("nn.layer"):
        shape = op.attributes["weight"].shape
        op.attributes["weight"] = random.uniform(-0.6, 0.6, shape)
        op.attributes["bias"] = random.uniform(-0.3, 0.3, shape[0])
        if op.attributes["function"] == "tanh":
            op.attributes["function"] = function
    return module


def small_cnn(function: str = "relu", pool: str = "nn.max_pool", seed: int = 1) -> Module:
    """A 6 x 6 image, 2 maps of 3 x 3 with padding, pooling of 2 x 2, 3 maps of 2 x 2, 4 classes; random weights."""
    module, random = Module("cnn"), np.random.default_rng(seed)
    value = module.append("nn.input", [], {"shape": [1, 6, 6], "name": "x"}, result="x").result

    def layer(op: str, shape: tuple[int, ...], name: str, **attributes: object) -> None:
        nonlocal value
        assert value is not None
        made = {"weight": random.uniform(-0.7, 0.7, shape), "bias": random.uniform(-0.3, 0.3, shape[0]), **attributes}
        value = module.append(op, [value], made, result=name).result  # type: ignore[arg-type]

    layer("nn.conv_layer", (2, 1, 3, 3), "c1", function=function, pads=[1, 1, 1, 1])
    value = module.append(pool, [value], {"kernel": [2, 2], "strides": [2, 2]}, result="p1").result  # type: ignore[list-item]
    layer("nn.conv_layer", (3, 2, 2, 2), "c2", function=function)
    value = module.append("nn.reshape", [value], {"shape": [12]}, result="flat").result  # type: ignore[list-item]
    layer("nn.layer", (4, 12), "fc", function="identity")
    module.append("nn.output", [value], {"name": "y"})  # type: ignore[list-item]
    return module


def small_residual(seed: int = 1) -> Module:
    """A 2 x 6 x 6 image, 4 maps of 3 x 3, padded max pooling, a depthwise and a 1 x 1 convolution beside another 1 x 1 convolution,
    one more addition with a grouped convolution in its branch, padded average pooling, 4 classes; random weights."""
    module, random = Module("residual"), np.random.default_rng(seed)

    def add(op: str, operands: list[Value], result: str, /, **attributes: object) -> Value:
        value = module.append(op, operands, attributes, result=result).result  # type: ignore[arg-type]
        assert value is not None
        return value

    def conv(x: Value, shape: tuple[int, ...], name: str, **attributes: object) -> Value:
        weight, bias = random.uniform(-0.7, 0.7, shape), random.uniform(-0.3, 0.3, shape[0])
        return add("nn.conv_layer", [x], name, weight=weight, bias=bias, **attributes)

    x = add("nn.input", [], "x", shape=[2, 6, 6], name="x")
    first = conv(x, (4, 2, 3, 3), "c1", function="relu", pads=[1, 1, 1, 1])
    pooled = add("nn.max_pool", [first], "p1", kernel=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    depthwise = conv(pooled, (4, 1, 3, 3), "dw", function="clip", lo=0.0, hi=1.5, pads=[1, 1, 1, 1], groups=4)
    branch = conv(depthwise, (4, 4, 1, 1), "pw", function="identity")
    shortcut = conv(pooled, (4, 4, 1, 1), "short", function="identity")
    joined = add("nn.add_layer", [branch, shortcut], "a1", function="relu")
    grouped = conv(joined, (4, 2, 3, 3), "gr", function="identity", pads=[1, 1, 1, 1], groups=2)
    again = add("nn.add_layer", [joined, grouped], "a2", function="identity")
    mean = add("nn.avg_pool", [again], "p2", kernel=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
    flat = add("nn.reshape", [mean], "flat", shape=[16])
    weight = random.uniform(-0.7, 0.7, (4, 16))
    scores = add("nn.layer", [flat], "fc", weight=weight, bias=np.zeros(4), function="identity")
    module.append("nn.output", [scores], {"name": "y"})
    return module
