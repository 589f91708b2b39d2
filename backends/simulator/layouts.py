"""How packed streams lie in memory. C order, bit 0 the least significant, padding bits 0; time t, lane i.

| layout | array | for |
|---|---|---|
| table | uint8 [entries, U/8] | streams to choose from; U = cycles up to a multiple of 8 |
| rows | uint64 [R4, L] | totals of few samples over the window: a row is n streams of U bits, end to end |
| sides | unit [lanes * K, B], whole [lanes, B] | totals over the window: a lane's streams or numbers, sample by sample |
| blocks | uint64 [Q, cycles, K, B] | counts per cycle: sample s is [s // B, :, :, s % B], 64 lanes a word |
| weight blocks | uint64 [cycles, m, K] | the same for weights [m, n] |

R4 is the number of rows up to a multiple of 4. L = ceil(n*U / 64) up to a multiple of 8, plus 8 where that is a
multiple of 128, since rows 1 KB * k apart would share cache sets.
"""

from __future__ import annotations

import threading
from functools import cached_property

import numpy as np

ROW_BLOCK = 4
"""Rows that the totals kernel takes at a time."""

LARGE_BLOCK, SMALL_BLOCK, FEW_SAMPLES = 64, 8, 16
"""Samples in a block (B above): LARGE_BLOCK is fastest, and for up to FEW_SAMPLES most of it would be padding."""


def up(value: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-value // step) * step


def row_words(lanes: int, length: int) -> int:
    """Words in a row, L above."""
    words = up(up(lanes * up(length, 8), 64) // 64, 8)
    return words + 8 if words % 128 == 0 else words


def block_size(samples: int) -> int:
    return SMALL_BLOCK if samples <= FEW_SAMPLES else LARGE_BLOCK


class Scratch:
    """Buffers that are used again by the same step for the next batch, as fresh pages cost more than filling them."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def get(self, key: object, shape: tuple[int, ...]) -> np.ndarray:
        """uint64 of `shape`, zero when new; a buffer with more entries along axis 0 is cut."""
        if not hasattr(self._threads, "buffers"):
            self._threads.buffers = {}
        buffers: dict[object, np.ndarray] = self._threads.buffers
        buffer = buffers.get(key)
        if buffer is None or buffer.shape[1:] != shape[1:] or buffer.shape[0] < shape[0]:
            buffer = buffers[key] = np.zeros(shape, dtype=np.uint64)
        return buffer[: shape[0]]


class BitTable:
    """Streams in the table layout."""

    def __init__(self, packed: np.ndarray, length: int) -> None:
        self.packed = np.ascontiguousarray(packed)
        self.length = length

    @cached_property
    def units(self) -> np.ndarray:
        """The same memory in the widest words that a stream fills."""
        bits = self.packed.shape[1] * 8
        for kind, width in ((np.uint64, 64), (np.uint32, 32), (np.uint16, 16)):
            if bits % width == 0:
                return self.packed.view(kind)
        return self.packed

    @cached_property
    def words(self) -> np.ndarray:
        """uint64 [entries, ceil(length / 64)]."""
        size = self.packed.shape[1]
        if size % 8 == 0:
            return self.packed.view(np.uint64)
        padded = np.zeros((self.packed.shape[0], up(size, 8)), dtype=np.uint8)
        padded[:, :size] = self.packed
        return padded.view(np.uint64)

    def unpack(self, index: np.ndarray) -> np.ndarray:
        """Bits uint8 [*index.shape, length] of the chosen streams."""
        if self.packed.shape[0] <= index.size:
            return np.unpackbits(self.packed, axis=1, count=self.length, bitorder="little")[index]
        return np.unpackbits(self.packed[index], axis=-1, count=self.length, bitorder="little")


def pack(bits: np.ndarray) -> np.ndarray:
    """Bits [..., length] as bytes [..., U/8]."""
    return np.packbits(bits, axis=-1, bitorder="little")


def sign_table(length: int) -> BitTable:
    """Entry 0 is all zeros and entry 1 all ones: a sign repeated for every cycle."""
    return BitTable(pack(np.repeat(np.array([[False], [True]]), length, axis=1)), length)


def whole_type(lo: int, hi: int) -> np.dtype:
    """The narrowest signed numbers of 16, 32 or else 64 bits that hold lo .. hi."""
    fits = (kind for kind in (np.int16, np.int32) if np.iinfo(kind).min <= lo and hi <= np.iinfo(kind).max)
    return np.dtype(next(fits, np.int64))


def side_by_side(
    scratch: Scratch, key: object, shape: tuple[int, ...], samples: int, size: int, kind: np.dtype
) -> np.ndarray:
    """Room for whole numbers [lanes, samples up to a multiple of `size`], samples side by side; holds anything."""
    width = up(samples, max(size, 8 // kind.itemsize))
    made = scratch.get((key, kind.itemsize, width), (int(np.prod(shape)), width * kind.itemsize // 8))
    return made.view(kind)


def in_shape(sides: np.ndarray, samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers [lanes, at least samples] as [samples, *shape], which still lie side by side."""
    return sides[:, :samples].T.reshape(samples, *shape)


def as_sides(value: np.ndarray) -> np.ndarray | None:
    """Numbers [samples, *shape] as [lanes, samples] if they lie side by side, else None."""
    flat = value.reshape(len(value), -1).T
    return flat if len(value) > 1 and flat.strides[1] == flat.itemsize and np.shares_memory(flat, value) else None


def rows(index: np.ndarray, table: BitTable, scratch: Scratch, key: object) -> np.ndarray:
    """Rows of the table's entries index int [R, n]; rows from R on hold anything."""
    from sccc.backends.simulator import layout_kernels

    samples, lanes = index.shape
    out = scratch.get(key, (up(samples, ROW_BLOCK), row_words(lanes, table.length)))
    layout_kernels.gather_rows(index, table.units, out.view(table.units.dtype))
    return out


def blocks(index: np.ndarray, table: BitTable, size: int, scratch: Scratch, key: object) -> np.ndarray:
    """Blocks of `size` samples of the table's entries index int [samples, n]."""
    from sccc.backends.simulator import layout_kernels

    samples, lanes = index.shape
    out = scratch.get(key, (up(samples, size) // size, table.length, up(lanes, 64) // 64, size))
    layout_kernels.gather_blocks(index, table.words, out)
    return out


def weight_blocks(index: np.ndarray, table: BitTable, scratch: Scratch, key: object) -> np.ndarray:
    """Weight blocks of the table's entries index int [m, n]."""
    made = blocks(index, table, SMALL_BLOCK, scratch, key)
    groups, cycles, words, size = made.shape
    return np.ascontiguousarray(made.transpose(1, 0, 3, 2).reshape(cycles, groups * size, words)[:, : index.shape[0]])


def unpack_blocks(made: np.ndarray, samples: int, lanes: int) -> np.ndarray:
    """Bits uint8 [samples, lanes, cycles] of blocks."""
    groups, cycles, words, size = made.shape
    ordered = np.ascontiguousarray(made.transpose(0, 3, 1, 2)).reshape(groups * size, cycles, words)[:samples]
    bits = np.unpackbits(ordered.view(np.uint8), axis=2, count=lanes, bitorder="little")
    return np.ascontiguousarray(bits.transpose(0, 2, 1))


def pack_lanes(bits: np.ndarray) -> np.ndarray:
    """One bit per lane, bits [rows, n] -> uint64 [R4, ceil(n / 64)] (signs)."""
    count, lanes = bits.shape
    out = np.zeros((up(count, ROW_BLOCK), up(lanes, 64) // 8), dtype=np.uint8)
    out[:count, : -(-lanes // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return out.view(np.uint64)


def sign_blocks(signs: np.ndarray, size: int) -> np.ndarray:
    """Data signs [samples, n] -> uint64 [Q, K, B]."""
    samples, lanes = signs.shape
    padded = np.zeros((up(samples, size), lanes), dtype=np.uint8)
    padded[:samples] = signs
    packed = pack_lanes(padded)[: len(padded)]
    return np.ascontiguousarray(packed.reshape(-1, size, packed.shape[1]).transpose(0, 2, 1))
