"""Ops that a pass puts in front of another one of the same layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sccc.ir import Module, Operation, Value


def add_before(module: Module, op: Operation) -> Callable[..., Value]:
    """A function add(op_name, operands, suffix, **attributes) -> result, for ops of op's layer, of its origin, in front of it.

    Their results are called after the layer and the suffix.
    """
    layer = op.attributes["layer"]

    def add(op_name: str, operands: list[Value], suffix: str, **attributes: Any) -> Value:
        new = module.append(
            op_name, operands, {**attributes, "layer": layer}, result=f"{layer}_{suffix}", origin=op.origin,
            location=op.location, before=op,
        )  # fmt: skip
        assert new.result is not None
        return new.result

    return add
