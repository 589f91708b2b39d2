"""fuse-layers: a layer is a dense op and its activation; what cannot be one is refused, everything at once."""

from __future__ import annotations

import numpy as np
import pytest
from nets import ATTRIBUTES, Spec, build, data, lower

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module

PIPELINE = "fold-constants,fuse-layers"


def start(*shape: int) -> tuple[Module, object]:
    module = Module("net")
    return module, module.append("nn.input", [], {"shape": list(shape), "name": "x"}).result


@pytest.mark.parametrize("function", ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid"))
@pytest.mark.parametrize("end", ("none", "argmax", "softmax", "relu"))
def test_layers_compute_what_the_network_does(function, end):
    spec = Spec((4, 5, 3), function, end, seed=2)
    module, x = build(spec), data(spec)
    before = evaluate(module, x)
    fused = lower(module, {}, pipeline=PIPELINE)
    np.testing.assert_allclose(evaluate(fused, x), before)
    first, second = fused.ops_named("nn.layer")
    assert (first.attributes["function"], first.attributes["activation_origin"]) == (function, "act0")
    assert second.attributes["function"] == ("relu" if end == "relu" else "identity")
    for name, value in ATTRIBUTES.get(function, {}).items():
        assert first.attributes[name] == value


def test_an_activation_with_another_reader_is_a_layer_of_its_own():
    module, x = start(3)
    dense = module.append("nn.dense", [x], {"weight": np.eye(3), "bias": np.zeros(3)}).result
    act = module.append("nn.tanh", [dense]).result
    module.append("nn.output", [act], {"name": "y"})
    module.append("nn.output", [dense], {"name": "also"})
    assert len(lower(module, {}, pipeline=PIPELINE).ops_named("nn.layer")) == 2


def test_elementwise_ops_alone_are_diagonal_layers():
    module, x = start(3)
    act = module.append("nn.tanh", [x], {}, origin="Tanh_0").result
    module.append("nn.output", [act], {"name": "y"})
    (layer,) = lower(module, {}, pipeline=PIPELINE).ops_named("nn.layer")
    assert np.array_equal(layer.attributes["weight"], np.eye(3)) and layer.attributes["function"] == "tanh"


def test_all_refusals_come_at_once_with_their_nodes():
    module, x = start(2, 3)
    wide = module.append("nn.dense", [x], {"weight": np.ones((4, 3))}, origin="Wide").result
    turned = module.append("nn.tanh", [wide], {}, origin="Turn").result
    flat = module.append("nn.reshape", [turned], {"shape": [8]}, origin="Flat").result
    last = module.append("nn.dense", [flat], {"weight": np.ones((2, 8))}, origin="Last").result
    module.append("nn.output", [last], {"name": "y"})
    with pytest.raises(SccError) as caught:
        lower(module, {}, pipeline=PIPELINE)
    nodes = [d.location.node for d in caught.value.diagnostics]
    assert {"Wide", "Turn"} <= set(nodes) and "Last" not in nodes
    assert all(d.advice for d in caught.value.diagnostics)
    assert "must be a vector" in str(caught.value) and "Flatten" in str(caught.value)


def test_a_layer_that_the_configuration_names_wrongly():
    module = build(Spec((3, 4, 2)))
    with pytest.raises(SccError, match=r"fc9.*does not have") as caught:
        lower(
            module,
            {},
            pipeline=PIPELINE,
            layers={"fc9": {"length": 8}, "/fc0/Gem": {"length": 8}, "fc1": {"length": 8}},
        )
    advice = [d.advice for d in caught.value.diagnostics]
    assert len(advice) == 2 and any("'/fc0/Gemm'" in a for a in advice)


def test_reshapes_before_the_first_layer_are_nothing():
    module, x = start(2, 3)
    flat = module.append("nn.reshape", [x], {"shape": [6]}).result
    y = module.append("nn.dense", [flat], {"weight": np.ones((2, 6))}).result
    module.append("nn.output", [y], {"name": "y"})
    data = np.arange(12.0).reshape(2, 2, 3)
    fused = lower(module, {}, pipeline=PIPELINE)
    assert np.array_equal(evaluate(fused, data), data.reshape(2, 6).sum(axis=1, keepdims=True).repeat(2, axis=1))
    assert len(fused.ops_named("nn.layer")) == 1
