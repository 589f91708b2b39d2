"""Window totals of few samples, or one with weights of its own: one population count per 64 bits along time and lanes.

Many samples that share their weights go side by side (`taps`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import ROW_BLOCK, Scratch, pack_lanes, rows, sign_table
from sccc.backends.simulator.products import Plan, at_zero, pop_last, reads
from sccc.backends.simulator.render import to_words
from sccc.backends.simulator.streams import StreamValue
from sccc.expr import Expr

WORDS_PER_PASS = 1024
"""Words of a row taken at a time: eight such pieces stay near the first-level cache."""

SAMPLES_PER_PASS = 32
"""Samples whose pieces stay in the second-level cache while all weights pass by."""

NOTHING = np.zeros((ROW_BLOCK, 1), dtype=np.uint64)


@lru_cache(maxsize=256)
def totals_source(core: Expr) -> str:
    """`totals(X, XS, W, WS, out)`: out[b, j] int64 += pop(core) over rows b of X, XS and j of W, WS.

    Operands that core does not read may be any array.
    """
    code, block = Code(), range(ROW_BLOCK)
    used = reads(core)
    code.add(0, KERNEL, "def totals(X, XS, W, WS, out):")
    code.add(1, "samples, outputs = out.shape", f"length = {used[0].upper()}.shape[1]")
    code.add(1, f"for first in range(0, samples, {SAMPLES_PER_PASS}):")
    code.add(2, f"last = min(samples, first + {SAMPLES_PER_PASS})", f"for k0 in range(0, length, {WORDS_PER_PASS}):")
    code.add(3, f"k1 = min(length, k0 + {WORDS_PER_PASS})", f"for j in range(0, outputs, {ROW_BLOCK}):")
    code.add(4, *(f"{o}{i} = {o.upper()}[j + {i}, k0:k1]" for o in used if o in ("w", "ws") for i in block))
    code.add(4, f"for b in range(first, last, {ROW_BLOCK}):")
    code.add(5, *(f"{o}{i} = {o.upper()}[b + {i}, k0:k1]" for o in used if o in ("x", "xs") for i in block))
    code.add(5, *(f"a{i}{j} = ZERO" for i in block for j in block), "for k in range(k1 - k0):")
    for i in block:
        for j in block:
            places = {"x": f"x{i}[k]", "xs": f"xs{i}[k]", "w": f"w{j}[k]", "ws": f"ws{j}[k]"}
            code.add(6, f"a{i}{j} += pop({to_words(core, places)})")
    code.add(5, *(f"out[b + {i}, j + {j}] += np.int64(a{i}{j})" for i in block for j in block))
    return str(code)


def count_ones(core: Expr, **operands: np.ndarray | None) -> np.ndarray:
    """pop(core) int64 [R4, m4] over rows x, xs against rows w, ws, padding included."""
    given = [operands.get(name) for name in ("x", "xs", "w", "ws")]
    arrays = [NOTHING if a is None else a for a in given]
    outputs = max(len(arrays[2]), len(arrays[3]))
    out = np.zeros((max(len(arrays[0]), len(arrays[1])), outputs), dtype=np.int64)
    load(totals_source(core)).totals(*arrays, out)
    return out


@dataclass(frozen=True)
class WeightRows:
    """Weights w [m, n] ready for totals: rows of bits and of signs, packed signs, and what is known beforehand."""

    plan: Plan
    outputs: int
    lanes: int
    length: int
    signs: np.ndarray | None
    w: np.ndarray
    ws: np.ndarray | None
    lane_signs: np.ndarray
    offset: np.ndarray

    @property
    def padding(self) -> int:
        """Bits of a row that belong to no cycle of a lane."""
        return self.w.shape[1] * 64 - self.lanes * self.length

    def with_bits(self, w: np.ndarray) -> WeightRows:
        """The same signs with other bits (after flips)."""
        changed = replace(self, w=w)
        return replace(changed, offset=_offset(changed)) if self.plan.form == "weight" else changed


def weight_rows(plan: Plan, stream: StreamValue, scratch: Scratch, key: object) -> WeightRows:
    """A constant stream [1, m, n] as weights."""
    outputs, lanes = stream.type.shape
    length = stream.type.length
    signs = None if stream.signs is None else stream.signs[0]
    w, ws = stream.rows(scratch, (key, "w")), None
    if signs is not None and "ws" in plan.core.variables() | plan.product.bit.variables():
        ws = rows(signs, sign_table(length), scratch, (key, "ws"))
    lane_signs = pack_lanes(np.zeros((outputs, lanes), np.uint8) if signs is None else signs)
    made = WeightRows(plan, outputs, lanes, length, signs, w, ws, lane_signs, np.zeros(0, np.int64))
    return replace(made, offset=_offset(made))


def _offset(weights: WeightRows) -> np.ndarray:
    """What is added to scale * pop(core), int64 [m]: padding, and the part of the sum that no sample changes."""
    plan, outputs = weights.plan, weights.outputs
    offset = np.full(outputs, -plan.scale * weights.padding * at_zero(plan.core), dtype=np.int64)
    if plan.form == "static" and not plan.data_signs:
        padding = weights.lane_signs.shape[1] * 64 - weights.lanes
        shape = (outputs, weights.lane_signs.shape[1])
        offset -= weights.length * pop_last(plan.product.neg, {"ws": weights.lane_signs[:outputs]}, shape, padding)
    elif plan.form == "weight":
        known = {"w": weights.w[:outputs]}
        if weights.ws is not None:
            known["ws"] = weights.ws[:outputs]
        offset += pop_last(plan.product.bit, known, weights.w[:outputs].shape, weights.padding)
    return offset


def window_totals(
    x: np.ndarray, signs: np.ndarray | None, weights: WeightRows, scratch: Scratch, key: object
) -> np.ndarray:
    """Sums over the window int64 [samples, m]. x: rows [R4, L]; signs: uint8 [samples, n] of signed data, else None."""
    plan, product = weights.plan, weights.plan.product
    xs = None
    if signs is not None and "xs" in plan.core.variables() | product.bit.variables():
        xs = rows(signs, sign_table(weights.length), scratch, (key, "xs"))
    sums = count_ones(plan.core, x=x, xs=xs, w=weights.w, ws=weights.ws)[:, : weights.outputs]
    if plan.scale != 1:
        sums *= plan.scale
    sums += weights.offset
    if plan.form == "data":
        known = {"x": x} if xs is None else {"x": x, "xs": xs}
        sums += pop_last(product.bit, known, x.shape, weights.padding)[:, None]
    elif plan.form == "both":
        ones = count_ones(product.bit, x=x, xs=xs, w=weights.w, ws=weights.ws)[:, : weights.outputs]
        sums += ones - weights.padding * at_zero(product.bit)
    elif plan.data_signs:
        assert signs is not None
        negative = count_ones(product.neg, xs=pack_lanes(signs), ws=weights.lane_signs)[:, : weights.outputs]
        padding = weights.lane_signs.shape[1] * 64 - weights.lanes
        sums[: len(negative)] -= weights.length * (negative - padding * at_zero(product.neg))
    return sums
