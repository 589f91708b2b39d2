"""Each engine as a Verilog module with an input stream for each operand and one output stream, made of library modules.

Every engine with totals shows them on the wires `total`, `total_valid` and `total_ready` in the order in which they are sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sccc.backends.verilog import cell_modules
from sccc.backends.verilog import library as base
from sccc.backends.verilog.buses import parameter_width, sign_magnitude
from sccc.backends.verilog.folded import datapath, links, memories, storage
from sccc.backends.verilog.names import Names, comment
from sccc.backends.verilog.render import packed, sized
from sccc.cells import Comb, Memory
from sccc.engines import AddEngine, Engine, LayoutEngine, Link, PoolEngine, natural_order
from sccc.ir import Operation
from sccc.line_buffer import LineBuffer, Walk
from sccc.ops import REGISTRY
from sccc.types import Encoding, Level, Total, lane_width


@dataclass
class EngineText:
    """The text of one engine's module while it is written. `used`: library modules; `own`: its own modules; `files`: memories."""

    name: str
    engine: Engine
    modules: Names
    doc: str = ""
    lines: list[str] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def use(self, name: str, text: str) -> str:
        self.used[name] = text
        return name

    def wire(self, name: str, width: int = 1) -> str:
        self.lines.append(f"  wire {f'[{width - 1}:0] ' if width > 1 else ''}{name};")
        return name

    def assign(self, name: str, width: int, text: str) -> str:
        self.lines.append(f"  wire [{width - 1}:0] {name} = {text};")
        return name

    def instance(self, module: str, label: str, parameters: Mapping[str, object], ports: Mapping[str, str]) -> None:
        arguments = _rows([f".{k}({v})" for k, v in parameters.items()])
        connections = _rows([f".{k}({v})" for k, v in ports.items()])
        head = f"  {module} #({arguments}) {label} (" if parameters else f"  {module} {label} ("
        self.lines.append(f"{head}{connections});")

    def clocked(self, module: str, label: str, parameters: Mapping[str, object], ports: Mapping[str, str]) -> None:
        self.instance(module, label, parameters, {"clk": "clk", "rst": "rst", **ports})

    def memory(self, what: str, text: str) -> str:
        """A file for $readmemh; its name as a Verilog string."""
        name = f"{self.name}_{what}.hex"
        self.files[name] = text
        return f'"{name}"'

    def constants(self, what: str, words: np.ndarray, width: int, advance: str) -> str:
        """Lane constants that change with each word; the wire that carries the present ones."""
        size = words.shape[1] * width
        file = self.memory(what, memories.hex_text(memories.bits_of(words, width).reshape(len(words), -1)))
        name = self.wire(what, size)
        module = self.use("sccc_lane_constants", storage.CONSTANTS)
        parameters = {"W": size, "DEPTH": len(words), "FILE": file}
        self.clocked(module, f"{what}_memory", parameters, {"next": advance, "word": name})
        return name

    def finished(self) -> str:
        """The module's text. Input ports are in_*, or a_* and b_*."""
        ports = ["  input  wire clk", "  input  wire rst"]
        for prefix, link in zip(input_prefixes(self.engine), self.engine.inputs, strict=True):
            ports += [f"  input  wire [{link_width(link) - 1}:0] {prefix}_data", f"  input  wire {prefix}_valid"]
            ports.append(f"  output wire {prefix}_ready")
        ports += [f"  output wire [{link_width(self.engine.output) - 1}:0] out_data", "  output wire out_valid"]
        ports.append("  input  wire out_ready")
        head = [f"// {comment(self.doc)}", f"module {self.name} (", ",\n".join(ports), ");"]
        return "\n".join([*self.own, *head, *self.lines, "endmodule", ""])


def _rows(items: list[str]) -> str:
    """Items with commas, in lines of about a hundred characters."""
    rows: list[str] = []
    for item in items:
        if rows and len(rows[-1]) + len(item) < 100:
            rows[-1] += f", {item}"
        else:
            rows.append(item)
    return rows[0] if len(rows) == 1 else "\n    " + ",\n    ".join(rows) + "\n  "


def input_prefixes(engine: Engine) -> list[str]:
    return ["in"] if len(engine.inputs) == 1 else ["a", "b"]


def link_width(link: Link) -> int:
    """Bits of a transfer."""
    return link.beat * lane_width(link.value.type)


def is_signed(kind: Level) -> int:
    return int(kind.encoding is Encoding.SIGNED)


def number_width(kind: Level) -> int:
    """Bits that hold a level as a two's complement number."""
    return kind.bits + 2


# -- parts that engines share -----------------------------------------------------------------------------------------


def line_buffer(text: EngineText, buffer: LineBuffer, walk: Walk, kind: Level) -> int:
    """The line buffer behind the input; wires word, live, slot, arrived, step, taken. Returns the bits of `slot`."""
    window, slot = buffer.window, max(1, (walk.step_words - 1).bit_length())
    top, left, _, _ = window.pads
    rows, columns = buffer.output
    parameters = {"LW": lane_width(kind), "BEAT": buffer.beat, "WORD": buffer.word, "PIXEL": buffer.pixel_words}
    parameters |= {"HEIGHT": buffer.height, "WIDTH": buffer.width, "ROWS": buffer.rows}
    for name, pair in (("K", window.kernel), ("S", window.strides), ("D", window.dilations)):
        parameters |= {f"{name}H": pair[0], f"{name}W": pair[1]}
    parameters |= {"PT": top, "PL": left, "OH": rows, "OW": columns, "TAP": walk.tap_words, "STEP": walk.step_words}
    parameters |= {"STEPS": walk.steps, "REPEATS": walk.repeats, "BLOCKS": walk.blocks, "SLOT": slot}
    text.wire("word", buffer.word * lane_width(kind))
    text.wire("slot", slot)
    for name in ("live", "arrived", "step", "taken"):
        text.wire(name)
    stream = {f"in_{k}": f"in_{k}" for k in ("data", "valid", "ready")}
    ports = {k: k for k in ("word", "live", "slot", "arrived", "step", "taken")}
    text.clocked(text.use("sccc_line_buffer", storage.LINE_BUFFER), "buffer", parameters, stream | ports)
    return slot


def tail(text: EngineText) -> None:
    """From the wires total, total_valid, total_ready to the output: scale, table or levels, and a register."""
    engine, beat = text.engine, text.engine.output.beat
    signal = "total"
    for number, op in enumerate(engine.tail):
        assert op.result is not None
        text.lines.append(f"\n  // %{comment(op.result.name)} = {op.name}")
        out = text.wire(f"tail_{number}", beat * lane_width(op.result.type))
        _tail_op(text, op, signal, out, beat)
        signal = out
    ports = {"in_data": signal, "in_valid": "total_valid", "in_ready": "total_ready"}
    ports |= {f"out_{k}": f"out_{k}" for k in ("data", "valid", "ready")}
    text.clocked(text.use("sccc_stage", links.STAGE), "stage", {"W": link_width(engine.output)}, ports)


def _tail_op(text: EngineText, op: Operation, signal: str, out: str, beat: int) -> None:
    source, kind = op.operands[0].type, op.result.type  # type: ignore[union-attr]
    assert isinstance(source, Total)
    cell = REGISTRY[op.name].cell
    if isinstance(cell, Comb):
        integer_op(text, op, {REGISTRY[op.name].operands[0]: signal}, lane_width(source), out)
    elif isinstance(cell, Memory):
        assert isinstance(kind, Level)
        entries = [sign_magnitude(int(v), kind) for v in np.asarray(op.attributes["table"])]
        name = text.modules.make(f"{text.name}_lookup")
        text.own.append(
            cell_modules.lookup_module(name, beat, source.lo, entries, lane_width(source), lane_width(kind))
        )
        text.instance(name, "lookup", {}, {"address": signal, "level": out})
    else:
        assert isinstance(kind, Level)
        levels(text, signal, lane_width(source), kind, beat, out)


def levels(text: EngineText, number: str, width: int, kind: Level, lanes: int, out: str) -> None:
    """Numbers as levels."""
    parameters = {"LANES": lanes, "W": width, "BITS": kind.bits, "SIGN": is_signed(kind)}
    text.instance(text.use("sccc_levels", base.LEVELS), "levels", parameters, {"total": number, "level": out})


def numbers(text: EngineText, level: str, kind: Level, lanes: int, out: str, width: int) -> None:
    """Levels as two's complement numbers."""
    parameters = {"LANES": lanes, "BITS": kind.bits, "SIGN": is_signed(kind), "W": width}
    text.wire(out, lanes * width)
    text.instance(text.use("sccc_integers", base.INTEGERS), f"{out}s", parameters, {"level": level, "number": out})


def integer_op(text: EngineText, op: Operation, operands: Mapping[str, str], width: int, out: str) -> None:
    """An integer op on the lanes of a transfer; attributes that differ from lane to lane come from a memory."""
    assert op.result is not None
    beat, kind = text.engine.output.beat, op.result.type
    definition = REGISTRY[op.name]
    values = {p: definition.parameters(op)[p] for p in cell_modules.comb_parameters(op.name)}
    wide = width + lane_width(kind) + parameter_width(values) + 2  # the operand times the widest parameter, doubled
    order = natural_order(kind.shape)
    words = {p: memories.lane_words(v.astype(np.int64), order, kind.shape, beat) for p, v in values.items()}
    ports = {p: w for p, w in words.items() if w is not None}
    module = text.use(
        cell_modules.comb_name(op.name, tuple(ports)), cell_modules.comb_module(op.name, ports=tuple(ports))
    )
    parameters: dict[str, object] = {"LANES": beat, "IW": width, "OW": lane_width(kind), "PW": wide}
    for name, value in values.items():
        if name not in ports:
            parameters[name.upper()] = f"{{{beat}{{{sized(int(value.reshape(-1)[0]), wide)}}}}}"
    connections = dict(operands)
    for name, table in ports.items():
        parameters[f"{name.upper()}_W"] = parameter_width({name: table})
        connections[f"{name}_all"] = text.constants(
            name, table, parameter_width({name: table}), "total_valid && total_ready"
        )
    text.instance(module, f"{out}_lanes", parameters, {**connections, "result": out})


# -- engines without products -----------------------------------------------------------------------------------------


def pool_engine(text: EngineText, engine: PoolEngine) -> None:
    """The taps of a window come one after the other, the channels of a transfer at once; the op's cell folds them."""
    kind, op = engine.inputs[0].value.type, engine.op
    assert isinstance(kind, Level) and op.result is not None
    beat = engine.output.beat
    out = lane_width(op.result.type) if isinstance(op.result.type, Total) else number_width(kind)
    wide = max(out, number_width(kind))
    slot = line_buffer(text, engine.buffer, engine.walk, kind)
    numbers(text, "word", kind, beat, "number", wide)
    text.wire("folded", beat * wide)
    pair = ", ".join(
        f"number[{i * wide} +: {wide}], folded_so_far[{i * wide} +: {wide}]" for i in reversed(range(beat))
    )
    text.wire("folded_so_far", beat * wide)
    fold = text.use(cell_modules.module_name(op.name), cell_modules.fold_module(op.name))
    parameters = {"LANES": beat, "TAPS": 2, "IW": wide, "OW": wide}
    text.instance(fold, "fold", parameters, {"v": f"{{{pair}}}", "result": "folded"})
    text.wire("result", beat * wide)
    ports = {k: k for k in ("live", "slot", "arrived", "number", "folded", "folded_so_far", "result")}
    parameters = {"W": beat * wide, "SLOT": slot}
    text.clocked(text.use("sccc_fold_register", datapath.FOLD_REGISTER), "register", parameters, ports)
    if isinstance(op.result.type, Total):
        lanes = ", ".join(f"result[{i * wide} +: {out}]" for i in reversed(range(beat)))
        text.assign("total", beat * out, f"{{{lanes}}}")
    else:
        text.wire("total", beat * lane_width(op.result.type))
        levels(text, "result", wide, op.result.type, beat, "total")  # type: ignore[arg-type]
    text.assign("total_valid", 1, "step")
    text.wire("total_ready")
    text.lines.append("  assign taken = step && total_ready;")
    tail(text)


def add_engine(text: EngineText, engine: AddEngine) -> None:
    """Each operand waits in a FIFO until both are there."""
    op = engine.op
    assert op.result is not None
    beat, kinds = engine.output.beat, [link.value.type for link in engine.inputs]
    wide = max(number_width(kind) for kind in kinds)  # type: ignore[arg-type]
    for prefix, link, depth, kind in zip("ab", engine.inputs, engine.depths, kinds, strict=True):
        assert isinstance(kind, Level)
        text.wire(f"{prefix}_level", link_width(link))
        text.wire(f"{prefix}_there")
        ports = {f"in_{k}": f"{prefix}_{k}" for k in ("data", "valid", "ready")}
        ports |= {
            "out_data": f"{prefix}_level",
            "out_valid": f"{prefix}_there",
            "out_ready": "total_valid && total_ready",
        }
        parameters = {"W": link_width(link), "DEPTH": depth}
        text.clocked(text.use("sccc_fifo", links.FIFO), f"{prefix}_waiting", parameters, ports)
        numbers(text, f"{prefix}_level", kind, beat, f"{prefix}_number", wide)
    text.wire("total", beat * lane_width(op.result.type))
    text.assign("total_valid", 1, "a_there && b_there")
    text.wire("total_ready")
    integer_op(text, op, {"a": "a_number", "b": "b_number"}, wide, "total")
    tail(text)


def layout_engine(text: EngineText, engine: LayoutEngine) -> None:
    """Stored whole, sent in another order."""
    kind, beat = engine.output.value.type, engine.output.beat
    index = engine.blocks(beat)
    assert index is not None and isinstance(kind, Level)
    beats = [link.beats for link in engine.inputs] + [0] * (2 - len(engine.inputs))
    entry = max(1, sum(beats).bit_length())
    entries = np.where(index < 0, sum(beats), index)
    file = text.memory("order", memories.hex_text(memories.bits_of(entries, entry)))
    nothing = packed([sign_magnitude(engine.level, kind)] * beat, lane_width(kind))
    parameters = {"W": link_width(engine.output), "A_BEATS": beats[0], "B_BEATS": beats[1], "BEATS": len(index)}
    prefixes = input_prefixes(engine)
    ports: dict[str, str] = {}
    for port, prefix in zip("ab", prefixes, strict=False):
        ports |= {f"{port}_{k}": f"{prefix}_{k}" for k in ("data", "valid", "ready")}
    if len(prefixes) == 1:
        ports |= {"b_data": f"{link_width(engine.output)}'d0", "b_valid": "1'b0", "b_ready": ""}
    ports |= {f"out_{k}": f"out_{k}" for k in ("data", "valid", "ready")}
    module = text.use("sccc_layout", storage.LAYOUT)
    text.clocked(module, "layout", {**parameters, "E": entry, "NOTHING": nothing, "FILE": file}, ports)
