"""The critical path of the mapped netlist, by OpenSTA, and its power at a uniform activity (to check ours against)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sccc.backends.synthesis.flat import Flat
from sccc.backends.synthesis.tools import require_tools
from sccc.diagnostics import InternalError

TRIAL_PERIOD = 1000.0
"""ns; the critical path is this less the slack."""

STA_SECONDS = 3600


@dataclass(frozen=True)
class CriticalPath:
    """The longest path in ns, setup included (the shortest clock period), and the modules it runs through, in order."""

    nanoseconds: float
    through: tuple[str, ...]


def critical_path(flat: Flat) -> CriticalPath:
    """Register to register and from and to the ports, no wires, inputs and clock ideal."""
    log = run_sta(flat, "report_checks -path_delay max -digits 4")
    slack = re.search(r"^\s*(-?[\d.]+)\s+slack", log, re.MULTILINE)
    if slack is None:
        raise InternalError(f"OpenSTA found no path:\n{log[-2000:]}")
    steps = []
    for owner, part in re.findall(r"c(\d+)_(\d+)_\w+?/\w+ \(", log):
        layer, module = flat.owners[int(owner)], flat.parts[int(part)]
        steps.append(f"{layer}: {module.removesuffix('_lane')}" if layer else module)
    return CriticalPath(TRIAL_PERIOD - float(slack[1]), tuple(dict.fromkeys(steps)))


def uniform_power(flat: Flat, activity: float) -> dict[str, float]:
    """OpenSTA's power in W when every net makes `activity` transitions per cycle of 1000 ns: internal, switching, leakage."""
    log = run_sta(flat, f"set_power_activity -global -activity {activity} -duty 0.5\nreport_power -digits 8")
    total = re.search(r"^Total\s+(\S+)\s+(\S+)\s+(\S+)", log, re.MULTILINE)
    if total is None:
        raise InternalError(f"OpenSTA reported no power:\n{log[-2000:]}")
    return dict(zip(("internal", "switching", "leakage"), map(float, total.groups()), strict=True))


def run_sta(flat: Flat, commands: str) -> str:
    """Give OpenSTA the netlist, a clock of 1000 ns and commands; what it printed."""
    require_tools("sta")
    with tempfile.TemporaryDirectory(prefix="sccc_sta_") as temporary:
        folder = Path(temporary)
        (folder / "flat.v").write_text(verilog(flat), encoding="ascii")
        script = f"""\
read_liberty {{{os.path.realpath(flat.library.path)}}}
read_verilog flat.v
link_design flat
create_clock -name clk -period {TRIAL_PERIOD} [get_ports clk]
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
{commands}
exit
"""
        (folder / "run.tcl").write_text(script, encoding="utf-8")
        try:
            done = subprocess.run(
                ["sta", "-no_splash", "-exit", "run.tcl"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=STA_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise InternalError(f"OpenSTA did not finish in {STA_SECONDS} s") from error
    if done.returncode:
        raise InternalError(f"OpenSTA failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr


def verilog(flat: Flat) -> str:
    """One flat module: nets n<number>, cells c<owner>_<part>_<type>_<row>."""
    ports, lines = [], []
    for name, nets in flat.ports.items():
        way = "input" if name in flat.inputs else "output"
        for i, net in enumerate(nets):
            label = name if len(nets) == 1 else f"{name}_{i}"
            ports.append(label)
            lines.append(f"  {way} {label};")
            lines.append(f"  assign n{net} = {label};" if way == "input" else f"  assign {label} = n{net};")
    used = np.zeros(flat.nets, dtype=bool)
    body = []
    for kind, group in flat.groups.items():
        used[group.pins] = True
        for row, (owner, part, pins) in enumerate(zip(group.owner, group.part, group.pins.tolist(), strict=True)):
            pairs = ", ".join(f".{p}({_net(n)})" for p, n in zip(group.names, pins, strict=True))
            body.append(f"  {kind} c{owner}_{part}_{kind}_{row} ({pairs});")
    for nets in flat.ports.values():
        used[nets] = True
    used[:2] = True
    wires = [f"  wire n{n};" for n in np.flatnonzero(used)]
    fixed = ["  assign n0 = 1'b0;", "  assign n1 = 1'b1;"]
    return "\n".join([f"module flat ({', '.join(ports)});", *fixed, *wires, *lines, *body, "endmodule", ""])


def _net(number: int) -> str:
    return ("1'b0", "1'b1")[number] if number < 2 else f"n{number}"
