"""Predicted error of totals behind OR and MUX adders: exact, from levels and sources, for any choice of these.

An OR of lanes that share their sources is no function of two levels, as a product's count is (`sccc.joint`): the bits are made, for
some samples, and counted as the op says (`sccc.grouping`).
"""

from __future__ import annotations

import numpy as np

from sccc.correlation import lanes_of
from sccc.grouping import count_groups
from sccc.ir import Operation
from sccc.types import Encoding

CHUNK_BITS = 1 << 26
"""Bits of the input's streams that are held at a time."""


def group_totals(
    op: Operation, x: np.ndarray, w: np.ndarray, sources: tuple[np.ndarray, np.ndarray], length: int
) -> np.ndarray:
    """Totals of an sc.or_dot or sc.mux_dot over the window: int64 [samples, outputs].

    x: levels [samples, n]; w: levels [m, n]; sources: object arrays of `Randomness` that broadcast to [n] and to [m, n].
    """
    m, n = w.shape
    signed = [op.operands[side].type.encoding is Encoding.SIGNED for side in (0, 1)]  # type: ignore[attr-defined]
    select = lanes_of(op.operands[2])[0].sequence(length) if len(op.operands) > 2 else None
    weights = _streams(np.abs(w), np.broadcast_to(sources[1], (m, n)), length)
    x_random = np.broadcast_to(sources[0], (1, n))
    size = max(1, CHUNK_BITS // (n * length))
    totals = []
    for first in range(0, len(x), size):
        part = x[first : first + size]
        bits = _streams(np.abs(part), x_random, length)
        signs = [(levels < 0).astype(np.uint8) if s else None for levels, s in zip((part, w), signed, strict=True)]
        totals.append(count_groups(op, bits, signs[0], weights, signs[1], select).sum(axis=2))
    return np.concatenate(totals)


def _streams(magnitudes: np.ndarray, sources: np.ndarray, length: int) -> np.ndarray:
    """The SNGs' bits, uint8 [rows, lanes, cycles], of magnitudes [rows, lanes]; sources [1 or rows, lanes]."""
    number = {each: k for k, each in enumerate(dict.fromkeys(sources.ravel()))}
    table = np.stack([each.sequence(length) for each in number])
    which = np.array([number[each] for each in sources.ravel()]).reshape(sources.shape)
    maker = next(iter(number))  # the lanes of an operand differ in their sources only
    made = np.empty((*magnitudes.shape, length), dtype=np.uint8)
    for row, levels in enumerate(magnitudes):
        made[row] = maker.compare(levels[:, None], table[which[row % len(which)]])
    return made
