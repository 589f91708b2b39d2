"""A neuron as a Verilog module: gathers its lanes and counts them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial

from sccc.backends.verilog.popcount import popcount_name, popcount_width
from sccc.backends.verilog.render import sized, to_verilog
from sccc.expr import Expr
from sccc.ir import Value
from sccc.neurons import Neuron
from sccc.types import Encoding, Stream


def neuron_module(name: str, origin: str, each: Neuron, x: Value, streams: int, width: int) -> str:
    """A neuron as a module: ports x, xs (signs, when signed), ws (the layer's constant streams), count."""
    assert isinstance(x.type, Stream)
    lanes = x.type.lanes
    lines = [
        f"// {origin}",
        f"module {name} (",
        "  /* verilator lint_off UNUSEDSIGNAL */",
        f"  input  wire [{lanes - 1}:0] x,",
    ]
    if x.type.encoding is Encoding.SIGNED:
        lines.append(f"  input  wire [{lanes - 1}:0] xs,")
    lines += [f"  input  wire [{max(streams, 1) - 1}:0] ws,", "  /* verilator lint_on UNUSEDSIGNAL */"]
    lines += [f"  output wire signed [{width - 1}:0] count", ");"]
    terms = [sized(each.constant, width)] if each.constant else []
    text = ""
    for weight, label in ((1, "up"), (-1, "down"), (-2, "twice")):
        group = each.groups[weight]
        if not group:
            continue
        ones = popcount_width(len(group))
        lines += [f"  reg [{len(group) - 1}:0] {label};", f"  wire [{ones - 1}:0] {label}_ones;"]
        lines += [f"  always @* {label} = {_gather(group)};"]
        lines.append(f"  {popcount_name(len(group))} count_{label} (.v({label}), .ones({label}_ones));")
        shift = ", 1'b0" if weight == -2 else ""
        wide = ones + (1 if shift else 0)
        zeros = f"{{{width - wide}{{1'b0}}}}, " if width > wide else ""
        operand = f"{{{zeros}{label}_ones{shift}}}" if width >= wide else f"{label}_ones[{width - 1}:0]"
        text += (" + " if weight > 0 else " - ") + operand
    total = (terms[0] if terms else f"{width}'d0") + text if terms or not text.startswith(" + ") else text[3:]
    lines += [f"  assign count = {total};", "endmodule", ""]
    return "\n".join(lines)


def _gather(group: list[tuple[Expr, int, int]]) -> str:
    """The lanes' bits as one vector: lanes of one form are gathered operand by operand and combined as whole vectors."""
    parts = []
    for form in dict.fromkeys(to_verilog(expr) for expr, _, _ in group):
        members = [(expr, lane, stream) for expr, lane, stream in group if to_verilog(expr) == form]
        members.sort(key=lambda member: (member[2], member[1]))
        parts.append(to_verilog(members[0][0], partial(_operand, members)))
    return parts[0] if len(parts) == 1 else "{" + ", ".join(reversed(parts)) + "}"


def _operand(members: list[tuple[Expr, int, int]], name: str) -> str:
    """The bits of variable x, xs or w of all members as one vector."""
    if name == "w":
        return _concatenation(f"ws[{stream}]" for _, _, stream in members)
    return _concatenation(f"{name}[{lane}]" for _, lane, _ in members)


def _concatenation(bits: Iterable[str]) -> str:
    """Bits, the first one least significant; equal neighbours as a replication."""
    runs = [(bit, len(list(same))) for bit, same in itertools.groupby(bits)][::-1]
    items = [bit if count == 1 else f"{{{count}{{{bit}}}}}" for bit, count in runs]
    rows = [", ".join(items[i : i + 12]) for i in range(0, len(items), 12)]
    return "{" + ",\n    ".join(rows) + "}"
