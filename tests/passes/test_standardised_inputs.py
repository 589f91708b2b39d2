"""Features of different kinds: a standardisation in front of the first layer is done to the input's levels."""

from __future__ import annotations

import numpy as np
import pytest

import sccc
from sccc.evaluate import evaluate
from sccc.ir import Module

RNG = np.random.default_rng(2)
MEAN, DEVIATION = np.array([0.01, 900.0, -3.0, 5e4, 0.5, 7.0]), np.array([0.002, 40.0, 1.0, 2e3, 0.1, 3.0])
X = MEAN + DEVIATION * RNG.normal(size=(300, 6))


def network(deviation: np.ndarray = DEVIATION) -> Module:
    module = Module("tabular")
    x = module.append("nn.input", [], {"shape": [6], "name": "x"}, result="x").result
    x = module.append("nn.affine", [x], {"scale": 1 / deviation, "shift": -MEAN / deviation}, result="scaler").result
    for i, (n, m) in enumerate(((6, 8), (8, 3))):
        x = module.append("nn.dense", [x], {"weight": RNG.normal(0, 0.5, (m, n)), "bias": RNG.normal(0, 0.2, m)}).result
        x = module.append("nn.tanh", [x]).result if i == 0 else x
    module.append("nn.output", [x], {"name": "y"})
    return module


def test_features_a_million_times_apart_keep_their_precision():
    module = network()
    compiled = sccc.compile(module, length=256, calibration=X)
    wanted = evaluate(module, X)
    assert np.sqrt(np.mean((sccc.simulate(compiled, X).output - wanted) ** 2)) < 0.05 * wanted.std()
    assert np.asarray(compiled.inputs[0].attributes["scale"]).shape == (6,)


def test_the_netlist_says_how_each_feature_becomes_a_level_and_equals_the_simulator():
    compiled = sccc.compile(network(), length=16, calibration=X)
    text = sccc.emit(compiled)
    assert "level = round((x - offset) / scale * 2**4)" in text
    assert all(f"{v:.9g}" in text for v in np.asarray(compiled.inputs[0].attributes["offset"]))
    result = sccc.check(compiled, X[:3])
    assert result.mismatches == 0 and result.compared > 0


def test_without_calibration_data_the_range_is_three_deviations_and_the_user_is_told():
    warnings: list[str] = []
    compiled = sccc.compile(network(), length=64, warnings=warnings)
    assert warnings == ["no calibration data: standardised inputs are taken to lie within +-3"]
    assert np.asarray(compiled.inputs[0].attributes["scale"]) == pytest.approx(3 * DEVIATION)


def test_an_even_normalisation_is_folded_into_the_weights():
    compiled = sccc.compile(network(np.full(6, 2.0)), length=64, calibration=X)
    assert np.ndim(compiled.inputs[0].attributes["scale"]) == 0
    assert not compiled.reference.ops_named("nn.affine")
