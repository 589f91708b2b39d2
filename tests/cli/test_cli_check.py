"""sccc check: agrees on what is right, and says where what is wrong first differs."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from cli_common import samples

import sccc
from sccc import rtl_check

KEYS = {"samples", "cycles", "compared", "mismatches", "first"}


@pytest.fixture
def fault(monkeypatch):
    """Plants a fault in the emitted text: output 2 of the first layer counts one too many."""
    emit = rtl_check.emit_netlist

    def broken(module):
        netlist = emit(module)
        module_text = re.compile(r"(module net_fc1_dot .*? sum_2 = )", re.DOTALL)
        text, times = module_text.subn(r"\g<1>1 + ", netlist.text, count=1)
        assert times == 1
        return dataclasses.replace(netlist, text=text)

    monkeypatch.setattr(rtl_check, "emit_netlist", broken)


@pytest.mark.parametrize("style", ["accumulate", "streaming"])
def test_hardware_and_simulator_agree(ok, model, data, style):
    result = ok("check", model, "--data", data, "--style", style, "--length", "16", "--json", "c.json")
    report = json.loads(Path("c.json").read_text())
    assert set(report) == KEYS
    assert (report["samples"], report["mismatches"], report["first"]) == (2, 0, None)
    latency = sccc.compile(str(model), style=style, length=16)
    assert report["cycles"] > 2 * 16
    # at least each product sum of each layer, every cycle
    assert report["compared"] > 2 * 16 * (5 + 3)
    expected = f"2 samples, {report['cycles']:,} cycles: {report['compared']:,} values compared, 0 differ\n"
    assert result.out == expected
    assert latency.outputs


def test_samples_and_limit_say_how_many_are_run(ok, model, data):
    assert ok("check", model, "--data", data, "--samples", "3", "--length", "8").out.startswith("3 samples")
    assert ok("check", model, "--data", data, "--limit", "1", "--length", "8").out.startswith("1 samples")


def test_classes_are_not_needed(ok, model):
    import numpy as np

    np.savez("x.npz", x=samples()[0])
    assert "0 differ" in ok("check", model, "--data", "x.npz", "--length", "8").out


def test_a_mismatch_is_exit_code_1_and_the_first_difference_is_located(run, fault, model, data):
    result = run("check", model, "--data", data, "--length", "16", "--json", "c.json")
    assert result.code == 1
    module = sccc.compile(str(model), length=16)
    x = samples()[0][:2]
    wanted = int(sccc.simulate(module, x, trace=["fc1_count"]).trace["fc1_count"][0, 2, 0])
    place = f"first difference: %fc1_count, lane 2, sample 0, cycle 0: RTL {wanted + 1}, simulator {wanted}"
    assert place in result.err
    report = json.loads(Path("c.json").read_text())
    assert report["mismatches"] > 2 * 16
    assert f"{report['mismatches']:,} differ" in result.out
    assert report["first"] == {
        "op": "fc1_count", "sample": 0, "lane": 2, "cycle": 0, "rtl": wanted + 1, "simulator": wanted
    }  # fmt: skip


def test_json_on_standard_output_stands_there_alone(ok, model, data):
    result = ok("check", model, "--data", data, "--length", "8", "--json", "-")
    assert set(json.loads(result.out)) == KEYS
    assert "0 differ" in result.err


def test_keep_leaves_what_was_run(ok, model, data):
    ok("check", model, "--data", data, "--length", "8", "--keep", "new/kept")
    names = {path.name for path in Path("new/kept").iterdir()}
    assert {"net.v", "tb.v", "tb_input.hex"} <= names
    assert Path("new/kept/net.v").read_text() == sccc.emit(sccc.compile(str(model), length=8))


def test_nothing_is_left_without_keep(ok, model, data, folder):
    before = sorted(folder.iterdir())
    ok("check", model, "--data", data, "--length", "8")
    assert sorted(folder.iterdir()) == before


def test_without_icarus_the_user_is_told_how_to_get_it(refused, model, data, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = refused("check", model, "--data", data)
    assert "iverilog and vvp not found" in result.err
    assert "apt-get install iverilog" in result.err


def test_keep_must_be_a_folder(refused, model, data):
    Path("file").write_text("mine")
    assert (
        "file, option --keep: is a file, not a folder" in refused("check", model, "--data", data, "--keep", "file").err
    )
    result = refused("check", model, "--data", data, "--keep", "file/below")
    assert "file/below, option --keep: cannot be made: Not a directory" in result.err
