"""Cell kinds of networks that learn: registers that outlive a sample, and sums of products of two variable operands.

Each has one evaluation in the simulator (backends/simulator/training_reference.py), one form in its generated kernel
(training_kernel.py there) and one in Verilog (backends/verilog/training.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sccc.expr import Expr

if TYPE_CHECKING:
    from sccc.ir import Operation


@dataclass(frozen=True)
class Register:
    """One integer per lane that outlives the sample, `initial` after reset. An op with an `Update` cell says what it becomes."""


@dataclass(frozen=True)
class Update:
    """What the register that is operand `state` becomes when the sample ends: `next` over the operands and attributes by name.

    An operand named in `rows` has one lane per row of the register, one in `columns` one per column, one in `common` a single
    lane for all; the others have its shape. A lane stays as it is where any operand of `still` is zero.
    """

    next: Expr
    rows: str = ""
    columns: str = ""
    common: str = ""
    still: tuple[str, ...] = ()


@dataclass(frozen=True)
class FreeRunning:
    """A random source that steps once per sample: `out` of `state` is its number, `next` its state for the next sample."""

    next: Expr
    out: Expr


@dataclass(frozen=True)
class MatrixProduct:
    """The sum of products of the first two operands, both of which vary, and perhaps a bias.

    `indices`: an axis letter for each axis of the two operands and of the result, as in einsum: m outputs, n inputs, p positions
    of a convolution's window (without that axis: one position). With `bias` a third operand [m], aligned with the products by
    the first operand's fractional bits, is added. With an attribute `groups` of more than 1, the first axis of every operand and
    of the result has that many parts, and each part of the result is the product of the same parts of the operands.
    """

    indices: tuple[str, str, str]
    bias: bool = False

    def product(self, op: Operation, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """What an op makes of operands [..., *shape], without the bias."""
        assert op.result is not None
        shapes = [value.type.shape for value in (*op.operands[:2], op.result)]
        left, right, made = (
            k if len(k) == len(shape) else k.replace("p", "") for k, shape in zip(self.indices, shapes, strict=True)
        )
        if (groups := op.attributes["groups"]) == 1:
            return np.asarray(np.einsum(f"...{left},...{right}->...{made}", a, b))
        parts = [x.reshape(*x.shape[:-2], groups, x.shape[-2] // groups, x.shape[-1]) for x in (a, b)]
        result = np.einsum(f"...g{left},...g{right}->...g{made}", *parts)
        return result.reshape(*result.shape[:-3], groups * result.shape[-2], result.shape[-1])

    @property
    def summed(self) -> str:
        """The axis that the result does not have."""
        (axis,) = set(self.indices[0]) - set(self.indices[2])
        return axis


@dataclass(frozen=True)
class Reduce:
    """Lanes along the last axis combined into one, two at a time, by `result`, an associative expression over a and b."""

    result: Expr


@dataclass(frozen=True)
class Scatter:
    """What undoes a Gather: a result lane is the sum of the operand's lanes i whose `index(op)[i]` it is; negative: of none."""

    index: Callable[[Operation], np.ndarray]


TrainingCell = Register | Update | FreeRunning | MatrixProduct | Reduce | Scatter
