"""Convolutions, pooling and rewirings in a netlist that does everything at once: one neuron for each output and position.

Neurons that see no padding are one module per output; at the edges, where lanes are missing, there are modules of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sccc.backends.verilog import cell_modules, library
from sccc.backends.verilog.buses import sign_magnitude
from sccc.backends.verilog.multiply import multiplier_module, number_width, row_multiplier
from sccc.backends.verilog.names import comment
from sccc.backends.verilog.render import sized
from sccc.cells import Gather
from sccc.ir import Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.fixed import dot_weights
from sccc.ops.geometry import Geometry, geometry_of
from sccc.ops.images import pool_lanes
from sccc.types import Encoding, Level, Stream, Total, lane_width, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.layer import LayerEmitter

LANES_IN_A_LINE = 12


def concatenation(bits: list[str]) -> str:
    """Lanes as one vector, the first one least significant."""
    rows = [", ".join(bits[::-1][i : i + LANES_IN_A_LINE]) for i in range(0, len(bits), LANES_IN_A_LINE)]
    return "{" + ",\n    ".join(rows) + "}"


def lane(bus: str, number: int, width: int) -> str:
    """One lane of a packed bus."""
    return f"{bus}[{number}]" if width == 1 else f"{bus}[{number * width + width - 1}:{number * width}]"


def integers(emitter: LayerEmitter, value: Value, width: int) -> str:
    """Levels as two's complement integers of `width` bits, at least `integer_width`."""
    kind = value.type
    assert isinstance(kind, Level)
    name = emitter.wire(value, "_integer", kind.lanes * width)
    signed = int(kind.encoding is Encoding.SIGNED)
    parameters = {"LANES": kind.lanes, "BITS": kind.bits, "SIGN": signed, "W": width}
    module = emitter.use("sccc_integers", library.INTEGERS)
    emitter.instance(module, parameters, f"{name}s", {"level": emitter.signals[value], "number": name})
    return name


def integer_width(kind: Level) -> int:
    """Bits of a level as a two's complement integer."""
    return signed_width(kind.encoding.minimum_level(kind.bits), kind.encoding.maximum_level(kind.bits))


# -- rewirings ---------------------------------------------------------------------------------------------------------


def emit_gather(emitter: LayerEmitter, op: Operation) -> None:
    """Wires only; of signed streams the signs too."""
    assert op.result is not None
    cell = REGISTRY[op.name].cell
    assert isinstance(cell, Gather)
    kind, index = op.result.type, cell.index(op).reshape(-1)
    width = lane_width(kind)
    constant = sized(sign_magnitude(int(op.attributes.get("level", 0)), kind), width) if isinstance(kind, Level) else ""
    name = emitter.signals[op.result] = emitter.wire(op.result)
    _wires(emitter, name, [emitter.signals[v] for v in op.operands], op, index, width, constant)
    if isinstance(kind, Stream) and kind.encoding is Encoding.SIGNED:
        signs = emitter.signs[op.result] = emitter.wire(op.result, "_sign")
        _wires(emitter, signs, [emitter.signs[v] for v in op.operands], op, index, 1, "")


def _wires(
    emitter: LayerEmitter, name: str, buses: list[str], op: Operation, index: np.ndarray, width: int, constant: str
) -> None:
    places = [(bus, k) for bus, v in zip(buses, op.operands, strict=True) for k in range(v.type.lanes)]
    bits = [constant if k < 0 else lane(places[k][0], places[k][1], width) for k in index.tolist()]
    emitter.lines.append(f"  assign {name} = {concatenation(bits)};")


# -- pooling -----------------------------------------------------------------------------------------------------------


def emit_fold(emitter: LayerEmitter, op: Operation) -> None:
    """Windows with the same number of lanes in the image share an instance."""
    x = op.operands[0]
    assert op.result is not None
    kind, levels = op.result.type, isinstance(x.type, Level)
    lanes = pool_lanes(op)
    taps = lanes.reshape(len(lanes), -1)
    # Integers wide enough for the result of any window: a level is one lane of it.
    out = lane_width(kind) if isinstance(kind, Total) else integer_width(x.type) if isinstance(x.type, Level) else 1
    width = integer_width(x.type) if isinstance(x.type, Level) else 1
    source = integers(emitter, x, width) if levels else emitter.signals[x]
    name = emitter.wire(op.result, "_folded" if isinstance(kind, Level) else "", kind.lanes * out)
    module = emitter.use(cell_modules.module_name(op.name), cell_modules.fold_module(op.name))
    covered = (taps >= 0).sum(axis=0)
    results: dict[int, str] = {}
    for count in np.unique(covered).tolist():
        own = np.flatnonzero(covered == count)
        bits = [lane(source, k, width) for p in own for k in taps[:, p][taps[:, p] >= 0].tolist()]
        part = emitter.names.make(f"{name}_of_{count}")
        emitter.lines.append(f"  wire [{len(own) * out - 1}:0] {part};")
        parameters = {"LANES": len(own), "TAPS": count, "IW": width, "OW": out}
        emitter.instance(module, parameters, f"{part}_fold", {"v": concatenation(bits), "result": part})
        results.update((int(p), lane(part, i, out)) for i, p in enumerate(own))
    emitter.lines.append(f"  assign {name} = {concatenation([results[p] for p in range(kind.lanes)])};")
    if isinstance(kind, Level):
        emitter.register_level(op, name, out)
    else:
        emitter.signals[op.result] = name


# -- convolutions ------------------------------------------------------------------------------------------------------


def places(geometry: Geometry) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """(position, group, taps in the image, their lanes of x), position by position."""
    lanes = geometry.lanes()
    for position in range(geometry.positions):
        for group in range(geometry.groups):
            taps = np.flatnonzero(lanes[position, group] >= 0)
            yield position, group, taps, lanes[position, group, taps]


def patch(
    emitter: LayerEmitter,
    op: Operation,
    bus: str,
    position: int,
    group: int,
    lanes: np.ndarray,
    width: int,
    kind: str = "x",
) -> str:
    """The lanes under the window as a wire."""
    name = emitter.names.make(f"{op.result.name}_{kind}_{position}_{group}" if op.result else kind)
    emitter.lines.append(f"  wire [{max(len(lanes) * width, 1) - 1}:0] {name};")
    bits = [lane(bus, k, width) for k in lanes.tolist()] or ["1'b0"]
    emitter.lines.append(f"  assign {name} = {concatenation(bits)};")
    return name


def emit_fixed_conv(emitter: LayerEmitter, op: Operation) -> None:
    """The sums of a convolution of numbers, and their register."""
    x = op.operands[0]
    assert op.result is not None and isinstance(x.type, Level) and isinstance(op.result.type, Total)
    width, bits = signed_width(op.result.type.lo, op.result.type.hi), number_width(x.type)
    numbers = emitter.numbers(x)
    geometry = geometry_of(op)
    rows = geometry.groups * geometry.outputs
    weights = dot_weights(op).reshape(rows, -1)
    initial = np.broadcast_to(np.asarray(op.attributes["initial"]), geometry.shape).reshape(rows, -1)
    made: dict[tuple[int, int, bytes], str] = {}
    totals: dict[tuple[int, int], str] = {}
    for position, group, taps, lanes in places(geometry):
        numbers_under = patch(emitter, op, numbers, position, group, lanes, bits)
        for output in range(group * geometry.outputs, (group + 1) * geometry.outputs):
            start = int(initial[output, position])
            key = (output, start, taps.tobytes())
            kind = Level((len(taps),), x.type.encoding, x.type.bits)
            if key not in made:
                made[key] = emitter.modules.make(f"{emitter.name}_neuron_{output}_{len(taps)}")
                origin = f"output {output} of {comment(op.origin) or emitter.name}, {len(taps)} lanes"
                each = row_multiplier(weights[output, taps], start, kind)
                emitter.neurons.append(multiplier_module(made[key], origin, each, kind, width))
            name = totals[output, position] = emitter.names.make(f"{op.result.name}_{output}_{position}")
            emitter.lines.append(f"  wire [{width - 1}:0] {name};")
            label = emitter.names.make(f"neuron_{output}_{position}")
            emitter.lines.append(f"  {made[key]} {label} (.x({numbers_under}), .total({name}));")
    ordered = [totals[output, p] for output in range(rows) for p in range(geometry.positions)]
    following = emitter.wire(op.result, "_next")
    emitter.lines.append(f"  assign {following} = {concatenation(ordered)};")
    emitter.register_total(op, following)
