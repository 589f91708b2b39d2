"""Running Icarus Verilog on emitted files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sccc.diagnostics import InternalError, SccError


def require_icarus() -> None:
    """Raises SccError when Icarus is not installed."""
    missing = [tool for tool in ("iverilog", "vvp") if shutil.which(tool) is None]
    if missing:
        raise SccError(f"{' and '.join(missing)} not found", advice="install Icarus Verilog: apt-get install iverilog")


def run_icarus(folder: Path, sources: list[str]) -> str:
    """Compile Verilog-2005 sources in `folder` and run them there; what the simulation printed.

    Raises SccError without Icarus, InternalError when it refuses what sccc has emitted.
    """
    require_icarus()
    compiled = subprocess.run(
        ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-o", "sim.vvp", *sources],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        raise InternalError(f"Icarus refuses the netlist:\n{compiled.stderr[:2000]}")
    done = subprocess.run(["vvp", "-n", "sim.vvp"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InternalError(f"the simulation failed:\n{(done.stdout + done.stderr)[:2000]}")
    return done.stdout
