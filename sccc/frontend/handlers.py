"""The table of supported op types. A handler is a small function from `Step` to bindings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import onnx

from sccc.diagnostics import Location, SccError
from sccc.frontend.bindings import Binding, Derived, Known, Quantized, Tensor
from sccc.frontend.names import identifier, shown
from sccc.frontend.reader import Opsets
from sccc.frontend.tensors import TensorReader
from sccc.ir import Attribute, Module, Value

LARGEST_VALUE = 1 << 26
"""Numbers of one value, per sample: a file of a few bytes can ask for any size."""


@dataclass
class Context:
    """What all steps of one conversion share. `batch_size`: None when it is dynamic."""

    module: Module
    file: str
    opsets: Opsets
    tensors: TensorReader
    batch_size: int | None = None
    used: frozenset[str] = frozenset()
    """The names that some live node or the graph's outputs read."""


@dataclass
class Step:
    """One node of the graph on its way into the module."""

    node: onnx.NodeProto
    origin: str
    context: Context
    opset: int
    inputs: list[Binding | None] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> Location:
        return Location(file=self.context.file, node=self.origin)

    def refuse(self, reason: str, advice: str = "") -> SccError:
        """An SccError placed at this node."""
        return SccError(f"{shown(self.node.op_type)}: {reason}", self.location, advice)

    def input(self, index: int) -> Binding | None:
        """Input `index`, None when it was left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def input_name(self, index: int) -> str:
        return shown(self.node.input[index])

    def tensor(self, index: int) -> Tensor:
        """Input `index`, which must be computed from the network's input."""
        binding = self.input(index)
        if isinstance(binding, Tensor):
            return binding
        if binding is None:
            raise self.refuse(f"input {index} is missing")
        raise self.refuse(f"input '{self.input_name(index)}' must be computed from the network's input")

    def constant(self, index: int, what: str, default: Any = None) -> np.ndarray:
        """Input `index` as numbers (float64, finite) that are known now, or the default when it was left out."""
        binding = self.input(index)
        if binding is None:
            if default is None:
                raise self.refuse(f"the {what} is missing")
            return np.asarray(default, dtype=np.float64)
        if not isinstance(binding, Known):
            raise self.refuse(
                f"the {what} '{self.input_name(index)}' is computed at run time",
                "only constants are supported here: export the trained model in inference mode",
            )
        if not binding.fixed:
            raise self.refuse(f"the {what} '{self.input_name(index)}' depends on the batch size")
        if not is_number(binding.array):
            raise self.refuse(f"the {what} '{self.input_name(index)}' is text, not numbers")
        return self.finite(binding.array, f"the {what} '{self.input_name(index)}'")

    def finite(self, numbers: Any, what: str) -> np.ndarray:
        """The numbers as float64. Raises SccError for NaN and infinity."""
        array = np.asarray(numbers).astype(np.float64)
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise self.refuse(f"{what} has {bad} NaN or infinite elements", "retrain, or repair the weights")
        return array

    def integers(self, index: int, what: str) -> list[int] | None:
        """Input `index` as a list of integers; None when it was left out."""
        if self.input(index) is None:
            return None
        return [int(number) for number in self.constant(index, what).ravel()]

    def axis(self, axis: int, rank: int) -> int:
        """The axis counted from 0. Raises SccError when there is no such axis."""
        if not -rank <= axis < rank:
            raise self.refuse(f"axis {axis} is out of range for a tensor of {rank} axes")
        return axis % rank

    def emit(self, op: str, operands: list[Value], **attributes: Attribute) -> Value:
        """Append an nn op that belongs to this node. Raises SccError when the op refuses its operands, or is too large."""
        hint = identifier(self.node.name) or identifier(self.origin) or op.split(".", 1)[1]
        try:
            made = self.context.module.append(
                op,
                operands,
                attributes,
                result=hint,
                origin=self.origin,
                location=Location(file=self.context.file),
            )
        except SccError as error:
            raise self.refuse(error.diagnostics[0].message, error.diagnostics[0].advice) from error
        assert made.result is not None
        if made.result.type.lanes > LARGEST_VALUE:
            raise self.refuse(
                f"gives {made.result.type.lanes:,} numbers per sample; at most {LARGEST_VALUE:,} are computed"
            )
        return made.result

    def apply(self, op: str, tensor: Tensor, *others: Value, **attributes: Attribute) -> Tensor:
        """Append an nn op that keeps the layout of its first operand."""
        return replace(tensor, value=self.emit(op, [tensor.value, *others], **attributes), complement=None)


Handle = Callable[[Step], Binding | list[Binding]]
"""Gives the node's one result, or a list of all of them."""
HandleT = TypeVar("HandleT", bound=Handle)


@dataclass(frozen=True)
class Handler:
    """How an op type is handled. Attributes that are not named in `attributes` (with their defaults) are refused.

    `any_type`: also works on integers. `after_ending`: may follow Softmax and ArgMax. `reads`: more bindings that it
    knows, beside Known and Tensor.
    """

    handle: Handle
    attributes: Mapping[str, Any]
    any_type: bool
    after_ending: bool
    reads: tuple[type, ...]


HANDLERS: dict[tuple[str, str], Handler] = {}
"""(domain, op type) -> handler."""

ML = "ai.onnx.ml"


def handles(
    *op_types: str,
    domain: str = "",
    attributes: Mapping[str, Any] | None = None,
    any_type: bool = False,
    after_ending: bool = False,
    quantized: bool = False,
) -> Callable[[HandleT], HandleT]:
    """Register a function as the handler of op types."""

    def register(handle: HandleT) -> HandleT:
        reads = (Derived,) * after_ending + (Quantized,) * quantized
        for op_type in op_types:
            HANDLERS[domain, op_type] = Handler(handle, attributes or {}, any_type, after_ending, reads)
        return handle

    return register


def is_number(array: np.ndarray) -> bool:
    """Whether an array holds numbers, not text."""
    return array.dtype.kind not in "OSU"
