"""fold-layers: balanced parallelism from a number of multipliers, of cycles, or per layer; results stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from image_nets import data, lenet_like, mobile, residual

import sccc
from sccc.dataflow import dataflow
from sccc.diagnostics import SccError
from sccc.folding import folding_of
from sccc.ir import Module


def folded(network: Module, **options: object) -> Module:
    return sccc.compile(network, calibration=data(network, 8), length=16, **options)  # type: ignore[arg-type]


def foldings(module: Module) -> dict[str, object]:
    return {
        str(op.attributes["layer"]): folding_of(op) for op in module.ops_named("sc.conv", "sc.dot", "fx.conv", "fx.dot")
    }


@pytest.mark.parametrize("make", [lenet_like, residual, mobile])
def test_multipliers_are_never_exceeded_and_more_of_them_are_never_slower(make):
    before = None
    for most in (8, 24, 72, 400):
        module = folded(make(), multipliers=most)
        found = foldings(module)
        assert len(found) <= sum(f.multipliers for f in found.values()) <= most
        slowest = max(f.cycles for f in found.values())
        assert before is None or slowest <= before
        before = slowest


@pytest.mark.parametrize("make", [lenet_like, residual, mobile])
def test_no_layer_takes_more_than_the_cycles_asked_for_and_none_has_hardware_to_spare(make):
    for cycles in (20_000, 4_000, 1_700):
        module = folded(make(), cycles=cycles)
        flow = dataflow(module, cycles)
        assert max(engine.cycles for engine in flow.engines) <= cycles
        for op in module.ops_named("sc.conv", "sc.dot"):
            groups, outputs, taps = op.attributes["parallel"]
            if taps > 1:  # with one tap less at once, the layer would be late
                assert folding_of(op, [groups, outputs, taps - 1]).working > cycles or outputs > 1


def test_results_do_not_depend_on_folding():
    network = residual()
    x = data(network, 20)
    runs = [sccc.simulate(folded(network, **o), x).raw for o in ({}, {"multipliers": 30}, {"cycles": 3000})]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


def test_a_layer_may_name_its_own_multipliers():
    module = folded(lenet_like(), multipliers=20, layers={"conv2": {"multipliers": 7}})
    found = foldings(module)
    assert found["conv2"].multipliers == 7
    assert sum(f.multipliers for name, f in found.items() if name != "conv2") <= 20


def test_without_an_option_everything_works_at_once():
    assert all(op.attributes["parallel"] == [] for op in folded(lenet_like()).ops_named("sc.conv", "sc.dot"))


def test_fixed_point_takes_the_same_options():
    network = lenet_like()
    module = sccc.compile(network, calibration=data(network, 8), style="fixed", bits=6, multipliers=16)
    assert 3 <= sum(f.multipliers for f in foldings(module).values()) <= 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multipliers": 2}, "2 multipliers are too few for 3 layers"),
        ({"multipliers": 9, "cycles": 5000}, "are both asked for"),
        ({"cycles": 20}, "cannot be done in 20 cycles"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(options, message):
    with pytest.raises(SccError, match=message) as caught:
        folded(lenet_like(), **options)
    assert all(d.advice for d in caught.value.diagnostics)


def test_all_layers_that_are_too_slow_are_named():
    with pytest.raises(SccError) as caught:
        folded(lenet_like(), cycles=100)
    assert [d.location.node for d in caught.value.diagnostics] == ["conv1", "conv2"]
