"""Flatten, Reshape, Transpose, Squeeze and Unsqueeze keep track of the batch axis, wherever it goes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccc.diagnostics import SccError
from sccc.frontend.bindings import BATCH
from sccc.frontend.layout import solve_reshape


@pytest.mark.parametrize(("shape", "axis"), [(("N", 3, 4), 1), (("N", 1, 4), 1), ((5, 3, 4), 1), ((1, 3, 4), 1)])
def test_flatten_keeps_the_batch(graph, opset, shape, axis):
    g = graph(opset, shape=shape)
    g.node("Flatten", axis=axis)
    g.check()


def test_flatten_axis_may_be_negative_or_put_the_batch_last(graph):
    g = graph(shape=("N", 3, 4))
    g.node("Flatten", axis=-2)
    g.check()
    g = graph(shape=(3, 4, "N"))
    g.node("Flatten", axis=2)
    g.check(batch=2, out=1)
    g = graph(shape=(1, 3, 4))
    g.node("Flatten", axis=0)
    g.check(out=0)


@pytest.mark.parametrize("axis", [0, 2])
def test_flatten_of_the_batch_with_other_axes_is_refused(graph, axis):
    g = graph(shape=("N", 3, 4))
    g.node("Flatten", axis=axis, name="flat")
    with pytest.raises(SccError, match="'flat': Flatten: merges the batch axis"):
        g.load()


@pytest.mark.parametrize("target", [[-1, 12], [0, -1], [0, 12], [0, 0, 2, 2], [-1, 3, 2, 2], [-1, 4, 3], [0, 1, -1]])
def test_reshape_with_a_dynamic_batch(graph, opset, target):
    g = graph(opset, shape=("N", 3, 4))
    g.node("Reshape", "x", g.const(target, np.int64))
    g.check()


@pytest.mark.parametrize("target", [[5, 12], [5, -1], [-1, 12], [0, 4, 3], [5, 3, 2, 2]])
def test_reshape_with_a_fixed_batch(graph, opset, target):
    g = graph(opset, shape=(5, 3, 4))
    g.node("Reshape", "x", g.constant_node(target, np.int64))
    g.check()


@pytest.mark.parametrize("target", [[12], [-1], [3, 4], [1, 12], [1, 1, 12]])
def test_reshape_of_one_sample_may_drop_the_batch(graph, target):
    g = graph(shape=(1, 3, 4))
    g.node("Reshape", "x", g.const(target, np.int64))
    g.check(out=0 if target[0] == 1 else None)


def test_reshape_of_an_input_without_batch_gives_it_one(graph):
    g = graph(shape=(12,))
    g.node("Reshape", "x", g.const([1, -1], np.int64))
    g.node("Gemm", g.last, g.weight(12, 3), g.weight(3))
    g.check(batch=None)


@pytest.mark.parametrize(
    "target", [[1, -1], [12, -1], [6, 2], [-1], [-1, 24], [0, 0, 0, 0], [-1, -1], [-2, 12], [0, 5]]
)
def test_reshape_that_mixes_samples_or_does_not_fit_is_refused(graph, target):
    g = graph(shape=("N", 3, 4))
    g.node("Reshape", "x", g.const(target, np.int64), name="mix")
    with pytest.raises(SccError, match="'mix': Reshape: "):
        g.load()


def test_reshape_to_a_shape_computed_from_data_is_refused(graph):
    g = graph(shape=("N", 4))
    g.node("Cast", to=7, name="data")
    g.node("Reshape", "x", g.last, name="bad")
    with pytest.raises(SccError) as error:
        g.load()
    assert "'data': Cast: to INT64" in str(error.value)
    assert "'bad': Reshape: the shape is computed from the data" in str(error.value)


def test_reshape_honours_allowzero(graph):
    g = graph(shape=("N", 4))
    g.node("Reshape", "x", g.const([0, 4], np.int64), allowzero=1)
    with pytest.raises(SccError, match="Reshape: asks for an empty tensor"):
        g.load()


@pytest.mark.parametrize("perm", [list(p) for p in itertools.permutations(range(3))] + [None])
def test_transpose_moves_the_batch_axis_too(graph, opset, perm):
    g = graph(opset, shape=("N", 3, 4))
    g.node("Transpose", **({} if perm is None else {"perm": perm}))
    g.check(out=2 if perm is None else perm.index(0))


def test_transposed_batches_meet_the_layers_behind_them(graph):
    g = graph(shape=("N", 4))
    g.node("Transpose")
    g.node("Add", g.last, g.weight(4, 1))
    g.node("Gemm", g.last, g.weight(4, 3), transA=1)
    g.node("Transpose")
    g.node("MatMul", g.weight(2, 3), g.last)
    g.check(out=1)


def test_reshape_keeps_a_batch_axis_in_the_middle(graph):
    g = graph(shape=("N", 6, 4))
    g.node("Transpose", perm=[1, 0, 2])
    g.node("Reshape", g.last, g.const([2, 3, -1, 2, 2], np.int64))
    g.check(out=2)


@pytest.mark.parametrize("squeezed", [(1,), (-1,), (1, 3), (1, -1)])
def test_squeeze_removes_axes_of_one(graph, opset, axes, squeezed):
    g = graph(opset, shape=("N", 1, 4, 1))
    axes(g, "Squeeze", *squeezed)
    g.check()


def test_squeeze_without_axes_keeps_a_dynamic_batch(graph, opset):
    g = graph(opset, shape=("N", 1, 4, 1))
    g.node("Squeeze")
    g.check()


def test_squeeze_of_a_fixed_batch_of_one_treats_the_rest_as_the_sample(graph, opset, axes):
    g = graph(opset, shape=(1, 4))
    axes(g, "Squeeze", 0)
    g.node("Relu")
    axes(g, "Unsqueeze", 0)
    g.node("Gemm", g.last, g.weight(4, 3), g.weight(3))
    g.check()


@pytest.mark.parametrize(("shape", "axis"), [(("N", 1, 4), 0), ((5, 1, 4), 0), (("N", 1, 4), 2)])
def test_squeeze_of_the_batch_or_of_larger_axes_is_refused(graph, shape, axis):
    g = graph(shape=shape)
    g.node("Squeeze", "x", g.const([axis], np.int64))
    with pytest.raises(SccError, match=r"Squeeze: (removes the batch axis|axis 2 .* does not have size 1)"):
        g.load()


@pytest.mark.parametrize(("added", "out"), [((1,), 0), ((0,), 1), ((-1,), 0), ((0, 3), 1), ((1, -1), 0)])
def test_unsqueeze_inserts_axes(graph, opset, axes, added, out):
    if opset < 11:  # negative axes came with opset 11
        added = tuple(axis if axis >= 0 else axis + 2 + len(added) for axis in added)
    g = graph(opset, shape=("N", 4))
    axes(g, "Unsqueeze", *added)
    g.check(out=out)


def test_shapes_computed_from_a_dynamic_batch(graph, opset, axes):
    """view(x.size(0), -1) as PyTorch writes it: Shape, Gather, Unsqueeze, Concat, Reshape."""
    g = graph(opset, shape=("N", 3, 4))
    g.node("Shape")
    g.node("Gather", g.last, g.constant_node(0, np.int64), axis=0)
    axes(g, "Unsqueeze", 0)
    g.node("Concat", g.last, g.const([-1], np.int64), axis=0)
    g.node("Reshape", "x", g.last)
    g.node("MatMul", g.last, g.weight(12, 2))
    assert [op.name for op in g.check()] == ["nn.input", "nn.reshape", "nn.dense", "nn.output"]


def test_shapes_computed_as_tf2onnx_does(graph):
    """Shape, Cast, Slice or StridedSlice, Concat with constants, Cast, Reshape."""
    g = graph(opset=13, shape=("unk__12", 3, 4), input="input_1:0")
    g.node("Shape", name="model/flatten/Shape")
    g.node("Cast", to=6)
    g.node("Slice", g.last, *(g.const([n], np.int64) for n in (0, 1, 0)))
    g.node("Squeeze", g.last, g.const([0], np.int64))
    g.node("Unsqueeze", g.last, g.const([0], np.int64))
    g.node("Concat", g.last, g.const([2], np.int32), g.const([6], np.int32), axis=0)
    g.node("Cast", to=7)
    g.node("Reshape", "input_1:0", g.last, name="model/flatten/Reshape")
    g.check()


def test_shapes_computed_with_arithmetic(graph):
    g = graph(shape=("N", 3, 4))
    g.node("Shape", start=1)
    g.node("ReduceProd", g.last, keepdims=1)
    g.node("Concat", g.const([-1], np.int64), g.last, axis=0)
    g.node("Reshape", "x", g.last)
    g.check()


def test_a_shape_that_multiplies_the_batch_is_refused(graph):
    g = graph(shape=("N", 3, 4))
    g.node("Shape", start=0, end=1)
    g.node("Mul", g.last, g.const([3], np.int64))
    g.node("Concat", g.last, g.const([4], np.int64), axis=0)
    g.node("Reshape", "x", g.last, name="merge")
    with pytest.raises(SccError, match="'merge': Reshape: the shape 'v2' is neither constant nor the batch size"):
        g.load()


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 3),
    st.lists(st.integers(1, 4) | st.just(-1) | st.just(BATCH), max_size=4),
)
def test_reshape_solutions_agree_with_numpy_for_every_batch_size(sizes, position, target):
    """Where a batch axis is found, sample k of the result is the reshaped sample k, for batches of 5 and 7."""
    dims = (*sizes[:position], BATCH, *sizes[position:])
    solved = solve_reshape(dims, target, None)
    if solved is None:
        return
    for batch in (5, 7):
        old, new = ([batch if d is BATCH else d for d in some] for some in (dims, target))
        x = np.arange(np.prod(old)).reshape(old)
        samples = np.moveaxis(x, dims.index(BATCH), 0)
        lanes = [d for d in solved if d is not BATCH]
        expected = np.moveaxis(x.reshape(new), solved.index(BATCH), 0)
        np.testing.assert_array_equal(samples.reshape(batch, *lanes), expected)
