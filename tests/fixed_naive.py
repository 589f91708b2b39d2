"""A naive evaluator of fixed-point modules: Python's own integers, one number at a time. Shares no code with the simulator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def evaluate(module: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every value of the module by name, int64 [samples, *lanes]; constants have one sample."""
    values: dict[str, np.ndarray] = {}
    for op in module.ops:
        if op.result is None:
            continue
        operands = [values[v.name] for v in op.operands]
        if op.name == "sc.constant":
            made: Any = [op.attributes["levels"]]
        elif op.name == "sc.input":
            made = [[to_level(op.attributes, float(number)) for number in row] for row in x.reshape(len(x), -1)]
        elif op.name == "fx.dot":
            made = [dot(row, operands[1][0], op.attributes["initial"]) for row in operands[0]]
        elif op.name == "sc.argmax":
            made = [row.tolist().index(max(row.tolist())) for row in operands[0]]
        else:
            first = getattr(op.operands[0].type, "lo", 0)
            made = [[lane(op, int(n), j, first) for j, n in enumerate(row)] for row in operands[0]]
        values[op.result.name] = np.asarray(made, dtype=np.int64)
    return values


def to_level(a: dict[str, Any], number: float) -> int:
    one = 2 ** a["bits"]
    most = a["largest"] or one
    return max(min(round(number / float(a["scale"]) * one), most), -one if a["encoding"] == "signed" else 0)


def dot(numbers: np.ndarray, weights: np.ndarray, initial: Any) -> list[int]:
    totals = []
    for j, row in enumerate(weights.tolist()):
        total = int(initial if np.ndim(initial) == 0 else initial[j])
        for a, b in zip(numbers.tolist(), row, strict=True):
            total += a * b
        totals.append(total)
    return totals


def lane(op: Any, number: int, j: int, first: int) -> int:
    a = op.attributes
    if op.name == "sc.level":
        return number
    if op.name == "sc.lookup":
        return int(a["table"][number - first])
    assert op.name == "sc.rescale"
    mult = int(a["mult"] if np.ndim(a["mult"]) == 0 else a["mult"][j])
    # Halves round up.
    rounded = math.floor((2 * number * mult + 2 ** a["shift"]) // 2 ** (a["shift"] + 1))
    return max(min(rounded, a["hi"]), a["lo"])
