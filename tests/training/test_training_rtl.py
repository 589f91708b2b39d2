"""The netlist learns what the simulator learns, and planted faults are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from training_checks import assert_fault_is_found
from training_nets import small_cnn

from sccc.backends.verilog.training import TrainingNetlist, emit_training
from sccc.data import Data
from sccc.ir import Module
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.training_check import check_training

Learning = Callable[..., Module]
Both = tuple[Data, Data]


def test_every_counter_at_every_step_for_300_samples(learning: Learning, digits: Both) -> None:
    x, y = digits[0].x[:300], digits[0].y[:300]  # type: ignore[index]
    result = check_training(learning(sources="per-lane"), x, y)
    assert result.samples == 300 and result.mismatches == 0
    assert result.compared > 300 * (64 * 16 + 16 * 10)


@pytest.mark.parametrize(("rule", "sources"), [("gdm", "per-layer"), ("gdm", "scrambled"), ("fixed", "per-layer")])
def test_momentum_and_fixed_point_too(rule: str, sources: str, learning: Learning, digits: Both) -> None:
    x, y = digits[0].x[:15], digits[0].y[:15]  # type: ignore[index]
    assert check_training(learning(rule=rule, sources=sources), x, y).mismatches == 0


FAULTS = {
    "a counter that moves the wrong way": ("(w_v + move_v) : (w_v - move_v)", "(w_v - move_v) : (w_v + move_v)"),
    "a counter that ignores the sign": ("((delta_v ^ x_v) >>> C1)", "((delta_v ^ delta_v) >>> C1)"),
    "a quantiser that is off by one": ("(x_v > random_v)", "(x_v >= random_v)"),
    "a source with another shift": ("C17", "C16"),
    "an error of the wrong class": ("(lane_v == label_v)", "((lane_v + 1) == label_v)"),
    "a backward product of the wrong error": ("factor = $signed(delta[(m*P + p)*", "factor = $signed(delta[(p)*"),
    "a reset to zero": ("<= initial_value;", "<= {W{1'b0}};"),
    "a counter that is never updated": ("else if (go) w <=", "else if (!go) w <="),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, learning: Learning, digits: Both) -> None:
    module = learning()
    netlist: TrainingNetlist = emit_training(module)
    right, wrong = FAULTS[fault]
    assert right in netlist.text
    broken = netlist.text.replace(right, wrong)
    if fault == "a source with another shift":
        broken = netlist.text.replace("C17 = 17", "C17 = 16")
    many = 150 if "off by one" in fault else 12  # a random number must equal an input once
    x, y = digits[0].x[:many], digits[0].y[:many]  # type: ignore[index]
    assert check_training(module, x, y, replace(netlist, text=broken)).mismatches > 0


def test_verilator_and_yosys_accept_the_netlist(learning: Learning, tmp_path: Path) -> None:
    for sources in ("per-layer", "per-lane", "scrambled"):
        netlist = emit_training(learning(sources=sources))
        path = tmp_path / f"{sources}.v"
        path.write_text(netlist.text)
        for command in (
            ["verilator", "--lint-only", "-Wall", "-Wno-fatal", "--top-module", netlist.top, str(path)],
            ["yosys", "-q", "-p", f"read_verilog {path}; hierarchy -check -top {netlist.top}"],
        ):
            done = run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            assert "%Error" not in done.stderr


def test_the_array_has_any_size(tmp_path: Path) -> None:
    from sccc.backends.verilog.training_cells import update_modules

    for op, top in (("train.count", "sccc_count"), ("train.descend", "sccc_descend")):
        (tmp_path / "array.v").write_text(update_modules(op))
        script = "read_verilog array.v; chparam -set ROWS 3 -set COLUMNS 5 -set W 7 {0}; hierarchy -check -top {0}; proc; opt; stat"
        done = run(["yosys", "-p", script.format(top)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "15" in done.stdout[done.stdout.rindex("=== design hierarchy") :]


CNN_FAULTS = {
    "a patch of the wrong lane": ("padded[index[i*IW +: IW]*W +: W]", "padded[(index[i*IW +: IW] ^ 1)*W +: W]"),
    "padding that is not zero": ("{{W{1'b0}}, x}", "{{W{1'b1}}, x}"),
    "errors that are not added where patches overlap": ("$signed(all[index[i*IW +: IW]*R_W +: R_W]) + term", "term"),
    "the last of the largest instead of the first": ("if (candidate > best)", "if (candidate >= best)"),
    "a gradient of one position": ("factor = $signed(delta[(m*P + p)*DELTA_W", "factor = $signed(delta[(m*P)*DELTA_W"),
    "an error routed to another tap": ("(lane_v == index_v)", "((lane_v ^ 1) == index_v)"),
}  # fmt: skip


@pytest.mark.parametrize("pool", ["nn.max_pool", "nn.avg_pool"])
def test_a_convolutional_network_too(pool: str) -> None:
    module, x, y = cnn_samples(pool)
    result = check_training(module, x, y)
    assert result.mismatches == 0 and result.compared > len(x) * 1000


@pytest.mark.parametrize("fault", CNN_FAULTS)
def test_planted_faults_of_a_convolutional_network_are_found(fault: str) -> None:
    module, x, y = cnn_samples("nn.max_pool")
    assert_fault_is_found(module, x, y, *CNN_FAULTS[fault])


def cnn_samples(pool: str) -> tuple[Module, np.ndarray, np.ndarray]:
    """A small network that learns with momentum, and images, some of whose pixels are equal."""
    random = np.random.default_rng(2)
    module = run_passes(small_cnn("relu", pool), [InsertGradientCounters(rule="gdm")], PassContext())
    return module, np.round(random.uniform(-1, 1, (16, 1, 6, 6))), random.integers(0, 4, 16)
