"""What is done to the emitted text before Yosys reads it: one lane is synthesised instead of many equal ones.

A library module that computes LANES lanes without a clock becomes LANES instances of itself with one lane each, so that Yosys
meets every distinct lane once. Modules that hold gates and small sums only are told from those that need all of Yosys' passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MODULE = re.compile(r"^module (\w+)\b.*?^endmodule$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^\s*(input|output)\s+(?:wire|reg)?\s*(?:signed\s*)?(\[.*?\])?\s*(\w+),?\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"^\s*parameter\s*(\[.*?\])?\s*(\w+)\s*=", re.MULTILINE)
_LOOP = re.compile(r"for \(i = 0; i < (\d+);")
_HEAVY = re.compile(r"\bfor\b|\bposedge\b|\bcase\b|\?|\*|#\(")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|@\*", re.DOTALL)


@dataclass(frozen=True)
class Prepared:
    """`light`: modules by name that need no optimisation before ABC; `stubs`: their ports; `full`: the text of the others."""

    light: dict[str, str]
    stubs: dict[str, str]
    full: str


def prepare(text: str) -> Prepared:
    """Split the lanes, sort the modules."""
    light: dict[str, str] = {}
    full = []
    for match in _MODULE.finditer(text):
        if _HEAVY.search(_COMMENT.sub("", match[0])):
            full.append(one_lane(match[0]))
        else:
            light[match[1]] = match[0]
    stubs = {n: f"(* blackbox *)\n{body[: body.index(');') + 2]}\nendmodule\n" for n, body in light.items()}
    return Prepared(light, stubs, "\n" + "\n".join(full))


def one_lane(body: str) -> str:
    """The module as instances of one lane; as it is where it has a clock, or no lanes, or outputs that mix them."""
    if "posedge" in body:
        return body
    head = body[: body.index(");") + 2]
    name = body.split()[1]
    ports = [(way, width or "", port) for way, width, port in _PORT.findall(head)]
    parameters = [(width or "", parameter) for width, parameter in _PARAMETER.findall(head)]
    if any(parameter == "LANES" for _, parameter in parameters):
        return _parametric(name, head, body, ports, parameters)
    lanes = _LOOP.findall(body)
    if name.count("_lookup") and len(set(lanes)) == 1 and int(lanes[0]) > 1:
        return _literal(name, head, body, ports, int(lanes[0]))
    return body


def _parametric(
    name: str, head: str, body: str, ports: list[tuple[str, str, str]], parameters: list[tuple[str, str]]
) -> str:
    if not all("LANES" in width for way, width, _ in ports if way == "output"):
        return body
    per_lane = {}
    for width, label in [(w, p) for w, p in parameters] + [(w, p) for _, w, p in ports]:
        if "LANES" in width:
            size = re.search(r"\[LANES(?:\*(.+))?-1:0\]", width)
            if size is None:
                return body
            per_lane[label] = f"{label}[g]" if size[1] is None else f"{label}[g*({size[1]}) +: ({size[1]})]"
    settings = [f".{p}({'1' if p == 'LANES' else per_lane.get(p, p)})" for _, p in parameters]
    connections = [f".{p}({per_lane.get(p, p)})" for _, _, p in ports]
    return _wrapper(name, head.replace("output reg ", "output wire"), body, "LANES", settings, connections)


def _literal(name: str, head: str, body: str, ports: list[tuple[str, str, str]], lanes: int) -> str:
    """A table for all lanes: its widths are numbers."""
    connections, single = [], body
    for _, width, port in ports:
        bits = (int(width[1 : width.index(":")]) + 1) // lanes
        connections.append(f".{port}({port}[g*{bits} +: {bits}])")
        single = single.replace(width, f"[{bits - 1}:0]")
    single = _LOOP.sub("for (i = 0; i < 1;", single)
    return _wrapper(name, head.replace("output reg ", "output wire"), single, str(lanes), [], connections)


def _wrapper(name: str, head: str, single: str, lanes: str, settings: list[str], connections: list[str]) -> str:
    instance = f"{name}_lane" + (f" #({', '.join(settings)})" if settings else "")
    return "\n".join(
        [
            head,
            "  genvar g;",
            f"  generate for (g = 0; g < {lanes}; g = g + 1) begin : lane",
            f"    {instance} one ({', '.join(connections)});",
            "  end endgenerate",
            "endmodule",
            re.sub(rf"^module {name}\b", f"module {name}_lane", single, count=1, flags=re.MULTILINE),
            "",
        ]
    )
