"""What cannot be trained is told before memory is taken; a normalisation that no layer can take in is a layer of its own."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from image_nets import Builder
from onnx import TensorProto, helper, numpy_helper
from training_checks import assert_kernel_equals_reference

from sccc.api import load
from sccc.diagnostics import SccError
from sccc.ir import Module, Value
from sccc.learning_options import TrainingOptions
from sccc.passes.trainable import MOST_NUMBERS, read_trainable
from sccc.training import layered, training_module


def ended(net: Builder, last: Value) -> Module:
    """The module, with a dense layer of two outputs behind `last`."""
    flat = net.add("nn.reshape", [last], "flat", shape=[last.type.lanes])
    weight = np.zeros((2, last.type.lanes))
    scores = net.add("nn.layer", [flat], "fc", weight=weight, bias=np.zeros(2), function="identity")
    net.module.append("nn.output", [scores], {"name": "scores"})
    return net.module


def wide(side: int) -> Module:
    """64 channels, under a window of 11 x 11, and pooled to one number a map."""
    net = Builder((64, side, side))
    weight, bias = np.zeros((1, 64, 11, 11)), np.zeros(1)
    maps = net.add("nn.conv_layer", [net.x], "c1", weight=weight, bias=bias, function="relu", pads=[5, 5, 5, 5])
    return ended(net, net.add("nn.avg_pool", [maps], "p1", kernel=[side, side], strides=[side, side]))


def test_a_network_too_large_for_memory_is_refused_before_memory_is_taken() -> None:
    assert 64 * 121 * 180**2 < MOST_NUMBERS < 64 * 121 * 190**2
    module = wide(190)
    tracemalloc.start()
    with pytest.raises(SccError, match=r"module 'cnn' needs 2796\d\d\d\d\d numbers for a sample") as refused:
        read_trainable(module)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "narrower" in refused.value.diagnostics[0].advice
    assert peak < 10_000_000
    assert len(read_trainable(wide(180)).steps) == 3


@pytest.mark.parametrize("behind", [True, False])
def test_an_input_read_in_front_of_its_scale_and_behind_it_is_refused(behind: bool) -> None:
    net = Builder((2, 4, 4))
    scaled = net.add("nn.affine", [net.x], "scaled", scale=2.0, shift=0.0)
    weight, bias = np.ones((2, 2, 1, 1)), np.zeros(2)
    maps = net.add("nn.conv_layer", [scaled], "c1", weight=weight, bias=bias, function="identity")
    other = scaled if behind else net.x
    module = ended(net, net.add("nn.add_layer", [maps, other], "a1", function="relu"))
    if behind:
        assert float(read_trainable(module).scale.reshape(-1)[0]) == 0.5
    else:
        with pytest.raises(SccError, match="the input is read in front of a scale and behind it"):
            read_trainable(module)


def normalised_sum() -> onnx.ModelProto:
    """relu(normalised(conv(x) + x)) of 2 x 4 x 4, then a dense layer."""
    random = np.random.default_rng(1)
    constants = {
        "w": random.normal(0, 0.4, (2, 2, 3, 3)),
        "scale": np.array([0.5, 1.5]),
        "shift": np.array([0.1, -0.2]),
        "mean": np.array([0.2, -0.1]),
        "var": np.array([0.8, 1.2]),
        "dense": random.normal(0, 0.3, (3, 32)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "x"], ["sum"], "add"),
        helper.make_node("BatchNormalization", ["sum", "scale", "shift", "mean", "var"], ["bn"], "norm"),
        helper.make_node("Relu", ["bn"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "dense"], ["y"], "gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "normalised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_normalisation_behind_a_sum_learns_as_a_layer_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "normalised.onnx"
    onnx.save(normalised_sum(), str(path))
    module = layered(load(path))
    depthwise = [op for op in module.ops_named("nn.conv_layer") if op.attributes["groups"] == 2]
    assert [np.shape(op.attributes["weight"]) for op in depthwise] == [(2, 1, 1, 1)]
    assert np.allclose(np.ravel(depthwise[0].attributes["weight"]), np.array([0.5, 1.5]) / np.sqrt([0.80001, 1.20001]))
    random = np.random.default_rng(3)
    x, y = random.uniform(-1, 1, (40, 2, 4, 4)), random.integers(0, 3, 40)
    learning = training_module(module, TrainingOptions(rule="gdm", step_bits=6), x)
    before, after = assert_kernel_equals_reference(learning, x, y, forms=("kinds",))
    assert depthwise[0].result is not None
    for part in ("w", "b"):
        name = f"{depthwise[0].result.name}_{part}"
        assert not np.array_equal(before[name], after[name])
