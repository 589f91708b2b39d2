"""Modules of networks that learn, one per kind of op, generated from its cell's expressions and set by parameters.

Common parameters: for each operand NAME its bits NAME_W and, in lane-wise ops, NAME_RUN (how many lanes in a row meet one number
of it: 1, or LANES where all do); R_W, bits of a result; EW, bits that hold every intermediate result; and an op's integer
attributes by name.
"""

from __future__ import annotations

from sccc.backends.verilog.cell_modules import _compute, _literals, _variables, module_name
from sccc.backends.verilog.names import comment
from sccc.cells import Comb
from sccc.expr import Expr
from sccc.ops import REGISTRY
from sccc.ops.registry import Op
from sccc.training_cells import FreeRunning, Reduce, Update


def attributes_of(definition: Op, *exprs: Expr) -> list[str]:
    """The integer attributes that the expressions read, sorted."""
    read = frozenset().union(*(expr.variables() for expr in exprs))
    return sorted(name for name, attr in definition.attributes.items() if attr.kind == "int" and name in read)


def head(definition: Op, name: str, parameters: list[str], ports: list[str]) -> list[str]:
    return [
        f"// {definition.name}: {comment(definition.doc)}",
        f"module {name} #(",
        ",\n".join(f"  parameter {p}" for p in parameters),
        ") (",
        ",\n".join(f"  {p}" for p in ports),
        ");",
    ]


def _attribute_parameters(attributes: list[str]) -> list[str]:
    return [f"signed [EW-1:0] {name.upper()} = 0" for name in attributes]


def _bind(attributes: list[str]) -> list[str]:
    """Attributes under the names that expressions have for them."""
    return [f"  wire signed [EW-1:0] {name}_v = {name.upper()};" for name in attributes]


def comb_module(op_name: str) -> str:
    """A lane-wise op; LAST: the size of the last axis, where the op knows its lane's place along it."""
    definition = REGISTRY[op_name]
    assert isinstance(definition.cell, Comb)
    expr = definition.cell.result
    operands, attributes = definition.operands, attributes_of(definition, expr)
    lane = ["lane"] if "lane" in expr.variables() else []
    parameters = ["LANES = 1", *(["LAST = 1"] if lane else []), "R_W = 8", "EW = 32"]
    for name in operands:
        parameters += [f"{name.upper()}_W = 8", f"{name.upper()}_RUN = 1"]
    ports = [f"input  wire [(LANES/{n.upper()}_RUN)*{n.upper()}_W-1:0] {n}" for n in operands]
    ports.append("output reg  [LANES*R_W-1:0] result")
    names, statements = _compute("made", expr)
    loads = [f"      {n}_v = $signed({n}[(i/{n.upper()}_RUN)*{n.upper()}_W +: {n.upper()}_W]);" for n in operands]
    loads += ["      lane_v = i % LAST;" for _ in lane]
    return "\n".join(
        [
            *head(definition, module_name(op_name), parameters + _attribute_parameters(attributes), ports),
            *_literals(expr),
            *_bind(attributes),
            "  integer i;",
            "  reg [LANES*R_W-1:0] all;",
            *_variables(dict.fromkeys([*operands, *lane, *names])),
            "  always @* begin",
            "    for (i = 0; i < LANES; i = i + 1) begin",
            *loads,
            *statements,
            "      all[i*R_W +: R_W] = made_v[R_W-1:0];",
            "    end",
            "    result = all;",
            "  end",
            "endmodule",
            "",
        ]
    )


def reduce_module(op_name: str) -> str:
    """LANES numbers in each of ROWS rows combined into one, the first two first."""
    definition = REGISTRY[op_name]
    assert isinstance(definition.cell, Reduce)
    expr = definition.cell.result
    names, statements = _compute("made", expr)
    ports = ["input  wire [ROWS*LANES*X_W-1:0] x", "output reg  [ROWS*R_W-1:0] result"]
    parameters = ["ROWS = 1", "LANES = 1", "R_W = 8", "EW = 32", "X_W = 8"]
    return "\n".join(
        [
            *head(definition, module_name(op_name), parameters, ports),
            *_literals(expr),
            "  integer i, j;",
            "  reg [ROWS*R_W-1:0] all;",
            *_variables(dict.fromkeys(["a", "b", *names])),
            "  always @* begin",
            "    for (j = 0; j < ROWS; j = j + 1) begin",
            "      a_v = $signed(x[j*LANES*X_W +: X_W]);",
            "      b_v = a_v;",
            "      for (i = 1; i < LANES; i = i + 1) begin",
            "        b_v = $signed(x[(j*LANES + i)*X_W +: X_W]);",
            *(f"  {line}" for line in statements),
            "        a_v = made_v;",
            "      end",
            "      all[j*R_W +: R_W] = a_v[R_W-1:0];",
            "    end",
            "    result = all;",
            "  end",
            "endmodule",
            "",
        ]
    )


def source_module(op_name: str) -> str:
    """Free-running sources: SEEDS (packed) after reset, a step with each sample."""
    definition = REGISTRY[op_name]
    cell = definition.cell
    assert isinstance(cell, FreeRunning)
    attributes = attributes_of(definition, cell.out)
    names, statements = _compute("next", cell.next)
    more, out = _compute("made", cell.out)
    parameters = ["LANES = 1", "S_W = 32", "R_W = 8", "EW = 64", *_attribute_parameters(attributes)]
    parameters.append("[LANES*S_W-1:0] SEEDS = 1")
    ports = ["input  wire clk", "input  wire rst", "input  wire go", "output reg  [LANES*R_W-1:0] random"]
    return "\n".join(
        [
            *head(definition, module_name(op_name), parameters, ports),
            *_literals(cell.next, cell.out),
            *_bind(attributes),
            "  integer i;",
            "  reg [LANES*S_W-1:0] state;",
            "  reg [LANES*S_W-1:0] following;",
            "  reg [LANES*R_W-1:0] all;",
            *_variables(dict.fromkeys(["state", *names, *more])),
            "  always @* begin",
            "    for (i = 0; i < LANES; i = i + 1) begin",
            "      state_v = $signed({1'b0, state[i*S_W +: S_W]});",
            *statements,
            *out,
            "      following[i*S_W +: S_W] = next_v[S_W-1:0];",
            "      all[i*R_W +: R_W] = made_v[R_W-1:0];",
            "    end",
            "    random = all;",
            "  end",
            "  always @(posedge clk) begin",
            "    if (rst) state <= SEEDS;",
            "    else if (go) state <= following;",
            "  end",
            "endmodule",
            "",
        ]
    )


def lane_name(op_name: str) -> str:
    """The module of one register of an update array."""
    return f"{module_name(op_name)}_lane"


def update_modules(op_name: str) -> str:
    """An array of ROWS x COLUMNS registers and how one of them is updated: two modules.

    The array is the gradient counters' (train.count), the momentum's, or the fixed-point rival's (train.descend): any size, any
    width, INITIAL (packed, row by row) after reset.
    """
    definition = REGISTRY[op_name]
    cell = definition.cell
    assert isinstance(cell, Update)
    state, *operands = definition.operands
    attributes = attributes_of(definition, cell.next)
    names, statements = _compute("next", cell.next)
    widths = ["W = 8", "EW = 16", *(f"{n.upper()}_W = 2" for n in operands), *_attribute_parameters(attributes)]
    inputs = [f"input  wire [{n.upper()}_W-1:0] {n}" for n in operands]
    clocked = ["input  wire clk", "input  wire rst", "input  wire go"]
    lane = [
        *head(definition, lane_name(op_name), widths,
               [*clocked, "input  wire [W-1:0] initial_value", *inputs, f"output reg  [W-1:0] {state}"]),
        *_literals(cell.next),
        *_bind(attributes),
        *_variables(dict.fromkeys([state, *operands, *names])),
        "  always @* begin",
        f"      {state}_v = $signed({state});",
        *(f"      {n}_v = $signed({n});" for n in operands),
        *statements,
        "  end",
        "  always @(posedge clk) begin",
        f"    if (rst) {state} <= initial_value;",
        f"    else if (go) {state} <= next_v[W-1:0];",
        "  end",
        "endmodule",
        "",
    ]  # fmt: skip
    return "\n".join([*lane, *_array(definition, cell, widths, clocked, attributes)])


def _array(definition: Op, cell: Update, widths: list[str], clocked: list[str], attributes: list[str]) -> list[str]:
    state, *operands = definition.operands
    lanes = {cell.rows: "ROWS", cell.columns: "COLUMNS", cell.common: "1"}
    index = {cell.rows: "j", cell.columns: "i", cell.common: "0"}
    ports = [f"input  wire [{lanes.get(n, 'ROWS*COLUMNS')}*{n.upper()}_W-1:0] {n}" for n in operands]
    ports.append(f"output wire [ROWS*COLUMNS*W-1:0] {state}")
    passed = ["W", "EW", *(f"{n.upper()}_W" for n in operands), *(a.upper() for a in attributes)]
    connections = [".clk(clk)", ".rst(rst)", ".go(go)", ".initial_value(initial_values[(j*COLUMNS + i)*W +: W])"]
    for n in operands:
        at = index.get(n, "(j*COLUMNS + i)")
        connections.append(f".{n}({n}[{at}*{n.upper()}_W +: {n.upper()}_W])")
    connections.append(f".{state}({state}[(j*COLUMNS + i)*W +: W])")
    own = ["ROWS = 1", "COLUMNS = 1", *widths, "[ROWS*COLUMNS*W-1:0] INITIAL = 0"]
    return [
        *head(definition, module_name(definition.name), own, [*clocked, *ports]),
        "  wire [ROWS*COLUMNS*W-1:0] initial_values = INITIAL;",
        "  genvar i, j;",
        "  generate",
        "    for (j = 0; j < ROWS; j = j + 1) begin : row",
        "      for (i = 0; i < COLUMNS; i = i + 1) begin : column",
        f"        {lane_name(definition.name)} #(",
        "          " + ", ".join(f".{p}({p})" for p in passed),
        "        ) one (",
        "          " + ",\n          ".join(connections),
        "        );",
        "      end",
        "    end",
        "  endgenerate",
        "endmodule",
        "",
    ]
