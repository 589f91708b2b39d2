"""Fixed point: naive integers == simulator == RTL in Icarus, every value of many small networks; and planted faults are found."""

from __future__ import annotations

import re
from collections.abc import Callable

import fixed_naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Spec, build, compiled, data, lower

import sccc
from sccc import check
from sccc.backends.simulator import simulate
from sccc.backends.verilog import emit_netlist
from sccc.evaluate import evaluate
from sccc.ir import Module

ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid", "identity")
ENDS = ("none", "argmax", "softmax", "relu", "tanh", "hard_sigmoid")


def spec(
    activation: str = "tanh", end: str = "none", bits: int = 5, sizes: tuple[int, ...] = (5, 4, 3), **more
) -> Spec:
    options = {"style": "fixed", "bits": bits, **more.pop("options", {})}
    return Spec(sizes, activation, end, options, **{"samples": 4, **more})


def assert_same(module: Module, x: np.ndarray) -> None:
    naive, names = fixed_naive.evaluate(module, x), [value.name for value in module.values()]
    for kernels in ("numpy", "numba"):
        trace = simulate(module, x, trace=names, kernels=kernels).trace
        for name in names:
            assert np.array_equal(trace[name], naive[name]), (kernels, name)
    result = check(module, x)
    assert (result.mismatches, result.first) == (0, None)
    seen = emit_netlist(module).observables
    assert {v.name for v in module.values()} - {each.value.name for each in seen} == {
        op.result.name for op in module if op.name in ("sc.input", "sc.constant")
    }
    assert result.compared == len(x) * sum(each.lanes for each in seen) + result.cycles + 1


@given(
    activation=st.sampled_from(ACTIVATIONS),
    end=st.sampled_from(ENDS),
    bits=st.integers(2, 8),
    sizes=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    negative=st.booleans(),
    weights=st.sampled_from(("per-tensor", "per-channel")),
    scales=st.sampled_from(("any", "power-of-two")),
    seed=st.integers(0, 100),
)
@settings(max_examples=20)
def test_random_networks(activation, end, bits, sizes, negative, weights, scales, seed):
    options = {"weights": weights, "scales": scales}
    each = spec(activation, end, bits, tuple(sizes), options=options, negative_inputs=negative, seed=seed)
    assert_same(compiled(each), data(each))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("bits", [2, 8, 13, 20])
def test_every_width(activation, bits):
    assert_same(compiled(spec(activation, bits=bits)), data(spec()))


def test_without_calibration():
    assert_same(compiled(spec(), calibrated=False), data(spec()))


def test_the_meaning_in_reals_is_what_the_hardware_computes():
    for each in (spec("tanh", bits=8), spec("relu", "relu", 6), spec("sigmoid", "argmax", 4, negative_inputs=True)):
        module, x = compiled(each), data(each, 50)
        assert np.array_equal(evaluate(module, x), simulate(module, x).output)


def test_text_form_round_trips():
    module, x = compiled(spec()), data(spec())
    again = sccc.parse(str(module))
    assert str(again) == str(module)
    assert_same(again, x)


def test_a_new_sample_enters_in_every_cycle():
    each = spec(sizes=(5, 4, 4, 3), samples=9)
    module = compiled(each)
    plan = emit_netlist(module).schedule
    assert (plan.interval, plan.latency) == (1, 2 * 2 + 1)  # totals and levels of two layers, totals of the last
    assert check(module, data(each)).cycles == 9 - 1 + plan.latency + 2


# -- faults -----------------------------------------------------------------------------------------------------------


def replace_once(pattern: str, replacement: str) -> Callable[[str], str]:
    def alter(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, count=1)
        assert count == 1
        return changed

    return alter


FAULTS = {
    "a digit with the wrong weight": (r"\(plus_1 << 1\)", "(plus_1 << 2)"),
    "a digit with the wrong sign": (r"- \(minus_(\d) << \1\)", r"+ (minus_\1 << \1)"),
    "a wrong lane": (r"= \((\(*)v\[0 \+:", r"= (\1v[5 +:"),
    "a wrong bias": (r"sum = (\d+)'h\w+", r"sum = \1'h1"),
    "a sum that is not held": (r"always @\(posedge clk\) if \(go\) (\w+_total) <=", r"always @* \1 ="),
    "a layer that ends too early": (r"ended <= go && !rst", "ended <= start_over && !rst"),
    "a forgotten sign": (r"if \(negative\) magnitude = -magnitude;", ""),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_planted_faults_are_found(fault):
    each = spec(bits=5, sizes=(6, 5, 3), negative_inputs=True)
    pattern, replacement = FAULTS[fault]
    replacement = replacement.replace("start_over", "1'b1")
    assert check(compiled(each), data(each), alter=replace_once(pattern, replacement)).mismatches > 0


# -- with streams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"length": 16}, {"fc0": {"style": "fixed"}}),
        ({"length": 16}, {"fc1": {"style": "fixed", "bits": 4}}),
        ({"length": 16, "encoding": "bipolar"}, {"fc0": {"style": "fixed", "encoding": "auto"}}),
        ({"length": 16, "style": "streaming"}, {"fc0": {"style": "fixed", "bits": 5}}),
        ({"style": "fixed", "length": 32}, {"fc2": {"style": "accumulate"}}),
    ],
)
def test_layers_of_numbers_between_layers_of_streams(options, layers):
    each = Spec((5, 4, 4, 3), "tanh", "none", options, samples=4)
    module = lower(build(each), each.options, data(each, 20), layers=layers)
    x = data(each)
    assert check(module, x).mismatches == 0
    assert (
        emit_netlist(module).schedule.interval
        == max(v.type.length for v in module.values() if hasattr(v.type, "length")) + 1
    )


def test_a_stream_cannot_feed_numbers():
    with pytest.raises(sccc.SccError, match="a layer streams into this one"):
        lower(build(spec()), {"style": "fixed"}, layers={"fc0": {"style": "streaming"}})
