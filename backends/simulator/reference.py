"""The simulator's readable reference: plain numpy on unpacked bits, one function per cell kind.

Bits are uint8 arrays [samples, *lanes, cycles]; what does not depend on the sample has 1 there. The numba kernels
beside this file are tested equal to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sccc.cells import Fsm, Product
from sccc.expr import Expr
from sccc.types import Encoding


@dataclass
class Bits:
    """A stream: bits uint8 [samples, *lanes, cycles] and, when signed, signs [samples, *lanes], 1 = negative."""

    bits: np.ndarray
    signs: np.ndarray | None = None


def magnitude_and_signs(levels: np.ndarray, encoding: Encoding) -> tuple[np.ndarray, np.ndarray | None]:
    """What an SNG compares, and the signs (uint8, 1 = negative) that go beside a signed stream."""
    if encoding is not Encoding.SIGNED:
        return levels, None
    return np.abs(levels), (levels < 0).astype(np.uint8)


def generate(cell: Expr, levels: np.ndarray, random: np.ndarray, encoding: Encoding) -> Bits:
    """The streams that SNGs make.

    levels: [samples, *lanes]; random: [cycles, *lanes or ()], broadcast over the last lanes.
    """
    level, signs = magnitude_and_signs(levels, encoding)
    spread = np.moveaxis(random, 0, -1) if random.ndim > 1 else random
    bits = np.asarray(cell.evaluate({"level": level[..., None], "random": spread})).astype(np.uint8)
    return Bits(bits, signs)


def count(product: Product, x: Bits, w: Bits) -> np.ndarray:
    """Signed counts int64 [samples, m, cycles] of x [samples, n, cycles] against w [samples, m, n, cycles]."""
    samples, outputs = max(x.bits.shape[0], w.bits.shape[0]), w.bits.shape[1]
    result = np.empty((samples, outputs, x.bits.shape[-1]), dtype=np.int64)
    for j in range(outputs):
        env = {"x": x.bits, "w": w.bits[:, j]}
        if x.signs is not None:
            env["xs"] = x.signs[..., None]
        if w.signs is not None:
            env["ws"] = w.signs[:, j, :, None]
        bit, neg = (np.asarray(e.evaluate(env)) & 1 for e in (product.bit, product.neg))
        lanes = bit.astype(np.int8) * (1 - 2 * neg.astype(np.int8))
        result[:, j] = np.broadcast_to(lanes, (samples, *x.bits.shape[1:])).sum(axis=1, dtype=np.int32)
    return result


EXACT_IN_FLOATS = 1 << 53
"""Whole numbers up to here are exact in float64, and so are sums of them in any order that stay within it."""


def exact_weights(weights: np.ndarray, least: int, most: int) -> np.ndarray:
    """Weights [m, n] as the transpose that `multiply_add` takes: float64, which BLAS multiplies, where it is exact.

    least, most: the smallest and largest sum of positive and of negative products. Partial sums lie between them.
    """
    narrow = max(-least, most) <= EXACT_IN_FLOATS
    return np.ascontiguousarray(weights.T, dtype=np.float64 if narrow else np.int64)


def multiply_add(numbers: np.ndarray, weights: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """Dot products int64 [samples, m] of numbers int64 [samples, n] and weights [n, m], plus initial (one, or [m])."""
    return (numbers.astype(weights.dtype) @ weights).astype(np.int64) + initial


def run_fsm(
    fsm: Fsm,
    counts: np.ndarray,
    parameters: dict[str, np.ndarray],
    disturb: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Walk state machines over counts [samples, lanes, cycles]: output bits (same shape, uint8), last states.

    `parameters` are integers that broadcast to [lanes]. `disturb(cycle, states)` may return other states before each
    cycle.
    """
    samples, lanes, cycles = counts.shape
    env: dict[str, np.ndarray] = {k: np.asarray(v, dtype=np.int64) for k, v in parameters.items()}
    state = np.broadcast_to(np.asarray(fsm.initial.evaluate(env), dtype=np.int64), (samples, lanes))
    bits = np.zeros(counts.shape, dtype=np.uint8)
    for t in range(cycles):
        if disturb is not None:
            state = disturb(t, state)
        env["state"], env["count"] = state, counts[:, :, t]
        env["step"] = np.asarray(fsm.step.evaluate(env))
        state = np.asarray(fsm.next.evaluate(env))
        if fsm.out is not None:
            env["state"] = state
            bits[:, :, t] = fsm.out.evaluate(env)
    return bits, state


def select_from(table: np.ndarray, first: int, address: np.ndarray) -> np.ndarray:
    """A memory: table[address - first]."""
    return table[address - first]


def first_largest(values: np.ndarray) -> np.ndarray:
    """An arbiter: the index int64 [samples] of the first largest of values [samples, *lanes]."""
    return np.argmax(values.reshape(len(values), -1), axis=1)
