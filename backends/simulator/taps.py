"""Sums of products over the window, the samples side by side: a product of two streams is one operation on all samples.

Short streams cost no more per bit than long ones, the window of a convolution's position is a choice of whole rows, and a weight
whose stream is all zeros costs nothing.

| array | shape | |
|---|---|---|
| sides | unit [(lanes + 1) * K, B] | K units are a stream; B samples; the last lane is all zeros, for padding |
| taps | uint16 or uint32 [entries] | the taps that each output meets, piece by piece |
| weights | unit [entries * K] | their streams |
| index | uint32 [positions, groups * taps] | the lane of sides at each tap |
| sums | int16, int32 or int64 [outputs * positions, B] | modulo their width, as the totals themselves fit |

A unit is the widest word of 8, 16, 32 or 64 bits that streams fill (`side_units`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, digest, load
from sccc.backends.simulator.layouts import BitTable, Scratch, as_sides, sign_table
from sccc.backends.simulator.products import Plan, at_zero, reads
from sccc.backends.simulator.render import to_words
from sccc.expr import Expr, Var, fold_bits

PIECE_ROWS = 64
"""Rows of sides that all outputs meet before the next ones: they stay in the first-level cache."""

FEW_BYTES, MANY_BYTES = 64, 512
"""Bytes of samples side by side, at least and at most: as many sums as there are registers."""

BITS_AT_ONCE = 1 << 20
"""Bits of weights that are unpacked at a time."""

SIGN_LENGTH = 1
"""Cycles of the streams of signs, where signs are counted and not combined with bits."""


@lru_cache(maxsize=256)
def taps_source(expression: Expr, parts: int, size: int, scale: int) -> str:
    """`taps(X, XS, W, WS, TAPS, INDEX, STARTS, OFFSET, first, fresh, SUMS)`: B = `size` samples from column `first` of SUMS on.

    Adds scale * pop(expression) over the taps of each output, STARTS int64 [pieces, outputs + 1], to SUMS, or, if fresh, to OFFSET
    int64 [outputs, positions]. Operands that the expression does not read may be any arrays.
    """
    code, used = Code(), tuple(reads(expression))
    text = to_words(expression, {name: name for name in used})
    code.add(0, "from sccc.backends.simulator.vectors import row_sums", "", f"# {digest(_vectors())}")
    code.add(0, f"add_sums = row_sums(lambda x, xs, w, ws, ZERO, ONES: {text}, {used}, {parts}, {size}, {scale})")
    code.add(0, "", "", KERNEL, "def taps(X, XS, W, WS, TAPS, INDEX, STARTS, OFFSET, first, fresh, SUMS):")
    code.add(1, "x, xs, sums = X.reshape(-1), XS.reshape(-1), SUMS.reshape(-1)", "outputs, positions = OFFSET.shape")
    code.add(
        1, "for p in range(positions):", "    rows = INDEX[p]", "    if fresh:", "        for j in range(outputs):"
    )
    code.add(4, "row, offset = SUMS[j * positions + p], OFFSET[j, p]")
    code.add(4, f"for b in range(first, first + {size}):", "    row[b] = offset")
    code.add(2, "for q in range(STARTS.shape[0]):", "    for j in range(outputs):")
    code.add(4, "place = (j * positions + p) * SUMS.shape[1] + first")
    code.add(4, "add_sums(x, xs, W, WS, TAPS, rows, STARTS[q, j], STARTS[q, j + 1], sums, place)")
    return str(code)


@lru_cache(maxsize=1)
def _vectors() -> str:
    """What the kernels are compiled from besides their own source: a change of it makes others."""
    return Path(__file__).with_name("vectors.py").read_text()


def side_units(table: BitTable) -> np.ndarray:
    """A table's streams in units [entries, K]: the widest that streams fill, and that hold a stream's count of ones."""
    units = table.units
    bits = units.dtype.itemsize * 8
    return units if units.shape[1] * bits < 1 << bits else table.words


@dataclass(frozen=True)
class _Term:
    """scale * pop(expression) over streams in units; signs: of streams of signs, and not the table's own."""

    expression: Expr
    scale: int
    signs: bool
    parts: int
    w: np.ndarray
    ws: np.ndarray


class TapSums:
    """Window totals of products of streams, with constant weights.

    index, signs: int and uint8 (or None) [groups, outputs, taps], the weights as entries of a table, and their signs. lanes: int
    [positions, groups, taps], the lane of x at each tap, and `nothing`, one beyond the last, where that is padding. start: int64,
    broadcast to [groups * outputs, positions], what the totals begin at. kind: what holds the totals, int16 .. int64.
    """

    def __init__(
        self, plan: Plan, table: BitTable, index: np.ndarray, signs: np.ndarray | None, lanes: np.ndarray, nothing: int,
        start: np.ndarray, kind: np.dtype,
    ) -> None:  # fmt: skip
        self.plan, self.kind, units = plan, kind, side_units(table)
        self.unit, self.parts = units.dtype, units.shape[1]
        minus = np.zeros(index.shape, np.uint8) if signs is None else signs
        kept = self._kept(table, index)
        self.lanes = np.ascontiguousarray(lanes.reshape(len(lanes), -1), dtype=np.uint32)
        met = self._list(kept)
        self.terms = self._terms(table.length, units[index[met]].reshape(-1), minus[met])
        padding = self.parts * self.unit.itemsize * 8 - table.length
        spare = padding * sum(term.scale * at_zero(term.expression) for term in self.terms if not term.signs)
        known = self._known(table, index, minus, kept) - spare * kept.sum(axis=2)
        beside = self._beside(table, index, minus, kept, lanes == nothing)
        self.offset = np.ascontiguousarray((known[..., None] - beside).reshape(-1, len(lanes)) + start)

    def _kept(self, table: BitTable, index: np.ndarray) -> np.ndarray:
        """Which taps may add something, bool as index: without a bit of w, no product that is 0 there does."""
        if not fold_bits(self.plan.product.bit, {"w": 0}).is_const(0):
            return np.ones(index.shape, dtype=bool)
        used: np.ndarray = np.asarray(table.packed.any(axis=1))
        return np.asarray(used[index])

    def _list(self, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Group, output and tap of all kept taps, piece by piece; sets `taps` and `starts`."""
        groups, outputs, count = kept.shape
        bits = self.unit.itemsize * 8
        step = max(1, min(PIECE_ROWS, ((1 << bits) - 1) // bits) // self.parts)
        firsts = range(0, count, step)
        found = [np.nonzero(kept[..., first : first + step]) for first in firsts]
        group, output = (np.concatenate([places[axis] for places in found]) for axis in (0, 1))
        tap = np.concatenate([first + places[2] for first, places in zip(firsts, found, strict=True)])
        numbers = [np.bincount(g * outputs + j, minlength=groups * outputs) for g, j, _ in found]
        ends = np.cumsum(np.concatenate(numbers)).reshape(len(found), -1)
        begins = np.concatenate([[0], ends[:-1, -1]])
        self.starts = np.concatenate([begins[:, None], ends], axis=1).astype(np.int64)
        self.taps = (group * count + tap).astype(np.uint16 if groups * count <= 1 << 16 else np.uint32)
        return group, output, tap

    def _terms(self, length: int, w: np.ndarray, minus: np.ndarray) -> list[_Term]:
        plan = self.plan
        ws = side_units(sign_table(length))[minus].reshape(-1) if self._reads_weight_signs() else w[:1]
        terms = [_Term(plan.core, plan.scale, False, self.parts, w, ws)]
        if plan.form in ("data", "both"):
            terms.append(_Term(plan.product.bit, 1, False, self.parts, w, ws))
        elif plan.data_signs:
            single = np.ones(len(minus), dtype=np.uint8)
            terms.append(_Term(plan.product.neg & Var("w"), -length, True, SIGN_LENGTH, single, minus))
        return terms

    def _reads_weight_signs(self) -> bool:
        return "ws" in self.plan.core.variables() | self.plan.product.bit.variables()

    def _known(self, table: BitTable, index: np.ndarray, minus: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """What no sample changes, population counts of weights alone: int64 [groups, outputs]."""
        plan = self.plan
        if plan.form == "weight":
            return np.asarray((_ones(plan.product.bit, table, index, minus) * kept).sum(axis=2))
        if plan.form == "static" and not plan.data_signs:
            negative = np.asarray(plan.product.neg.evaluate({"ws": minus.astype(np.int64)})) & 1
            return -table.length * (negative * kept).sum(axis=2, dtype=np.int64)
        return np.zeros(index.shape[:2], dtype=np.int64)

    def _beside(
        self, table: BitTable, index: np.ndarray, minus: np.ndarray, kept: np.ndarray, beside: np.ndarray
    ) -> np.ndarray:
        """What taps on padding add although nothing is there, as zero bits would: int64 [groups, outputs, positions]."""
        bit, neg = (fold_bits(e, {"x": 0, "xs": 0}) for e in (self.plan.product.bit, self.plan.product.neg))
        if bit.is_const(0) or not beside.any():
            return np.zeros((*index.shape[:2], len(beside)), dtype=np.int64)
        made = (_ones(bit, table, index, minus) - 2 * _ones(bit & neg, table, index, minus)) * kept
        return np.einsum("gjt,pgt->gjp", made, beside.astype(np.int64))

    def run(self, x: np.ndarray, xs: np.ndarray, minus: np.ndarray, first: int, sums: np.ndarray) -> None:
        """Put the totals of sides into columns first .. of sums [outputs * positions, samples].

        x, xs: streams, and their signs in as many units; minus: sides of uint8, the signs alone. Where the data have no signs, or
        no term reads them, xs and minus may be any sides.
        """
        for number, term in enumerate(self.terms):
            data = (minus, minus) if term.signs else (x, xs)
            kernel = load(taps_source(term.expression, term.parts, x.shape[1], term.scale)).taps
            kernel(*data, term.w, term.ws, self.taps, self.lanes, self.starts, self.offset, first, number == 0, sums)


def _ones(expression: Expr, table: BitTable, index: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """Ones over the window of an expression over weights, int64 as index."""
    counts = np.empty((2, len(table.packed)), dtype=np.int64)
    step = max(1, BITS_AT_ONCE // table.length)
    for first in range(0, len(table.packed), step):
        part = slice(first, min(first + step, len(table.packed)))
        bits = table.unpack(np.arange(part.start, part.stop)).astype(np.int64)
        for sign in (0, 1):
            made = np.asarray(expression.evaluate({"w": bits, "ws": np.int64(sign)})) & 1
            counts[sign, part] = np.broadcast_to(made, bits.shape).sum(axis=1)
    return np.asarray(counts[minus, index])


def side_size(samples: int, unit: np.dtype) -> int:
    """Samples that stand side by side, B above, where there are so many in all: a power of two, as every size has its kernel."""
    wanted = 1 << (samples * unit.itemsize - 1).bit_length()
    return min(max(wanted, FEW_BYTES), MANY_BYTES) // unit.itemsize


def sides(index: np.ndarray, units: np.ndarray, size: int, scratch: Scratch, key: object) -> np.ndarray:
    """Up to `size` samples side by side: of streams in units [entries, K], the entries index int [samples, lanes]."""
    from sccc.backends.simulator import layout_kernels

    lanes = index.shape[1]
    shape = ((lanes + 1) * units.shape[1], size * units.dtype.itemsize // 8)
    made = scratch.get((key, units.dtype.itemsize), shape).view(units.dtype)
    beside = as_sides(index)
    if beside is None:
        layout_kernels.gather_sides(index, units, made)
    else:
        layout_kernels.choose_sides(beside, units, made)
    return made
