"""The bill of folded hardware: within 15 % of what Yosys counts, memories apart, which stay memories in both."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import image_nets
import nets
import pytest

import sccc
from sccc.backends.synthesis.yosys import COARSE, FLIPFLOPS
from sccc.backends.verilog import emit_netlist
from sccc.folded_cost import folded_bill


def yosys_counts(module: sccc.Module, folder: Path) -> tuple[int, int, int]:
    """Gates, flip-flops and memories of a folded netlist, as `sccc.backends.synthesis.yosys` counts them, but memories are kept.

    Activation tables are logic.
    """
    netlist = emit_netlist(module)
    for name, text in {"net.v": netlist.text, **netlist.files}.items():
        (folder / name).write_text(text, encoding="ascii")
    script = (
        f"read_verilog net.v\nhierarchy -top {netlist.top}\n{COARSE.replace('memory_map;', 'memory_map *_lookup;')}"
    )
    (folder / "net.ys").write_text(f"{script}\nabc -fast\nopt_clean\ntee -o net.stat stat -top {netlist.top}\n")
    subprocess.run(["yosys", "-q", "-s", "net.ys"], cwd=folder, check=True, capture_output=True, timeout=600)
    _, whole = (folder / "net.stat").read_text().split("=== design hierarchy ===")
    cells = Counter({kind: int(number) for kind, number in re.findall(r"^ +(\$\S+) +(\d+)$", whole, re.MULTILINE)})
    gates = sum(n for kind, n in cells.items() if kind.startswith("$_") and not FLIPFLOPS.match(kind))
    flipflops = sum(n for kind, n in cells.items() if FLIPFLOPS.match(kind))
    return gates, flipflops, sum(n for kind, n in cells.items() if kind.startswith("$mem"))


def mlp() -> sccc.Module:
    spec = nets.Spec(sizes=(30, 16, 8), activation="tanh", seed=5)
    return sccc.compile(nets.build(spec), calibration=nets.data(spec, 50), length=32, multipliers=40)


def images(name: str, multipliers: int) -> sccc.Module:
    network = image_nets.NETWORKS[name]()
    return sccc.compile(network, calibration=image_nets.data(network, 8), length=32, multipliers=multipliers)


NETWORKS = {
    "dense layers and a table": mlp,
    "convolutions and pooling": lambda: images("lenet", 60),
    "branches and mean pooling": lambda: images("residual", 60),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_and_flipflops_are_as_yosys_counts_them(name, tmp_path):
    module = NETWORKS[name]()
    gates, flipflops, memories = yosys_counts(module, tmp_path)
    total = folded_bill(module).total
    assert memories > 0
    assert total.gates == pytest.approx(gates, rel=0.15)
    assert total.flipflops == pytest.approx(flipflops, rel=0.15)
