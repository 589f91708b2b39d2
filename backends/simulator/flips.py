"""Transient faults: every bit of a dot product's operand streams flips with a given probability.

A lane of N cycles is toggled a Poisson number of times, mean -N ln(1 - 2p) / 2, at cycles drawn uniformly with
repetition. Each bit's number of toggles is then an independent Poisson variable, and the probability that it is odd is
exactly p. The work is proportional to the number of flips. For p = 1/2, where that mean is infinite, the streams are
XORed with random bits.

Every (seed, sample, operation, operand) has its own Philox sequence (Salmon et al., SC 2011), so that a result depends
neither on the batch that a sample is computed in, nor on the engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

POSITIONS_PER_DRAW = 1 << 21
"""Bits of a tensor whose toggles are drawn at once: bounds the memory. Part of what a seed means."""


@dataclass(frozen=True)
class Toggles:
    """Toggles of lanes first .. first + len(counts) - 1: lane k is toggled counts[k] times, at the next of `cycles`."""

    first: int
    counts: np.ndarray
    cycles: np.ndarray


@dataclass(frozen=True)
class Mask:
    """Random bits for lanes first ..., uint8 [lanes, ceil(length / 8)], bit 0 first."""

    first: int
    packed: np.ndarray


@dataclass(frozen=True)
class FlipSource:
    """Flips with probability `rate`, for the data of one run."""

    rate: float
    seed: int

    def draw(self, sample: int, op: int, operand: int, lanes: int, length: int) -> Iterator[Toggles | Mask]:
        """The flips of one operand's lanes (flat) for one sample, in pieces."""
        rng = _generator(self.seed, sample, op, operand)
        piece = max(1, POSITIONS_PER_DRAW // length)
        for first in range(0, lanes, piece):
            count = min(piece, lanes - first)
            if self.rate == 0.5:
                yield Mask(first, rng.integers(0, 256, (count, -(-length // 8)), dtype=np.uint8))
            else:
                mean = -0.5 * length * math.log1p(-2.0 * self.rate)
                counts = rng.poisson(mean, count)
                yield Toggles(first, counts, _cycles(rng, length, int(counts.sum())))


def _cycles(rng: np.random.Generator, length: int, count: int) -> np.ndarray:
    """Uniform cycles in 0 .. length - 1: bits of full words where length is a power of two, as that is much faster."""
    kind = np.uint16 if length <= 1 << 16 else np.uint32
    if length & (length - 1):
        return rng.integers(0, length, count, dtype=kind)
    per_word = 8 // np.dtype(kind).itemsize
    words = rng.integers(0, 1 << 64, -(-count // per_word), dtype=np.uint64)
    return words.astype("<u8", copy=False).view(kind)[:count] & np.asarray(length - 1, dtype=kind)


def _generator(seed: int, sample: int, op: int, operand: int) -> np.random.Generator:
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, sample], dtype=np.uint64)
    counter = np.array([0, 0, op, operand], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def flip_bits(bits: np.ndarray, flips: Iterator[Toggles | Mask]) -> np.ndarray:
    """A copy of bits uint8 [lanes, cycles] with the flips made."""
    flipped = bits.copy()
    for piece in flips:
        if isinstance(piece, Mask):
            block = flipped[piece.first : piece.first + len(piece.packed)]
            block ^= np.unpackbits(piece.packed, axis=1, count=bits.shape[1], bitorder="little")
        else:
            lane = np.repeat(np.arange(len(piece.counts)) + piece.first, piece.counts)
            np.bitwise_xor.at(flipped, (lane, piece.cycles), np.uint8(1))
    return flipped


def flip_packed(packed: np.ndarray, length: int, flips: Iterator[Toggles | Mask]) -> np.ndarray:
    """A copy of packed uint8 [lanes, bytes] (bit 0 first; bits from `length` on stay 0) with the flips made (numba)."""
    from sccc.backends.simulator import layout_kernels

    flipped = packed.copy()
    for piece in flips:
        if isinstance(piece, Mask):
            size = piece.packed.shape[1]
            mask = piece.packed & np.packbits(np.arange(size * 8) < length, bitorder="little")
            flipped[piece.first : piece.first + len(mask), :size] ^= mask
        else:
            layout_kernels.toggle(flipped[piece.first :], piece.counts, piece.cycles)
    return flipped
