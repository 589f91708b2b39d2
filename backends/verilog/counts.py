"""The counts of sums of products of streams: a module for all outputs that see the same lanes, once for each place they stand at.

A dense layer has one place. A convolution has one for each position of its window; where padding is under it, lanes are missing,
and the module is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sccc.backends.verilog import library
from sccc.backends.verilog.dot import DotModule
from sccc.backends.verilog.images import concatenation, lane, patch, places
from sccc.backends.verilog.names import comment
from sccc.backends.verilog.render import packed, sized
from sccc.counting import Counting
from sccc.counting_gates import cheapest
from sccc.diagnostics import InternalError
from sccc.ir import Operation
from sccc.neurons import ConstantStreams, root_source
from sccc.ops.arithmetic import constant_levels, product_of
from sccc.ops.geometry import geometry_of
from sccc.types import Count, Encoding, Random, Stream, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.layer import LayerEmitter


@dataclass
class _Counts:
    """An op being emitted: its constant streams, the bus that they are on, and the modules made so far."""

    emitter: LayerEmitter
    op: Operation
    streams: ConstantStreams
    bus: str
    modules: dict[tuple[int, bytes], tuple[str, DotModule]] = field(default_factory=dict)
    offsets: dict[str, str] = field(default_factory=dict)
    gated: str = ""

    @property
    def width(self) -> int:
        """Bits of a count."""
        assert self.op.result is not None and isinstance(self.op.result.type, Count)
        return signed_width(self.op.result.type.lo, self.op.result.type.hi)

    def module(self, group: int, taps: np.ndarray) -> tuple[str, DotModule]:
        """The module of a group's outputs with these taps, emitted when it is not there yet."""
        key = (group, taps.tobytes())
        if key not in self.modules:
            emitter, outputs = self.emitter, geometry_of(self.op).outputs
            streams = self.streams.block(slice(group * outputs, (group + 1) * outputs), taps)
            plan = cheapest(product_of(self.op), streams, self._random(), emitter.savings)
            x = self.op.operands[0].type
            signed = isinstance(x, Stream) and x.encoding is Encoding.SIGNED
            each = DotModule(plan, max(len(taps), 1), self.width, signed, emitter.savings.order)
            name = emitter.modules.make(f"{emitter.name}_dot")
            emitter.neurons.append(each.emit(name, comment(self.op.origin) or emitter.name, group * outputs))
            emitter.used |= each.used
            self.modules[key] = name, each
        return self.modules[key]

    def instance(self, module: str, each: DotModule, ports: dict[str, str], counts: str) -> None:
        """The module at one place; `counts` is the wire that is to hold its counts."""
        ports = ports | {"ws": self.bus, "sum": counts}
        if each.plan.offset == "w":
            ports["offset"] = self._offset(module, each.plan)
        elif each.plan.offset == "xs":
            ports["ws"], ports["sum"] = self._in_window(), self._from_start(each, counts)
        self.emitter.instance(module, {}, f"{counts}_dot", ports)

    def _random(self) -> Random:
        sng = self.op.operands[1].op
        assert sng is not None
        random = root_source(sng.operands[1]).result
        assert random is not None and isinstance(random.type, Random)
        return random.type

    def _in_window(self) -> str:
        """The weights' streams, all 0 before the window, and above them the stream that is 1 in it."""
        if not self.gated:
            count = len(self.streams.levels)
            self.gated = self.emitter.names.make(f"{self.bus}_in_window")
            streams = f", {self.bus} & {{{count}{{running}}}}" if count else ""
            self.emitter.lines.append(f"  wire [{count}:0] {self.gated} = {{running{streams}}};")
        return self.gated

    def _from_start(self, each: DotModule, counts: str) -> str:
        """The wire of sums, from which their value in the cycle of `go` is taken off to give the counts."""
        emitter, outputs = self.emitter, len(each.plan.up)
        sums = emitter.names.make(f"{counts}_sums")
        emitter.lines.append(f"  wire [{outputs * each.width - 1}:0] {sums};")
        parameters = {"LANES": outputs, "SW": each.width, "W": self.width}
        ports = {"clk": "clk", "go": "go", "sum": sums, "count": counts}
        emitter.instance(emitter.use("sccc_from_start", library.FROM_START), parameters, f"{sums}_from_start", ports)
        return sums

    def _offset(self, module: str, plan: Counting) -> str:
        """The wire of what the weights' bits alone add up to, at the present random number: a table, one for each module."""
        if module not in self.offsets:
            emitter, sng = self.emitter, self.op.operands[1].op
            assert plan.table is not None and sng is not None
            random = root_source(sng.operands[1]).result
            assert random is not None
            name, table = emitter.names.make("offsets"), emitter.modules.make(f"{module}_offsets")
            emitter.neurons.append(_table(table, plan.table.T, self._random().bits, self.width))
            emitter.lines.append(f"  wire [{len(plan.table) * self.width - 1}:0] {name};")
            emitter.instance(table, {}, f"{name}_table", {"random": emitter.signals[random], "offset": name})
            self.offsets[module] = name
        return self.offsets[module]


def emit_counts(emitter: LayerEmitter, op: Operation) -> None:
    """An `sc.dot` or `sc.conv` with constant weights."""
    x, w = op.operands
    assert op.result is not None and isinstance(x.type, Stream) and isinstance(op.result.type, Count)
    if w.op is None or constant_levels(w) is None:
        raise InternalError(f"{op!r}: weights that are not constant have no Verilog yet")
    counts = _Counts(emitter, op, *emitter.streams(w.op, f"{w.name}s"))
    geometry = geometry_of(op)
    buses = {"x": emitter.signals[x]} | ({"xs": emitter.signs[x]} if x.type.encoding is Encoding.SIGNED else {})
    name = emitter.signals[op.result] = emitter.wire(op.result)
    if geometry.window is None:
        counts.instance(*counts.module(0, np.arange(geometry.taps)), buses, name)
        return
    parts: dict[tuple[int, int], str] = {}
    for position, group, taps, lanes in places(geometry):
        part = parts[group, position] = emitter.names.make(f"{op.result.name}_{group}_{position}")
        emitter.lines.append(f"  wire [{geometry.outputs * counts.width - 1}:0] {part};")
        ports = {port: patch(emitter, op, bus, position, group, lanes, 1, port) for port, bus in buses.items()}
        counts.instance(*counts.module(group, taps), ports, part)
    ordered = [
        lane(parts[group, position], output, counts.width)
        for group in range(geometry.groups)
        for output in range(geometry.outputs)
        for position in range(geometry.positions)
    ]
    emitter.lines.append(f"  assign {name} = {concatenation(ordered)};")


def _table(name: str, rows: np.ndarray, bits: int, width: int) -> str:
    """A module with the sums of all outputs by random number: rows is [2**bits, outputs]."""
    lines = ["// The sum of the weights' bits for each output, by random number.", f"module {name} ("]
    lines += [f"  input  wire [{bits - 1}:0] random,", f"  output reg  [{rows.shape[1] * width - 1}:0] offset", ");"]
    lines += ["  always @*", "    case (random)"]
    texts = [packed(row, width) for row in rows.tolist()]
    lines += [f"      {sized(k, bits)}: offset = {text};" for k, text in enumerate(texts[:-1])]
    return "\n".join([*lines, f"      default: offset = {texts[-1]};", "    endcase", "endmodule", ""])
