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
from sccc.backends.simulator.render import to_python
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
        lanes = int(np.prod(op.attributes["shape"]))
        self.offset, self.scale = (
            np.broadcast_to(np.asarray(op.attributes[name], dtype=np.float64).reshape(-1), (lanes,)).copy()
            for name in ("offset", "scale")
        )
        self.plain = not self.offset.any() and bool((self.scale == 1.0).all())
        encoding, bits = encoding_of(op), bits_of(op)
        self.bipolar, self.steps = encoding is Encoding.BIPOLAR, float(1 << bits)
        self.lowest, self.highest = float(encoding.minimum_level(bits)), float(largest_of(op))

    def run(self, x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Levels int64 of x [samples, *lanes], and whether x holds nan, which no level stands for."""
        flat = x.reshape(len(x), -1)
        if flat.dtype.kind == "b" or (flat.dtype.kind == "f" and flat.dtype.itemsize not in (4, 8)):
            flat = flat.astype(np.float64)
        out = np.empty(flat.shape, dtype=np.int64)
        affine, levels = (self.offset, self.scale, self.plain), (self.bipolar, self.steps, self.lowest, self.highest)
        nans = load(ENCODE).encode(flat, *affine, *levels, out)
        return out.reshape(x.shape), bool(nans)


@lru_cache(maxsize=256)
def lanes_source(expression: Expr, operands: tuple[str, ...], parameters: tuple[str, ...]) -> str:
    """`lanes(x0, x1, ..., P, out)`: an expression, lane by lane.

    Operands x0 ... and out are int64 [samples, lanes]; rows of P int64 [parameters, lanes] are the parameters.
    """
    names = {name: Var(f"x{k}[b, i]") for k, name in enumerate(operands)}
    names |= {name: Var(f"P[{k}, i]") for k, name in enumerate(parameters)}
    code = Code()
    code.add(0, KERNEL, f"def lanes({''.join(f'x{k}, ' for k in range(len(operands)))}P, out):")
    code.add(1, "for b in range(out.shape[0]):", "    for i in range(out.shape[1]):")
    code.add(3, f"out[b, i] = {to_python(expression.substitute(names))}")
    return str(code)


def lanewise(
    expression: Expr, operands: Sequence[str], parameters: dict[str, Any], shape: tuple[int, ...]
) -> Callable[[list[np.ndarray]], np.ndarray]:
    """A function from operands int64 [samples, *shape] (1 sample: the same for all) to the expression of them, lane by lane.

    parameters: integers, one or one per lane.
    """
    read = expression.variables()
    names = tuple(name for name in parameters if name in read)
    rows = [np.broadcast_to(np.asarray(parameters[name], dtype=np.int64), shape).reshape(-1) for name in names]
    table = np.array(rows, dtype=np.int64).reshape(len(names), int(np.prod(shape)))
    source = lanes_source(expression, tuple(operands), names)

    def run(values: list[np.ndarray]) -> np.ndarray:
        samples = max(len(value) for value in values)
        out = np.empty((samples, table.shape[1]), dtype=np.int64)
        flat = [np.broadcast_to(v.reshape(len(v), -1), out.shape) for v in values]
        load(source).lanes(*map(np.ascontiguousarray, flat), table, out)
        return out.reshape(samples, *shape)

    return run
