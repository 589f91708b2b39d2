"""A training module as a netlist: forward, backward and counters, one sample per clock cycle (or, on streams, per window).

The numbers of a sample are combinational, but for totals of streams; at the clock edge that ends the cycle in which they are all
known, every counter and every random source takes its step. Each op is emitted by its cell kind. Buses are packed two's
complement numbers, or levels, lane 0 lowest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc import __version__
from sccc.backends.verilog import training_cells as cells
from sccc.backends.verilog.cell_modules import lookup_module, module_name
from sccc.backends.verilog.names import Names, comment
from sccc.backends.verilog.render import packed
from sccc.backends.verilog.training_products import ARGMAX, GATHER, SCATTER, matrix_module
from sccc.backends.verilog.training_streams import cycles_per_sample, emit_stream_op, emit_window
from sccc.cells import Arbiter, Comb, Gather, Memory, Wire
from sccc.intervals import widest
from sccc.ir import Module, Operation, Value
from sccc.learning import check_learning
from sccc.ops import REGISTRY
from sccc.ops.training_types import STATE_BITS, axis_sizes, ranges_of
from sccc.training_cells import FreeRunning, MatrixProduct, Reduce, Register, Scatter, Update
from sccc.types import Count, Encoding, Fixed, Level, Random, Stream, Total, Type, signed_width
from sccc.verify import verify

INPUTS = ("train.input", "train.label", "train.halvings")
"""Ops that are ports, in this order."""


def lane_width(kind: Type) -> int:
    """Bits of a lane. A random number of train.source is a two's complement number, one bit wider than it needs to be."""
    if isinstance(kind, Random):
        return kind.bits + 1
    if isinstance(kind, Level):
        return kind.bits + 1 + (kind.encoding is Encoding.SIGNED)
    if isinstance(kind, Stream):
        return 1
    assert isinstance(kind, Fixed | Total | Count)
    return signed_width(kind.lo, kind.hi)


def lane_bits(numbers: np.ndarray, kind: Type) -> np.ndarray:
    """Numbers as the integers whose low `lane_width` bits a lane holds: of signed levels the sign and the magnitude."""
    if isinstance(kind, Level) and kind.encoding is Encoding.SIGNED:
        return np.where(numbers < 0, (1 << kind.bits + 1) - numbers, numbers)
    return numbers


def bus_width(kind: Type) -> int:
    return kind.lanes * lane_width(kind)


@dataclass(frozen=True)
class TrainingNetlist:
    """Verilog text; `inputs`: the ports of the sample, of its class and, where the step can halve, of how often it has been, by
    value; the port of the results; `signals`: the wire of each value in the top level.

    `period`: cycles from one start to the next; in the last of them the values are the sample's, and, where there are several,
    `done` is high.
    """

    text: str
    top: str
    inputs: dict[Value, str]
    output_port: str
    signals: dict[Value, str]
    period: int


def emit_training(module: Module) -> TrainingNetlist:
    """Emit a training module as Verilog-2005. Raises SccError when it is none."""
    verify(module)
    check_learning(module)
    return Emitter(module).emit()


@dataclass
class Emitter:
    """The text under way: instances (`lines`), library modules (`used`) and modules of its own. `signs`: of signed streams."""

    module: Module
    lines: list[str] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)
    signals: dict[Value, str] = field(default_factory=dict)
    signs: dict[Value, str] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)

    def emit(self) -> TrainingNetlist:
        self.names = Names(("clk", "rst", "start", "done", "running", "t", "window"))
        self.period = cycles_per_sample(self.module)
        self.learn = "start" if self.period == 1 else "done"
        top = self.names.make(self.module.name, self.module.name)
        self.names.make(f"{top}_tb")
        self.top = top
        self.updates = {op.operands[0]: op for op in self.module if isinstance(REGISTRY[op.name].cell, Update)}
        (output,) = self.module.ops_named("train.output")
        held = [op for name in INPUTS for op in self.module.ops_named(name)]
        self.ports = {op: self.names.make(str(op.attributes["name"])) for op in (*held, output)}
        inputs = {op.result: self.ports[op] for op in held if op.result is not None}
        for value in self.module.values():
            self.signals[value] = self.names.make(value.name, value.name)
        if self.period > 1:
            self.lines += emit_window(self)
        for op in self.module:
            self._op(op)
        for op in self.module:
            if isinstance(REGISTRY[op.name].cell, Register):
                self._registers(op)
        text = "\n".join(
            [
                *self._header(inputs, output),
                "`default_nettype none",
                "",
                f"module {top} (",
                "  input  wire clk,",
                "  input  wire rst,",
                "  input  wire start,",
                *(["  output wire done,"] if self.period > 1 else []),
                *(f"  input  wire [{bus_width(value.type) - 1}:0] {port}," for value, port in inputs.items()),
                f"  output wire [{bus_width(output.operands[0].type) - 1}:0] {self.ports[output]}",
                ");",
                *self.lines,
                "endmodule",
                "",
                "/* verilator lint_off WIDTH */ // signed numbers are extended by assignment\n",
                *self.modules,
                *self.used.values(),
                "/* verilator lint_on WIDTH */",
                "`default_nettype wire",
                "",
            ]
        )
        return TrainingNetlist(text, top, inputs, self.ports[output], self.signals, self.period)

    def _header(self, inputs: dict[Value, str], output: Operation) -> list[str]:
        def bus(kind: Type) -> str:
            assert isinstance(kind, Fixed)
            if not kind.shape:
                return f"a two's complement number of {lane_width(kind)} bits, {kind.lo} .. {kind.hi}"
            numbers = f"{kind.lanes} two's complement numbers of {lane_width(kind)} bits"
            return f"{numbers}, {kind.lo} .. {kind.hi}, value / 2**{kind.bits}, lane 0 lowest"

        lines = [
            f"{self.top}: a network that learns, generated by sccc {__version__}. Verilog-2005.",
            "",
            "clk      everything happens at its rising edge",
            "rst      synchronous: initial weights, seeds",
            *self._protocol(),
            *(f"{port}  {self._what(value)}: {bus(value.type)}" for value, port in inputs.items()),
            f"{self.ports[output]}  {bus(output.operands[0].type)}; of the sample in the same cycle",
        ]
        return ["// " + comment(line) if line else "//" for line in lines]

    def _what(self, value: Value) -> str:
        """What an input is, as its op says."""
        assert value.op is not None
        first = REGISTRY[value.op.name].doc.split(":")[0].rstrip(".")
        return first[0].lower() + first[1:]

    def _protocol(self) -> list[str]:
        if self.period == 1:
            return ["start    high for every cycle with a sample: at its end the counters have learned from it"]
        return [
            f"start    high for one cycle: from the next one on a sample is held, for {self.period - 1} cycles",
            "done     high in the last of them: its results are valid, at its end the counters have learned; start may be high",
        ]

    def instance(self, module: str, parameters: dict[str, object], label: str, ports: dict[str, str]) -> None:
        settings = ",\n    ".join(f".{k}({v})" for k, v in parameters.items())
        connections = ", ".join(f".{k}({v})" for k, v in ports.items())
        name = self.names.make(label)
        self.lines.append(f"  {module} #(\n    {settings}\n  ) {name} (\n    {connections}\n  );")

    def _op(self, op: Operation) -> None:
        writers: dict[type, Callable[[Operation, Any], None]] = {
            Wire: self._wire, Comb: self._comb, Memory: self._memory, Register: lambda op, cell: None,
            FreeRunning: self._source, MatrixProduct: self._matrix_product, Reduce: self._reduce, Gather: self._gather,
            Scatter: self._scatter, Arbiter: self._arbiter, Update: lambda op, cell: None,
        }  # fmt: skip
        if op.result is not None:
            origin = f" from {comment(op.origin)}" if op.origin else ""
            self.lines.append(f"\n  // %{comment(op.result.name)} = {op.name}{origin}")
            width = op.result.type.bits if op.name == "sc.source" else bus_width(op.result.type)  # type: ignore[attr-defined]
            self.lines.append(f"  wire [{width - 1}:0] {self.signals[op.result]};")
        if op.dialect != "train" or op.name == "train.level":
            emit_stream_op(self, op)
            return
        cell = REGISTRY[op.name].cell
        writers[type(cell)](op, cell)

    def _wire(self, op: Operation, cell: Wire) -> None:
        if op.result is None:
            self.lines.append(f"\n  assign {self.ports[op]} = {self.signals[op.operands[0]]};")
        elif op in self.ports:
            self.lines.append(f"  assign {self.signals[op.result]} = {self.ports[op]};")
        elif op.operands:
            self.lines.append(f"  assign {self.signals[op.result]} = {self.signals[op.operands[0]]};")
        else:
            numbers = packed(np.asarray(op.attributes["value"]).reshape(-1), lane_width(op.result.type))
            self.lines.append(f"  assign {self.signals[op.result]} = {numbers};")

    def _widths(self, op: Operation, *, runs: bool) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value in zip(REGISTRY[op.name].operands, op.operands, strict=True):
            found[f"{name.upper()}_W"] = lane_width(value.type)
            if runs:
                assert op.result is not None
                found[f"{name.upper()}_RUN"] = op.result.type.lanes // value.type.lanes
        return found

    def _attributes(self, op: Operation, *exprs: Any) -> dict[str, object]:
        names = cells.attributes_of(REGISTRY[op.name], *exprs)
        return {name.upper(): int(op.attributes[name]) for name in names}

    def _operands(self, op: Operation) -> dict[str, str]:
        return {n: self.signals[v] for n, v in zip(REGISTRY[op.name].operands, op.operands, strict=True)}

    def _comb(self, op: Operation, cell: Comb) -> None:
        assert op.result is not None
        module = module_name(op.name)
        self.used.setdefault(module, cells.comb_module(op.name))
        inner = widest(cell.result, ranges_of(op))
        sizes = {"LANES": op.result.type.lanes, "R_W": lane_width(op.result.type), "EW": inner + 1}
        if "lane" in cell.result.variables():
            sizes["LAST"] = op.result.type.shape[-1]
        parameters = {**sizes, **self._widths(op, runs=True), **self._attributes(op, cell.result)}
        name = self.signals[op.result]
        self.instance(module, parameters, f"{name}_{op.name.split('.')[1]}", {**self._operands(op), "result": name})

    def _memory(self, op: Operation, cell: Memory) -> None:
        x = op.operands[0].type
        assert op.result is not None and isinstance(x, Fixed)
        name, width = self.signals[op.result], lane_width(op.result.type)
        module = self.names.make(f"{self.top}_{name}_lookup")
        entries = [int(v) for v in np.asarray(op.attributes["table"])]
        self.modules.append(lookup_module(module, op.result.type.lanes, x.lo, entries, lane_width(x), width))
        ports = f".address({self.signals[op.operands[0]]}), .level({name})"
        self.lines.append(f"  {module} {self.names.make(f'{name}_lookup')} ({ports});")

    def _matrix_product(self, op: Operation, cell: MatrixProduct) -> None:
        assert op.result is not None
        module = module_name(op.name)
        self.used.setdefault(module, matrix_module(op.name))
        sizes: dict[str, object] = {axis.upper(): size for axis, size in axis_sizes(op).items()}
        sizes["G"] = op.attributes["groups"]
        sizes["R_W"] = lane_width(op.result.type)
        x = op.operands[0].type
        assert isinstance(x, Fixed)
        shift: dict[str, object] = {"SHIFT": x.bits} if cell.bias else {}
        name = self.signals[op.result]
        ports = {**self._operands(op), "result": name}
        self.instance(module, {**sizes, **self._widths(op, runs=False), **shift}, f"{name}_product", ports)

    def _reduce(self, op: Operation, cell: Reduce) -> None:
        assert op.result is not None
        module, width, x = module_name(op.name), lane_width(op.result.type), op.operands[0].type
        self.used.setdefault(module, cells.reduce_module(op.name))
        sizes = {"ROWS": op.result.type.lanes, "LANES": x.shape[-1], "R_W": width, "EW": width + 1}
        name = self.signals[op.result]
        parameters = {**sizes, **self._widths(op, runs=False)}
        self.instance(module, parameters, f"{name}_reduce", {**self._operands(op), "result": name})

    def _gather(self, op: Operation, cell: Gather) -> None:
        assert op.result is not None
        name, x, index = self.signals[op.result], op.operands[0], cell.index(op).reshape(-1)
        if np.array_equal(index, np.arange(x.type.lanes)):
            self.lines.append(f"  assign {name} = {self.signals[x]};")
            return
        lanes, width, wires = x.type.lanes, lane_width(x.type), self.signals[x]
        if padding := op.attributes.get("padding", 0):  # one lane more
            wires = f"{{{packed(np.array([padding]), width)}, {wires}}}"
            index, lanes = np.where(index < 0, lanes, index), lanes + 1
        self.gather(wires, name, index, lanes, width)

    def gather(self, x: str, result: str, index: np.ndarray, lanes: int, width: int) -> None:
        """Wires from lanes of x, of which there are `lanes`, each `width` bits wide, to a result; 0 where the index is negative."""
        self.used.setdefault("sccc_patches", GATHER)
        parameters = {"LANES": index.size, "LANES_X": lanes, "W": width, **self._index(index, lanes)}
        self.instance("sccc_patches", parameters, f"{result}_gather", {"x": x, "result": result})

    def _scatter(self, op: Operation, cell: Scatter) -> None:
        assert op.result is not None
        name, x, lanes = self.signals[op.result], op.operands[0], op.result.type.lanes
        self.used.setdefault("sccc_overlap_add", SCATTER)
        sizes = {"X_W": lane_width(x.type), "R_W": lane_width(op.result.type)}
        parameters = {
            "LANES": lanes,
            "LANES_X": x.type.lanes,
            **sizes,
            **self._index(cell.index(op).reshape(-1), lanes),
        }
        self.instance("sccc_overlap_add", parameters, f"{name}_scatter", {"x": self.signals[x], "result": name})

    def _index(self, index: np.ndarray, nothing: int) -> dict[str, object]:
        """Places, packed; `nothing` where there is none."""
        width = nothing.bit_length()
        return {"IW": width, "INDEX": packed(np.where(index < 0, nothing, index), width)}

    def _arbiter(self, op: Operation, cell: Arbiter) -> None:
        assert op.result is not None
        name, x = self.signals[op.result], op.operands[0]
        self.used.setdefault("sccc_row_argmax", ARGMAX)
        sizes = {"ROWS": op.result.type.lanes, "LANES": x.type.shape[-1]}
        parameters: dict[str, object] = {**sizes, "W": lane_width(x.type), "R_W": lane_width(op.result.type)}
        self.instance("sccc_row_argmax", parameters, f"{name}_argmax", {"x": self.signals[x], "result": name})

    def _source(self, op: Operation, cell: FreeRunning) -> None:
        assert op.result is not None
        module, kind = module_name(op.name), op.result.type
        self.used.setdefault(module, cells.source_module(op.name))
        inner = max(widest(expr, ranges_of(op)) for expr in (cell.next, cell.out)) + 1
        parameters: dict[str, object] = {
            "LANES": kind.lanes, "S_W": STATE_BITS, "R_W": lane_width(kind), "EW": inner,
            **self._attributes(op, cell.out),
            "SEEDS": packed(np.asarray(op.attributes["seeds"]).reshape(-1), STATE_BITS),
        }  # fmt: skip
        name = self.signals[op.result]
        ports = {"clk": "clk", "rst": "rst", "go": self.learn, "random": name}
        self.instance(module, parameters, f"{name}_source", ports)

    def _registers(self, op: Operation) -> None:
        """The register lies in the array of what updates it; one that nothing updates is a constant."""
        assert op.result is not None
        kind, update = op.result.type, self.updates.get(op.result)
        width = lane_width(kind)
        initial = packed(np.asarray(op.attributes["initial"]).reshape(-1), width)
        self.lines.append("")
        if update is None:
            self.lines.append(f"  assign {self.signals[op.result]} = {initial};")
            return
        module, definition = module_name(update.name), REGISTRY[update.name]
        update_cell = definition.cell
        assert isinstance(update_cell, Update)
        self.used.setdefault(module, cells.update_modules(update.name))
        state, *_ = definition.operands
        rows, columns = kind.shape[0], kind.shape[1] if len(kind.shape) == 2 else 1
        widths = {k: v for k, v in self._widths(update, runs=False).items() if k != f"{state.upper()}_W"}
        parameters: dict[str, object] = {
            "ROWS": rows, "COLUMNS": columns, "W": width, "EW": widest(update_cell.next, ranges_of(update)) + 1,
            **widths, **self._attributes(update, update_cell.next), "INITIAL": initial,
        }  # fmt: skip
        ports = {"clk": "clk", "rst": "rst", "go": self.learn, **self._operands(update)}
        self.instance(module, parameters, f"{self.signals[op.result]}_registers", ports)


__all__ = ["TrainingNetlist", "bus_width", "emit_training", "lane_width"]
