"""Running Verilator on emitted files: slower to build than Icarus, and many times as fast once built."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sccc.diagnostics import InternalError, SccError

SMALL_PROGRAM = ["--inline-mult", "1", "--unroll-count", "1"]
"""A folded network runs for seconds only, and building the program is what takes time: instances of a module share their code, and
loops over lanes stay loops."""

QUICK_BUILD = ["-MAKEFLAGS", "VM_PARALLEL_BUILDS=0 OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]
"""One file instead of a hundred that would each read all declarations. What runs in every cycle is optimised a little: without that
it is 20 times as slow. What runs once is not, nor are Verilator's own files."""


def require_verilator() -> None:
    """Raises SccError when Verilator or a compiler for what it generates is not installed."""
    missing = [tool for tool in ("verilator", "make", "g++") if shutil.which(tool) is None]
    if missing:
        raise SccError(
            f"{' and '.join(missing)} not found", advice="install Verilator 5: apt-get install verilator make g++"
        )


def run_verilator(folder: Path, sources: list[str], top: str) -> str:
    """Compile Verilog-2005 sources in `folder` to a program (Verilator 5's --binary) and run it; what it printed.

    The program is made in folder/obj_dir. Raises SccError without Verilator, InternalError when it refuses what sccc has emitted.
    """
    require_verilator()
    jobs = str(len(os.sched_getaffinity(0)))
    # Widths are looked at when netlists are linted; a testbench compares integers of all sizes.
    options = ["--binary", "--timing", "-Wno-lint", "--top-module", top, "-o", "sim", "-j", jobs]
    options += SMALL_PROGRAM + QUICK_BUILD
    compiled = subprocess.run(
        ["verilator", *options, *sources], cwd=folder, capture_output=True, text=True, check=False
    )
    if compiled.returncode:
        raise InternalError(f"Verilator refuses the netlist:\n{(compiled.stderr + compiled.stdout)[:2000]}")
    done = subprocess.run(["./obj_dir/sim"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InternalError(f"the simulation failed:\n{(done.stdout + done.stderr)[:2000]}")
    return done.stdout
