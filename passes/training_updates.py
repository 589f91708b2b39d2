"""The updates that insert-gradient-counters adds: gradients, quantised or not, and the registers that they move."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.ir import Value
from sccc.passes.training_builder import Builder, fixed_type


def update_dense(b: Builder, name: str, registers: tuple[Value, Value], delta: Value, x: Value) -> None:
    """Weights and bias of a dense layer: delta and x are quantised each for itself, for all weights together.

    Where x reaches further than update_range it is limited first: a nonzero quantised x is worth the whole range, in steps
    that the counter takes at once, and few inputs are that large.
    """
    weights, bias = registers
    one = b.constant("one", 1, 0)
    if b.options.rule == "fixed":
        for register, factor in ((weights, x), (bias, one)):
            _descend(b, "descend", register, [delta, factor])
        return
    if fixed_type(x).hi > b.options.update_range << fixed_type(x).bits:
        x = b.limited(x, f"{name}_xl", b.options.update_range)
    qx = b.quantized(x, f"{name}_qx")
    qdelta = b.quantized(delta, f"{name}_qdelta", delta.type.shape)
    for register, factor in ((weights, qx), (bias, one)):
        worth = _worth(qdelta, factor)
        if b.options.rule == "gdm":
            momentum, out = _momentum(b, register, worth)
            _saturating(b, "average", momentum, [qdelta, factor, out])
            _count(b, "count_by", register, [out], worth)
        else:
            _count(b, "count", register, [qdelta, factor], worth)


def update_shared(
    b: Builder, name: str, registers: tuple[Value, Value], delta: Value, patches: Value, groups: int
) -> None:
    """Weights and bias of a convolution: the gradient, a sum over positions, is limited and quantised as a whole."""
    gradient = b.add("gradient", [delta, patches], f"{name}_gradient", groups=groups)
    exact = gradient, b.add("sum", [delta], f"{name}_delta_sum")
    for register, gradient, part in zip(registers, exact, "wb", strict=True):
        if b.options.rule == "fixed":
            _descend(b, "descend_by", register, [gradient])
            continue
        g = b.limited(gradient, f"{name}_g{part}", b.options.gradient_range)
        q = b.quantized(g, f"{name}_qg{part}", g.type.shape[:1])
        worth = _worth(q)
        if b.options.rule == "gdm":
            momentum, out = _momentum(b, register, worth)
            _saturating(b, "average_by", momentum, [q, out])
            _count(b, "count_by", register, [out], worth)
        else:
            _count(b, "count_by", register, [q], worth)


def _momentum(b: Builder, register: Value, worth: int) -> tuple[Value, Value]:
    """A momentum counter for each weight, and its stream, whose 1 is worth as much as a quantised gradient's."""
    decay, limit = b.options.decay_bits, 1 << b.options.momentum_bits
    initial = np.zeros(register.type.shape, dtype=np.int64)
    bits = decay - worth.bit_length() + 1
    momentum = b.add("weights", [], f"{register.name}_m", initial=initial, bits=bits, lo=-limit, hi=limit - 1)
    out = b.add("quantize", [momentum, b.source(decay, f"{register.name}_mr")], f"{register.name}_out")
    return momentum, out


def _count(b: Builder, op: str, register: Value, operands: list[Value], worth: int) -> None:
    _annealed(b, op, register, operands, move=worth << b.options.halvings)


def _descend(b: Builder, op: str, register: Value, factors: list[Value]) -> None:
    """The register less the product of the factors times the step."""
    bits = sum(fixed_type(factor).bits for factor in factors)
    _annealed(b, op, register, factors, shift=bits + b.options.step_bits - b.weight_bits)


def _annealed(b: Builder, op: str, register: Value, operands: list[Value], **attributes: Any) -> None:
    """An update of weights, whose step halves with the module's input of that name where it has one."""
    if b.halvings is not None:
        op, operands = f"{op}_annealed", [*operands, b.halvings]
    _saturating(b, op, register, operands, **attributes)


def _saturating(b: Builder, op: str, register: Value, operands: list[Value], **attributes: Any) -> None:
    kind = fixed_type(register)
    b.add(op, [register, *operands], lo=kind.lo, hi=kind.hi, **attributes)


def _worth(*quantized: Value) -> int:
    """What the product of quantised values of 1 is worth."""
    return 1 << -sum(fixed_type(value).bits for value in quantized)
