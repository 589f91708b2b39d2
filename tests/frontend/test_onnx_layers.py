"""Gemm, MatMul, arithmetic with constants and BatchNormalization compute what ONNX says, in every opset."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sccc.diagnostics import SccError


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (1,), (3,), (1, 3), (1, 1)])
def test_gemm_honours_alpha_beta_transb_and_every_bias_shape(graph, opset, trans_b, bias):
    g = graph(opset)
    if opset < 11 and bias is None:
        bias = (3,)
    weight = g.weight(3, 4) if trans_b else g.weight(4, 3)
    inputs = ["x", weight] + ([] if bias is None else [g.weight(*bias)])
    g.node("Gemm", *inputs, alpha=0.5, beta=-2.0, transB=trans_b)
    assert [op.name for op in g.check()] == ["nn.input", "nn.dense", "nn.output"]


@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_transa_reads_the_batch_from_axis_1(graph, opset, trans_b):
    g = graph(opset, shape=(4, "N"))
    weight = g.weight(3, 4) if trans_b else g.weight(4, 3)
    g.node("Gemm", "x", weight, g.weight(3), transA=1, transB=trans_b)
    g.check(batch=1)


@pytest.mark.parametrize(
    ("trans_a", "trans_b", "bias"), list(itertools.product([0, 1], [0, 1], [(), (1,), (3, 1), (1, 1)]))
)
def test_gemm_with_the_weight_on_the_left(graph, trans_a, trans_b, bias):
    g = graph(shape=("N", 4) if trans_b else (4, "N"))
    weight = g.weight(4, 3) if trans_a else g.weight(3, 4)
    g.node("Gemm", weight, "x", g.weight(*bias), alpha=2.0, beta=3.0, transA=trans_a, transB=trans_b)
    g.check(batch=0 if trans_b else 1, out=1)


def test_gemm_bias_may_differ_along_rows_only_without_a_batch(graph):
    g = graph(shape=(4,))
    g.node("Unsqueeze", "x", g.const([1], np.int64))
    g.node("Gemm", g.weight(3, 4), g.last, g.weight(3, 1))
    g.check(batch=None, out=None)


def test_gemm_over_the_batch_axis_is_refused(graph):
    g = graph(shape=("N", 4))
    g.node("Gemm", "x", g.weight(5, 3), transA=1, name="bad")
    with pytest.raises(SccError, match="node 'bad': Gemm: sums over the batch axis"):
        g.load()


@pytest.mark.parametrize("bias", [(5, 3), (5, 1)])
def test_bias_that_differs_from_sample_to_sample_is_refused(graph, bias):
    g = graph(shape=(5, 4))
    g.node("Gemm", "x", g.weight(4, 3), g.weight(*bias))
    with pytest.raises(SccError, match="differs from sample to sample"):
        g.load()


@pytest.mark.parametrize("shape", [("N", 4), (5, 4), (1, 4), ("N", 3, 4), ("N", 2, 3, 4)])
def test_matmul_multiplies_along_the_last_axis(graph, opset, shape):
    g = graph(opset, shape=shape)
    g.node("MatMul", "x", g.weight(4, 3))
    g.check()


@pytest.mark.parametrize("shape", [("N", 4, 3), ("N", 2, 4, 3), ("N", 4, 1)])
def test_matmul_with_the_weight_on_the_left(graph, opset, shape):
    g = graph(opset, shape=shape)
    g.node("MatMul", g.weight(5, 4), "x")
    g.check()


def test_matmul_with_the_weight_on_the_left_and_the_batch_last(graph, opset):
    g = graph(opset, shape=(4, "N"))
    g.node("MatMul", g.weight(3, 4), "x")
    g.node("Relu")
    g.node("MatMul", g.weight(2, 3), g.last)
    g.check(batch=1, out=1)


def test_matmul_with_vectors(graph):
    g = graph(shape=("N", 4))
    g.node("MatMul", "x", g.weight(4))
    g.check()
    g = graph(shape=(4,))
    g.node("MatMul", "x", g.weight(4, 3))
    g.check(batch=None, out=None)
    g = graph(shape=(4,))
    g.node("MatMul", g.weight(3, 4), "x")
    g.check(batch=None, out=None)
    g = graph(shape=(4,))
    g.node("MatMul", g.weight(4), "x")
    g.check(batch=None, out=None)


def test_matmul_weight_with_leading_axes_of_one(graph):
    g = graph(shape=("N", 2, 4))
    g.node("MatMul", "x", g.weight(1, 4, 3))
    g.check()


@pytest.mark.parametrize("weight", [(2, 4, 3), (1, 1, 4, 3)])
def test_stacks_of_matrices_are_refused(graph, weight):
    g = graph(shape=("N", 2, 4))
    g.node("MatMul", "x", g.weight(*weight))
    with pytest.raises(SccError, match="is not one matrix"):
        g.load()


def test_matmul_of_two_runtime_tensors_is_refused(graph):
    g = graph(shape=("N", 4, 4))
    g.node("MatMul", "x", "x", name="attention")
    with pytest.raises(SccError, match="'attention': MatMul: multiplies two tensors"):
        g.load()


@pytest.mark.parametrize("weight", [(5, 3), (3, 4)])
def test_weights_that_do_not_fit_are_refused(graph, weight):
    g = graph(shape=("N", 4))
    g.node("MatMul", "x", g.weight(*weight), name="unfit")
    with pytest.raises(SccError, match=rf"'unfit': MatMul: a weight of {weight[0]} inputs does not fit \[N, 4\]"):
        g.load()


CONSTANT_SHAPES = [(), (1,), (4,), (3, 1), (3, 4), (1, 3, 4), (1, 1, 1)]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("constant", CONSTANT_SHAPES)
def test_arithmetic_with_a_constant_broadcasts(graph, opset, op, constant):
    g = graph(opset, shape=("N", 3, 4))
    g.node(op, "x", g.weight(*constant))
    assert [o.name for o in g.check()] == ["nn.input", "nn.affine", "nn.output"]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("constant", CONSTANT_SHAPES)
def test_arithmetic_with_a_constant_on_the_left(graph, op, constant):
    g = graph(shape=("N", 3, 4))
    g.node(op, g.weight(*constant), "x")
    g.check()


@pytest.mark.parametrize(
    ("shape", "constant"),
    [(("N", 1), (4,)), (("N", 4), (1, 1, 4)), ((4,), (1, 4)), (("N", 4), (3,)), (("N", 4), (2, 4))],
)
def test_constants_that_would_enlarge_a_tensor_are_refused(graph, shape, constant):
    g = graph(shape=shape)
    g.node("Add", "x", g.weight(*constant))
    with pytest.raises(SccError, match=r"Add: a constant of shape .* (does not fit|differs from sample)"):
        g.load()


def test_division_by_zero_and_division_of_a_constant_are_refused(graph):
    g = graph()
    g.node("Div", "x", g.const([1.0, 0.0, 2.0, 0.0], np.float32), name="zero")
    g.node("Div", g.const(1.0, np.float32), g.last, name="reciprocal")
    with pytest.raises(SccError) as error:
        g.load()
    first, second = (d.render() for d in error.value.diagnostics)
    assert "node 'zero': Div: divides by zero (2 elements" in first
    assert "node 'reciprocal': Div: divides a constant" in second


@pytest.mark.parametrize("op", ["Sub", "Mul", "Div"])
def test_arithmetic_of_two_runtime_tensors_is_refused_with_advice(graph, op):
    g = graph()
    g.node("Relu")
    g.node(op, g.last, "x", name="skip")
    with pytest.raises(SccError, match=f"'skip': {op}: combines two tensors") as error:
        g.load()
    assert "skip connections" in error.value.diagnostics[0].advice


@pytest.mark.parametrize("shape", [("N", 4), (5, 4), ("N", 4, 3), ("N", 4, 3, 2)])
def test_batch_normalization_is_folded_per_channel(graph, opset, shape):
    g = graph(opset, shape=shape)
    variance = g.const(np.array([0.5, 1.0, 2.0, 0.1], np.float32))
    g.node("BatchNormalization", "x", g.weight(4), g.weight(4), g.weight(4), variance, epsilon=0.01)
    assert [op.name for op in g.check()] == ["nn.input", "nn.affine", "nn.output"]


def test_batch_normalization_in_training_mode_is_refused(graph):
    g = graph(opset=15)
    weights = [g.weight(4) for _ in range(4)]
    g.node("BatchNormalization", "x", *weights, training_mode=1, outputs=["y", "m", "v"], name="bn")
    with pytest.raises(SccError, match="'bn': BatchNormalization: training_mode is set"):
        g.load()


def test_batch_normalization_that_gives_statistics_is_refused(graph):
    g = graph(opset=9)
    g.node("BatchNormalization", "x", *[g.weight(4) for _ in range(4)], outputs=["y", *"mvst"], name="bn")
    with pytest.raises(SccError, match="'bn': BatchNormalization: it gives running statistics"):
        g.load()


def test_batch_normalization_with_impossible_statistics_is_refused(graph):
    g = graph()
    g.node("BatchNormalization", "x", g.weight(4), g.weight(4), g.weight(4), g.const([1, -1, 1, 1], np.float32))
    with pytest.raises(SccError, match=r"variance . epsilon is not positive in 1 channels"):
        g.load()
    g = graph(shape=(4, "N"))
    g.node("BatchNormalization", "x", *[g.const(np.ones(4, np.float32)) for _ in range(4)])
    with pytest.raises(SccError, match="has no channel axis"):
        g.load()


def test_weights_in_half_precision_and_double(graph):
    for dtype in (np.float16, np.float64):
        g = graph()
        g.node("Cast", g.const(np.arange(12).reshape(4, 3) / 8, dtype), to=1)
        g.node("MatMul", "x", g.last)
        g.check()
