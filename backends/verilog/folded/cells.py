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

SIGNS = {"xs": "x", "ws": "w"}


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


def products_name(x: Encoding, w: Encoding) -> str:
    return f"sccc_products_{x.value}_{w.value}"


def product_ports(product: Product) -> list[str]:
    """What a product reads: x, w, their signs xs and ws, and `live` where lanes may be missing."""
    read = product.bit.variables() | product.neg.variables()
    return [p for p in ("x", "xs", "w", "ws") if p in read] + (["live"] if needs_mask(product) else [])


def products_module(name: str, product: Product) -> str:
    """What all lanes add to a count in one cycle: ones - 2 * minus, each with one bit per lane."""

    def constant(number: int) -> str:
        return f"{{LANES{{1'b{number}}}}}"

    bit = to_verilog(product.bit, constant=constant)
    ports = product_ports(product)
    lines = [f"// Products of a cycle: each lane adds (neg ? -1 : +1) * bit with bit = {to_verilog(product.bit)}, "]
    lines[0] += f"neg = {to_verilog(product.neg)}."
    lines += [f"module {name} #(", "  parameter LANES = 1", ") ("]
    lines += [f"  input  wire [LANES-1:0] {port}," for port in ports]
    lines.append("  output wire [LANES-1:0] ones" + (");" if product.neg is ZERO else ","))
    if product.neg is not ZERO:
        lines += ["  output wire [LANES-1:0] minus", ");"]
        lines.append(f"  assign minus = ones & {to_verilog(product.neg, constant=constant)};")
    lines.append(f"  assign ones = {bit}{' & live' if 'live' in ports else ''};")
    return "\n".join([*lines, "endmodule", ""])


def counts_name(taps: int, minus: bool) -> str:
    return f"sccc_{'signed_' if minus else ''}counts_{taps}"


def count_width(taps: int, minus: bool) -> int:
    return signed_width(-taps if minus else 0, taps)


def counts_module(taps: int, minus: bool) -> str:
    """For each output: how many of its lanes are one, less twice those that are minus (when there are such)."""
    width = count_width(taps, minus)
    vectors = ["ones", "minus"][: 1 + minus]
    trees = {v: popcount_tree(taps, v[0], f"{v[0]}w") for v in vectors}
    declared = [f"  reg [{taps - 1}:0] {v[0]};" for v in vectors] + [d for tree in trees.values() for d in tree[0]]
    declared += [f"  reg [{popcount_width(taps) - 1}:0] {v}_count;" for v in vectors]
    body = []
    for vector, (_, statements, total) in trees.items():
        body.append(f"    {vector[0]} = {vector}[i*{taps} +: {taps}];")
        body += [*statements, f"    {vector}_count = {total};"]
    difference = "ones_count - (minus_count << 1)" if minus else "ones_count"
    return "\n".join(
        [
            f"// The counts of OUTPUTS times {taps} lanes"
            + (": ones, less twice those that are minus." if minus else "."),
            f"module {counts_name(taps, minus)} #(",
            "  parameter OUTPUTS = 1",
            ") (",
            *(f"  input  wire [OUTPUTS*{taps}-1:0] {v}," for v in vectors),
            f"  output reg  [OUTPUTS*{width}-1:0] count",
            ");",
            "  integer i;",
            f"  reg [OUTPUTS*{width}-1:0] all;",
            *declared,
            "  always @* begin",
            "    for (i = 0; i < OUTPUTS; i = i + 1) begin",
            *("  " + line for line in body),
            f"      all[i*{width} +: {width}] = {difference};",
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
