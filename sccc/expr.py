"""Expressions: the behaviour of hardware as data.

An op states what it does once, as an `Expr` over named variables. The simulator renders it as Python (numpy words or
numba source), the Verilog backend as Verilog, the cost estimate walks it: nobody writes the behaviour a second time.

Bit expressions use & | ^ ~ and work on packed words as on single bits. Integer expressions use + - * >> comparisons,
`select`, `clamp`, and are signed. An expression is built by Python's own operators on `Var`s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Expr:
    """A node: `kind` is 'var', 'const' or an operator; `args` are its operands."""

    kind: str
    args: tuple[Any, ...]

    def __and__(self, other: Expr | int) -> Expr:
        return Expr("&", (self, wrap(other)))

    def __or__(self, other: Expr | int) -> Expr:
        return Expr("|", (self, wrap(other)))

    def __xor__(self, other: Expr | int) -> Expr:
        return Expr("^", (self, wrap(other)))

    def __invert__(self) -> Expr:
        return Expr("~", (self,))

    def __add__(self, other: Expr | int) -> Expr:
        return Expr("+", (self, wrap(other)))

    def __sub__(self, other: Expr | int) -> Expr:
        return Expr("-", (self, wrap(other)))

    def __mul__(self, other: Expr | int) -> Expr:
        return Expr("*", (self, wrap(other)))

    def __rshift__(self, other: Expr | int) -> Expr:
        return Expr(">>", (self, wrap(other)))

    def __lt__(self, other: Expr | int) -> Expr:
        return Expr("<", (self, wrap(other)))

    def __le__(self, other: Expr | int) -> Expr:
        return Expr("<=", (self, wrap(other)))

    def __gt__(self, other: Expr | int) -> Expr:
        return Expr(">", (self, wrap(other)))

    def __ge__(self, other: Expr | int) -> Expr:
        return Expr(">=", (self, wrap(other)))

    def equals(self, other: Expr | int) -> Expr:
        return Expr("==", (self, wrap(other)))

    def variables(self) -> frozenset[str]:
        """Names of the variables that the expression reads."""
        if self.kind == "var":
            return frozenset(self.args)
        if self.kind == "const":
            return frozenset()
        return frozenset().union(*(arg.variables() for arg in self.args))

    def substitute(self, bindings: Mapping[str, Expr]) -> Expr:
        """The expression with variables replaced."""
        if self.kind == "var":
            return bindings.get(self.args[0], self)
        if self.kind == "const":
            return self
        return Expr(self.kind, tuple(arg.substitute(bindings) for arg in self.args))

    def evaluate(self, env: Mapping[str, Any]) -> Any:
        """Its value over numpy arrays (or ints); bitwise operators on packed words act on every bit at once."""
        if self.kind == "var":
            return env[self.args[0]]
        if self.kind == "const":
            return self.args[0]
        return NUMPY_OPERATORS[self.kind](*(arg.evaluate(env) for arg in self.args))

    def is_const(self, number: int) -> bool:
        return self.kind == "const" and self.args[0] == number


NUMPY_OPERATORS: dict[str, Callable[..., Any]] = {
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "~": lambda a: ~a,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    ">>": lambda a, b: a >> b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "?:": np.where,
}


def wrap(value: Expr | int) -> Expr:
    return value if isinstance(value, Expr) else Expr("const", (int(value),))


def Var(name: str) -> Expr:
    return Expr("var", (name,))


def select(condition: Expr, then: Expr | int, otherwise: Expr | int) -> Expr:
    """`then` where the condition holds, else `otherwise`."""
    return Expr("?:", (condition, wrap(then), wrap(otherwise)))


def clamp(value: Expr, lo: Expr | int, hi: Expr | int) -> Expr:
    """`value` limited to lo .. hi."""
    return select(value < lo, lo, select(value > hi, hi, value))


ZERO = wrap(0)
ONE = wrap(1)


def fold_bits(expr: Expr, known: dict[str, int]) -> Expr:
    """A bit expression with variables of known value replaced and the constants 0 and 1 simplified away."""
    if expr.kind == "var":
        return wrap(known[expr.args[0]]) if expr.args[0] in known else expr
    if expr.kind == "const":
        return expr
    args = [fold_bits(arg, known) for arg in expr.args]
    if expr.kind == "~":
        if args[0].kind == "~":
            return args[0].args[0]
        return ZERO if args[0].is_const(1) else ONE if args[0].is_const(0) else Expr("~", (args[0],))
    a, b = args
    if b.kind == "const":
        a, b = b, a
    if a.kind != "const":
        return Expr(expr.kind, (a, b))
    one = a.is_const(1)
    if expr.kind == "&":
        return b if one else ZERO
    if expr.kind == "|":
        return ONE if one else b
    return fold_bits(~b, {}) if one else b
