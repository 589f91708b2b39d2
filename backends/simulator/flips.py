"""Transient faults: bits that flip, with a given probability or at given sites.

| kind | what flips | lanes of a draw |
|---|---|---|
| operand | a bit of an operand stream where a dot product reads it; zero weights have none | x: [n], w: [m, n] |
| operand, fixed point | a bit of the number that a dot product reads | [n, bits] |
| product | a multiplier's output: the bit, or, where the operands decide the sign, that sign | [m, positions, n] |
| state | a bit of a sum's or state machine's register, in the cycle in which it takes a cycle's result | [lanes, bits] |

m outputs of n taps, at the positions of a convolution's window (a dense layer has 1). Padding has no products. A sum that may
stop early has flips in all cycles of its window, also in the last, in which it stands still. A draw is for as many cycles as the
window has, 1 in fixed point.

By rate, K bits are toggled a Poisson number of times, mean -K ln(1 - 2p) / 2, at places drawn uniformly with repetition. Each
bit's number of toggles is then an independent Poisson variable, and the probability that it is odd is exactly p. The work is
proportional to the number of flips. For p = 1/2, where that mean is infinite, the streams are XORed with random bits.

Every (seed, sample, operation, operand) has its own Philox sequence (Salmon et al., SC 2011), so that a result depends
neither on the batch that a sample is computed in, nor on the engine, nor on what else flips.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

KINDS = ("operand", "product", "state")

X, W, PRODUCT, STATE = range(4)
"""What flips at an operation: one of its operands, its products, or its register."""

KIND_OF = ("operand", "operand", "product", "state")

ALL_SAMPLES = -1

BITS_PER_DRAW = 1 << 20
"""Bits of a tensor whose toggles are drawn at once: so many bits stay in a core's cache. Part of what a seed means."""


@dataclass(frozen=True)
class Toggles:
    """Toggles of lanes `first` ...: places hold (lane - first) * cycles of the window + cycle, and may hold one twice."""

    first: int
    places: np.ndarray


@dataclass(frozen=True)
class Mask:
    """Random bits for lanes first ..., uint8 [lanes, ceil(length / 8)], bit 0 first."""

    first: int
    packed: np.ndarray


@dataclass(frozen=True)
class FlipSource:
    """Flips of some kinds with probability `rate`, for the data of one run, and flips at sites.

    sites: (sample or ALL_SAMPLES, number of the operation, X, W, PRODUCT or STATE) -> the (lane, cycle) that flip there.
    """

    rate: float
    seed: int
    kinds: tuple[str, ...] = ("operand",)
    sites: Mapping[tuple[int, int, int], tuple[tuple[int, int], ...]] = field(default_factory=dict)

    def touches(self, op: int, *operands: int) -> bool:
        """Whether anything may flip at these places of an operation."""
        by_rate = self.rate > 0 and any(KIND_OF[operand] in self.kinds for operand in operands)
        return by_rate or any(number == op and operand in operands for _, number, operand in self.sites)

    def draw(self, sample: int, op: int, operand: int, lanes: int, length: int) -> Iterator[Toggles | Mask]:
        """The flips of one operand's lanes (flat) for one sample, in pieces."""
        if self.rate > 0 and KIND_OF[operand] in self.kinds:
            yield from self._by_rate(sample, op, operand, lanes, length)
        for each in (ALL_SAMPLES, sample):
            for lane, cycle in self.sites.get((each, op, operand), ()):
                yield Toggles(lane, np.array([cycle], np.uint32))

    def _by_rate(self, sample: int, op: int, operand: int, lanes: int, length: int) -> Iterator[Toggles | Mask]:
        rng = _generator(self.seed, sample, op, operand)
        piece = max(1, BITS_PER_DRAW // length)
        for first in range(0, lanes, piece):
            count = min(piece, lanes - first)
            if self.rate == 0.5:
                yield Mask(first, rng.integers(0, 256, (count, -(-length // 8)), dtype=np.uint8))
            else:
                toggles = rng.poisson(-0.5 * count * length * math.log1p(-2.0 * self.rate))
                yield Toggles(first, _places(rng, count * length, toggles))


def _places(rng: np.random.Generator, bits: int, count: int) -> np.ndarray:
    """Uniform numbers uint32 in 0 .. bits - 1: halves of random words where bits is a power of two, as that is much faster."""
    if bits & (bits - 1):
        return rng.integers(0, bits, count, dtype=np.uint32)
    words = rng.integers(0, 1 << 64, -(-count // 2), dtype=np.uint64)
    return words.astype("<u8", copy=False).view("<u4")[:count] & np.uint32(bits - 1)


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
            lane, cycle = np.divmod(piece.places, bits.shape[1])
            np.bitwise_xor.at(flipped, (lane + piece.first, cycle), np.uint8(1))
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
            layout_kernels.toggle(flipped[piece.first :], piece.places, np.uint32(length))
    return flipped


def flip_positions(
    flips: Iterable[Toggles | Mask], length: int, joined: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lanes and cycles of the bits that differ after the flips, piece by piece; toggles of one bit cancel in pairs.

    Between pieces they do so only when these are joined, as must be where sites are given beside a rate.
    """
    pieces = (_toggled(piece, length) for piece in flips)
    for place in [np.concatenate([np.zeros(0, np.int64), *pieces])] if joined else pieces:
        once, times = np.unique(place, return_counts=True)
        yield np.divmod(once[times % 2 == 1], length)


def _toggled(piece: Toggles | Mask, length: int) -> np.ndarray:
    """lane * length + cycle of each toggle."""
    if isinstance(piece, Mask):
        lane, cycle = np.nonzero(np.unpackbits(piece.packed, axis=1, count=length, bitorder="little"))
        return np.asarray((lane + piece.first) * length + cycle)
    return piece.places.astype(np.int64) + piece.first * length


def flipped_bits_of_words(flips: Iterable[Toggles | Mask], lanes: int, width: int, cycles: int) -> np.ndarray:
    """Masks int64 [lanes, cycles] to XOR words of `width` bits with: bit b of a lane is lane `lane * width + b` of the draw."""
    masks = np.zeros((lanes, cycles), dtype=np.int64)
    for place, cycle in flip_positions(flips, cycles):
        lane, bit = np.divmod(place, width)
        np.bitwise_xor.at(masks, (lane, cycle), np.int64(1) << bit)
    return masks


def wrapped(values: np.ndarray, width: int) -> np.ndarray:
    """The numbers that registers of `width` bits hold, two's complement."""
    half = 1 << (width - 1)
    return np.asarray(((values + half) & ((1 << width) - 1)) - half)
