"""Cell kinds of networks that learn: registers that outlive a sample, and sums of products of two variable operands.

Each has one evaluation in the simulator (backends/simulator/training_reference.py), one form in its generated kernel
(training_kernel.py there) and one in Verilog (backends/verilog/training.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from sccc.expr import Expr


@dataclass(frozen=True)
class Register:
    """One integer per lane that outlives the sample, `initial` after reset. An op with an `Update` cell says what it becomes."""


@dataclass(frozen=True)
class Update:
    """What the register that is operand `state` becomes when the sample ends: `next` over the operands and attributes by name.

    An operand named in `rows` has one lane per row of the register, one in `columns` one per column; the others have its
    shape. A lane stays as it is where any operand of `still` is zero.
    """

    next: Expr
    rows: str = ""
    columns: str = ""
    still: tuple[str, ...] = ()


@dataclass(frozen=True)
class FreeRunning:
    """A random source that steps once per sample: `out` of `state` is its number, `next` its state for the next sample."""

    next: Expr
    out: Expr


@dataclass(frozen=True)
class MatrixProduct:
    """w x (plus a bias aligned with the products), or, `transposed`, x w: both operands vary."""

    transposed: bool


@dataclass(frozen=True)
class Reduce:
    """All lanes combined into one, two at a time, by `result`, an associative expression over a and b."""

    result: Expr


TrainingCell = Register | Update | FreeRunning | MatrixProduct | Reduce
