"""Sums of products over the window where a convolution slides: the samples side by side, one population count per stream.

The streams of a lane lie side by side, sample by sample, so that the window of a position is a choice of whole rows and its
products with a weight are one operation on all samples: short streams cost no more per bit than long ones.

| array | shape | |
|---|---|---|
| sides | unit [(lanes + 1) * K, B] | K units are a stream; B samples; the last lane is all zeros, for padding |
| weights | unit [outputs, words] | words: taps * K up to a multiple of the chunk, zero bits in padding |
| index | int32 [positions, words] | the row of sides that meets a word of weights |
| sums | int32 or int64 [outputs, positions, B] | |

A unit is the widest word of 8, 16, 32 or 64 bits that streams fill (`BitTable.units`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import BitTable, Scratch, sign_table, up
from sccc.backends.simulator.products import Plan, at_zero, reads
from sccc.backends.simulator.render import to_words
from sccc.expr import Expr
from sccc.ops.geometry import Geometry

CHUNK = 16
"""Most words that one loop over the samples takes: so many population counts fit even a unit of 8 bits."""

FEW_BYTES, MANY_BYTES = 64, 512
"""Bytes of samples side by side, at least and at most: more are not faster."""


@lru_cache(maxsize=256)
def taps_source(expression: Expr, chunk: int, size: int, unit: str) -> str:
    """`taps(X, XS, W, WS, INDEX, OUT)`: OUT[j, p, b] = sum of pop(expression) over the words of W, WS[j] and INDEX[p].

    Operands that the expression does not read may be any arrays. `size` is B, `chunk` divides the words.
    """
    code, used = Code(), reads(expression)
    data = [name for name in used if name in ("x", "xs")]
    code.add(0, KERNEL, "def taps(X, XS, W, WS, INDEX, OUT):")
    code.add(1, "positions, words = INDEX.shape", f"part = np.empty({size}, np.{unit})")
    code.add(1, *(f"own_{name} = np.empty(words * {size}, np.{unit})" for name in data))
    code.add(1, "for p in range(positions):")
    for name in data:
        code.add(2, "for c in range(words):", f"    row = {name.upper()}[INDEX[p, c]]")
        code.add(3, f"for b in range({size}):", f"    own_{name}[c * {size} + b] = row[b]")
    code.add(2, "for j in range(OUT.shape[0]):", "    sums = OUT[j, p]", "    sums[:] = 0")
    code.add(3, f"for c in range(0, words, {chunk}):")
    code.add(4, *(f"{name} = own_{name}[c * {size} : (c + {chunk}) * {size}]" for name in data))
    terms = []
    for k in range(chunk):
        code.add(4, *(f"{name}{k} = {name.upper()}[j, c + {k}]" for name in used if name not in data))
        places = {name: f"{name}[{k * size} + b]" if name in data else f"{name}{k}" for name in used}
        terms.append(f"pop(np.{unit}({to_words(expression, places)}))")
    code.add(4, f"for b in range({size}):", f"    part[b] = {' + '.join(terms)}")
    code.add(4, f"for b in range({size}):", "    sums[b] += part[b]")
    return str(code)


class TapSums:
    """Window totals of one group of a convolution, or of any product of streams, with constant weights.

    The weights of the group are the entries index int [outputs, taps] of a table; signs: uint8 alike, or None.
    start: int64 [outputs * positions], what the totals begin at.
    """

    def __init__(
        self,
        plan: Plan,
        table: BitTable,
        index: np.ndarray,
        signs: np.ndarray | None,
        geometry: Geometry,
        group: int,
        start: np.ndarray,
    ) -> None:
        self.plan, self.length = plan, table.length
        self.units, self.unit = table.units.shape[1], table.units.dtype
        words = geometry.taps * self.units
        self.chunk = -(-words // -(-words // CHUNK))
        self.words = up(words, self.chunk)
        self.w = self._padded(table.units[index])
        minus = np.zeros(index.shape, np.uint8) if signs is None else signs
        self.ws = self._padded(sign_table(self.length).units[minus])
        lanes = geometry.lanes()[:, group]
        rows = np.where(lanes < 0, int(np.prod(geometry.x_shape)), lanes)[..., None] * self.units
        self.index = np.full((len(lanes), self.words), int(np.prod(geometry.x_shape)) * self.units, dtype=np.int32)
        self.index[:, :words] = (rows + np.arange(self.units)).reshape(len(lanes), -1)
        self.kind = np.int32 if words * self.unit.itemsize * 8 < 1 << 31 else np.int64
        self.terms = [(plan.core, plan.scale)]
        if plan.form in ("data", "both"):
            self.terms.append((plan.product.bit, 1))
        elif plan.data_signs:
            self.terms.append((plan.product.neg, -1))
        bits = table.unpack(index).astype(np.int64)
        offset = self._offset(bits, minus.astype(np.int64)) + self._padding_of_lanes(bits, minus, lanes < 0)
        self.offset = offset.reshape(-1) + start

    def _padded(self, words: np.ndarray) -> np.ndarray:
        """Units [outputs, taps, K] as [outputs, words]."""
        made = np.zeros((len(words), self.words), dtype=self.unit)
        flat = words.reshape(len(words), -1)
        made[:, : flat.shape[1]] = flat
        return made

    def _offset(self, bits: np.ndarray, minus: np.ndarray) -> np.ndarray:
        """What no sample changes, int64 [outputs, 1]: population counts of weights alone, and of padding bits."""
        plan, product = self.plan, self.plan.product
        padding = self.words * self.unit.itemsize * 8 - bits.shape[1] * self.length
        known = np.zeros(len(bits), dtype=np.int64)
        if plan.form == "weight":
            known = _bits(product.bit, {"w": bits, "ws": minus[..., None]}, bits.shape).sum(axis=(1, 2))
        elif plan.form == "static" and not plan.data_signs:
            known = -_bits(product.neg, {"ws": minus[..., None]}, bits.shape).sum(axis=(1, 2))
        return (known - padding * sum(scale * at_zero(term) for term, scale in self.terms))[:, None]

    def _padding_of_lanes(self, bits: np.ndarray, minus: np.ndarray, nothing: np.ndarray) -> np.ndarray:
        """What lanes that are padding, taken as zero bits, add wrongly, with the sign turned: int64 [outputs, positions]."""
        env: dict[str, np.ndarray | int] = {"x": 0, "xs": 0, "w": bits, "ws": minus.astype(np.int64)[..., None]}
        bit, neg = (_bits(e, env, bits.shape) for e in (self.plan.product.bit, self.plan.product.neg))
        return np.asarray(-(bit * (1 - 2 * neg)).sum(axis=2) @ nothing.T.astype(np.int64))

    def run(self, x: np.ndarray, xs: np.ndarray, out: np.ndarray, scratch: Scratch, key: object) -> None:
        """Put totals into out int64 [samples, outputs * positions] of sides x and xs."""
        from sccc.backends.simulator import layout_kernels

        shape = (len(self.w), len(self.index), x.shape[1])
        words = np.prod(shape) * np.dtype(self.kind).itemsize // 8
        sums = scratch.get(key, (int(words),)).view(self.kind).reshape(shape)
        for number, (expression, scale) in enumerate(self.terms):
            source = taps_source(expression, self.chunk, x.shape[1], self.unit.name)
            load(source).taps(x, xs, self.w, self.ws, self.index, sums)
            offset = np.zeros_like(self.offset) if number else self.offset
            layout_kernels.place_sides(sums.reshape(-1, x.shape[1]), scale, offset, number > 0, out)


def _bits(expression: Expr, env: dict[str, np.ndarray | int], shape: tuple[int, ...]) -> np.ndarray:
    """A bit expression on unpacked bits: int64 of `shape`."""
    return np.broadcast_to(np.asarray(expression.evaluate(env)) & 1, shape).astype(np.int64)


def side_size(samples: int, unit: np.dtype) -> int:
    """Samples that stand side by side, B above, where there are so many in all: a power of two, as every size has its kernel."""
    wanted = 1 << (samples * unit.itemsize - 1).bit_length()
    return min(max(wanted, FEW_BYTES), MANY_BYTES) // unit.itemsize


def sides(index: np.ndarray, table: BitTable, size: int, scratch: Scratch, key: object) -> np.ndarray:
    """The streams of up to `size` samples side by side: of the table's entries index int [samples, lanes]."""
    from sccc.backends.simulator import layout_kernels

    units, lanes = table.units, index.shape[1]
    shape = ((lanes + 1) * units.shape[1], size * units.dtype.itemsize // 8)
    made = scratch.get((key, units.dtype.itemsize), shape).view(units.dtype)
    layout_kernels.gather_sides(index, units, made)
    return made
