"""The module hierarchy of an emitted netlist: what instantiates what, and how often."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_MODULE = re.compile(
    r"(?P<comments>(?:^//[^\n]*\n)*)^module (?P<name>\w+)(?P<body>.*?)^endmodule", re.MULTILINE | re.DOTALL
)
_INSTANCE = re.compile(r"^[ \t]+(\w+)[ \t]+(?:#\(|\w+[ \t]*\()", re.MULTILINE)
_COMMENT = re.compile(r"//[^\n]*")


@dataclass(frozen=True)
class Part:
    """Modules that one parent instantiates, those whose names differ in numbers at the end only taken together.

    name: of the module, or of the first; modules: how many there are; instances: as written in the parent; lines: of Verilog, of
    all of them; comment: the first line that the netlist says of the first; parts: of a single module, what it instantiates itself.
    """

    name: str
    modules: int
    instances: int
    lines: int
    comment: str
    parts: tuple[Part, ...]


def hierarchy(netlist: str) -> Part:
    """The hierarchy of a netlist that sccc has emitted, whose first module is the top."""
    found = {match["name"]: match for match in _MODULE.finditer(netlist)}
    inside = {name: _instances(match["body"], found) for name, match in found.items()}

    def part(names: list[str], instances: int) -> Part:
        lines = sum(found[name]["body"].count("\n") + 1 for name in names)
        parts = tuple(part(*each) for each in _families(inside[names[0]])) if len(names) == 1 else ()
        return Part(
            names[0],
            len(names),
            instances,
            lines,
            found[names[0]]["comments"].partition("\n")[0].removeprefix("//").strip(),
            parts,
        )

    return part([next(iter(found))], 1)


def _instances(body: str, known: dict[str, re.Match[str]]) -> Counter[str]:
    return Counter(name for name in _INSTANCE.findall(_COMMENT.sub("", body)) if name in known)


def _families(instances: Counter[str]) -> list[tuple[list[str], int]]:
    """Names that differ in numbers at the end only, in the order in which they come, with all their instances."""
    families: dict[str, list[str]] = {}
    for name in instances:
        families.setdefault(re.sub(r"(_\d+)+$", "", name), []).append(name)
    return [(names, sum(instances[name] for name in names)) for names in families.values()]
