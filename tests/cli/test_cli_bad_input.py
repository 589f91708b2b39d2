"""What cannot be honoured: exit code 2, a message with place, reason and advice, no traceback, and no file touched.

`refused` (conftest.py) asserts all of that but the wording.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from cli_common import W1, contents, edit_model, samples, write_model
from onnx import TensorProto

import sccc
from sccc.backends.verilog.icarus import run_icarus

X, Y = samples(8)


# -- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"PK\x03\x04 a zip file", "not an ONNX model"),
        (b"module m;\nendmodule\n", "not an ONNX model"),
    ],
)
def test_what_is_no_model(refused, content, reason):
    if content is not None:
        Path("bad.onnx").write_bytes(content)
    assert f"error: bad.onnx: {reason}" in refused("bad.onnx").err


def test_a_truncated_model(refused, model):
    whole = model.read_bytes()
    for size in (1, len(whole) // 2, len(whole) - 1):
        model.write_bytes(whole[:size])
        assert "error: net.onnx" in refused(model).err


def test_a_folder_instead_of_a_model(refused):
    Path("a.onnx").mkdir()
    Path("a.sc").mkdir()
    assert "a.onnx: is a folder" in refused("a.onnx").err
    assert "a.sc: cannot read the file: Is a directory" in refused("a.sc").err


def test_unknown_operators_are_told_all_at_once(refused, model):
    def spoil(model):
        model.graph.node[0].op_type = "ConvTranspose"
        model.graph.node[1].op_type = "Gelu"

    edit_model(model, spoil)
    err = refused(model).err
    assert err.count("error: ") >= 2
    assert "node 'fc1': ConvTranspose: operator not supported" in err
    assert "node 'act': Gelu: operator not supported" in err
    assert "enlarge images with Resize" in err
    assert "train with Relu" in err


def test_weights_that_are_not_numbers(refused, model):
    broken = W1.copy()
    broken[1, 2] = np.nan
    write_model(model, w1=broken)
    assert "initializer 'w1' holds 1 NaN or infinite elements of 30" in refused(model).err


def test_external_data_outside_the_folder(refused, model):
    def move(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret.bin"

    edit_model(model, move)
    assert "outside the model's folder: '../secret.bin'" in refused(model).err


@pytest.mark.parametrize("name", ["x; endmodule $finish", '"); $finish; //', "*/ end /*", "`include x", "\n$finish\n"])
def test_no_name_of_a_node_breaks_the_verilog(ok, model, name):
    write_model(model, names=(name, f"{name}2", f"{name}3"))

    def rename(model):
        model.graph.input[0].name = model.graph.node[0].input[0] = name
        model.graph.output[0].name = model.graph.node[-1].output[0] = f"{name}4"

    edit_model(model, rename)
    ok(model, "--length", "8", "-o", "net.v")
    np.savez("x.npz", x=X)
    assert "0 differ" in ok("check", model, "--data", "x.npz", "--length", "8").out
    code = [line.split("//")[0] for line in Path("net.v").read_text().splitlines()]
    assert not any("$finish" in line or "`include" in line for line in code)
    Path("tb.v").write_text("module tb; endmodule\n")
    run_icarus(Path(), ["tb.v", "net.v"])


def test_a_syntax_error_in_a_text_file_is_shown_with_line_column_and_caret(refused, ok, model):
    ok(model, "-o", "a.sc")
    text = Path("a.sc").read_text()
    line = next(n for n, line in enumerate(text.splitlines(), 1) if "sc.dot" in line)
    column = text.splitlines()[line - 1].index("sc.dot") + 1
    Path("bad.sc").write_text(text.replace("sc.dot %", "sc.dott %", 1))
    for command in ((), ("simulate", "--data", "x.npz"), ("check", "--data", "x.npz")):
        err = refused(*command, "bad.sc").err
        assert f"bad.sc:{line}:{column}: " in err
        source, caret = [part.removeprefix("  | ") for part in err.splitlines() if part.startswith("  | ")][:2]
        assert source[caret.index("^") :].startswith("sc.dott")
        assert "did you mean 'sc.dot'?" in err


def test_a_text_file_that_is_no_text(refused):
    Path("bad.sc").write_bytes(b"\xff\xfe\x00")
    assert "bad.sc: cannot read the file: " in refused("bad.sc").err


def test_hardware_that_is_no_chain_of_layers(refused):
    Path("a.sc").write_text(
        "module @a {\n"
        '  %x = sc.input {bits = 5, encoding = "unipolar", name = "x", shape = [6]} : level<6, unipolar, bits=5>\n'
        '  %r = sc.source {bits = 5, kind = "sobol"} : random<scalar, bits=5>\n'
        "  %s = sc.sng %x, %r {length = 32} : stream<6, unipolar, length=32>\n"
        '  sc.output %s {name = "y"}\n}\n'
    )
    assert "a.sc:3:3, op %r = sc.source: belongs to no layer" in refused("a.sc").err


def test_two_inputs_do_not_fit_one_data_file(refused, run):
    line = 'sc.input {bits = 5, encoding = "unipolar", name = "x", shape = [6]} : level<6, unipolar, bits=5>\n'
    Path("a.sc").write_text(f'module @a {{\n  %x = {line}  %z = {line}  sc.output %x {{name = "y"}}\n}}\n')
    np.savez("x.npz", x=X, y=Y)
    assert "has 2 inputs" in refused("simulate", "a.sc", "--data", "x.npz").err


# -- data -------------------------------------------------------------------------------------------------------------

BAD_DATA = {
    "no x": ({"a": X, "y": Y}, "bad.npz: no 'x' and no 'x_test' in the file", "it holds: a, y"),
    "no y": ({"x": X}, "bad.npz: no 'y' in the file", "accuracy needs the classes; it holds: x"),
    "nothing": ({}, "bad.npz: no 'x' and no 'x_test' in the file", "it holds: nothing"),
    "y_train only": ({"x_test": X, "y_train": Y}, "no 'y_test' in the file", "it holds: x_test, y_train"),
    "other shape": (
        {"x": X[:, :5], "y": Y},
        "a sample of 'x' has the shape (5,), and the model's input 'x' (6,)",
        "the number of elements must be the same",
    ),
    "single sample": ({"x": X[0], "y": Y[:6]}, "a sample of 'x' has the shape ()", "the number of elements"),
    "other length": ({"x": X, "y": Y[:5]}, "'y' has the shape (5,), and 'x' holds 8 samples", "one class number"),
    "one-hot": ({"x": X, "y": np.eye(3)[Y]}, "'y' has the shape (8, 3)", "one class number per sample"),
    "NaN": ({"x": np.where(X[3, 1] == X, np.nan, X), "y": Y}, "not finite, first in sample 3", "remove or replace"),
    "infinite": ({"x": X * np.inf, "y": Y}, "'x' holds numbers that are not finite", "remove or replace"),
    "class too large": ({"x": X, "y": Y + 7}, "'y' holds 9, first in sample 0", "whole numbers, 0 .. "),
    "negative class": ({"x": X, "y": Y - 3}, "'y' holds -1", "whole numbers, 0 .. "),
    "half a class": ({"x": X, "y": Y + 0.5}, "'y' holds 2.5, first in sample 0", "whole numbers, 0 .. "),
    "empty": ({"x": X[:0], "y": Y[:0]}, "'x' holds no samples", "its first axis counts the samples"),
    "a number": ({"x": np.float32(1), "y": Y}, "'x' holds no samples", "its first axis"),
    "text": ({"x": X.astype(str), "y": Y}, "'x' holds <U", "convert it"),
    "complex": ({"x": X * 1j, "y": Y}, "'x' holds complex", "convert it"),
    "pickled": (
        {"x": X.astype(object), "y": Y},
        "'x' cannot be read: it holds pickled Python objects",
        "write one with",
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_do_not_fit(refused, model, case):
    arrays, reason, advice = BAD_DATA[case]
    np.savez("bad.npz", **arrays)
    err = refused("simulate", model, "--data", "bad.npz", "--json", "r.json").err
    assert reason in err
    assert advice in err


def _npy(path):
    np.save(path.open("wb"), X)


def _truncated(path):
    np.savez_compressed(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:-100])


def _damaged(path):
    np.savez_compressed(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[60:160] = bytes(100)
    path.write_bytes(bytes(content))


def _foreign(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "not an array")


def _huge(path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 6)}"
    header += " " * (117 - len(header)) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())


FILES = {
    "missing": (lambda path: None, "cannot read the data: No such file or directory"),
    "a folder": (Path.mkdir, "cannot read the data: Is a directory"),
    "empty": (Path.touch, "not an .npz file"),
    "text": (lambda path: path.write_text("1,2,3\n"), "not an .npz file"),
    "a single array": (_npy, "not an .npz file but a single array"),
    "truncated": (_truncated, "not an .npz file, or a damaged one"),
    "damaged": (_damaged, ""),
    "of another program": (_foreign, "'x' cannot be read"),
    "declared huge": (_huge, "'x' cannot be read"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("option", ["--data", "--calibrate"])
def test_files_that_hold_no_data(refused, model, data, case, option):
    make, reason = FILES[case]
    make(Path("bad.npz"))
    command = ("simulate", model, "--data", data) if option == "--calibrate" else ("check", model)
    assert f"error: bad.npz: {reason}" in refused(*command, option, "bad.npz").err


def test_calibration_data_of_another_shape(refused, model):
    np.savez("c.npz", x=X[:, :4])
    err = refused(model, "--calibrate", "c.npz").err
    assert "c.npz: a sample of 'x' has the shape (4,), and the model's input 'x' (6,)" in err


def test_calibration_data_under_another_name(refused, model):
    np.savez("c.npz", images=X)
    err = refused(model, "--calibrate", "c.npz").err
    assert "c.npz: no 'x_calib', 'x_train', 'x' or 'x_test' in the file" in err
    assert "it holds: images" in err


def test_calibration_data_with_nan(refused, model):
    np.savez("c.npz", x=X * np.nan)
    assert "c.npz: 'x' holds numbers that are not finite" in refused(model, "--calibrate", "c.npz").err


# -- the command line -------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "unknown command": (["compil"], "unknown command 'compil'", "did you mean 'compile'?"),
    "no model": (["compile"], "the following arguments are required: MODEL", "see sccc compile --help"),
    "no data": (["simulate", "net.onnx"], "the following arguments are required: --data", "sccc simulate --help"),
    "unknown option": (["net.onnx", "--lenght", "64"], "compile has no option '--lenght'", "did you mean '--length'?"),
    "two options": (["net.onnx", "--qq=1", "--zz"], "no option '--qq'\n", "error: sccc compile has no option '--zz'"),
    "two models": (["net.onnx", "more.onnx"], "'more.onnx' is one argument too many", "see sccc compile --help"),
    "unknown source": (["net.onnx", "--source", "halton"], "unknown value 'halton'", "known: auto, lfsr, ramp, sobol"),
    "no value": (["net.onnx", "-o"], "argument -o/--output: expected one argument", "--help"),
    "unknown emit": (["net.onnx", "--emit", "vhdl"], "invalid choice: 'vhdl'", "--help"),
    "length of 0": (["net.onnx", "--length", "0"], "option length: 0 is outside 1 .. 1048576", "cycles per window"),
    "length of text": (["net.onnx", "--length", "long"], "'long' is not a whole number", "--help"),
    "negative seed": (["net.onnx", "--seed", "-1"], "option seed: -1 is outside", "seed of everything"),
    "unknown style": (["net.onnx", "--style", "stream"], "unknown value 'stream'", "did you mean 'streaming'?"),
    "infinite range": (["net.onnx", "--input-range", "inf"], "inf is not a finite number", "largest magnitude"),
    "NaN range": (["net.onnx", "--input-range", "nan"], "nan is not a finite number", "largest magnitude"),
    "negative range": (["net.onnx", "--input-range", "-1"], "-1.0 is less than 0.0", "largest magnitude"),
    "limit": (["simulate", "net.onnx", "--data", "x.npz", "--limit", "-3"], "-3 is negative", "--help"),
    "samples": (["check", "net.onnx", "--data", "x.npz", "--samples", "0"], "0 is not positive", "--help"),
    "samples of text": (["check", "net.onnx", "--data", "x.npz", "--samples", "x"], "'x' is not a whole", "--help"),
    "flip rate": (
        ["simulate", "net.onnx", "--data", "x.npz", "--flip-rate", "0.9"],
        "option --flip-rate: 0.9 is outside 0 .. 0.5",
        "a rate is a probability",
    ),
    "flip rate of NaN": (["simulate", "net.onnx", "--data", "x.npz", "--flip-rate", "nan"], "nan is outside", "a rate"),
    "testbench without samples": (["net.onnx", "--testbench"], "option --testbench: a testbench needs", "give --data"),
    "testbench of a graph": (
        ["net.onnx", "--testbench", "--data", "x.npz", "-o", "a.dot"],
        "option --testbench: a testbench is for Verilog, not for dot",
        "use --emit verilog",
    ),
    "data without testbench": (
        ["net.onnx", "--data", "x.npz"],
        "option --data: is only for a testbench",
        "--calibrate",
    ),
    "no configuration": (
        ["net.onnx", "--config", "nowhere.toml"],
        "nowhere.toml: cannot read the configuration",
        "TOML",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_are_wrong(refused, model, case):
    np.savez("x.npz", x=X, y=Y)
    argv, reason, advice = ARGUMENTS[case]
    err = refused(*argv).err
    assert reason in err
    assert advice in err


def test_problems_of_all_kinds_are_told_together(refused):
    Path("c.toml").write_text("coverage = 2\n[layer.fc1]\nlenght = 3\n")
    err = refused(
        "simulate", "missing.onnx", "--data", "x.npz", "--config", "c.toml",
        "--length", "0", "--style", "x", "--flip-rate", "2", "--passes", "quantise", "--json", "no/r.json",
    ).err  # fmt: skip
    for each in (
        "option --flip-rate: 2.0 is outside",
        "no/r.json: cannot write: there is no folder",
        "option length: 0 is outside",
        "option style: unknown value 'x'",
        "c.toml, option coverage: 2 is outside 0.0 .. 1.0",
        'c.toml, option layer."fc1".lenght: unknown option',
        "option --passes: unknown pass 'quantise'",
        "missing.onnx: no such file",
    ):
        assert each in err
    assert err.count("error: ") == 8


def test_problems_of_data_and_calibration_are_told_together(refused, model):
    np.savez("c.npz", x=X[:, :4])
    err = refused("simulate", model, "--data", "nowhere.npz", "--calibrate", "c.npz").err
    assert "nowhere.npz: cannot read" in err
    assert "c.npz: a sample of" in err


# -- pipelines --------------------------------------------------------------------------------------------------------

PIPELINES = {
    "quantise": ("unknown pass 'quantise'", "quantise", "did you mean 'quantize'?"),
    "quantize,,lower": ("expected a pass", ",lower", "see `sccc passes`"),
    "quantize,": ("expected a pass after the comma", "", "see `sccc passes`"),
    "quantize lower": ("expected a pass, as name{option=value}", "lower", "see `sccc passes`"),
    "quantize{weights=per-channel": ("expected a pass, as name{option=value}", "{weights", "see `sccc passes`"),
    "quantize{weight=x}": ("pass 'quantize' has no option 'weight'", "weight=x", "did you mean 'weights'?"),
    "quantize{weights}": ("expected option=value", "weights}", "see `sccc passes`"),
    "quantize{scales=any weights=x}": ("unknown value 'x'", "x}", "known: auto, per-channel, per-tensor"),
    "share-sngs{source=sobel}": ("unknown value 'sobel'", "sobel}", "did you mean 'sobol'?"),
    "quantize{scales=any scales=any}": ("option 'scales' is given twice", "scales=any}", "see `sccc passes`"),
    "lower,\nquantise": ("unknown pass 'quantise'", "quantise", "did you mean 'quantize'?"),
}


@pytest.mark.parametrize("text", PIPELINES)
def test_a_broken_pipeline_is_shown_with_a_caret_at_the_fault(refused, model, text):
    reason, fault, advice = PIPELINES[text]
    err = refused(model, "--passes", text).err
    assert f"error: option --passes: {reason}" in err
    assert advice in err
    source, caret = [line.removeprefix("  | ") for line in err.splitlines() if line.startswith("  | ")]
    assert source == text.splitlines()[-1]
    assert source[caret.index("^") :].startswith(fault)
    assert bool(source[caret.index("^") :]) == bool(fault)


def test_a_pipeline_that_leaves_the_float_network(refused, model, data):
    for command in ((model,), ("simulate", model, "--data", data), ("check", model, "--data", data)):
        err = refused(*command, "--passes", "fuse-layers").err
        assert "hardware yet" in err
        assert "run the whole pipeline" in err


# -- what cannot be compiled ------------------------------------------------------------------------------------------


def test_unipolar_with_negative_weights(refused, model):
    err = refused(model, "--encoding", "unipolar").err
    assert "node 'fc1'" in err
    assert "unipolar streams cannot hold negative weights" in err
    assert "node 'fc2'" in err
    assert "unipolar streams cannot hold negative weights and inputs" in err
    assert "use encoding signed, bipolar or auto" in err


def test_a_ramp_for_every_generator(refused, model):
    err = refused(model, "--source", "ramp", "--sharing", "none").err
    assert "node 'fc1'" in err
    assert "all ramps are the same" in err
    assert "use --sharing auto" in err


def test_an_activation_without_a_state_machine(refused, model):
    write_model(model, "LeakyRelu")
    err = refused(model, "--style", "streaming").err
    assert "node 'fc1'" in err
    assert "there is no state machine for the activation 'leaky_relu'" in err
    assert "give this layer style = 'accumulate'" in err


# -- outputs ----------------------------------------------------------------------------------------------------------


def test_an_output_in_a_folder_that_is_missing(refused, model, data):
    assert "no/net.v: cannot write: there is no folder" in refused(model, "-o", "no/net.v").err
    for command in ((model,), ("simulate", model, "--data", data), ("check", model, "--data", data)):
        assert "no/r.json: cannot write: there is no folder" in refused(*command, "--json", "no/r.json").err


def test_an_output_that_is_a_folder(refused, model):
    Path("net.v").mkdir()
    assert "net.v: cannot write: it is a folder" in refused(model).err
    assert "cannot write: it is a folder" in refused(model, "-o", ".").err


def test_an_output_below_a_file(refused, model):
    Path("file").write_text("mine")
    assert "cannot write: there is no folder" in refused(model, "-o", "file/net.v").err


def test_an_output_that_is_read_only(refused, model, monkeypatch):
    """Tests run as root, who may write everywhere: let the system say what it says to others."""
    Path("net.v").write_text("precious")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "net.v")
    assert "net.v: cannot write: the file is read-only" in refused(model).err


def test_a_folder_that_is_read_only(refused, model):
    err = refused(model, "-o", "/proc/net.v").err
    assert "error: /proc/net.v: cannot write: " in err
    assert "choose another place" in err


def test_a_disk_that_is_full(refused, model, data, monkeypatch):
    """The third file of many fails: none is there."""
    import errno
    import tempfile

    made = []
    real = tempfile.mkstemp

    def full(*args, **options):
        made.append(args)
        if len(made) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **options)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    err = refused(model, "--testbench", "--data", data, "--length", "8", "--json", "r.json").err
    assert "cannot write: No space left on device" in err


def test_inputs_are_not_overwritten(refused, ok, model, data):
    ok(model, "-o", "net.sc", "--json", "ok.json")
    Path("c.toml").write_text("length = 32\n")
    for argv in (
        ("net.sc", "--emit", "ir"),
        (model, "-o", model),
        (model, "-o", "./net.onnx"),
        (model, "-o", "c.toml", "--config", "c.toml"),
        (model, "-o", data, "--calibrate", data),
        ("simulate", model, "--data", data, "--json", data),
    ):
        assert "would overwrite what is read" in refused(*argv).err


def test_two_results_cannot_be_one_file(refused, model):
    assert "two results would be written to one file" in refused(model, "-o", "a", "--json", "./a").err


# -- configuration files ----------------------------------------------------------------------------------------------

CONFIGS = {
    "unknown option": ("lenght = 3", "c.toml, option lenght: unknown option 'lenght'", "did you mean 'length'?"),
    "wrong type": ('length = "64"', "c.toml, option length: '64' is not a whole number", "cycles per window"),
    "a fraction": ("length = 64.5", "c.toml, option length: '64.5' is not a whole number", "cycles per window"),
    "true for a number": ("bits = true", "c.toml, option bits: 'True' is not a whole number", "fractional bits"),
    "a list": ("seed = [1]", "c.toml, option seed: '[1]' is not a whole number", "seed of everything"),
    "a number for a word": ("style = 3", "c.toml, option style: '3' is not text", "activation in binary"),
    "out of range": ("coverage = 1.5", "c.toml, option coverage: 1.5 is outside 0.0 .. 1.0", "share of"),
    "infinite": ("input-range = inf", "c.toml, option input-range: inf is not a finite number", "largest magnitude"),
    "twice": ("input-range = 1\ninput_range = 2", "option 'input_range' is given twice", "keep one of them"),
    "unknown layer": ("[layer.fc3]\nlength = 8", "option layer.\"fc3\": the configuration names a layer 'fc3'", "fc"),
    "unknown option of a layer": (
        "[layer.fc1]\nstile = 'auto'",
        "c.toml, option layer.\"fc1\".stile: unknown option 'stile'",
        "did you mean 'style'?",
    ),
    "wrong type in a layer": (
        "[layer.fc1]\nlength = '8'",
        "c.toml, option layer.\"fc1\".length: '8' is not a whole number",
        "cycles per window",
    ),
    "option of the network in a layer": (
        "[layer.fc1]\nseed = 2",
        "c.toml, option layer.\"fc1\".seed: option 'seed' holds for the whole network, not for a layer",
        "move it to the top",
    ),
    "a layer that is no table": ("[layer]\nfc1 = 3", "c.toml, option layer.fc1: '3' is not a table", '[layer."NAME"]'),
    "layers that are no table": ("layer = 3", "c.toml, option layer: '3' is not a table", '[layer."NAME"]'),
    "no quotes around a name with a dot": ("[layer.fc.1]\nlength = 8", "unknown option '1'", "the name in quotes"),
    "not TOML": ("length 64", "c.toml: not a TOML file: ", "line 1"),
    "not text": ("\udcff", "c.toml: not a TOML file: ", "write lines like"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configurations_that_are_wrong(refused, model, case):
    text, reason, advice = CONFIGS[case]
    Path("c.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    err = refused(model, "--config", "c.toml").err
    assert reason in err
    assert advice in err


def test_a_value_that_the_command_line_replaces_need_not_be_right(ok, model):
    Path("c.toml").write_text("length = 0\n")
    ok(model, "--config", "c.toml", "--length", "8")


def test_the_nearest_layer_is_named_for_each_that_is_unknown(refused, model):
    write_model(model, names=("/encoder/Gemm", "act", "/head/Gemm"))
    Path("c.toml").write_text('[layer."/encodr/Gemm"]\nlength = 8\n[layer."/heads/Gemm"]\nlength = 8\n')
    err = refused(model, "--config", "c.toml").err
    assert "did you mean '/encoder/Gemm'?" in err
    assert "did you mean '/head/Gemm'?" in err


# -- the Python API says the same -------------------------------------------------------------------------------------


def test_the_python_api_raises_what_the_command_line_shows(model):
    with pytest.raises(sccc.SccError, match="unknown option 'lenght'"):
        sccc.compile(str(model), lenght=3)
    with pytest.raises(sccc.SccError, match=r'layer."fc1".stile'):
        sccc.compile(str(model), layers={"fc1": {"stile": "auto"}})
    with pytest.raises(sccc.SccError, match="options are given twice"):
        sccc.compile(str(model), config=sccc.config.Config(), length=3)


def test_these_tests_would_see_a_file_that_was_touched(folder):
    Path("a").write_text("1")
    before = contents(folder)
    Path("a").write_text("2")
    assert contents(folder) != before
