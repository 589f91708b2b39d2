"""Flips of products and registers: how often, where, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from nets import Spec, compiled, data, one_layer

import sccc
from sccc.backends.simulator import Simulator, simulate
from sccc.backends.simulator.flip_sites import FlipSite, load_sites


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
@pytest.mark.parametrize(("w", "levels", "clean"), (("unipolar", 8, 0.0), ("signed", -8, 0.0), ("bipolar", 8, -1.0)))
def test_products_flip_as_often_as_asked(kernels, w, levels, clean):
    """x is zero: an AND gives 0 and an XNOR -1; flipped with probability p, the mean moves by p, or by 2 p."""
    x_encoding = "bipolar" if w == "bipolar" else "unipolar"
    module = one_layer(x_encoding, w, np.full((6, 30), levels), 40, 3)
    rate, samples = 0.1, 20
    x = np.full((samples, 30), -1.0 if w == "bipolar" else 0.0)
    means = simulate(module, x, flip_rate=rate, flips=("product",), kernels=kernels).raw / (30 * 40)
    step = 2.0 if w == "bipolar" else math.copysign(1.0, levels)
    spread = abs(step) * math.sqrt(rate * (1 - rate) / (30 * 40 * 6 * samples))
    assert abs(means.mean() - (clean + step * rate)) < 5 * spread


def test_zero_weights_have_no_products_and_no_streams_that_flip():
    module = one_layer("unipolar", "signed", [[0, 0, 0], [4, 0, 0]], 16, 3)
    x = np.ones((4, 3))
    for kinds in (("product",), ("operand",)):
        made = simulate(module, x, flip_rate=0.3, flips=kinds)
        assert not made.raw[:, 0].any()
        assert made.raw[:, 1].min() >= 0 and made.raw[:, 1].max() <= 16


def test_a_flip_stays_in_a_sum_and_leaves_a_counter():
    module = one_layer("unipolar", "signed", [[2, -3, 4], [1, 1, 1]], 16, 3)
    x = np.full((2, 3), 0.5)
    clean = simulate(module, x).raw
    site = FlipSite("state", "y", lane=1, cycle=3, bit=0, sample=1)
    flipped = simulate(module, x, flip_sites=[site]).raw
    assert np.argwhere(flipped != clean).tolist() == [[1, 1]]
    assert abs(int(flipped[1, 1] - clean[1, 1])) == 1


def test_rates_of_register_flips():
    """A sum of nothing: each bit of each register is the parity of its flips, N tries of probability p."""
    module = one_layer("unipolar", "signed", np.full((50, 20), 8), 16, 3)
    rate, samples = 0.02, 40
    raw = simulate(module, np.zeros((samples, 20)), flip_rate=rate, flips=("state",)).raw
    odd = (1 - (1 - 2 * rate) ** 16) / 2
    shares = [(raw >> bit & 1).mean() for bit in range(5)]
    bound = 5 * math.sqrt(odd * (1 - odd) / raw.size)
    assert all(abs(share - odd) < bound for share in shares)


@pytest.mark.parametrize("kinds", (("product",), ("state",), ("operand", "product", "state")))
@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_engines_and_batches_agree(style, kinds):
    options = {"length": 32, "style": style}
    spec = Spec(sizes=(9, 8, 4), options=options)
    module, x = compiled(spec), data(spec, 7)
    runs = [
        Simulator(module, trace="all", flip_rate=0.05, flips=kinds, kernels=kernels, batch=batch, threads=1).run(x)
        for kernels, batch in (("numba", 0), ("numpy", 0), ("numba", 2))
    ]
    for other in runs[1:]:
        for name, values in runs[0].trace.items():
            assert np.array_equal(values, other.trace[name]), name


@pytest.mark.parametrize("kinds", (("operand",), ("state",)))
def test_few_flips_in_fixed_point_hurt_more_than_in_streams(kinds):
    """A flipped bit of a number is worth up to half its range, one of a stream 1/N of it."""
    errors = []
    for options in ({"length": 256, "bits": 8}, {"style": "fixed", "bits": 8}):
        spec = Spec(sizes=(20, 12, 4), options=options, activation="relu")
        module, x = compiled(spec), data(spec, 40)
        clean = simulate(module, x).output
        errors.append(
            np.sqrt(np.mean((simulate(module, x, flip_rate=0.01, flips=kinds).output - clean) ** 2)) / clean.std()
        )
    if kinds == ("operand",):
        assert errors[1] > 2 * errors[0]
    else:  # registers of sums are as wide in both, and those of streams are hit in every cycle
        assert errors[0] > errors[1]


@pytest.mark.parametrize(
    ("site", "message"),
    (
        (FlipSite("state", "z", 0), "no value 'z'"),
        (FlipSite("state", "y", 99), "lane 99 is outside"),
        (FlipSite("state", "y", 0, cycle=16), "cycle 16 is outside"),
        (FlipSite("state", "y", 0, bit=40), "bit 40 is outside"),
        (FlipSite("product", "y", 0), "has no product"),
        (FlipSite("bits", "y", 0), "cannot flip"),
    ),
)
def test_sites_that_are_not_there_are_refused(site, message):
    module = one_layer("unipolar", "signed", [[2, -3, 4], [1, 1, 1]], 16, 3)
    with pytest.raises(sccc.SccError, match=message):
        Simulator(module, flip_sites=[site])


def test_sites_are_read_from_json(tmp_path):
    path = tmp_path / "sites.json"
    path.write_text(json.dumps([{"kind": "state", "value": "y", "lane": 1, "bit": 2}]))
    assert load_sites(path) == [FlipSite("state", "y", 1, bit=2)]
    for text, message in (
        ("[{}]", "site 0 has not"),
        ("x", "cannot read"),
        ('[{"kind": 1, "value": "y", "lane": 0}]', "must be str"),
    ):
        path.write_text(text)
        with pytest.raises(sccc.SccError, match=message):
            load_sites(path)


def test_kinds_are_checked():
    module = one_layer("unipolar", "signed", [[1, 2]], 16, 3)
    with pytest.raises(sccc.SccError, match="unknown kind of flips 'weights'"):
        Simulator(module, flip_rate=0.1, flips=("weights",))
