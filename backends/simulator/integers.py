"""Levels and totals, lane by lane: compiled kernels beside numpy functions that compute the same.

Real inputs become levels (reference: `sccc.ops.source.input_levels`), and combinational logic on totals and levels is an op's own
expression (reference: `Expr.evaluate`). Each is one pass over the data, where numpy makes an array for every operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import Scratch
from sccc.backends.simulator.render import to_python
from sccc.backends.simulator.streams import fresh_key
from sccc.expr import Expr, Var
from sccc.ir import Operation
from sccc.ops.source import bits_of, encoding_of, largest_of
from sccc.types import Encoding

ENCODE = f"""{KERNEL}
def encode(x, offset, scale, plain, bipolar, steps, lowest, highest, out):
    nans = 0
    for b in range(out.shape[0]):
        for i in range(out.shape[1]):
            value = np.float64(x[b, i])
            if not plain:
                value = (value - offset[i]) / scale[i]
            nans += value != value
            if bipolar:
                value = (value + 1.0) / 2.0
            out[b, i] = np.int64(min(max(np.rint(value * steps), lowest), highest))
    return nans
"""
"""x [samples, lanes] of any real kind; offset, scale float64 [lanes]; out int64 [samples, lanes]. Returns how many are nan.

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
        """Levels int64 of x [samples, *lanes], and whether x holds nan, which no level stands for."""
        flat = x.reshape(len(x), -1)
        if flat.dtype.kind == "b" or (flat.dtype.kind == "f" and flat.dtype.itemsize not in (4, 8)):
            flat = flat.astype(np.float64)
        out = scratch.get(self.key, flat.shape).view(np.int64)
        affine, levels = (self.offset, self.scale, self.plain), (self.bipolar, self.steps, self.lowest, self.highest)
        nans = load(ENCODE).encode(flat, *affine, *levels, out)
        return out.reshape(x.shape), bool(nans)


@lru_cache(maxsize=256)
def fold_source(expression: Expr) -> str:
    """`fold(x, taps, padded, out)`: `reference.fold` of x int64 [samples, lanes] by taps int [taps, result lanes].

    padded: whether any tap is negative, padding; every lane of the result has one that is not.
    """
    both = to_python(expression.substitute({"a": Var("out[s, i]"), "b": Var("x[s, lane]")}))
    code = Code()
    code.add(0, KERNEL, "def fold(x, taps, padded, out):", "    begun = np.zeros(out.shape[1], np.bool_)")
    code.add(1, "for s in range(out.shape[0]):", "    begun[:] = False", "    for k in range(taps.shape[0]):")
    code.add(3, "for i in range(out.shape[1]):", "    lane = taps[k, i]")
    code.add(4, "if padded and lane < 0:", "    continue")
    code.add(4, f"out[s, i] = {both} if (begun[i] if padded else k > 0) else x[s, lane]")
    code.add(4, "if padded:", "    begun[i] = True")
    return str(code)


def fold(expression: Expr, taps: np.ndarray, x: np.ndarray, scratch: Scratch, key: object) -> np.ndarray:
    """`reference.fold` of levels or totals x int64 [samples, lanes], compiled."""
    flat = np.ascontiguousarray(taps.reshape(len(taps), -1))
    out = scratch.get(key, (len(x), flat.shape[1])).view(np.int64)
    load(fold_source(expression)).fold(x, flat, bool((flat < 0).any()), out)
    return out.reshape(len(x), *taps.shape[1:])


@lru_cache(maxsize=256)
def lanes_source(expression: Expr, operands: tuple[str, ...], parameters: tuple[tuple[str, bool], ...]) -> str:
    """`lanes(x0, x1, ..., P, out)`: an expression, lane by lane.

    Operands x0 ... and out are int64 [samples, lanes]; rows of P int64 [parameters, lanes] are the parameters, each by its name
    and whether it is the same for all lanes: loops over too many arrays are not vectorised.
    """
    code = Code()
    code.add(0, KERNEL, f"def lanes({''.join(f'x{k}, ' for k in range(len(operands)))}P, out):")
    names = {name: Var(f"row{k}[i]") for k, name in enumerate(operands)}
    for k, (name, uniform) in enumerate(parameters):
        names[name] = Var(f"p{k}" if uniform else f"p{k}[i]")
        code.add(1, f"p{k} = P[{k}, 0]" if uniform else f"p{k} = P[{k}]")
    code.add(1, "for b in range(out.shape[0]):", "    made = out[b]")
    code.add(2, *(f"row{k} = x{k}[b]" for k in range(len(operands))))
    code.add(2, "for i in range(out.shape[1]):", f"    made[i] = {to_python(expression.substitute(names))}")
    return str(code)


def lanewise(
    expression: Expr, operands: Sequence[str], parameters: dict[str, Any], shape: tuple[int, ...]
) -> Callable[[list[np.ndarray], Scratch], np.ndarray]:
    """A function from operands int64 [samples, *shape] (1 sample: the same for all) to the expression of them, lane by lane.

    parameters: integers, one or one per lane.
    """
    read = expression.variables()
    rows = {
        name: np.broadcast_to(np.asarray(value, dtype=np.int64), shape).reshape(-1)
        for name, value in parameters.items()
        if name in read
    }
    names = tuple((name, bool((row == row[0]).all())) for name, row in rows.items())
    table = np.array(list(rows.values()), dtype=np.int64).reshape(len(names), int(np.prod(shape)))
    source, key = lanes_source(expression, tuple(operands), names), fresh_key()

    def run(values: list[np.ndarray], scratch: Scratch) -> np.ndarray:
        samples = max(len(value) for value in values)
        out = scratch.get(key, (samples, table.shape[1])).view(np.int64)
        flat = [np.broadcast_to(v.reshape(len(v), -1), out.shape) for v in values]
        load(source).lanes(*map(np.ascontiguousarray, flat), table, out)
        return out.reshape(samples, *shape)

    return run
