"""QuantizeLinear and DequantizeLinear: their scales are honoured, around weights and around activations."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from sccc.diagnostics import SccError

INTEGER_TYPES = {
    "uint8": (np.uint8, 0, 255, 13),
    "int8": (np.int8, -128, 127, 13),
    "uint16": (np.uint16, 0, 65535, 21),
    "int16": (np.int16, -32768, 32767, 21),
    "uint4": (ml_dtypes.uint4, 0, 15, 21),
    "int4": (ml_dtypes.int4, -8, 7, 21),
}


def qdq(g, source, scale, zero_point, **attributes):
    """QuantizeLinear and DequantizeLinear with the same parameters."""
    inputs = [g.const(scale, np.float32), *([] if zero_point is None else [g.const(zero_point)])]
    g.node("QuantizeLinear", source, *inputs, **attributes)
    return g.node("DequantizeLinear", g.last, *inputs, **attributes)


@pytest.mark.parametrize("kind", INTEGER_TYPES)
def test_activations_are_quantized_to_every_integer_type(graph, kind):
    dtype, lo, hi, opset = INTEGER_TYPES[kind]
    g = graph(opset)
    qdq(g, "x", 0.125, np.array(3, dtype))
    module = g.check()
    assert [op.name for op in module] == ["nn.input", "nn.quantize", "nn.output"]
    assert (module.ops[1].attributes["lo"], module.ops[1].attributes["hi"]) == (lo, hi)


@pytest.mark.parametrize("opset", [11, 13, 17, 21, onnx.defs.onnx_opset_version()])  # the op came with opset 10
def test_without_a_zero_point_integers_are_uint8(graph, opset):
    g = graph(opset)
    qdq(g, "x", 0.25, None)
    assert g.check().ops[1].attributes["hi"] == 255


def test_output_dtype_is_honoured(graph):
    g = graph(opset=21)
    scale = g.const(0.25, np.float32)
    g.node("QuantizeLinear", "x", scale, output_dtype=TensorProto.INT8)
    g.node("DequantizeLinear", g.last, scale)
    assert g.check().ops[1].attributes["lo"] == -128


@pytest.mark.parametrize(("axis", "size"), [(1, 3), (2, 4), (-1, 4)])
def test_activations_are_quantized_per_axis(graph, axis, size):
    g = graph(opset=13, shape=("N", 3, 4))
    qdq(g, "x", [2.0**-k for k in range(size)], np.arange(size, dtype=np.int8), axis=axis)
    g.check()


@pytest.mark.parametrize(("axis", "size"), [(None, 0), (0, 4), (1, 3)])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, ml_dtypes.int4])
def test_quantized_weights_become_their_real_values(graph, axis, size, dtype):
    g = graph(opset=21)
    integers = (np.arange(12).reshape(4, 3) % 8).astype(dtype)
    scale = 0.25 if axis is None else [2.0**-k for k in range(size)]
    attributes = {} if axis is None else {"axis": axis}
    g.node("DequantizeLinear", g.const(integers), g.const(scale, np.float32), **attributes)
    g.node("MatMul", "x", g.last)
    assert [op.name for op in g.check()] == ["nn.input", "nn.dense", "nn.output"]


def test_float_weights_behind_qdq_are_rounded(graph):
    g = graph(opset=13)
    weight = qdq(g, g.weight(4, 3), 0.25, np.int8(0))
    g.node("MatMul", "x", weight)
    weights = g.check().ops[1].attributes["weight"]
    np.testing.assert_array_equal(weights * 4, np.rint(weights * 4))


def test_a_whole_network_in_qdq_form(graph):
    g = graph(opset=13, shape=("N", 6))
    x = qdq(g, "x", 2.0**-5, np.int8(4))
    weight = qdq(g, g.weight(3, 6), [0.125, 0.0625, 0.125], np.zeros(3, np.int8), axis=0)
    bias = g.node("DequantizeLinear", g.const([100, -50, 3], np.int32), g.const(2.0**-8, np.float32))
    g.node("Gemm", x, weight, bias, transB=1)
    g.node("Relu")
    qdq(g, g.last, 2.0**-4, np.uint8(0))
    module = g.check()
    assert [op.name for op in module] == ["nn.input", "nn.quantize", "nn.dense", "nn.relu", "nn.quantize", "nn.output"]


def test_an_integer_input_may_be_dequantized(graph):
    g = graph(opset=13, type=TensorProto.UINT8)
    g.node("DequantizeLinear", "x", g.const(0.5, np.float32), g.const(7, np.uint8))
    assert g.check().ops[1].name == "nn.affine"


def test_quantize_without_dequantize_is_refused(graph):
    g = graph(opset=13)
    scale = g.const(0.5, np.float32)
    g.node("QuantizeLinear", "x", scale, name="open")
    g.node("Reshape", g.last, g.const([0, 2, 2], np.int64), name="reader")
    g.node("DequantizeLinear", g.last, scale)
    with pytest.raises(SccError, match="'reader': Reshape: reads the integers of QuantizeLinear 'open' directly"):
        g.load()
    g = graph(opset=13)
    g.node("QuantizeLinear", "x", g.const(0.5, np.float32), name="last")
    with pytest.raises(SccError, match="output 'v0' is what QuantizeLinear 'last' gives"):
        g.output(type=TensorProto.UINT8).load()


def test_parameters_that_cannot_be_honoured_are_refused(graph):
    g = graph(opset=21, shape=("N", 4))
    half, other = g.const(0.5, np.float32), g.const(0.25, np.float32)
    g.node("QuantizeLinear", "x", half, name="a")
    g.node("DequantizeLinear", g.last, other, name="other-scale")
    g.node("QuantizeLinear", "x", g.const(-1.0, np.float32), name="negative")
    g.node("QuantizeLinear", "x", g.const([1.0] * 5, np.float32), axis=0, name="batch")
    g.node("QuantizeLinear", "x", half, output_dtype=TensorProto.FLOAT8E4M3FN, name="float8")
    g.node("QuantizeLinear", "x", g.const(np.ones((1, 2)), np.float32), block_size=2, name="blocks")
    for k in range(1, 6):
        g.output(f"v{k}")
    with pytest.raises(SccError) as error:
        g.load()
    text = str(error.value)
    assert "node 'other-scale': DequantizeLinear: its scale, zero point or axis differ from those of" in text
    assert "node 'negative': QuantizeLinear: a scale is not positive" in text
    assert "node 'batch': QuantizeLinear: 5 scales do not fit axis 0" in text
    assert "node 'float8': QuantizeLinear: to FLOAT8E4M3FN is not supported" in text
    assert "node 'blocks': QuantizeLinear: block_size is not honoured" in text
    assert len(error.value.diagnostics) == 5


def test_a_convolution_in_qdq_form(graph):
    g = graph(opset=13, shape=("N", 2, 5, 6))
    x = qdq(g, "x", 2.0**-5, np.int8(4))
    weight = qdq(g, g.weight(3, 2, 3, 3), [0.125, 0.0625, 0.125], np.zeros(3, np.int8), axis=0)
    bias = g.node("DequantizeLinear", g.const([100, -50, 3], np.int32), g.const(2.0**-8, np.float32))
    g.node("Conv", x, weight, bias, pads=[1, 1, 1, 1])
    g.node("Relu")
    qdq(g, g.last, 2.0**-4, np.uint8(0))
    g.node("MaxPool", kernel_shape=[2, 2])
    module = g.check()
    names = [op.name.removeprefix("nn.") for op in module]
    assert names == ["input", "quantize", "conv", "relu", "quantize", "max_pool", "output"]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_qlinear_conv_is_a_convolution_between_quantizers(graph, per_channel, bias):
    """Integers in, integers out: what it computes agrees but for a half that rounds either way."""
    g = graph(opset=13, shape=("N", 2, 5, 6))
    scales = [g.const(v, np.float32) for v in (2.0**-4, [0.125, 0.0625, 0.25] if per_channel else 0.125, 2.0**-3)]
    zeros = [
        g.const(v) for v in (np.uint8(100), np.array([0, 1, 2], np.int8) if per_channel else np.int8(1), np.uint8(90))
    ]
    weight = g.const(g.random.integers(-9, 9, (3, 2, 3, 2)), np.int8)
    extra = [g.const([200, -100, 7], np.int32)] if bias else []
    g.node("QuantizeLinear", "x", scales[0], zeros[0])
    parameters = (scales[0], zeros[0], weight, scales[1], zeros[1], scales[2], zeros[2], *extra)
    g.node("QLinearConv", g.last, *parameters, strides=[2, 1], pads=[0, 1, 1, 0])
    g.node("DequantizeLinear", g.last, scales[2], zeros[2])
    names = [op.name.removeprefix("nn.") for op in g.check()]
    assert names == ["input", "quantize", "conv", "quantize", "output"]


def test_qlinear_conv_that_does_not_fit_is_refused(graph):
    g = graph(opset=13, shape=("N", 2, 5, 6))
    half, other, zero, vector = (
        g.const(0.5, np.float32),
        g.const(0.25, np.float32),
        g.const(np.int8(0)),
        g.const([0.5, 0.5], np.float32),
    )
    weight = g.const(np.ones((3, 2, 1, 1)), np.int8)
    q = g.node("QuantizeLinear", "x", half, zero, name="q")
    g.node("QLinearConv", q, other, zero, weight, half, zero, half, zero, name="scale")
    g.node("QLinearConv", q, half, zero, weight, vector, zero, half, zero, name="channels")
    g.node("QLinearConv", q, half, zero, weight, half, zero, vector, zero, name="result")
    g.node("QLinearConv", "x", half, zero, weight, half, zero, half, zero, name="floats")
    for number in range(1, 5):
        g.output(f"v{number}", type=TensorProto.INT8)
    with pytest.raises(SccError) as error:
        g.load()
    assert {d.location.node: d.message for d in error.value.diagnostics} == {
        "scale": "QLinearConv: its scale, zero point or axis differ from those of QuantizeLinear 'q'",
        "channels": "QLinearConv: the weight's scale or zero point is neither one number nor one per output channel",
        "result": "QLinearConv: the scale of y has 2 elements",
        "floats": "QLinearConv: reads no integers: there is no QuantizeLinear before it",
    }
