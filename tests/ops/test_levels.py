"""Levels and their streams: both ends are exact, the mean over a period is the level, nothing overflows at 1.0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import one_layer

from sccc.backends.simulator import simulate
from sccc.types import Encoding

SOURCES = (
    {"index": 0},
    {"index": 3},
    {"kind": "ramp"},
    {"kind": "lfsr", "index": 5},
    {"kind": "scrambled", "index": 177},
)


def streams(encoding: str, numbers: np.ndarray, bits: int, source, kernels: str = "numba", length: int = 0):
    """Trace of an input of encoded `numbers` [samples, n]."""
    other = {"index": 1} if source != {"index": 1} else {"index": 2}
    weights = "bipolar" if encoding == "bipolar" else "signed"
    ones = np.ones((1, numbers.shape[1]), dtype=int)
    module = one_layer(encoding, weights, ones, length or 1 << bits, bits, sources=(source, other))
    return simulate(module, numbers, trace=["level", "x"], kernels=kernels).trace


@pytest.mark.parametrize("kernels", ("numba", "numpy"))
@pytest.mark.parametrize("source", SOURCES, ids=str)
@pytest.mark.parametrize("encoding", ("unipolar", "bipolar", "signed"))
def test_over_a_period_every_level_is_exact(encoding, source, kernels):
    """0 never fires, 2**bits always does, and all between have exactly their mean: no floor and no bias."""
    bits = 5
    lowest = -32 if encoding == "signed" else 0
    levels = np.arange(lowest, 33)
    numbers = 2 * levels / 32 - 1 if encoding == "bipolar" else levels / 32
    trace = streams(encoding, numbers[None], bits, source, kernels)
    assert np.array_equal(trace["level"][0], levels)
    assert np.array_equal(trace["x"][0].sum(axis=-1), np.abs(levels))


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_both_ends_hold_in_every_window(source):
    """Also in windows that are no period: an N-bit counter does not overflow at 1.0."""
    for length in (1, 3, 33, 100):
        trace = streams("unipolar", np.array([[0.0, 1.0, 7.0, -7.0]]), 5, source, length=length)
        assert np.array_equal(trace["x"][0].sum(axis=-1), [0, length, length, 0])


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_windows_restart(source):
    """The same input twice gives the same bits, whatever was between."""
    rng = np.random.default_rng(0)
    x = rng.random((5, 4))
    x[4] = x[0]
    trace = streams("unipolar", x, 5, source, length=19)
    assert np.array_equal(trace["x"][0], trace["x"][4])


@given(st.sampled_from(list(Encoding)), st.integers(1, 16), st.floats(-3, 3))
def test_rounding_is_to_the_nearest_level_and_saturates(encoding, bits, value):
    level = int(encoding.encode(value, bits))
    lowest = -1.0 if encoding is not Encoding.UNIPOLAR else 0.0
    step = (2.0 if encoding is Encoding.BIPOLAR else 1.0) / (1 << bits)
    assert encoding.minimum_level(bits) <= level <= encoding.maximum_level(bits)
    assert abs(float(encoding.decode(level, bits)) - min(max(value, lowest), 1.0)) <= step / 2 * (1 + 1e-9)


def test_ties_have_no_bias():
    values = (np.arange(-31, 31) + 0.5) / 32
    error = Encoding.SIGNED.decode(Encoding.SIGNED.encode(values, 5), 5) - values
    assert abs(error.sum()) < 1e-12 and np.allclose(np.abs(error), 0.5 / 32)
