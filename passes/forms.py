"""Which values of the float network must be levels of one kind: what reshaping, joining and the largest-of leave as it is.

A value keeps its scale, encoding and bits through every op of `TRANSPARENT`; nn.concat brings two values together. All values
so connected are one class. Its `makers` put levels of some scale into it, and its readers take them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.ir import Module, Operation, Value
from sccc.ops.fixed import number_range
from sccc.ops.layer import PRODUCT_LAYERS
from sccc.types import Encoding, Level

TRANSPARENT = ("nn.reshape", "nn.transpose", "nn.slice", "nn.pad", "nn.upsample", "nn.concat", "nn.max_pool")
ENDS = ("nn.output", "nn.softmax", "nn.argmax")


@dataclass
class FormClass:
    """`readers` multiply, `joins` add or average, `ends` lead out of the network; the ops between them are in `through`."""

    makers: list[Operation] = field(default_factory=list)
    readers: list[Operation] = field(default_factory=list)
    joins: list[Operation] = field(default_factory=list)
    ends: list[Operation] = field(default_factory=list)
    through: list[Operation] = field(default_factory=list)

    @property
    def private(self) -> bool:
        """Whether one product layer alone reads what another one, or the input, makes, so that both may agree on anything."""
        makers = (*PRODUCT_LAYERS, "nn.input", "nn.affine")
        alone = len(self.makers) == len(self.readers) == 1 and not self.joins and not self.ends
        return alone and self.makers[0].name in makers and all(op.name != "nn.pad" for op in self.through)


class Forms:
    """The classes of a module of layers."""

    def __init__(self, module: Module) -> None:
        self._of: dict[Value, FormClass] = {}
        for values in _connected(module):
            self._of.update(dict.fromkeys(values, FormClass()))
        for op in module:
            if op.name in TRANSPARENT and op.result is not None:
                self._of[op.result].through.append(op)
            elif op.result is not None and op.name not in ENDS:
                self._of[op.result].makers.append(op)
            for operand in dict.fromkeys(op.operands):
                kind = self._of[operand]
                if op.name in PRODUCT_LAYERS:
                    kind.readers.append(op)
                elif op.name in ENDS:
                    kind.ends.append(op)
                elif op.name not in TRANSPARENT and op.name != "nn.affine":
                    kind.joins.append(op)

    def __getitem__(self, value: Value) -> FormClass:
        return self._of[value]

    def input_class(self, module: Module) -> FormClass:
        """The class of the input's levels: of what a standardisation makes of it, where there is one (fuse-layers)."""
        (source,) = module.inputs
        assert source.result is not None
        affine = next((op for op in module.ops_named("nn.affine")), None)
        return self._of[affine.result if affine is not None and affine.result is not None else source.result]


def _connected(module: Module) -> list[list[Value]]:
    """The values of each class. (networkx would take longer to import than any network takes here.)"""
    own = {value: [value] for value in module.values()}
    for op in module.ops_named(*TRANSPARENT):
        assert op.result is not None
        for operand in op.operands:
            joined, other = own[op.result], own[operand]
            if joined is not other:
                joined.extend(other)
                own.update(dict.fromkeys(other, joined))
    return list({id(values): values for values in own.values()}.values())


@dataclass(frozen=True)
class Form:
    """What levels are: the real number that 1.0 stands for, encoding, fractional bits, and the largest level (0: 2**bits)."""

    scale: Any
    encoding: str
    bits: int
    largest: int

    def __str__(self) -> str:
        return f"{self.encoding} of {self.bits} bits"


def reader_form(op: Operation) -> Form:
    """What a product layer wants the levels of its input to be."""
    a: dict[str, Any] = op.attributes
    scale = float(a["in_scale"]) if np.ndim(a["in_scale"]) == 0 else tuple(np.ravel(a["in_scale"]))
    return Form(scale, a["x_encoding"], a["bits"], _largest(a))


def _largest(layer: Mapping[str, Any]) -> int:
    """The largest level of a layer's input: 0 (1.0 itself) for streams, what a number of that width holds for numbers."""
    if layer["style"] != "fixed":
        return 0
    return number_range(Level((), Encoding(layer["x_encoding"]), layer["bits"]))[1]
