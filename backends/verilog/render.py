"""Expressions and numbers as Verilog text."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sccc.expr import Expr

SYMBOLS = {">>": ">>>"}


def to_verilog(expr: Expr, name: Callable[[str], str] = str, constant: Callable[[int], str] = str) -> str:
    """The expression, fully parenthesised; `name` gives the Verilog text of a variable, `constant` that of a number."""
    if expr.kind == "var":
        return name(expr.args[0])
    if expr.kind == "const":
        return constant(expr.args[0])
    parts = [to_verilog(arg, name, constant) for arg in expr.args]
    if expr.kind == "~":
        return f"~{parts[0]}"
    if expr.kind == "?:":
        return f"({parts[0]} ? {parts[1]} : {parts[2]})"
    return f"({parts[0]} {SYMBOLS.get(expr.kind, expr.kind)} {parts[1]})"


def constants(expr: Expr) -> set[int]:
    """The numbers that an expression contains."""
    if expr.kind == "const":
        return {expr.args[0]}
    if expr.kind == "var":
        return set()
    return set().union(*(constants(arg) for arg in expr.args))


def shared_parts(expr: Expr) -> dict[Expr, str]:
    """Subexpressions that occur more than once, innermost first, each with a name: they become wires of their own."""
    seen: dict[Expr, int] = {}

    def visit(part: Expr) -> None:
        if part.kind in ("var", "const"):
            return
        seen[part] = seen.get(part, 0) + 1
        if seen[part] == 1:
            for arg in part.args:
                visit(arg)

    visit(expr)
    order: list[Expr] = []

    def finish(part: Expr) -> None:
        if part.kind in ("var", "const") or part in order:
            return
        for arg in part.args:
            finish(arg)
        order.append(part)

    finish(expr)
    return {part: f"part{i}" for i, part in enumerate(p for p in order if seen[p] > 1)}


def replace_parts(expr: Expr, parts: dict[Expr, str]) -> Expr:
    """The expression with each shared part replaced by a variable of its name."""
    if expr in parts:
        return Expr("var", (parts[expr],))
    if expr.kind in ("var", "const"):
        return expr
    return Expr(expr.kind, tuple(replace_parts(arg, parts) for arg in expr.args))


def sized(value: int, width: int) -> str:
    """A two's complement constant of `width` bits."""
    value = int(value)
    return f"{width}'h{value & ((1 << width) - 1):x}"


LITERAL_BITS = 1 << 15
"""Longer constants are concatenations: Icarus' scanner has room for 16,384 characters of a number, and gives up beyond."""


def packed(values: Iterable[int], width: int) -> str:
    """Numbers packed into one constant, the first in the least significant `width` bits."""
    values, mask = [int(v) for v in values], (1 << width) - 1
    some = max(1, LITERAL_BITS // width)
    pieces = []
    for start in range(0, max(len(values), 1), some):
        part, number = values[start : start + some], 0
        for position, value in enumerate(part):
            number |= (value & mask) << (position * width)
        pieces.append(f"{len(part) * width}'h{number:x}")
    return pieces[0] if len(pieces) == 1 else f"{{{', '.join(reversed(pieces))}}}"
