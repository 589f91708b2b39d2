"""Gates and flip-flops of the modules that folded engines are made of, by their structure; memories are counted as bits, elsewhere.

Each function stands for a module of backends/verilog/folded and counts its registers and what computes their next values.
"""

from __future__ import annotations

import numpy as np

from sccc.cells import Comb, Fold, Memory
from sccc.cost import Cost, op_cost, value_range
from sccc.gates import FULL_ADDER, HALF_ADDER, LOOKAHEAD_ADDER, Logic, adder_gates, sum_bits, sum_gates
from sccc.ir import Operation
from sccc.line_buffer import LineBuffer, Walk
from sccc.ops import REGISTRY
from sccc.types import Encoding, Level, Type, lane_width

COUNTER = HALF_ADDER + 1.5
"""Gates per bit of a counter: a half adder, a gate to begin anew, and half a one to compare with the end."""

CONSTANT_STEP = 3 * HALF_ADDER + 1
"""Gates per bit of adding a constant to an address and wrapping it around: sum, comparison, difference, choice."""

HANDSHAKE = 2
"""Gates of valid and ready around a register."""


def counter(states: int) -> Cost:
    """A register that counts 0 .. states - 1 again and again."""
    bits = states.bit_length() if states > 1 else 0
    return Cost(gates=COUNTER * bits, flipflops=bits)


def stage(width: int) -> Cost:
    """A register in a stream."""
    return Cost(gates=HANDSHAKE, flipflops=width + 1)


def fork(readers: int) -> Cost:
    """A stream with several readers: who has taken the present transfer."""
    return Cost(gates=4 * readers, flipflops=readers) if readers > 1 else Cost()


def fifo(depth: int, width: int) -> Cost:
    """Addresses of a memory, the number of transfers in it, and the register behind it."""
    bits = depth.bit_length()
    return counter(depth).times(2) + Cost(gates=3 * COUNTER * bits, flipflops=bits) + stage(width)


def collect(beats: int, width: int) -> Cost:
    """The result's register, each part with an enable of its own."""
    return counter(beats) + Cost(gates=2 * beats, flipflops=beats * width + 1)


def taps(words: int, width: int) -> Cost:
    """Levels that are multiplied, and those of the next step: two registers, an enable for each word of the second."""
    return Cost(gates=2 * words + width, flipflops=2 * words * width)


def control(length: int, steps: int, uses: int) -> Cost:
    """When multipliers work: the cycle of the window, windows of a group and of a step, and what follows from them."""
    return counter(length - 1) + counter(steps) + counter(uses) + Cost(gates=4, flipflops=2)


def accumulators(lanes: int, width: int) -> Cost:
    """An adder, and the choice of the start value, for each total."""
    return Cost(gates=lanes * (adder_gates(width) + width), flipflops=lanes * width)


def results(lanes: int, width: int, beat: int) -> Cost:
    """Totals that leave one after the other: a shift register that is loaded at once."""
    shifted = lanes * width if lanes > beat else 0
    return Cost(gates=HANDSHAKE + shifted, flipflops=lanes * width) + counter(lanes // beat + 1)


def counts(outputs: int, lanes: int, negative: bool, product: int) -> Cost:
    """Products of `product` gates each; the ones of them, and twice the negative ones less, of so many lanes for each output."""
    ones = sum_gates([lanes])
    if not negative:
        return Cost(gates=outputs * (product * lanes + ones))
    difference = HALF_ADDER + adder_gates(sum_bits([lanes]))
    return Cost(gates=outputs * ((product + 1) * lanes + 2 * ones + difference))


def multiplier(a: int, b: int) -> float:
    """Gates of multiplying two numbers of so many bits: a gate for each pair of bits, and an adder for all rows but one."""
    return a * b + (min(a, b) - 1) * LOOKAHEAD_ADDER * max(a, b)


def line_buffer(buffer: LineBuffer, walk: Walk, kind: Type) -> Cost:
    """Registers and adders of both addresses; the memory itself is counted as bits.

    Rows are signed numbers, columns are in words: multiples of the words of a pixel, whose lowest bits are 0 and cost nothing. Of
    rows written and read, where they lie in the memory is a constant added each time, wrapped around.
    """
    window, (rows, columns) = buffer.window, buffer.output
    pixel, row = buffer.pixel_words, buffer.width * buffer.pixel_words
    reach = buffer.height + buffer.rows + window.pads[0] + rows * window.strides[0]
    y = (reach + window.kernel[0] * window.dilations[0]).bit_length() + 2
    wide = buffer.width + window.pads[1] + columns * window.strides[1] + window.kernel[1] * window.dilations[1]
    x = (wide * pixel).bit_length() + 2
    address = (buffer.rows * row).bit_length() + 1
    x, line = x - zeros(pixel), address - zeros(row)
    counted = [buffer.word // buffer.beat, pixel, rows, columns, *window.kernel, walk.tap_words, walk.step_words]
    total = sum((counter(n) for n in (*counted, walk.steps, walk.repeats, walk.blocks)), Cost())
    base = (walk.blocks * walk.tap_words + walk.tap_words).bit_length()
    slot = max(1, (walk.step_words - 1).bit_length())
    registers = 3 * line + 3 * y + 3 * x + base + slot + 4 + buffer.word * lane_width(kind)
    gates = line * 4 * CONSTANT_STEP + 5 * adder_gates(address)  # rows; row + column + channel, read and written
    gates += y * (2 * adder_gates(1) + 8 * HALF_ADDER + 6)  # rows here and needed; moved on, bounded, chosen
    gates += x * (adder_gates(1) + 6 * HALF_ADDER + 4)  # the same of columns
    return total + Cost(gates=gates, flipflops=registers)


def zeros(number: int) -> int:
    """How many of the lowest bits of a number, and so of its multiples, are 0."""
    return (number & -number).bit_length() - 1


def tail_op(op: Operation, lanes: int) -> Cost:
    """What happens to `lanes` totals at a time: scaled, bounded, looked up, or taken as levels."""
    assert op.result is not None
    cell, kind = REGISTRY[op.name].cell, op.result.type
    if isinstance(cell, Comb):
        return integer_op(op, cell, lanes)
    if isinstance(cell, Memory):
        return Cost(gates=op_cost(op).gates / kind.lanes * lanes)
    assert isinstance(kind, Level)
    signed = HALF_ADDER + 1 if kind.encoding is Encoding.SIGNED else 0
    return Cost(gates=lanes * signed * (kind.bits + 1))


def integer_op(op: Operation, cell: Comb, lanes: int) -> Cost:
    """An integer op on `lanes` totals at a time. Factors that differ from lane to lane come from a memory, and are no constants."""
    assert op.result is not None
    definition = REGISTRY[op.name]
    ranges = {name: value_range(v.type) for name, v in zip(definition.operands, op.operands, strict=True)}
    varying, addresses = 0.0, Cost()
    for name, value in definition.parameters(op).items():
        factors = np.unique(value)
        ranges[name] = int(factors[0]), int(factors[0])
        if factors.size > 1:
            # What follows is as wide as with the largest factor; a power of two costs nothing by itself.
            bits = int(np.abs(factors).max()).bit_length()
            ranges[name] = 1 << bits, 1 << bits
            varying += multiplier(lane_width(op.operands[0].type), bits + 1)
            addresses += counter(np.size(value) // lanes)
    return Cost(gates=lanes * (varying + Logic(ranges, lane_width(op.result.type)).gates(cell.result))) + addresses


def fold_step(op: Operation, lanes: int) -> Cost:
    """The next tap of a window joined to those before it, in a register each."""
    cell, kind = REGISTRY[op.name].cell, op.result.type if op.result else None
    assert isinstance(cell, Fold) and kind is not None
    tap = value_range(op.operands[0].type)
    width = max(lane_width(kind), lane_width(op.operands[0].type) + 1)
    so_far = value_range(kind)
    logic = Logic({"a": so_far, "b": tap}, width)
    return Cost(gates=lanes * (logic.gates(cell.result) + 3 * width), flipflops=lanes * width + 1)


def numbers(kind: Type, lanes: int) -> Cost:
    """Levels as integers: nothing, or a negation where they have a sign."""
    signed = isinstance(kind, Level) and kind.encoding is Encoding.SIGNED
    return Cost(gates=lanes * FULL_ADDER * lane_width(kind) if signed else 0)
