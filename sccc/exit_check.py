"""Early exit in RTL against the simulator: in which cycle each sample is done, and with which totals."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.backends.simulator import simulate
from sccc.backends.verilog import Netlist, emit_netlist
from sccc.backends.verilog.early_exit import races
from sccc.backends.verilog.early_exit_bench import emit_exit_bench, read_exits
from sccc.backends.verilog.icarus import require_icarus, run_icarus
from sccc.backends.verilog.testbench import unpack_word
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.ops.source import input_levels
from sccc.types import Count


@dataclass(frozen=True)
class ExitCheck:
    """Samples compared, those whose cycle or result differ, the first of these in words, and mean cycles from start to valid."""

    samples: int
    mismatches: int
    first: str
    mean_latency: float


def check_exit(module: Module, x: np.ndarray, *, alter: Callable[[str], str] | None = None) -> ExitCheck:
    """Run an early-exit netlist in Icarus on x [samples, *input shape], samples as close together as they may be.

    `alter` may change the netlist's text: that is how tests plant faults. Raises SccError when nothing exits early, or
    without Icarus.
    """
    found = races(module)
    if not found:
        raise SccError("the module has no sc.race", advice="compile it with the early-exit pass")
    require_icarus()
    netlist = emit_netlist(module)
    assert isinstance(netlist, Netlist)
    (source,) = module.inputs
    levels = input_levels(source, np.asarray(x, dtype=np.float64).reshape(len(x), *source.attributes["shape"]))
    bench = emit_exit_bench(netlist, "tb", levels.reshape(len(x), -1))
    with tempfile.TemporaryDirectory(prefix="sccc_exit_") as temporary:
        text = alter(netlist.text) if alter else netlist.text
        for name, content in {"net.v": text, **bench.files}.items():
            (Path(temporary) / name).write_text(content, encoding="ascii")
        seen = read_exits(run_icarus(Path(temporary), [bench.main, "net.v"]))
    wanted = simulate(module, x)
    kind = found[0].operands[0].type
    assert isinstance(kind, Count) and wanted.cycles is not None
    latencies = netlist.schedule.latency - (kind.length - wanted.cycles)
    problems = []
    for sample in range(len(x)):
        expected = f"{latencies[sample]} cycles, {wanted.raw[sample].reshape(-1).tolist()}"
        got = "never done"
        if sample < len(seen):
            values = [value for _, value in unpack_word(seen[sample][1], netlist.output_value.type)]
            got = f"{seen[sample][0]} cycles, {values}"
        if got != expected:
            problems.append(f"sample {sample}: RTL {got}, simulator {expected}")
    return ExitCheck(len(x), len(problems), problems[0] if problems else "", float(np.mean(latencies)))
