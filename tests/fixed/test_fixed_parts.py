"""Fixed point: widths, refusals, costs, digits, the command line."""

from __future__ import annotations

import json
import re
import subprocess

import cli_common
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import Spec, build, compiled, constant, data

import sccc
from sccc.accuracy import measure
from sccc.backends.simulator import Simulator, simulate
from sccc.backends.verilog import emit_netlist
from sccc.cli import main
from sccc.cost import bill, op_cost
from sccc.data import Data
from sccc.digits import signed_digits
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.types import Level
from sccc.verify import verify


def fixed(bits: int = 8, sizes: tuple[int, ...] = (12, 8, 4), **more) -> Spec:
    return Spec(sizes, more.pop("activation", "tanh"), options={"style": "fixed", "bits": bits}, **more)


def one_dot(weights, x: str = "signed", bits: int = 4, largest: int = 15, **attributes) -> Module:
    """An input of `bits` fractional bits and an fx.dot with weights of 4."""
    weights, module = np.asarray(weights), Module("one")
    a = {"shape": [weights.shape[1]], "name": "in", "encoding": x, "bits": bits, "largest": largest}
    level = module.append("sc.input", [], a, result="level").result
    weight = constant(module, weights, "signed", 4, "weights")
    y = module.append("fx.dot", [level, weight], {"layer": "one", **attributes}, result="y").result
    module.append("sc.output", [y], {"name": "out", "layer": "one"})
    return module


# -- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("bits", [2, 8])
def test_every_number_has_the_width_that_was_asked_for(bits, activation, negative):
    each = fixed(bits, activation=activation, negative_inputs=negative)
    module = compiled(each)
    x = data(each, 50) * 3  # beyond the calibrated range
    trace = simulate(module, x, trace="all").trace
    levels = [value for value in module.values() if isinstance(value.type, Level)]
    assert len(levels) == 4  # two of numbers, two of weights
    for value in levels:
        signed = value.type.encoding.value == "signed"
        assert value.type.bits == bits - signed
        seen = trace[value.name] if value.name in trace else value.op.attributes["levels"]
        assert seen.max() <= 2**value.type.bits - 1 and seen.min() >= (-(2**value.type.bits) if signed else 0)
    assert trace["x"].max() == 2 ** module.value("x").type.bits - 1


def test_eight_bits_without_being_told():
    module = compiled(Spec(options={"style": "fixed"}))
    assert [op.attributes["bits"] for op in module.ops_named("sc.constant")] == [7, 7]


def test_the_largest_number_is_the_end_of_the_range():
    module = compiled(fixed(8))
    (table,), (source,) = module.ops_named("sc.lookup"), module.inputs
    assert float(table.attributes["scale"]) * 127 / 128 == pytest.approx(1.0)  # of tanh
    largest = data(fixed(8), 20).max()  # of the calibration data
    assert float(source.attributes["scale"]) * 255 / 256 == pytest.approx(largest)


def test_error_falls_with_width():
    errors = []
    for bits in (3, 5, 8, 12):
        each = fixed(bits, negative_inputs=True)
        x = data(each, 200)
        errors.append(np.sqrt(np.mean((simulate(compiled(each), x).output - evaluate(build(each), x)) ** 2)))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 8 * errors[3]
    assert errors[2] < 0.01


def test_bias_correction_takes_the_mean_error_off():
    each = fixed(3)
    x, source = data(each, 200), build(each)
    errors, unit = [], 0.0
    for passes in (sccc.passes.DEFAULT_PIPELINE, sccc.passes.DEFAULT_PIPELINE.replace(",correct-bias", "")):
        module = sccc.compile(source, calibration=x, passes=passes, **each.options)
        errors.append(np.abs((simulate(module, x).output - evaluate(source, x)).mean(axis=0)).max())
        unit = module.outputs[0].attributes["scale"]
    assert errors[0] <= 0.501 * unit < errors[1]


def test_numbers_too_large_for_floats_are_added_exactly():
    weights = np.array([[16, -16, 15]])
    module = one_dot(weights, bits=20, largest=2**20 - 1, initial=(1 << 55) + 1)
    x = np.array([[0.5, 0.25, 0.999]])
    levels = np.minimum(np.rint(x * 2**20), 2**20 - 1).astype(np.int64)
    assert simulate(module, x).raw.tolist() == [[int((levels @ weights.T)[0, 0]) + (1 << 55) + 1]]


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "bipolar"}, "no fixed-point multiplier for bipolar times signed"),
        ({"largest": 0}, "may be 16, and numbers go up to 15"),
        ({"largest": 17}, "largest = 17 is outside 0 .. 16"),
        ({"initial": 1 << 62}, r"2\*\*62"),
        ({"initial": np.zeros(3, np.int64)}, "initial must hold one integer, or 2"),
    ],
)
def test_refused(change, message):
    with pytest.raises(sccc.SccError, match=message):
        verify(one_dot([[1, 2], [3, 4]], **change))


def test_weights_must_be_constant():
    module = one_dot([[1, 2], [3, 4]])
    (dot,) = module.ops_named("fx.dot")
    dot.operands[1] = module.append(
        "sc.input", [], {"shape": [2, 2], "name": "w", "encoding": "signed", "bits": 4}, before=dot
    ).result
    with pytest.raises(sccc.SccError, match="is not constant"):
        verify(module)


def test_streams_in_its_layer():
    module = one_dot([[1, 2], [3, 4]])
    (dot,) = module.ops_named("fx.dot")
    module.append("sc.source", [], {"kind": "sobol", "bits": 4, "layer": "one"}, before=dot)
    with pytest.raises(sccc.SccError, match="a layer of streams cannot hold an fx"):
        emit_netlist(module)


def test_flips_are_for_streams():
    with pytest.raises(sccc.SccError, match="no product streams"):
        Simulator(compiled(fixed()), flip_rate=0.01, flips=("product",))


@pytest.mark.parametrize(
    ("options", "message"), [({"bits": 1}, "1 bit is a sign"), ({"encoding": "bipolar"}, "are not bipolar")]
)
def test_options_that_make_no_numbers(options, message):
    with pytest.raises(sccc.SccError, match=message):
        sccc.compile(build(fixed()), style="fixed", **options)


# -- costs and tools --------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-(1 << 20), 1 << 20), min_size=1, max_size=20))
def test_signed_digits(numbers):
    digits = signed_digits(np.array(numbers)).astype(int)
    assert (digits * 2 ** np.arange(len(digits))[:, None]).sum(axis=0).tolist() == numbers
    assert not np.any(digits[1:] * digits[:-1])


def gates(weights) -> float:
    module = one_dot(weights, "unipolar")
    return op_cost(module.value("y").op).gates


def test_costs_follow_the_digits_of_the_weights():
    assert gates([[0, 0]]) == 0
    assert gates([[8, 4]]) == gates([[1, 2]]) == gates([[-1, 16]])  # shifts and signs cost nothing
    assert gates([[7, 0]]) == gates([[1, 1]]) < gates([[11, 0]])  # 7 = 8 - 1, 11 = 8 + 4 - 1
    assert gates([[5, 3], [5, 3]]) == 2 * gates([[5, 3]])
    cost = op_cost(one_dot([[1, 0], [3, 4]]).value("y").op)
    assert cost.products == 3 and cost.sngs == cost.sources == 0
    assert cost.flipflops == 2 * 8  # -112 .. 112 and -112 .. 105: 8 bits each


def test_the_estimate_is_near_what_yosys_makes(tmp_path):
    each = fixed(8, (24, 2), negative_inputs=True)
    module = compiled(each)
    netlist = emit_netlist(module)
    (tmp_path / "net.v").write_text(netlist.text)
    script = f"read_verilog net.v; synth -flatten -top {netlist.top}; stat"
    done = subprocess.run(["yosys", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    cells = {k: int(v) for k, v in re.findall(r"^\s+\$_(\w+)_\s+(\d+)$", done.stdout.rpartition("=== ")[2], re.M)}
    made = sum(number for kind, number in cells.items() if not kind.startswith("DFF"))
    assert 0.75 < bill(module)[0][0].cost.gates / made < 1.33


def test_all_tools_take_it(tmp_path):
    netlist = emit_netlist(compiled(fixed(4, (5, 4, 4, 3), negative_inputs=True)))
    (tmp_path / "net.v").write_text(netlist.text)
    lint = "verilator --lint-only -Wall -Wno-DECLFILENAME -Wno-UNUSEDSIGNAL -Wno-VARHIDDEN net.v"
    for command in ("iverilog -g2005 -Wall -t null net.v", f"{lint} --top-module {netlist.top}"):
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert "fixed-point netlist" in netlist.text.splitlines()[0]
    assert "0 .. 7), lane 0 lowest" in netlist.text and "the next one may come 1 cycle later" in netlist.text


# -- reports ----------------------------------------------------------------------------------------------------------


def test_reports():
    each = fixed()
    x = data(each, 40)
    module = sccc.compile(build(each), calibration=x, **each.options)
    result = measure(module, Data(x, evaluate(build(each), x).argmax(axis=1)))
    assert result["length"] == 1 and result["bit_products_per_second"] == 0
    assert result["accuracy"]["stream"] == result["accuracy"]["quantized"] >= 0.9
    assert [layer["rmse_stream"] for layer in result["layers"]] == [0, 0]
    assert all(0 < layer["rmse_quantized"] < 0.02 for layer in result["layers"])


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = str(cli_common.write_model(tmp_path / "m.onnx"))
    np.savez("d.npz", x=np.random.default_rng(0).random((6, 6)), y=np.arange(6) % 3)
    assert main([model, "--style", "fixed", "--bits", "6", "-o", "net.v", "--json", "bill.json"]) == 0
    assert json.loads((tmp_path / "bill.json").read_text())["cycles"] == 3
    options = ["--data", "d.npz", "--style", "fixed", "--bits", "6", "--json"]
    assert main(["simulate", model, *options, "s.json"]) == 0
    assert json.loads((tmp_path / "s.json").read_text())["length"] == 1
    assert main(["check", model, *options, "c.json", "--samples", "3"]) == 0
    assert json.loads((tmp_path / "c.json").read_text())["mismatches"] == 0
    capsys.readouterr()
