"""What an op does in bits is what its `value` says in reals, within a bound that a wrong formula does not meet."""

from __future__ import annotations

import numpy as np
import pytest
from nets import one_layer

from sccc.backends.simulator import simulate
from sccc.backends.simulator.reference import run_fsm
from sccc.evaluate import evaluate
from sccc.moments import lane_moments
from sccc.ops import REGISTRY
from sccc.ops.activation import btanh_gain, btanh_states
from sccc.ops.arithmetic import PRODUCTS


def values(module, x) -> dict[str, np.ndarray]:
    seen = {}
    evaluate(module, x, lambda op, value: seen.update({op.result.name: value}) if op.result else None)
    return seen


def numbers(rng, encoding, shape, bits) -> np.ndarray:
    return rng.integers(encoding.minimum_level(bits), encoding.maximum_level(bits) + 1, shape)


@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_products_of_every_pair_of_encodings(pair):
    """Over a full period of a (0, 2)-sequence the joint frequencies err by at most some 4 / N in each of n lanes."""
    (x, w), bits, length = pair, 10, 1024
    rng = np.random.default_rng(1)
    module = one_layer(x.value, w.value, numbers(rng, w, (20, 1), bits), length, bits)
    inputs = x.decode(numbers(rng, x, (30, 1), bits), bits)
    ideal = values(module, inputs)["count"]
    mean = simulate(module, inputs, trace=["count"]).trace["count"].mean(axis=-1)
    scale = (2 if x.value == "bipolar" else 1) * (2 if w.value == "bipolar" else 1)
    assert np.abs(mean - ideal).max() <= scale * 10 / length
    # The wrong formulas are far away: neither operand alone, nor the minimum, nor another sign.
    for wrong in (inputs + 0 * ideal, -ideal, np.minimum(inputs, 1) * 0):
        assert np.abs(mean - wrong).max() > 20 * scale * 10 / length


@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_variance_of_products_of_independent_streams(pair):
    """LFSR bits, one lane: the variance per cycle that the passes predict with `lane_moments`."""
    (x, w), bits, length = pair, 8, 4096
    rng = np.random.default_rng(2)
    levels = numbers(rng, w, (6, 1), bits)
    sources = ({"kind": "lfsr", "index": 5, "width": 13}, {"kind": "lfsr", "index": 2222, "width": 16})
    module = one_layer(x.value, w.value, levels, length, bits, sources=sources)
    inputs = x.decode(numbers(rng, x, (8, 1), bits), bits)
    counts = simulate(module, inputs, trace=["count"]).trace["count"]
    mean, variance = lane_moments(PRODUCTS[pair], inputs, w.decode(levels[:, 0], bits), x, w)
    assert np.abs(counts.mean(axis=-1) - mean).max() < 6 / np.sqrt(length)
    assert np.abs(counts.var(axis=-1) - variance).max() < 8 / np.sqrt(length)


def walk(op_name: str, parameters: dict, mean: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean output of state machines driven by independent integer counts of a mean and deviation; their mean and variance."""
    rng = np.random.default_rng(3)
    counts = np.rint(rng.normal(0, sigma, (100, len(mean), 3000)) + mean[:, None]).astype(np.int64)
    bits, _ = run_fsm(REGISTRY[op_name].cell, counts, parameters)
    return bits[:, :, 500:].mean(axis=(0, 2)), counts.mean(axis=(0, 2)), float(counts.var(axis=(0, 2)).mean())


@pytest.mark.parametrize(("gain", "sigma"), ((0.3, 6.0), (1.0, 3.0), (1.0, 6.0), (2.5, 1.5), (2.5, 3.0)))
def test_gain_of_the_saturating_counter(gain, sigma):
    """tanh(gain * mean) for the states that the formula gives; without the end correction or the factor 2 it is not."""
    states = int(btanh_states(gain, sigma**2))
    mean = np.array([-1.0, -0.5, -0.2, 0.0, 0.3, 0.6, 1.0]) / gain
    ones, exact, variance = walk("sc.btanh", {"states": np.asarray(states)}, mean, sigma)
    error = {
        factor: np.abs(2 * ones - 1 - np.tanh(factor * exact)).max()
        for factor in (btanh_gain(states, variance), states / (2 * variance), states / variance)
    }
    right, uncorrected, double = error.values()
    assert right < 0.05 and double > 0.12
    assert states > 5 * sigma or uncorrected > 1.5 * right


def test_stanh_of_one_bipolar_stream():
    """Brown and Card: S states driven by +-1 compute tanh(S x / 2)."""
    rng = np.random.default_rng(1)
    x = np.array([-0.6, -0.3, -0.1, 0.0, 0.1, 0.3, 0.6])
    for states in (4, 8, 16):
        counts = 2 * (rng.random((100, len(x), 2000)) < (x[:, None] + 1) / 2).astype(np.int64) - 1
        bits, _ = run_fsm(REGISTRY["sc.btanh"].cell, counts, {"states": np.asarray(states)})
        assert np.abs(2 * bits[:, :, 500:].mean(axis=(0, 2)) - 1 - np.tanh(states * x / 2)).max() < 0.06, states


def test_sigmoid_is_the_same_counter_read_as_unipolar():
    assert REGISTRY["sc.sigmoid"].cell is REGISTRY["sc.btanh"].cell
    module = one_layer("unipolar", "signed", [[32, -16]], 64, 5, ("sc.sigmoid", {"states": 8, "variance": 2.0}))
    x = np.array([[0.5, 0.25]])
    z = x[0, 0] - x[0, 1] / 2
    assert values(module, x)["y"].item() == pytest.approx(1 / (1 + np.exp(-2 * btanh_gain(8, 2.0) * z)))


@pytest.mark.parametrize(("threshold", "depth"), ((1, 0), (4, 4), (9, 9), (30, 100)))
def test_relu_is_linear_where_it_is_driven_and_nearly_silent_below(threshold, depth):
    """Error feedback: above 0 the ones number count / threshold, up to 1; below, only noise emits."""
    sigma = threshold / 3
    mean = threshold * np.array([-1.5, -0.7, 0.25, 0.5, 0.8])
    ones, exact, _ = walk("sc.relu", {"threshold": np.asarray(threshold), "depth": np.asarray(depth)}, mean, sigma)
    ideal = np.clip(exact / threshold, 0, 1)
    assert np.abs(ones - ideal)[3:].max() < 0.02 + 0.1 * (depth == 0) and np.abs(ones - ideal)[2] < 0.06 + 0.1 * (
        depth == 0
    )
    assert ones[0] < 0.02


def test_relu_loses_nothing_within_its_range():
    """With enough depth, the ones times the threshold and what is left in the state are the sum of the counts."""
    rng = np.random.default_rng(0)
    counts = rng.integers(-3, 8, (1, 5, 400))
    parameters = {"threshold": np.asarray(9), "depth": np.asarray(10000)}
    bits, state = run_fsm(REGISTRY["sc.relu"].cell, counts, parameters)
    assert np.array_equal(9 * bits.sum(axis=-1, dtype=np.int64) + state - 4, counts.sum(axis=-1))


def test_totals_are_expected_counts_times_the_length():
    levels = np.array([[32, -7, 0, 16], [-32, 12, 5, -1]])
    module = one_layer("unipolar", "signed", levels, 32, 5, ("sc.accumulate", {"initial": np.array([-5, 100])}))
    x = np.random.default_rng(0).integers(0, 33, (20, 4)) / 32
    expected = 32 * (x @ (levels / 32).T) + [-5, 100]
    np.testing.assert_allclose(values(module, x)["y"], expected)
    assert np.abs(simulate(module, x).raw - expected).max() < 4 * 2.0


def deep(module, lo=-40, hi=25, mult=5, shift=3):
    total = module.value("y")
    rescale = {"mult": mult, "shift": shift, "lo": lo, "hi": hi, "layer": "one"}
    scaled = module.append("sc.rescale", [total], rescale, result="scaled", before=module.ops[-1]).result
    table = np.round(np.linspace(-32, 32, hi - lo + 1)).astype(int)
    lookup = {"table": table, "encoding": "signed", "bits": 5, "layer": "one"}
    level = module.append("sc.lookup", [scaled], lookup, result="level_out", before=module.ops[-1]).result
    module.ops[-1].operands = [level]
    return module, table


def test_rescale_and_lookup_are_what_they_say_on_the_totals_that_occur():
    module, table = deep(one_layer("unipolar", "signed", [[32, -32, 7], [-32, 1, 0]], 32, 5))
    x = np.random.default_rng(0).random((40, 3))
    trace = simulate(module, x, trace="all").trace
    exact = trace["y"] * 5 / 8
    assert np.all(np.abs(trace["scaled"] - np.clip(exact, -40, 25)) <= 0.5)
    assert trace["scaled"].min() < -15 and trace["scaled"].max() > 15
    assert np.array_equal(trace["level_out"], table[trace["scaled"] + 40])
    for name, operand in (("sc.rescale", "y"), ("sc.lookup", "scaled")):
        (op,) = module.ops_named(name)
        got = REGISTRY[name].value(op, trace[operand].astype(float))
        expected = trace["scaled"] if name == "sc.rescale" else table[trace["scaled"] + 40] / 32
        assert np.array_equal(got, expected)


def test_halves_are_rounded_up_on_both_sides_of_0():
    module, _ = deep(one_layer("unipolar", "signed", [[32], [-32]], 8, 5), mult=1, shift=1)
    totals = simulate(module, np.arange(9)[:, None] / 8, trace=["y", "scaled"]).trace
    assert np.array_equal(totals["scaled"], np.floor(totals["y"] / 2 + 0.5))
    assert set(totals["y"].ravel().tolist()) >= {-3, -1, 1, 3}
