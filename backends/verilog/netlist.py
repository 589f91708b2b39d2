"""A whole module as a netlist: the top level, its header, and the list of what can be observed in it."""

from __future__ import annotations

from dataclasses import replace

from sccc import __version__
from sccc.backends.verilog.buses import bus_width
from sccc.backends.verilog.early_exit import header_lines, races
from sccc.backends.verilog.folded.netlist import emit_folded
from sccc.backends.verilog.injection import InjectableLayer, Injection
from sccc.backends.verilog.interface import Netlist, Observable, input_tables, level_of, port_bus
from sccc.backends.verilog.layer import LayerEmitter, LayerModule
from sccc.backends.verilog.names import Names, comment
from sccc.counting import ALL_SAVINGS, Savings
from sccc.dataflow import is_folded
from sccc.diagnostics import SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.source import largest_of
from sccc.schedule import Schedule, layer_ops, layer_origin, schedule
from sccc.types import Count, Level, Stream, Total, lane_width
from sccc.verify import verify


def emit_netlist(module: Module, savings: Savings = ALL_SAVINGS, *, injectable: bool = False) -> Netlist:
    """Emit a module as Verilog-2005: folded when its sums of products say how, else everything at once.

    savings: what makes a netlist that does everything at once cheaper and changes no bit; only tests turn one off.
    injectable: with places for a testbench's faults (`Netlist.injections`), which a folded netlist has none of. Raises SccError
    when it is not a verified module of hardware ops.
    """
    verify(module)
    _require_hardware(module)
    if is_folded(module):
        if injectable:
            raise SccError("faults cannot be put into a folded netlist", advice="leave out the folding")
        return emit_folded(module)
    own = [f"{wire}_{number}" for number in range(len(layer_ops(module))) for wire in ("go", "done", "follow", "layer")]
    names = Names(("clk", "rst", "start", "valid", "ready", "held", *own))
    top = names.make(module.name, module.name)
    names.make(f"{top}_tb")  # the testbench's
    (source,), (sink,) = module.inputs, module.outputs
    assert source.result is not None
    result = sink.operands[0]
    plan = schedule(module)
    layers = _emit_layers(module, names, top, InjectableLayer if injectable else LayerEmitter, savings)
    input_port = names.make(str(source.attributes["name"]), str(source.attributes["name"]))
    output_port = names.make(str(sink.attributes["name"]), str(sink.attributes["name"]))
    header = _header(top, source, sink, input_port, output_port, plan, names, layers)
    body = _top(top, source.result, result, input_port, output_port, plan, layers, names)
    used: dict[str, str] = {}
    for layer in layers.values():
        used.update(layer.used)
    observables = (*_observables(layers, plan), _at_port(result, output_port, plan))
    text = "\n".join(
        [
            header,
            "`default_nettype none",
            "",
            body,
            *(x.text for x in layers.values()),
            "/* verilator lint_off WIDTH */ // signed numbers are extended by assignment\n",
            *used.values(),
            "/* verilator lint_on WIDTH */",
            "`default_nettype wire",
            "",
        ]
    )
    injections = _injections(layers, plan) if injectable else ()
    return Netlist(text, top, source.result, input_port, result, output_port, plan, observables, injections=injections)


def _require_hardware(module: Module) -> None:
    problems = [op for op in module if REGISTRY[op.name].cell is None]
    if problems:
        raise SccError(
            f"{problems[0].name} has no hardware yet ({len(problems)} such ops)",
            problems[0].place(),
            "run the whole pipeline: lower, share-sngs, map-activations",
        )
    if len(module.inputs) != 1 or len(module.outputs) != 1:
        raise SccError("a netlist needs exactly one sc.input and one sc.output")


def _emit_layers(
    module: Module, names: Names, top: str, kind: type[LayerEmitter], savings: Savings
) -> dict[str, LayerModule]:
    uses = module.uses()
    layers: dict[str, LayerModule] = {}
    for name, ops in layer_ops(module).items():
        inside = set(ops)
        outputs = [op.result for op in ops if op.result and any(user not in inside for user in uses[op.result])]
        length = next(
            (op.result.type.length for op in ops if op.result and isinstance(op.result.type, Count | Stream)), 1
        )
        origin = layer_origin(ops)
        emitter = kind(names.make(f"{top}_{name}", origin or name), names, ops, outputs, length, origin, savings)
        layers[name] = emitter.emit()
        if isinstance(emitter, InjectableLayer):
            layers[name].masks = emitter.masks
    return layers


def _top(
    top: str,
    source: Value,
    result: Value,
    input_port: str,
    output_port: str,
    plan: Schedule,
    layers: dict[str, LayerModule],
    names: Names,
) -> str:
    lines = [f"module {top} (", "  input  wire clk,", "  input  wire rst,", "  input  wire start,"]
    lines += [f"  input  wire [{bus_width(source.type) - 1}:0] {input_port},", "  output wire valid,"]
    lines += [f"  output wire [{bus_width(result.type) - 1}:0] {output_port}", ");"]
    signal = {source: input_port}
    for number, (name, layer) in enumerate(layers.items()):
        for value in layer.ports:
            signal[value] = names.make(f"net_{number}_{value.name}")
            lines.append(f"  wire [{bus_width(value.type) - 1}:0] {signal[value]};")
        lines += [f"  wire go_{number};", f"  wire done_{number};"]
        lines += _go(number, plan, name, list(layers))
        ports = [".clk(clk)", ".rst(rst)", f".go(go_{number})", f".done(done_{number})"]
        ports += [f".{layer.signals[v]}({signal[v]})" for v in layer.inputs]
        ports += [f".{port}({signal[value]})" for value, port in layer.ports.items()]
        lines.append(f"  {layer.name} layer_{number} (\n    " + ",\n    ".join(ports) + "\n  );")
    assert result.op is not None
    last = list(layers).index(str(result.op.attributes["layer"]))
    if isinstance(result.type, Level):
        lines += ["  reg held;", f"  always @(posedge clk) held <= done_{last} && !rst;", "  assign valid = held;"]
    else:
        lines.append(f"  assign valid = done_{last};")
    lines += [f"  assign {output_port} = {signal[result]};", "endmodule", ""]
    return "\n".join(lines)


def _go(number: int, plan: Schedule, name: str, order: list[str]) -> list[str]:
    """When a layer starts: with `start`, a cycle behind the layer that streams into it, or when the last one that it reads has
    ended."""
    timing = plan.layers[name]
    if not timing.after:
        return [f"  assign go_{number} = start;"]
    feeder = order.index(timing.after)
    origin = f"go_{feeder}" if timing.streams_from else f"done_{feeder}"
    lines = [f"  reg follow_{number};", f"  always @(posedge clk) follow_{number} <= {origin} && !rst;"]
    return [*lines, f"  assign go_{number} = follow_{number};"]


def _observables(layers: dict[str, LayerModule], plan: Schedule) -> tuple[Observable, ...]:
    found = []
    for number, layer in enumerate(layers.values()):
        for value, signal in layer.signals.items():
            if value in layer.inputs:
                continue
            cycles = value.type.length if isinstance(value.type, Stream | Count) else 1
            if isinstance(value.type, Stream | Count | Level | Total):
                path = f"layer_{number}.{signal}"
                lanes, width = value.type.lanes, lane_width(value.type)
                stops = layer.stops and isinstance(value.type, Stream | Count)
                found.append(Observable(value, path, plan.first_cycle(value), cycles, lanes, width, stops))
    return tuple(found)


def _injections(layers: dict[str, LayerModule], plan: Schedule) -> tuple[Injection, ...]:
    """Where faults can be put: masks in the cycles of a window, registers in those in which they take what a cycle made."""
    found = []
    for number, (layer, timing) in enumerate(zip(layers.values(), plan.layers.values(), strict=True)):
        places = [(mask, timing.first) for mask in layer.masks]
        for value, path in layer.registers.items():
            assert value.op is not None
            places.append((Injection(value.op, "state", path, layer.register_bits[value]), timing.first + 1))
        for each, first in places:
            found.append(replace(each, path=f"layer_{number}.{each.path}", first=first, cycles=timing.length))
    return tuple(found)


def _at_port(result: Value, port: str, plan: Schedule) -> Observable:
    """The output port, while `valid` is high (streams and counts: during their window)."""
    kind = result.type
    if isinstance(kind, Stream | Count):
        return Observable(result, port, plan.first_cycle(result), kind.length, kind.lanes, lane_width(kind))
    return Observable(result, port, plan.latency, 1, kind.lanes, lane_width(kind))


def _header(
    top: str,
    source: Operation,
    sink: Operation,
    input_port: str,
    output_port: str,
    plan: Schedule,
    names: Names,
    layers: dict[str, LayerModule],
) -> str:
    assert source.result is not None
    x, y = source.result.type, sink.operands[0].type
    assert isinstance(x, Level)
    lines = [
        f"{top}: {_kind(plan)} netlist, generated by sccc {__version__}. Verilog-2005.",
        "",
        "clk      everything happens at its rising edge",
        "rst      synchronous, high for at least one cycle before the first start",
        f"start    high for one cycle; the next one may come {_cycles(plan.interval)} later, or whenever after that",
        f"{input_port}  {port_bus(x, largest_of(source))}",
        f"         level = round({level_of(source)} * 2**{x.bits}); hold from start for {_cycles(plan.hold)}",
        f"valid    high for one cycle, {plan.latency} cycles after start",
        f"{output_port}  {port_bus(y)}; read it while valid is high",
        f"         real units: value * {sink.attributes['scale']!r}"
        + (", then softmax (not in hardware)" if sink.attributes["post"] == "softmax" else ""),
        "",
        "layers (module, ONNX node, cycles per window, cycle in which it starts):",
    ]
    for name, layer in layers.items():
        timing = plan.layers[name]
        lines.append(f"  {layer.name}  '{names.original.get(layer.name, name)}'  {timing.length}  {timing.go}")
    for layer in layers.values():
        lines += [line for op in races(layer.ops) for line in header_lines(op, plan.latency)]
    lines += input_tables(source)
    changed = {
        legal: was
        for legal, was in names.original.items()
        if legal != was and legal not in {x.name for x in layers.values()}
    }
    if changed:
        lines += ["", "names that were made legal:"] + [f"  {legal}  was '{was}'" for legal, was in changed.items()]
    return "\n".join("// " + comment(line) if line else "//" for line in lines)


def _kind(plan: Schedule) -> str:
    """What the netlist computes with."""
    instant = {timing.instant for timing in plan.layers.values()}
    if len(instant) > 1:
        return "stochastic-computing and fixed-point"
    return "fixed-point" if True in instant else "stochastic-computing"


def _cycles(number: int) -> str:
    return f"{number} cycle" + ("s" if number != 1 else "")
