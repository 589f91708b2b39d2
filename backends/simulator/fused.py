"""Patterns of operations that one kernel computes: a dot product with the state machine that reads its count.

A sum over the window (a machine whose state only adds the count up) takes the kernel of `taps`, and that of `totals` where each
sample has weights of its own because bits flip, unless it reads streams that a window kernel has made; any other machine, also
behind an `sc.offset`, takes the window kernel. A count that is traced or that others read has a kernel of its own, and its machine
goes through the reference functions, as does all with weights that are not constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.backends.simulator import layouts
from sccc.backends.simulator.convolution import WindowSums
from sccc.backends.simulator.flips import PRODUCT, STATE, FlipSource, W, X, flip_packed
from sccc.backends.simulator.layouts import BitTable
from sccc.backends.simulator.products import Plan
from sccc.backends.simulator.render import to_python
from sccc.backends.simulator.steps import Batch, Builder, Step, evaluate_comb, product_flips, result_type
from sccc.backends.simulator.streams import BlockStream, StreamValue, TableStream, fresh_key
from sccc.backends.simulator.totals import weight_rows, window_totals
from sccc.backends.simulator.window import Counter, Machine, last_states, weight_blocks
from sccc.cells import Comb, CountCell, Fsm
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import has_multiplier, product_of
from sccc.ops.geometry import geometry_of
from sccc.types import Count, Stream, Total


@dataclass(frozen=True)
class Pattern:
    """dot -> (offset ->) machine."""

    dot: Operation
    offset: Operation | None
    machine: Operation

    @property
    def absorbed(self) -> list[Operation]:
        return [self.dot] if self.offset is None else [self.dot, self.offset]


def find_patterns(module: Module, static: set[Value], traced: set[Value]) -> list[Pattern]:
    """The patterns of a module that kernels can compute."""
    uses = module.uses()
    found = []
    for op in module:
        if not isinstance(REGISTRY[op.name].cell, Fsm) or op.result in static:
            continue
        chain = _chain(op, static)
        if chain is None:
            continue
        pattern = Pattern(chain[-1], chain[0] if len(chain) == 2 else None, op)
        inner = [part.result for part in chain]
        private = all(len(uses[v]) == 1 and v not in traced for v in inner if v is not None)
        x, w = pattern.dot.operands
        if private and w in static and x not in static and (_is_dense(pattern.dot) or _sums_up(pattern)):
            found.append(pattern)
    return found


def flips_inside(pattern: Pattern, flips: FlipSource, number: Mapping[Operation, int]) -> bool:
    """Whether bits flip between the operands and the machine's result, where a kernel would not see them."""
    products = _is_dense(pattern.dot) and flips.touches(number[pattern.dot], PRODUCT)
    return products or flips.touches(number[pattern.machine], STATE)


def _is_dense(dot: Operation) -> bool:
    return geometry_of(dot).window is None


def _sums_up(pattern: Pattern) -> bool:
    """Whether nothing but the sum over the window is wanted: all that there is a kernel for behind a convolution."""
    cell = REGISTRY[pattern.machine.name].cell
    return pattern.offset is None and isinstance(cell, Fsm) and only_adds(pattern.machine, cell)


def _chain(machine: Operation, static: set[Value]) -> list[Operation] | None:
    """The operations between a machine and a dot product, that one last; None when they are other ones."""
    above = machine.operands[0].op
    assert above is not None
    if isinstance(REGISTRY[above.name].cell, CountCell):
        return [above]
    if isinstance(REGISTRY[above.name].cell, Comb) and above.operands and all(v in static for v in above.operands[1:]):
        dot = above.operands[0].op
        if dot is not None and isinstance(REGISTRY[dot.name].cell, CountCell) and _adds_constant(above):
            return [above, dot]
    return None


def _adds_constant(offset: Operation) -> bool:
    """Whether an operation adds something to its count that does not depend on the count: equal differences say so."""
    cell, definition = REGISTRY[offset.name].cell, REGISTRY[offset.name]
    assert isinstance(cell, Comb)
    name = definition.operands[0]
    others = sorted(cell.result.variables() - {name})
    for case in range(1 << min(len(others), 10)):
        env = {variable: case >> i & 1 for i, variable in enumerate(others)}
        made = [int(cell.result.evaluate({**env, name: count})) for count in (-7, 0, 5, 12)]
        if [value - made[0] for value in made] != [0, 7, 12, 19]:
            return False
    return True


def fused_step(builder: Builder, pattern: Pattern) -> Step:
    """The step that computes a pattern. Its constant operands must be in `builder.static`."""
    cell = REGISTRY[pattern.machine.name].cell
    assert isinstance(cell, Fsm)
    if not _is_dense(pattern.dot) or (only_adds(pattern.machine, cell) and not _follows_machine(pattern)):
        run = _sum_step(builder, pattern)
    else:
        run = _machine_step(builder, pattern, cell)
    x = pattern.dot.operands[0]
    kind = result_type(pattern.machine)
    out = 0.2 * kind.lanes * kind.length if isinstance(kind, Stream) else 0.0
    assert isinstance(x.type, Stream)
    return Step(pattern.machine, run, [x], 0.3 * x.type.lanes * x.type.length + out + 40.0 * kind.lanes)


def _follows_machine(pattern: Pattern) -> bool:
    """Whether the data are a machine's streams: they lie in blocks, as window kernels read them, and not in rows."""
    maker = pattern.dot.operands[0].op
    return maker is not None and isinstance(REGISTRY[maker.name].cell, Fsm)


def count_step(builder: Builder, dot: Operation) -> Step:
    """The step of a dot product with constant weights whose count is wanted itself, in every cycle."""
    assert dot.result is not None and isinstance(dot.result.type, Count)
    kind, key = dot.result.type, fresh_key()
    plan = Plan(product_of(dot))
    w = builder.static[dot.operands[1]]
    weights = weight_blocks(plan, w, np.zeros((1, 1), dtype=np.int64), layouts.Scratch(), key)
    counter = Counter(plan, kind.lo >= -(1 << 31) and kind.hi < (1 << 31))
    flipper = make_flipper(builder, dot, w)

    products = product_flips(builder, dot)

    def run(batch: Batch) -> np.ndarray:
        x, scratch = builder.value(batch, dot.operands[0]), batch.scratch
        if flipper is None:
            made = x.blocks(layouts.block_size(batch.samples), scratch, (key, "x"))
            counts = counter.run(made, x.signs, weights, x.samples)
            if products is not None:
                counts = np.array(np.broadcast_to(counts, (batch.samples, *counts.shape[1:])))
                for s in range(batch.samples):
                    products.apply(counts[s], x, w, s if x.samples > 1 else 0, batch.first + s)
            return counts
        parts = []
        for s in range(batch.samples):
            data, flipped = flipper.sample(x, batch, s)
            changed = weights.with_bits(flipped.weight_blocks(scratch, (key, "flipped")))
            parts.append(counter.run(data.blocks(1, scratch, (key, "x")), data.signs, changed, 1))
            if products is not None:
                products.apply(parts[-1][0], data, flipped, 0, batch.first + s)
        return np.concatenate(parts)

    x = dot.operands[0].type
    return Step(dot, run, [dot.operands[0]], (0.3 * x.lanes + 16.0 * kind.lanes) * kind.length)


def takes_count_step(dot: Operation, static: Mapping[Value, Any]) -> bool:
    """Whether an operation is a dot product of varying data with constant weights."""
    if not isinstance(REGISTRY[dot.name].cell, CountCell) or not _is_dense(dot):
        return False
    x, w = dot.operands
    return w in static and x not in static


def only_adds(op: Operation, cell: Fsm) -> bool:
    """Whether a machine is the sum of its count over the window."""
    count = REGISTRY[op.name].operands[0]
    sums = (f"(state + {count})", f"({count} + state)")
    following = cell.next.substitute({"step": cell.step})
    return cell.out is None and to_python(following) in sums


def _extra(builder: Builder, pattern: Pattern) -> np.ndarray:
    """What an offset adds in each cycle, int64 [cycles, m]; zeros [1, 1] without one."""
    op = pattern.offset
    if op is None or op.result is None:
        return np.zeros((1, 1), dtype=np.int64)
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Comb)
    x = pattern.dot.operands[0].type
    assert isinstance(x, Stream)
    nothing = np.zeros((1, op.result.type.lanes, x.length), dtype=np.int64)
    operands = [nothing, *(builder.static[v] for v in op.operands[1:])]
    return np.ascontiguousarray(np.broadcast_to(evaluate_comb(op, cell.result, operands), nothing.shape)[0].T)


def _sum_step(builder: Builder, pattern: Pattern) -> Callable[[Batch], Any]:
    """The sum over the window; where operands flip, each sample has weights of its own."""
    dot, op = pattern.dot, pattern.machine
    cell, kind = REGISTRY[op.name].cell, result_type(op)
    assert isinstance(cell, Fsm) and isinstance(kind, Total)
    plan, key, geometry = Plan(product_of(dot)), fresh_key(), geometry_of(dot)
    w = builder.static[dot.operands[1]]
    extra = _extra(builder, pattern)
    start = np.asarray(cell.initial.evaluate(REGISTRY[op.name].parameters(op)), dtype=np.int64)
    start = start + extra.sum(axis=0) * (w.type.length // len(extra))
    flipper, products = make_flipper(builder, dot, w), product_flips(builder, dot)
    if flipper is None and products is None:
        layer = WindowSums(plan, geometry, w, start, kind, key)
        return lambda batch: layer.run(builder.value(batch, dot.operands[0]), batch.scratch)
    return _flipped_sums(builder, pattern, flipper, start)


def _flipped_sums(
    builder: Builder, pattern: Pattern, flipper: Flipper | None, start: np.ndarray
) -> Callable[[Batch], np.ndarray]:
    dot, kind = pattern.dot, result_type(pattern.machine)
    plan, key, geometry = Plan(product_of(dot)), fresh_key(), geometry_of(dot)
    assert isinstance(kind, Total)
    w, products = builder.static[dot.operands[1]], product_flips(builder, dot)
    weights = weight_rows(plan, w, layouts.Scratch(), key) if _is_dense(dot) else None
    unflipped = WindowSums(plan, geometry, w, start, kind, key) if flipper is None else None

    def totals(data: StreamValue, flipped: StreamValue, scratch: layouts.Scratch) -> np.ndarray:
        if weights is None:
            return np.array(WindowSums(plan, geometry, flipped, start, kind, key).run(data, scratch))
        changed = weights.with_bits(flipped.rows(scratch, (key, "flipped")))
        return window_totals(data.rows(scratch, (key, "x")), data.signs, changed, scratch, key)[:1] + start

    def run(batch: Batch) -> np.ndarray:
        x = builder.value(batch, dot.operands[0])
        if flipper is not None:
            sides = (flipper.sample(x, batch, s) for s in range(batch.samples))
            parts = []
            for s, side in enumerate(sides):
                parts.append(totals(*side, batch.scratch))
                if products is not None:
                    products.apply(parts[-1][0][..., None], *side, 0, batch.first + s)
            return np.concatenate(parts)
        assert unflipped is not None and products is not None
        made = unflipped.run(x, batch.scratch)
        made = np.array(np.broadcast_to(made, (batch.samples, *made.shape[1:])))
        for s in range(batch.samples):
            products.apply(made[s][..., None], x, w, s if x.samples > 1 else 0, batch.first + s)
        return made

    return run


def _machine_step(builder: Builder, pattern: Pattern, cell: Fsm) -> Callable[[Batch], Any]:
    dot, op = pattern.dot, pattern.machine
    definition, kind = REGISTRY[op.name], result_type(op)
    plan, key = Plan(product_of(dot)), fresh_key()
    w = builder.static[dot.operands[1]]
    weights = weight_blocks(plan, w, _extra(builder, pattern), layouts.Scratch(), key)
    machine = Machine(plan, cell, definition.operands[0], definition.parameters(op), kind.lanes)
    flipper = make_flipper(builder, dot, w)

    def run(batch: Batch) -> Any:
        x = builder.value(batch, dot.operands[0])
        scratch = batch.scratch
        if flipper is None:
            size = layouts.block_size(batch.samples)
            state, out = machine.run(x.blocks(size, scratch, (key, "x")), x.signs, weights)
        else:
            states, outs = [], []
            for s in range(batch.samples):
                data, flipped = flipper.sample(x, batch, s)
                changed = weights.with_bits(flipped.weight_blocks(scratch, (key, "flipped")))
                last, bits = machine.run(data.blocks(1, scratch, (key, "x")), data.signs, changed)
                states.append(last)
                outs.append(bits)
            state, out = np.concatenate(states), np.concatenate(outs)
        return BlockStream(kind, out, batch.samples) if isinstance(kind, Stream) else last_states(state, batch.samples)

    return run


def make_flipper(builder: Builder, dot: Operation, w: StreamValue) -> Flipper | None:
    """What flips the operands of a dot product; None where nothing may."""
    flips = builder.flips
    return None if flips is None or not flips.touches(builder.number[dot], X, W) else Flipper(builder, dot, w)


class Flipper:
    """Makes the flipped operands of a dot product with constant weights, sample by sample."""

    def __init__(self, builder: Builder, dot: Operation, w: StreamValue) -> None:
        assert builder.flips is not None
        self.flips, self.number, self.w = builder.flips, builder.number[dot], w
        index, table = w.table()
        self.packed = table.packed[index[0]]
        self.nothing = ~has_multiplier(dot).reshape(-1)

    def sample(self, x: StreamValue, batch: Batch, s: int) -> tuple[StreamValue, StreamValue]:
        """x and w for sample s of a batch, with their flips."""
        bits, signs = x.sample(s)
        data = self._flipped(x.type, layouts.pack(bits), signs, batch.first + s, 0)
        return data, self._flipped(self.w.type, self.packed, self.w.signs, batch.first + s, 1, self.nothing)

    def _flipped(
        self,
        kind: Stream,
        packed: np.ndarray,
        signs: np.ndarray | None,
        sample: int,
        side: int,
        nothing: np.ndarray | None = None,
    ) -> StreamValue:
        drawn = self.flips.draw(sample, self.number, side, kind.lanes, kind.length)
        changed = flip_packed(packed, kind.length, drawn)
        if nothing is not None:
            changed[nothing] = packed[nothing]
        table = BitTable(changed, kind.length)
        return TableStream(kind, np.arange(kind.lanes)[None], table, signs)
