"""Interval arithmetic on expressions: the range of a result from the ranges of what it is made of."""

from __future__ import annotations

from collections.abc import Mapping

from sccc.expr import Expr
from sccc.types import signed_width

Interval = tuple[int, int]

_COMPARISONS = ("<", "<=", ">", ">=", "==")


def interval(expr: Expr, ranges: Mapping[str, Interval], seen: list[Interval] | None = None) -> Interval:
    """The smallest interval that interval arithmetic gives for an integer expression; each step's is appended to `seen`.

    Correlations between operands are not seen, so it may be wider than the truth, never narrower.
    """
    if expr.kind == "var":
        found = ranges[expr.args[0]]
    elif expr.kind == "const":
        found = (expr.args[0], expr.args[0])
    else:
        found = _combined(expr.kind, [interval(arg, ranges, seen) for arg in expr.args])
        if expr.kind == "?:":
            found = _clamped(expr, found, ranges)
    if seen is not None:
        seen.append(found)
    return found


def _combined(kind: str, parts: list[Interval]) -> Interval:
    if kind == "?:":
        return min(parts[1][0], parts[2][0]), max(parts[1][1], parts[2][1])
    if kind in _COMPARISONS:
        return 0, 1
    if kind == "~":
        return ~parts[0][1], ~parts[0][0]
    (a, b), (c, d) = parts
    if kind == "+":
        return a + c, b + d
    if kind == "-":
        return a - d, b - c
    if kind == "*":
        corners = (a * c, a * d, b * c, b * d)
        return min(corners), max(corners)
    if kind == ">>":
        corners = (a >> c, a >> d, b >> c, b >> d)
        return min(corners), max(corners)
    if kind == "&" and (a >= 0 or c >= 0):
        return 0, min(x for x, low in ((b, a), (d, c)) if low >= 0)
    bits = max(signed_width(a, b), signed_width(c, d)) - 1
    return (0 if a >= 0 and c >= 0 else -(1 << bits)), (1 << bits) - 1


def _clamped(expr: Expr, found: Interval, ranges: Mapping[str, Interval]) -> Interval:
    """What `v < lo ? lo : ...` and `v > hi ? hi : ...` leave of a range: the other branch is taken on one side only."""
    condition, then, otherwise = expr.args
    if condition.kind not in ("<", ">"):
        return found
    bound, least, most = interval(condition.args[1], ranges), *interval(otherwise, ranges)
    if condition.kind == "<" and _same(condition.args[1], then) and _bounded(condition.args[0], otherwise):
        least = max(least, bound[0])
    elif condition.kind == ">" and _same(condition.args[1], then) and _bounded(condition.args[0], otherwise):
        most = min(most, bound[1])
    else:
        return found
    then_range = interval(then, ranges)
    return min(least, then_range[0]), max(most, then_range[1])


def _bounded(value: Expr, branch: Expr) -> bool:
    """Whether a branch is the compared value itself, or a further select that falls back to it."""
    return _same(value, branch) or (branch.kind == "?:" and _bounded(value, branch.args[2]))


def _same(a: Expr, b: Expr) -> bool:
    if a is b:
        return True
    if a.kind != b.kind or len(a.args) != len(b.args):
        return False
    if a.kind in ("var", "const"):
        return bool(a.args == b.args)
    return all(_same(x, y) for x, y in zip(a.args, b.args, strict=True))


def widest(expr: Expr, ranges: Mapping[str, Interval]) -> int:
    """Bits of the narrowest two's complement number that holds the expression and everything it is computed from."""
    seen: list[Interval] = []
    interval(expr, ranges, seen)
    return max(signed_width(lo, hi) for lo, hi in seen)
