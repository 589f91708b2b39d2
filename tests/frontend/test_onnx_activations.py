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
