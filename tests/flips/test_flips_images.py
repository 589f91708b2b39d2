"""Flipped bits in convolutions, fixed point and sums that stop early: both engines, and Icarus, with the same consequences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from image_nets import ENCODINGS, WINDOWS, Builder, conv_module, data, lenet_like
from nets import Spec, build, lower
from nets import data as vectors

import sccc
from sccc.backends.simulator import Simulator, simulate
from sccc.backends.simulator.flip_sites import FlipSite
from sccc.backends.simulator.product_flips import ProductFlips
from sccc.fault_check import check_faults
from sccc.passes import DEFAULT_PIPELINE

FLIPPED = ("pads and strides", "groups")
"""Windows on which bits are flipped."""
KINDS = (("operand",), ("product",), ("state",), ("operand", "product", "state"))


def samples(module, number=3):
    return data(module, number, signed=module.inputs[0].attributes["encoding"] != "unipolar")


def assert_engines_agree(module, x, **options):
    runs = [
        Simulator(module, kernels=kernels, batch=batch, threads=1, **options).run(x)
        for kernels, batch in (("numba", 0), ("numpy", 0), ("numba", 2))
    ]
    for other in runs[1:]:
        assert np.array_equal(runs[0].raw, other.raw)
        for name, values in runs[0].trace.items():
            assert np.array_equal(values, other.trace[name]), name
    return runs[0]


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@pytest.mark.parametrize("window", FLIPPED)
@pytest.mark.parametrize(("x", "w"), ENCODINGS)
def test_engines_and_batches_agree(x, w, window, kinds):
    module = conv_module(x, w, WINDOWS[window])
    inputs = samples(module, 5)
    for trace in ((), ("c", "t")):  # totals by their own kernel, and counts in every cycle
        made = assert_engines_agree(module, inputs, trace=trace, flip_rate=0.1, flips=kinds)
        assert (made.raw != simulate(module, inputs).raw).any()
    half = assert_engines_agree(module, inputs, flip_rate=0.5, flips=kinds)
    assert (half.raw != made.raw).any()


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@pytest.mark.parametrize(("x", "w", "window"), [(*e, FLIPPED[i % 2]) for i, e in enumerate(ENCODINGS)])
def test_netlists_flip_as_the_simulator_does(x, w, window, kinds):
    module = conv_module(x, w, WINDOWS[window])
    result = check_faults(module, samples(module, 2), flip_rate=0.1, flips=kinds)
    assert result.mismatches == 0, result.first


@pytest.mark.parametrize(
    "options",
    ({"length": 16}, {"length": 16, "encoding": "bipolar"}, {"length": 16, "style": "streaming"}, {"style": "fixed"}),
    ids=str,
)
def test_a_small_network_in_icarus(options):
    fixed, streaming = (options.get("style") == style for style in ("fixed", "streaming"))
    network = lenet_like()
    if streaming:
        b = Builder((1, 6, 6))
        hidden = b.add("nn.tanh", [b.conv(b.x, "conv1", 3, strides=[2, 2], pads=[1, 1, 1, 1])], "tanh1")
        network = b.end(b.dense(b.flat(b.add("nn.tanh", [b.conv(hidden, "conv2", 4, kernel=2)], "tanh2")), "fc", 3))
    module = sccc.compile(network, calibration=data(network, 20), **options)
    x, kinds = data(module, 2), ("operand", "state") if fixed else ("operand", "product", "state")
    result = check_faults(module, x, flip_rate=0.05, flips=kinds)
    assert result.mismatches == 0, result.first
    assert (assert_engines_agree(module, x, flip_rate=0.05, flips=kinds).raw != sccc.simulate(module, x).raw).any()


@pytest.mark.parametrize("kinds", (("operand",), ("state",), ("operand", "state")), ids="+".join)
@pytest.mark.parametrize("window", FLIPPED)
def test_convolutions_of_numbers(window, kinds):
    module = conv_module("signed", "signed", WINDOWS[window], fixed=True)
    x = samples(module)
    made = assert_engines_agree(module, x, flip_rate=0.1, flips=kinds)
    assert (made.raw != simulate(module, x).raw).any()
    result = check_faults(module, x, flip_rate=0.1, flips=kinds)
    assert result.mismatches == 0, result.first


FAULTS = {
    "product mask left out": (" ^ (flip_product & ", " ^ ({W{1'b0}} & "),
    "x mask left out": (" ^ c_flip_x;", ";"),
    "weight mask left out": (" ^ (flip_w & ", " ^ ({W{1'b0}} & "),
    "a tap at the edge left out": ("c_flip_product[0]", "1'b0"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault):
    module = conv_module("unipolar", "signed", {"pads": [1, 1, 1, 1]})
    good, bad = FAULTS[fault]
    # the first output's first product that is in the image
    good = good.replace("[0]", "[3]")

    def alter(text: str) -> str:
        assert good in text
        return text.replace(good, bad.replace("{W{1'b0}}", "1'b0"))

    options = {"flip_rate": 0.3, "flips": ("operand", "product")}
    assert check_faults(module, samples(module), **options).mismatches == 0
    assert check_faults(module, samples(module), alter=alter, **options).mismatches > 0


def test_a_site_flips_one_product_at_one_position():
    module = conv_module("unipolar", "signed", {})
    x = samples(module)
    positions, taps = 3 * 3, 4 * 6  # a 3 x 2 window in 5 x 4 pixels of 4 channels
    place = 2 * positions + 5
    site = FlipSite("product", "c", lane=place * taps + 7, cycle=4, sample=1)
    clean, made = (simulate(module, x, trace=["c"], flip_sites=sites).trace["c"] for sites in ((), (site,)))
    assert np.argwhere(made.reshape(3, -1, 9) != clean.reshape(3, -1, 9)).tolist() == [[1, place, 4]]
    assert abs((made - clean).sum()) == 1
    result = check_faults(module, x, flip_sites=[site])
    assert result.mismatches == 0, result.first


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
def test_products_flip_as_often_as_asked(kernels):
    """x is zero: each AND gives 0, and 1 with probability p when it flips; zero weights have no AND."""
    module = conv_module("unipolar", "signed", {}, length=64)
    weights = module.value("ws").op.operands[0].op.attributes["levels"]
    weights[...] = 4
    weights[:, 0] = 0
    module.value("t").op.attributes["initial"] = 0
    rate, number = 0.1, 20
    raw = simulate(module, np.zeros((number, 4, 5, 4)), flip_rate=rate, flips=("product",), kernels=kernels).raw
    tries = raw.size * 3 * 6 * 64
    assert abs(raw.sum() / tries - rate) < 5 * math.sqrt(rate * (1 - rate) / tries)


def test_a_product_that_flips_twice_is_as_it_was():
    module = conv_module("signed", "signed", {})
    x = samples(module)
    sites = [FlipSite("product", "c", lane=9, cycle=3), FlipSite("product", "c", lane=9, cycle=3)]
    for kernels in ("numba", "numpy"):
        assert np.array_equal(simulate(module, x, flip_sites=sites, kernels=kernels).raw, simulate(module, x).raw)
        made = simulate(module, x, flip_sites=sites[:1], flip_rate=0.2, flips=("product",), kernels=kernels).raw
        assert np.array_equal(
            made, simulate(module, x, flip_sites=[*sites, sites[0]], flip_rate=0.2, flips=("product",)).raw
        )


def test_the_kernel_takes_a_large_layer_in_pieces(monkeypatch):
    from sccc.backends.simulator import flips

    monkeypatch.setattr(flips, "BITS_PER_DRAW", 200)
    seen = []
    real = ProductFlips._run_kernel
    monkeypatch.setattr(
        ProductFlips, "_run_kernel", lambda self, mask, *rest: (seen.append(len(mask)), real(self, mask, *rest))
    )
    module = conv_module("bipolar", "bipolar", {"pads": [1, 1, 1, 1]})
    assert_engines_agree(module, samples(module), flip_rate=0.2, flips=("product",))
    assert max(seen) <= 200 // 9 and len(seen) > 100


# -- sums that stop early ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", (("state",), ("operand", "product", "state")), ids="+".join)
@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_sums_that_stop_early(style, kinds):
    spec = Spec(sizes=(9, 8, 4), options={"length": 64, "style": style})
    module = lower(build(spec), spec.options, vectors(spec, 50), f"{DEFAULT_PIPELINE},early-exit{{margin=60}}")
    x = vectors(spec, 12)
    made = assert_engines_agree(module, x, flip_rate=0.002, flips=kinds)
    assert len(set(made.cycles.tolist())) > 2 and made.cycles.min() < 64
    assert (made.raw != simulate(module, x).raw).any()
    result = check_faults(module, x, flip_rate=0.002, flips=kinds)
    assert result.mismatches == 0, result.first


def test_a_flip_after_the_exit_does_nothing():
    spec = Spec(sizes=(9, 8, 4), options={"length": 64, "style": "streaming"})
    module = lower(build(spec), spec.options, vectors(spec, 50), f"{DEFAULT_PIPELINE},early-exit{{margin=9 first=8}}")
    x = vectors(spec, 6)
    clean = simulate(module, x)
    (race,) = module.ops_named("sc.race")
    sample = int(clean.cycles.argmin())
    last = int(clean.cycles[sample]) - 1
    for cycle, changes in ((last, True), (last + 1, False)):
        site = FlipSite("state", race.result.name, lane=0, cycle=cycle, bit=0, sample=sample)
        made = simulate(module, x, flip_sites=[site])
        assert (made.raw != clean.raw).any() == changes
        assert np.array_equal(made.cycles, clean.cycles)
        result = check_faults(module, x, flip_sites=[site])
        assert result.mismatches == 0, result.first
