"""What flipped bits of products, registers and numbers do, on top of results that are computed without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sccc.backends.simulator.flips import (
    PRODUCT,
    STATE,
    FlipSource,
    W,
    X,
    flip_positions,
    flipped_bits_of_words,
    wrapped,
)
from sccc.backends.simulator.layouts import BitTable
from sccc.backends.simulator.streams import StreamValue
from sccc.cells import Fsm, GroupCell, MultiplyAdd, Race
from sccc.diagnostics import SccError
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS, carries_sign, has_multiplier, product_of
from sccc.ops.fixed import number_range
from sccc.ops.geometry import geometry_of
from sccc.types import Encoding, Level, Total, signed_width


def check_faults(module: Module, flips: FlipSource) -> None:
    """Refuse kinds of flips that an op cannot have. Raises SccError."""
    for number, op in enumerate(module.ops):
        cell = REGISTRY[op.name].cell
        if op.name in PRODUCT_SUMS and flips.touches(number, PRODUCT) and geometry_of(op).window is not None:
            raise SccError("products of a convolution cannot flip", op.place(), "flip operands or states")
        if isinstance(cell, GroupCell) and flips.touches(number, X, W, PRODUCT):
            raise SccError("OR and MUX adders cannot have flips", op.place(), "use --adder apc, or flip states")
        if isinstance(cell, MultiplyAdd):
            if geometry_of(op).window is not None and flips.touches(number, X, STATE):
                raise SccError("a convolution of numbers cannot have flips", op.place(), "leave out --flip-rate")
            if flips.rate > 0 and "product" in flips.kinds:
                raise SccError(
                    "numbers have no product streams whose bits could flip", op.place(), "flip operands or states"
                )
        if isinstance(cell, Race) and flips.touches(number, STATE):
            raise SccError("sums that stop early cannot have flips in their states", op.place(), "flip operands")
        if op.name == "sc.level" and _is_register(op.operands[0].op) and _register_flips(module, op, flips):
            raise SccError(
                "a flipped sum may be no level", op.place(), "limit it by sc.rescale, as the default pipeline does"
            )


def _is_register(op: Operation | None) -> bool:
    return op is not None and isinstance(REGISTRY[op.name].cell, Fsm | MultiplyAdd)


def _register_flips(module: Module, op: Operation, flips: FlipSource) -> bool:
    maker = op.operands[0].op
    assert maker is not None
    return flips.touches(module.ops.index(maker), STATE)


# -- products ---------------------------------------------------------------------------------------------------------


class ProductFlips:
    """Adds to the counts of a dot product what flips of its products change."""

    def __init__(self, flips: FlipSource, op: Operation, number: int) -> None:
        self.flips, self.number, self.product = flips, number, product_of(op)
        self.outputs, self.inputs = op.operands[1].type.shape
        self.exists = has_multiplier(op).reshape(-1)

    def apply(self, counts: np.ndarray, x: StreamValue, w: StreamValue, row: int, sample: int) -> None:
        """Change counts int [m, cycles] of one sample of the data, which is row `row` of x and w."""
        cycles = counts.shape[1]
        drawn = self.flips.draw(sample, self.number, PRODUCT, self.outputs * self.inputs, cycles)
        for lane, cycle in flip_positions(drawn, cycles, joined=bool(self.flips.sites)):
            kept = self.exists[lane]
            self._change(counts, x, w, row, lane[kept], cycle[kept])

    def _change(
        self, counts: np.ndarray, x: StreamValue, w: StreamValue, row: int, lane: np.ndarray, cycle: np.ndarray
    ) -> None:
        output, i = np.divmod(lane, self.inputs)
        env = {"x": _bits_at(x, row, i, cycle), "w": _bits_at(w, row, lane, cycle)}
        for name, stream, place in (("xs", x, i), ("ws", w, lane)):
            if stream.signs is not None:
                signs = stream.signs[row if len(stream.signs) > 1 else 0].reshape(-1)
                env[name] = signs[place].astype(np.int64)
        bit, neg = (np.asarray(e.evaluate(env)) & 1 for e in (self.product.bit, self.product.neg))
        before = bit * (1 - 2 * neg)
        after = -before if carries_sign(self.product) else (1 - bit) * (1 - 2 * neg)
        np.add.at(counts, (output, cycle), (after - before).astype(counts.dtype))


def _bits_at(stream: StreamValue, row: int, lane: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    """Bits int64 of single lanes (flat) and cycles."""
    index, table = stream.table()
    entry = index[row if len(index) > 1 else 0][lane]
    return _table_bits(table, entry, cycle)


def _table_bits(table: BitTable, entry: np.ndarray, cycle: np.ndarray) -> np.ndarray:
    return np.asarray(table.packed[entry, cycle >> 3] >> (cycle & 7) & 1, dtype=np.int64)


# -- registers and numbers --------------------------------------------------------------------------------------------


def state_width(op: Operation) -> int:
    """Bits of the register of one lane of a sum, a state machine, or a dot product of numbers."""
    definition = REGISTRY[op.name]
    assert op.result is not None
    if isinstance(definition.cell, MultiplyAdd):
        assert isinstance(op.result.type, Total)
        return signed_width(op.result.type.lo, op.result.type.hi)
    assert isinstance(definition.cell, Fsm)
    values = definition.parameters(op)
    lowest, highest = (np.asarray(e.evaluate(values)) for e in (definition.cell.lowest, definition.cell.highest))
    return signed_width(int(lowest.min()), int(highest.max()))


def state_masks(flips: FlipSource, op: Operation, number: int, first: int, samples: int, cycles: int) -> np.ndarray:
    """What the registers are XORed with after each cycle: int64 [samples, *lanes, cycles]."""
    assert op.result is not None
    lanes, width = op.result.type.lanes, state_width(op)
    made = [
        flipped_bits_of_words(flips.draw(first + s, number, STATE, lanes * width, cycles), lanes, width, cycles)
        for s in range(samples)
    ]
    return np.stack(made).reshape(samples, *op.result.type.shape, cycles)


def disturbance(masks: np.ndarray, width: int) -> Callable[[int, np.ndarray], np.ndarray]:
    """What `reference.run_fsm` does to the states after each cycle."""
    return lambda cycle, states: wrapped(states ^ masks[..., cycle], width)


def flipped_numbers(flips: FlipSource, op: Operation, number: int, first: int, levels: np.ndarray) -> np.ndarray:
    """The numbers int64 [samples, *lanes] that a dot product reads, bits of its operand flipped."""
    kind = op.operands[0].type
    assert isinstance(kind, Level)
    width = kind.bits + (kind.encoding is Encoding.SIGNED)
    lowest, _ = number_range(kind)
    masks = np.stack(list(_number_masks(flips, number, kind.lanes, width, range(first, first + len(levels)))))
    return ((levels - lowest) ^ masks.reshape(levels.shape)) + lowest


def _number_masks(flips: FlipSource, number: int, lanes: int, width: int, samples: range) -> Iterator[np.ndarray]:
    for sample in samples:
        yield flipped_bits_of_words(flips.draw(sample, number, X, lanes * width, 1), lanes, width, 1)
