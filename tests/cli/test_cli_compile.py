"""sccc compile: what is written, what is shown, and that every option has its effect."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cli_common import process, samples, write_images, write_model

import sccc
from sccc.config import OPTION_FIELDS

LAYER_KEYS = {
    "name", "encoding", "style", "source", "sources", "sngs", "products", "gates", "flipflops", "cycles"
}  # fmt: skip
TOTAL_KEYS = {"layers", "sources", "sngs", "products", "gates", "flipflops", "cycles"}


def bill(ok, *argv) -> dict:
    """The JSON of a compilation."""
    ok("compile", *argv, "--json", "bill.json")
    return json.loads(Path("bill.json").read_text())


# -- what is written --------------------------------------------------------------------------------------------------


def test_compile_is_the_default_command_and_writes_verilog_into_the_working_folder(ok, tmp_path, model):
    Path("models").mkdir()
    model.rename("models/net.onnx")
    result = ok("models/net.onnx")
    assert result.out.endswith("wrote net.v\n")
    assert Path("net.v").read_text() == sccc.emit(sccc.compile("models/net.onnx"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models", "net.v"]


BEGINNINGS = {"verilog": "// net: stochastic-computing netlist", "ir": "module @net {", "dot": 'digraph "net" {'}


@pytest.mark.parametrize(("ending", "kind"), [(".v", "verilog"), (".sc", "ir"), (".dot", "dot"), (".txt", "verilog")])
def test_the_ending_of_the_output_says_what_is_written(ok, model, ending, kind):
    ok(model, "-o", f"out{ending}")
    assert Path(f"out{ending}").read_text().startswith(BEGINNINGS[kind])


@pytest.mark.parametrize(("kind", "name"), [("verilog", "net.v"), ("ir", "net.sc"), ("dot", "net.dot")])
def test_emit_says_what_is_written_and_under_which_ending(ok, model, kind, name):
    ok(model, "--emit", kind)
    assert Path(name).read_text().startswith(BEGINNINGS[kind])


def test_emit_wins_over_the_ending(ok, model):
    ok(model, "--emit", "dot", "-o", "out.v")
    assert Path("out.v").read_text().startswith(BEGINNINGS["dot"])


def test_the_text_form_is_a_model_for_every_command(ok, model, data):
    ok(model, "-o", "a.sc")
    ok("a.sc", "-o", "b.sc")
    assert Path("a.sc").read_text() == Path("b.sc").read_text()
    ok(model, "-o", "a.v")
    ok("a.sc", "-o", "b.v")
    assert Path("a.v").read_text() == Path("b.v").read_text()
    assert "2 samples" in ok("check", "a.sc", "--data", data).out
    assert "60 samples" in ok("simulate", "a.sc", "--data", data).out


def test_options_that_cannot_change_finished_hardware_are_told(ok, model):
    ok(model, "-o", "a.sc")
    assert ok("a.sc", "--seed", "3").err == ""
    assert "warning: module 'net' is hardware already" in ok("a.sc", "--length", "16").err


def test_an_existing_output_is_replaced(ok, model):
    Path("net.v").write_text("old")
    ok(model)
    assert Path("net.v").read_text().startswith(BEGINNINGS["verilog"])


def test_a_linked_output_changes_the_file_behind_the_link(ok, model):
    Path("real.v").write_text("old")
    Path("net.v").symlink_to("real.v")
    ok(model)
    assert Path("net.v").is_symlink()
    assert Path("real.v").read_text().startswith(BEGINNINGS["verilog"])


def test_devices_are_written_to_and_not_replaced(ok, model):
    ok(model, "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["[red]net[/red].v", "a[/b].v", ":smile:.v", "n e t.v", 'q"uote.v', "größe.v"])
def test_names_are_shown_as_they_are(ok, model, name):
    result = ok(model, "-o", name) if "/" not in name else None
    if result is None:
        Path(name).parent.mkdir()
        result = ok(model, "-o", name)
    assert f"wrote {name}\n" in result.out


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_the_table_at_the_end_is_the_bill_of_each_layer(ok, model):
    lines = ok(model, "--style", "streaming", "--length", "32").out.splitlines()
    header = next(line for line in lines if "layer" in line)
    for heading in ("layer", "encoding", "style", "sources", "SNGs", "gates", "cycles"):
        assert heading in header
    rows = {line.split()[0]: line for line in lines if line.split()[:1] and line.split()[0] in ("fc1", "fc2", "total")}
    assert list(rows) == ["fc1", "fc2", "total"]
    assert "streaming (btanh)" in rows["fc1"]
    assert "accumulate" in rows["fc2"]
    assert rows["fc1"].split()[-1] == "32"


def test_json_holds_the_same_bill(ok, model):
    data = bill(ok, model, "--length", "32")
    assert set(data) == TOTAL_KEYS
    assert [layer["name"] for layer in data["layers"]] == ["fc1", "fc2"]
    assert all(set(layer) == LAYER_KEYS for layer in data["layers"])
    assert [layer["cycles"] for layer in data["layers"]] == [32, 32]
    assert data["gates"] == pytest.approx(sum(layer["gates"] for layer in data["layers"]), abs=1)
    assert data["sngs"] == sum(layer["sngs"] for layer in data["layers"])


def test_json_on_standard_output_stands_there_alone(ok, model):
    result = ok(model, "--json", "-")
    assert set(json.loads(result.out)) == TOTAL_KEYS
    assert "wrote net.v" in result.err


def test_verbose_shows_the_module_after_each_pass_and_the_time(ok, model):
    quiet, verbose = ok(model), ok(model, "-v")
    after = [line for line in verbose.err.splitlines() if line.startswith("// after ")]
    names = [line.split()[2].rstrip(",") for line in after]
    assert names == [str(each) for each in sccc.parse_pipeline(sccc.passes.DEFAULT_PIPELINE)]
    assert all(line.endswith(" s") for line in after)
    assert verbose.err.count("module @net {") == len(after)
    assert verbose.out.startswith(quiet.out)


def test_without_calibration_the_assumed_input_range_is_told_once(ok, model, data):
    assert ok(model).err.count("no calibration data") == 1
    assert ok(model, "--input-range", "2").err == ""
    assert ok(model, "--calibrate", data).err == ""


# -- testbench --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["net.v", "out/my 'net'.v"])
def test_the_testbench_that_is_written_passes_in_icarus(ok, model, data, output):
    Path("out").mkdir()
    place = Path(output)
    result = ok(model, "-o", place, "--testbench", "--data", data, "--samples", "3", "--length", "16")
    (bench,) = place.parent.glob("*_tb.v")
    assert f"wrote {place}, {bench} and " in result.out
    subprocess.run(["iverilog", "-g2005", "-o", "tb.vvp", bench.name, place.name], cwd=place.parent, check=True)
    done = subprocess.run(["vvp", "-n", "tb.vvp"], cwd=place.parent, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "PASS"
    assert "SAMPLES  = 3;" in bench.read_text()


def test_a_testbench_can_use_the_calibration_data(ok, model, data):
    ok(model, "--testbench", "--calibrate", data, "--length", "8")
    assert Path("net_tb.v").exists()


# -- options ----------------------------------------------------------------------------------------------------------

CHANGED = {
    "length": "32",
    "bits": "5",
    "style": "streaming",
    "encoding": "bipolar",
    "source": "lfsr",
    "sharing": "none",
    "error_budget": "2",
    "shorten": "yes",
    "weights": "per-channel",
    "pooling": "streams",
    "adder": "or",
    "adder_inputs": "2",
    "multipliers": "7",
    "cycles": "5000",
    "scales": "power-of-two",
    "coverage": "0.6",
    "input_range": "3",
    "seed": "7",
}
NEEDS = {
    "seed": ("--source", "lfsr"),
    "coverage": ("--calibrate", "d.npz"),
    "error_budget": ("--calibrate", "d.npz"),
    "shorten": ("--calibrate", "d.npz", "--error-budget", "2"),
    "adder_inputs": ("--adder", "or"),
}


@pytest.mark.parametrize("name", OPTION_FIELDS)
def test_every_option_reaches_the_hardware(ok, folder, data, name):
    write_model(Path("net.onnx"), "Relu")
    if name == "pooling":
        write_images(Path("net.onnx"))
    needs = NEEDS.get(name, ())
    ok("net.onnx", "-o", "a.sc", *needs)
    ok("net.onnx", "-o", "b.sc", *needs, "--" + name.replace("_", "-"), CHANGED[name])
    assert Path("a.sc").read_text() != Path("b.sc").read_text()


def test_calibration_data_set_the_ranges(ok, model, data):
    ok(model, "-o", "a.sc")
    np.savez("wide.npz", x=samples()[0] * 9 - 4)
    ok(model, "-o", "b.sc", "--calibrate", "wide.npz")
    (a,), (b,) = (sccc.load(path).inputs for path in ("a.sc", "b.sc"))
    assert a.attributes["scale"] == 1.0
    assert a.attributes["encoding"] == "unipolar"
    assert b.attributes["scale"] == pytest.approx(np.abs(samples()[0] * 9 - 4).max())
    assert b.attributes["encoding"] == "signed"


def test_a_config_file_can_make_single_layers_differ(ok, model):
    Path("c.toml").write_text("""\
length = 32
source = "lfsr"
[layer."fc1"]
style = "streaming"
[layer.fc2]
encoding = "bipolar"
source = "sobol"
""")
    data = bill(ok, model, "--config", "c.toml")
    fc1, fc2 = data["layers"]
    assert (fc1["style"], fc1["source"].split(",")[0], fc1["cycles"]) == ("streaming (btanh)", "lfsr", 32)
    assert (fc2["style"], fc2["source"], fc2["cycles"]) == ("accumulate", "sobol", 32)
    assert fc2["encoding"] == "bipolar x bipolar"


def test_a_layer_can_have_a_length_of_its_own(ok, model, data):
    Path("c.toml").write_text('[layer."fc1"]\nlength = 128\nbits = 5\n')
    layers = bill(ok, model, "--config", "c.toml", "--length", "16")["layers"]
    assert [layer["cycles"] for layer in layers] == [128, 16]
    assert "0 differ" in ok("check", model, "--data", data, "--config", "c.toml", "--length", "16").out


def test_the_command_line_wins_over_the_file_and_a_layer_over_both(ok, model):
    Path("c.toml").write_text("length = 32\nbits = 5\n[layer.fc1]\nlength = 64\n")
    layers = bill(ok, model, "--config", "c.toml", "--length", "16")["layers"]
    assert [layer["cycles"] for layer in layers] == [64, 16]
    ok(model, "--config", "c.toml", "--bits", "4", "-o", "a.sc")
    assert sccc.load("a.sc").inputs[0].attributes["bits"] == 4


def test_names_in_the_file_may_have_dashes_or_underscores(ok, model):
    Path("c.toml").write_text("input-range = 2.5\n")
    Path("d.toml").write_text("input_range = 2.5\n")
    ok(model, "--config", "c.toml", "-o", "a.v")
    ok(model, "--config", "d.toml", "-o", "b.v")
    assert Path("a.v").read_text() == Path("b.v").read_text()
    assert "round(x / 2.5 *" in Path("a.v").read_text()


PIPELINE = (
    "absorb-quantizers,fold-constants,fuse-layers,quantize{},choose-encoding{},lower,share-sngs{},map-activations"
)


def test_another_pipeline_can_be_given(ok, model):
    text = PIPELINE.replace("choose-encoding{}", "choose-encoding{encoding=bipolar}").replace("{}", "")
    layers = bill(ok, model, "--passes", text)["layers"]
    assert {layer["encoding"] for layer in layers} == {"bipolar x bipolar"}


def test_an_option_of_a_pass_wins_over_the_option_of_the_network(ok, model):
    text = PIPELINE.replace("share-sngs{}", "share-sngs{source=ramp}").replace("{}", "")
    layers = bill(ok, model, "--passes", text, "--source", "lfsr")["layers"]
    assert all("ramp" in layer["source"] for layer in layers)


def test_a_pipeline_may_end_early_and_be_taken_up_again(ok, model):
    first, second = PIPELINE.replace("{}", "").split(",lower,")
    ok(model, "--passes", first, "-o", "half.sc", "--json", "half.json")
    assert "nn.layer" in Path("half.sc").read_text()
    assert json.loads(Path("half.json").read_text()) == {"ops": 4}
    ok("half.sc", "--passes", f"lower,{second}", "-o", "half.v")
    ok(model, "-o", "whole.v")
    strip = [line for line in Path("half.v").read_text().splitlines() if not line.startswith("//")]
    assert strip == [line for line in Path("whole.v").read_text().splitlines() if not line.startswith("//")]


# -- the same in, the same out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--source", "lfsr", "--sharing", "none"), ("--style", "streaming")])
def test_the_same_input_and_options_give_the_same_bytes(ok, model, data, options):
    for name in ("a", "b"):
        Path(name).mkdir()
        files = ("--testbench", "--data", data, "-o", f"{name}/net.v", "--json", f"{name}/net.json")
        ok(model, *options, *files, "--length", "16")
    a, b = ({p.name: p.read_bytes() for p in Path(name).iterdir()} for name in ("a", "b"))
    assert len(a) > 5
    assert a == b


def test_the_bytes_depend_neither_on_the_hash_seed_nor_on_the_folder(model):
    for seed in ("1", "2"):
        folder = Path(f"place{seed}")
        folder.mkdir()
        result = process(model, "-o", folder / "net.v", "--style", "streaming", env={"PYTHONHASHSEED": seed})
        assert result.code == 0, result.err
        assert process(model, "-o", folder / "net.sc", env={"PYTHONHASHSEED": seed}).code == 0
    for name in ("net.v", "net.sc"):
        assert Path("place1", name).read_bytes() == Path("place2", name).read_bytes()
