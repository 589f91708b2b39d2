"""Softmax and ArgMax end a network; between input and end Identity, Dropout, Cast and Constant hand numbers on."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from sccc.diagnostics import SccError


@pytest.mark.parametrize(("shape", "axis"), [(("N", 4), 1), (("N", 4), -1), (("N", 4), None), ((5, 4), 1)])
def test_softmax_over_the_classes(graph, opset, shape, axis):
    if opset < 11 and axis == -1:
        axis = 1  # negative axes came with opset 11
    g = graph(opset, shape=shape)
    g.node("Softmax", **({} if axis is None else {"axis": axis}))
    assert g.check().ops[1].name == "nn.softmax"


def test_softmax_over_the_last_of_several_axes_depends_on_the_opset(graph, opset):
    g = graph(opset, shape=("N", 3, 4))
    g.node("Softmax")
    if opset < 13:
        g.node("Flatten")  # the module ends with the 12 classes of each sample, and so does this graph
    g.check()


def test_softmax_before_opset_13_runs_over_all_axes_behind_its_own(graph):
    """PyTorch wrote the last axis always; axis 1 of three axes means all their elements together."""
    g = graph(opset=11, shape=("N", 3, 4))
    g.node("Softmax", axis=2)
    g.check()
    g = graph(opset=11, shape=("N", 3, 4))
    g.node("Softmax", axis=1)
    module = g.load()
    assert [op.name for op in module] == ["nn.input", "nn.reshape", "nn.softmax", "nn.output"]


def test_softmax_over_channels_with_trailing_axes_of_one(graph):
    g = graph(shape=("N", 4, 1, 1))
    g.node("Softmax", axis=1)
    g.node("Flatten")
    g.check()


@pytest.mark.parametrize(("shape", "axis"), [(("N", 4), 0), (("N", 3, 4), 1), ((4, "N"), -1)])
def test_softmax_over_anything_else_is_refused(graph, shape, axis):
    g = graph(shape=shape)
    g.node("Softmax", axis=axis, name="soft")
    with pytest.raises(SccError, match="'soft': Softmax: runs over"):
        g.load()


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("softmax", [False, True])
def test_argmax_with_all_that_exporters_write_behind_it(graph, opset, keepdims, softmax):
    g = graph(opset)
    if softmax:
        g.node("Softmax", axis=1)
    g.node("ArgMax", axis=1, keepdims=keepdims)
    g.node("Cast", to=6)
    g.node("Reshape", g.last, g.const([-1], np.int64))
    g.node("Identity")
    g.output(type=TensorProto.INT32)
    assert [op.name for op in g.check()][-2:] == ["nn.argmax", "nn.output"]


@pytest.mark.parametrize("attributes", [{"axis": 0}, {}, {"axis": 1, "select_last_index": 1}])
def test_argmax_over_the_batch_or_of_the_last_index_is_refused(graph, attributes):
    g = graph()
    g.node("ArgMax", **attributes)
    with pytest.raises(SccError, match=r"ArgMax: (runs over the batch axis|select_last_index is not honoured)"):
        g.output(type=TensorProto.INT64).load()


def test_nothing_may_compute_behind_softmax_or_argmax(graph):
    g = graph()
    g.node("Softmax", axis=1, name="soft")
    g.node("MatMul", "v0", g.weight(4, 2), name="layer")
    g.node("ArgMax", "v0", axis=1, name="best")
    g.node("Relu", name="late")
    g.output("v1").output("v3")
    with pytest.raises(SccError) as error:
        g.load()
    first, second = error.value.diagnostics
    assert "node 'layer': MatMul: its input 'v0' comes from Softmax" in first.render()
    assert "node 'late': Relu: its input 'v2' comes from ArgMax" in second.render()


def test_of_labels_and_scores_the_scores_are_taken(graph):
    g = graph()
    g.node("Softmax", axis=1, outputs=["scores"])
    g.node("ArgMax", axis=1, outputs=["label"])
    g.output("label", type=TensorProto.INT64).output("scores")
    module = g.load()
    assert [op.name for op in module] == ["nn.input", "nn.softmax", "nn.output"]
    assert module.outputs[0].attributes["name"] == "scores"


def test_of_labels_and_logits_the_logits_are_taken(graph):
    g = graph()
    g.node("MatMul", "x", g.weight(4, 3), outputs=["logits"])
    g.node("Softmax", axis=1)
    g.node("ArgMax", axis=1, outputs=["label"])
    g.output("logits").output("label", type=TensorProto.INT64)
    with pytest.raises(SccError, match="2 outputs"):
        g.load()  # the label is taken of the probabilities, not of the logits


def test_unrelated_outputs_are_refused(graph):
    g = graph()
    g.node("Relu")
    g.node("Tanh", "x")
    g.output("v0").output("v1")
    with pytest.raises(SccError, match=r"2 outputs \('v0', 'v1'\)") as error:
        g.load()
    assert "extract_model" in error.value.diagnostics[0].advice


def test_identity_and_dropout_vanish(graph, opset):
    g = graph(opset)
    g.node("Identity")
    g.node("Dropout", **({"ratio": 0.25} if opset < 12 else {}))
    g.node("Relu")
    g.node("Identity")
    assert [op.name for op in g.check()] == ["nn.input", "nn.relu", "nn.output"]


def test_dropout_in_training_or_with_its_mask_is_refused(graph):
    g = graph()
    g.node("Dropout", "x", g.const(0.5, np.float32), g.const(True), name="training")
    g.node("Dropout", outputs=["kept", "mask"], name="masked")
    g.node("Cast", "mask", to=1)
    g.output("kept").output(g.last)
    with pytest.raises(SccError) as error:
        g.load()
    text = str(error.value)
    assert "node 'training': Dropout: training_mode is set" in text
    assert "node 'masked': Dropout: its mask is used" in text


def test_dropout_with_an_unused_mask_or_training_off_is_accepted(graph):
    g = graph()
    g.node("Dropout", "x", g.const(0.5, np.float32), g.const(False), outputs=["kept", "mask"])
    g.node("Relu")
    g.check()


def test_casts_between_floats_are_accepted(graph):
    g = graph()
    g.node("Cast", to=TensorProto.DOUBLE)
    g.node("Cast", to=TensorProto.FLOAT)
    g.node("Relu")
    g.check()


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT32])
def test_integer_inputs_may_be_cast_to_float(graph, kind):
    g = graph(type=kind)
    g.node("Cast", to=TensorProto.FLOAT)
    g.node("Div", g.last, g.const(255.0, np.float32))
    g.check()


def test_arithmetic_on_integers_is_refused(graph):
    g = graph(type=TensorProto.UINT8)
    g.node("Sub", "x", g.const([128], np.uint8), name="wraps")
    g.node("Cast", to=1)
    with pytest.raises(SccError, match="'wraps': Sub: computes with UINT8"):
        g.load()


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8])
def test_casts_to_integers_are_refused(graph, kind):
    g = graph()
    g.node("Cast", to=kind, name="floor")
    with pytest.raises(SccError, match=r"'floor': Cast: to .* changes what the network computes"):
        g.output(type=kind).load()


def test_every_form_of_constant_is_read(graph):
    g = graph()
    g.node("Constant", outputs=["a"], value_float=2.0)
    g.nodes[-1].input[:] = []
    g.node("Constant", outputs=["b"], value_floats=[1.0, 2.0, 3.0, 4.0])
    g.nodes[-1].input[:] = []
    g.node("Constant", outputs=["s"], value_ints=[-1, 2, 2])
    g.nodes[-1].input[:] = []
    g.node("Mul", "x", "a")
    g.node("Add", g.last, "b")
    g.node("Reshape", g.last, "s")
    g.check()


def test_weights_computed_from_constants_are_folded(graph, opset):
    g = graph(opset)
    g.node("Transpose", g.weight(3, 4), perm=[1, 0])
    g.node("Mul", g.last, g.const(0.5, np.float32))
    g.node("Concat", g.last, g.weight(4, 2), axis=1)
    weight = g.node("Identity")
    g.node("MatMul", "x", weight)
    assert [op.name for op in g.check()] == ["nn.input", "nn.dense", "nn.output"]
