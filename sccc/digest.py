"""Hashes of modules, arrays and plain data, and modules as flat data that processes can hand to each other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from sccc.ir import Module, Operation, Value

Packed = list[tuple[str, list[int], dict[str, Any], tuple[str, Any] | None, str]]


def digest(*parts: Any) -> str:
    """A hash (SHA-256, in hex) of modules, arrays and plain data. Names of values do not count."""
    state = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            state.update(len(piece).to_bytes(8, "little"))
            state.update(piece)
    return state.hexdigest()


def _pieces(part: Any) -> Iterator[bytes]:
    if isinstance(part, Module):
        number = {value: i for i, value in enumerate(part.values())}
        for op in part:
            yield repr((op.name, [number[v] for v in op.operands], str(op.result.type if op.result else ""))).encode()
            for name in sorted(op.attributes):
                yield name.encode()
                yield from _pieces(op.attributes[name])
    elif isinstance(part, np.ndarray):
        yield repr((part.shape, str(part.dtype))).encode()
        yield np.ascontiguousarray(part).tobytes()
    else:
        yield repr(part).encode()


def pack(module: Module) -> Packed:
    """A module as flat data: a network is as deep as pickle's recursion would be. Without the float network it came from."""
    number = {value: i for i, value in enumerate(module.values())}
    made: Packed = []
    for op in module:
        result = None if op.result is None else (op.result.name, op.result.type)
        made.append((op.name, [number[v] for v in op.operands], op.attributes, result, op.origin))
    return made


def unpack(packed: Packed) -> Module:
    """The module again."""
    module, values = Module(), list[Value]()
    for name, operands, attributes, result, origin in packed:
        op = Operation(name, [values[i] for i in operands], dict(attributes), None, origin)
        if result is not None:
            op.result = Value(*result, op)
            values.append(op.result)
        module.ops.append(op)
    return module
