"""Compiled moves of bits between `layouts`. Importing this module imports numba."""

from __future__ import annotations

import numpy as np

from sccc.jit import njit


@njit(nogil=True, boundscheck=False)
def gather_rows(index, table, out):  # type: ignore[no-untyped-def]
    """out[b, i*c:(i+1)*c] = table[index[b, i]], c words of the table's dtype."""
    c = table.shape[1]
    for b in range(index.shape[0]):
        for i in range(index.shape[1]):
            v = index[b, i]
            for k in range(c):
                out[b, i * c + k] = table[v, k]


@njit(nogil=True, boundscheck=False)
def gather_blocks(index, table, out):  # type: ignore[no-untyped-def]
    """64 x 64 bit transposes (Warren, Hacker's Delight 7-3) of table rows uint64 into blocks uint64 [Q, N, K, B]."""
    groups, cycles, words, size = out.shape
    samples, lanes = index.shape
    zero = np.uint64(0)
    for q in range(groups):
        a = np.empty((64, size), np.uint64)
        for word in range(words):
            for kw in range(table.shape[1]):
                for i in range(64):
                    lane = word * 64 + i
                    for b in range(size):
                        s = q * size + b
                        a[i, b] = table[index[s, lane], kw] if lane < lanes and s < samples else zero
                j = 32
                mask = np.uint64(0x00000000FFFFFFFF)
                while j:
                    shift = np.uint64(j)
                    k = 0
                    while k < 64:
                        for b in range(size):
                            t = ((a[k, b] >> shift) ^ a[k + j, b]) & mask
                            a[k + j, b] ^= t
                            a[k, b] ^= t << shift
                        k = (k + j + 1) & ~j
                    j >>= 1
                    mask ^= mask << np.uint64(j)
                for t in range(min(64, cycles - kw * 64)):
                    for b in range(size):
                        out[q, kw * 64 + t, word, b] = a[t, b]


TILE = 16
"""Lanes of tiles that are moved between layouts of other orders: they stay in the first-level cache, and their pages at hand."""


@njit(nogil=True, boundscheck=False)
def gather_sides(index, table, out):  # type: ignore[no-untyped-def]
    """out[i * c + k, b] = table[index[b, i], k], c words of the table's dtype."""
    samples, lanes = index.shape
    c = table.shape[1]
    for i0 in range(0, lanes, TILE):
        for b0 in range(0, samples, 4 * TILE):
            b1 = min(b0 + 4 * TILE, samples)
            for i in range(i0, min(i0 + TILE, lanes)):
                for k in range(c):
                    row = out[i * c + k]
                    for b in range(b0, b1):
                        row[b] = table[np.uint64(index[b, i]), k]


@njit(nogil=True, boundscheck=False)
def choose_sides(index, table, out):  # type: ignore[no-untyped-def]
    """out[i * c + k, b] = table[index[i, b], k], c words of the table's dtype: as gather_sides, of samples side by side."""
    c = table.shape[1]
    for i in range(index.shape[0]):
        for k in range(c):
            row = out[i * c + k]
            for b in range(index.shape[1]):
                row[b] = table[np.uint64(index[i, b]), k]


@njit(nogil=True, boundscheck=False)
def select_sides(table, first, address, out):  # type: ignore[no-untyped-def]
    """out[i, b] = table[address[i, b] - first]."""
    for i in range(address.shape[0]):
        row = out[i]
        for b in range(address.shape[1]):
            row[b] = table[np.uint64(address[i, b] - first)]


@njit(nogil=True, boundscheck=False)
def toggle(packed, places, length):  # type: ignore[no-untyped-def]
    """Flip bits of packed uint8 [lanes, bytes]: bit t of lane k for each place k * length + t, uint32."""
    flat, padding = packed.reshape(-1), np.uint32(packed.shape[1] * 8) - length
    if padding:
        for place in places:
            bit = place + place // length * padding
            flat[bit >> 3] ^= np.uint8(1 << (bit & 7))
    else:
        for bit in places:
            flat[bit >> 3] ^= np.uint8(1 << (bit & 7))
