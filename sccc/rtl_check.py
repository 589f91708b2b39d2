"""check: simulate the emitted RTL in Icarus and compare it, cycle by cycle, with the simulator."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.backends.simulator import simulate
from sccc.backends.verilog import Netlist, emit_netlist
from sccc.backends.verilog.icarus import require_icarus, run_icarus
from sccc.backends.verilog.testbench import Testbench, emit_testbench, unpack_word
from sccc.diagnostics import InternalError
from sccc.ir import Module
from sccc.ops.source import input_levels


@dataclass(frozen=True)
class Mismatch:
    """Where RTL and simulator first differ.

    op: its result's name, or "port NAME", or "valid"; sample, lane, cycle of the window, and both values.
    """

    op: str
    sample: int
    lane: int
    cycle: int
    rtl: int | None
    simulator: int | None

    def __str__(self) -> str:
        rtl = "x" if self.rtl is None else self.rtl
        where = self.op if self.op == "valid" or self.op.startswith("port ") else f"%{self.op}"
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


def testbench(module: Module, x: np.ndarray, stem: str, netlist: Netlist | None = None) -> tuple[Netlist, Testbench]:
    """The netlist and a self-checking testbench that expects what the simulator computes for x [samples, *input shape]."""
    netlist = netlist or emit_netlist(module)
    wanted = [seen.value.name for seen in netlist.observables]
    result = simulate(module, x, trace=wanted)
    (source,) = module.inputs
    levels = input_levels(source, np.asarray(x, dtype=np.float64).reshape(len(x), *source.attributes["shape"]))
    return netlist, emit_testbench(netlist, stem, levels.reshape(len(x), -1), result.trace)


def check(
    module: Module, x: np.ndarray, *, folder: Path | None = None, alter: Callable[[str], str] | None = None
) -> CheckResult:
    """Compare RTL and simulator on x [samples, *input shape], real units.

    Files stay in `folder` when one is given. `alter` may change the netlist's text before it is run: that is how tests plant
    faults. Raises SccError when Icarus is missing.
    """
    require_icarus()
    netlist, bench = testbench(module, x, "tb")
    with tempfile.TemporaryDirectory(prefix="sccc_check_") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        text = alter(netlist.text) if alter else netlist.text
        (place / "net.v").write_text(text, encoding="ascii")
        for name, content in bench.files.items():
            (place / name).write_text(content, encoding="ascii")
        output = run_icarus(place, [bench.main, "net.v"])
    return _read(output, netlist, len(x), bench.cycles)


_DONE = re.compile(r"^DONE compared (\d+) mismatches (\d+)$", re.MULTILINE)
_MISMATCH = re.compile(r"^MISMATCH (\w+) sample (\d+) cycle (\d+) got (\w+) expected (\w+)$", re.MULTILINE)


def _read(output: str, netlist: Netlist, samples: int, cycles: int) -> CheckResult:
    done = _DONE.search(output)
    if done is None:
        raise InternalError(f"the testbench did not finish:\n{output[-2000:]}")
    first = None
    found = _MISMATCH.search(output)
    if found is not None:
        first = _locate(netlist, *found.groups())
    return CheckResult(samples, cycles, int(done[1]), int(done[2]), first)


def _locate(netlist: Netlist, which: str, sample: str, cycle: str, got: str, expected: str) -> Mismatch:
    if which == "valid":
        return Mismatch("valid", 0, 0, int(cycle), int(got) if got.isdigit() else None, int(expected))
    seen = netlist.observables[int(which)]
    rtl, simulator = unpack_word(got, seen.value.type), unpack_word(expected, seen.value.type)
    lane = next(i for i, (a, b) in enumerate(zip(rtl, simulator, strict=True)) if a != b)
    return Mismatch(str(seen).lstrip("%"), int(sample), lane, int(cycle), rtl[lane][1], simulator[lane][1])
