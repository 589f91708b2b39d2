"""Networks compiled for hardware whose bits flip at a known rate."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sccc.backends.simulator import simulate
from sccc.config import Config
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.passes import DEFAULT_PIPELINE, PassContext, parse_pipeline, run_passes

BEFORE = "map-activations"


def compile_for_flips(
    source: Module,
    config: Config,
    *,
    flip_rate: float,
    flips: Iterable[str] = ("operand",),
    calibration: np.ndarray | None = None,
    warnings: list[str] | None = None,
) -> Module:
    """Compile with the shrinkage of bipolar products put right (compensate-flips), and calibrated on streams that flip as well.

    What passes measure by simulation, states of counters and mean errors of totals, they then measure with the flips. Raises
    SccError where products do not shrink by a known factor.
    """
    kinds = tuple(flips)
    if not 0.0 <= flip_rate < 0.5:
        raise SccError(f"flip_rate = {flip_rate} is outside 0 .. 0.5", advice="at 0.5 nothing is left to compensate")
    options = f"rate={flip_rate} operands={str('operand' in kinds).lower()} products={str('product' in kinds).lower()}"
    pipeline = DEFAULT_PIPELINE.replace(BEFORE, f"compensate-flips{{{options}}},{BEFORE}")

    def traced(module: Module, x: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        return simulate(module, x, trace=names, flip_rate=flip_rate, flips=kinds).trace

    context = PassContext(config, calibration, traced, warnings if warnings is not None else [])
    return run_passes(source.clone(), parse_pipeline(pipeline), context)
