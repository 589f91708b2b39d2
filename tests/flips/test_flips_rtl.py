"""Flipped bits in Icarus: the same ones as in the simulator, at the same places, with the same consequences in every cycle."""

from __future__ import annotations

import pytest
from nets import Spec, compiled, data

import sccc
from sccc.backends.simulator import simulate
from sccc.backends.simulator.flip_sites import FlipSite
from sccc.fault_check import check_faults

CASES = (
    ({"length": 32}, "tanh"),
    ({"length": 32, "encoding": "bipolar"}, "relu"),
    ({"length": 48, "style": "streaming"}, "tanh"),
    ({"length": 48, "style": "streaming"}, "relu"),
    ({"length": 32, "style": "streaming", "encoding": "bipolar"}, "tanh"),
)
KINDS = (("operand",), ("product",), ("state",), ("operand", "product", "state"))


def net(options, activation="tanh", samples=3):
    spec = Spec(sizes=(9, 8, 4), options=options, activation=activation)
    return compiled(spec), data(spec, samples)


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@pytest.mark.parametrize(("options", "activation"), CASES)
def test_flips_by_rate(options, activation, kinds):
    module, x = net(options, activation)
    result = check_faults(module, x, flip_rate=0.05, flips=kinds)
    assert result.mismatches == 0, result.first
    assert (simulate(module, x, flip_rate=0.05, flips=kinds).raw != simulate(module, x).raw).any()


@pytest.mark.parametrize("kinds", (("operand",), ("state",), ("operand", "state")), ids="+".join)
@pytest.mark.parametrize("rate", (0.05, 0.5))
def test_flips_of_fixed_point_numbers(kinds, rate):
    module, x = net({"style": "fixed", "bits": 5})
    result = check_faults(module, x, flip_rate=rate, flips=kinds)
    assert result.mismatches == 0, result.first
    assert (simulate(module, x, flip_rate=rate, flips=kinds).raw != simulate(module, x).raw).any()


SITES = {
    "x": [FlipSite("operand", "fc0_count", lane=3, cycle=5)],
    "w": [FlipSite("operand", "fc1_count", lane=9, cycle=31, operand="w", sample=1)],
    "product": [FlipSite("product", "fc1_count", lane=17, cycle=0), FlipSite("product", "fc1_count", lane=3, cycle=7)],
    "state": [FlipSite("state", "fc1_total", lane=2, cycle=30, bit=4), FlipSite("state", "fc1_total", 0, 31, 2)],
}


@pytest.mark.parametrize("which", SITES)
def test_flips_at_sites(which):
    module, x = net({"length": 32})
    result = check_faults(module, x, flip_sites=SITES[which])
    assert result.mismatches == 0, result.first
    beside = check_faults(module, x, flip_rate=0.1, flips=("product", "state"), flip_sites=SITES[which])
    assert beside.mismatches == 0, beside.first


FAULTS = {
    "product mask left out": (" ^ (flip_product & ", " ^ (36'd0 & "),
    "x mask left out": (" ^ fc0_count_flip_x;", ";"),
    "counted the wrong way": ("neg_v[i] ? sum - ", "neg_v[i] ? sum + "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault):
    module, x = net({"length": 32})
    good, bad = FAULTS[fault]

    def alter(text: str) -> str:
        assert good in text
        return text.replace(good, bad)

    assert check_faults(module, x, alter=alter, flip_rate=0.1, flips=("operand", "product")).mismatches > 0


def test_a_netlist_without_faults_has_no_places_for_them():
    module, _ = net({"length": 32})
    assert "flip" not in sccc.emit(module)
