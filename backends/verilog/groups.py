"""OR and MUX adders as Verilog: the lines of a layer's groups, and for each output the counters of those up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sccc.backends.verilog.names import comment
from sccc.backends.verilog.popcount import sum_module, sum_name
from sccc.backends.verilog.render import sized, to_verilog
from sccc.gates import sum_bits
from sccc.grouping import Line, group_cell, line_weight, lines
from sccc.ir import Operation
from sccc.ops.adders import inputs_of
from sccc.types import Count, Encoding, Random, Stream, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.layer import LayerEmitter


def emit_groups(emitter: LayerEmitter, op: Operation) -> None:
    """An `sc.or_dot` or `sc.mux_dot`: a module of its own for all outputs."""
    x, w, *select = op.operands
    assert op.result is not None and isinstance(op.result.type, Count) and isinstance(x.type, Stream) and w.op
    streams, bus = emitter.streams(w.op, f"{w.name}s")
    width, outputs = signed_width(op.result.type.lo, op.result.type.hi), op.result.type.lanes
    name = emitter.signals[op.result] = emitter.wire(op.result)
    module, inputs = emitter.modules.make(f"{emitter.name}_groups"), inputs_of(op)
    ports = {"x": (x.type.lanes, emitter.signals[x]), "ws": (max(len(streams.levels), 1), bus)}
    if x.type.encoding is Encoding.SIGNED:
        ports["xs"] = x.type.lanes, emitter.signs[x]
    if select:
        chosen = emitter.names.make(f"{op.result.name}_chosen")
        kind = select[0].type
        assert isinstance(kind, Random)
        number = f"{emitter.signals[select[0]]}[{kind.bits - 1}:{kind.bits - inputs.bit_length() + 1}]"
        emitter.lines.append(f"  wire [{inputs - 1}:0] {chosen} = {sized(1, inputs)} << {number};")
        ports["chosen"] = inputs, chosen
    what = "places of which one is chosen" if group_cell(op).scaled else "lanes that are ORed"
    head = [
        f"// {outputs} counts of {comment(op.origin) or emitter.name}: groups of {inputs} {what}",
        f"module {module} (",
    ]
    head += ["  /* verilator lint_off UNUSEDSIGNAL */"]
    head += [f"  input  wire [{size - 1}:0] {port}," for port, (size, _) in ports.items()]
    head += ["  /* verilator lint_on UNUSEDSIGNAL */", f"  output wire [{outputs * width - 1}:0] sum", ");"]
    body = []
    for j, (up, down) in enumerate(lines(op, streams)):
        body += _output(emitter, j, up, down, width, line_weight(op).bit_length() - 1)
    body.append(f"  assign sum = {{{', '.join(f'sum_{j}' for j in reversed(range(outputs)))}}};")
    emitter.neurons.append("\n".join([*head, *body, "endmodule", ""]))
    emitter.instance(module, {}, f"{name}_groups", {**{p: signal for p, (_, signal) in ports.items()}, "sum": name})


def _output(emitter: LayerEmitter, j: int, up: list[Line], down: list[Line], width: int, shift: int) -> list[str]:
    """The lines of output j, their counters and the difference, times 2**shift."""
    text, terms = [f"\n  // output {j}"], sized(0, width)
    for sign, label, side in (("+", f"up_{j}", up), ("-", f"down_{j}", down)):
        if not side:
            continue
        text.append(
            f"  wire [{len(side) - 1}:0] {label} = {{\n    " + ",\n    ".join(map(_line, reversed(side))) + "};"
        )
        sizes = (len(side),)
        module, bits = emitter.use(sum_name(sizes), sum_module(sizes)), sum_bits(sizes)
        text.append(f"  wire [{bits - 1}:0] ones_{label};")
        text.append(f"  {module} add_{label} (.v0({label}), .ones(ones_{label}));")
        high, low = width - bits - shift, f", {shift}'b0" if shift else ""
        terms += f" {sign} {{{f'{high}{chr(39)}b0, ' if high else ''}ones_{label}{low}}}"
    return [*text, f"  wire [{width - 1}:0] sum_{j} = {terms};"]


def _line(line: Line) -> str:
    """The OR of what the lanes of a group drive their line with."""
    parts = []
    for lane, place, stream, drive in zip(line.lanes, line.places, line.streams, line.drives, strict=True):
        names = {"x": f"x[{lane}]", "xs": f"xs[{lane}]", "w": f"ws[{stream}]", "chosen": f"chosen[{place}]"}
        parts.append(f"({to_verilog(drive, names.__getitem__)})")
    return " | ".join(parts)
