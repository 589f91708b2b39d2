"""Early exit in Icarus: done in the cycle, and with the totals, that the simulator computes; and planted faults are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nets import Spec, build, data, lower

import sccc
from sccc.early_exit import parse_rule
from sccc.exit_check import check_exit
from sccc.exit_report import with_early_exit
from sccc.passes import DEFAULT_PIPELINE

CASES = (
    ({"length": 32}, "none", "margin=9"),
    ({"length": 64, "style": "streaming"}, "none", "margin=9 first=8 every=4"),
    ({"length": 32, "style": "streaming", "source": "lfsr", "sharing": "none"}, "argmax", "margin=6"),
    ({"length": 24, "encoding": "bipolar"}, "softmax", "margin=12"),
)


def compiled(options, end, rule, sizes=(9, 8, 4)):
    spec = Spec(sizes=sizes, options=options, end=end)
    return lower(build(spec), options, data(spec, 50), f"{DEFAULT_PIPELINE},early-exit{{{rule}}}"), data(spec, 12)


@pytest.mark.parametrize(("options", "end", "rule"), CASES)
def test_every_sample_is_done_when_the_simulator_says(options, end, rule):
    module, x = compiled(options, end, rule)
    result = check_exit(module, x)
    assert (result.samples, result.mismatches) == (12, 0), result.first
    assert len(set(sccc.simulate(module, x).cycles.tolist())) > 2


@pytest.mark.parametrize(("options", "end", "rule"), CASES[:3])
def test_every_cycle_before_the_exit_is_as_simulated(options, end, rule):
    module, x = compiled(options, end, rule)
    result = sccc.check(module, x[:4])
    assert result.mismatches == 0, result.first


FAULTS = {
    "margin": (".MARGIN(9)", ".MARGIN(10)"),
    "second": ("second = best;", "second = second;"),
    "freeze": ("running && !safe", "running"),
    "stop": (".stop(running && safe)", ".stop(1'b0)"),
    "restart": ("(go || !running) ? {T_BITS{1'b0}}", "(!running) ? {T_BITS{1'b0}}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault):
    module, x = compiled({"length": 64, "style": "streaming"}, "none", "margin=9")
    good, bad = FAULTS[fault]

    def alter(text: str) -> str:
        assert good in text
        return text.replace(good, bad)

    found = check_exit(module, x, alter=alter).mismatches
    if (
        fault == "restart"
    ):  # only a start that comes while windows still run shows it, and layer 0 runs on after the exit
        assert found > 0
    else:
        assert found > 0 and sccc.check(module, x[:4], alter=alter).mismatches > 0


def test_the_header_tells_of_the_exit():
    module, _ = compiled({"length": 16}, "none", "margin=7 first=2 every=2")
    header = sccc.emit(module).split("`default_nettype")[0]
    assert "leads the second by 7 counts (looked at after 2 cycles" in header and "every 2 cycles" in header


EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist_mlp"


def test_mnist_exits_early_in_icarus_as_in_the_simulator():
    file = np.load(EXAMPLE / "mnist_sample.npz")
    x = file["x_test"].reshape(-1, 784) / 255.0
    module = sccc.compile(
        EXAMPLE / "mnist_mlp_tanh.onnx",
        length=64,
        style="streaming",
        calibration=file["x_calib"].reshape(-1, 784) / 255.0,
    )
    module = with_early_exit(module, parse_rule("margin=104"), None)
    cycles = sccc.simulate(module, x).cycles
    chosen = x[[int(cycles.argmin()), 0]]
    result = check_exit(module, chosen)
    assert result.mismatches == 0, result.first
    assert cycles.mean() < 16
