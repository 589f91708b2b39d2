"""How many cycles early exit saves, and what it costs in accuracy: within the last window, or by a cascade of window lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sccc.accuracy import predictions
from sccc.backends.simulator import Simulator, simulate
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.early_exit import SUMS, final_sum, leads, prefix_module, window_length
from sccc.ir import Module
from sccc.passes import PassContext, run_passes
from sccc.passes.early_exit import EarlyExit
from sccc.schedule import schedule
from sccc.types import Count

CALIBRATION_SAMPLES = 5000
"""Samples that margins are chosen on: what must not be wrong is rare."""

RESERVE = 1.5
"""A cascade's margins over what the calibration samples want: a trained network is surer of its training samples than of new ones
(MNIST, windows of 8, 16, 32: 0.05 points lost without it, none with it)."""


def with_early_exit(
    module: Module, rule: dict[str, Any], calibration: np.ndarray | None, warnings: list[str] | None = None
) -> Module:
    """The module with the exit in its last layer. rule: from `sccc.early_exit.parse_rule`. Raises SccError."""
    if rule["stages"]:
        raise SccError(
            "a cascade of window lengths is no netlist of its own",
            advice="leave out stages=, or measure it with `sccc simulate`",
        )
    options = {name: rule[name] for name in ("margin", "first", "every", "tolerance")}
    traced = lambda each, x, names: simulate(each, x, trace=names).trace  # noqa: E731
    context = PassContext(calibration=calibration, simulate=traced, warnings=warnings if warnings is not None else [])
    return run_passes(module.clone(), [EarlyExit(**options)], context)


def measure_exit(module: Module, data: Data) -> dict[str, Any]:
    """What an sc.race saves on the data.

    Keys: margin, first, every; accuracy and full_accuracy (of the whole window); agreement of their classes; window, mean_cycles
    and percentiles {50, 90, 99} of the last layer's window; latency and mean_latency from start to valid.
    """
    assert data.y is not None
    op = final_sum(module)
    kind = op.operands[0].type
    assert isinstance(kind, Count)
    run = Simulator(module, prefixes=[kind.length]).run(data.x)
    assert run.cycles is not None and run.prefixes is not None
    early, whole = predictions(run.output), run.prefixes[:, 0].argmax(axis=1)
    latency = schedule(module).latency
    return {
        **{name: op.attributes[name] for name in ("margin", "first", "every")},
        "samples": len(data.x),
        "accuracy": float((early == data.y).mean()),
        "full_accuracy": float((whole == data.y).mean()),
        "agreement": float((early == whole).mean()),
        "window": kind.length,
        "mean_cycles": float(run.cycles.mean()),
        "percentiles": {str(p): float(np.percentile(run.cycles, p)) for p in (50, 90, 99)},
        "latency": latency,
        "mean_latency": float((latency - kind.length + run.cycles).mean()),
    }


def measure_cascade(
    module: Module, data: Data, stages: Sequence[int], *, margin: int = 0, calibration: np.ndarray | None = None,
    tolerance: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """The whole network on windows of stages[0] cycles, again on stages[1] for samples whose lead is below a margin, and so on.

    margin: in counts, the same for all stages; 0: one per stage, RESERVE times the least with which at most a share `tolerance` of
    the calibration samples gets another class than from the last stage. Keys as in `measure_exit`, and stages [{length, margin,
    latency, samples, accuracy}]; cycles are those of all stages that a sample went through, layers one after the other. Raises
    SccError.
    """
    assert data.y is not None
    if not stages or list(stages) != sorted(set(stages)):
        raise SccError(f"stages {list(stages)} must grow", advice="write like stages=8+16+32")
    modules = [module if length == window_length(module) else prefix_module(module, length) for length in stages]
    _require_sums(modules[0])
    margins = [margin] * len(stages)
    if margin == 0:
        if calibration is None:
            raise SccError("no margin is given, and there are no samples to choose it on", advice="give --calibrate")
        margins = _stage_margins([simulate(each, calibration).raw for each in modules], tolerance)
    latencies = [schedule(each).latency for each in modules]
    classes = np.zeros(len(data.x), dtype=np.int64)
    spent = np.zeros(len(data.x), dtype=np.int64)
    left, rows = np.arange(len(data.x)), []
    for each, length, bound, latency in zip(modules, stages, margins, latencies, strict=True):
        totals = simulate(each, data.x[left]).raw.reshape(len(left), -1) if len(left) else np.zeros((0, 2), np.int64)
        spent[left] += latency
        classes[left] = totals.argmax(axis=1)
        safe = leads(totals) >= bound if length != stages[-1] else np.ones(len(left), dtype=bool)
        rows.append(
            {"length": length, "margin": bound, "latency": latency, "samples": len(left),
             "accuracy": float((totals.argmax(axis=1) == data.y[left]).mean()) if len(left) else None}
        )  # fmt: skip
        left = left[~safe]
    whole = simulate(modules[-1], data.x).raw.reshape(len(data.x), -1).argmax(axis=1)
    return {
        "samples": len(data.x),
        "accuracy": float((classes == data.y).mean()),
        "full_accuracy": float((whole == data.y).mean()),
        "agreement": float((classes == whole).mean()),
        "stages": rows,
        "latency": latencies[-1],
        "mean_latency": float(spent.mean()),
        "percentiles": {str(p): float(np.percentile(spent, p)) for p in (50, 90, 99)},
    }


def _require_sums(module: Module) -> None:
    op = module.outputs[0].operands[0].op
    if op is None or op.name not in SUMS:
        raise SccError(
            "a cascade needs the last layer's totals, to see the lead",
            module.outputs[0].place(),
            "leave out the argmax",
        )


def _stage_margins(totals: list[np.ndarray], tolerance: float) -> list[int]:
    """For each stage the least margin with which, of all samples, at most the share that is allowed differs from the last stage."""
    flat = [each.reshape(len(each), -1) for each in totals]
    final = flat[-1].argmax(axis=1)
    margins = []
    for each in flat:
        misleading = np.sort(np.where(each.argmax(axis=1) != final, leads(each), -1))[::-1]
        worst = int(misleading[min(int(tolerance * len(each)), len(each) - 1)])
        margins.append(max(int(np.ceil(RESERVE * (worst + 1))), 1))
    return margins
