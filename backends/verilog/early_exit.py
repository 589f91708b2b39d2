"""A layer that ends its window early (`sc.race`): sums, the comparator that looks at their lead, and the window that it stops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sccc.backends.verilog.render import to_verilog
from sccc.cells import Race
from sccc.ir import Operation
from sccc.ops import REGISTRY
from sccc.types import Count, Total, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.layer import LayerEmitter

LEAD = """\
// Whether the largest of LANES signed totals leads the second safely after t cycles: {rule}.
module sccc_lead #(
  parameter LANES  = 2,
  parameter W      = 8,
  parameter T_BITS = 6,
  parameter MARGIN = 1,
  parameter FIRST  = 1,
  parameter EVERY  = 1
) (
  input  wire [LANES*W-1:0] total,
  input  wire [T_BITS-1:0]  t,
  output reg                safe
);
  integer i;
  reg signed [W-1:0] best;
  reg signed [W-1:0] second;
  reg signed [W-1:0] candidate;
  reg signed [W:0]   lead;
  wire signed [T_BITS:0] cycle = {{1'b0, t}};
  always @* begin
    best = total[0 +: W];
    candidate = total[0 +: W];
    second = {{1'b1, {{W-1{{1'b0}}}}}};
    for (i = 1; i < LANES; i = i + 1) begin
      candidate = total[i*W +: W];
      if (candidate > best) begin
        second = best;
        best = candidate;
      end else if (candidate > second) second = candidate;
    end
    lead = best - second;
    safe = {rule};
  end
endmodule
"""


def lead_module() -> str:
    """The comparator, with the rule that the op's cell states."""
    cell = REGISTRY["sc.race"].cell
    assert isinstance(cell, Race)
    names = {"margin": "MARGIN", "first": "FIRST", "every": "EVERY"}
    return LEAD.format(rule=to_verilog(cell.safe, lambda name: names.get(name, name)))


def races(ops: Iterable[Operation]) -> list[Operation]:
    """The ops that may end a layer's window."""
    return [op for op in ops if isinstance(REGISTRY[op.name].cell, Race)]


def emit_race(emitter: LayerEmitter, op: Operation) -> None:
    """Sums that stand still from the cycle on in which they are safe."""
    assert op.result is not None and isinstance(op.result.type, Total)
    emitter.machine(op, "sc.accumulate", running="running && !safe")
    a, kind = op.attributes, op.result.type
    parameters = {"LANES": kind.lanes, "W": signed_width(kind.lo, kind.hi), "T_BITS": emitter.time_bits}
    parameters |= {name.upper(): a[name] for name in ("margin", "first", "every")}
    ports = {"total": emitter.signals[op.result], "t": "t", "safe": "safe"}
    emitter.instance(emitter.use("sccc_lead", lead_module()), parameters, "lead", ports)


def header_lines(op: Operation, latency: int) -> list[str]:
    """What a netlist's header says about its early exit."""
    kind, a = op.operands[0].type, op.attributes
    assert isinstance(kind, Count)
    every = "every cycle" if a["every"] == 1 else f"every {a['every']} cycles"
    return [
        "",
        f"early exit: when the largest total leads the second by {a['margin']} counts (looked at after {a['first']} cycles of the",
        f"last layer's window and then {every}), the totals stand still and valid comes early: {latency} cycles after start at",
        f"the latest, {kind.length - a['first'] - 1} earlier at the soonest. The totals then mean what they do after the whole",
        f"window times cycles / {kind.length}: which one is largest holds, their real units do not. Where all layers but the last",
        "stream, the next start may come in the cycle after valid; where a layer accumulates, starts keep the distance above.",
    ]
