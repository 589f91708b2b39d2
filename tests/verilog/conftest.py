"""The networks whose netlists are looked at, and tools to look at them with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from nets import Spec, compiled, data

from sccc.backends.verilog import emit_netlist

SPECS = {
    "accumulate-signed-sobol-tanh": Spec((7, 5, 4, 3), "tanh", "none", {"length": 32, "encoding": "signed"}, True),
    "accumulate-bipolar-lfsr-relu": Spec(
        (6, 5, 3), "relu", "argmax", {"length": 33, "encoding": "bipolar", "source": "lfsr", "weights": "per-channel"}
    ),
    "accumulate-none-sobol-clip": Spec((4, 4, 3), "clip", "relu", {"length": 16, "sharing": "none"}),
    "accumulate-none-lfsr-sigmoid": Spec(
        (4, 3, 1), "sigmoid", "softmax", {"length": 20, "source": "lfsr", "sharing": "none"}, True
    ),
    "streaming-signed-sobol-relu": Spec((7, 5, 4, 3), "relu", "argmax", {"length": 32, "style": "streaming"}),
    "streaming-bipolar-lfsr-tanh": Spec(
        (5, 4, 3), "tanh", "none", {"length": 64, "style": "streaming", "encoding": "bipolar", "source": "lfsr"}, True
    ),
    "streaming-unipolar-ramp-sigmoid": Spec(
        (5, 4, 3), "sigmoid", "none",
        {"length": 1, "style": "streaming", "encoding": "unipolar", "source": "ramp"}, positive=True,
    ),
}  # fmt: skip


@pytest.fixture(scope="session", params=SPECS, ids=list(SPECS))
def spec(request):
    return SPECS[request.param]


@pytest.fixture(scope="session")
def module(spec):
    return compiled(spec)


@pytest.fixture(scope="session")
def inputs(spec):
    return data(spec)


@pytest.fixture(scope="session")
def netlist(module):
    return emit_netlist(module)


@pytest.fixture(scope="session")
def accepts(tmp_path_factory):
    """A function that hands a netlist to Icarus, Verilator and Yosys; what they had to say, "" when nothing."""

    def run(folder: Path, *command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        said = done.stdout + done.stderr
        return f"{command[0]} {done.returncode}: {said}" if done.returncode or said.strip() else ""

    def accept(text: str, top: str) -> str:
        folder = tmp_path_factory.mktemp("tools")
        (folder / "net.v").write_text(text, encoding="ascii")
        verilator = ("verilator", "--lint-only", "--top-module", top, "net.v")
        yosys = f"read_verilog net.v; hierarchy -check -top {top}; proc; check -assert"
        return "".join(
            (
                run(folder, "iverilog", "-g2005", "-Wall", "-t", "null", "-s", top, "net.v"),
                run(folder, *verilator),
                run(folder, *verilator, "-Wall", "-Wno-DECLFILENAME", *WAIVED),
                run(folder, "yosys", "-q", "-p", yosys),
            )
        )

    return accept


# Not every layer needs the cycle counter (LFSRs do not) or `done` (a layer that streams), nor a sum its guard bits; and a
# name inside a module may be one outside.
WAIVED = ("-Wno-UNUSEDSIGNAL", "-Wno-VARHIDDEN")
