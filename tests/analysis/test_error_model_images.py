"""Predicted errors of convolutions: against bit loops, against simulation, and with planted faults that the bounds catch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from image_errors import UNCORRECTED, measured_errors
from image_nets import Builder, data, lenet_like, residual
from nets import lower

from sccc import judged_layer as judged
from sccc.correlation import Randomness, meeting_pairs, randomness_of
from sccc.error_model import Assignment, layer_error, predicted_error
from sccc.ir import Module
from sccc.judged_layer import ideal_levels, ideal_totals, judged_layer, signal_deviation
from sccc.ops import REGISTRY
from sccc.passes.plans import spread_masks
from sccc.sources import lfsr, ramp, scrambled, sobol
from sccc.table_sums import add_entries, add_entries_numpy

BITS, N, SAMPLES = 4, 16, 6

WINDOWS = {
    "plain": {},
    "padded, strided": {"pads": [1, 0, 2, 1], "strides": [2, 1]},
    "groups": {"groups": 2, "pads": [1, 1, 1, 1]},
    "dilated": {"dilations": [2, 1], "pads": [1, 0, 0, 0]},
}


def convolution(window, x="signed", w="signed", rng=None, shape=(2, 5, 4), outputs=4, length=N, bits=BITS):
    """A module that is one convolution; its weights have random levels."""
    rng = rng or np.random.default_rng(3)
    module, layer = Module("one"), {"layer": "one"}
    a = {"shape": list(shape), "name": "x", "encoding": x, "bits": bits}
    image = module.append("sc.input", [], a, result="level").result
    low = {"signed": -(1 << bits), "bipolar": 0}[w]
    weights = rng.integers(low, (1 << bits) + 1, (outputs, shape[0] // window.get("groups", 1), 3, 2))
    constant = module.append("sc.constant", [], {"levels": weights, "encoding": w, "bits": bits, **layer}).result
    streams = []
    for index, level in enumerate((image, constant)):
        source = module.append("sc.source", [], {"kind": "sobol", "index": index, "bits": bits, **layer}).result
        streams.append(module.append("sc.sng", [level, source], {"length": length, **layer}).result)
    count = module.append("sc.conv", streams, {**window, **layer}, result="count").result
    total = module.append("sc.accumulate", [count], layer, result="total").result
    module.append("sc.output", [total], {"name": "y", **layer})
    return module


def objects(items, shape) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array.reshape(shape)


def bits_of(levels, sources, encoding, length=N):
    """What the streams add to a product, [..., length]: bits with their signs, or +1 and -1."""
    numbers = np.stack([s.sequence(length) for s in np.broadcast_to(sources, levels.shape[1:]).ravel()])
    bits = (np.abs(levels)[..., None] > numbers.reshape(*levels.shape[1:], length)).astype(int)
    return 2 * bits - 1 if encoding == "bipolar" else bits * np.where(levels < 0, -1, 1)[..., None]


def brute_error(module, x_levels, assignment, encodings) -> np.ndarray:
    """Totals of streams minus those of numbers, by a loop over windows: [samples, outputs, rows, columns]."""
    (conv,) = module.ops_named("sc.conv")
    a, (outputs, rows, columns) = conv.attributes, conv.result.type.shape
    w = conv.operands[1].op.operands[0].op.attributes["levels"]
    xs, ws = bits_of(x_levels, assignment.x, encodings[0]), bits_of(w[None], assignment.w, encodings[1])[0]
    number = [lv / 2**BITS * 2 - 1 if e == "bipolar" else lv / 2**BITS for lv, e in zip((x_levels, w), encodings)]  # noqa: B905
    error = np.zeros((len(x_levels), outputs, rows, columns))
    inner = w.shape[1]
    for j, r, c, i, kr, kc in np.ndindex(outputs, rows, columns, *w.shape[1:]):
        row = r * a["strides"][0] - a["pads"][0] + kr * a["dilations"][0]
        column = c * a["strides"][1] - a["pads"][1] + kc * a["dilations"][1]
        channel = j // (outputs // a["groups"]) * inner + i
        if 0 <= row < x_levels.shape[2] and 0 <= column < x_levels.shape[3]:
            product = (xs[:, channel, row, column] * ws[j, i, kr, kc]).sum(axis=-1)
            error[:, j, r, c] += product - N * number[0][:, channel, row, column] * number[1][j, i, kr, kc]
    return error


def sources_for(kind, x_shape, w_shape):
    """Assignments: one source a side; masks on the taps; a source for every x lane; one for every SNG."""
    one = objects([Randomness(sobol(BITS, 0))], ())
    masks = spread_masks(int(np.prod(w_shape[1:])), BITS).tolist()
    masked = objects([Randomness(ramp(BITS), m) for m in masks], w_shape[1:])
    each = [
        objects([Randomness(scrambled(BITS, 16 * k + side), k % 16) for k in range(int(np.prod(shape)))], shape)
        for side, shape in enumerate((x_shape, w_shape))
    ]
    shared = objects([Randomness(lfsr(BITS, BITS, 5))], ())
    return {
        "shared": Assignment(one, shared),
        "masked": Assignment(one, masked),
        "each x": Assignment(each[0], shared),
        "each": Assignment(*each),
    }[kind]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", ("shared", "masked", "each x", "each"))
def test_fixed_sources_are_exact_at_every_position(window, kind):
    rng = np.random.default_rng(8)
    module = convolution(WINDOWS[window], rng=rng)
    (conv,) = module.ops_named("sc.conv")
    x = rng.integers(-(1 << BITS), (1 << BITS) + 1, (SAMPLES, 2, 5, 4))
    assignment = sources_for(kind, *(v.type.shape for v in conv.operands))
    predicted, error = layer_error(conv, x, assignment), brute_error(module, x, assignment, ("signed", "signed"))
    np.testing.assert_allclose(predicted.bias, error.mean(axis=(0, 2, 3)), atol=1e-9)
    np.testing.assert_allclose(predicted.variance, error.var(axis=(0, 2, 3)), atol=1e-9)


def test_padding_adds_nothing_to_bipolar_products():
    rng = np.random.default_rng(9)
    module = convolution(WINDOWS["padded, strided"], "bipolar", "bipolar", rng)
    (conv,) = module.ops_named("sc.conv")
    x = rng.integers(0, (1 << BITS) + 1, (SAMPLES, 2, 5, 4))
    assignment = sources_for("shared", *(v.type.shape for v in conv.operands))
    error = brute_error(module, x, assignment, ("bipolar", "bipolar"))
    np.testing.assert_allclose(layer_error(conv, x, assignment).bias, error.mean(axis=(0, 2, 3)), atol=1e-9)


def test_independent_bits_under_a_window():
    """Where a state machine makes x: against many draws of random bits, with padding and groups."""
    rng = np.random.default_rng(4)
    module = convolution(WINDOWS["groups"], "bipolar", rng=rng)
    (conv,) = module.ops_named("sc.conv")
    x = rng.random((2, 2, 5, 4)) * 2 - 1
    weight = conv.operands[1].op.operands[0].op.attributes["levels"]
    predicted = layer_error(conv, x, Assignment(None, objects([Randomness(sobol(BITS, 1), 5)], ())))
    w_bits = np.sign(weight)[..., None] * (np.abs(weight)[..., None] > Randomness(sobol(BITS, 1), 5).sequence(N))
    value, error = REGISTRY["sc.conv"].value, 0.0
    drawn = 2.0 * (rng.random((400, *x.shape, N)) < (x[..., None] + 1) / 2) - 1
    for t in range(N):
        error = error + value(conv, drawn[..., t].reshape(-1, *x.shape[1:]), w_bits[None, ..., t])
    error = error.reshape(400, 2, *error.shape[1:]) - N * value(conv, x, weight[None] / 2**BITS)
    assert predicted.rms == pytest.approx(np.sqrt((error**2).mean()), rel=0.03)


@pytest.mark.parametrize("window", WINDOWS)
def test_pairs_meet_as_the_windows_geometry_says(window):
    module = convolution(WINDOWS[window])
    (conv,) = module.ops_named("sc.conv")
    x, w = conv.operands
    for side, stream in enumerate((x, w)):
        random = stream.op.operands[1]
        index = np.arange(stream.type.lanes).reshape(stream.type.shape) * 16 + side
        random.op.attributes |= {"kind": "scrambled", "index": index}
        random.type = replace(random.type, shape=stream.type.shape)
    xs, ws = (randomness_of(v) for v in (x, w))
    a, expected = conv.attributes, set()
    for j, r, c, i, kr, kc in np.ndindex(*conv.result.type.shape, *w.type.shape[1:]):
        row = r * a["strides"][0] - a["pads"][0] + kr * a["dilations"][0]
        column = c * a["strides"][1] - a["pads"][1] + kc * a["dilations"][1]
        if 0 <= row < 5 and 0 <= column < 4:
            channel = j // (4 // a["groups"]) * w.type.shape[1] + i
            expected.add((xs[channel, row, column], ws[j, i, kr, kc]))
    assert set(meeting_pairs(x, w, conv)) == expected


def test_compiled_sums_are_those_of_numpy():
    rng = np.random.default_rng(1)
    table, rows = rng.normal(size=(9, 7)), rng.integers(9, size=(3, 4, 2, 5)).astype(np.int32)
    columns, taps = rng.integers(7, size=(2, 5, 6)).astype(np.int32), np.argwhere(rng.random((4, 2, 5)) < 0.6)
    totals = np.zeros((3, 4, 2, 6)), np.zeros((3, 4, 2, 6))
    for total, add in zip(totals, (add_entries, add_entries_numpy), strict=True):
        add(total, table, rows, columns, taps)
    np.testing.assert_allclose(*totals, atol=1e-12)


def test_some_positions_stand_for_all(monkeypatch):
    b = Builder((2, 14, 14))
    module = b.end(b.dense(b.flat(b.add("nn.relu", [b.conv(b.x, "conv", 4, pads=[1, 1, 1, 1])], "act")), "fc", 3))
    x = data(module, 60)
    lowered = lower(module, {"length": 32}, x)
    conv, levels = next((dot, lv) for dot, lv in ideal_levels(lowered, x).items() if dot.name == "sc.conv")
    some = layer_error(conv, levels).rms
    assert judged_layer(conv, levels).totals[1] == judged.JUDGED_POSITIONS < 14 * 14
    monkeypatch.setattr(judged, "JUDGED_POSITIONS", 1 << 20)
    assert some == pytest.approx(layer_error(conv, levels).rms, rel=0.1)


# -- against simulation -----------------------------------------------------------------------------------------------

NETWORKS = {"lenet": lenet_like, "average": lambda: lenet_like("nn.avg_pool", "nn.tanh"), "residual": residual}
CASES = (
    ("lenet", {"length": 32}),
    ("lenet", {"length": 32, "pooling": "streams"}),
    ("lenet", {"length": 16, "source": "lfsr"}),
    ("lenet", {"length": 64, "sharing": "none"}),
    ("lenet", {"length": 32, "pooling": "streams", "sharing": "none", "source": "lfsr"}),
    ("average", {"length": 32, "sharing": "none", "source": "lfsr"}),
    ("average", {"length": 32, "pooling": "streams"}),
    ("residual", {"length": 32}),
    ("residual", {"length": 64, "sharing": "none"}),
    ("residual", {"length": 20, "source": "ramp"}),
    ("residual", {"length": 32, "encoding": "signed", "source": "lfsr"}),
)


@pytest.fixture(scope="module")
def made():
    """Modules and what they measure, one for each case, made when first asked for."""
    known = {}

    def get(network, options):
        key = network, str(options)
        if key not in known:
            module = NETWORKS[network]()
            calibration, fresh = data(module, 100), data(module, 150, seed=11)
            lowered = lower(module, options, calibration, UNCORRECTED)
            known[key] = lowered, ideal_levels(lowered, calibration), measured_errors(lowered, fresh)
        return known[key]

    return get


@pytest.mark.parametrize(("network", "options"), CASES, ids=str)
def test_predictions_are_within_a_quarter_of_what_is_measured(made, network, options):
    """Per layer; predicted from calibration data, measured on other samples."""
    _, levels, errors = made(network, options)
    for dot, error in errors.items():
        measured = float(np.sqrt(np.square(error).mean()))
        predicted = layer_error(dot, levels[dot]).rms
        if measured < 1e-6:  # full-scale weights of pooling by counting ones over a whole period
            assert predicted < 1e-6
        else:
            assert predicted == pytest.approx(measured, rel=0.25), dot


@pytest.mark.parametrize("fault", ("other sources", "one source", "independent bits", "shorter window"))
def test_the_bound_catches_a_wrong_prediction(made, fault):
    """A planted fault in what the prediction assumes is off by more than a quarter in each convolution."""
    module, levels, errors = made("lenet", {"length": 32})
    for dot in module.ops_named("sc.conv"):
        layer, own = judged_layer(dot, levels[dot]), Assignment.of(dot)
        wrong = {
            "other sources": Assignment(
                objects([Randomness(lfsr(5, 5, 3))], ()), objects([Randomness(lfsr(5, 5, 20))], ())
            ),
            "one source": Assignment(own.x, own.x),
            "independent bits": Assignment(None, own.w),
            "shorter window": own,
        }[fault]
        if fault == "independent bits":
            layer = replace(layer, x=layer.x / 32)
        if fault == "shorter window":
            layer = replace(layer, length=20)
        measured = float(np.sqrt(np.square(errors[dot]).mean()))
        assert abs(predicted_error(layer, wrong).rms / measured - 1.0) > 0.25


def test_a_layers_deviation_is_over_samples_and_positions(made):
    module, levels, _ = made("lenet", {"length": 32})
    dot = module.ops_named("sc.conv")[0]
    totals = ideal_totals(dot, levels[dot])
    each = [totals[:, j].ravel().std() for j in range(totals.shape[1])]
    assert signal_deviation(dot, levels[dot]) == pytest.approx(np.sqrt(np.mean(np.square(each))))
    assert signal_deviation(dot, levels[dot], np.array([2.0, 0.0, 0.0])) == pytest.approx(2 * each[0] / np.sqrt(3))
