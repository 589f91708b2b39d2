"""The estimate before synthesis: within 15 % of what Yosys counts, on networks of every style that it was not calibrated on."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, data

from sccc.api import compile
from sccc.backends.synthesis.yosys import run_yosys
from sccc.backends.verilog import emit_netlist
from sccc.bill_tables import estimated
from sccc.cost import bill
from sccc.energy import OSU018, estimate
from sccc.gates import sum_gates

NETWORKS = {
    "tanh, accumulate": (Spec(sizes=(14, 9, 5), end="argmax", seed=11), {"length": 32, "style": "accumulate"}),
    "relu, streaming": (Spec(sizes=(18, 8, 4), activation="relu", seed=12), {"length": 16, "style": "streaming"}),
    "tanh, streaming": (Spec(sizes=(30, 10, 6), end="argmax", seed=13), {"length": 128, "style": "streaming"}),
    "relu, bipolar": (
        Spec(sizes=(16, 8, 3), activation="relu", end="argmax", seed=14),
        {"length": 32, "style": "accumulate", "encoding": "bipolar"},
    ),
    "sigmoid, signed inputs": (
        Spec(sizes=(20, 12, 4), activation="sigmoid", negative_inputs=True, seed=15),
        {"length": 8, "style": "accumulate"},
    ),
    "sigmoid, streaming": (
        Spec(sizes=(20, 12, 4), activation="sigmoid", end="argmax", seed=18),
        {"length": 64, "style": "streaming"},
    ),
    "an LFSR for every SNG": (
        Spec(sizes=(8, 6, 3), end="argmax", seed=16),
        {"length": 32, "style": "accumulate", "source": "lfsr", "sharing": "none"},
    ),
    "fixed point": (Spec(sizes=(10, 6, 3), end="argmax", seed=17), {"style": "fixed", "bits": 5}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_and_flipflops_are_as_yosys_counts_them(name):
    spec, options = NETWORKS[name]
    module = compile(build(spec), calibration=data(spec, 50), **options)
    gates, flipflops = run_yosys(emit_netlist(module), None).gate_count()
    costs = [layer.cost for layer in bill(module)[0]]
    assert sum(c.gates for c in costs) == pytest.approx(gates, rel=0.15)
    assert sum(c.flipflops for c in costs) == pytest.approx(flipflops, rel=0.05)


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 7, 8, 100, 377])
def test_a_population_count_never_takes_more_than_its_full_adders(lanes):
    assert sum_gates([lanes]) <= 5 * lanes
    assert sum_gates([lanes]) >= 5 * (lanes - lanes.bit_length() - 1) * 0.8


def test_the_estimate_adds_up():
    spec, options = NETWORKS["tanh, accumulate"]
    module = compile(build(spec), calibration=data(spec, 50), **options)
    result = estimated(module)
    for key in ("gates", "flipflops", "area_um2"):
        assert result[key] == pytest.approx(sum(layer[key] for layer in result["layers"]), abs=2)
    assert result["interval"] == 33


def test_energy_grows_with_the_interval_and_with_nothing_hidden():
    spec, options = NETWORKS["tanh, accumulate"]
    (layer, *_), _ = bill(compile(build(spec), calibration=data(spec, 50), **options))
    once, twice = (estimate(layer.cost, instant=False, interval=n) for n in (1, 2))
    expected = layer.cost.gates * OSU018.gate_energy["streams"] + layer.cost.flipflops * OSU018.flipflop_energy
    np.testing.assert_allclose([once.energy, twice.energy], [expected, 2 * expected])
    assert once.area == twice.area
