"""fold-constants: scale-and-shift ops disappear into the dense layers and convolutions beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.ir import Attribute, Module, Operation
from sccc.ops.geometry import WINDOW_ATTRIBUTES
from sccc.passes.manager import Pass, PassContext, register

LINEAR = ("nn.affine", "nn.dense", "nn.conv")

UNCHANGED = 1e-6
"""Scales closer to 1 than this, a few roundings of a float32, change nothing."""


@register
@dataclass(frozen=True)
class FoldConstants(Pass):
    """Fold affine ops (BatchNormalization, normalised inputs, biases) into dense layers and convolutions, and dense into dense."""

    name: ClassVar[str] = "fold-constants"

    def run(self, module: Module, context: PassContext) -> Module:
        for op in list(module.ops):
            left: Operation | None = op
            while left is not None:
                left = _fold(module, left)
        module.erase_dead()
        return module


def _fold(module: Module, op: Operation) -> Operation | None:
    """Merge `op` with the op that makes its operand, when nobody else reads that. The op to go on with; None at the end."""
    if op.name not in LINEAR:
        return None
    if op.name == "nn.affine" and _changes_nothing(op):
        assert op.result is not None
        module.replace_uses(op.result, op.operands[0])
        module.erase(op)
        return None
    producer = op.operands[0].op
    if producer is None or len(module.uses()[op.operands[0]]) > 1:
        return None
    if (producer.name, op.name) == ("nn.reshape", "nn.dense"):
        return op if _move_affine_behind(module, producer) else None
    if producer.name not in LINEAR or not _mergeable(producer, op):
        return None
    if op.name != "nn.affine" and standardises_input(producer):
        return None
    return _replace_pair(module, producer, op, *_merged(producer, op))


def _changes_nothing(affine: Operation) -> bool:
    scale, shift = _coefficients(affine)
    return bool(np.all(np.abs(scale - 1.0) < UNCHANGED) and not np.any(shift))


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
    return bool(scale.ndim in (1, 3) and scale.min() > 0 and scale.max() > UNEVEN * scale.min())


def _mergeable(first: Operation, second: Operation) -> bool:
    """Whether one op can do what both do.

    A dense op works along the last axis and a convolution along the channels: each takes an affine op that is the same along all
    other axes. In front of a convolution that pads with zeros, a shift would be missing at the edge.
    """
    if first.name == second.name:
        return first.name != "nn.conv"
    names = {first.name, second.name}
    if "nn.affine" not in names:
        return False
    affine = first if first.name == "nn.affine" else second
    scale, shift = _coefficients(affine)
    if "nn.dense" in names:
        return all(np.array_equal(np.broadcast_to(_last_axis(c), c.shape), c) for c in (scale, shift))
    even = all(np.array_equal(np.broadcast_to(c[:, :1, :1], c.shape), c) for c in (scale, shift))
    return even and (second.name != "nn.conv" or not any(second.attributes["pads"]) or not np.any(shift))


def _last_axis(coefficients: np.ndarray) -> np.ndarray:
    """The first row along the last axis."""
    return coefficients.reshape(-1, coefficients.shape[-1])[0]


def _merged(first: Operation, second: Operation) -> tuple[str, dict[str, Attribute]]:
    """The one op that does what `first` and then `second` do: its name and attributes."""
    if first.name == second.name == "nn.affine":
        scale, shift, factor, offset = (
            np.asarray(op.attributes[k]) for op in (first, second) for k in ("scale", "shift")
        )
        return "nn.affine", {"scale": scale * factor, "shift": shift * factor + offset}
    if "nn.conv" in (first.name, second.name):
        return "nn.conv", _merged_conv(first, second)
    a, b = _coefficients(first), _coefficients(second)
    a, b = (
        (_last_axis(c[0]), _last_axis(c[1])) if op.name == "nn.affine" else c for op, c in ((first, a), (second, b))
    )
    if first.name == "nn.affine":
        return "nn.dense", {"weight": b[0] * a[0], "bias": b[0] @ a[1] + b[1]}
    if second.name == "nn.affine":
        return "nn.dense", {"weight": b[0][:, None] * a[0], "bias": b[0] * a[1] + b[1]}
    return "nn.dense", {"weight": b[0] @ a[0], "bias": b[0] @ a[1] + b[1]}


def _merged_conv(first: Operation, second: Operation) -> dict[str, Attribute]:
    """The attributes of the convolution that a convolution and an affine op in front of it, or behind it, are together."""
    conv, affine = (first, second) if first.name == "nn.conv" else (second, first)
    (weight, bias), (scale, shift) = _coefficients(conv), (c[:, 0, 0] for c in _coefficients(affine))
    if conv is first:
        weight, bias = weight * scale.reshape(-1, 1, 1, 1), bias * scale + shift
    else:
        groups = conv.attributes["groups"]
        # [groups, outputs of a group, channels of a group], of which all outputs of a group see the same channels
        taps = weight.sum(axis=(2, 3)).reshape(groups, -1, weight.shape[1])
        bias = bias + (taps * shift.reshape(groups, 1, -1)).sum(axis=2).ravel()
        scales = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        weight = weight * scales[:, :, None, None]
    kept = {k: conv.attributes[k] for k in (*WINDOW_ATTRIBUTES, "groups")}
    return {**kept, "weight": weight, "bias": bias}


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
) -> Operation:
    # The merged op goes by the layer's name, which is where a user looks for it.
    named = second if first.name == "nn.affine" != second.name else first
    if first.attributes.get("range"):
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
    return merged


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
