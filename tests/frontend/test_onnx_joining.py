"""Add, Sum, Concat, Split, Slice and Pad of what the network computes agree with ONNX; what would mix samples is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.diagnostics import SccError
from sccc.frontend.handlers import LARGEST_VALUE


def refusals(g) -> dict[str, str]:
    for node in g.nodes:
        for name in node.output:
            g.output(name)
    with pytest.raises(SccError) as error:
        g.load()
    return {d.location.node: d.message for d in error.value.diagnostics}


@pytest.mark.parametrize("op", ["Add", "Sum"])
@pytest.mark.parametrize("shape", [("N", 4), ("N", 3, 4), ("N", 2, 3, 4)])
def test_computed_tensors_of_one_shape_are_added(graph, opset, op, shape):
    g = graph(opset, shape=shape)
    left, right = g.node("Relu", "x"), g.node("Tanh", "x")
    g.node(op, left, right)
    assert g.check().ops_named("nn.add")


def test_sums_of_many_tensors_and_constants(graph, opset):
    g = graph(opset, shape=("N", 3, 4))
    left, right = g.node("Relu", "x"), g.node("Tanh", "x")
    g.node("Sum", left, g.weight(4), right, "x", g.weight(3, 1))
    g.node("Sum", g.last)
    module = g.check()
    assert [op.name for op in module].count("nn.add") == 2


def test_a_tensor_may_be_added_to_itself(graph):
    g = graph()
    g.node("Add", "x", "x")
    g.check()


def test_computed_tensors_are_not_repeated(graph):
    g = graph(shape=("N", 3, 4))
    g.node("Split", "x", g.const([1, 2], np.int64), axis=1, outputs=["row", "rest"], name="split")
    g.node("Add", "x", "row", name="gate")
    assert refusals(g) == {"gate": "Add: adds tensors of the shapes [N, 3, 4] and [N, 1, 4]"}


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_concat(graph, opset, axis, count):
    if opset < 11 and axis < 0:
        axis += 3  # negative axes came with opset 11
    g = graph(opset, shape=("N", 3, 4))
    parts = [g.node(op, "x") for op in ("Relu", "Tanh", "Sigmoid")[:count]]
    g.node("Concat", *parts, axis=axis)
    assert len(g.check().ops_named("nn.concat")) == count - 1


def test_concat_of_different_sizes_behind_the_batch_in_the_middle(graph):
    g = graph(shape=(3, "N", 4))
    first = g.node("Slice", "x", *(g.const([n], np.int64) for n in (0, 2, 0)))
    g.node("Concat", first, "x", axis=0)
    g.check(batch=1, out=1)


def test_what_cannot_be_joined_is_refused(graph):
    g = graph(shape=("N", 3, 4))
    flat, turned = g.node("Flatten", "x"), g.node("Transpose", "x", perm=[1, 0, 2])
    g.node("Concat", "x", "x", axis=0, name="batch")
    g.node("Concat", "x", turned, axis=2, name="turned")
    g.node("Concat", "x", flat, axis=1, name="ranks")
    g.node("Concat", "x", g.weight(5, 3, 4), axis=1, name="constant")
    assert refusals(g) == {
        "batch": "Concat: joins [N, 3, 4] and [N, 3, 4] along axis 0",
        "turned": "Concat: joins [N, 3, 4] and [3, N, 4] along axis 2",
        "ranks": "Concat: shapes (3, 4) and (12,) cannot be joined along axis 0",
        "constant": "Concat: joins constants to what the network computes",
    }


@pytest.mark.parametrize(("axis", "sizes"), [(1, [2, 4]), (2, [1, 2, 1]), (-2, [5, 1])])
def test_split_into_given_sizes(graph, opset, axis, sizes):
    g = graph(opset, shape=("N", 6, 4))
    names = [f"part{k}" for k in range(len(sizes))]
    if opset < 13:
        g.node("Split", "x", axis=axis % 3, split=sizes, outputs=names)
    else:
        g.node("Split", "x", g.const(sizes, np.int64), axis=axis, outputs=names)
    for name in names:
        g.outputs.clear()
        g.output(name).check()


@pytest.mark.parametrize("parts", [2, 3])
def test_split_into_equal_parts_is_joined_again(graph, opset, parts):
    g = graph(opset, shape=("N", 6, 4))
    names = [f"part{k}" for k in range(parts)]
    g.node("Split", "x", axis=1, outputs=names, **({"num_outputs": parts} if opset >= 18 else {}))
    g.node("Concat", *names[::-1], axis=2)
    g.check()


def test_split_leaves_the_rest_to_the_last_part(graph):
    g = graph(opset=18, shape=("N", 7))
    g.node("Split", "x", axis=1, num_outputs=3, outputs=["a", "b", "c"])
    g.output("c")
    assert g.check().ops[-2].result.type.shape == (1,)


def test_split_that_does_not_fit_is_refused(graph):
    g = graph(opset=13, shape=("N", 6))
    g.node("Split", "x", axis=0, outputs=["a", "b"], name="batch")
    g.node("Split", "x", axis=1, outputs=["c", "d", "e", "f"], name="uneven")
    g.node("Split", "x", g.const([2, 5], np.int64), axis=1, outputs=["g", "h"], name="sizes")
    g.node("Split", "x", g.const([6, 0], np.int64), axis=1, outputs=["i", "j"], name="empty")
    assert refusals(g) == {
        "batch": "Split: splits the batch axis of [N, 6]",
        "uneven": "Split: 6 elements cannot be split into 4 equal parts",
        "sizes": "Split: parts of [2, 5] do not make up axis 1 of [N, 6]",
        "empty": "Split: parts of [6, 0] do not make up axis 1 of [N, 6]",
    }


ENDLESS = np.iinfo(np.int64).max
SLICES = [
    ([1], [3], [1], None),
    ([1, 0], [3, -1], [2, 1], None),
    ([0, 2], [ENDLESS, ENDLESS], [0, -1], None),
    ([-3], [ENDLESS], [1], [2]),
    ([0, 1], [5, 9], [1, 2], [3, 2]),
    ([0, 0], [ENDLESS, 2], None, None),
]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
def test_slices(graph, opset, starts, ends, axes, steps):
    if opset < 10 and (steps is not None or min(axes or [0]) < 0):
        opset = 10  # before, there are no steps and no negative axes
    g = graph(opset, shape=("N", 5, 6))
    if opset < 10:
        g.node("Slice", "x", starts=starts, ends=ends, **({} if axes is None else {"axes": axes}))
    else:
        inputs = ["" if part is None else g.const(part, np.int64) for part in (starts, ends, axes, steps)]
        g.node("Slice", "x", *inputs)
    g.check()


def test_a_slice_of_everything_vanishes(graph):
    g = graph(shape=(5, 4))
    g.node("Slice", "x", *(g.const(part, np.int64) for part in ([0, 0], [5, 4], [0, 1], [1, 1])))
    g.node("Relu")
    assert [op.name for op in g.check()] == ["nn.input", "nn.relu", "nn.output"]


def test_slices_that_cannot_be_honoured_are_refused(graph):
    g = graph(shape=("N", 5, 6))
    cases = {
        "batch": ([1], [3], [0], [1]),
        "backwards": ([4], [0], [1], [-1]),
        "nothing": ([3], [3], [1], [1]),
        "twice": ([0, 1], [2, 2], [1, -2], [1, 1]),
        "lengths": ([0, 1], [2], [1], [1]),
        "range": ([0], [1], [3], [1]),
    }
    for name, parts in cases.items():
        g.node("Slice", "x", *(g.const(part, np.int64) for part in parts), name=name)
    g.node("Slice", "x", "x", "x", name="runtime")
    assert refusals(g) == {
        "batch": "Slice: cuts the batch axis of [N, 5, 6]",
        "backwards": "Slice: steps [-1] are not positive",
        "nothing": "Slice: leaves nothing of [N, 5, 6]",
        "twice": "Slice: an axis is named twice: [1, -2]",
        "lengths": "Slice: starts [0, 1], ends [2], axes [1] and steps [1] do not fit together",
        "range": "Slice: axis 3 is out of range for a tensor of 3 axes",
        "runtime": "Slice: the starts 'x' is computed at run time",
    }


@pytest.mark.parametrize("value", [None, 1.5])
@pytest.mark.parametrize("pads", [[0, 0, 1, 2, 0, 0, 0, 1], [0, 1, 0, 0, 0, 2, 0, 0], [0, 0, -1, 1, 0, 0, 2, -2]])
def test_pads(graph, opset, pads, value):
    g = graph(opset, shape=("N", 2, 4, 5))
    if opset < 11:
        g.node("Pad", "x", pads=pads, **({} if value is None else {"value": value}))
    else:
        g.node("Pad", "x", g.const(pads, np.int64), *([] if value is None else [g.const(value, np.float32)]))
    g.check(runtime_only=min(pads) < 0)


def test_pads_of_some_axes(graph):
    g = graph(opset=18, shape=("N", 2, 4, 5))
    g.node("Pad", "x", g.const([1, 2, 0, 3], np.int64), "", g.const([-1, 2], np.int64))
    g.check()


def test_pads_of_nothing_vanish(graph):
    g = graph(shape=("N", 2, 4))
    g.node("Pad", "x", g.const([0] * 6, np.int64))
    g.node("Relu")
    assert [op.name for op in g.check()] == ["nn.input", "nn.relu", "nn.output"]


def test_pads_that_cannot_be_honoured_are_refused(graph):
    g = graph(opset=18, shape=("N", 2, 4))
    zeros = g.const([0, 0, 1, 0, 0, 1], np.int64)
    for mode in ("reflect", "edge"):
        g.node("Pad", "x", zeros, mode=mode, name=mode)
    g.node("Pad", "x", g.const([1, 0, 0, 0, 0, 0], np.int64), name="batch")
    g.node("Pad", "x", g.const([0, 1], np.int64), name="short")
    g.node("Pad", "x", g.const([0, 0, -2, 0, 0, -2], np.int64), name="nothing")
    g.node("Pad", "x", zeros, "x", name="value")
    assert refusals(g) == {
        "reflect": "Pad: the mode 'reflect' is not supported",
        "edge": "Pad: the mode 'edge' is not supported",
        "batch": "Pad: pads the batch axis of [N, 2, 4]",
        "short": "Pad: pads [0, 1] do not fit the axes [0, 1, 2] of [N, 2, 4]",
        "nothing": "Pad: leaves nothing of [N, 2, 4]",
        "value": "Pad: the value 'x' is computed at run time",
    }


def test_small_files_cannot_ask_for_large_tensors(graph):
    g = graph(opset=18, shape=("N", 4, 8, 8))
    g.node("Pad", "x", g.const([0, 0, 1 << 40, 0, 0, 0, 0, 0], np.int64), name="pad")
    g.node("Resize", "x", "", g.const([1, 1, 1 << 20, 1 << 20], np.float32), name="resize")
    g.node("MaxPool", "x", kernel_shape=[1, 1 << 40], pads=[0, 0, 0, 1 << 40], name="pool")
    g.node("Conv", "x", g.weight(1, 4, 1, 1), pads=[1 << 30, 0, 0, 0], strides=[1 << 30, 1], name="conv")
    g.node("MaxPool", "x", kernel_shape=[1 << 20, 1], pads=[0, 0, (1 << 20) - 1, 0], name="fine")
    g.node("Relu", "x")
    for number in range(30):
        g.node("Concat", g.last, g.last, axis=1, name=f"double{number}")
    found = refusals(g)
    assert (
        found["pad"]
        == f"Pad: gives {4 * 8 * ((1 << 40) + 8):,} numbers per sample; at most {LARGEST_VALUE:,} are computed"
    )
    assert found["resize"].startswith("Resize: resizes axis 2")
    assert found["pool"].startswith("MaxPool: pads its image to 35,184,372,089,088 numbers")
    assert found["conv"].startswith("Conv: pads its image to 34,359,738,624 numbers")
    assert "fine" not in found
    assert "double17" not in found and found["double18"].startswith("Concat: gives 134,217,728 numbers")
