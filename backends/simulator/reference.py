"""The simulator's readable reference: plain numpy on unpacked bits, one function per cell kind.

Bits are uint8 arrays [samples, *lanes, cycles]; what does not depend on the sample has 1 there. The numba kernels
beside this file are tested equal to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sccc.cells import Fsm, Product, Race
from sccc.expr import Expr
from sccc.ops.geometry import Geometry
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


def count(product: Product, geometry: Geometry, x: Bits, w: Bits) -> np.ndarray:
    """Signed counts int64 [samples, *result's shape, cycles] of x [samples, *lanes, cycles] against weights w, alike."""
    cycles, samples = x.bits.shape[-1], max(x.bits.shape[0], w.bits.shape[0])
    lanes = geometry.lanes()
    bits = x.bits.reshape(len(x.bits), -1, cycles)
    signs = None if x.signs is None else x.signs.reshape(len(x.signs), -1)
    weights = w.bits.reshape(len(w.bits), geometry.groups, geometry.outputs, geometry.taps, cycles)
    weight_signs = None if w.signs is None else w.signs.reshape(len(w.signs), *weights.shape[1:4])
    result = np.empty((samples, geometry.groups, geometry.outputs, geometry.positions, cycles), dtype=np.int64)
    for g in range(geometry.groups):
        taps = lanes[:, g]
        env = {"x": bits[:, taps]}
        if signs is not None:
            env["xs"] = signs[:, taps, None]
        for j in range(geometry.outputs):
            env["w"] = weights[:, None, g, j]
            if weight_signs is not None:
                env["ws"] = weight_signs[:, None, g, j, :, None]
            bit, neg = (np.asarray(e.evaluate(env)) & 1 for e in (product.bit, product.neg))
            made = bit.astype(np.int8) * (1 - 2 * neg.astype(np.int8)) * (taps >= 0).astype(np.int8)[..., None]
            spread = np.broadcast_to(made, (samples, *taps.shape, cycles))
            result[:, g, j] = spread.sum(axis=2, dtype=np.int32)
    return result.reshape(samples, *geometry.shape, cycles)


def fold(expression: Expr, taps: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Lanes under a window combined two at a time: x [samples, lanes, ...] by taps int [taps, *result's shape], negative: none."""
    shape = (*taps.shape[1:], *(1,) * (x.ndim - 2))
    made, begun = x[:, taps[0]], (taps[0] >= 0).reshape(shape)
    for lanes in taps[1:]:
        more, valid = x[:, lanes], (lanes >= 0).reshape(shape)
        both = np.asarray(expression.evaluate({"a": made, "b": more}))
        made = np.where(valid & begun, both, np.where(valid, more, made))
        begun = begun | valid
    return made


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
    """Walk state machines over counts [samples, *lanes, cycles]: output bits (same shape, uint8), last states.

    `parameters` are integers that broadcast to the lanes. `disturb(cycle, states)` may return other states for those that a
    cycle has led to; the output bit of that cycle, where it is read off the state, already shows them.
    """
    cycles = counts.shape[-1]
    env: dict[str, np.ndarray] = {k: np.asarray(v, dtype=np.int64) for k, v in parameters.items()}
    state = np.broadcast_to(np.asarray(fsm.initial.evaluate(env), dtype=np.int64), counts.shape[:-1])
    bits = np.zeros(counts.shape, dtype=np.uint8)
    for t in range(cycles):
        env["state"], env["count"] = state, counts[..., t]
        env["step"] = np.asarray(fsm.step.evaluate(env))
        state = np.asarray(fsm.next.evaluate(env))
        if disturb is not None:
            state = disturb(t, state)
        if fsm.out is not None:
            env["state"] = state
            bits[..., t] = fsm.out.evaluate(env)
    return bits, state


def race(
    cell: Race,
    counts: np.ndarray,
    parameters: dict[str, np.ndarray],
    disturb: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sums int64 [samples, *lanes] of counts [samples, *lanes, cycles] where they stop, and how long each window was.

    A sample that stops when t cycles have been summed takes one more, in which its lead is seen. `disturb` as in `run_fsm`, in
    every cycle of a window, that one too.
    """
    cycles = counts.shape[-1]
    env: dict[str, np.ndarray] = {k: np.asarray(v, dtype=np.int64) for k, v in parameters.items()}
    state = np.broadcast_to(np.asarray(cell.sum.initial.evaluate(env), dtype=np.int64), counts.shape[:-1])
    taken = np.full(len(counts), cycles, dtype=np.int64)
    going = np.ones(len(counts), dtype=bool)
    for t in range(cycles):
        top = np.partition(state.reshape(len(state), -1), -2, axis=1)
        open_window = going
        safe = np.asarray(cell.safe.evaluate({**env, "lead": top[:, -1] - top[:, -2], "cycle": np.int64(t)}))
        stopping = going & safe.astype(bool)
        taken[stopping] = t + 1
        going = going & ~stopping
        env["state"], env["count"] = state, counts[..., t]
        env["step"] = np.asarray(cell.sum.step.evaluate(env))
        following = np.asarray(cell.sum.next.evaluate(env))
        spread = (-1, *(1,) * (state.ndim - 1))
        state = np.where(going.reshape(spread), following, state)
        if disturb is not None:
            state = np.where(open_window.reshape(spread), disturb(t, state), state)
    return state, taken


def select_from(table: np.ndarray, first: int, address: np.ndarray) -> np.ndarray:
    """A memory: table[address - first]."""
    return table[address - first]


def first_largest(values: np.ndarray) -> np.ndarray:
    """An arbiter: the index int64 [samples] of the first largest of values [samples, *lanes]."""
    return np.argmax(values.reshape(len(values), -1), axis=1)
