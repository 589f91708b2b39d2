"""Modules of folded netlists that are rendered from the cells of ops: SNGs, products, counts and accumulators, many lanes each.

Bits of many lanes are vectors, so that a whole word of weights is worked on at once: in Icarus that is an order of magnitude faster
than lane by lane, and synthesis finds the same gates.
"""

from __future__ import annotations

from sccc.backends.verilog.popcount import popcount_tree, popcount_width
from sccc.backends.verilog.render import to_verilog
from sccc.cells import Comb, Fsm, Product
from sccc.diagnostics import InternalError
from sccc.expr import ZERO, fold_bits
from sccc.ops import REGISTRY
from sccc.types import Encoding, signed_width


def sng_module() -> str:
    """SNGs of many lanes that share a random number. Levels come as bit planes, the least significant first."""
    cell = REGISTRY["sc.sng"].cell
    assert isinstance(cell, Comb)
    compare = cell.result
    if compare.kind != ">" or [arg.args for arg in compare.args] != [("level",), ("random",)]:
        raise InternalError("the SNGs of folded netlists compare level > random")
    return f"""\
// Stochastic number generators: bit = {to_verilog(compare)}, decided bit by bit from the lowest, for all lanes at once.
module sccc_plane_sng #(
  parameter LANES = 1,
  parameter BITS  = 8
) (
  input  wire [LANES*(BITS+1)-1:0] planes,
  input  wire [BITS-1:0]           random,
  output reg  [LANES-1:0]          bits
);
  integer k;
  reg [LANES-1:0] greater;
  always @* begin
    greater = {{LANES{{1'b0}}}};
    for (k = 0; k < BITS; k = k + 1)
      greater = random[k] ? greater & planes[k*LANES +: LANES] : greater | planes[k*LANES +: LANES];
    bits = greater | planes[BITS*LANES +: LANES];
  end
endmodule
"""


def needs_mask(product: Product) -> bool:
    """Whether a lane that is not there would add something although its level is 0."""
    return not fold_bits(product.bit, {"x": 0, "xs": 0}).is_const(0)


def count_ports(product: Product) -> list[str]:
    """What a product reads: x, w, their signs xs and ws, and `live` where lanes may be missing."""
    read = product.bit.variables() | product.neg.variables()
    return [p for p in ("x", "xs", "w", "ws") if p in read] + (["live"] if needs_mask(product) else [])


def counts_name(x: Encoding, w: Encoding, taps: int) -> str:
    return f"sccc_counts_{x.value}_{w.value}_{taps}"


def count_width(product: Product, taps: int) -> int:
    return signed_width(0 if product.neg is ZERO else -taps, taps)


def counts_module(name: str, product: Product, taps: int) -> str:
    """Counts of a cycle for GROUPS x OUTPUTS outputs, `taps` lanes each: lanes that are one, less twice those that are minus.

    All outputs in one block, which a simulator runs once a cycle.
    """
    width, ports, signed = count_width(product, taps), count_ports(product), product.neg is not ZERO

    def vector(name: str) -> str:
        return f"{name}_v"

    def constant(number: int) -> str:
        return f"{{{taps}{{1'b{number}}}}}"

    trees = {v: popcount_tree(taps, v, f"{v[0]}w") for v in ("ones", "minus")[: 1 + signed]}
    declared = [f"  reg [{taps - 1}:0] {v};" for v in (*map(vector, ports), *trees)]
    declared += [line for tree in trees.values() for line in tree[0]]
    declared += [f"  reg [{popcount_width(taps) - 1}:0] {v}_count;" for v in trees]
    body = [f"    {vector(p)} = {p}[{'(g*OUTPUTS + o)' if p[0] == 'w' else 'g'}*{taps} +: {taps}];" for p in ports]
    live = " & live_v" if "live" in ports else ""
    body.append(f"    ones = {to_verilog(product.bit, vector, constant)}{live};")
    if signed:
        body.append(f"    minus = ones & {to_verilog(product.neg, vector, constant)};")
    for each, (_, statements, total) in trees.items():
        body += [*statements, f"    {each}_count = {total};"]
    body.append(f"    all[(g*OUTPUTS + o)*{width} +: {width}] = ones_count{' - (minus_count << 1)' * signed};")
    rule = f"bit = {to_verilog(product.bit)}, neg = {to_verilog(product.neg)}"
    return "\n".join(
        [
            f"// Counts of a cycle: {taps} lanes for each output, of which each adds (neg ? -1 : +1) * bit; {rule}.",
            f"module {name} #(",
            "  parameter GROUPS  = 1,",
            "  parameter OUTPUTS = 1",
            ") (",
            *(f"  input  wire [GROUPS*{'OUTPUTS*' * (p[0] == 'w')}{taps}-1:0] {p}," for p in ports),
            f"  output reg  [GROUPS*OUTPUTS*{width}-1:0] count",
            ");",
            "  integer g;",
            "  integer o;",
            f"  reg [GROUPS*OUTPUTS*{width}-1:0] all;",
            *declared,
            "  always @* begin",
            "    for (g = 0; g < GROUPS; g = g + 1)",
            "    for (o = 0; o < OUTPUTS; o = o + 1) begin",
            *("  " + line for line in body),
            "    end",
            "    count = all;",
            "  end",
            "endmodule",
            "",
        ]
    )


def accumulators_module() -> str:
    """Accumulators of many lanes, by the cell of sc.accumulate; `following` is what they hold after this cycle."""
    cell = REGISTRY["sc.accumulate"].cell
    assert isinstance(cell, Fsm)
    step = to_verilog(cell.step, {"state": "old", "count": "added"}.__getitem__)
    new = to_verilog(cell.next, {"step": "sum"}.__getitem__)
    return f"""\
// Accumulators: `first` loads `start`; then each cycle that is `running` adds the count.
module sccc_accumulators #(
  parameter LANES = 1,
  parameter W     = 16,
  parameter CW    = 8
) (
  input  wire                clk,
  input  wire                first,
  input  wire                running,
  input  wire [LANES*W-1:0]  start,
  input  wire [LANES*CW-1:0] count,
  output reg  [LANES*W-1:0]  following
);
  integer i;
  reg [LANES*W-1:0] state;
  reg [LANES*W-1:0] all;
  reg signed [W-1:0]  old;
  reg signed [W-1:0]  sum;
  reg signed [CW-1:0] added;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) begin
      old = state[i*W +: W];
      added = count[i*CW +: CW];
      sum = {step};
      all[i*W +: W] = {new};
    end
    following = all;
  end
  always @(posedge clk) begin
    if (first) state <= start;
    else if (running) state <= following;
  end
endmodule
"""
