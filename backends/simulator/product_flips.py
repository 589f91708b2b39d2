"""Flipped products: what they change in counts or totals that were computed without them.

A multiplier's flipped output changes what its lane adds by +size, -size or 0. The products of one sample are drawn as lanes
[outputs, positions, taps], a dense layer having one position; those of padding and of zero weights do not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.flips import PRODUCT, FlipSource, Mask, Toggles, flip_packed, flip_positions
from sccc.backends.simulator.layouts import BitTable
from sccc.backends.simulator.render import to_words
from sccc.backends.simulator.streams import StreamValue
from sccc.cells import Product
from sccc.expr import Expr
from sccc.ir import Operation
from sccc.ops.arithmetic import carries_sign, has_multiplier, product_of
from sccc.ops.geometry import geometry_of


def effect(product: Product) -> tuple[int, Expr, Expr]:
    """(size, where a flip adds size, where it takes size off).

    A flipped sign turns +-1 round, a difference of 2; a flipped bit puts a term of 1 there, or takes it away.
    """
    bit, neg = product.bit, product.neg
    if carries_sign(product):
        return 2, bit & neg, bit & ~neg
    return 1, ~(bit ^ neg), bit ^ neg


class ProductFlips:
    """Adds to the counts or totals of a sum of products what flips of its products change. `packed`: by a compiled kernel."""

    def __init__(self, flips: FlipSource, op: Operation, number: int, packed: bool) -> None:
        self.flips, self.number, self.packed, self.geometry = flips, number, packed, geometry_of(op)
        self.outputs = self.geometry.groups * self.geometry.outputs
        self.size, self.plus, self.minus = effect(product_of(op))
        self.exists = has_multiplier(op).reshape(-1)

    def apply(self, sums: np.ndarray, x: StreamValue, w: StreamValue, row: int, sample: int) -> None:
        """Change counts int [*result's shape, cycles], or totals [*result's shape, 1], of one sample, contiguous.

        It is sample `sample` of the data, and row `row` of x and w (where they have more than one).
        """
        length = x.type.length
        drawn = self.flips.draw(sample, self.number, PRODUCT, self.geometry.products, length)
        flat = sums.reshape(-1, sums.shape[-1])
        sides = [_side(stream, row) for stream in (x, w)]
        if self.packed:
            for first, mask in self._masks(drawn, length):
                self._run_kernel(mask, first, sides, flat)
        else:
            for lane, cycle in flip_positions(drawn, length, joined=bool(self.flips.sites)):
                self._change(flat, sides, lane, cycle)

    def _change(
        self, sums: np.ndarray, sides: list[tuple[BitTable, np.ndarray]], lane: np.ndarray, cycle: np.ndarray
    ) -> None:
        """The reference: one flip of a lane in a cycle after the other."""
        geometry = self.geometry
        place, tap = np.divmod(lane, geometry.taps)
        output, position = np.divmod(place, geometry.positions)
        i, weight = geometry.lanes()[position, output // geometry.outputs, tap], output * geometry.taps + tap
        kept = (i >= 0) & self.exists[weight]
        place, i, weight, cycle = place[kept], i[kept], weight[kept], cycle[kept]
        (x, xs), (w, ws) = sides
        env = {"x": _bit(x, i, cycle), "w": _bit(w, weight, cycle), "xs": xs[i], "ws": ws[weight]}
        plus, minus = (np.asarray(e.evaluate(env)).astype(np.int64) & 1 for e in (self.plus, self.minus))
        change = np.broadcast_to(self.size * (plus - minus), place.shape)
        np.add.at(sums, (place, cycle if sums.shape[1] > 1 else np.zeros_like(cycle)), change.astype(sums.dtype))

    def _masks(self, drawn: Iterable[Toggles | Mask], length: int) -> Iterator[tuple[int, np.ndarray]]:
        """First lane and flips uint64 [lanes, words]: piece by piece, but all at once where sites may hit a lane again."""
        size, lanes = -(-length // 8), self.geometry.products
        if self.flips.sites:
            mask = flip_packed(np.zeros((lanes, size), np.uint8), length, iter(drawn))
            yield 0, BitTable(mask, length).words
            return
        for piece in drawn:
            last = int(piece.places.max(initial=0)) // length + 1 if isinstance(piece, Toggles) else len(piece.packed)
            own = Toggles(0, piece.places) if isinstance(piece, Toggles) else Mask(0, piece.packed)
            yield (
                piece.first,
                BitTable(flip_packed(np.zeros((last, size), np.uint8), length, iter([own])), length).words,
            )

    def _run_kernel(
        self, mask: np.ndarray, first: int, sides: list[tuple[BitTable, np.ndarray]], sums: np.ndarray
    ) -> None:
        (x, xs), (w, ws) = sides
        geometry = self.geometry
        kernel = load(flips_source(self.plus, self.minus, self.size)).product_flips
        shape = np.array([geometry.taps, geometry.positions, geometry.outputs], dtype=np.int64)
        kernel(mask, first, x.words, xs, w.words, ws, geometry.lanes(), self.exists, shape, sums)


def _side(stream: StreamValue, row: int) -> tuple[BitTable, np.ndarray]:
    """The streams of one sample's lanes, and their signs int64 (0 where there are none)."""
    index, table = stream.table()
    signs = np.zeros(index.shape[1], dtype=np.int64)
    if stream.signs is not None:
        signs = stream.signs[row if len(stream.signs) > 1 else 0].reshape(-1).astype(np.int64)
    return BitTable(table.packed[index[row if len(index) > 1 else 0]], table.length), signs


def _bit(table: BitTable, lane: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    return np.asarray(table.packed[lane, cycle >> 3] >> (cycle & 7) & 1, dtype=np.int64)


@lru_cache(maxsize=64)
def flips_source(plus: Expr, minus: Expr, size: int) -> str:
    """`product_flips(MASK, first, X, XS, W, WS, LANES, EXISTS, SHAPE, OUT)`: the same as `ProductFlips._change`.

    MASK uint64 [lanes from `first` on, words], X and W uint64 [lanes, words], XS and WS int64 [lanes], LANES as of a geometry,
    SHAPE: taps, positions, outputs of a group. OUT int [outputs * positions, cycles], or [.., 1] for totals.
    """
    code = Code()
    places = {"x": "X[i, k]", "w": "W[weight, k]", "xs": "xs", "ws": "ws"}
    code.add(0, KERNEL, "def product_flips(MASK, first, X, XS, W, WS, LANES, EXISTS, SHAPE, OUT):")
    code.add(1, "taps, positions, outputs = SHAPE[0], SHAPE[1], SHAPE[2]", "for own in range(MASK.shape[0]):")
    code.add(2, "place, tap = divmod(first + own, taps)", "output, position = divmod(place, positions)")
    code.add(2, "i, weight = LANES[position, output // outputs, tap], output * taps + tap")
    code.add(2, "if i < 0 or not EXISTS[weight]:", "    continue")
    code.add(2, "xs = ONES if XS[i] else ZERO", "ws = ONES if WS[weight] else ZERO")
    code.add(2, "for k in range(MASK.shape[1]):", "    mask = MASK[own, k]", "    if mask == ZERO:", "        continue")
    code.add(3, f"plus = mask & ({to_words(plus, places)})", f"minus = mask & ({to_words(minus, places)})")
    code.add(3, "if OUT.shape[1] == 1:")
    code.add(4, f"OUT[place, 0] += {size} * (np.int64(pop(plus)) - np.int64(pop(minus)))", "continue")
    for name, change in (("plus", size), ("minus", -size)):
        code.add(3, f"while {name} != ZERO:")
        code.add(4, f"low = {name} & (~{name} + np.uint64(1))", f"{name} ^= low")
        code.add(4, f"OUT[place, k * 64 + np.int64(pop(low - np.uint64(1)))] += {change}")
    return str(code)
