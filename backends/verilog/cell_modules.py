"""Modules generated from an op's cell: its expressions, rendered as Verilog, inside a shell for all lanes.

What an op does is said in its cell only; nothing here knows an op by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from sccc.backends.verilog.render import constants, replace_parts, shared_parts, sized, to_verilog
from sccc.cells import Comb, Fold, Fsm
from sccc.expr import Expr
from sccc.ops import REGISTRY


def _render(expr: Expr) -> str:
    return to_verilog(expr, lambda name: f"{name}_v", lambda n: f"C{n}")


def _literals(*exprs: Expr) -> list[str]:
    numbers = sorted(set().union(*(constants(e) for e in exprs)))
    return [f"  localparam signed [EW-1:0] C{n} = {n};" for n in numbers]


def _variables(names: Iterable[str]) -> list[str]:
    """Declarations of the signed numbers of EW bits in which one lane is computed."""
    return [f"  reg signed [EW-1:0] {name}_v;" for name in names]


def _compute(name: str, expr: Expr) -> tuple[list[str], list[str]]:
    """Variables and statements that compute `name_v`; parts that occur more than once are computed once."""
    parts: dict[Expr, str] = {}
    names, statements = [], []
    for part, label in shared_parts(expr).items():
        unique = f"{name}_{label}"
        statements.append(f"      {unique}_v = {_render(replace_parts(part, parts))};")
        names.append(unique)
        parts[part] = unique
    return [*names, name], [*statements, f"      {name}_v = {_render(replace_parts(expr, parts))};"]


def _parameters(names: list[str]) -> list[str]:
    text = ",\n".join(f"  parameter [LANES*PW-1:0] {name.upper()} = 0" for name in names)
    return [text] if text else []


def _nets(names: list[str]) -> list[str]:
    """The packed parameters as nets, parts of which cost Icarus far less than parts of a constant."""
    return [f"  wire [LANES*PW-1:0] {name}_all = {name.upper()};" for name in names]


def _load(name: str, bus: str, width: str) -> str:
    return f"      {name}_v = $signed({bus}[i*{width} +: {width}]);"


def fsm_parameters(op_name: str) -> list[str]:
    """The integers that an op's state machine reads in every cycle, by the names of its attributes."""
    fsm = REGISTRY[op_name].cell
    assert isinstance(fsm, Fsm)
    exprs = [fsm.step, fsm.next] + ([fsm.out] if fsm.out else [])
    return sorted(set().union(*(e.variables() for e in exprs)) - {"state", "step", "count"})


def fsm_module(op_name: str) -> str:
    """A state machine op as a module, all lanes.

    Parameters: LANES, W (bits of a state), CW (bits of a count), PW (bits of one of the op's own parameters) and, packed,
    START (the states that a window starts with) and the op's own. START is no expression in an always block: without an
    event before the first `go`, a simulator would not have evaluated it yet.
    """
    definition = REGISTRY[op_name]
    fsm = definition.cell
    assert isinstance(fsm, Fsm)
    parameters = fsm_parameters(op_name)
    moore = fsm.out is not None and "step" not in fsm.out.variables()
    names, statements = ["state", "count", *parameters], [_load("state", "state", "W"), _load("count", "count", "CW")]
    statements += [_load(p, f"{p}_all", "PW") for p in parameters]
    for name, expr in (("step", fsm.step), ("next", fsm.next)):
        more, lines = _compute(name, expr)
        names, statements = names + more, statements + lines
    statements += ["      following[i*W +: W] = next_v[W-1:0];"]
    if fsm.out is not None:
        statements.append(f"      ones[i] = {_render(fsm.out)};")
    out = (
        "  output wire [LANES*W-1:0]  states"
        if fsm.out is None
        else f"  output {'wire' if moore else 'reg '} [LANES-1:0]    bits"
    )
    head = [f"// {op_name}: {definition.doc}", f"module {module_name(op_name)} #(", "  parameter LANES = 1,"]
    head += ["  parameter W  = 8,", "  parameter CW = 8,", "  parameter PW = 8,"]
    head += ["  parameter [LANES*W-1:0] START = 0" + ("," if parameters else ""), *_parameters(parameters), ") ("]
    head += ["  input  wire                clk,", "  input  wire                go,"]
    head += ["  input  wire                running,", "  input  wire [LANES*CW-1:0] count,", out, ");"]
    head += ["  localparam EW = (W > CW ? (W > PW ? W : PW) : (CW > PW ? CW : PW)) + 2;"]
    head += _literals(*(e for e in (fsm.step, fsm.next, fsm.out) if e is not None)) + _nets(parameters)
    head += [
        "  integer i;",
        "  reg [LANES*W-1:0] state;",
        "  reg [LANES*W-1:0] following;",
    ]
    head += (["  reg [LANES-1:0] ones;"] if fsm.out is not None else []) + _variables(dict.fromkeys(names))
    body = ["  always @* begin", "    for (i = 0; i < LANES; i = i + 1) begin", *statements, "    end", "  end"]
    body += [
        "  always @(posedge clk) begin",
        "    if (go) state <= START;",
        "    else if (running) state <= following;",
        "  end",
    ]
    if fsm.out is None:
        body.append("  assign states = state;")
    elif moore:
        body.append("  assign bits = ones;")
    else:
        body.append("  always @(posedge clk) if (running) bits <= ones;")
    return "\n".join([*head, *body, "endmodule", ""])


def module_name(op_name: str) -> str:
    return "sccc_" + op_name.split(".", 1)[1]


def comb_module(op_name: str, bits: tuple[str, ...] = (), ports: tuple[str, ...] = ()) -> str:
    """An integer op of kind Comb as a module, all lanes.

    Parameters: LANES, IW and OW (bits of an integer operand and of the result), PW (bits that hold every parameter and
    intermediate result) and, packed, the variables that are not operands; those in `ports` are inputs NAME_all
    instead, of NAME_W bits a lane. Operands in `bits` are single bits.
    """
    definition = REGISTRY[op_name]
    cell = definition.cell
    assert isinstance(cell, Comb)
    integers = [o for o in definition.operands if o not in bits]
    parameters = comb_parameters(op_name)
    names, lines = _compute("result", cell.result)
    statements = [
        *(_load(integer, integer, "IW") for integer in integers),
        *(f"      {b}_v = {b}[i] ? {{{{PW-1{{1'b0}}}}, 1'b1}} : {{PW{{1'b0}}}};" for b in bits),
    ]
    statements += [_load(p, f"{p}_all", f"{p.upper()}_W" if p in ports else "PW") for p in parameters] + lines
    statements.append("      all[i*OW +: OW] = result_v[OW-1:0];")
    fixed = [p for p in parameters if p not in ports]
    head = [f"// {op_name}: {definition.doc}", f"module {comb_name(op_name, ports)} #(", "  parameter LANES = 1,"]
    head += ["  parameter IW = 16,", "  parameter OW = 8,", *(f"  parameter {p.upper()}_W = 16," for p in ports)]
    head.append("  parameter PW = 32" + "," * bool(fixed))
    head += [*_parameters(fixed), ") ("]
    head += [
        *(f"  input  wire [LANES*{p.upper()}_W-1:0] {p}_all," for p in ports),
        *(f"  input  wire [LANES*IW-1:0] {o}," for o in integers),
        *(f"  input  wire [LANES-1:0]    {b}," for b in bits),
    ]
    head += [
        "  output reg  [LANES*OW-1:0] result",
        ");",
        "  localparam EW = PW;",
        *_literals(cell.result),
        *_nets(fixed),
        "  integer i;",
    ]
    head += ["  reg [LANES*OW-1:0] all;", *_variables(dict.fromkeys([*integers, *bits, *parameters, *names]))]
    body = [
        "  always @* begin",
        "    for (i = 0; i < LANES; i = i + 1) begin",
        *statements,
        "    end",
        "    result = all;",
        "  end",
    ]
    return "\n".join([*head, *body, "endmodule", ""])


def comb_name(op_name: str, ports: tuple[str, ...] = ()) -> str:
    """The name of a `comb_module`."""
    return "_of_".join([module_name(op_name), *ports])


def fold_module(op_name: str) -> str:
    """An op of kind Fold as a module: LANES windows of TAPS integers of IW bits, the first tap lowest; results of OW bits."""
    definition = REGISTRY[op_name]
    cell = definition.cell
    assert isinstance(cell, Fold)
    names, lines = _compute("result", cell.result)
    head = [f"// {op_name}: {definition.doc}", f"module {module_name(op_name)} #(", "  parameter LANES = 1,"]
    head += ["  parameter TAPS = 4,", "  parameter IW = 8,", "  parameter OW = 8", ") ("]
    head += ["  input  wire [LANES*TAPS*IW-1:0] v,", "  output reg  [LANES*OW-1:0] result", ");"]
    head += ["  localparam EW = (IW > OW ? IW : OW) + 1;", *_literals(cell.result), "  integer i, j;"]
    head += ["  reg [LANES*OW-1:0] all;", *_variables(dict.fromkeys(["a", "b", *names]))]
    body = [
        "  always @* begin",
        "    for (i = 0; i < LANES; i = i + 1) begin",
        "      a_v = $signed(v[i*TAPS*IW +: IW]);",
        "      for (j = 1; j < TAPS; j = j + 1) begin",
        "        b_v = $signed(v[(i*TAPS + j)*IW +: IW]);",
        *(f"  {line}" for line in lines),
        "        a_v = result_v;",
        "      end",
        "      all[i*OW +: OW] = a_v[OW-1:0];",
        "    end",
        "    result = all;",
        "  end",
    ]
    return "\n".join([*head, *body, "endmodule", ""])


def comb_parameters(op_name: str) -> list[str]:
    """The variables of a Comb op's expression that are not operands, sorted."""
    definition = REGISTRY[op_name]
    assert isinstance(definition.cell, Comb)
    return sorted(definition.cell.result.variables() - set(definition.operands))


def lookup_module(name: str, lanes: int, first: int, entries: list[int], address_width: int, level_width: int) -> str:
    """A table, the same for all lanes, as a case statement (which synthesis handles far faster than an indexed constant)."""
    aw, lw = address_width, level_width
    lines = [f"// sc.lookup: levels for the addresses {first} .. {first + len(entries) - 1}.", f"module {name} ("]
    lines += [f"  input  wire [{lanes * aw - 1}:0] address,", f"  output reg  [{lanes * lw - 1}:0] level", ");"]
    lines += [
        "  integer i;",
        f"  reg [{lanes * lw - 1}:0] all;",
        f"  reg [{aw - 1}:0] a;",
        f"  reg [{lw - 1}:0] entry;",
    ]
    lines += [
        "  always @* begin",
        f"    for (i = 0; i < {lanes}; i = i + 1) begin",
        f"      a = address[i*{aw} +: {aw}];",
        "      case (a)",
    ]
    for offset, entry in enumerate(entries[:-1]):
        lines.append(f"        {sized(first + offset, aw)}: entry = {sized(entry, lw)};")
    lines += [
        f"        default: entry = {sized(entries[-1], lw)};",
        "      endcase",
        f"      all[i*{lw} +: {lw}] = entry;",
    ]
    return "\n".join([*lines, "    end", "    level = all;", "  end", "endmodule", ""])
