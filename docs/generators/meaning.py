"""An op's meaning as it is written in sccc/ops: its function in reals as source, its cell's expressions as Verilog."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sccc.backends.verilog.render import to_verilog
from sccc.cells import Cell, CountCell, Race
from sccc.expr import Expr


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def in_reals(function: Callable[..., Any]) -> str:
    """The source of a function, with those of the functions that it has closed over in front."""
    code = function.__code__
    names = list(code.co_varnames[: code.co_argcount])
    nodes = [
        node
        for node in ast.walk(_tree(inspect.getsourcefile(function) or ""))
        if isinstance(node, ast.Lambda | ast.FunctionDef) and code.co_firstlineno == node.lineno
    ]
    found = [ast.unparse(node) for node in nodes if [a.arg for a in node.args.args][: len(names)] == names]
    if len(found) != 1:
        raise LookupError(f"{function.__qualname__} is not found in its source")
    closed = zip(code.co_freevars, function.__closure__ or (), strict=True)
    inner = [f"{name} = {in_reals(c.cell_contents)}" for name, c in closed if inspect.isfunction(c.cell_contents)]
    return "\n".join([*inner, *found])


def in_bits(cell: Cell) -> str:
    """The cell's expressions, as the netlist computes them; '' where it has none."""
    return "\n".join(f"{name} = {to_verilog(expr)}" for name, expr in _expressions(cell))


def _expressions(cell: Cell) -> Iterator[tuple[str, Expr]]:
    if isinstance(cell, Race):
        yield from _expressions(cell.sum)
        yield "safe", cell.safe
    elif isinstance(cell, CountCell):
        for (x, w), product in cell.products.items():
            yield f"{x.value} x, {w.value} w: bit", product.bit
            yield f"{x.value} x, {w.value} w: neg", product.neg
    else:
        yield from ((name, value) for name, value in vars(cell).items() if isinstance(value, Expr))
