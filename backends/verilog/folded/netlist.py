"""A folded module as a netlist: the top level that links its engines, its header, and what can be observed in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc import __version__
from sccc.backends.verilog import library as base
from sccc.backends.verilog.folded import engines as parts
from sccc.backends.verilog.folded import links
from sccc.backends.verilog.folded.engines import EngineText, input_prefixes, link_width
from sccc.backends.verilog.folded.product import product_engine
from sccc.backends.verilog.images import concatenation, lane
from sccc.backends.verilog.interface import Netlist, input_tables, level_of, port_bus
from sccc.backends.verilog.names import Names, comment
from sccc.dataflow import Dataflow, dataflow
from sccc.dataflow_timing import Timing, timing
from sccc.engines import AddEngine, Engine, LayoutEngine, Link, PoolEngine, ProductEngine, natural_order
from sccc.ir import Module, Operation, Value
from sccc.ops.source import largest_of
from sccc.schedule import Schedule
from sccc.types import Level, lane_width


@dataclass(frozen=True)
class Watch:
    """A stream of the netlist: in cycles in which `valid` and `ready` are high, `data` shows `beat` lanes of the value.

    All three are paths in the top level. `order`: the lane at each place of a sample. `link`: None for totals inside an engine.
    """

    value: Value
    valid: str
    ready: str
    data: str
    order: np.ndarray
    beat: int
    link: Link | None = None

    def __str__(self) -> str:
        return f"%{self.value.name}"


@dataclass(frozen=True, kw_only=True)
class FoldedNetlist(Netlist):
    """A netlist of engines. Its ports are start, ready, IN_data, IN_valid, IN_ready, OUT, done."""

    flow: Dataflow
    timing: Timing
    watches: tuple[Watch, ...]


def emit_folded(module: Module, flow: Dataflow | None = None) -> FoldedNetlist:
    """Emit a verified module whose sums of products are folded. Raises SccError with everything that has no folded form."""
    flow = flow or dataflow(module)
    times = timing(flow)
    (source,), (sink,) = module.inputs, module.outputs
    names = Names(("clk", "rst", "start", "ready", "done", "collected"))
    top = names.make(module.name, module.name)
    names.make(f"{top}_tb")  # the testbench's
    texts = [_engine(engine, names, top) for engine in flow.engines]
    input_port = _port(names, source, ("data", "valid", "ready"))
    output_port = _port(names, sink, ())
    level = _Top(flow, names, top, input_port, output_port, texts)
    body = level.emit(sink)
    header = _header(level, source, sink, times)
    used = {name: text for part in (level.used, *(text.used for text in texts)) for name, text in part.items()}
    text = "\n".join(
        [
            header,
            "`default_nettype none",
            "",
            body,
            *(text.finished() for text in texts),
            "/* verilator lint_off WIDTH */ // numbers are extended by assignment",
            *used.values(),
            "/* verilator lint_on WIDTH */",
            "`default_nettype wire",
            "",
        ]
    )
    files = {name: content for text in texts for name, content in text.files.items()}
    plan = Schedule({}, times.latency, times.interval, 0)
    assert source.result is not None
    return FoldedNetlist(
        text=text,
        top=top,
        input_value=source.result,
        input_port=input_port,
        output_value=sink.operands[0],
        output_port=output_port,
        schedule=plan,
        observables=(),
        files=files,
        flow=flow,
        timing=times,
        watches=level.watches(),
    )


def _port(names: Names, op: Operation, parts: tuple[str, ...]) -> str:
    """A port's name, and those of its parts."""
    name = names.make(str(op.attributes["name"]), str(op.attributes["name"]))
    for part in parts:
        names.make(f"{name}_{part}")
    return name


def _engine(engine: Engine, names: Names, top: str) -> EngineText:
    text = EngineText(names.make(f"{top}_{engine.name}", engine.origin or engine.name), engine, names)
    text.doc = f"{engine.name} from '{engine.origin}': {describe(engine)}"
    if isinstance(engine, ProductEngine):
        product_engine(text, engine)
    elif isinstance(engine, PoolEngine):
        parts.pool_engine(text, engine)
    elif isinstance(engine, AddEngine):
        parts.add_engine(text, engine)
    else:
        assert isinstance(engine, LayoutEngine)
        parts.layout_engine(text, engine)
    return text


def describe(engine: Engine) -> str:
    """What an engine does, in a few words."""
    if isinstance(engine, ProductEngine):
        f = engine.folding
        sizes = " x ".join(map(str, (*f.image, "->", *f.geometry.shape))).replace("x -> x", "->")
        at_once = f"{f.groups} x {f.outputs} x {f.taps}" if f.groups > 1 else f"{f.outputs} x {f.taps}"
        return (
            f"{engine.op.name} {sizes}, {at_once} products at once, windows of {f.length} cycle{'s' * (f.length > 1)}"
        )
    if isinstance(engine, PoolEngine):
        rows, columns = engine.window.kernel
        return f"{engine.op.name} {rows} x {columns}, {engine.output.beat} at once"
    if isinstance(engine, AddEngine):
        return f"{engine.op.name}, {' and '.join(map(str, engine.depths))} transfers wait"
    return f"{engine.op.name}, stored and put in order"


class _Top:
    """Writes the top level."""

    def __init__(
        self, flow: Dataflow, names: Names, top: str, input_port: str, output_port: str, texts: list[EngineText]
    ) -> None:
        self.flow, self.top, self.input_port, self.output_port, self.texts = flow, top, input_port, output_port, texts
        self.used: dict[str, str] = {}
        self.links = {link: names.make(f"link_{number}") for number, link in enumerate(flow.links)}
        self.labels = {text.engine: names.make(f"engine_{number}") for number, text in enumerate(texts)}
        for name in self.links.values():
            for part in ("data", "valid", "ready", "valid_to", "ready_from"):
                names.make(f"{name}_{part}")

    def use(self, name: str, text: str) -> str:
        self.used[name] = text
        return name

    def emit(self, sink: Operation) -> str:
        flow, x = self.flow, self.input_port
        width = link_width(flow.source)
        result, y = sink.operands[0], self.output_port
        lines = [f"module {self.top} (", "  input  wire clk,", "  input  wire rst,", "  input  wire start,"]
        lines += ["  output wire ready,", f"  input  wire [{width - 1}:0] {x}_data,", f"  input  wire {x}_valid,"]
        lines += [
            f"  output wire {x}_ready,",
            f"  output wire [{result.type.lanes * lane_width(result.type) - 1}:0] {y},",
        ]
        lines += ["  output wire done", ");"]
        for link in flow.links:
            lines += self._link(link)
        name = self.links[flow.source]
        lines += [
            f"\n  {self.use('sccc_gate', links.GATE)} #(.BEATS({flow.source.beats})) gate (",
            "    .clk(clk), .rst(rst), .start(start), .ready(ready),",
            f"    .in_valid({x}_valid), .in_ready({x}_ready), .out_valid({name}_valid), .out_ready({name}_ready)",
            "  );",
            f"  assign {name}_data = {x}_data;",
        ]
        for text in self.texts:
            lines += self._instance(text)
        lines += self._collect(sink)
        return "\n".join([*lines, "endmodule", ""])

    def _link(self, link: Link) -> list[str]:
        """The wires of a link, and its fork."""
        name, readers = self.links[link], self.flow.readers(link)
        lines = [f"\n  // %{comment(link.value.name)}: {link.beats} transfers of {link.beat}"]
        lines += [f"  wire [{link_width(link) - 1}:0] {name}_data;", f"  wire {name}_valid;", f"  wire {name}_ready;"]
        if len(readers) > 1:
            count = len(readers)
            lines += [f"  wire [{count - 1}:0] {name}_valid_to;", f"  wire [{count - 1}:0] {name}_ready_from;"]
            lines += [
                f"  {self.use('sccc_fork', links.FORK)} #(.READERS({count})) {name}_fork (",
                f"    .clk(clk), .rst(rst), .in_valid({name}_valid), .in_ready({name}_ready),",
                f"    .out_valid({name}_valid_to), .out_ready({name}_ready_from)",
                "  );",
            ]
        return lines

    def taken(self, reader: tuple[Engine | None, int], link: Link) -> tuple[str, str]:
        """The signals `valid` and `ready` between a link and one of its readers."""
        name, readers = self.links[link], self.flow.readers(link)
        if len(readers) == 1:
            return f"{name}_valid", f"{name}_ready"
        number = readers.index(reader)
        return f"{name}_valid_to[{number}]", f"{name}_ready_from[{number}]"

    def _instance(self, text: EngineText) -> list[str]:
        engine = text.engine
        ports = [".clk(clk), .rst(rst)"]
        for number, (prefix, link) in enumerate(zip(input_prefixes(engine), engine.inputs, strict=True)):
            valid, ready = self.taken((engine, number), link)
            data = f"{self.links[link]}_data"
            ports.append(f".{prefix}_data({data}), .{prefix}_valid({valid}), .{prefix}_ready({ready})")
        out = self.links[engine.output]
        ports.append(f".out_data({out}_data), .out_valid({out}_valid), .out_ready({out}_ready)")
        return [f"\n  {text.name} {self.labels[engine]} (\n    " + ",\n    ".join(ports) + "\n  );"]

    def _collect(self, sink: Operation) -> list[str]:
        """The result in a register, lanes in their order, and what becomes of it."""
        view, y = self.flow.sink, self.output_port
        link, kind = view.link, view.link.value.type
        valid, ready = self.taken((None, 0), link)
        width, lanes = lane_width(kind), kind.lanes
        module = self.use("sccc_collect", links.COLLECT)
        lines = [f"\n  wire [{lanes * width - 1}:0] collected;"]
        lines += [
            f"  {module} #(.W({link_width(link)}), .BEATS({link.beats})) result (",
            f"    .clk(clk), .rst(rst), .in_data({self.links[link]}_data), .in_valid({valid}), .in_ready({ready}),",
            "    .all(collected), .done(done)",
            "  );",
        ]
        in_order = "collected"
        if not np.array_equal(view.order, np.arange(lanes)):
            place = np.argsort(view.order)
            in_order = concatenation([lane("collected", int(p), width) for p in place])
        if self.flow.argmax is None:
            return [*lines, f"  assign {y} = {in_order};"]
        argmax = self.use("sccc_argmax", base.ARGMAX)
        parameters = f".LANES({lanes}), .W({width}), .IW({lane_width(sink.operands[0].type)})"
        return [*lines, f"  {argmax} #({parameters}) largest (.total({in_order}), .index({y}));"]

    def watches(self) -> tuple[Watch, ...]:
        """All links that engines make, and all totals inside them."""
        found = []
        for engine in self.flow.engines:
            link, name, label = engine.output, self.links[engine.output], self.labels[engine]
            if engine.totals is not None and engine.tail:
                order = natural_order(engine.totals.type.shape)
                valid, ready, data = (f"{label}.total{part}" for part in ("_valid", "_ready", ""))
                found.append(Watch(engine.totals, valid, ready, data, order, link.beat))
            valid, ready, data = (f"{name}_{part}" for part in ("valid", "ready", "data"))
            found.append(Watch(link.value, valid, ready, data, link.order, link.beat, link))
        return tuple(found)


def _header(level: _Top, source: Operation, sink: Operation, times: Timing) -> str:
    flow, x, y = level.flow, level.input_port, level.output_port
    assert source.result is not None
    kind = source.result.type
    assert isinstance(kind, Level)
    shape = " x ".join(map(str, kind.shape))
    order = "pixel by pixel, row after row, all channels of a pixel in a row" if len(kind.shape) == 3 else "one by one"
    lines = [
        f"{level.top}: folded netlist, generated by sccc {__version__}. Verilog-2005. $readmemh reads the files that were written",
        "with it: simulate and synthesise where they lie.",
        "",
        "clk      everything happens at its rising edge",
        "rst      synchronous, high for at least one cycle before the first start",
        "start    high for one cycle while ready is high: lets one sample in",
        "ready    high when another start is allowed",
        f"{x}_data   {flow.source.beat} of the {shape} levels, {order}; {port_bus(kind, largest_of(source))}",
        f"         level = round({level_of(source)} * 2**{kind.bits})",
        f"{x}_valid, {x}_ready   levels are taken in cycles in which both are high",
        f"{y}  {port_bus(sink.operands[0].type)}; read it while done is high",
        f"         real units: value * {sink.attributes['scale']!r}"
        + (", then softmax (not in hardware)" if sink.attributes["post"] == "softmax" else ""),
        f"done     high for one cycle, {times.latency} cycles after a start into idle hardware; results of samples back to back",
        f"         follow one another in {times.interval} cycles",
        "",
        "Engines are linked by streams in the same order. Where branches meet, FIFOs are long enough that nothing blocks for good.",
        "",
        "engines (module, ONNX node: what it does; cycles per sample, multipliers working; memory bits):",
    ]
    lines += [_engine_line(text) for text in level.texts]
    lines += input_tables(source)
    return "\n".join("// " + comment(line) if line else "//" for line in lines)


def _engine_line(text: EngineText) -> str:
    engine = text.engine
    working = f", {engine.folding.working} working" if isinstance(engine, ProductEngine) else ""
    bits = sum(engine.memory_bits.values())
    return f"  {text.name}  '{engine.origin}': {describe(engine)}; {engine.cycles} cycles{working}; {bits} bits"
