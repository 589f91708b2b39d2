"""The ideal evaluator: runs a module on the ops' meaning in reals (`Op.value`), for nn and sc modules alike.

For an nn module this is the float network. For an sc module it is the ideal quantised network: levels are rounded as
in the hardware, and every stream has exactly its expected value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY


def evaluate(
    module: Module,
    x: np.ndarray,
    watch: Callable[[Operation, np.ndarray], None] | None = None,
) -> np.ndarray:
    """The module's output for a batch. x: [batch, *input shape], real units (float). Returns [batch, *output shape].

    `watch(op, value)` is called for every operation with its result (batch first). Raises SccError when x does not fit.
    """
    values: dict[Value, np.ndarray] = {}
    result: np.ndarray | None = None
    for op in module:
        definition = REGISTRY[op.name]
        if op.name.endswith(".input"):
            assert op.result is not None
            shape = op.result.type.shape
            if x.shape[1:] != shape:
                raise SccError(f"data of shape {x.shape[1:]} per sample does not fit the input's {shape}", op.place())
            value = x.astype(np.float64) if definition.value is None else definition.value(op, x)
        else:
            assert definition.value is not None
            value = definition.value(op, *(values[v] for v in op.operands))
        if op.result is None:
            result = value
        else:
            values[op.result] = value
        if watch is not None:
            watch(op, value)
    if result is None:
        raise SccError(f"module '{module.name}' has no output")
    return result
