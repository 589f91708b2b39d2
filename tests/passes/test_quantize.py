"""quantize: what an encoded 1.0 stands for, of weights, inputs and activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import Spec, build, context, data

from sccc.evaluate import evaluate
from sccc.passes import parse_pipeline, run_passes

PIPELINE = "fold-constants,fuse-layers,quantize"


def quantised(spec: Spec, calibration=None, layers=None, pipeline: str = PIPELINE, **options):
    where = context(options, calibration, layers)
    module = run_passes(build(spec), parse_pipeline(pipeline), where)
    return module.ops_named("nn.layer"), where


def rounding_error(weight: np.ndarray, scale: np.ndarray, bits: int) -> float:
    scale = np.reshape(scale, (-1, 1))
    levels = np.clip(np.round(weight / scale * 2**bits), -(2**bits), 2**bits)
    return float(np.mean((levels / 2**bits * scale - weight) ** 2))


@pytest.mark.parametrize("weights", ("per-tensor", "per-channel"))
@pytest.mark.parametrize("scales", ("any", "power-of-two"))
def test_weight_scales(weights, scales):
    layers, _ = quantised(Spec((9, 8, 8, 3), seed=3), weights=weights, scales=scales, length=64)
    for op in layers:
        weight, scale = op.attributes["weight"], np.asarray(op.attributes["weight_scale"])
        largest = np.abs(weight).max(axis=1) if scale.ndim else np.abs(weight).max()
        per_channel = weights == "per-channel" and op is not layers[-1]
        assert scale.shape == ((len(weight),) if per_channel else ())
        if scales == "power-of-two":
            assert np.array_equal(np.log2(scale), np.round(np.log2(scale)))
            assert rounding_error(weight, scale, 6) <= rounding_error(
                weight, 2 ** np.ceil(np.log2(np.where(largest > 0, largest, 1))), 6
            )
        else:
            full = np.where(largest > 0, largest, 1.0)
            assert np.all(scale <= full) and np.all(scale >= 0.25 * full)
            assert rounding_error(weight, scale, 6) <= rounding_error(weight, full, 6)


def test_the_last_layer_has_one_scale_so_that_its_totals_compare():
    layers, _ = quantised(Spec((4, 5, 3), end="argmax"), weights="per-channel")
    assert [np.ndim(op.attributes["weight_scale"]) for op in layers] == [1, 0]


def test_options_of_the_pass_and_of_a_layer_win():
    layers, _ = quantised(Spec((4, 5, 5, 3)), layers={"fc1": {"weights": "per-channel"}})
    assert [np.ndim(op.attributes["weight_scale"]) for op in layers] == [0, 1, 0]
    layers, _ = quantised(Spec((4, 5, 5, 3)), pipeline="fold-constants,fuse-layers,quantize{weights=per-channel}")
    assert [np.ndim(op.attributes["weight_scale"]) for op in layers] == [1, 1, 0]


def test_rows_of_zeros_have_a_scale():
    module = build(Spec((3, 4, 2)))
    module.ops_named("nn.dense")[0].attributes["weight"][:] = 0.0
    module = run_passes(module, parse_pipeline(PIPELINE), context({"weights": "per-channel"}))
    assert np.all(module.ops_named("nn.layer")[0].attributes["weight_scale"] > 0)


@given(st.integers(0, 50), st.sampled_from(("relu", "leaky_relu", "clip", "identity")))
def test_bounds_hold_without_data(seed, function):
    """No input within its range can drive an activation beyond the scale that is bounded from the weights."""
    spec = Spec((5, 6, 4), function, seed=seed)
    layers, where = quantised(spec)
    assert any("no calibration data" in w for w in where.warnings)
    seen = {}
    module = run_passes(build(spec), parse_pipeline("fold-constants,fuse-layers"), context({}))
    x = np.random.default_rng(seed).integers(0, 2, (40, 5)).astype(float)
    evaluate(module, x, lambda op, value: seen.update({op.result.name: value}) if op.result else None)
    for op in layers[:-1]:
        assert np.abs(seen[op.result.name]).max() <= op.attributes["out_scale"] * (1 + 1e-9)
        assert op.attributes["out_signed"] or seen[op.result.name].min() >= 0
        assert layers[1].attributes["in_scale"] == layers[0].attributes["out_scale"]


def test_calibrated_ranges_cover_what_the_option_says():
    spec = Spec((6, 40, 3), "relu", seed=1)
    x = data(spec, 200)
    module = run_passes(build(spec), parse_pipeline("fold-constants,fuse-layers"), context({}))
    seen = {}
    evaluate(module, x, lambda op, value: seen.update({op.result.name: value}) if op.result else None)
    values = np.abs(seen["fc0"])
    for coverage in (0.9, 0.98, 1.0):
        layers, where = quantised(spec, x, coverage=coverage)
        assert (values <= layers[0].attributes["out_scale"] * (1 + 1e-12)).mean() == pytest.approx(coverage, abs=0.01)
        assert not where.warnings
    assert layers[0].attributes["out_scale"] == values.max()
    bounded, _ = quantised(spec)
    assert layers[0].attributes["out_scale"] < bounded[0].attributes["out_scale"]


@pytest.mark.parametrize(("function", "signed"), (("tanh", True), ("sigmoid", False), ("hard_sigmoid", False)))
def test_activations_of_known_range(function, signed):
    for calibration in (None, data(Spec((4, 5, 3)), 20)):
        layers, _ = quantised(Spec((4, 5, 3), function), calibration)
        assert (layers[0].attributes["out_scale"], layers[0].attributes["out_signed"]) == (1.0, signed)


def test_the_range_of_the_input():
    x = np.array([[0.25, -3.0, 1.0, 0.0], [1.0, 2.0, 0.0, 0.0]])
    spec = Spec((4, 5, 3))
    for calibration, range_, scale, signed in (
        (x, 0.0, 3.0, True),
        (x[1:], 0.0, 2.0, False),
        (x, 4.0, 4.0, True),
        (None, 7.0, 7.0, False),
    ):
        layers, _ = quantised(spec, calibration, input_range=range_)
        assert (layers[0].attributes["in_scale"], layers[0].attributes["in_signed"]) == (scale, signed)
    zero, _ = quantised(spec, 0 * x)
    assert zero[0].attributes["in_scale"] == 1.0
