"""naive evaluator == simulator (both engines) == RTL in Icarus, on one module and its data."""

from __future__ import annotations

import numpy as np
from naive import Naive

from sccc import check
from sccc.backends.simulator import simulate
from sccc.backends.verilog import emit_netlist
from sccc.ir import Module
from sccc.types import Level, Total


def assert_same(module: Module, x: np.ndarray, rtl: bool = True, evaluator: type[Naive] = Naive) -> None:
    """All three agree on everything, and the testbench has seen everything that depends on the input."""
    naive = evaluator(module, x)
    names = [value.name for value in module.values()]
    for kernels in ("numpy", "numba"):
        result = simulate(module, x, trace=names, kernels=kernels)
        for value in module.values():
            got, wanted = result.trace[value.name], naive.values[value.name]
            assert got.shape == wanted.shape, (kernels, value)
            assert np.array_equal(got, wanted), (kernels, value, np.argwhere(got != wanted)[0])
        untraced = simulate(module, x, kernels=kernels).raw
        if isinstance(module.outputs[0].operands[0].type, Total | Level):
            assert np.array_equal(untraced, naive.raw), kernels
    if rtl:
        assert_rtl(module, x)


def assert_rtl(module: Module, x: np.ndarray) -> None:
    seen = emit_netlist(module).observables
    moving = {op.result for op in module.inputs}
    for op in module:
        if op.result is not None and not moving.isdisjoint(op.operands):
            moving.add(op.result)
    assert moving - {op.result for op in module.inputs} <= {each.value for each in seen}
    result = check(module, x)
    assert (result.mismatches, result.first) == (0, None)
    # Each wire in each cycle of each window, and `valid` in every cycle.
    assert result.compared == len(x) * sum(each.lanes * each.cycles for each in seen) + result.cycles + 1
