"""Window totals with samples side by side give what numpy gives: any unit, weights without a bit, sums as large as they can be."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.backends.simulator import simulate
from sccc.backends.simulator.taps import TapSums
from sccc.types import Encoding

UNIPOLAR, BIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.BIPOLAR, Encoding.SIGNED
PAIRS = (
    (UNIPOLAR, SIGNED),
    (SIGNED, SIGNED),
    (SIGNED, UNIPOLAR),
    (BIPOLAR, BIPOLAR),
    (BIPOLAR, SIGNED),
    (UNIPOLAR, BIPOLAR),
)


def totals(module, x, kernels):
    return simulate(module, x, kernels=kernels).raw


def with_zeros(module, share):
    """The module with that share of its weights at level 0."""
    (weights,) = module.ops_named("sc.constant")
    levels = weights.attributes["levels"]
    levels[np.random.default_rng(3).random(levels.shape) < share] = 0
    return module


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(e.value for e in pair))
@pytest.mark.parametrize("length", (8, 16, 24, 32, 96, 264))
def test_units_of_every_width(build, make_net, pair, length):
    """264 cycles are 33 units of 8 bits, whose sum of one tap would overflow them."""
    net = make_net(*pair, "accumulate", n=70, m=5, length=length, bits=8)
    module = with_zeros(build(net), 0.5)
    assert np.array_equal(totals(module, net.data(11), "numba"), totals(module, net.data(11), "numpy"))


@pytest.mark.parametrize("samples", (1, 63, 64, 257, 600))
def test_blocks_that_samples_do_not_fill(build, make_net, samples):
    net = make_net(SIGNED, SIGNED, "accumulate", n=9, m=3, length=16)
    module = with_zeros(build(net), 0.3)
    assert np.array_equal(totals(module, net.data(samples), "numba"), totals(module, net.data(samples), "numpy"))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(e.value for e in pair))
def test_no_weight_has_a_bit(build, make_net, pair):
    net = make_net(*pair, "accumulate", n=9, m=3, length=16)
    module = with_zeros(build(net), 1.1)
    assert np.array_equal(totals(module, net.data(5), "numba"), totals(module, net.data(5), "numpy"))


def test_sums_beyond_what_a_unit_holds(build, make_net):
    """9,000 products of 16 ones are more than 16 bits hold, and more than the totals' own type would with one bit less."""
    net = make_net(UNIPOLAR, UNIPOLAR, "accumulate", n=9000, m=2, length=16, bits=4)
    module = build(net)
    module.ops_named("sc.constant")[0].attributes["levels"][:] = 16
    x = np.ones((3, net.n))
    made = totals(module, x, "numba")
    assert made.min() > 1 << 16
    assert np.array_equal(made, totals(module, x, "numpy"))


def test_a_skipped_weight_is_noticed(build, make_net, monkeypatch):
    net = make_net(UNIPOLAR, SIGNED, "accumulate", n=9, m=3, length=16)
    honest = TapSums._kept

    def forgetful(self, table, index):
        kept = np.array(honest(self, table, index))
        kept[..., np.flatnonzero(kept[0, 0])[0]] = False
        return kept

    monkeypatch.setattr(TapSums, "_kept", forgetful)
    module = build(net)
    assert not np.array_equal(totals(module, net.data(20), "numba"), totals(module, net.data(20), "numpy"))
