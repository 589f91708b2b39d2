"""Expressions as Python text: the source that numba compiles into kernels."""

from __future__ import annotations

from collections.abc import Mapping

from sccc.expr import Expr, Var

COMPARISONS = ("<", "<=", ">", ">=", "==")


def to_python(expr: Expr, word: str = "") -> str:
    """The expression over Python variables of the same names, fully parenthesised.

    `word`: a numpy type that holds every intermediate result and is stated for each, as numba would compute in 64 bits.
    """
    if expr.kind in ("var", "const"):
        return str(expr.args[0])
    parts = [to_python(arg, word) for arg in expr.args]
    if expr.kind == "?:":
        return f"({parts[1]} if {parts[0]} else {parts[2]})"
    text = f"(~{parts[0]})" if expr.kind == "~" else f"({parts[0]} {expr.kind} {parts[1]})"
    return text if not word or expr.kind in COMPARISONS else f"{word}{text}"


def words(expr: Expr) -> Expr:
    """A bit expression for packed words: its constants 0 and 1 become the variables ZERO and ONES."""
    if expr.kind == "const":
        return Var("ONES" if expr.args[0] & 1 else "ZERO")
    if expr.kind == "var":
        return expr
    return Expr(expr.kind, tuple(words(arg) for arg in expr.args))


def to_words(expr: Expr, places: Mapping[str, str]) -> str:
    """A bit expression as Python over packed words; `places` says which text stands for each of its variables."""
    return to_python(words(expr).substitute({name: Var(place) for name, place in places.items()}))
