"""Cell kinds: the few sorts of hardware that every op is made of.

Each kind has exactly one simulator kernel (backends/simulator), one Verilog template (backends/verilog) and one gate
estimate (sccc/cost.py). An op chooses a kind and fills in expressions; it never holds raw Verilog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sccc.expr import Expr
from sccc.training_cells import TrainingCell
from sccc.types import Encoding

if TYPE_CHECKING:
    import numpy as np

    from sccc.ir import Operation


@dataclass(frozen=True)
class Wire:
    """No hardware: a port, a constant or a renaming of bits."""


@dataclass(frozen=True)
class Comb:
    """Combinational logic, lane by lane: `result` over the op's operands and per-lane integer attributes, by name."""

    result: Expr


@dataclass(frozen=True)
class Product:
    """What one lane adds to a count in one cycle: (neg ? -1 : +1) * bit.

    Variables: x, w are the streams' bits; xs, ws the signs (1 = negative) of signed operands, constant for a window.
    """

    bit: Expr
    neg: Expr


@dataclass(frozen=True)
class CountCell:
    """The sum over lanes of products of an x and a w stream: an exact parallel counter (APC; Parhami & Yeh 1995).

    `products` maps (encoding of x, encoding of w) to what a lane does.
    """

    products: Mapping[tuple[Encoding, Encoding], Product]


@dataclass(frozen=True)
class GroupCell:
    """A count of groups of lanes: each group is one line up and one down, the OR of its lanes' products of that sign.

    `products` as in CountCell. A lane drives its line where `gate` holds, which may read `chosen`: 1 for the lane of a group whose
    place the op's random number names. `scaled`: a line counts as many as a group has places.
    """

    products: Mapping[tuple[Encoding, Encoding], Product]
    gate: Expr
    scaled: bool


@dataclass(frozen=True)
class MultiplyAdd:
    """The sum over lanes of a number times a constant weight, plus a constant, registered once per sample: fixed point."""


@dataclass(frozen=True)
class Fsm:
    """A state machine per lane. Variables: the op's operands and per-lane integer attributes by name, `state`, `step`.

    Each cycle: step = `step`(state, operands, attributes); the new state is `next`(step); the output bit of the cycle is
    `out`(step, new state), or, where `out` is None, the state itself is the result when the window ends. `lowest` and `highest`
    bound the state and give its register's width; `initial` is loaded when a window starts.
    """

    initial: Expr
    step: Expr
    next: Expr
    out: Expr | None
    lowest: Expr
    highest: Expr


@dataclass(frozen=True)
class SourceCell:
    """A random source, described by `sccc.sources`."""


@dataclass(frozen=True)
class Memory:
    """A read-only table: result = table[address - first]."""


@dataclass(frozen=True)
class Gather:
    """A rewiring: result lane i is lane `index(op)[i]` of all operands laid end to end, or the op's `level` where it is negative.

    `index(op)` is an int array of the result's shape.
    """

    index: Callable[[Operation], np.ndarray]


@dataclass(frozen=True)
class Fold:
    """The lanes under a window, channel by channel, combined two at a time by `result`, an associative Expr over a and b.

    Padding does not take part.
    """

    result: Expr


@dataclass(frozen=True)
class Race:
    """Sums of counts that stop, all lanes at once, when `safe` holds: the state machine `sum` in each lane, and a comparator.

    Variables of `safe`: `lead`, the largest sum minus the second largest; `cycle`, how many cycles have been summed; the op's
    attributes by name.
    """

    sum: Fsm
    safe: Expr


@dataclass(frozen=True)
class Arbiter:
    """The index of the first largest lane."""


Cell = (
    Wire | Comb | CountCell | GroupCell | MultiplyAdd | Fsm | SourceCell | Memory | Gather | Fold | Race | Arbiter
    | TrainingCell
)  # fmt: skip
