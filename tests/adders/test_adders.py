"""OR and MUX adders: naive evaluator = both engines = Icarus, predicted error = measured error, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, constant, data, sng, source
from three_way import assert_same

from sccc import check, compile
from sccc.backends.simulator import simulate
from sccc.backends.synthesis.yosys import run_yosys
from sccc.backends.verilog import emit_netlist
from sccc.cost import bill
from sccc.diagnostics import SccError
from sccc.error_model import layer_error
from sccc.ir import Module
from sccc.text import parse_module, print_module
from sccc.verify import verify


def adding(
    adder: str, inputs: int, x: str = "unipolar", w: str = "signed", length: int = 32, select: int = 2
) -> Module:
    """Three sums of 21 products; some weights are 0, some 1.0."""
    bits, rng = 5, np.random.default_rng(7)
    levels = rng.integers(0 if w != "signed" else -32, 33, (3, 21)) * (rng.random((3, 21)) > 0.2)
    levels[0, :2] = 32, -32 if w == "signed" else 32
    module = Module("adding")
    level = module.append(
        "sc.input", [], {"shape": [21], "name": "in", "encoding": x, "bits": bits}, result="level"
    ).result
    stream = sng(module, level, source(module, bits), length, "x")
    weight = sng(module, constant(module, levels, w, bits, "weights"), source(module, bits, index=1), length, "w")
    operands = [stream, weight]
    if adder == "mux":
        operands.append(source(module, bits, index=select))
    count = module.append(f"sc.{adder}_dot", operands, {"inputs": inputs, "layer": "one"}, result="count").result
    y = module.append("sc.accumulate", [count], {"layer": "one"}, result="y").result
    module.append("sc.output", [y], {"name": "out", "layer": "one"})
    return module


CASES = [
    ("or", 2, "unipolar", "signed"), ("or", 5, "signed", "signed"), ("or", 3, "unipolar", "unipolar"),
    ("or", 4, "bipolar", "signed"), ("mux", 2, "unipolar", "signed"), ("mux", 4, "signed", "signed"),
    ("mux", 8, "bipolar", "bipolar"), ("mux", 4, "bipolar", "signed"), ("mux", 4, "unipolar", "bipolar"),
    ("mux", 32, "signed", "unipolar"),
]  # fmt: skip


def samples(module: Module, number: int) -> np.ndarray:
    low = 0.0 if module.inputs[0].attributes["encoding"] == "unipolar" else -1.0
    return np.random.default_rng(3).uniform(low, 1.0, (number, 21))


@pytest.mark.parametrize("length", [32, 70])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_naive_evaluation_both_engines_and_icarus_agree(case, length):
    module = adding(*case, length=length)
    verify(module)
    x = samples(module, 4)
    assert_same(module, x)


@pytest.mark.parametrize("adder", ["or", "mux"])
@pytest.mark.parametrize(
    ("old", "new"), [("| (", "& ("), ("x[4]", "x[5]"), ("{1'b0, ones_down_1", "{1'b1, ones_down_1"), (" - {", " + {")]
)
def test_a_wrong_gate_is_found(adder, old, new):
    module = adding(adder, 2)
    x = samples(module, 6)
    text = emit_netlist(module).text
    assert check(module, x).mismatches == 0 and old in text
    assert check(module, x, alter=lambda verilog: verilog.replace(old, new)).mismatches > 0


def test_a_wrong_choice_is_found():
    module = adding("mux", 4)
    x = samples(module, 6)
    faulty = check(module, x, alter=lambda verilog: verilog.replace("[4:3];", "[3:2];"))
    assert check(module, x).mismatches == 0 and faulty.mismatches > 0 and faulty.first.op == "count"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_predicted_error_is_the_measured_one(case):
    module = adding(*case)
    x = samples(module, 300)
    dot = module.value("count").op
    level = module.value("level").type
    measured = simulate(module, x).raw - 32 * (
        level.encoding.decode(level.encoding.encode(x, 5), 5)
        @ module.value("w").type.encoding.decode(module.value("weights").op.attributes["levels"], 5).T
    )
    predicted = layer_error(dot, level.encoding.encode(x, 5))
    np.testing.assert_allclose(predicted.bias, measured.mean(axis=0))
    assert predicted.rms == pytest.approx(np.sqrt(np.mean(measured**2)))


def test_an_or_falls_short_and_a_mux_is_right_on_average():
    x = samples(adding("or", 4), 400)
    bias = {a: layer_error(adding(a, 4, w="unipolar").value("count").op, np.rint(x * 32)).bias for a in ("or", "mux")}
    assert (bias["or"] < -20).all()
    assert (np.abs(bias["mux"]) < 5).all()


def test_a_choice_that_depends_on_a_stream_is_refused():
    for dimension, name in ((0, "%x"), (1, "%w")):
        with pytest.raises(SccError, match=f"depend on those of {name}"):
            verify(adding("mux", 4, select=dimension))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("mux", 6), "does not choose among 6"),
        (("or", 1), "outside 2 .. 64"),
        (("or", 4, "bipolar", "bipolar"), "bipolar weights have no OR adder"),
        (("or", 65), "outside 2 .. 64"),
    ],
)
def test_what_has_no_such_adder_is_refused(changes, message):
    with pytest.raises(SccError, match=message):
        verify(adding(*changes))


def network(**options: object) -> Module:
    spec = Spec(sizes=(24, 10, 4), end="argmax", seed=31)
    return compile(build(spec), calibration=data(spec, 50), length=32, **options)


@pytest.mark.parametrize("sharing", ["auto", "none", "max"])
@pytest.mark.parametrize("adder", ["or", "mux"])
def test_networks_with_them_equal_icarus_and_survive_printing(adder, sharing):
    module = network(adder=adder, adder_inputs=4, sharing=sharing)
    again = parse_module(print_module(module))
    assert print_module(again) == print_module(module)
    result = check(again, data(Spec(sizes=(24, 10, 4), seed=31), 4))
    assert result.mismatches == 0 and result.compared > 0


@pytest.mark.parametrize(("adder", "inputs"), [("or", 3), ("mux", 2), ("mux", 8)])
def test_their_gates_are_as_yosys_counts_them(adder, inputs):
    module = network(adder=adder, adder_inputs=inputs)
    gates, flipflops = run_yosys(emit_netlist(module), None).gate_count()
    costs = [layer.cost for layer in bill(module)[0]]
    assert sum(c.gates for c in costs) == pytest.approx(gates, rel=0.15)
    assert sum(c.flipflops for c in costs) == pytest.approx(flipflops, rel=0.05)


def test_options_that_do_not_fit_are_all_told_with_their_layers():
    with pytest.raises(SccError) as caught:
        network(adder="mux", adder_inputs=6, style="streaming")
    assert "OR and MUX adders" not in str(caught.value)
    assert str(caught.value).count("a MUX has a power of two") == 2
    assert str(caught.value).count("are for the accumulate style") == 1  # the last layer accumulates


def test_folding_them_is_refused():
    with pytest.raises(SccError, match="have no folded form"):
        network(adder="or", multipliers=20)


def test_flips_in_them_are_refused():
    module = network(adder="or")
    with pytest.raises(SccError, match="cannot have flips"):
        simulate(module, data(Spec(sizes=(24, 10, 4), seed=31), 2), flip_rate=0.1)


def test_the_predicted_error_is_told():
    told: list[str] = []
    spec = Spec(sizes=(24, 10, 4), end="argmax", seed=31)
    compile(build(spec), calibration=data(spec, 50), length=32, adder="mux", warnings=told)
    assert len(told) == 2 and all("MUX adders of 4 inputs err by" in line for line in told)
