"""sccc report: tables and JSON, the comparison, and every way in which it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_common import samples, write_model

from sccc.cli import EXIT_USER_ERROR, main
from sccc.rival import Design, verdicts


@pytest.fixture
def model(folder):
    return str(write_model(Path("net.onnx")))


@pytest.fixture
def samples_file(folder):
    x, y = samples()
    np.savez("d.npz", x=x, y=y)
    return "d.npz"


def report(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(["report", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_estimate(model, capsys):
    code, out, _ = report(capsys, model, "--length", "16", "--json", "r.json")
    result = json.loads(Path("r.json").read_text())
    assert code == 0 and "estimated" in out
    assert [layer["name"] for layer in result["layers"]] == ["fc1", "fc2"]
    for key in ("sources", "sngs", "gates", "flipflops", "cycles", "area_um2", "energy_pj"):
        assert result[key] > 0


def test_synthesis(model, samples_file, liberty, capsys):
    code, out, _ = report(capsys, model, "--length", "8", "--data", samples_file, "--synth", "--json", "r.json")
    result = json.loads(Path("r.json").read_text())["synthesis"]
    assert code == 0 and "critical path" in out and "results of the gates checked" in out
    assert [layer["name"] for layer in result["layers"]] == ["fc1", "fc2", ""]
    for key in (
        "gates",
        "cells",
        "area_um2",
        "critical_path_ns",
        "energy_pj_per_inference",
        "inferences_per_second_per_mm2",
    ):
        assert result[key] > 0


def test_the_comparison(model, samples_file, capsys):
    argv = ("--against", "fixed", "--lengths", "8,32", "--widths", "6,4", "--data", samples_file)
    code, out, _ = report(capsys, model, *argv, "--json", "r.json")
    result = json.loads(Path("r.json").read_text())
    assert code == 0
    assert [d["name"] for d in result["streams"]] == ["streams, N = 8", "streams, N = 32"]
    assert [d["name"] for d in result["fixed"]] == ["fixed, 6 bits", "fixed, 4 bits"]
    assert [d["interval"] for d in result["streams"]] == [9, 33]
    assert all(d["interval"] == 1 and d["accuracy"] > 0.8 for d in result["fixed"])
    assert out.count("streams, N = 8") == 2  # a row, and the verdict


def test_the_comparison_without_data_says_nothing_of_accuracy(model, capsys):
    code, out, _ = report(capsys, model, "--against", "fixed")
    assert code == 0 and "streams, N = 64" in out and "fixed, 8 bits" in out


def test_verdicts_take_the_best_rival_of_equal_accuracy():
    def design(name, accuracy, area, energy):
        return Design(name, accuracy, 0, 0, 1, area, energy)

    rivals = [design("good", 0.95, 30.0, 4.0), design("bad", 0.5, 1.0, 1.0)]
    (verdict,) = verdicts([design("ours", 0.95, 10.0, 8.0)], rivals)
    assert verdict["equally_accurate"]
    assert verdict["measures"]["area"] == {"rival": "good", "ratio": pytest.approx(1 / 3), "wins": True}
    assert verdict["measures"]["energy"] == {"rival": "good", "ratio": 2.0, "wins": False}
    (verdict,) = verdicts([design("ours", 0.99, 10.0, 8.0)], rivals)
    assert not verdict["equally_accurate"] and verdict["measures"]["area"]["rival"] == "good"


@pytest.mark.parametrize(("better", "equal"), [(3, True), (40, False)])
def test_what_the_samples_cannot_tell_apart_is_equal(better, equal):
    right = np.ones(200, dtype=bool)
    worse = right.copy()
    worse[:better] = False
    ours = Design("ours", 1.0, 0, 0, 1, 1.0, 1.0, right=right)
    rival = Design("rival", 1 - better / 200, 0, 0, 1, 1.0, 1.0, right=worse)
    assert verdicts([ours], [rival])[0]["equally_accurate"] is equal


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--liberty", "x.lib"], "--liberty: is only for synthesis"),
        (["--glitches"], "--glitches: is only for synthesis"),
        (["--lengths", "8"], "--lengths: is only for a comparison or a page"),
        (["--against", "fixed", "--lengths", "8,x"], "not a list of whole numbers"),
        (["--against", "fixed", "--widths", "1"], "1 is less than 2"),
        (["--against", "fixed", "--style", "fixed"], "the rival is fixed already"),
        (["--synth", "--liberty", "missing.lib"], "missing.lib, option --liberty: there is no such file"),
        (["--synth", "--liberty", "net.onnx"], "not a Liberty file"),
    ],
)
def test_refusals(model, capsys, argv, message):
    code, out, err = report(capsys, model, *argv)
    assert (code, out) == (EXIT_USER_ERROR, "")
    assert message in err and "\n  = " in err


def test_missing_tools_are_all_named_with_the_way_to_get_them(model, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SCCC_EDA", str(tmp_path / "none"))
    code, _, err = report(capsys, model, "--synth")
    assert code == EXIT_USER_ERROR
    for word in ("yosys is not installed", "sta is not installed", "no Liberty file", "sccc setup-eda", "make eda"):
        assert word in err


def test_setup_without_apt_says_what_is_wanted(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["setup-eda"]) == EXIT_USER_ERROR
    assert "apt-get" in capsys.readouterr().err
