"""Convolutions: of packed streams by `taps`, of fixed-point numbers as matrix products, a block of windows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sccc.backends.simulator.layouts import Scratch, sign_table
from sccc.backends.simulator.products import Plan
from sccc.backends.simulator.streams import StreamValue
from sccc.backends.simulator.taps import TapSums, side_size, sides
from sccc.ops.geometry import Geometry

BLOCK_BYTES = 1 << 20
"""Memory of the windows of numbers that are multiplied at a time."""


class Convolution:
    """Window totals of a convolution with constant weights w, a stream of all of them, that begin at start, int64 as the result."""

    def __init__(self, plan: Plan, geometry: Geometry, w: StreamValue, start: np.ndarray, key: object) -> None:
        self.geometry, self.key = geometry, key
        index, table = w.table()
        parts = geometry.weights(index[0])
        signs = [None] * geometry.groups if w.signs is None else geometry.weights(w.signs[0])
        starts = np.broadcast_to(start, geometry.shape).reshape(geometry.groups, -1)
        self.groups = [
            TapSums(plan, table, part, own, geometry, g, starts[g])
            for g, (part, own) in enumerate(zip(parts, signs, strict=True))
        ]

    def run(self, x: StreamValue, scratch: Scratch) -> np.ndarray:
        """Totals int64 [samples, channels, rows, columns], in scratch."""
        index, table = x.table()
        signs = None if x.signs is None else x.signs.reshape(x.samples, -1)
        channels, *positions = self.geometry.shape
        totals = scratch.get((self.key, "totals"), (x.samples, channels, *positions)).view(np.int64)
        flat = totals.reshape(x.samples, len(self.groups), -1)
        size = side_size(x.samples, table.units.dtype)
        for first in range(0, x.samples, size):
            part = slice(first, min(first + size, x.samples))
            own = sides(index[part], table, size, scratch, (self.key, "x"))
            negative = own
            if signs is not None:
                negative = sides(signs[part], sign_table(table.length), size, scratch, (self.key, "xs"))
            for g, group in enumerate(self.groups):
                group.run(own, negative, flat[part, g], scratch, (self.key, "sums", g))
        return totals


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
