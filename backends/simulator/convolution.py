"""Whole layers of sums: of packed streams by `taps`, convolutions of fixed-point numbers as matrix products, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sccc.backends.simulator.layouts import Scratch, in_shape, side_by_side, sign_table, whole_type
from sccc.backends.simulator.products import Plan
from sccc.backends.simulator.streams import StreamValue
from sccc.backends.simulator.taps import TapSums, side_size, side_units, sides
from sccc.ops.geometry import Geometry
from sccc.types import Total

SIGNS = np.array([[0], [1]], dtype=np.uint8)
"""Streams of signs of one bit each, in units."""

BLOCK_BYTES = 1 << 20
"""Memory of the windows of numbers that are multiplied at a time."""


class WindowSums:
    """Window totals of a layer with constant weights w, a stream of all of them, that begin at start, int64 as the result.

    The totals lie within `kind`.
    """

    def __init__(
        self, plan: Plan, geometry: Geometry, w: StreamValue, start: np.ndarray, kind: Total, key: object
    ) -> None:
        self.geometry, self.key, self.type = geometry, key, whole_type(kind.lo, kind.hi)
        index, table = w.table()
        signs = None if w.signs is None else geometry.weights(w.signs[0])
        starts = np.broadcast_to(start, geometry.shape).reshape(geometry.groups * geometry.outputs, -1)
        lanes, nothing = geometry.lanes(), int(np.prod(geometry.x_shape))
        lanes = np.where(lanes < 0, nothing, lanes)
        self.sums = TapSums(plan, table, geometry.weights(index[0]), signs, lanes, nothing, starts, self.type)
        self.units = side_units(sign_table(table.length))

    def run(self, x: StreamValue, scratch: Scratch) -> np.ndarray:
        """Totals [samples, *result's shape], samples side by side, in scratch."""
        index, table = x.table()
        units, signs = side_units(table), None if x.signs is None else x.signs.reshape(x.samples, -1)
        size = side_size(x.samples, units.dtype)
        totals = side_by_side(scratch, (self.key, "totals"), self.geometry.shape, x.samples, size, self.type)
        for first in range(0, x.samples, size):
            part = slice(first, min(first + size, x.samples))
            own = sides(index[part], units, size, scratch, (self.key, "x"))
            spread, minus = own, own
            if signs is not None:
                spread = sides(signs[part], self.units, size, scratch, (self.key, "xs"))
                minus = sides(signs[part], SIGNS, size, scratch, (self.key, "signs"))
            self.sums.run(own, spread, minus, first, totals)
        return in_shape(totals, x.samples, self.geometry.shape)


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
