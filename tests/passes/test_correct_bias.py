"""correct-bias: the mean error of each layer's totals goes into the accumulators' start values."""

from __future__ import annotations

import numpy as np

import sccc
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.passes import DEFAULT_PIPELINE

RNG = np.random.default_rng(4)
X = RNG.random((400, 20))
WITHOUT = DEFAULT_PIPELINE.replace(",correct-bias", "")


def network() -> Module:
    module = Module("net")
    x = module.append("nn.input", [], {"shape": [20], "name": "x"}).result
    for i, (n, m) in enumerate(((20, 12), (12, 4))):
        attributes = {"weight": RNG.normal(0, 0.5, (m, n)), "bias": RNG.normal(0, 0.3, m)}
        x = module.append("nn.dense", [x], attributes, result=f"fc{i}").result
        x = module.append("nn.relu", [x]).result if i == 0 else x
    module.append("nn.output", [x], {"name": "y"})
    return module


def mean_error(module: Module, passes: str) -> np.ndarray:
    compiled = sccc.compile(module, length=8, calibration=X, passes=passes)
    return (sccc.simulate(compiled, X).output - evaluate(module, X)).mean(axis=0)


def test_the_mean_error_on_calibration_data_vanishes():
    module = network()
    scale = sccc.compile(module, length=8, calibration=X).outputs[0].attributes["scale"]
    before, after = mean_error(module, WITHOUT), mean_error(module, DEFAULT_PIPELINE)
    assert np.abs(before).max() > 2 * scale
    assert np.abs(after).max() <= 0.5 * scale + 1e-9  # start values are integers


def test_the_error_falls_on_other_data_too():
    module = network()
    other = np.random.default_rng(5).random((400, 20))
    rms = []
    for passes in (WITHOUT, DEFAULT_PIPELINE):
        compiled = sccc.compile(module, length=8, calibration=X, coverage=0.95, passes=passes)  # saturates: a bias
        rms.append(np.sqrt(np.mean((sccc.simulate(compiled, other).output - evaluate(module, other)) ** 2)))
    assert rms[1] < 0.9 * rms[0]


def test_without_calibration_data_nothing_changes():
    module = network()
    assert str(sccc.compile(module, passes=WITHOUT)) == str(sccc.compile(module, passes=DEFAULT_PIPELINE))
