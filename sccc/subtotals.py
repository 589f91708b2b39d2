"""Subtotals that two outputs of a layer share: bits that both count are counted once.

Each output counts a set of bits, some up and some down. Where two outputs count the same 2**k - 1 bits, both with one sign
throughout or (`mixed`) with equal or opposite signs bit by bit, a counter of those bits alone serves both: k bits take the place of
2**k - 1 in either tree. Common subexpressions of a matrix of constants (Potkonjak et al., IEEE TCAD 1996), here in whole counters,
which are the sizes that full adders fill without a half adder.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

SIZES = (31, 15, 7, 3)
"""Bits that a counter takes, and it gives 5, 4, 3, 2: that many full adders less than bits for one of the two outputs."""

BLOCK = 128
"""So many outputs are compared with each other at a time, which bounds time and memory: 4 * 128**2 / 2 sets of bits."""


@dataclass(frozen=True)
class Subtotal:
    """Bits (columns of the matrix) that the outputs `first` and `second` both count; `opposite`: with opposite signs."""

    first: int
    second: int
    columns: np.ndarray
    opposite: bool


def shared_subtotals(symbols: np.ndarray, *, mixed: bool) -> tuple[list[Subtotal], np.ndarray]:
    """Find subtotals greedily, the largest common sets first; every bit of an output is part of one subtotal at most.

    symbols: integers [outputs, columns]: the bit's number, from 1, negative when it is counted down, 0 for none. Returns the
    subtotals, and the symbols that are left. Without `mixed`, all bits of a subtotal have one sign in each output.
    """
    left = symbols.copy()
    found: list[Subtotal] = []
    for start in range(0, len(symbols), BLOCK):
        found += _block(left, start, mixed)
    return found, left


def _block(left: np.ndarray, start: int, mixed: bool) -> list[Subtotal]:
    """The subtotals among BLOCK outputs; their bits become 0 in `left`."""
    rows = left[start : start + BLOCK]
    free = [_bits(row) for row in rows != 0]
    sets = _common(rows, mixed)
    queue = [(-common.bit_count(), *key) for key, common in sets.items()]
    heapq.heapify(queue)
    found = []
    while queue:
        _, first, second, kind = heapq.heappop(queue)
        common = sets[first, second, kind] & free[first] & free[second]
        count = common.bit_count()
        if count < SIZES[-1]:
            continue
        if queue and (-count, first, second, kind) > queue[0]:
            heapq.heappush(queue, (-count, first, second, kind))
            continue
        columns = _closest(common, next(size for size in SIZES if size <= count), rows.shape[1])
        # All the common columns between the first and the last one are taken.
        kept = ~(common & (1 << int(columns[-1]) + 1) - (1 << int(columns[0])))
        free[first] &= kept
        free[second] &= kept
        opposite = bool(np.sign(rows[first, columns[0]]) != np.sign(rows[second, columns[0]]))
        found.append(Subtotal(start + first, start + second, columns, opposite))
        heapq.heappush(queue, (len(columns) - count, first, second, kind))
    for row, bits in zip(rows, free, strict=True):
        row[~_columns(bits, rows.shape[1])] = 0
    return found


def _common(rows: np.ndarray, mixed: bool) -> dict[tuple[int, int, int], int]:
    """For two rows and a relation of their signs: the columns with equal symbols in both, as a number's bits; where enough are."""
    up = rows > 0
    found = {}
    for first in range(len(rows) - 1):
        equal = (np.abs(rows[first + 1 :]) == np.abs(rows[first])) & (rows[first] != 0)
        agree = up[first + 1 :] == up[first]
        kinds = (
            [agree, ~agree]
            if mixed
            else [agree & up[first], agree & ~up[first], ~agree & up[first], ~agree & ~up[first]]
        )
        for kind, which in enumerate(kinds):
            packed = np.packbits(equal & which, axis=1, bitorder="little")
            enough = np.flatnonzero(np.bitwise_count(packed).sum(axis=1) >= SIZES[-1])
            for other in enough.tolist():
                found[first, first + 1 + other, kind] = int.from_bytes(packed[other].tobytes(), "little")
    return found


def _bits(mask: np.ndarray) -> int:
    """A mask as a number: bit c is column c."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def _columns(bits: int, length: int) -> np.ndarray:
    """The mask of a number."""
    data = np.frombuffer(bits.to_bytes((length + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(data, count=length, bitorder="little").astype(bool)


def _closest(bits: int, size: int, length: int) -> np.ndarray:
    """That many of the columns, the ones that lie closest together: neighbours in an image tend to change together."""
    columns = np.flatnonzero(_columns(bits, length))
    first = int(np.argmin(columns[size - 1 :] - columns[: len(columns) - size + 1]))
    return columns[first : first + size]
