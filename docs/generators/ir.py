"""The IR reference: types, encodings, cells and the grammar, from the modules that define them."""

from __future__ import annotations

import inspect
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import sccc
from generators.markdown import block, text
from sccc import cells, ir, types

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits_mlp" / "digits_mlp.onnx"

TYPES = (types.Real, types.Level, types.Random, types.Stream, types.Count, types.Total, types.Fixed)


def page() -> str:
    """The page, Markdown."""
    parts = [
        "# The IR\n",
        "This page is generated from `sccc.ir`, `sccc.types`, `sccc.cells` and the grammar.\n",
        _doc(ir),
    ]
    parts += ["## Types\n", inspect.getdoc(types) or "", ""]
    for kind in TYPES:
        parts += [f"### {kind.__name__}\n", _doc(kind), block(str(_example(kind)))]
    parts += ["## Encodings\n", _doc(types.Encoding)]
    parts += ["## Cells\n", _doc(cells)]
    parts += [f"### {cell.__name__}\n\n{_doc(cell)}" for cell in get_args(cells.Cell)]
    module = sccc.compile(EXAMPLE, length=32)
    parts += ["## Text form\n", _TEXT, block("\n".join(_lines(str(module)))), "The grammar:\n"]
    grammar = files("sccc.grammar").joinpath("sc.lark").read_text(encoding="utf-8")
    return "\n".join([*parts, block(grammar)])


_TEXT = """\
`print(module)`, `sccc MODEL.onnx -o net.sc` and `sccc.parse(text)` are inverse to one another; a `.sc` file is accepted wherever
a model is. Tensors stand behind the operations, by name. The digits example at N = 32, its data cut off:
"""


def _doc(thing: object) -> str:
    """A docstring, reflowed and escaped."""
    return "\n\n".join(text(" ".join(part.split())) for part in (inspect.getdoc(thing) or "").split("\n\n")) + "\n"


def _example(kind: type[types.Type]) -> types.Type:
    """A value of the type with four lanes, to show how it is written."""
    known: dict[str, Any] = {
        "shape": (4,),
        "encoding": types.Encoding.SIGNED,
        "bits": 5,
        "length": 32,
        "lo": -16,
        "hi": 15,
    }
    return kind(**{name: known[name] for name in inspect.signature(kind).parameters})


def _lines(printed: str) -> list[str]:
    operations = printed.split("\ndata {")[0].splitlines()
    return [*operations, "data { ... }"]
