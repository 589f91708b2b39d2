"""Pooling and means over images compute what ONNX says, with every attribute; the rest is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.diagnostics import SccError

IMAGE = ("N", 3, 7, 10)
WINDOWS = [
    {},
    {"strides": [2, 3]},
    {"pads": [1, 0, 0, 1]},
    {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [3, 1]},
    {"auto_pad": "VALID", "strides": [2, 2]},
]


@pytest.mark.parametrize("attributes", WINDOWS)
def test_max_pool(graph, opset, attributes):
    g = graph(opset, shape=IMAGE)
    g.node("MaxPool", kernel_shape=[3, 2], **attributes)
    g.check()


def test_max_pool_of_negative_numbers_never_takes_the_padding(graph):
    g = graph(shape=IMAGE)
    g.node("Sub", "x", g.const(100.0, np.float32))
    g.node("MaxPool", kernel_shape=[3, 3], pads=[2, 2, 2, 2])
    g.check()


@pytest.mark.parametrize("dilations", [[2, 1], [2, 3]])
def test_max_pool_with_dilations(graph, dilations):
    g = graph(shape=IMAGE)
    g.node("MaxPool", kernel_shape=[2, 3], dilations=dilations, pads=[1, 1, 0, 0])
    g.check()


@pytest.mark.parametrize("attributes", WINDOWS)
@pytest.mark.parametrize("include", [0, 1])
def test_average_pool(graph, opset, attributes, include):
    g = graph(opset, shape=IMAGE)
    g.node("AveragePool", kernel_shape=[3, 2], count_include_pad=include, **attributes)
    g.check()


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("shape", [("N", 1, 6, 7), ("N", 1, 7, 8), ("N", 2, 9, 5)])
@pytest.mark.parametrize(
    "window",
    [
        {"kernel_shape": [3, 3], "strides": [2, 2]},
        {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
        {"kernel_shape": [1, 1], "strides": [2, 2]},
    ],
)
def test_ceil_mode_adds_windows_that_begin_inside_the_image(graph, op, shape, window):
    g = graph(shape=shape)
    g.node(op, ceil_mode=1, **window)
    g.check()


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("pads", [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]])
def test_pads_count_but_not_what_ceil_mode_adds(graph, size, pads):
    g = graph(shape=("N", 1, size, size))
    g.node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=pads, ceil_mode=1, count_include_pad=1)
    g.check()


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 1]}, {"strides": [2], "ceil_mode": 1}])
def test_one_dimension(graph, op, attributes):
    g = graph(shape=("N", 3, 8))
    g.node(op, kernel_shape=[3], **attributes)
    g.check()


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
@pytest.mark.parametrize("shape", [("N", 3, 5, 4), ("N", 3, 6), (5, 2, 1, 1)])
def test_global_pools(graph, opset, op, shape):
    g = graph(opset, shape=shape)
    g.node(op)
    g.node("Flatten")
    g.check()


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        *((("N", 3, 5, 4), axes) for axes in ([2, 3], [-1, -2], [2], [-1])),
        *((("N", 3, 6), axes) for axes in ([2], [-1])),
    ],
)
def test_means_over_rows_and_columns(graph, opset, shape, keepdims, axes):
    rank = len(shape)
    if opset < 11:
        axes = [axis % rank for axis in axes]  # negative axes came with opset 11
    g = graph(opset, shape=shape)
    if opset < 18:
        g.node("ReduceMean", axes=axes, keepdims=keepdims)
    else:
        g.node("ReduceMean", "x", g.const(axes, np.int64), keepdims=keepdims)
    assert g.check().ops_named("nn.avg_pool")


def test_a_mean_over_nothing_changes_nothing(graph):
    g = graph(opset=18, shape=IMAGE)
    g.node("ReduceMean", "x", noop_with_empty_axes=1)
    g.node("Relu")
    assert [op.name for op in g.check()] == ["nn.input", "nn.relu", "nn.output"]


def test_everything_else_is_refused_at_its_node(graph):
    g = graph(opset=18, shape=IMAGE)
    g.node("MaxPool", kernel_shape=[2, 2], outputs=["kept", "indices"], name="indices")
    g.node("Cast", "indices", to=1)
    g.node("MaxPool", "x", kernel_shape=[2, 2], storage_order=1, name="order")
    g.node("MaxPool", "x", kernel_shape=[2, 2], pads=[2, 0, 0, 0], name="nothing")
    g.node("AveragePool", "x", kernel_shape=[8, 2], name="large")
    g.node("AveragePool", "x", kernel_shape=[2], name="short")
    g.node("AveragePool", "x", kernel_shape=[2, 4], strides=[2, 4], auto_pad="VALID", ceil_mode=1, name="twice")
    g.node("ReduceMean", "x", g.const([1], np.int64), name="channels")
    g.node("ReduceMean", "x", g.const([0, 2, 3], np.int64), name="batch")
    g.node("ReduceMean", "x", name="all")
    g.node("GlobalAveragePool", g.node("Flatten", "x"), name="flat")
    for node in g.nodes:
        g.output(node.output[0])
    with pytest.raises(SccError) as error:
        g.load()
    advised = {d.location.node for d in error.value.diagnostics if d.advice}
    found = {d.location.node: d.message for d in error.value.diagnostics}
    assert found == {
        "indices": "MaxPool: gives the indices of the largest elements",
        "order": "MaxPool: gives the indices of the largest elements",
        "nothing": "MaxPool: some windows of (2, 2) see nothing but the pads (2, 0, 0, 0)",
        "large": "AveragePool: a window of (8, 2) does not fit an image of 7 x 10 with pads (0, 0, 0, 0)",
        "short": "AveragePool: kernel_shape [2] does not have one number for each of 2 spatial axes",
        "twice": "AveragePool: ceil_mode with auto_pad 'VALID' is defined in two ways",
        "channels": "ReduceMean: averages the axes [1] of [N, 3, 7, 10]",
        "batch": "ReduceMean: averages the axes [0, 2, 3] of [N, 3, 7, 10]",
        "all": "ReduceMean: averages the axes [0, 1, 2, 3] of [N, 3, 7, 10]",
        "flat": "GlobalAveragePool: its input has the shape [N, 210]: that is no image",
    }
    assert {"indices", "twice", "channels", "flat"} <= advised


def test_indices_that_nobody_reads_do_no_harm(graph):
    g = graph(shape=IMAGE)
    g.node("MaxPool", kernel_shape=[2, 2], outputs=["kept", "indices"])
    g.node("Relu", "kept")
    g.check()
