"""check: simulate the emitted RTL in Icarus or Verilator and compare it, cycle by cycle, with the simulator.

Of folded netlists every transfer of every engine is compared, and when it happens.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sccc.backends.simulator import simulate
from sccc.backends.verilog import FoldedNetlist, Netlist, emit_netlist
from sccc.backends.verilog.folded.testbench import emit_folded_testbench
from sccc.backends.verilog.icarus import require_icarus, run_icarus
from sccc.backends.verilog.testbench import Testbench, emit_testbench, unpack_word
from sccc.backends.verilog.verilator import require_verilator, run_verilator
from sccc.diagnostics import InternalError, SccError, nearest
from sccc.ir import Module
from sccc.ops.source import input_levels

SIMULATORS = ("icarus", "verilator")


@dataclass(frozen=True)
class Mismatch:
    """Where RTL and simulator first differ.

    op: its result's name, or "port NAME", "valid", "done", "time of NAME" or "transfers of NAME" (their number); sample, lane,
    cycle of the window (of folded netlists: number of the transfer), and both values.
    """

    op: str
    sample: int
    lane: int
    cycle: int
    rtl: int | None
    simulator: int | None

    def __str__(self) -> str:
        rtl = "x" if self.rtl is None else self.rtl
        plain = self.op in ("valid", "done") or self.op.startswith(("port ", "time of ", "transfers of "))
        where = self.op if plain else f"%{self.op}"
        return (
            f"{where}, lane {self.lane}, sample {self.sample}, cycle {self.cycle}: "
            f"RTL {rtl}, simulator {self.simulator}"
        )


@dataclass(frozen=True)
class CheckResult:
    """`compared` and `mismatches` count lanes times cycles; `cycles` is what the RTL ran."""

    samples: int
    cycles: int
    compared: int
    mismatches: int
    first: Mismatch | None


def testbench(
    module: Module, x: np.ndarray, stem: str, netlist: Netlist | None = None, stalled: bool = False
) -> tuple[Netlist, Testbench]:
    """The netlist and a self-checking testbench that expects what the simulator computes for x [samples, *input shape].

    stalled: inputs of a folded netlist are missing in about half of the cycles.
    """
    netlist = netlist or emit_netlist(module)
    (source,) = module.inputs
    levels = input_levels(source, np.asarray(x, dtype=np.float64).reshape(len(x), *source.attributes["shape"]))
    levels = levels.reshape(len(x), -1)
    if isinstance(netlist, FoldedNetlist):
        wanted = [*(watch.value.name for watch in netlist.watches), netlist.output_value.name]
        trace = simulate(module, x, trace=wanted).trace
        return netlist, emit_folded_testbench(netlist, stem, levels, trace, stalled)
    result = simulate(module, x, trace=[seen.value.name for seen in netlist.observables])
    return netlist, emit_testbench(netlist, stem, levels, result.trace, result.cycles)


def require_simulator(simulator: str) -> None:
    """Raises SccError when there is no such simulator, or it is not installed."""
    if simulator not in SIMULATORS:
        raise SccError(f"unknown simulator '{simulator}'", advice=nearest(simulator, SIMULATORS))
    (require_icarus if simulator == "icarus" else require_verilator)()


def check(
    module: Module,
    x: np.ndarray,
    *,
    folder: Path | None = None,
    alter: Callable[[str], str] | None = None,
    simulator: str = "icarus",
    netlist: Netlist | None = None,
    stalled: bool = False,
) -> CheckResult:
    """Compare RTL and simulator on x [samples, *input shape], real units.

    Files stay in `folder` when one is given. `alter` may change the netlist's text before it is run, and `netlist` be one that was
    changed: that is how tests plant faults. simulator: icarus, or verilator for what is large. stalled: see `testbench`. Raises
    SccError when the simulator is missing.
    """
    require_simulator(simulator)
    netlist, bench = testbench(module, x, "tb", netlist, stalled)
    with tempfile.TemporaryDirectory(prefix="sccc_check_") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        text = alter(netlist.text) if alter else netlist.text
        for name, content in {"net.v": text, **netlist.files, **bench.files}.items():
            (place / name).write_text(content, encoding="ascii")
        sources = [bench.main, "net.v"]
        top = f"{netlist.top}_tb"
        output = run_icarus(place, sources) if simulator == "icarus" else run_verilator(place, sources, top)
    return read_result(output, netlist, len(x), bench.cycles)


_DONE = re.compile(r"^DONE compared (\d+) mismatches (\d+)(?: cycles (\d+))?$", re.MULTILINE)
_MISMATCH = re.compile(r"^MISMATCH (\w+) sample (\d+) cycle (\d+) got (\w+) expected (\w+)$", re.MULTILINE)


def read_result(output: str, netlist: Netlist, samples: int, cycles: int) -> CheckResult:
    """What a self-checking testbench has printed. Raises InternalError when it did not come to its end."""
    done = _DONE.search(output)
    if done is None:
        raise InternalError(f"the testbench did not finish:\n{output[-2000:]}")
    first = None
    found = _MISMATCH.search(output)
    if found is not None:
        first = _locate(netlist, *found.groups())
    return CheckResult(samples, int(done[3] or cycles), int(done[1]), int(done[2]), first)


def _locate(netlist: Netlist, which: str, sample: str, cycle: str, got: str, expected: str) -> Mismatch:
    if which in ("valid", "done"):
        return Mismatch(which, int(sample), 0, int(cycle), int(got) if got.isdigit() else None, int(expected))
    if isinstance(netlist, FoldedNetlist):
        return _locate_transfer(netlist, which, int(sample), int(cycle), got, expected)
    seen = netlist.observables[int(which)]
    rtl, simulator = unpack_word(got, seen.value.type), unpack_word(expected, seen.value.type)
    lane = next(i for i, (a, b) in enumerate(zip(rtl, simulator, strict=True)) if a != b)
    return Mismatch(str(seen).lstrip("%"), int(sample), lane, int(cycle), rtl[lane][1], simulator[lane][1])


def _locate_transfer(netlist: FoldedNetlist, which: str, sample: int, number: int, got: str, expected: str) -> Mismatch:
    """What differs in a folded netlist: a lane of the output or of a transfer, or the time of a transfer."""
    what, _, index = which.rpartition("_")
    if what:
        return Mismatch(
            f"{what} of %{netlist.watches[int(index)].value.name}", sample, 0, number, int(got), int(expected)
        )
    if which == "output":
        name, kind, order = f"port {netlist.output_port}", netlist.output_value.type, np.arange(len(got))
    else:
        watch = netlist.watches[int(which)]
        name, order = watch.value.name, watch.order[number * watch.beat :]
        kind = replace(watch.value.type, shape=(watch.beat,))
    rtl, simulator = unpack_word(got, kind), unpack_word(expected, kind)
    lane = next(i for i, (a, b) in enumerate(zip(rtl, simulator, strict=True)) if a != b)
    return Mismatch(name, sample, int(order[lane]), number, rtl[lane][1], simulator[lane][1])
