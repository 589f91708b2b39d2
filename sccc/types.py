"""Types of IR values: what a wire carries and what its bits mean.

| type | in time | meaning |
|---|---|---|
| `Real` | once per sample | a number of the float network (nn ops) |
| `Level` | held for a window | an integer that an SNG turns into a stream |
| `Random` | every cycle | the output of a random source, an integer in 0 .. 2**bits - 1 |
| `Stream` | every cycle | one bit per lane, whose probability of ones is the number |
| `Count` | every cycle | a signed integer per lane |
| `Total` | end of a window | a signed integer per lane |
| `Fixed` | once per sample | a fixed-point number: a signed integer with fractional bits (train ops) |

Shapes leave out the batch axis: a module computes one sample at a time, the simulator many of them.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]


class Encoding(enum.Enum):
    """How the probability of ones p, or the level L of b bits, stands for a number.

    unipolar: p in [0, 1];  bipolar: 2p - 1 in [-1, 1];  signed: s*p, with the sign s beside the stream, constant
    for a window (Gaines 1969; sign-magnitude after Zhakatayev et al., DAC 2018).
    """

    UNIPOLAR = "unipolar"
    BIPOLAR = "bipolar"
    SIGNED = "signed"

    def minimum_level(self, bits: int) -> int:
        return -(1 << bits) if self is Encoding.SIGNED else 0

    def maximum_level(self, bits: int) -> int:
        return 1 << bits

    def decode(self, level: Any, bits: int) -> np.ndarray:
        """The number (in [-1, 1]) that integer levels (or their fractional means) of `bits` bits stand for."""
        fraction = np.asarray(level, dtype=np.float64) / (1 << bits)
        return 2.0 * fraction - 1.0 if self is Encoding.BIPOLAR else fraction

    def encode(self, value: Any, bits: int) -> np.ndarray:
        """The nearest levels (int64) to `value`, saturating; ties go to the even level, so that no level is biased."""
        value = np.asarray(value, dtype=np.float64)
        scaled = (value + 1.0) / 2.0 if self is Encoding.BIPOLAR else value
        levels = np.rint(scaled * (1 << bits))
        return np.clip(levels, self.minimum_level(bits), self.maximum_level(bits)).astype(np.int64)

    def probability(self, level: Any, bits: int) -> np.ndarray:
        """The probability of ones of the stream that an SNG makes from `level` (the magnitude, when signed)."""
        return np.abs(np.asarray(level, dtype=np.float64)) / (1 << bits)


@dataclass(frozen=True)
class Type:
    shape: Shape

    @property
    def lanes(self) -> int:
        """How many parallel numbers the value holds."""
        return math.prod(self.shape)

    def _dims(self) -> str:
        return "x".join(map(str, self.shape)) if self.shape else "scalar"


@dataclass(frozen=True)
class Real(Type):
    """A number of the float network."""

    def __str__(self) -> str:
        return f"real<{self._dims()}>"


@dataclass(frozen=True)
class Level(Type):
    """Integer levels of `bits` fractional bits: 0 .. 2**bits inclusive (so that 1.0 is exact), with a sign if signed."""

    encoding: Encoding
    bits: int

    def __str__(self) -> str:
        return f"level<{self._dims()}, {self.encoding.value}, bits={self.bits}>"


@dataclass(frozen=True)
class Random(Type):
    """Integers in 0 .. 2**bits - 1, a new one each cycle; shape () when all lanes share it."""

    bits: int

    def __str__(self) -> str:
        return f"random<{self._dims()}, bits={self.bits}>"


@dataclass(frozen=True)
class Stream(Type):
    """Bit streams of `length` cycles."""

    encoding: Encoding
    length: int

    def __str__(self) -> str:
        return f"stream<{self._dims()}, {self.encoding.value}, length={self.length}>"


@dataclass(frozen=True)
class Count(Type):
    """A signed integer per lane and cycle, within lo .. hi, for `length` cycles."""

    lo: int
    hi: int
    length: int

    def __str__(self) -> str:
        return f"count<{self._dims()}, {self.lo}..{self.hi}, length={self.length}>"


@dataclass(frozen=True)
class Total(Type):
    """A signed integer per lane, within lo .. hi, valid when the window ends and until the next one ends."""

    lo: int
    hi: int

    def __str__(self) -> str:
        return f"total<{self._dims()}, {self.lo}..{self.hi}>"


@dataclass(frozen=True)
class Fixed(Type):
    """Fixed-point numbers, integer / 2**bits, with integers within lo .. hi; `bits` may be negative."""

    lo: int
    hi: int
    bits: int

    def __str__(self) -> str:
        return f"fixed<{self._dims()}, {self.lo}..{self.hi}, bits={self.bits}>"


def signed_width(lo: int, hi: int) -> int:
    """The bits of the narrowest two's complement number that holds lo .. hi."""
    return max((-lo - 1).bit_length() if lo < 0 else 0, hi.bit_length() if hi > 0 else 0) + 1


def lane_width(kind: Type) -> int:
    """Bits that hold one lane of a value: levels are sign and magnitude, counts and totals two's complement."""
    if isinstance(kind, Level):
        return kind.bits + 1 + (kind.encoding is Encoding.SIGNED)
    if isinstance(kind, Count | Total):
        return signed_width(kind.lo, kind.hi)
    return kind.bits if isinstance(kind, Random) else 1
