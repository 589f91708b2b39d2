"""Building blocks of a network that learns: numbers of stated widths, quantisers with sources, registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Module, Operation, Value
from sccc.sources import splitmix64
from sccc.types import Fixed

if TYPE_CHECKING:
    from sccc.passes.insert_gradient_counters import InsertGradientCounters

FRACTION = 8
"""Extra fractional bits of the fixed-point rival's weights below the step."""


def fixed_type(value: Value) -> Fixed:
    assert isinstance(value.type, Fixed)
    return value.type


class Builder:
    """Appends ops to a module that learns; what it appends comes from the op that `origin` names."""

    def __init__(self, options: InsertGradientCounters, source: Module) -> None:
        self.options = options
        self.module = Module(source.name, reference=source.clone())
        self.seed = splitmix64(options.random_seed)
        self.common: dict[str, Any] = {}
        self.halvings: Value | None = None

    def origin(self, op: Operation) -> None:
        self.common = {"origin": op.origin, "location": op.location}

    def add(self, name: str, operands: list[Value], result: str = "", /, **attributes: Any) -> Value:
        """The result of a new op of the dialect train (or of another one, where its name says so)."""
        full = name if "." in name else f"train.{name}"
        op = self.module.append(full, operands, attributes, result=result, **self.common)
        return op.result if op.result is not None else operands[0]

    def constant(self, name: str, integers: int | np.ndarray, bits: int) -> Value:
        return self.add("constant", [], name, value=np.array(integers, dtype=np.int64), bits=bits)

    @property
    def weight_bits(self) -> int:
        """Fractional bits of weights: those of the smallest step, and below it those of the rival."""
        return self.options.step_bits + self.options.halvings + (FRACTION if self.options.rule == "fixed" else 0)

    def register(self, values: np.ndarray, name: str, limit: int) -> Value:
        """Registers that saturate at -limit and below limit, limit a power of two."""
        bits = self.weight_bits
        lo, hi = -(limit << bits), (limit << bits) - 1
        initial = np.clip(np.rint(values * 2.0**bits), lo, hi).astype(np.int64)
        return self.add("weights", [], name, initial=initial, bits=bits, lo=lo, hi=hi)

    def rounded(self, x: Value, bits: int, name: str, lo: int, hi: int) -> Value:
        """x with `bits` fractional bits, limited to lo .. hi. Raises SccError where x has fewer."""
        have = fixed_type(x).bits
        if have < bits:
            raise SccError(
                f"%{x.name} has {have} fractional bits, and {bits} are wanted", advice="raise step_bits or value_bits"
            )
        return self.add("round", [x], name, shift=have - bits, lo=lo, hi=hi)

    def limited(self, x: Value, name: str, limit: int = 1) -> Value:
        """An error or gradient with delta_bits fractional bits (fewer when it has fewer), limited to -limit .. limit."""
        bits = min(self.options.delta_bits, fixed_type(x).bits)
        return self.rounded(x, bits, name, -(limit << bits), limit << bits)

    def shaped(self, x: Value, shape: tuple[int, ...], name: str) -> Value:
        """x under this shape."""
        return x if x.type.shape == shape else self.add("reshape", [x], name, shape=list(shape))

    def added(self, x: Value, y: Value, name: str) -> Value:
        """x + y, exact, under the shape of x."""
        y = self.shaped(y, x.type.shape, f"{name}_other")
        behind = fixed_type(x).bits - fixed_type(y).bits
        return self.add("add", [x, y], name, a_unit=1 << max(-behind, 0), b_unit=1 << max(behind, 0))

    def quantized(self, value: Value, name: str, own: tuple[int, ...] = ()) -> Value:
        """Compared with random numbers of as many bits as the number's range has.

        From one source for all lanes, from one for each lane of `own` (sources=per-lane), or from one with a mask for each lane
        (sources=scrambled).
        """
        kind = fixed_type(value)
        bits = max(1, (max(-kind.lo, kind.hi) - 1).bit_length())
        choice = self.options.sources
        random = self.source(bits, f"{name}_r", own if choice == "per-lane" else ())
        if choice == "scrambled" and kind.shape:
            masks = self.add(
                "constant", [], f"{name}_masks", value=lane_masks(kind.lanes, bits).reshape(kind.shape), bits=0
            )
            random = self.add("scramble", [random, masks], f"{name}_rs")
        return self.add("quantize", [value, random], name)

    def source(self, bits: int, name: str, shape: tuple[int, ...] = ()) -> Value:
        seeds = np.zeros(shape, dtype=np.int64)
        for index in np.ndindex(shape):
            self.seed = splitmix64(self.seed)
            seeds[index] = max(1, self.seed >> 32)
        return self.add("source", [], name, seeds=seeds, bits=bits, drop=32 - bits)


def lane_masks(lanes: int, bits: int) -> np.ndarray:
    """Masks [lanes] in 0 .. 2**bits - 1: the bits of the lane's number in reverse (van der Corput 1935).

    Any run of 2**k lanes differs in its upper k bits, so that about as many of its lanes reach a small number as their sum says.
    """
    numbers = np.arange(lanes, dtype=np.int64)
    masks = np.zeros(lanes, dtype=np.int64)
    for bit in range(bits):
        masks |= ((numbers >> bit) & 1) << (bits - 1 - bit)
    return masks
