"""What flipped bits of registers and numbers do, on top of results that are computed without them, and what cannot flip."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sccc.backends.simulator.flips import (
    PRODUCT,
    STATE,
    FlipSource,
    W,
    X,
    flipped_bits_of_words,
    wrapped,
)
from sccc.cells import Fsm, GroupCell, MultiplyAdd, Race
from sccc.diagnostics import SccError
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.fixed import number_range
from sccc.types import Encoding, Level, Total, signed_width


def check_faults(module: Module, flips: FlipSource) -> None:
    """Refuse kinds of flips that an op cannot have. Raises SccError."""
    for number, op in enumerate(module.ops):
        cell = REGISTRY[op.name].cell
        if isinstance(cell, GroupCell) and flips.touches(number, X, W, PRODUCT):
            raise SccError("OR and MUX adders cannot have flips", op.place(), "use --adder apc, or flip states")
        if isinstance(cell, MultiplyAdd) and flips.rate > 0 and "product" in flips.kinds:
            raise SccError(
                "numbers have no product streams whose bits could flip", op.place(), "flip operands or states"
            )
        if op.name == "sc.level" and _is_register(op.operands[0].op) and _register_flips(module, op, flips):
            raise SccError(
                "a flipped sum may be no level", op.place(), "limit it by sc.rescale, as the default pipeline does"
            )


def _is_register(op: Operation | None) -> bool:
    return op is not None and isinstance(REGISTRY[op.name].cell, Fsm | MultiplyAdd | Race)


def _register_flips(module: Module, op: Operation, flips: FlipSource) -> bool:
    maker = op.operands[0].op
    assert maker is not None
    return flips.touches(module.ops.index(maker), STATE)


# -- registers and numbers --------------------------------------------------------------------------------------------


def state_width(op: Operation) -> int:
    """Bits of the register of one lane of a sum, a state machine, or a dot product of numbers."""
    definition = REGISTRY[op.name]
    assert op.result is not None
    if isinstance(definition.cell, MultiplyAdd):
        assert isinstance(op.result.type, Total)
        return signed_width(op.result.type.lo, op.result.type.hi)
    machine = definition.cell.sum if isinstance(definition.cell, Race) else definition.cell
    assert isinstance(machine, Fsm)
    values = definition.parameters(op)
    lowest, highest = (np.asarray(e.evaluate(values)) for e in (machine.lowest, machine.highest))
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
    """What `reference.run_fsm` and `reference.race` do to the states after each cycle."""
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
