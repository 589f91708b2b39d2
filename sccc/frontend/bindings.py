"""What the name of an ONNX value stands for while a graph is read.

| binding | stands for |
|---|---|
| `Known` | numbers known now: weights, shapes, everything computed from them |
| `Tensor` | numbers computed for every sample: a value of the nn module, and where its batch axis is |
| `Quantized` | the integers between a QuantizeLinear and its DequantizeLinear |
| `Derived` | what classifiers make of the scores (class labels, a map from label to score): not computed in hardware |
| `Unknown` | the result of a node that was refused, when not even its shape is known |
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from sccc.ir import Value

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16})
INTEGERS = {
    getattr(TensorProto, f"{prefix}INT{bits}"): (
        (0, (1 << bits) - 1) if prefix else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    )
    for prefix in ("", "U")
    for bits in (2, 4, 8, 16, 32, 64)
    if hasattr(TensorProto, f"{prefix}INT{bits}")
}
"""ONNX integer type -> its smallest and its largest number."""


class Batch(enum.Enum):
    """The batch axis, as a dimension of a shape: its size is not the module's business."""

    N = "N"

    def __repr__(self) -> str:
        return "N"


BATCH = Batch.N
Dim = int | Batch
Dims = tuple[Dim, ...]


class Ending(enum.Enum):
    """Ops that only the end of a network may use; `BINARY`: p standing for the pair (1 - p, p)."""

    SOFTMAX = "Softmax"
    ARGMAX = "ArgMax"
    BINARY = "Concat of 1 - p and p"


PROBES = (7919, 7927)
"""Two batch sizes. A number that depends on a dynamic batch is held as its value at both."""


@dataclass(frozen=True)
class Known:
    """A constant. With a dynamic batch, shapes depend on it: `other` is the value at the second probe."""

    array: np.ndarray
    other: np.ndarray

    @staticmethod
    def of(array: np.ndarray) -> Known:
        return Known(array, array)

    @property
    def fixed(self) -> bool:
        """Whether the value is the same for every batch size."""
        return self.other is self.array or (
            self.array.shape == self.other.shape and bool(np.array_equal(self.array, self.other))
        )

    def dims(self) -> list[Dim] | None:
        """The value as a shape, BATCH where it is the batch size; None when it is anything else."""
        pairs = list(zip(self.array.ravel().tolist(), self.other.ravel().tolist(), strict=False))
        if self.array.shape != self.other.shape or any(a != b and (a, b) != PROBES for a, b in pairs):
            return None
        return [BATCH if (a, b) == PROBES else int(a) for a, b in pairs]


@dataclass(frozen=True)
class Tensor:
    """`batch` is the position of the batch axis in the ONNX shape; None when there is none (one sample is all)."""

    value: Value
    batch: int | None
    type: int = TensorProto.FLOAT
    ending: Ending | None = None
    scores: Tensor | None = None
    """For ArgMax: what it was taken of."""
    complement: Value | None = None
    """When this is 1 - p: p."""

    @property
    def dims(self) -> Dims:
        """The ONNX shape."""
        shape: Dims = self.value.type.shape
        return shape if self.batch is None else (*shape[: self.batch], BATCH, *shape[self.batch :])

    @property
    def rank(self) -> int:
        return len(self.dims)

    def lane_axis(self, axis: int) -> int:
        """The axis of the nn value for an axis of the ONNX shape other than the batch axis."""
        return axis - 1 if self.batch is not None and axis > self.batch else axis


@dataclass(frozen=True)
class Quantized:
    """round(tensor / scale) + zero_point, limited to lo .. hi; scale and zero_point of one element or along `axis`."""

    tensor: Tensor
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int
    lo: int
    hi: int
    origin: str


@dataclass(frozen=True)
class Derived:
    """Something computed from `tensor` after the end of the network: class labels, or scores in another form."""

    tensor: Tensor
    label: bool = True


@dataclass(frozen=True)
class Unknown:
    """Nothing is known; nodes that read it are checked for their op type only."""


Binding = Known | Tensor | Quantized | Derived | Unknown
