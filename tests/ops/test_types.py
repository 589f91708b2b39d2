"""The stated ranges of counts and totals hold, and constant weights reach their ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import one_layer

from sccc.backends.simulator import simulate
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding, signed_width

OFFSET = (np.array([-2, 3]), np.array([-9, 12]))


@given(st.sampled_from(sorted(PRODUCTS, key=str)), st.integers(1, 6), st.integers(0, 999), st.booleans())
def test_ranges_hold(pair, n, seed, biased):
    x, w = pair
    rng = np.random.default_rng(seed)
    levels = rng.integers(w.minimum_level(4), 17, (2, n)) * (rng.random((2, n)) < 0.7)
    machine = ("sc.accumulate", {"initial": rng.integers(-50, 50, 2)})
    module = one_layer(x.value, w.value, levels, 12, 4, machine, bias=OFFSET if biased else None)
    data = rng.choice([-1.0, 0.0, 0.4, 1.0], (6, n))
    trace = simulate(module, data, trace="all").trace
    for name in ("count", "y", *(["biased"] if biased else [])):
        kind = module.value(name).type
        assert kind.lo <= trace[name].min() and trace[name].max() <= kind.hi


@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_ranges_are_tight_for_constant_weights(pair):
    """Full-scale weights and inputs at their extremes reach both ends, and zero weights do not widen the range."""
    x, w = pair
    negative = w is not Encoding.UNIPOLAR
    low = w.minimum_level(4)
    levels = np.array([[16, 16, 16, 0], [low if negative else 16] * 2 + [0, 0]])
    module = one_layer(x.value, w.value, levels, 5, 4)
    least = x.decode(x.minimum_level(4), 4)
    data = np.array([[1.0] * 4, [least] * 4, [least, least, 1, 1], [1, 1, least, least]])
    trace = simulate(module, data, trace=["count", "y"]).trace
    count, total = module.value("count").type, module.value("y").type
    # Signed or unipolar weights of level 0 add nothing; bipolar ones of level 0 are -1.
    if w is not Encoding.BIPOLAR:
        assert count.hi == 3 and count.lo >= -3
    assert (trace["count"].min(), trace["count"].max()) == (count.lo, count.hi) or w is Encoding.BIPOLAR
    assert (total.lo, total.hi) == (5 * count.lo, 5 * count.hi)
    if x is Encoding.UNIPOLAR and w is Encoding.SIGNED:
        assert (count.lo, count.hi) == (-2, 3)


def test_totals_start_from_their_initial_values():
    module = one_layer("unipolar", "unipolar", [[16, 16]], 8, 4, ("sc.accumulate", {"initial": np.array([-7])}))
    assert (module.value("y").type.lo, module.value("y").type.hi) == (-7, 16)
    raw = simulate(module, np.array([[0.0, 0.0], [1.0, 1.0]])).raw.ravel().tolist()
    assert raw == [-7, 9]


@pytest.mark.parametrize(
    ("lo", "hi", "width"), ((0, 0, 1), (0, 1, 2), (-1, 0, 1), (-2, 1, 2), (-2, 2, 3), (0, 7, 4), (-9, 3, 5))
)
def test_widths_of_signed_numbers(lo, hi, width):
    assert signed_width(lo, hi) == width
