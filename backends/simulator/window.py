"""State machines on sums of products, cycle by cycle: 64 samples side by side, one population count per 64 lanes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, Code, load
from sccc.backends.simulator.layouts import Scratch, pack_lanes, sign_blocks, up
from sccc.backends.simulator.products import Plan, at_zero, pop_last, reads
from sccc.backends.simulator.render import to_python, to_words
from sccc.backends.simulator.streams import StreamValue
from sccc.cells import Fsm
from sccc.expr import Expr, Var

CHUNK = 16
"""Words of lanes unrolled in one loop over samples."""

NO_SIGNS = np.zeros((1, 1, 1), dtype=np.uint64)


def window_source(plan: Plan, fsm: Fsm, count: str, parameters: tuple[str, ...], words: int, size: int) -> str:
    """`window(X, XS, W, WS, OFF, P, STATE, OUT)` for blocks of K = `words` words and B = `size` samples.

    X uint64 [Q, cycles, K, B], XS [Q, K, B], W [cycles, m, K], WS [m, K]; OFF int [cycles, m] is added to each sum; P
    int64 [parameters, m]; STATE int [Q, m, B] is the first state on entry, the last one on return; OUT uint64 [Q,
    cycles, ceil(m/64), B] is the output stream. `count` is what the machine's expressions call the sum.
    """
    code = Code()
    code.add(0, KERNEL, "def window(X, XS, W, WS, OFF, P, STATE, OUT):")
    code.add(1, "cycles, outputs = OFF.shape", "for q in range(STATE.shape[0]):")
    code.add(2, "states = STATE[q].reshape(-1)")
    _add_sign_counts(code, plan, words, size)
    code.add(2, "for t in range(cycles):")
    if fsm.out is not None:
        code.add(3, "out = OUT[q, t].reshape(-1)", "out[:] = ZERO")
    _add_cycle(code, plan, words, size)
    code.add(4, *(f"p_{name} = P[{i}, j]" for i, name in enumerate(parameters)))
    if fsm.out is not None:
        code.add(4, f"row = (j >> 6) * {size}", "shift = np.uint64(j & 63)")
    _add_sum(code, plan, words, size)
    _add_machine(code, fsm, count, parameters)
    return str(code)


def counts_source(plan: Plan, words: int, size: int) -> str:
    """`counts(X, XS, W, WS, OFF, OUT)`: the sums themselves, OUT int [Q, cycles, m, B]; all else as in `window_source`."""
    code = Code()
    code.add(0, KERNEL, "def counts(X, XS, W, WS, OFF, OUT):")
    code.add(1, "cycles, outputs = OFF.shape", "for q in range(OUT.shape[0]):")
    _add_sign_counts(code, plan, words, size)
    code.add(2, "for t in range(cycles):", "    out = OUT[q, t].reshape(-1)")
    _add_cycle(code, plan, words, size)
    _add_sum(code, plan, words, size)
    code.add(5, "out[place + b] = total")
    return str(code)


def _add_sign_counts(code: Code, plan: Plan, words: int, size: int) -> None:
    """Once per window: room for partial sums, and pop(neg) of signs that depend on the sample."""
    code.add(2, f"sums = np.zeros({size}, np.int64)")
    if not plan.data_signs:
        return
    term = to_words(plan.product.neg, {"xs": "XS[q, k, b]", "ws": "WS[j, k]"})
    code.add(2, f"signs = np.zeros(outputs * {size}, np.int64)", "for j in range(outputs):")
    code.add(3, f"for k in range({words}):")
    code.add(4, f"for b in range({size}):")
    code.add(5, f"signs[j * {size} + b] += np.int64(pop({term}))")


def _add_cycle(code: Code, plan: Plan, words: int, size: int) -> None:
    """Once per cycle: views of the operands, and pop(bit) where it is the same for all outputs; then the loop over these."""
    used = reads(plan.core, plan.product.bit)
    if "x" in used:
        code.add(3, "x = X[q, t].reshape(-1)")
    if "xs" in used:
        code.add(3, "xs = XS[q].reshape(-1)")
    if plan.form == "data":
        term = to_words(plan.product.bit, {"x": f"x[k * {size} + b]", "xs": f"xs[k * {size} + b]"})
        code.add(3, f"data = np.zeros({size}, np.int64)", f"for k in range({words}):")
        code.add(4, f"for b in range({size}):")
        code.add(5, f"data[b] += np.int64(pop({term}))")
    code.add(3, "for j in range(outputs):")
    code.add(4, "offset = np.int64(OFF[t, j])", f"place = j * {size}")


def _add_sum(code: Code, plan: Plan, words: int, size: int) -> None:
    """The sum of products of one output, chunk by chunk; the last loop over samples stays open, with `total`."""
    bounds = [*range(0, words, CHUNK), words]
    if len(bounds) > 2 and words - bounds[-2] < CHUNK // 2:  # balance the last two chunks
        bounds[-2] = (bounds[-3] + words + 1) // 2
    for low, high in pairwise(bounds):
        chunk = range(low, high)
        for name, text in (("w", "W[t, j, {k}]"), ("ws", "WS[j, {k}]")):
            if name in reads(plan.core, plan.product.bit):
                code.add(4, *(f"{name}{k} = {text.format(k=k)}" for k in chunk))
        code.add(4, f"for b in range({size}):")
        code.add(5, f"a = np.int64({_pops(plan.core, chunk, size)})")
        if plan.scale != 1:
            code.add(5, f"a = a * {plan.scale}")
        if plan.form == "both":
            code.add(5, f"a += np.int64({_pops(plan.product.bit, chunk, size)})")
        if low:
            code.add(5, "a += sums[b]")
        if high < words:
            code.add(5, "sums[b] = a")
    per_sample = (" + data[b]" if plan.form == "data" else "") + (" - signs[place + b]" if plan.data_signs else "")
    code.add(5, f"total = a + offset{per_sample}")


def _pops(expression: Expr, chunk: range, size: int) -> str:
    """Population counts of an expression over a chunk of words, added up."""
    terms = []
    for k in chunk:
        places = {"x": f"x[{k * size} + b]", "xs": f"xs[{k * size} + b]", "w": f"w{k}", "ws": f"ws{k}"}
        terms.append(f"pop({to_words(expression, places)})")
    return " + ".join(terms)


def _add_machine(code: Code, fsm: Fsm, count: str, parameters: tuple[str, ...]) -> None:
    """One step of the state machine, within the loop over samples."""
    names = {count: Var("total"), **{name: Var(f"p_{name}") for name in parameters}}

    def text(expression: Expr) -> str:
        return to_python(expression.substitute(names))

    code.add(5, "state = np.int64(states[place + b])")
    code.add(5, f"step = {text(fsm.step)}", f"state = {text(fsm.next)}", "states[place + b] = state")
    if fsm.out is not None:
        code.add(5, f"out[row + b] |= np.uint64({text(fsm.out)}) << shift")


@dataclass(frozen=True)
class WeightBlocks:
    """Weights w [m, n] ready for a window kernel: blocks, packed signs, and what is added to each sum."""

    plan: Plan
    lanes: int
    w: np.ndarray
    ws: np.ndarray
    extra: np.ndarray
    offset: np.ndarray

    def with_bits(self, w: np.ndarray) -> WeightBlocks:
        """The same signs with other bits (after flips)."""
        changed = replace(self, w=w)
        return replace(changed, offset=_offset(changed)) if self.plan.form == "weight" else changed


def weight_blocks(plan: Plan, stream: StreamValue, extra: np.ndarray, scratch: Scratch, key: object) -> WeightBlocks:
    """A constant stream [1, m, n] as weights; extra: int64 [cycles, m], added to each sum (a bias)."""
    outputs, lanes = stream.type.shape
    signs = np.zeros((outputs, lanes), np.uint8) if stream.signs is None else stream.signs[0]
    w = stream.weight_blocks(scratch, key)
    made = WeightBlocks(plan, lanes, w, pack_lanes(signs)[:outputs], extra, np.zeros(0))
    return replace(made, offset=_offset(made))


def _offset(weights: WeightBlocks) -> np.ndarray:
    """What no sample changes, int [cycles, m]: the bias, padding, and popcounts of weights alone."""
    plan, product = weights.plan, weights.plan.product
    cycles, outputs, words = weights.w.shape
    padding = words * 64 - weights.lanes
    offset = weights.extra - plan.scale * padding * at_zero(plan.core)
    if plan.data_signs:
        offset = offset + padding * at_zero(product.neg)
    elif plan.form == "static":
        offset = offset - pop_last(product.neg, {"ws": weights.ws}, (outputs, words), padding)
    elif plan.form == "weight":
        known = {"w": weights.w, "ws": weights.ws[None]}
        offset = offset + pop_last(product.bit, known, weights.w.shape, padding)
    else:
        offset = offset - padding * at_zero(product.bit)
    offset = np.broadcast_to(offset, (cycles, outputs))
    narrow = offset.size == 0 or max(-int(offset.min()), int(offset.max())) < 1 << 30
    return np.ascontiguousarray(offset, dtype=np.int32 if narrow else np.int64)


class Machine:
    """State machines, one per output, that read sums of products with constant weights."""

    def __init__(self, plan: Plan, fsm: Fsm, count: str, parameters: dict[str, np.ndarray], outputs: int) -> None:
        self.plan, self.fsm, self.count, self.outputs = plan, fsm, count, outputs
        read = (
            fsm.step.variables() | fsm.next.variables() | (fsm.out.variables() if fsm.out is not None else frozenset())
        )
        self.names = tuple(sorted(read & set(parameters)))
        spread = {k: np.broadcast_to(np.asarray(v, dtype=np.int64), (outputs,)) for k, v in parameters.items()}
        self.parameters = np.zeros((max(1, len(self.names)), outputs), dtype=np.int64)
        for i, name in enumerate(self.names):
            self.parameters[i] = spread[name]
        self.initial = np.broadcast_to(np.asarray(fsm.initial.evaluate(spread), dtype=np.int64), (outputs,))
        bounds = [np.asarray(b.evaluate(spread)) for b in (fsm.lowest, fsm.highest)]
        narrow = max(-int(bounds[0].min()), int(bounds[1].max()), int(np.abs(self.initial).max())) < 1 << 31
        self.state_type = np.int32 if narrow else np.int64
        self._kernels: dict[tuple[int, int], object] = {}

    def run(self, x: np.ndarray, signs: np.ndarray | None, weights: WeightBlocks) -> tuple[np.ndarray, np.ndarray]:
        """Last states int [Q, m, B] and output blocks. x: blocks; signs: uint8 [samples, n] of signed data."""
        groups, cycles, words, size = x.shape
        xs = NO_SIGNS if signs is None else sign_blocks(signs, size)
        state = np.empty((groups, self.outputs, size), dtype=self.state_type)
        state[:] = self.initial[None, :, None]
        shape = (groups, cycles, up(self.outputs, 64) // 64, size) if self.fsm.out is not None else (1, 1, 1, 1)
        out = np.empty(shape, dtype=np.uint64)
        self._kernel(words, size)(x, xs, weights.w, weights.ws, weights.offset, self.parameters, state, out)  # type: ignore[operator]
        return state, out

    def _kernel(self, words: int, size: int) -> object:
        if (words, size) not in self._kernels:
            source = window_source(self.plan, self.fsm, self.count, self.names, words, size)
            self._kernels[words, size] = load(source).window
        return self._kernels[words, size]


class Counter:
    """Sums of products with constant weights, in every cycle."""

    def __init__(self, plan: Plan, narrow: bool) -> None:
        self.plan = plan
        self.result_type = np.int32 if narrow else np.int64
        self._kernels: dict[tuple[int, int], object] = {}

    def run(self, x: np.ndarray, signs: np.ndarray | None, weights: WeightBlocks, samples: int) -> np.ndarray:
        """Counts int [samples, m, cycles]. x: blocks; signs: uint8 [samples, n] of signed data."""
        groups, cycles, words, size = x.shape
        outputs = weights.w.shape[1]
        if (words, size) not in self._kernels:
            self._kernels[words, size] = load(counts_source(self.plan, words, size)).counts
        xs = NO_SIGNS if signs is None else sign_blocks(signs, size)
        out = np.empty((groups, cycles, outputs, size), dtype=self.result_type)
        self._kernels[words, size](x, xs, weights.w, weights.ws, weights.offset, out)  # type: ignore[operator]
        return np.ascontiguousarray(out.transpose(0, 3, 2, 1)).reshape(groups * size, outputs, cycles)[:samples]


def last_states(state: np.ndarray, samples: int) -> np.ndarray:
    """States [Q, m, B] as int64 [samples, m]."""
    groups, outputs, size = state.shape
    return state.transpose(0, 2, 1).reshape(groups * size, outputs)[:samples].astype(np.int64)
