"""The RTL of a network that learns, run in Icarus, against the simulator: every value of every sample."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_reference import Reference
from sccc.backends.verilog.icarus import run_icarus
from sccc.backends.verilog.training import TrainingNetlist, emit_training
from sccc.backends.verilog.training_testbench import emit_training_testbench
from sccc.diagnostics import InternalError
from sccc.ir import Module, Value


@dataclass(frozen=True)
class TrainingCheck:
    """`compared` numbers, of which `mismatches` differ; `first`: the sample and the signal that differ first, or ''."""

    samples: int
    compared: int
    mismatches: int
    first: str


def traced_values(
    module: Module, numbers: np.ndarray, labels: np.ndarray, halvings: np.ndarray | None = None
) -> dict[Value, np.ndarray]:
    """Every value while the reference learns from the samples: integers [samples, *shape]."""
    reference = Reference(module)
    trace: dict[Value, list[np.ndarray]] = {}
    halved = np.zeros(len(numbers), dtype=np.int64) if halvings is None else halvings
    for x, label, number in zip(numbers, labels, halved, strict=True):
        reference.halvings = int(number)
        for value, held in reference.step(x, int(label)).items():
            trace.setdefault(value, []).append(held)
    return {value: np.stack(made) for value, made in trace.items()}


def check_training(
    module: Module,
    x: np.ndarray,
    labels: np.ndarray,
    netlist: TrainingNetlist | None = None,
    halvings: np.ndarray | None = None,
) -> TrainingCheck:
    """Learn from samples x [samples, ...] (real units) in Icarus and in the simulator. `netlist`: another one than the module's;
    halvings [samples]: how often the step has been halved (default: never).

    Raises SccError without Icarus.
    """
    netlist = netlist or emit_training(module)
    expected = traced_values(module, Trainer(module, "numpy").numbers(x), labels, halvings)
    by_name = {value.name: value for value in netlist.signals}
    bench = emit_training_testbench(netlist, "tb", {by_name[v.name]: numbers for v, numbers in expected.items()})
    with tempfile.TemporaryDirectory(prefix="sccc_train_") as temporary:
        folder = Path(temporary)
        for name, text in {**bench.files, "net.v": netlist.text}.items():
            (folder / name).write_text(text, encoding="ascii")
        log = run_icarus(folder, [bench.main, "net.v"])
    done = re.search(r"DONE compared (\d+) mismatches (\d+)", log)
    if done is None:
        raise InternalError(f"the testbench did not end:\n{log[-2000:]}")
    first = re.search(r"MISMATCH (\d+) (\S+)", log)
    where = f"sample {first[1]}, {first[2]}" if first else ""
    return TrainingCheck(len(x), int(done[1]), int(done[2]), where)
