"""A module as a picture: its operations, or its layers with their encodings, styles and sources."""

from __future__ import annotations

import numpy as np

from sccc.cost import layer_style
from sccc.graph_layout import Box, draw, markup
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.conversion import SNGS
from sccc.schedule import feeding_values, layer_ops, layer_origin
from sccc.types import Count, Fixed, Level, Random, Real, Stream, Total, Type

COLOURS: dict[type[Type], str] = {
    Real: "#f2f2f2", Level: "#fff3d6", Random: "#e9e3f5", Stream: "#dcecff", Count: "#d9f2e3", Total: "#c9e8d2", Fixed: "#fbe0dc",
}  # fmt: skip
"""Fill of a box by the type of what it makes."""

PORT = "#ffffff"
"""Fill of the network's outputs."""

MOST_OPERATIONS = 600
"""Beyond it layers are shown in the place of operations, and of a float network its name."""


def svg(module: Module) -> str:
    """The module as an SVG element: one box per operation, with its result's name and type, coloured by type."""
    index = {op: i for i, op in enumerate(module)}
    edges = [(index[v.op], i) for op, i in index.items() for v in op.operands if v.op is not None]
    return draw(module.name, [_operation_box(op) for op in module], edges, _independent(module))


def layers_svg(module: Module) -> str:
    """The hardware as an SVG element: one box per layer, with what it computes, its encodings, style, sources and result.

    Raises SccError when the module has ops without a layer.
    """
    layers = layer_ops(module)
    boxes, made = [_operation_box(op) for op in module.inputs], {op: i for i, op in enumerate(module.inputs)}
    edges: list[tuple[int, int]] = []
    for name, ops in layers.items():
        feeds = [v.op for v in feeding_values(ops) if v.op is not None]
        edges += dict.fromkeys((made[op], len(boxes)) for op in feeds)
        made |= dict.fromkeys(ops, len(boxes))
        boxes.append(_layer_box(name, ops))
    for op in module.outputs:
        edges += [(made[v.op], len(boxes)) for v in op.operands if v.op is not None]
        boxes.append(_operation_box(op))
    return draw(module.name, boxes, edges)


def html(module: Module) -> str:
    """What a notebook shows: the picture, in a box that scrolls; of very large modules their layers, or only their name."""
    if len(module) <= MOST_OPERATIONS:
        return f'<div style="max-height:600px;overflow:auto">{svg(module)}</div>'
    if not any(op.dialect in ("nn", "train") for op in module):
        return f'<div style="max-height:600px;overflow:auto">{layers_svg(module)}</div>'
    return f"<pre>{markup(repr(module))}</pre>"


def _independent(module: Module) -> list[int]:
    """Operations that depend on no input: they are drawn just above what reads them."""
    found: dict[Operation, int] = {}
    for i, op in enumerate(module):
        if not op.name.endswith(".input") and all(v.op in found for v in op.operands):
            found[op] = i
    return list(found.values())


def _operation_box(op: Operation) -> Box:
    kind = op.result.type if op.result is not None else None
    lines = [op.name] if op.result is None else [f"%{op.result.name}", op.name, str(kind)]
    more = [f"{name} = {_short(value)}" for name, value in op.attributes.items()]
    more += [f"from {op.origin}"] if op.origin else []
    return Box(tuple(lines), COLOURS[type(kind)] if kind is not None else PORT, "\n".join(more))


def _short(value: object) -> str:
    return f"tensor of shape {list(value.shape)}" if isinstance(value, np.ndarray) and value.ndim else str(value)


def _layer_box(name: str, ops: list[Operation]) -> Box:
    """Name and origin, what is computed, the streams that are multiplied with their sources, style, result."""
    origin = layer_origin(ops)
    computing = [op for op in ops if op.operands and op.name not in (*SNGS, "sc.mask")]
    lines = [name if origin in ("", name) else f"{name}, from {origin}", ", ".join(op.name for op in computing)]
    for op in computing:
        if op.result is not None and isinstance(op.result.type, Count):
            streams = zip(REGISTRY[op.name].operands, op.operands, strict=True)
            lines += [f"{operand}: {_stream(v)}" for operand, v in streams if isinstance(v.type, Stream)]
    lengths = [
        op.result.type.length for op in ops if op.result is not None and isinstance(op.result.type, Count | Stream)
    ]
    lines.append(layer_style(ops) + (f", N = {lengths[0]}" if lengths else ""))
    results = [op.result for op in ops if op.result is not None]
    lines.append(str(results[-1].type))
    return Box(tuple(lines), COLOURS[type(results[-1].type)], "\n".join(f"%{v.name} : {v.type}" for v in results))


def _stream(value: Value) -> str:
    """The encoding of a stream, and the random source that it was made with or the state machine that put it out."""
    assert isinstance(value.type, Stream) and value.op is not None
    if value.op.name not in SNGS:
        return f"{value.type.encoding.value}, from {value.op.name} %{value.name}"
    random, masked = value.op.operands[1].op, ""
    while random is not None and random.name == "sc.mask":
        random, masked = random.operands[0].op, ", masked"
    assert random is not None
    index = np.asarray(random.attributes["index"])
    number = str(int(index)) if index.ndim == 0 else f"{index.min()} .. {index.max()}"
    return f"{value.type.encoding.value}, {random.attributes['kind']} {number}{masked}"
