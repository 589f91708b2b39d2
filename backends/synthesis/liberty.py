"""Reading a Liberty file: what area, activity and energy need of it. Delays are left to OpenSTA.

Units here: area as in the file (um^2 in the OSU libraries), capacitance pF, energy pJ, leakage nW, slew ns, voltage V. An
`internal_power` table holds the energy of one transition without that of the load's capacitance (Liberty User Guide, vol. 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sccc.diagnostics import Location, SccError

NOMINAL_SLEW = 0.15
"""Input slew in ns at which energy tables are read (OSU tables span 0.06 .. 1.2); OpenSTA finds 0.05 .. 0.3 in our netlists."""

CAPACITANCE_UNITS = {"ff": 1e-3, "pf": 1.0}
LEAKAGE_UNITS = {"1nw": 1.0, "1uw": 1e3, "1pw": 1e-3, "10pw": 1e-2, "100pw": 0.1, "1mw": 1e6}


@dataclass
class Group:
    """A Liberty group: `kind(name) { attributes, groups }`."""

    kind: str
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[Group]:
        return (g for g in self.groups if g.kind == kind)


@dataclass
class Pin:
    """A pin. `function` is the output's logic over the inputs' names; `energies` are (pJ per transition) tables of the pin."""

    name: str
    direction: str
    capacitance: float
    function: str = ""
    clock: bool = False
    max_capacitance: float = 0.0
    energies: list[Group] = field(default_factory=list)


@dataclass
class Cell:
    """A library cell. Of a flip-flop: `next_state` is its data function, `clocked_on` its clock pin, `state` the name by which
    outputs call what it holds."""

    name: str
    area: float
    leakage: float
    pins: dict[str, Pin]
    next_state: str = ""
    clocked_on: str = ""
    state: str = ""

    @cached_property
    def inputs(self) -> list[str]:
        return [p.name for p in self.pins.values() if p.direction == "input"]

    @cached_property
    def outputs(self) -> list[str]:
        return [p.name for p in self.pins.values() if p.direction == "output"]

    def transition_energy(self, pin: str, load: np.ndarray, slew: float = NOMINAL_SLEW) -> np.ndarray:
        """Mean internal energy in pJ of a transition of a pin at these loads (pF): rise and fall, all related pins alike."""
        groups = self.pins[pin].energies
        if not groups:
            return np.zeros_like(load)
        return np.mean([np.mean([_look_up(t, load, slew) for t in g.groups], axis=0) for g in groups], axis=0)


@dataclass
class Library:
    """The cells by name, and the supply voltage."""

    path: Path
    voltage: float
    cells: dict[str, Cell]

    @cached_property
    def buffer(self) -> Cell | None:
        """The buffer that drives most."""
        found = [
            c
            for c in self.cells.values()
            if len(c.inputs) == 1 and len(c.outputs) == 1 and c.pins[c.outputs[0]].function == c.inputs[0]
            if "CLK" not in c.name.upper()
        ]
        return max(found, key=lambda c: c.pins[c.outputs[0]].max_capacitance, default=None)


def read_liberty(path: Path) -> Library:
    """Read a Liberty file. Raises SccError when it is none."""
    place = Location(file=str(path), option="--liberty")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        advice = "give a Liberty file, or run `sccc setup-eda`"
        raise SccError(f"cannot read the file: {error.strerror}", place, advice) from error
    try:
        return _library(path, _parse(text))
    except (IndexError, KeyError, ValueError) as error:
        raise SccError("not a Liberty file that sccc can read", place, f"the parser stopped at: {error!r}") from error


_TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s{}();:,"]+')


def _parse(text: str) -> Group:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).replace("\\\n", " ")
    tokens = _TOKEN.findall(text)
    root, position = Group("", ""), 0
    stack = [root]
    while position < len(tokens):
        word = tokens[position]
        if word == "}":
            stack.pop()
            position += 1
        elif word == ";":
            position += 1
        elif tokens[position + 1] == ":":
            end = position + 2
            while tokens[end] not in (";", "}"):
                end += 1
            stack[-1].attributes[word] = " ".join(t.strip('"') for t in tokens[position + 2 : end])
            position = end
        elif tokens[position + 1] == "(":
            end = tokens.index(")", position)
            arguments = [t.strip('"') for t in tokens[position + 2 : end] if t != ","]
            position = end + 1
            if position < len(tokens) and tokens[position] == "{":
                group = Group(word, arguments[0] if arguments else "")
                stack[-1].groups.append(group)
                stack.append(group)
                position += 1
            else:
                stack[-1].attributes[word] = arguments
        else:
            raise ValueError(word)
    return root.groups[0]


def _library(path: Path, root: Group) -> Library:
    if root.kind != "library":
        raise ValueError(root.kind)
    amount, unit = root.attributes.get("capacitive_load_unit", ["1", "pf"])
    farads = float(amount) * CAPACITANCE_UNITS[unit.lower()]
    voltage = float(root.attributes.get("nom_voltage", 1.0))
    nanowatts = LEAKAGE_UNITS[root.attributes.get("leakage_power_unit", "1nW").lower().replace(" ", "")]
    cells = {g.name: _cell(g, farads, nanowatts) for g in root.of("cell")}
    return Library(path, voltage, cells)


def _cell(group: Group, farads: float, nanowatts: float) -> Cell:
    pins = {}
    for g in group.of("pin"):
        a = g.attributes
        energies = [_scaled(e, farads) for e in g.of("internal_power")]
        pins[g.name] = Pin(
            g.name,
            a.get("direction", "input"),
            float(a.get("capacitance", 0.0)) * farads,
            a.get("function", ""),
            a.get("clock", "false") == "true",
            float(a.get("max_capacitance", 0.0)) * farads,
            energies,
        )
    flop = next(group.of("ff"), None)
    leakage = float(group.attributes.get("cell_leakage_power", 0.0)) * nanowatts
    cell = Cell(group.name, float(group.attributes.get("area", 0.0)), leakage, pins)
    if flop is not None:
        cell.next_state, cell.clocked_on = flop.attributes["next_state"], flop.attributes["clocked_on"].strip("!()' ")
        cell.state = flop.name
    return cell


def _scaled(group: Group, farads: float) -> Group:
    """Tables as arrays: index_1 (load) and index_2 (slew), or index_1 alone (slew), and values in pJ."""
    for table in group.groups:
        numbers = {k: [float(x) for x in " ".join(v).replace(",", " ").split()] for k, v in table.attributes.items()}
        first = np.asarray(numbers["index_1"])
        second = np.asarray(numbers.get("index_2", [0.0]))
        values = np.asarray(numbers["values"]) * farads
        loaded = "index_2" in numbers
        table.attributes = {
            "load": first * farads if loaded else np.zeros(1),
            "slew": second if loaded else first,
            "values": values.reshape(len(first), len(second)) if loaded else values.reshape(1, -1),
        }
    return group


def _look_up(table: Group, load: np.ndarray, slew: float) -> np.ndarray:
    """Bilinear within the table, constant outside."""
    a = table.attributes
    by_load = np.array([np.interp(slew, a["slew"], row) for row in a["values"]])
    return np.interp(load, a["load"], by_load)


# -- functions ------------------------------------------------------------------------------------------------------

_LOGIC = re.compile(r"[A-Za-z_]\w*|[01]|[()!'*&+|^]")


def compiled(function: str, inputs: list[str]) -> Callable[..., Any]:
    """A Liberty function as Python over unsigned words: ! ' not, * & and juxtaposition and, ^ xor, + | or."""
    tokens = _LOGIC.findall(function)
    text, rest = _or(tokens, inputs)
    if rest:
        raise ValueError(function)
    return eval(f"lambda {', '.join(inputs)}: {text}")  # the text holds pins and operators only


def _or(tokens: list[str], inputs: list[str]) -> tuple[str, list[str]]:
    left, tokens = _xor(tokens, inputs)
    while tokens and tokens[0] in "+|":
        right, tokens = _xor(tokens[1:], inputs)
        left = f"({left} | {right})"
    return left, tokens


def _xor(tokens: list[str], inputs: list[str]) -> tuple[str, list[str]]:
    left, tokens = _and(tokens, inputs)
    while tokens and tokens[0] == "^":
        right, tokens = _and(tokens[1:], inputs)
        left = f"({left} ^ {right})"
    return left, tokens


def _and(tokens: list[str], inputs: list[str]) -> tuple[str, list[str]]:
    left, tokens = _not(tokens, inputs)
    while tokens and tokens[0] not in "+|^)":
        right, tokens = _not(tokens[1:] if tokens[0] in "*&" else tokens, inputs)
        left = f"({left} & {right})"
    return left, tokens


def _not(tokens: list[str], inputs: list[str]) -> tuple[str, list[str]]:
    head, tokens = tokens[0], tokens[1:]
    if head == "!":
        inner, tokens = _not(tokens, inputs)
        return f"(~{inner})", tokens
    if head == "(":
        inner, tokens = _or(tokens, inputs)
        tokens = tokens[1:]
    elif head in inputs:
        inner = head
    else:
        raise ValueError(head)
    while tokens and tokens[0] == "'":
        inner, tokens = f"(~{inner})", tokens[1:]
    return inner, tokens
