"""`--early-exit` on the command line: simulate, compile, check."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sccc.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_mlp"


@pytest.fixture
def run(capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture(scope="module")
def files() -> tuple[str, str]:
    return str(EXAMPLE / "digits_mlp.onnx"), str(EXAMPLE / "digits.npz")


def test_simulate_tells_what_the_exit_saves_and_costs(run, files, tmp_path):
    model, data = files
    out_file = tmp_path / "e.json"
    options = ("--length", "64", "--style", "streaming", "--early-exit", "margin=auto", "--json", str(out_file))
    code, out, err = run("simulate", model, "--data", data, *options)
    found = json.loads(out_file.read_text())["early_exit"]
    assert code == 0 and "early exit" in out and "warning: the margin" in err
    assert found["mean_cycles"] < found["window"] / 2 and found["mean_latency"] < found["latency"]
    assert found["accuracy"] > found["full_accuracy"] - 0.03


def test_a_cascade_tells_its_stages(run, files, tmp_path):
    model, data = files
    out_file = tmp_path / "c.json"
    options = ("--length", "32", "--early-exit", "margin=auto,stages=8+32", "--json", str(out_file))
    code, _, _ = run("simulate", model, "--data", data, *options)
    found = json.loads(out_file.read_text())["early_exit"]
    assert code == 0 and [s["length"] for s in found["stages"]] == [8, 32]
    first, second = found["stages"]
    assert second["samples"] < first["samples"] == found["samples"]
    expected = (first["latency"] * first["samples"] + second["latency"] * second["samples"]) / found["samples"]
    assert np.isclose(found["mean_latency"], expected)
    assert found["accuracy"] > found["full_accuracy"] - 0.02


def test_the_netlist_has_it_and_check_runs_it(run, files, tmp_path):
    model, data = files
    rule = ("--length", "16", "--early-exit", "margin=12")
    assert run(model, "-o", str(tmp_path / "n.v"), *rule)[0] == 0
    assert "sccc_lead" in (tmp_path / "n.v").read_text()
    code, _, err = run("check", model, "--data", data, *rule)
    assert code == 0 and "early exit: 2 samples, 0 differ" in err


def test_check_runs_flipped_bits(run, files):
    model, data = files
    code, out, _ = run(
        "check", model, "--data", data, "--length", "16", "--flip-rate", "0.05", "--flips", "operand,state"
    )
    assert code == 0 and " 0 differ" in out


@pytest.mark.parametrize(
    ("rule", "message"),
    (
        ("margin=many", "'many' is not a number"),
        ("stages=8+32", "no netlist of its own"),
        ("margin=auto", "no samples to choose"),
    ),
)
def test_what_cannot_be_is_refused(run, files, tmp_path, rule, message):
    code, _, err = run(files[0], "-o", str(tmp_path / "n.v"), "--length", "32", "--early-exit", rule)
    assert code == 2 and message in err and not (tmp_path / "n.v").exists()
