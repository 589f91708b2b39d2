"""map-activations: states follow the formula; tables and slopes are within half a level of the function."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, compiled, context, data, lower

from sccc.evaluate import evaluate
from sccc.ops.activation import btanh_states
from sccc.passes import DEFAULT_PIPELINE, parse_pipeline, run_passes
from sccc.types import Encoding

BEFORE = DEFAULT_PIPELINE.split(",map-activations")[0]


def layer_values(module, x) -> dict[str, np.ndarray]:
    seen = {}
    evaluate(module, x, lambda op, value: seen.update({op.result: value}) if op.result else None)
    return {value.name: array for value, array in seen.items()}


@pytest.mark.parametrize("encoding", ("signed", "bipolar"))
@pytest.mark.parametrize("weights", ("per-tensor", "per-channel"))
@pytest.mark.parametrize("function", ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid"))
def test_accumulated_activations_are_within_half_a_level(function, weights, encoding):
    """The level is the nearest one: half a level, and what its argument is rounded by.

    Totals and the bias in them are integers; tables resolve an eighth of a level; a multiplier errs by 2**-9.
    """
    spec = Spec((8, 12, 4), function, "none", {"length": 256, "encoding": encoding, "weights": weights}, seed=7)
    x = data(spec, 60)
    unmapped = lower(build(spec), spec.options, x, BEFORE)
    mapped = lower(unmapped.clone(), spec.options, None, "map-activations")
    (op,) = unmapped.ops_named("sc.activate")
    a = op.attributes
    before, after = layer_values(unmapped, x), layer_values(mapped, x)
    z = before["fc0_count"] * a["in_scale"] + a["bias"]
    exact = layer_function(op, z) / a["out_scale"]
    kind = Encoding(a["encoding"])
    lowest = -1.0 if kind is not Encoding.UNIPOLAR else 0.0
    unit = 2.0 ** -a["bits"] * (2 if kind is Encoding.BIPOLAR else 1)
    level = next(v for n, v in after.items() if n.startswith("fc0_level"))
    nearest = np.clip(exact, lowest, 1.0)
    error = np.abs(level - nearest) / unit
    slope = {"sigmoid": 0.25, "hard_sigmoid": 0.25}.get(function, 1.0)
    total = slope * np.asarray(a["in_scale"]) / 256 / a["out_scale"] / unit
    offset = abs(lowest) if kind is Encoding.BIPOLAR else 0.0
    assert np.all(error <= 0.5 + total + 0.125 * slope + 2.0**-9 * (np.abs(nearest) + offset) / unit)
    assert error.mean() < 0.4 + total.mean() / 2  # of nearest levels alone it would be 0.25


def layer_function(op, z):
    a = op.attributes
    return {
        "tanh": lambda: np.tanh(z),
        "sigmoid": lambda: 1 / (1 + np.exp(-z)),
        "relu": lambda: np.maximum(z, 0),
        "leaky_relu": lambda: np.where(z < 0, a["alpha"] * z, z),
        "clip": lambda: np.clip(z, a["lo"], a["hi"]),
        "hard_sigmoid": lambda: np.clip(a["alpha"] * z + a["beta"], 0, 1),
    }[a["function"]]()


@pytest.mark.parametrize(("function", "slope"), (("tanh", 1.0), ("sigmoid", 0.5)))
def test_states_follow_the_formula(function, slope):
    """Without data to refine them on: S = 2 g variance - 1.17 sigma, even, at least 2."""
    for scale in (0.2, 1.0, 6.0):
        module = build(Spec((12, 8, 3), function, seed=4))
        module.ops_named("nn.dense")[0].attributes["weight"] *= scale
        unmapped = lower(module, {"style": "streaming"}, None, BEFORE)
        (activate,) = [op for op in unmapped.ops_named("sc.activate") if op.attributes["style"] == "streaming"]
        gain = slope * np.mean(activate.attributes["in_scale"])
        (op,) = lower(unmapped, {}, None, "map-activations").ops_named("sc.btanh", "sc.sigmoid")
        states, variance = op.attributes["states"], op.attributes["variance"]
        assert states == btanh_states(gain, variance)
        assert states == max(2, 2 * round((2 * gain * variance - 1.17 * np.sqrt(variance)) / 2))
        assert states % 2 == 0


def test_the_variance_without_data_is_that_of_half_scale_inputs():
    """x is 1 half of the time: a lane of weight w (signed) varies by w/2 - w*w/4."""
    unmapped = lower(
        build(Spec((12, 8, 3), "tanh", seed=4)), {"style": "streaming", "encoding": "signed"}, None, BEFORE
    )
    w = np.abs(unmapped.value("fc0_weights").op.attributes["levels"]) / 64
    (op,) = lower(unmapped, {}, None, "map-activations").ops_named("sc.btanh")
    assert op.attributes["variance"] == pytest.approx((w / 2 - w * w / 4).sum(axis=1).mean())


def test_states_refined_on_data_are_near_the_derived_ones_and_no_worse():
    spec = Spec((20, 10, 4), "tanh", "none", {"style": "streaming", "length": 128}, seed=6)
    x = data(spec, 40)
    module = compiled(spec)
    (op,) = module.ops_named("sc.btanh")
    derived = btanh_states(
        np.mean(
            lower(build(spec), spec.options, data(spec, 20), BEFORE).ops_named("sc.activate")[0].attributes["in_scale"]
        ),
        op.attributes["variance"],
    )
    assert 0.4 * derived <= op.attributes["states"] <= 2.1 * derived
    assert len(x) == 40


def test_thresholds_of_relu_are_counts_of_one_output():
    spec = Spec((12, 8, 3), "relu", "none", {"style": "streaming"}, seed=4)
    unmapped = lower(build(spec), spec.options, data(spec, 20), BEFORE)
    a = unmapped.ops_named("sc.activate")[0].attributes
    (op,) = compiled(spec).ops_named("sc.relu")
    assert op.attributes["threshold"] == round(a["out_scale"] / np.mean(a["in_scale"]))
    assert op.attributes["depth"] >= 0


def test_the_bias_of_a_streaming_layer_is_exact_to_a_level():
    spec = Spec((5, 6, 3), "tanh", "none", {"style": "streaming", "length": 64}, seed=2)
    unmapped = lower(build(spec), spec.options, None, BEFORE)
    a = unmapped.ops_named("sc.activate")[0].attributes
    mapped = lower(unmapped.clone(), {}, None, "map-activations")
    (offset,) = mapped.ops_named("sc.offset")
    fraction = offset.operands[1].op.operands[0].op.attributes["levels"] / 64
    assert np.all(np.abs(offset.attributes["whole"] + fraction - a["bias"] / a["in_scale"]) <= 0.5 / 64 + 1e-12)
    assert np.all((fraction >= 0) & (fraction <= 1))


def test_no_bias_no_adder():
    spec = Spec((5, 6, 3), "tanh", "none", {"style": "streaming"}, bias=False)
    assert not compiled(spec).ops_named("sc.offset")


def test_nothing_is_left_to_map():
    spec = Spec((5, 6, 3), "tanh")
    module = run_passes(build(spec), parse_pipeline(DEFAULT_PIPELINE), context({}, data(spec, 9)))
    assert not module.ops_named("sc.activate") and module.reference is not None
