"""absorb-quantizers: QuantizeLinear/DequantizeLinear pairs become limits and scales of the layers around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.ir import Module, Operation, Value
from sccc.passes.manager import Pass, PassContext, register

RANGES = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "relu": (0.0, np.inf)}
"""What an activation can give; a quantiser's limits outside it change nothing."""


@register
@dataclass(frozen=True)
class AbsorbQuantizers(Pass):
    """Honour the scales of quantised models: each nn.quantize becomes a limit before it and the input scale behind it."""

    name: ClassVar[str] = "absorb-quantizers"

    def run(self, module: Module, context: PassContext) -> Module:
        for op in module.ops_named("nn.quantize"):
            _absorb(module, op)
        return module


def _absorb(module: Module, op: Operation) -> None:
    assert op.result is not None
    scale, zero = np.asarray(op.attributes["scale"], dtype=np.float64), np.asarray(op.attributes["zero_point"])
    lo, hi = float(np.min((op.attributes["lo"] - zero) * scale)), float(np.max((op.attributes["hi"] - zero) * scale))
    # Levels that are the quantiser's own integers: q * scale = (q / 2**bits) * (scale * 2**bits).
    largest = int(max(np.abs(op.attributes["lo"] - zero).max(), np.abs(op.attributes["hi"] - zero).max()))
    full_scale = float(scale.max()) * 2.0 ** (largest - 1).bit_length()
    value = _limited(module, op, lo, hi)
    module.replace_uses(op.result, value)
    module.erase(op)
    _announce(module.uses(), value, full_scale)


CARRIERS = ("nn.reshape", "nn.transpose", "nn.max_pool", "nn.slice", "nn.upsample")
"""Ops that give none but the numbers they are given, so that the quantiser's integers reach the layer behind them."""


def _announce(uses: dict[Value, list[Operation]], value: Value, full_scale: float) -> None:
    """Tell every layer that reads a quantised value what its levels are."""
    for reader in uses[value]:
        if reader.name in ("nn.dense", "nn.conv", "nn.reshape"):
            reader.attributes["range"] = full_scale
        if reader.name in CARRIERS and reader.result is not None:
            _announce(uses, reader.result, full_scale)


def _limited(module: Module, op: Operation, lo: float, hi: float) -> Value:
    """The quantiser's operand, limited to lo .. hi where it could go beyond."""
    source = op.operands[0]
    maker = source.op
    assert maker is not None
    function = maker.name.removeprefix("nn.")
    low, high = RANGES.get(function, (-np.inf, np.inf))
    if function == "clip":
        low, high = float(maker.attributes["lo"]), float(maker.attributes["hi"])
    step = float(np.max(op.attributes["scale"]))
    if maker.name == "nn.input" or (low >= lo - step and high <= hi + step):
        return source  # an input saturates at its largest level anyway
    limits = {"lo": max(low, lo), "hi": min(high, hi)}
    if function in ("relu", "clip") and len(module.uses()[source]) == 1:
        limited = module.append(
            "nn.clip",
            maker.operands,
            limits,
            result=source.name,
            origin=maker.origin,
            location=maker.location,
            before=op,
        )
        assert limited.result is not None
        module.replace_uses(source, limited.result)
        module.erase(maker)
        return limited.result
    limited = module.append("nn.clip", [source], limits, result=source.name, origin=op.origin, before=op)
    assert limited.result is not None
    return limited.result
