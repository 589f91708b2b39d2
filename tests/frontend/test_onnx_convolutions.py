"""Conv computes what ONNX says, with every attribute, and stays one op; what it cannot honour is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.diagnostics import SccError

IMAGE = ("N", 4, 7, 9)


def names(module) -> list[str]:
    return [op.name.removeprefix("nn.") for op in module]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1]},
        {"pads": [1, 0, 2, 1]},
        {"dilations": [2, 3]},
        {"kernel_shape": [3, 2]},
        {"strides": [3, 2], "pads": [2, 1, 0, 1], "dilations": [1, 2]},
        {"auto_pad": "VALID", "strides": [2, 2]},
        {"auto_pad": "NOTSET", "pads": [1, 1, 1, 1]},
    ],
)
def test_conv_honours_every_attribute(graph, opset, attributes):
    g = graph(opset, shape=IMAGE)
    g.node("Conv", "x", g.weight(5, 4, 3, 2), g.weight(5), **attributes)
    assert names(g.check()) == ["input", "conv", "output"]


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(
    ("kernel", "strides"), [((3, 2), (1, 1)), ((2, 5), (2, 3)), ((1, 1), (2, 2)), ((4, 4), (3, 1))]
)
def test_auto_pad_is_resolved(graph, mode, kernel, strides):
    g = graph(opset=13, shape=IMAGE)
    g.node("Conv", "x", g.weight(2, 4, *kernel), auto_pad=mode, strides=list(strides))
    (conv,) = g.check().ops_named("nn.conv")
    assert conv.result.type.shape == (2, -(-7 // strides[0]), -(-9 // strides[1]))


@pytest.mark.parametrize(("groups", "outputs"), [(1, 3), (2, 6), (4, 4), (4, 8)])
def test_groups_down_to_depthwise(graph, opset, groups, outputs):
    g = graph(opset, shape=IMAGE)
    g.node("Conv", "x", g.weight(outputs, 4 // groups, 3, 3), g.weight(outputs), group=groups)
    (conv,) = g.check().ops_named("nn.conv")
    assert conv.attributes["groups"] == groups


def test_without_a_bias_and_with_weights_from_nodes(graph):
    g = graph(shape=IMAGE)
    weight = g.constant_node(np.random.default_rng(0).normal(size=(2, 4, 1, 1)), np.float32)
    g.node("Conv", "x", weight)
    g.check()


@pytest.mark.parametrize("shape", [(1, 4, 7, 9), (5, 4, 7, 9), ("batch", 4, 7, 9)])
def test_fixed_and_dynamic_batches(graph, shape):
    g = graph(shape=shape)
    g.node("Conv", "x", g.weight(2, 4, 3, 3))
    g.check()


def test_one_sample_without_a_batch_is_an_image_once_it_has_a_leading_axis(graph):
    g = graph(shape=(1, 36))
    g.node("Reshape", "x", g.const([1, 1, 6, 6], np.int64))
    g.node("Conv", g.last, g.weight(2, 1, 3, 3))
    g.check()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2]},
        {"pads": [2, 1]},
        {"dilations": [3]},
        {"group": 2},
        {"auto_pad": "SAME_LOWER", "strides": [2]},
    ],
)
def test_one_dimensional_convolutions_are_images_of_height_1(graph, opset, attributes):
    g = graph(opset, shape=("N", 4, 9))
    g.node("Conv", "x", g.weight(6, 4 // attributes.get("group", 1), 3), g.weight(6), **attributes)
    (conv,) = g.check().ops_named("nn.conv")
    assert conv.result.type.shape[1] == 1


def test_a_one_dimensional_network_stays_an_image_between_its_layers(graph):
    """Activations, normalisation and additions stand directly behind their convolutions."""
    g = graph(shape=("N", 2, 12))
    first = g.node("Conv", "x", g.weight(4, 2, 3), pads=[1, 1])
    g.node("BatchNormalization", g.last, *[g.const([1, 2, 3, 4], np.float32) for _ in range(4)])
    g.node("Add", g.last, g.weight(4, 1))
    g.node("Relu")
    g.node("Add", g.last, first)
    g.node("Mul", g.last, g.node("HardSigmoid", alpha=1 / 6))
    g.node("MaxPool", kernel_shape=[2], strides=[2])
    g.node("Conv", g.last, g.weight(3, 4, 3))
    g.node("Flatten")
    expected = [
        "input",
        "reshape",
        "conv",
        "affine",
        "affine",
        "relu",
        "add",
        "hard_swish",
        "max_pool",
        "conv",
        "reshape",
    ]
    assert names(g.check()) == [*expected, "output"]


def test_a_constant_along_the_length_of_vectors_is_added_to_each_channel(graph):
    g = graph(shape=("N", 2, 5))
    g.node("Conv", "x", g.weight(3, 2, 1))
    g.node("Add", g.last, g.weight(5))
    g.node("Mul", g.last, g.weight(3, 5))
    g.check()


def test_keras_images_have_their_channels_last(graph):
    g = graph(opset=13, shape=("N", 6, 7, 3))
    g.node("Transpose", perm=[0, 3, 1, 2])
    g.node("Conv", g.last, g.weight(4, 3, 3, 3), auto_pad="SAME_UPPER")
    g.node("Relu")
    g.node("Transpose", perm=[0, 2, 3, 1])
    g.node("Reshape", g.last, g.const([-1, 168], np.int64))
    g.node("MatMul", g.last, g.weight(168, 2))
    g.check()


def test_values_may_be_read_by_several_branches(graph):
    """A residual block with a projection, and a block whose branches are joined."""
    g = graph(shape=("N", 4, 8, 8))
    trunk = g.node("Relu", g.node("Conv", "x", g.weight(4, 4, 3, 3), pads=[1, 1, 1, 1]))
    g.node("Conv", trunk, g.weight(6, 4, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])
    left = g.node("Conv", g.node("Relu"), g.weight(6, 6, 3, 3), pads=[1, 1, 1, 1])
    right = g.node("Conv", trunk, g.weight(6, 4, 1, 1), strides=[2, 2])
    joined = g.node("Relu", g.node("Add", left, right))
    parts = [g.node("Conv", joined, g.weight(2, 6, 1, 1)), joined, g.node("MaxPool", joined, kernel_shape=[1, 1])]
    g.node("Concat", *parts, axis=1)
    g.node("GlobalAveragePool")
    g.node("Flatten")
    g.node("Gemm", g.last, g.weight(14, 3))
    g.check()


def test_every_misfit_is_refused_at_its_node(graph):
    g = graph(shape=IMAGE)
    weight, bias = g.weight(2, 4, 3, 3), g.weight(2)
    deep, flat = g.node("Unsqueeze", "x", g.const([1], np.int64)), g.node("Flatten", "x")
    cases = {
        "three": ((deep, g.weight(2, 1, 3, 3, 3)), {}),
        "flat": ((flat, weight), {}),
        "weight": (("x", "x"), {}),
        "axes": (("x", g.weight(2, 4, 3)), {}),
        "kernel": (("x", weight), {"kernel_shape": [3, 2]}),
        "channels": (("x", g.weight(2, 3, 3, 3)), {}),
        "groups": (("x", weight), {"group": 3}),
        "bias": (("x", weight, g.weight(3)), {}),
        "large": (("x", g.weight(2, 4, 8, 3)), {}),
        "strides": (("x", weight), {"strides": [1]}),
        "stop": (("x", weight), {"strides": [0, 1]}),
        "pads": (("x", weight), {"pads": [0, -1, 0, 0]}),
        "both": (("x", weight), {"pads": [1, 1, 1, 1], "auto_pad": "SAME_UPPER"}),
        "auto": (("x", weight), {"auto_pad": "SAME"}),
        "dilations": (("x", weight), {"dilations": [1, 1, 1]}),
        "fine": (("x", weight, bias), {}),
    }
    for name, (inputs, attributes) in cases.items():
        g.output(g.node("Conv", *inputs, name=name, **attributes))
    with pytest.raises(SccError) as error:
        g.load()
    found = {d.location.node: d.message for d in error.value.diagnostics}
    assert found == {
        "three": "Conv: its input has the shape [N, 1, 4, 7, 9]: images in three dimensions are not supported",
        "flat": "Conv: its input has the shape [N, 252]: that is no image",
        "weight": "Conv: the weight 'x' is computed at run time",
        "axes": "Conv: a weight of shape [2, 4, 3] does not fit 2 spatial axes",
        "kernel": "Conv: kernel_shape [3, 2] differs from that of the weight, [3, 3]",
        "channels": "Conv: 1 groups do not fit 4 channels and weights of shape (2, 3, 3, 3)",
        "groups": "Conv: 3 groups do not fit 4 channels and weights of shape (2, 4, 3, 3)",
        "bias": "Conv: a bias of shape (3,) does not fit 2 outputs",
        "large": "Conv: a window of (8, 3) does not fit an image of 7 x 9 with pads (0, 0, 0, 0)",
        "strides": "Conv: strides [1] does not have one number for each of 2 spatial axes",
        "stop": "Conv: kernel, strides and dilations must be positive, and pads not negative",
        "pads": "Conv: pads [0, -1, 0, 0] are negative",
        "both": "Conv: has both pads and auto_pad 'SAME_UPPER'",
        "auto": "Conv: the auto_pad 'SAME' is unknown",
        "dilations": "Conv: dilations [1, 1, 1] does not have one number for each of 2 spatial axes",
    }


def test_a_batch_that_is_not_first_is_refused(graph):
    g = graph(shape=(4, "N", 5, 5))
    g.node("Conv", "x", g.weight(2, 4, 3, 3))
    with pytest.raises(SccError, match=r"Conv: its input has the shape \[4, N, 5, 5\]: that is no image"):
        g.load()
