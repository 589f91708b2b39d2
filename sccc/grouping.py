"""Groups of lanes that an OR or MUX adder joins before they are counted: which lanes, and what leaves a group in a cycle.

The simulator, the netlist, the cost estimate and the error model ask here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sccc.cells import GroupCell
from sccc.diagnostics import InternalError
from sccc.expr import Expr, fold_bits
from sccc.ir import Operation
from sccc.neurons import ConstantStreams, constant_streams
from sccc.ops import REGISTRY
from sccc.ops.adders import chosen_place, groups_of, inputs_of
from sccc.ops.arithmetic import X, product_of
from sccc.ops.geometry import NOTHING


def group_cell(op: Operation) -> GroupCell:
    """The cell of an op that counts groups."""
    cell = REGISTRY[op.name].cell
    if not isinstance(cell, GroupCell):
        raise InternalError(f"{op!r} counts no groups")
    return cell


def line_weight(op: Operation) -> int:
    """What a line of a group adds to the count."""
    return inputs_of(op) if group_cell(op).scaled else 1


def line_exprs(op: Operation) -> tuple[Expr, Expr]:
    """What a lane drives the line up and the line down with: bits over x, w, xs, ws and chosen."""
    product, gate = product_of(op), group_cell(op).gate
    silent = fold_bits(product.bit, {"x": 0}).is_const(0)
    # An input's place is the same in all outputs: it is gated once, and not each product.
    bit = product.bit.substitute({"x": X & gate}) if silent else product.bit & gate
    return fold_bits(bit & ~product.neg, {}), fold_bits(bit & product.neg, {})


def count_groups(
    op: Operation,
    x: np.ndarray,
    x_signs: np.ndarray | None,
    w: np.ndarray,
    w_signs: np.ndarray | None,
    select: np.ndarray | None,
) -> np.ndarray:
    """Counts int64 [samples, outputs, cycles] of bits x uint8 [samples, lanes, cycles] and w uint8 [outputs, lanes, cycles].

    Signs are 1 where negative: [samples, lanes] and [outputs, lanes]. select: integers [cycles], None where no lane is chosen.
    """
    groups, cycles = groups_of(op), x.shape[-1]
    result = np.empty((len(groups), cycles, len(x)), dtype=np.int64)
    places = np.arange(groups.shape[2])[:, None]
    named = np.ones_like(places, dtype=bool) if select is None else places == chosen_place(op, select)
    chosen = _bytes(np.broadcast_to(named, (len(places), cycles)))[..., None]
    # Samples last: numpy is fast along the last axis only.
    bits, weights = np.moveaxis(_bytes(x), 0, -1).copy(), _bytes(w)[..., None]
    for j, lanes in enumerate(groups):
        env = {"x": bits[lanes], "w": weights[j, lanes], "chosen": chosen}
        if x_signs is not None:
            env["xs"] = np.negative(x_signs).T[lanes][:, :, None]
        if w_signs is not None:
            env["ws"] = np.negative(w_signs)[j, lanes, None, None]
        present = np.where(lanes == NOTHING, 0, 255).astype(np.uint8)[:, :, None, None]
        count = 0
        for sign, expr in zip((1, -1), line_exprs(op), strict=True):
            driven = np.asarray(expr.evaluate(env), dtype=np.uint8) & present
            joined = np.bitwise_or.reduce(np.broadcast_to(driven, (*lanes.shape, *bits.shape[1:])), axis=1)
            lines = np.unpackbits(joined, axis=1, count=cycles, bitorder="little")
            count = count + sign * lines.sum(axis=0, dtype=np.int64)
        result[j] = count
    return np.moveaxis(result, -1, 0) * line_weight(op)


def _bytes(bits: np.ndarray) -> np.ndarray:
    """Eight cycles in a byte; signs are bytes of eight equal bits."""
    return np.packbits(bits, axis=-1, bitorder="little")


@dataclass(frozen=True)
class Line:
    """One line of a group: it is 1 where any of its lanes drives it. `drives[i]` is what lanes[i] does, with its weight's stream
    streams[i] (-1 where the weight's bit is known), from place places[i] of the group."""

    lanes: list[int]
    places: list[int]
    streams: list[int]
    drives: list[Expr]


def lines(op: Operation, streams: ConstantStreams) -> Iterator[tuple[list[Line], list[Line]]]:
    """For each output, the lines that count up and those that count down. `streams`: of the constant weights."""
    both = line_exprs(op)
    for j, groups in enumerate(groups_of(op)):
        found: tuple[list[Line], list[Line]] = ([], [])
        for lanes in groups:
            for side, expr in zip(found, both, strict=True):
                line = _line(expr, streams, j, lanes.tolist())
                if line.lanes:
                    side.append(line)
        yield found


def _line(expr: Expr, streams: ConstantStreams, output: int, lanes: list[int]) -> Line:
    line = Line([], [], [], [])
    for place, lane in enumerate(lanes):
        if lane == NOTHING:
            continue
        stream = int(streams.index[output, lane])
        known = {"ws": int(streams.signs[output, lane])}
        if stream < 0:
            known["w"] = int(streams.constant_bits[output, lane])
        drive = fold_bits(expr, known)
        if not drive.is_const(0):
            line.lanes.append(lane)
            line.places.append(place)
            line.streams.append(stream)
            line.drives.append(drive)
    return line


def weight_streams(op: Operation) -> ConstantStreams:
    """The distinct streams of the weights, which are constant."""
    maker = op.operands[1].op
    if maker is None or maker.name != "sc.sng":
        raise InternalError(f"the weights of {op!r} are no constant streams")
    return constant_streams(maker)
