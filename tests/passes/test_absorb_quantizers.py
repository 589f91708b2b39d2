"""absorb-quantizers: the scales of quantised models are honoured."""

from __future__ import annotations

import numpy as np
import pytest
from nets import lower

import sccc
from sccc.evaluate import evaluate
from sccc.ir import Module

RNG = np.random.default_rng(11)
X = RNG.random((50, 6))


def quantised(*, zero: int, lo: int, hi: int, step: float, function: str = "") -> Module:
    """6-5-3, with a quantiser at the input and one between the layers."""
    module = Module("qdq")
    x = module.append("nn.input", [], {"shape": [6], "name": "x"}).result
    x = module.append("nn.quantize", [x], {"scale": 1 / 255, "zero_point": 0, "lo": 0, "hi": 255}).result
    weight = np.round(RNG.normal(0, 0.5, (5, 6)), 2)
    h = module.append("nn.dense", [x], {"weight": weight, "bias": np.linspace(-0.2, 0.4, 5)}, result="fc1").result
    if function:
        h = module.append(f"nn.{function}", [h]).result
    h = module.append("nn.quantize", [h], {"scale": step, "zero_point": zero, "lo": lo, "hi": hi}).result
    y = module.append("nn.dense", [h], {"weight": RNG.normal(0, 0.5, (3, 5)), "bias": np.zeros(3)}, result="fc2").result
    module.append("nn.output", [y], {"name": "y"})
    return module


@pytest.mark.parametrize(
    ("zero", "lo", "hi", "function"),
    [(-128, -128, 127, ""), (0, 0, 255, "relu"), (0, -128, 127, ""), (0, 0, 255, "sigmoid"), (10, 0, 255, "tanh")],
)
def test_the_compiled_network_is_as_close_as_its_levels_are(zero, lo, hi, function):
    module = quantised(zero=zero, lo=lo, hi=hi, step=1 / 64, function=function)
    compiled = sccc.compile(module, length=256, bits=8)
    error = evaluate(compiled, X) - evaluate(module, X)
    assert np.sqrt(np.mean(error**2)) < 0.03


def test_an_asymmetric_quantiser_limits_like_the_relu_it_stands_for():
    module = quantised(zero=-128, lo=-128, hi=127, step=1 / 128)
    (first, _) = sccc.compile(module, length=64).reference.ops_named("nn.layer")
    assert first.attributes["function"] == "clip"
    assert (first.attributes["lo"], first.attributes["hi"]) == (0.0, 255 / 128)


def test_levels_become_the_quantisers_own_integers():
    """256 levels of 1/256 of the range are steps of the model's scale: 1/255 at the input, 1/64 between the layers."""
    module = quantised(zero=0, lo=0, hi=255, step=1 / 64, function="relu")
    compiled = sccc.compile(module, length=256, bits=8)
    assert float(compiled.inputs[0].attributes["scale"]) / 256 == pytest.approx(1 / 255)
    (level,) = compiled.ops_named("sc.level")
    assert level.attributes["scale"] / 256 == pytest.approx(1 / 64)


def test_integers_reach_a_convolution_through_what_changes_no_number():
    """Its levels are the quantiser's own: steps of 1/64, 256 of them up to 4."""
    module = Module("qdq")
    x = module.append("nn.input", [], {"shape": [1, 8, 8], "name": "x"}).result
    x = module.append("nn.relu", [x]).result
    x = module.append("nn.quantize", [x], {"scale": 1 / 64, "zero_point": 0, "lo": 0, "hi": 255}).result
    pooled = module.append("nn.max_pool", [x], {"kernel": [2, 2], "strides": [2, 2]}).result
    cut = module.append("nn.slice", [pooled], {"starts": [0, 0, 0], "stops": [1, 4, 3], "steps": [1, 1, 1]}).result
    for value in (x, cut, module.append("nn.avg_pool", [x], {"kernel": [2, 2]}).result):
        module.append("nn.conv", [value], {"weight": np.ones((1, 1, 2, 2))})
    absorbed = lower(module, {}, pipeline="absorb-quantizers")
    assert [op.attributes["range"] for op in absorbed.ops_named("nn.conv")] == [4.0, 4.0, 0.0]
