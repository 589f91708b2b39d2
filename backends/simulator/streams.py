"""Streams as values of a run: one class for each way of holding the bits, all with the same questions to ask.

Lanes are flat here where an array is packed: [samples, lanes]. What does not depend on the sample has samples = 1.
"""

from __future__ import annotations

import itertools
from functools import cached_property

import numpy as np

from sccc.backends.simulator import layouts
from sccc.backends.simulator.layouts import BitTable, Scratch
from sccc.backends.simulator.randoms import Numbers, spread_lanes
from sccc.backends.simulator.reference import Bits, generate, magnitude_and_signs
from sccc.expr import Expr
from sccc.types import Level, Stream

TABLE_BITS = 1 << 26
"""Largest table of all levels' streams, in bits; beyond it streams are made by comparing."""

CHUNK_NUMBERS, CHUNK_BITS = 1 << 22, 1 << 25
"""Random numbers, and compared bits, that are held at once while streams are made."""

_fresh_keys = itertools.count()


class StreamValue:
    """Bits of a stream. `signs`: uint8 [samples, *lanes], 1 = negative, when its encoding is signed."""

    type: Stream
    signs: np.ndarray | None

    @property
    def samples(self) -> int:
        raise NotImplementedError

    def bits(self) -> np.ndarray:
        """uint8 [samples, *lanes, cycles]."""
        raise NotImplementedError

    def table(self) -> tuple[np.ndarray, BitTable]:
        """The same as entries int [samples, lanes] of a table."""
        packed = layouts.pack(self.bits()).reshape(self.samples * self.type.lanes, -1)
        return _every_entry(self.samples, self.type.lanes), BitTable(packed, self.type.length)

    def rows(self, scratch: Scratch, key: object) -> np.ndarray:
        index, table = self.table()
        return layouts.rows(self._matrix(index), table, scratch, key)

    def blocks(self, size: int, scratch: Scratch, key: object) -> np.ndarray:
        index, table = self.table()
        return layouts.blocks(index, table, size, scratch, key)

    def weight_blocks(self, scratch: Scratch, key: object) -> np.ndarray:
        index, table = self.table()
        return layouts.weight_blocks(self._matrix(index), table, scratch, key)

    def _matrix(self, index: np.ndarray) -> np.ndarray:
        """Samples or, of constant weights, outputs as rows."""
        return index.reshape(-1, self.type.shape[-1])

    def sample(self, s: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Bits [lanes, cycles] and signs [1, *lanes] of one sample."""
        s = s if self.samples > 1 else 0
        signs = None if self.signs is None else self.signs[s if len(self.signs) > 1 else 0][None]
        return self.bits()[s].reshape(self.type.lanes, -1), signs


class PlainStream(StreamValue):
    """Unpacked bits."""

    def __init__(self, type: Stream, bits: np.ndarray, signs: np.ndarray | None = None) -> None:
        self.type, self._bits, self.signs = type, bits, signs

    @property
    def samples(self) -> int:
        return self._bits.shape[0]

    def bits(self) -> np.ndarray:
        return self._bits


class TableStream(StreamValue):
    """Entries of a table: index int [samples, lanes]."""

    def __init__(self, type: Stream, index: np.ndarray, table: BitTable, signs: np.ndarray | None = None) -> None:
        self.type, self.index, self._table, self.signs = type, index, table, signs

    @property
    def samples(self) -> int:
        return self.index.shape[0]

    def bits(self) -> np.ndarray:
        return self._table.unpack(self.index).reshape(self.samples, *self.type.shape, -1)

    def table(self) -> tuple[np.ndarray, BitTable]:
        return self.index, self._table

    def sample(self, s: int) -> tuple[np.ndarray, np.ndarray | None]:
        s = s if self.samples > 1 else 0
        return self._table.unpack(self.index[s]), None if self.signs is None else self.signs[s][None]


class BlockStream(StreamValue):
    """What a window kernel wrote, and the next one reads: blocks uint64 [Q, cycles, K, B]."""

    signs = None

    def __init__(self, type: Stream, made: np.ndarray, samples: int) -> None:
        self.type, self.made, self._samples = type, made, samples

    @property
    def samples(self) -> int:
        return self._samples

    def bits(self) -> np.ndarray:
        return layouts.unpack_blocks(self.made, self._samples, self.type.lanes)

    def blocks(self, size: int, scratch: Scratch, key: object) -> np.ndarray:
        return self.made if self.made.shape[3] == size else super().blocks(size, scratch, key)

    def sample(self, s: int) -> tuple[np.ndarray, np.ndarray | None]:
        q, b = divmod(s, self.made.shape[3])
        return layouts.unpack_blocks(self.made[q : q + 1, :, :, b : b + 1], 1, self.type.lanes)[0], None


class Generator:
    """SNGs: makes streams from levels int64 [samples, *lanes]."""

    def __init__(self, cell: Expr, level: Level, stream: Stream, numbers: Numbers) -> None:
        self.cell, self.level, self.type, self.numbers = cell, level, stream, numbers
        self.lane = spread_lanes(numbers.shape, stream.shape)
        self.shared = numbers.shape == ()

    @cached_property
    def _table(self) -> BitTable | None:
        """The stream of every level, when all lanes share the random numbers and they are few enough."""
        levels = self.level.encoding.maximum_level(self.level.bits) + 1
        if not self.shared or levels * self.type.length > TABLE_BITS:
            return None
        random = self.numbers.take(np.zeros(1, dtype=np.int64), self.type.length)[0]
        made = generate(self.cell, np.arange(levels), random, self.level.encoding)
        return BitTable(layouts.pack(made.bits), self.type.length)

    def packed(self, levels: np.ndarray) -> StreamValue:
        """Streams as entries of a table."""
        magnitude, signs = magnitude_and_signs(levels, self.level.encoding)
        samples, lanes = len(levels), self.type.lanes
        if self._table is not None:
            return TableStream(self.type, magnitude.reshape(samples, lanes), self._table, signs)
        packed = np.empty((samples, lanes, -(-self.type.length // 8)), dtype=np.uint8)
        self._fill(levels, lambda part, lane, bits: packed[part, lane].__setitem__(..., layouts.pack(bits)))
        table = BitTable(packed.reshape(samples * lanes, -1), self.type.length)
        return TableStream(self.type, _every_entry(samples, lanes), table, signs)

    def plain(self, levels: np.ndarray) -> StreamValue:
        """Streams as unpacked bits."""
        samples, lanes = len(levels), self.type.lanes
        bits = np.empty((samples, lanes, self.type.length), dtype=np.uint8)
        self._fill(levels, lambda part, lane, made: bits[part, lane].__setitem__(..., made))
        _, signs = magnitude_and_signs(levels, self.level.encoding)
        return PlainStream(self.type, bits.reshape(samples, *self.type.shape, self.type.length), signs)

    def _fill(self, levels: np.ndarray, store) -> None:  # type: ignore[no-untyped-def]
        """Call store(samples slice, lanes slice, bits) with the streams of a chunk of lanes and samples at a time."""
        length, lanes = self.type.length, self.type.lanes
        flat = levels.reshape(len(levels), lanes)
        width = max(1, CHUNK_NUMBERS // length)
        for first in range(0, lanes, width):
            lane = slice(first, min(lanes, first + width))
            random = self._numbers(lane)
            height = max(1, CHUNK_BITS // (length * (lane.stop - first)))
            for sample in range(0, len(flat), height):
                part = slice(sample, min(len(flat), sample + height))
                store(part, lane, generate(self.cell, flat[part, lane], random, self.level.encoding).bits)

    def _numbers(self, lane: slice) -> np.ndarray:
        """Random numbers [cycles] or [cycles, lanes] of a chunk of lanes."""
        made = self.numbers.take(self.lane[:1] if self.shared else self.lane[lane], self.type.length)
        return made[0] if self.shared else made.T


def reference_bits(stream: StreamValue) -> Bits:
    """The stream as the reference functions take it."""
    return Bits(stream.bits(), stream.signs)


def fresh_key() -> int:
    """A scratch key that no other step has."""
    return next(_fresh_keys)


def _every_entry(samples: int, lanes: int) -> np.ndarray:
    return np.arange(samples * lanes).reshape(samples, lanes)
