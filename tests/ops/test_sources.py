"""Random sources: low discrepancy, maximal periods, nothing left out and nothing twice."""

from __future__ import annotations

import numpy as np
import pytest
from naive import POLYNOMIALS, mixed, reversed_bits, source_numbers
from scipy.stats import qmc

from sccc import sources
from sccc.correlation import Randomness


@pytest.mark.parametrize("bits", (8, 11))
def test_sobol_is_scipys_in_natural_order(bits):
    drawn = (qmc.Sobol(sources.SOBOL_DIMENSIONS, scramble=False).random(1 << bits) * (1 << bits)).astype(int)
    gray = [i ^ (i >> 1) for i in range(1 << bits)]
    for dimension in range(sources.SOBOL_DIMENSIONS):
        ours = sources.sobol(bits, dimension).sequence(1 << bits)
        assert np.array_equal(ours[gray], drawn[:, dimension]), dimension
        assert sorted(ours) == list(range(1 << bits))


def test_dimension_0_is_van_der_corputs():
    assert sources.sobol(6, 0).sequence(64).tolist() == [reversed_bits(t, 6) for t in range(64)]
    assert sources.ramp(6).sequence(70).tolist() == [t % 64 for t in range(70)]


@pytest.mark.parametrize("bits", (1, 2, 3, 5, 8))
def test_counter_sources_take_each_value_once_per_period_whatever_the_mask(bits):
    period = 1 << bits
    scrambled = [sources.scrambled(bits, i) for i in range(200)]
    for source in [sources.ramp(bits), *(sources.sobol(bits, d) for d in range(16)), *scrambled]:
        sequence = source.sequence(2 * period)
        assert sorted(sequence[:period]) == list(range(period))
        assert np.array_equal(sequence[:period], sequence[period:])
        for mask in {0, 1, period - 1, period // 3}:
            assert sorted(Randomness(source, mask).sequence(period)) == list(range(period))


@pytest.mark.parametrize("width", range(3, 17))
def test_lfsrs_are_maximal_by_enumeration(width):
    """Every state, zero too, exactly once in 2**width cycles, from any seed."""
    sequence = sources.lfsr(width, width, 1).sequence((1 << width) + 5)
    assert np.array_equal(np.sort(sequence[: 1 << width]), np.arange(1 << width))
    assert np.array_equal(sequence[1 << width :], sequence[:5])
    assert sources.lfsr(width, width, 77).sequence(1)[0] == 77 % (1 << width)


def test_lfsr_polynomials_are_those_of_the_table_up_to_32():
    for width, exponents in POLYNOMIALS.items():
        assert sources.lfsr(3, width, 0).taps == sum(1 << (e - 1) for e in exponents)
    assert set(sources._TAPS) == set(range(3, 33))


@pytest.mark.parametrize(("bits", "width"), ((3, 3), (4, 7), (8, 8), (8, 12)))
def test_narrow_numbers_of_wide_lfsrs_are_unbiased(bits, width):
    counts = np.bincount(sources.lfsr(bits, width, 5).sequence(1 << width))
    assert np.array_equal(counts, np.full(1 << bits, 1 << width - bits))


@pytest.mark.parametrize("kind", ("sobol", "ramp", "lfsr", "scrambled"))
def test_the_naive_evaluator_agrees(kind):
    make = {"sobol": sources.sobol, "ramp": lambda b, i: sources.ramp(b), "scrambled": sources.scrambled,
            "lfsr": lambda b, i: sources.lfsr(b, max(3, b), i)}[kind]  # fmt: skip
    for bits in (2, 3, 6, 9):
        for index in (0, 1, 7, 15) if kind == "sobol" else (0, 1, 15, 16, 333, 4096 * 16 + 5):
            expected = source_numbers(kind, bits, max(3, bits), index, 100)
            assert make(bits, index).sequence(100).tolist() == expected


def test_pairs_of_dimensions_fill_the_plane_evenly():
    """Of 2**8 points of two dimensions, each cell of every dyadic grid up to 4 x 4 holds the same number (t <= 4)."""
    for a, b in ((0, 1), (0, 2), (1, 2), (0, 15)):
        x, y = (sources.sobol(8, d).sequence(256) for d in (a, b))
        cells = np.zeros((4, 4))
        np.add.at(cells, (x >> 6, y >> 6), 1)
        assert np.all(cells == 16), (a, b)


def test_splitmix_is_the_published_one():
    """The first outputs for seed 0 and 1234567 (Vigna's splitmix64.c: the state advances before each output)."""
    golden = 0x9E3779B97F4A7C15
    assert sources.splitmix64(0) == 0xE220A8397B1DCDAF == mixed(0)
    assert sources.splitmix64(golden) == 0x6E789E6AA1B965F4
    assert sources.splitmix64(1234567) == 6457827717110365317
