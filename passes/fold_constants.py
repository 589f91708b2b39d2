"""fold-constants: scale-and-shift ops disappear into the dense layers beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.ir import Attribute, Module, Operation
from sccc.passes.manager import Pass, PassContext, register


@register
@dataclass(frozen=True)
class FoldConstants(Pass):
    """Fold affine ops (BatchNormalization, input normalisation, biases) and chained dense ops into dense layers."""

    name: ClassVar[str] = "fold-constants"

    def run(self, module: Module, context: PassContext) -> Module:
        while any(_fold(module, op) for op in list(module.ops)):
            pass
        module.erase_dead()
        return module


def _fold(module: Module, op: Operation) -> bool:
    """Merge `op` with the op that makes its operand, when nobody else reads that. True when something changed."""
    if op.name not in ("nn.affine", "nn.dense"):
        return False
    producer = op.operands[0].op
    if producer is None or len(module.uses()[op.operands[0]]) > 1:
        return False
    if (producer.name, op.name) == ("nn.reshape", "nn.dense"):
        return _move_affine_behind(module, producer)
    if producer.name not in ("nn.affine", "nn.dense") or not _mergeable(producer, op):
        return False
    if op.name == "nn.dense" and standardises_input(producer):
        return False
    _replace_pair(module, producer, op, *_merged(producer, op))
    return True


UNEVEN = 4.0
"""Ratio of the largest to the smallest input scale from which inputs are taken to be features of different kinds."""


def reads_input(op: Operation) -> bool:
    """Whether an op's operand is the network's input, perhaps reshaped."""
    maker = op.operands[0].op
    while maker is not None and maker.name == "nn.reshape":
        maker = maker.operands[0].op
    return maker is not None and maker.name == "nn.input"


def standardises_input(op: Operation) -> bool:
    """An affine op that brings features of different kinds to one scale (a StandardScaler).

    It stays: folded into the weights, it would leave inputs whose levels could not share one scale.
    """
    if op.name != "nn.affine" or not reads_input(op):
        return False
    scale, _ = _coefficients(op)
    return bool(scale.ndim == 1 and scale.min() > 0 and scale.max() > UNEVEN * scale.min())


def _mergeable(first: Operation, second: Operation) -> bool:
    """A dense op works along the last axis: it takes an affine op that is the same along all the others."""
    if first.name == second.name:
        return True
    affine = first if first.name == "nn.affine" else second
    return all(np.array_equal(np.broadcast_to(_last_axis(c), c.shape), c) for c in _coefficients(affine))


def _last_axis(coefficients: np.ndarray) -> np.ndarray:
    """The first row along the last axis."""
    return coefficients.reshape(-1, coefficients.shape[-1])[0]


def _merged(first: Operation, second: Operation) -> tuple[str, dict[str, Attribute]]:
    """The one op that does what `first` and then `second` do: its name and attributes."""
    a, b = _coefficients(first), _coefficients(second)
    if first.name == second.name == "nn.affine":
        return "nn.affine", {"scale": a[0] * b[0], "shift": a[1] * b[0] + b[1]}
    a, b = (
        (_last_axis(c[0]), _last_axis(c[1])) if op.name == "nn.affine" else c for op, c in ((first, a), (second, b))
    )
    if first.name == "nn.affine":
        return "nn.dense", {"weight": b[0] * a[0], "bias": b[0] @ a[1] + b[1]}
    if second.name == "nn.affine":
        return "nn.dense", {"weight": b[0][:, None] * a[0], "bias": b[0] * a[1] + b[1]}
    return "nn.dense", {"weight": b[0] @ a[0], "bias": b[0] @ a[1] + b[1]}


def _coefficients(op: Operation) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias, or scale and shift, in full shape."""
    assert op.result is not None
    if op.name == "nn.affine":
        scale, shift = (np.asarray(op.attributes[k], dtype=np.float64) for k in ("scale", "shift"))
        return np.broadcast_to(scale, op.result.type.shape), np.broadcast_to(shift, op.result.type.shape)
    weight = np.asarray(op.attributes["weight"], dtype=np.float64)
    bias = np.broadcast_to(np.asarray(op.attributes["bias"], dtype=np.float64), weight.shape[:1])
    return weight, bias


def _replace_pair(
    module: Module, first: Operation, second: Operation, name: str, attributes: dict[str, Attribute]
) -> None:
    # The merged op goes by the dense op's name, which is where a user looks for the layer.
    named = second if second.name == "nn.dense" and first.name != "nn.dense" else first
    if name == "nn.dense" and first.attributes.get("range"):
        attributes = {**attributes, "range": first.attributes["range"]}
    assert named.result is not None and second.result is not None
    wish = named.result.name
    merged = module.append(
        name, first.operands, attributes, result=wish, origin=named.origin, location=named.location, before=second
    )
    assert merged.result is not None
    module.replace_uses(second.result, merged.result)
    module.erase(second)
    module.erase(first)
    merged.result.name = wish


def _move_affine_behind(module: Module, reshape: Operation) -> bool:
    """Move an affine op from before a reshape to behind it, where it can be folded. True when there was one."""
    affine = reshape.operands[0].op
    assert reshape.result is not None
    if affine is None or affine.name != "nn.affine" or len(module.uses()[reshape.operands[0]]) > 1:
        return False
    assert affine.result is not None
    scale, shift = (c.reshape(reshape.result.type.shape).copy() for c in _coefficients(affine))
    behind = module.ops[module.ops.index(reshape) + 1]
    moved = module.append(
        "nn.affine",
        [reshape.result],
        {"scale": scale, "shift": shift},
        result=affine.result.name,
        origin=affine.origin,
        before=behind,
    )
    assert moved.result is not None
    module.replace_uses(reshape.result, moved.result)
    moved.operands = [reshape.result]
    reshape.operands = list(affine.operands)
    module.erase(affine)
    return True
