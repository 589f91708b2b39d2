"""Convolutions on packed streams: the windows of a few positions at a time are laid out as rows for the totals kernel.

A block of rows fits the cache, so that memory does not grow with the kernel's size times the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sccc.backends.simulator import layouts
from sccc.backends.simulator.layouts import BitTable, Scratch
from sccc.backends.simulator.products import Plan
from sccc.backends.simulator.streams import StreamValue, TableStream
from sccc.backends.simulator.totals import WeightRows, weight_rows, window_totals
from sccc.expr import fold_bits
from sccc.ops.geometry import Geometry
from sccc.types import Stream

BLOCK_BYTES = 1 << 20
"""Memory of the rows that are counted at a time."""


def row_blocks(geometry: Geometry, samples: int, row_bytes: float) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Blocks of (sample, position) pairs: where they lie in the result's rows, their samples and their positions."""
    total = samples * geometry.positions
    size = max(64, int(BLOCK_BYTES / row_bytes))
    for first in range(0, total, size):
        rows = slice(first, min(total, first + size))
        sample, position = np.divmod(np.arange(rows.start, rows.stop), geometry.positions)
        yield rows, sample, position


def as_image(sums: np.ndarray, geometry: Geometry, samples: int) -> np.ndarray:
    """Sums [samples * positions, groups, outputs] in the result's shape: [samples, channels, rows, columns]."""
    made = sums.reshape(samples, geometry.positions, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(made).reshape(samples, *geometry.shape)


def group_weights(plan: Plan, geometry: Geometry, w: StreamValue, key: object) -> list[WeightRows]:
    """The weights of each group as rows. w: a constant stream of all weights."""
    index, table = w.table()
    signs = None if w.signs is None else geometry.weights(w.signs[0])
    kind = Stream((geometry.outputs, geometry.taps), w.type.encoding, w.type.length)
    made = []
    for g, part in enumerate(geometry.weights(index[0])):
        own = None if signs is None else signs[g][None]
        stream = TableStream(kind, part.reshape(1, -1), table, own)
        made.append(weight_rows(plan, stream, Scratch(), (key, g)))
    return made


class Convolution:
    """Window totals of a convolution with constant weights."""

    def __init__(self, plan: Plan, geometry: Geometry, w: StreamValue, key: object) -> None:
        self.plan, self.geometry, self.key = plan, geometry, key
        self.weights = group_weights(plan, geometry, w, key)
        self.padded = bool((geometry.lanes() < 0).any())
        self.correction = self._correction(w)

    def _correction(self, w: StreamValue) -> np.ndarray | None:
        """What padding, taken as zero bits, adds wrongly: int64 [positions, groups, outputs]; None when that is nothing."""
        known = {"x": 0, "xs": 0}
        bit, neg = (fold_bits(e, known) for e in (self.plan.product.bit, self.plan.product.neg))
        if not self.padded or bit.is_const(0):
            return None
        shape = (self.geometry.groups, self.geometry.outputs, self.geometry.taps)
        bits = w.bits()[0].reshape(*shape, -1).astype(np.int64)
        signs = np.zeros(shape, np.int64) if w.signs is None else self.geometry.weights(w.signs[0]).astype(np.int64)
        env = {"w": bits, "ws": signs[..., None]}
        ones, minus = (np.broadcast_to(np.asarray(e.evaluate(env)) & 1, bits.shape) for e in (bit, neg))
        lane = (ones * (1 - 2 * minus)).sum(axis=-1)
        return np.einsum("pgk,gok->pgo", (self.geometry.lanes() < 0).astype(np.int64), lane)

    def run(self, x: StreamValue, scratch: Scratch) -> np.ndarray:
        """Totals int64 [samples, channels, rows, columns]."""
        geometry = self.geometry
        index, table = x.table()
        if self.padded:
            index = np.concatenate([index, np.full((len(index), 1), len(table.packed))], axis=1)
            table = BitTable(np.concatenate([table.packed, np.zeros_like(table.packed[:1])]), table.length)
        signs = None
        if x.signs is not None:
            signs = np.concatenate([x.signs.reshape(len(x.signs), -1), np.zeros((len(x.signs), 1), np.uint8)], axis=1)
        sums = np.empty((x.samples * geometry.positions, geometry.groups, geometry.outputs), dtype=np.int64)
        row_bytes = 8.0 * layouts.row_words(geometry.taps, table.length) + 8.0 * geometry.taps
        lanes = geometry.lanes()
        for rows, sample, position in row_blocks(geometry, x.samples, row_bytes):
            for g, each in enumerate(self.weights):
                taps = lanes[position, g]
                packed = layouts.rows(index[sample[:, None], taps], table, scratch, (self.key, "x"))
                own = None if signs is None else signs[sample[:, None], taps]
                made = window_totals(packed, own, each, scratch, self.key)
                sums[rows, g] = made[: rows.stop - rows.start]
        if self.correction is not None:
            sums -= np.tile(self.correction, (x.samples, 1, 1))
        return as_image(sums, geometry, x.samples)


class FixedConvolution:
    """Sums of numbers times constant weights. `weights`: for each group the transpose that `reference.multiply_add` takes."""

    def __init__(self, geometry: Geometry, weights: list[np.ndarray]) -> None:
        self.geometry, self.weights = geometry, weights

    def run(self, numbers: np.ndarray) -> np.ndarray:
        """Sums int64 [samples, *result's shape] of numbers int64 [samples, *lanes]."""
        geometry, samples = self.geometry, len(numbers)
        flat = np.concatenate([numbers.reshape(samples, -1), np.zeros((samples, 1), dtype=numbers.dtype)], axis=1)
        flat = flat.astype(self.weights[0].dtype)
        sums = np.empty((samples * geometry.positions, geometry.groups, geometry.outputs), dtype=np.int64)
        lanes = geometry.lanes()
        for rows, sample, position in row_blocks(geometry, samples, 16.0 * geometry.taps):
            for g, weights in enumerate(self.weights):
                sums[rows, g] = flat[sample[:, None], lanes[position, g]] @ weights
        return as_image(sums, geometry, samples)
