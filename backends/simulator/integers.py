"""Levels and totals, lane by lane: compiled kernels beside numpy functions that compute the same.

Real inputs become levels (reference: `sccc.ops.source.input_levels`), and combinational logic on totals and levels is an op's own
expression (reference: `Expr.evaluate`). Each is one pass over the data, where numpy makes an array for every operator. They take
numbers [samples, *lanes] in any order, and leave them with samples side by side, as `taps` reads and writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import LARGE_BLOCK, Scratch, as_sides, in_shape, side_by_side, whole_type
from sccc.backends.simulator.render import to_python
from sccc.backends.simulator.streams import fresh_key
from sccc.expr import Expr, Var
from sccc.intervals import Interval, interval, widest
from sccc.ir import Operation
from sccc.ops.source import bits_of, encoding_of, largest_of
from sccc.types import Encoding, Level, Total, Type

ROWS, TILE = 64, 16
"""Samples whose levels are made before they are turned to stand side by side, and lanes that are turned at a time."""

ENCODE = f"""{KERNEL}
def encode(x, offset, scale, plain, bipolar, steps, lowest, highest, out):
    nans = 0
    samples, lanes = x.shape
    levels = np.empty(({ROWS}, lanes), out.dtype)
    for first in range(0, samples, {ROWS}):
        count = min({ROWS}, samples - first)
        for b in range(count):
            for i in range(lanes):
                value = np.float64(x[first + b, i])
                if not plain:
                    value = (value - offset[i]) / scale[i]
                nans += value != value
                if bipolar:
                    value = (value + 1.0) / 2.0
                levels[b, i] = np.int64(min(max(np.rint(value * steps), lowest), highest))
        for i0 in range(0, lanes, {TILE}):
            for b in range(count):
                for i in range(i0, min(i0 + {TILE}, lanes)):
                    out[i, first + b] = levels[b, i]
    return nans
"""
"""x [samples, lanes] of any real kind; offset, scale float64 [lanes]; out whole [lanes, samples]. Returns how many are nan.

plain: all offsets are 0 and all scales 1; a division for nothing would take most of the time.
"""


class Encoder:
    """The levels of an input op."""

    def __init__(self, op: Operation) -> None:
        self.key = fresh_key()
        lanes = int(np.prod(op.attributes["shape"]))
        self.offset, self.scale = (
            np.broadcast_to(np.asarray(op.attributes[name], dtype=np.float64).reshape(-1), (lanes,)).copy()
            for name in ("offset", "scale")
        )
        self.plain = not self.offset.any() and bool((self.scale == 1.0).all())
        encoding, bits = encoding_of(op), bits_of(op)
        self.bipolar, self.steps = encoding is Encoding.BIPOLAR, float(1 << bits)
        self.lowest, self.highest = float(encoding.minimum_level(bits)), float(largest_of(op))

    def run(self, x: np.ndarray, scratch: Scratch) -> tuple[np.ndarray, bool]:
        """Levels of x [samples, *lanes], samples side by side, and whether x holds nan, which no level stands for."""
        flat = x.reshape(len(x), -1)
        if flat.dtype.kind == "b" or (flat.dtype.kind == "f" and flat.dtype.itemsize not in (4, 8)):
            flat = flat.astype(np.float64)
        kind = whole_type(int(self.lowest), int(self.highest))
        out = side_by_side(scratch, self.key, x.shape[1:], len(x), LARGE_BLOCK, kind)
        affine, levels = (self.offset, self.scale, self.plain), (self.bipolar, self.steps, self.lowest, self.highest)
        nans = load(ENCODE).encode(flat, *affine, *levels, out)
        return in_shape(out, len(x), x.shape[1:]), bool(nans)


def to_sides(value: np.ndarray, samples: int) -> np.ndarray:
    """Numbers [samples or 1, *shape] as [lanes, samples], samples side by side."""
    made = as_sides(value)
    if made is None or made.shape[1] != samples:
        made = np.ascontiguousarray(np.broadcast_to(value.reshape(len(value), -1).T, (value[0].size, samples)))
    return made


def range_of(kind: Type) -> Interval:
    """The whole numbers that a level or a total may be."""
    if isinstance(kind, Level):
        return kind.encoding.minimum_level(kind.bits), kind.encoding.maximum_level(kind.bits)
    assert isinstance(kind, Total)
    return kind.lo, kind.hi


@lru_cache(maxsize=256)
def fold_source(expression: Expr) -> str:
    """`fold(x, taps, out)`: `reference.fold` of x [lanes, samples] by taps int [taps, result lanes], negative: padding.

    Every lane of the result has a tap that is not padding.
    """
    both = to_python(expression.substitute({"a": Var("made[b]"), "b": Var("row[b]")}))
    code = Code()
    code.add(0, KERNEL, "def fold(x, taps, out):", "    for i in range(out.shape[0]):")
    code.add(2, "made, begun = out[i], False", "for k in range(taps.shape[0]):")
    code.add(3, "if taps[k, i] < 0:", "    continue", "row = x[taps[k, i]]", "for b in range(x.shape[1]):")
    code.add(4, f"made[b] = {both} if begun else row[b]")
    code.add(3, "begun = True")
    return str(code)


def fold(
    expression: Expr, taps: np.ndarray, x: np.ndarray, kind: np.dtype, scratch: Scratch, key: object
) -> np.ndarray:
    """`reference.fold` of levels or totals x [samples, lanes], compiled: numbers of `kind`, samples side by side."""
    flat = np.ascontiguousarray(taps.reshape(len(taps), -1))
    out = side_by_side(scratch, key, flat.shape[1:], len(x), LARGE_BLOCK, kind)
    load(fold_source(expression)).fold(to_sides(x, len(x)), flat, out)
    return in_shape(out, len(x), taps.shape[1:])


@lru_cache(maxsize=256)
def lanes_source(expression: Expr, operands: int, parameters: tuple[str, ...], word: str) -> str:
    """`lanes(x0, x1, ..., P, out)`: an expression of variables x0 ... and parameters, lane by lane.

    x0 ... and out are whole numbers [lanes, samples]; rows of P int64 [parameters, lanes] are the parameters. `word`: numpy's
    name of what holds every intermediate result.
    """
    code = Code()
    code.add(0, KERNEL, f"def lanes({''.join(f'x{k}, ' for k in range(operands))}P, out):")
    code.add(1, "for i in range(out.shape[0]):", "    made = out[i]")
    code.add(2, *(f"row{k} = x{k}[i]" for k in range(operands)))
    code.add(2, *(f"{name} = {word}(P[{k}, i])" for k, name in enumerate(parameters)))
    names = {f"x{k}": Var(f"{word}(row{k}[b])") for k in range(operands)}
    code.add(2, "for b in range(x0.shape[1]):", f"    made[b] = {to_python(expression.substitute(names), word)}")
    return str(code)


WIDE = (-(1 << 63), (1 << 63) - 1)
"""The range of a number of which nothing is known."""


def lanewise(
    expression: Expr,
    operands: Mapping[str, Interval],
    parameters: dict[str, Any],
    shape: tuple[int, ...],
) -> Callable[[list[np.ndarray], Scratch], np.ndarray]:
    """A function from operands [samples, *shape] (1 sample: the same for all) to the expression of them, lane by lane.

    operands: the range of each. parameters: integers, one or one per lane. The result's samples stand side by side, in the
    narrowest numbers that the ranges allow.
    """
    read = expression.variables()
    rows = {
        name: np.broadcast_to(np.asarray(value, dtype=np.int64), shape).reshape(-1)
        for name, value in parameters.items()
        if name in read
    }
    table = np.array(list(rows.values()), dtype=np.int64).reshape(len(rows), int(np.prod(shape)))
    ranges = {**operands, **{name: (int(row.min()), int(row.max())) for name, row in rows.items()}}
    kind, word = np.dtype(np.int64), "np.int64"
    if WIDE not in operands.values():
        kind = whole_type(*interval(expression, ranges))
        word = next((f"np.int{bits}" for bits in (16, 32) if widest(expression, ranges) <= bits), word)
    renamed = {name: Var(f"x{k}") for k, name in enumerate(operands)}
    names = {name: Var(f"p{k}") for k, name in enumerate(rows)}
    source = lanes_source(
        expression.substitute({**names, **renamed}), len(operands), tuple(f"p{k}" for k in range(len(rows))), word
    )
    key = fresh_key()

    def run(values: list[np.ndarray], scratch: Scratch) -> np.ndarray:
        samples = max(len(value) for value in values)
        out = side_by_side(scratch, key, shape, samples, LARGE_BLOCK, kind)
        load(source).lanes(*(to_sides(value, samples) for value in values), table, out)
        return in_shape(out, samples, shape)

    return run


def look_up(table: np.ndarray, first: int, address: np.ndarray, scratch: Scratch, key: object) -> np.ndarray:
    """`reference.select_from` of addresses [samples, *shape], compiled; the result's samples stand side by side."""
    from sccc.backends.simulator import layout_kernels

    samples, shape = len(address), address.shape[1:]
    out = side_by_side(scratch, key, shape, samples, LARGE_BLOCK, table.dtype)
    layout_kernels.select_sides(table, first, to_sides(address, samples), out)
    return in_shape(out, samples, shape)
