"""Modules of networks that learn whose operands have axes: products of matrices and of streams, rewirings, the largest of a row."""

from __future__ import annotations

from sccc.backends.verilog.cell_modules import module_name
from sccc.backends.verilog.render import to_verilog
from sccc.backends.verilog.training_cells import head
from sccc.cells import Product
from sccc.ops import REGISTRY
from sccc.training_cells import MatrixProduct


def matrix_module(op_name: str) -> str:
    """A MatrixProduct of M outputs, N inputs and P positions in each of G groups; SHIFT aligns the bias, where there is one.

    In the loops m counts the outputs of all groups, p the positions of one.
    """
    definition = REGISTRY[op_name]
    cell = definition.cell
    assert isinstance(cell, MatrixProduct)
    names = definition.operands
    axes = dict(zip(names, cell.indices, strict=False))
    parameters = ["G = 1", "M = 1", "N = 1", "P = 1", *(f"{name.upper()}_W = 8" for name in names), "R_W = 16"]
    ports = [f"input  wire [{_size(axes.get(n, 'm'))}*{n.upper()}_W-1:0] {n}" for n in names]
    (first, second), outer, row = names[:2], cell.indices[2][0], cell.indices[2][1]
    bias = names[2] if cell.bias else ""
    if bias:
        parameters.append("SHIFT = 0")
        at = f"{bias}[{_place('m')}*{bias.upper()}_W +: {bias.upper()}_W]"
        start = [f"        factor = $signed({at});", "        total = factor <<< SHIFT;"]
    else:
        start = ["        total = {R_W{1'b0}};"]

    def read(name: str) -> str:
        return f"$signed({name}[({_place(axes[name])})*{name.upper()}_W +: {name.upper()}_W])"

    return "\n".join(
        [
            *head(definition, module_name(op_name), parameters, [*ports, f"output reg  [{_size(cell.indices[2])}*R_W-1:0] result"]),
            "  integer g, m, n, p;",
            f"  reg [{_size(cell.indices[2])}*R_W-1:0] all;",
            "  reg signed [R_W-1:0] total;",
            "  reg signed [R_W-1:0] factor;",
            "  always @* begin",
            "    for (g = 0; g < G; g = g + 1)",
            f"    for ({_for(outer)}) begin",
            f"      for ({_for(row)}) begin",
            *start,
            f"        for ({_for(cell.summed)}) begin",
            f"          factor = {read(first)};",
            f"          total = total + {read(second)} * factor;",
            "        end",
            f"        all[({_place(cell.indices[2])})*R_W +: R_W] = total;",
            "      end",
            "    end",
            "    result = all;",
            "  end",
            "endmodule",
            "",
        ]
    )  # fmt: skip


def _size(axes: str) -> str:
    return "*".join("G" + axes.upper())


def _place(axes: str) -> str:
    """A lane's number, row by row."""
    if len(axes) == 1:
        return axes
    first = "(g*P + p)" if axes[0] == "p" else axes[0]
    return f"{first}*{axes[1].upper()} + {axes[1]}"


def _for(axis: str) -> str:
    start, end = ("g*M", "(g + 1)*M") if axis == "m" else ("0", axis.upper())
    return f"{axis} = {start}; {axis} < {end}; {axis} = {axis} + 1"


GATHER = """\
// Result lane i is lane INDEX[i] of x, or 0 where INDEX[i] is LANES_X: padding.
module sccc_patches #(
  parameter LANES = 1,
  parameter LANES_X = 1,
  parameter W = 8,
  parameter IW = 8,
  parameter [LANES*IW-1:0] INDEX = 0
) (
  input  wire [LANES_X*W-1:0] x,
  output reg  [LANES*W-1:0]   result
);
  wire [LANES*IW-1:0] index = INDEX;
  wire [(LANES_X+1)*W-1:0] padded = {{W{1'b0}}, x};
  integer i;
  reg [LANES*W-1:0] all;
  always @* begin
    for (i = 0; i < LANES; i = i + 1) all[i*W +: W] = padded[index[i*IW +: IW]*W +: W];
    result = all;
  end
endmodule
"""

SCATTER = """\
// Lane i of x is added to result lane INDEX[i], or to none where INDEX[i] is LANES.
module sccc_overlap_add #(
  parameter LANES = 1,
  parameter LANES_X = 1,
  parameter X_W = 8,
  parameter R_W = 8,
  parameter IW = 8,
  parameter [LANES_X*IW-1:0] INDEX = 0
) (
  input  wire [LANES_X*X_W-1:0] x,
  output reg  [LANES*R_W-1:0]   result
);
  wire [LANES_X*IW-1:0] index = INDEX;
  integer i;
  reg [(LANES+1)*R_W-1:0] all;
  reg signed [R_W-1:0] term;
  always @* begin
    all = {((LANES+1)*R_W){1'b0}};
    for (i = 0; i < LANES_X; i = i + 1) begin
      term = $signed(x[i*X_W +: X_W]);
      all[index[i*IW +: IW]*R_W +: R_W] = $signed(all[index[i*IW +: IW]*R_W +: R_W]) + term;
    end
    result = all[LANES*R_W-1:0];
  end
endmodule
"""

ARGMAX = """\
// The index of the first largest of LANES signed numbers in each of ROWS rows.
module sccc_row_argmax #(
  parameter ROWS = 1,
  parameter LANES = 2,
  parameter W = 8,
  parameter R_W = 4
) (
  input  wire [ROWS*LANES*W-1:0] x,
  output reg  [ROWS*R_W-1:0]     result
);
  integer i, j;
  reg [ROWS*R_W-1:0] all;
  reg signed [W-1:0] best;
  reg signed [W-1:0] candidate;
  always @* begin
    for (j = 0; j < ROWS; j = j + 1) begin
      best = $signed(x[j*LANES*W +: W]);
      candidate = best;
      all[j*R_W +: R_W] = {R_W{1'b0}};
      for (i = 1; i < LANES; i = i + 1) begin
        candidate = $signed(x[(j*LANES + i)*W +: W]);
        if (candidate > best) begin
          best = candidate;
          all[j*R_W +: R_W] = i;
        end
      end
    end
    result = all;
  end
endmodule
"""

DOT = """\
// sc.dot or sc.conv of two operands that vary: in each cycle the signed counts of {x} times {w} over N taps, for M outputs of
// each of G groups at P positions.
module {name} #(
  parameter G = 1,
  parameter M = 1,
  parameter N = 1,
  parameter P = 1,
  parameter R_W = 8
) (
  input  wire [P*G*N-1:0]     x,
  input  wire [P*G*N-1:0]     xs,
  input  wire [G*M*N-1:0]     w,
  input  wire [G*M*N-1:0]     ws,
  output reg  [G*M*P*R_W-1:0] result
);
  integer g, i, j, p, a, b;
  reg [G*M*P*R_W-1:0] all;
  reg signed [R_W-1:0] total;
  always @* begin
    for (g = 0; g < G; g = g + 1)
      for (j = g*M; j < (g + 1)*M; j = j + 1)
        for (p = 0; p < P; p = p + 1) begin
          total = {{R_W{{1'b0}}}};
          for (i = 0; i < N; i = i + 1) begin
            a = (p*G + g)*N + i;
            b = j*N + i;
            if ({bit}) total = {neg} ? total - 1 : total + 1;
          end
          all[(j*P + p)*R_W +: R_W] = total;
        end
    result = all;
  end
endmodule
"""


def dot_module(product: Product, x: str, w: str) -> tuple[str, str]:
    """The name and the text of the count of products of streams in encodings x and w. Signs of unsigned streams are not read."""
    places = {"x": "x[a]", "xs": "xs[a]", "w": "w[b]", "ws": "ws[b]"}
    bit, neg = (to_verilog(expr, places.__getitem__, lambda n: f"1'b{n}") for expr in (product.bit, product.neg))
    name = f"sccc_dot_{x}_{w}"
    return name, DOT.format(name=name, x=x, w=w, bit=bit, neg=neg)
