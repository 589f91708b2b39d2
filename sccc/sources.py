"""Random sources: which integer appears in which cycle, stated once for simulator, Verilog, verifier and cost.

Two families. *Counter* sources are GF(2)-linear maps of a cycle counter, r(t) = XOR of `columns[k]` over the ones k of
t: the ramp (columns 1, 2, 4 ...), Sobol sequences in natural order (Joe & Kuo 2008; dimension 0 is van der Corput's
bit reversal) and randomly scrambled ones (Matousek 1998). Any number of them shares one counter, and over
2**bits cycles each takes every value exactly once. *LFSR* sources are Fibonacci shift registers with a maximal polynomial.

All restart with every window, so a result does not depend on what was computed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_BITS = 24
"""Widest random number: a window of 2**24 cycles is longer than any use of it."""

# Primitive polynomials and initial direction numbers of Joe & Kuo (new-joe-kuo-6.21201), dimensions 1 .. 15 here:
# degree, inner coefficients, m_1 .. m_degree. Checked against scipy.stats.qmc.Sobol in the tests.
_JOE_KUO: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (1, 0, (1,)),
    (2, 1, (1, 3)),
    (3, 1, (1, 3, 1)),
    (3, 2, (1, 1, 1)),
    (4, 1, (1, 1, 3, 3)),
    (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)),
    (5, 4, (1, 1, 5, 5, 5)),
    (5, 7, (1, 1, 7, 11, 19)),
    (5, 11, (1, 1, 5, 1, 1)),
    (5, 13, (1, 1, 1, 3, 11)),
    (5, 14, (1, 3, 5, 5, 31)),
    (6, 1, (1, 3, 3, 9, 7, 49)),
    (6, 13, (1, 1, 1, 15, 21, 21)),
    (6, 16, (1, 3, 1, 13, 27, 49)),
)
SOBOL_DIMENSIONS = len(_JOE_KUO) + 1

# Taps of maximal Fibonacci LFSRs, 1-based from the output end (Xilinx XAPP 052, Alfke 1996); checked in the tests.
_TAPS: dict[int, tuple[int, ...]] = {
    3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7), 11: (11, 9),
    12: (12, 6, 4, 1), 13: (13, 4, 3, 1), 14: (14, 5, 3, 1), 15: (15, 14), 16: (16, 15, 13, 4), 17: (17, 14),
    18: (18, 11), 19: (19, 6, 2, 1), 20: (20, 17), 21: (21, 19), 22: (22, 21), 23: (23, 18), 24: (24, 23, 22, 17),
    25: (25, 22), 26: (26, 6, 2, 1), 27: (27, 5, 2, 1), 28: (28, 25), 29: (29, 27), 30: (30, 6, 4, 1),
    31: (31, 28), 32: (32, 22, 2, 1),
}  # fmt: skip


@dataclass(frozen=True)
class CounterSource:
    """r(t) = XOR of columns[k] over the ones k of t mod 2**bits."""

    bits: int
    columns: tuple[int, ...]

    def sequence(self, length: int) -> np.ndarray:
        """The first `length` values, int64."""
        t = np.arange(length, dtype=np.int64) & ((1 << self.bits) - 1)
        r = np.zeros(length, dtype=np.int64)
        for k, column in enumerate(self.columns):
            r ^= np.where((t >> k) & 1, column, 0)
        return r

    def rows(self) -> list[list[int]]:
        """For each output bit (0 first) the counter bits whose XOR it is."""
        return [[k for k, column in enumerate(self.columns) if column >> bit & 1] for bit in range(self.bits)]


@dataclass(frozen=True)
class LfsrSource:
    """A Fibonacci LFSR of `width` bits; each cycle's value is its `bits` most significant bits.

    The zero state is inserted behind 100...0 (de Bruijn sequence; Fredricksen 1982), so that over 2**width cycles every value
    appears equally often and no stream is biased. A register of just `bits` bits is best: successive values of a wider one are
    shifts of each other, and measured errors are 1.0 to 1.5 times those of independent streams against 0.3 to 0.9.
    """

    bits: int
    width: int
    taps: int
    seed: int

    def sequence(self, length: int) -> np.ndarray:
        """The first `length` values, int64; the first one comes from the seed itself."""
        return _lfsr_states(self.width, self.taps, self.seed, length) >> (self.width - self.bits)


Source = CounterSource | LfsrSource


def _lfsr_states(width: int, taps: int, seed: int, length: int) -> np.ndarray:
    mask = (1 << width) - 1
    states = np.empty(length, dtype=np.int64)
    state = seed
    for t in range(length):
        states[t] = state
        state = (state << 1 & mask) | (((state & taps).bit_count() & 1) ^ (state & mask >> 1 == 0))
    return states


@lru_cache(maxsize=512)
def sobol(bits: int, dimension: int) -> CounterSource:
    """A Sobol dimension in 0 .. SOBOL_DIMENSIONS - 1 with `bits` bits, in natural (not Gray-code) order."""
    if dimension == 0:
        numbers = [1] * bits
    else:
        degree, inner, initial = _JOE_KUO[dimension - 1]
        numbers = list(initial)
        for k in range(degree, bits):
            m = numbers[k - degree] ^ (numbers[k - degree] << degree)
            for i in range(1, degree):
                if inner >> (degree - 1 - i) & 1:
                    m ^= numbers[k - i] << i
            numbers.append(m)
    return CounterSource(bits, tuple(numbers[k] << (bits - 1 - k) for k in range(bits)))


def ramp(bits: int) -> CounterSource:
    """The counter itself."""
    return CounterSource(bits, tuple(1 << k for k in range(bits)))


@lru_cache(maxsize=200_000)
def scrambled(bits: int, index: int) -> CounterSource:
    """Sobol dimension `index % SOBOL_DIMENSIONS` under random linear scrambling number `index // SOBOL_DIMENSIONS`.

    Each digit is XORed with a random choice of the more significant ones (Matousek 1998), which keeps what matters: every
    scrambling of one dimension is jointly low-discrepancy with every scrambling of another. Number 0 scrambles nothing.
    """
    number, dimension = divmod(index, SOBOL_DIMENSIONS)
    columns = list(sobol(bits, dimension).columns)
    if number == 0:
        return CounterSource(bits, tuple(columns))
    return CounterSource(bits, tuple(_scramble(sobol(bits, dimension).columns, bits, index)))


def _scramble(columns: tuple[int, ...], bits: int, seed: int) -> list[int]:
    """Columns with each bit XORed with the parity of a random subset of the more significant bits."""
    subsets = []
    state = splitmix64(seed)
    for bit in range(bits):
        above = ((1 << bits) - 1) ^ ((2 << bit) - 1)
        subsets.append(state >> 20 & above)
        state = splitmix64(state)
    return [
        sum(((c >> bit ^ (c & subset).bit_count()) & 1) << bit for bit, subset in enumerate(subsets)) for c in columns
    ]


def lfsr(bits: int, width: int, seed: int, taps: int = 0) -> LfsrSource:
    """A maximal LFSR of `width` bits (3 .. 32) that starts in state `seed` mod 2**width; `taps` 0: the table's polynomial."""
    taps = taps or sum(1 << (tap - 1) for tap in _TAPS[width])
    return LfsrSource(bits, width, taps, seed % (1 << width))


MAX_SEARCHED_WIDTH = 16
"""Widest LFSR whose polynomials other than the table's are accepted: they are checked by walking their states."""


@lru_cache(maxsize=4096)
def is_maximal(width: int, taps: int) -> bool:
    """Whether the LFSR walks through all 2**width states: the table's polynomial, or any of a width up to 16 that does."""
    if taps == sum(1 << (tap - 1) for tap in _TAPS[width]):
        return True
    if width > MAX_SEARCHED_WIDTH or not 1 << (width - 1) <= taps < 1 << width:
        return False
    states = _lfsr_states(width, taps, 0, (1 << width) + 1)
    return states[-1] == 0 and not np.any(states[1:-1] == 0)


@lru_cache(maxsize=32)
def maximal_taps(width: int, count: int) -> tuple[int, ...]:
    """The first `count` maximal polynomials of a width (3 .. 16): the table's, then those with the fewest taps."""
    table = sum(1 << (tap - 1) for tap in _TAPS[width])
    found = [table]
    for taps in sorted(range(1 << (width - 1), 1 << width), key=lambda t: (t.bit_count(), t)):
        if len(found) >= count:
            break
        if taps != table and taps.bit_count() % 2 == 0 and is_maximal(width, taps):
            found.append(taps)
    return tuple(found)


def splitmix64(state: int) -> int:
    """One step of SplitMix64 (Steele et al., 2014): decorrelated 64-bit numbers from consecutive seeds."""
    z = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)
