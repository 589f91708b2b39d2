"""Exact joint counts of two streams over all pairs of levels, and what follows from them: products' errors and SCC.

With fixed sources a and b, the number of cycles of a window of N in which both streams are 1,

    J[lx, lw] = #{t < N: a(t) < lx and b(t) < lw},

is a function of the two levels only (shared/notes/sc-facts.md, section 8), and so are the streams' own ones, J[lx, 2**bits] and
J[2**bits, lw], and the sum of any product of the two bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from sccc.cells import Product
from sccc.correlation import Randomness
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding

MAX_TABLE_BITS = 10
"""Levels are taken at this resolution at most: a table of 1025 x 1025 entries (8 MB), with signs four times as many. Coarser levels
than there are leave out what lies between (measured: 1 bit less predicts 6 to 29 % too little, 2 bits less 10 to 42 %)."""


def table_bits(bits: int) -> int:
    """Bits of level that a table resolves."""
    return min(bits, MAX_TABLE_BITS)


@lru_cache(maxsize=8)
def joint_counts(a: Randomness, b: Randomness, bits: int, length: int, resolved: int) -> np.ndarray:
    """J of `bits`-bit random numbers over `length` cycles, in cycles: int64 [2**r + 1, 2**r + 1], r = min(bits, resolved).

    Index k stands for level k * 2**(bits - r). Do not write into the result.
    """
    r = min(bits, resolved)
    if {a.generator, b.generator} != {"sc.sng"}:
        levels = np.arange((1 << r) + 1) << (bits - r)
        return np.rint(a.bits(levels, length).T.astype(np.float64) @ b.bits(levels, length)).astype(np.int64)
    # Streams of comparators are subsets of each other: sums of the counts of single numbers.
    counts = np.zeros(((1 << r) + 1, (1 << r) + 1), dtype=np.int64)
    np.add.at(counts, ((a.sequence(length) >> (bits - r)) + 1, (b.sequence(length) >> (bits - r)) + 1), 1)
    return counts.cumsum(0).cumsum(1)


def contribution(product: Product, x: int, w: int, xs: int, ws: int) -> int:
    """What a lane adds to a count (-1, 0, 1) for these bits and signs."""
    env = {"x": x, "w": w, "xs": xs, "ws": ws}
    return (product.bit.evaluate(env) & 1) * (1 - 2 * (product.neg.evaluate(env) & 1))


def signs_of(encoding: Encoding) -> tuple[int, ...]:
    return (1, 0) if encoding is Encoding.SIGNED else (0,)


def level_index(levels: np.ndarray, encoding: Encoding, bits: int) -> np.ndarray:
    """Row or column of levels in a `product_deviation` table: from -2**r for signed levels, from 0 otherwise."""
    r = table_bits(bits)
    index = np.rint(np.asarray(levels) / (1 << (bits - r))).astype(np.int64)
    return index + (1 << r) if encoding is Encoding.SIGNED else index


def level_values(encoding: Encoding, bits: int) -> np.ndarray:
    """The encoded numbers that a table's rows or columns stand for."""
    r = table_bits(bits)
    return encoding.decode(np.arange(encoding.minimum_level(r), (1 << r) + 1), r)


def summed_product(both: np.ndarray, length: int, x: Encoding, w: Encoding) -> np.ndarray:
    """The sum over the window of what a lane adds, from joint counts J [2**r + 1, 2**r + 1], with rows and columns for signs.

    J may hold expectations. The four joint states of two bits occur J, A - J, B - J and N - A - B + J times.
    """
    product = PRODUCTS[x, w]
    a, b = both[:, -1:], both[-1:, :]
    times = {(1, 1): both, (1, 0): a - both, (0, 1): b - both, (0, 0): length - a - b + both}
    rows = []
    for xs in signs_of(x):
        columns = []
        for ws in signs_of(w):
            table = np.zeros(both.shape)
            for (i, k), cycles in times.items():
                table += contribution(product, i, k, xs, ws) * cycles
            columns.append(table[:, :0:-1] if ws else table)
        row = np.concatenate(columns, axis=1)
        rows.append(row[:0:-1] if xs else row)
    return np.concatenate(rows, axis=0)


def ideal_product(length: int, bits: int, x: Encoding, w: Encoding) -> np.ndarray:
    """N times the product of the encoded numbers, for the same rows and columns."""
    return length * np.outer(level_values(x, bits), level_values(w, bits))


@lru_cache(maxsize=8)
def product_deviation(a: Randomness, b: Randomness, bits: int, length: int, x: Encoding, w: Encoding) -> np.ndarray:
    """Sum over the window of a lane's product minus N x w, in counts, by the two levels (`level_index`). float64."""
    counts = joint_counts(a, b, bits, length, table_bits(bits)).astype(np.float64)
    return summed_product(counts, length, x, w) - ideal_product(length, bits, x, w)


@lru_cache(maxsize=65536)
def pair_error(a: Randomness, b: Randomness, bits: int, length: int) -> float:
    """RMS over all pairs of levels of J - N lx lw / 4**bits, in units of independent random streams' (sqrt(5 N / 36)).

    Unlike `correlation.joint_deviation` this counts streams that miss their own levels, as a ramp that is cut short makes
    them. 5/36 is the mean of p (1 - p) over p = x w with x and w uniform. Levels at 6 bits at most.
    """
    counts = joint_counts(a, b, bits, length, 6)
    fraction = np.linspace(0.0, 1.0, len(counts))
    error = counts - length * np.outer(fraction, fraction)
    return float(np.sqrt(np.mean(error**2) / (length * 5.0 / 36.0)))


def scc_of(p11: Any, pa: Any, pb: Any) -> np.ndarray:
    """Stochastic computing correlation in -1 .. 1 from P(a=1, b=1), P(a=1), P(b=1) (Alaghi & Hayes, ICCD 2013).

    d = p11 - pa pb, over min(pa, pb) - pa pb where d > 0, else over pa pb - max(pa + pb - 1, 0). 0 where a stream is constant
    (there it is not defined).
    """
    p11, pa, pb = (np.asarray(p, dtype=np.float64) for p in (p11, pa, pb))
    d = p11 - pa * pb
    largest = scc_norm(d, pa, pb)
    return np.where(largest > 1e-12, d / np.maximum(largest, 1e-12), 0.0)


def scc_norm(d: Any, pa: Any, pb: Any) -> np.ndarray:
    """The largest |d| that two streams with these probabilities can have with the sign of d."""
    return np.where(np.asarray(d) > 0, np.minimum(pa, pb) - pa * pb, pa * pb - np.maximum(pa + pb - 1.0, 0.0))


def scc(a_bits: np.ndarray, b_bits: np.ndarray) -> np.ndarray:
    """SCC measured on two streams' bits [..., cycles], which broadcast: [...]."""
    a, b = np.asarray(a_bits, dtype=np.float64), np.asarray(b_bits, dtype=np.float64)
    return scc_of((a * b).mean(axis=-1), a.mean(axis=-1), b.mean(axis=-1))


def predicted_scc(a: Randomness, b: Randomness, lx: Any, lw: Any, bits: int, length: int) -> np.ndarray:
    """SCC of the streams of levels |lx| and |lw| over the window, exactly (from the joint table of all levels)."""
    counts = joint_counts(a, b, bits, length, bits) / length
    lx, lw = np.abs(lx), np.abs(lw)
    return scc_of(counts[lx, lw], counts[lx, -1], counts[-1, lw])
