"""Activations of a network that learns: a table or a limit in front of a layer's result, and the slope that its error meets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sccc.ir import Operation, Value
from sccc.passes.training_builder import Builder, fixed_type

SUM_BITS = 7
"""Fractional bits of a sum before its activation's table, and of the reciprocal's argument."""

SUM_RANGE = 4
"""Sums are limited to -4 .. 4 before a table: tanh and sigmoid have saturated (tanh 4 = 0.9993); sigmoid to twice that."""

SCORE_BITS, SCORE_RANGE = 8, 32
"""Fractional bits and range of the scores that softmax reads."""


def activation(b: Builder, op: Operation, sums: Value, last: bool) -> Value:
    """The result of a layer from its sums, exact numbers. Of the last layer without activation these are scores.

    Numbers that no table limits saturate at `relu_range`: identity and clip at plus and minus it, ReLU at 0 and it.
    """
    name, function, top = step_name(op), str(op.attributes["function"]), b.options.value_bits
    if function in ("tanh", "sigmoid"):
        curve: Callable[[np.ndarray], np.ndarray] = np.tanh if function == "tanh" else _sigmoid
        limit = (SUM_RANGE if function == "tanh" else 2 * SUM_RANGE) << SUM_BITS
        v = b.rounded(sums, SUM_BITS, f"{name}_v", -limit, limit)
        table = np.rint(curve(np.arange(-limit, limit + 1) / 2.0**SUM_BITS) * (1 << top)).astype(np.int64)
        return b.add("lookup", [v], f"{name}_out", table=table, bits=top)
    if function == "identity" and last:
        limit = SCORE_RANGE << SCORE_BITS
        return b.rounded(sums, SCORE_BITS, f"{name}_score", -limit, limit - 1)
    bits = top - b.options.relu_range.bit_length() + 1
    lo, hi = {"relu": (0.0, np.inf), "clip": (op.attributes["lo"], op.attributes["hi"])}.get(
        function, (-np.inf, np.inf)
    )
    least, most = (int(np.rint(np.clip(edge * 2.0**bits, -(1 << top), 1 << top))) for edge in (lo, hi))
    return b.rounded(sums, bits, f"{name}_out", least, most)


def slope(b: Builder, op: Operation, out: Value) -> Value:
    """The activation's derivative, from its output: 1 - a**2, a (1 - a), or 1 where it does not saturate, else 0."""
    name, function, kind = f"{step_name(op)}_slope", str(op.attributes["function"]), fixed_type(out)
    one = 1 << kind.bits
    if function == "tanh":
        square = b.add("multiply", [out, out], f"{name}_square")
        return b.add("subtract", [b.constant("one", one * one, 2 * kind.bits), square], name)
    if function == "sigmoid":
        rest = b.add("subtract", [b.constant("one", one, kind.bits), out], f"{name}_rest")
        return b.add("multiply", [out, rest], name)
    return b.add("between", [out], name, above=kind.lo, below=kind.hi)


def through(b: Builder, op: Operation, out: Value, handed: Value) -> Value:
    """The error in front of an activation, limited, from the error behind it."""
    name = step_name(op)
    handed = b.shaped(handed, out.type.shape, f"{name}_handed")
    exact = b.add("multiply", [handed, slope(b, op, out)], f"{name}_delta_exact")
    return b.limited(exact, f"{name}_delta")


def step_name(op: Operation) -> str:
    assert op.result is not None
    return op.result.name


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
