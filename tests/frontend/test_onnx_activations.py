"""Activations compute what ONNX says, with every attribute, in every opset."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sccc.diagnostics import SccError


@pytest.mark.parametrize("op", ["Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid"])
def test_activations_agree_with_onnx(graph, opset, op):
    g = graph(opset, shape=("N", 3, 4))
    g.node(op)
    g.check()


@pytest.mark.parametrize(
    ("op", "attributes"), [("LeakyRelu", {"alpha": 0.3}), ("HardSigmoid", {"alpha": 0.5, "beta": 0.1})]
)
def test_attributes_are_honoured(graph, opset, op, attributes):
    g = graph(opset)
    g.node(op, **attributes)
    module = g.check()
    assert module.ops[1].attributes == pytest.approx(attributes)


@pytest.mark.parametrize(("lo", "hi"), [(-0.5, 0.75), (None, 0.5), (-0.25, None), (None, None), (0.0, 6.0)])
def test_clip_bounds_are_attributes_or_inputs(graph, opset, lo, hi):
    g = graph(opset)
    if opset < 11:
        g.node("Clip", **{k: v for k, v in (("min", lo), ("max", hi)) if v is not None})
    else:
        names = ["" if bound is None else g.const(bound, np.float32) for bound in (lo, hi)]
        g.node("Clip", "x", *names)
    module = g.check()
    assert module.ops[1].attributes["lo"] == (-math.inf if lo is None else lo)
    assert module.ops[1].attributes["hi"] == (math.inf if hi is None else hi)


def test_clip_bounds_may_come_from_constant_nodes_and_be_infinite(graph):
    g = graph()
    g.node("Clip", "x", g.constant_node(-np.inf, np.float32), g.const(0.5, np.float32))
    g.check()
    g = graph()
    g.node("Clip", "x", g.const(np.finfo(np.float32).min, np.float32), g.const(np.inf, np.float32))
    assert g.check().ops[1].attributes == {"lo": -math.inf, "hi": math.inf}


def test_clip_bounds_must_be_constant_ordered_numbers(graph):
    g = graph()
    g.node("Clip", "x", g.const(1.0, np.float32), g.const(0.0, np.float32), name="reversed")
    g.node("Clip", "x", g.const([0.0, 1.0], np.float32), name="vector")
    g.node("Clip", "x", g.const(np.nan, np.float32, name="nan"), name="nan")
    g.node("Clip", "x", "x", name="runtime")
    g.output("v0").output("v1").output("v2").output("v3")
    with pytest.raises(SccError) as error:
        g.load()
    text = str(error.value)
    assert "node 'reversed': Clip: the lower bound 1 is above the upper bound 0" in text
    assert "node 'vector': Clip: the bound min 'c2' is not one constant number" in text
    assert "initializer 'nan' holds 1 NaN" in text
    assert "node 'runtime': Clip: the bound min 'x' is not one constant number" in text
    assert len(error.value.diagnostics) == 4


def test_hard_swish(graph):
    for opset in (14, 17, 21, 28):
        g = graph(opset, shape=("N", 3, 4))
        g.node("HardSwish")
        assert [op.name for op in g.check()] == ["nn.input", "nn.hard_swish", "nn.output"]


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("layer", ["Gemm", "Conv"])
def test_x_times_hard_sigmoid_is_hard_swish(graph, order, layer):
    """In images of one dimension, too, which are images of height 1 underneath."""
    g = graph(shape=("N", 4) if layer == "Gemm" else ("N", 4, 5))
    x = g.node(layer, "x", g.weight(4, 3) if layer == "Gemm" else g.weight(3, 4, 1))
    gate = g.node("HardSigmoid", alpha=1 / 6, beta=0.5)
    g.node("Mul", *((x, gate) if order else (gate, x)))
    names = [op.name for op in g.check()]
    assert "nn.hard_swish" in names and "nn.hard_sigmoid" not in names


SIXTH = np.float32(1 / 6)


@pytest.mark.parametrize("form", ["behind", "before", "times", "keras"])
def test_x_times_relu6_of_x_plus_3_over_6_is_hard_swish(graph, form):
    """Once constants are folded, nothing else is left of it."""
    from nets import lower

    g = graph(shape=("N", 4))
    three, six, zero = (g.const(n, np.float32) for n in (3.0, 6.0, 0.0))
    g.node("Add", "x", three)
    if form == "keras":
        g.node("Relu")
    g.node("Clip", g.last, zero, six)
    if form == "before":
        g.node("Mul", "x", g.node("Div", g.last, six))
    elif form == "behind":
        g.node("Div", g.node("Mul", "x", g.last), six)
    else:
        g.node("Mul", g.node("Mul", g.last, g.const(SIXTH, np.float32)), "x")
    folded = lower(g.check(), {}, pipeline="fold-constants")
    assert [op.name for op in folded] == ["nn.input", "nn.hard_swish", "nn.output"]


@pytest.mark.parametrize(
    ("op", "attributes", "shift"),
    [("HardSigmoid", {"alpha": 0.2}, 3.0), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.4}, 3.0), ("Clip", {}, 2.0)],
)
def test_other_gates_are_refused(graph, op, attributes, shift):
    g = graph()
    if op == "Clip":
        g.node("Add", "x", g.const(shift, np.float32))
        g.node(op, g.last, g.const(0.0, np.float32), g.const(6.0, np.float32))
    else:
        g.node(op, "x", **attributes)
    g.node("Mul", "x", g.last, name="gate")
    with pytest.raises(SccError, match="'gate': Mul: combines two tensors") as error:
        g.load()
    assert "HardSwish" in error.value.diagnostics[0].advice


def test_the_gate_of_another_tensor_is_refused(graph):
    g = graph()
    g.node("Mul", g.node("Tanh", "x"), g.node("HardSigmoid", "x", alpha=1 / 6))
    with pytest.raises(SccError, match="Mul: combines two tensors"):
        g.load()


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_max_and_min_with_constants_are_limits(graph, opset, op):
    g = graph(opset)
    g.node(op, g.const(0.25, np.float32), "x", g.const([0.5], np.float32))
    assert g.check().ops[1].name == "nn.clip"


def test_max_of_anything_else_is_refused(graph):
    g = graph()
    g.node("Max", "x", "x", name="two")
    g.node("Max", "x", g.weight(4), name="vector")
    g.output("v0").output("v1")
    with pytest.raises(SccError) as error:
        g.load()
    assert [d.message for d in error.value.diagnostics] == [
        "Max: compares tensors that are computed at run time",
        "Max: its bound is not one constant number",
    ]


@pytest.mark.parametrize("layer", ["Gemm", "Conv"])
def test_limits_behind_limits_are_one(graph, layer):
    g = graph(shape=("N", 4) if layer == "Gemm" else ("N", 4, 5))
    g.node(layer, "x", g.weight(4, 3) if layer == "Gemm" else g.weight(3, 4, 1))
    g.node("Relu")
    g.node("Clip", g.last, g.const(-1.0, np.float32), g.const(0.75, np.float32))
    g.node("Max", g.last, g.const(0.25, np.float32))
    (clip,) = g.check().ops_named("nn.clip", "nn.relu")
    assert clip.attributes == {"lo": 0.25, "hi": 0.75}


def test_a_limit_above_another_leaves_one_number(graph):
    g = graph()
    g.node("Clip", "x", g.const(-1.0, np.float32), g.const(0.5, np.float32))
    g.node("Clip", g.last, g.const(2.0, np.float32), g.const(3.0, np.float32))
    assert g.check().ops[1].attributes == {"lo": 2.0, "hi": 2.0}
