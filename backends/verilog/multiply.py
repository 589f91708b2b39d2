"""A neuron of fixed-point arithmetic as a Verilog module: constant multipliers made of shifts and adders.

All numbers are unsigned, so that nothing has to be sign-extended: signed ones come with 2**bits added, which a constant takes off
again, and negative digits of the weights are summed by themselves and subtracted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sccc.backends.verilog.render import sized
from sccc.digits import signed_digits
from sccc.ir import Operation
from sccc.ops.fixed import dot_weights
from sccc.types import Encoding, Level


@dataclass(frozen=True)
class Multiplier:
    """What one output adds up: a constant, and the lanes whose weight has the digit +1 or -1 at 2**k, for each k."""

    constant: int
    plus: list[np.ndarray]
    minus: list[np.ndarray]


def number_width(kind: Level) -> int:
    """Bits of a level as an unsigned number (`sccc_numbers`)."""
    return kind.bits + (kind.encoding is Encoding.SIGNED)


def multipliers(op: Operation) -> Iterator[Multiplier]:
    """The neurons of an `fx.dot`, one after the other."""
    weights, x = dot_weights(op), op.operands[0].type
    assert isinstance(x, Level)
    initial = np.broadcast_to(np.asarray(op.attributes["initial"]), weights.shape[:1])
    for row, start in zip(weights, initial, strict=True):
        yield row_multiplier(row, int(start), x)


def row_multiplier(row: np.ndarray, start: int, x: Level) -> Multiplier:
    """The neuron of one output's weights [n]."""
    excess = 1 << x.bits if x.encoding is Encoding.SIGNED else 0
    digits = signed_digits(row)
    plus, minus = ([np.flatnonzero(plane == sign) for plane in digits] for sign in (1, -1))
    return Multiplier(start - excess * int(row.sum()), plus, minus)


def multiplier_module(name: str, origin: str, each: Multiplier, x: Level, width: int) -> str:
    """A neuron as a module: ports x (numbers, lane 0 lowest) and total (two's complement)."""
    bits = number_width(x)
    lines = [f"// {origin}", f"module {name} (", "  /* verilator lint_off UNUSEDSIGNAL */"]
    lines += [f"  input  wire [{x.lanes * bits - 1}:0] x,", "  /* verilator lint_on UNUSEDSIGNAL */"]
    lines += [f"  output wire signed [{width - 1}:0] total", ");"]
    text = sized(each.constant, width)
    planes: list[str] = []
    for label, sign, digits in (("plus", "+", each.plus), ("minus", "-", each.minus)):
        for k, lanes in enumerate(digits):
            if lanes.size:
                largest = lanes.size * ((1 << bits) - 1)
                lines.append(f"  reg [{largest.bit_length() - 1}:0] {label}_{k};")
                planes.append(f"    {label}_{k} = {_sum([f'v[{i * bits} +: {bits}]' for i in lanes])};")
                text += f" {sign} ({label}_{k} << {k})" if k else f" {sign} {label}_{k}"
    if planes:
        # A copy of x, so that a simulator wakes up once and not for each of its parts.
        lines += [
            f"  reg [{x.lanes * bits - 1}:0] v;",
            f"  reg [{width - 1}:0] sum;",
            "  /* verilator lint_off WIDTH */",
        ]
        lines += ["  always @* begin", "    v = x;", *planes, f"    sum = {text};", "  end"]
        lines += ["  /* verilator lint_on WIDTH */", "  assign total = sum;"]
    else:
        lines.append(f"  assign total = {text};")
    return "\n".join([*lines, "endmodule", ""])


def _sum(terms: list[str]) -> str:
    """A balanced tree of additions, a line of it at most eight terms."""
    if len(terms) == 1:
        return terms[0]
    half = 1 << (len(terms) - 1).bit_length() - 1
    gap = " " if len(terms) <= 8 else "\n      "
    return f"({_sum(terms[:half])}{gap}+ {_sum(terms[half:])})"
