"""How a sum of products over packed lanes is computed with as few population counts as possible.

A lane adds s * bit with s = -1 where neg holds, else +1. Summed over words, with pop = population count, both of

    sum = pop(bit ^ neg) - pop(neg)
        = pop(bit) - 2 pop(bit & neg)

always hold. The first is used where neg reads signs only, so that pop(neg) is no work ("static"). In the second
pop(bit) is known beforehand when bit reads no data ("weight"), and is the same for all outputs when it reads no weights
("data"); else it is a second count ("both"). So but for the last, the inner loop holds one population count of one
expression, `core`, whatever the product is.

Padding bits are 0 in every operand; what an expression makes of them is `at_zero`, and is taken off exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sccc.backends.simulator.render import words
from sccc.cells import Product
from sccc.expr import Expr

OPERANDS = ("x", "xs", "w", "ws")
"""Variables of a product: bits and signs of the data and of the weights."""

WORDS = {"ONES": np.uint64(0xFFFFFFFFFFFFFFFF), "ZERO": np.uint64(0)}


@dataclass(frozen=True)
class Plan:
    """sum = scale * pop(core) + what `form` adds: -pop(neg) if static, else +pop(bit)."""

    product: Product

    @cached_property
    def form(self) -> str:
        if not self.product.neg.variables() & {"x", "w"}:
            return "static"
        if not self.product.bit.variables() & {"x", "xs"}:
            return "weight"
        return "both" if self.product.bit.variables() & {"w", "ws"} else "data"

    @cached_property
    def core(self) -> Expr:
        bit, neg = self.product.bit, self.product.neg
        if self.form == "static":
            return bit if neg.is_const(0) else bit ^ neg
        return neg if bit.is_const(1) else bit & neg

    @property
    def scale(self) -> int:
        return 1 if self.form == "static" else -2

    @cached_property
    def data_signs(self) -> bool:
        """Whether pop(neg) depends on the sample: it reads the data's signs, which are constant over the window."""
        return self.form == "static" and "xs" in self.product.neg.variables()


def reads(*expressions: Expr) -> list[str]:
    """The operands that expressions read, in the order of OPERANDS."""
    found = frozenset().union(*(e.variables() for e in expressions))
    return [name for name in OPERANDS if name in found]


def at_zero(expression: Expr) -> int:
    """The bit where every operand is 0: what padding contributes."""
    return int(expression.evaluate(dict.fromkeys(OPERANDS, 0))) & 1


def pop_last(expression: Expr, operands: dict[str, np.ndarray], shape: tuple[int, ...], padding: int) -> np.ndarray:
    """Population counts (int64) along the last axis of words of `shape`, without `padding` bits."""
    made = words(expression).evaluate({**WORDS, **operands})
    counts = np.bitwise_count(np.broadcast_to(made, shape)).sum(axis=-1, dtype=np.int64)
    return counts - padding * at_zero(expression)
