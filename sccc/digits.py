"""Constant multipliers: the signed digits of weights, which the Verilog backend emits and the cost estimate counts."""

from __future__ import annotations

import numpy as np


def signed_digits(numbers: np.ndarray) -> np.ndarray:
    """The canonical signed digits of integers: int8 [digits, *shape], each -1, 0 or 1, digit k worth 2**k.

    No two neighbours are both nonzero, and no other signed binary form has fewer nonzero digits (Reitwiesner 1960): as a
    multiplier, a number takes one adder less than it has nonzero digits.
    """
    rest = np.asarray(numbers, dtype=np.int64).copy()
    digits = []
    while rest.any():
        digit = (rest & 1) * (2 - (rest & 3))
        digits.append(digit.astype(np.int8))
        rest = (rest - digit) >> 1
    return np.stack(digits) if digits else np.zeros((0, *rest.shape), dtype=np.int8)
