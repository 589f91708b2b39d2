"""OR and MUX adders on packed streams: the counts of `sccc.grouping.count_groups`, 64 cycles at a time."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import BitTable, pack
from sccc.backends.simulator.randoms import Numbers
from sccc.backends.simulator.render import to_words
from sccc.backends.simulator.streams import StreamValue, reference_bits
from sccc.grouping import count_groups, line_exprs, line_weight
from sccc.ir import Operation
from sccc.ops.adders import chosen_place, groups_of, inputs_of

WORD = 64

PLACES = {
    "x": "x[s, lane, k]",
    "w": "w[j, lane, k]",
    "xs": "xs[s, lane]",
    "ws": "ws[j, lane]",
    "chosen": "chosen[i, k]",
}


def group_counter(op: Operation, kernels: bool) -> Callable[[StreamValue, StreamValue, Numbers | None], np.ndarray]:
    """What counts the groups of an op: of x [samples, lanes], constant w and select, int64 [samples, outputs, cycles]."""
    groups, weight = groups_of(op), line_weight(op)
    module = _kernel(op) if kernels else None

    def run(x: StreamValue, w: StreamValue, select: Numbers | None) -> np.ndarray:
        cycles = x.type.length
        numbers = None if select is None else select.take(np.zeros(1, dtype=np.int64), cycles)[0]
        if module is None:
            bits, constant = reference_bits(x), reference_bits(w)
            w_signs = None if constant.signs is None else constant.signs[0]
            return count_groups(op, bits.bits, bits.signs, constant.bits[0], w_signs, numbers)
        named = np.zeros(cycles) if numbers is None else chosen_place(op, numbers)
        chosen = BitTable(pack(np.arange(inputs_of(op))[:, None] == named), cycles).words
        outputs = w.type.shape[0]
        weights, ws = (made.reshape(outputs, -1, *made.shape[2:]) for made in _words(w))
        data, xs = _words(x)
        counts = np.zeros((x.samples, len(groups), cycles), dtype=np.int64)
        module.count(groups, data, xs, weights, ws, chosen, weight, counts)
        return counts

    return run


def _words(stream: StreamValue) -> tuple[np.ndarray, np.ndarray]:
    """Bits uint64 [samples, lanes, words], and signs [samples, lanes], each a word of 64 equal bits."""
    index, table = stream.table()
    if stream.signs is None:
        return table.words[index], np.zeros(index.shape, np.uint64)
    return table.words[index], np.where(stream.signs.reshape(index.shape) == 1, ~np.uint64(0), np.uint64(0))


def _kernel(op: Operation) -> ModuleType:
    up, down = (to_words(expr, PLACES) for expr in line_exprs(op))
    code = Code()
    code.add(0, KERNEL, "def count(groups, x, xs, w, ws, chosen, weight, counts):")
    code.add(1, "for s in range(x.shape[0]):")
    code.add(2, "for j in range(groups.shape[0]):")
    code.add(3, "for g in range(groups.shape[1]):")
    code.add(4, "for k in range(x.shape[2]):")
    code.add(5, "up, down = ZERO, ZERO")
    code.add(5, "for i in range(groups.shape[2]):")
    code.add(6, "lane = groups[j, g, i]", "if lane < 0:")
    code.add(7, "continue")
    code.add(6, f"up |= {up}", f"down |= {down}")
    code.add(5, "if up | down:")
    code.add(6, f"first = {WORD} * k", f"for t in range(min({WORD}, counts.shape[2] - first)):")
    code.add(7, "bit = np.uint64(t)", "counts[s, j, first + t] += weight * (")
    code.add(8, "np.int64((up >> bit) & np.uint64(1)) - np.int64((down >> bit) & np.uint64(1)))")
    return load(str(code))
