"""Weighted binary generators: naive evaluator = both engines = Icarus, exact predictions, and where they are refused."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, constant, data, sng, source
from three_way import assert_same

from sccc import check, compile
from sccc.backends.simulator import simulate
from sccc.backends.synthesis.yosys import run_yosys
from sccc.backends.verilog import emit_netlist
from sccc.correlation import Randomness
from sccc.cost import bill
from sccc.diagnostics import SccError
from sccc.error_model import layer_error
from sccc.ir import Module
from sccc.joint import joint_counts
from sccc.sources import ramp, sobol
from sccc.verify import verify


def generating(encoding: str = "unipolar", length: int = 32, kind: str = "ramp", bits: int = 5) -> Module:
    """Streams of six levels by a weighted binary generator, multiplied by those of constants."""
    levels = np.array([[3, -32, 17, 0, 32, -9], [31, 1, -16, 8, 2, -30]])
    module = Module("generating")
    attributes = {"shape": [6], "name": "in", "encoding": encoding, "bits": bits}
    level = module.append("sc.input", [], attributes, result="level").result
    x = module.append(
        "sc.wbg", [level, source(module, bits, kind)], {"length": length, "bits": bits, "layer": "one"}, result="x"
    ).result
    w = sng(module, constant(module, levels, "signed", bits, "weights"), source(module, bits, index=1), length, "w")
    count = module.append("sc.dot", [x, w], {"layer": "one"}, result="count").result
    y = module.append("sc.accumulate", [count], {"layer": "one"}, result="y").result
    module.append("sc.output", [y], {"name": "out", "layer": "one"})
    return module


def samples(encoding: str, number: int) -> np.ndarray:
    x = np.random.default_rng(4).uniform(0.0 if encoding == "unipolar" else -1.0, 1.0, (number, 6))
    x[0] = 1.0
    return x


@pytest.mark.parametrize("kind", ["ramp", "sobol", "lfsr"])
@pytest.mark.parametrize("length", [32, 45])
@pytest.mark.parametrize("encoding", ["unipolar", "signed", "bipolar"])
def test_naive_evaluation_both_engines_and_icarus_agree(encoding, length, kind):
    module = generating(encoding, length, kind)
    verify(module)
    x = samples(encoding, 5)
    assert_same(module, x)


@pytest.mark.parametrize(
    ("old", "new"), [("& ~above", ""), ("above | random[k]", "random[k]"), ("{1'b1, {BITS", "{1'b0, {BITS")]
)
def test_a_wrong_weight_is_found(old, new):
    module, x = generating(), samples("unipolar", 5)
    assert old in emit_netlist(module).text and check(module, x).mismatches == 0
    assert check(module, x, alter=lambda verilog: verilog.replace(old, new)).mismatches > 0


@pytest.mark.parametrize("bits", [3, 5, 8])
def test_streams_hold_their_levels_over_a_whole_period(bits):
    levels = np.arange((1 << bits) + 1)
    for made in (ramp(bits), *(sobol(bits, dimension) for dimension in range(4))):
        assert np.array_equal(Randomness(made, 0, "sc.wbg").bits(levels, 1 << bits).sum(axis=0), levels)


def test_joint_counts_are_those_of_the_bits():
    a, b = Randomness(ramp(5), 0, "sc.wbg"), Randomness(sobol(5, 1))
    counts = joint_counts(a, b, 5, 32, 10)
    levels = np.arange(33)
    for lx, lw in ((0, 9), (17, 32), (31, 5), (32, 32)):
        assert counts[lx, lw] == (a.bits(levels, 32)[:, lx] & b.bits(levels, 32)[:, lw]).sum()


@pytest.mark.parametrize("encoding", ["unipolar", "signed", "bipolar"])
def test_the_predicted_error_is_the_measured_one(encoding):
    module, x = generating(encoding), samples(encoding, 200)
    level = module.value("level").type
    levels = level.encoding.encode(x, 5)
    weights = module.value("w").type.encoding.decode(module.value("weights").op.attributes["levels"], 5)
    measured = simulate(module, x).raw - 32 * (level.encoding.decode(levels, 5) @ weights.T)
    predicted = layer_error(module.value("count").op, levels)
    np.testing.assert_allclose(predicted.bias, measured.mean(axis=0), atol=1e-9)
    assert predicted.rms == pytest.approx(np.sqrt(np.mean(measured**2)))


def test_the_same_random_numbers_on_both_sides_are_refused():
    module = generating(kind="sobol")
    module.value("x").op.operands[1].op.attributes["index"] = 1
    with pytest.raises(SccError, match="are correlated"):
        verify(module)


SPEC = Spec(sizes=(24, 10, 4), end="argmax", seed=31)


@pytest.mark.parametrize(
    "options", [{}, {"adder": "mux"}, {"error_budget": 0.5}, {"sharing": "max"}, {"source": "lfsr"}], ids=str
)
def test_networks_with_them_equal_icarus_and_are_smaller(options):
    made = {
        sng: compile(build(SPEC), calibration=data(SPEC, 50), length=32, sng=sng, **options)
        for sng in ("comparator", "smaller")
    }
    assert len(made["smaller"].ops_named("sc.wbg")) == 2 and not made["comparator"].ops_named("sc.wbg")
    result = check(made["smaller"], data(SPEC, 4))
    assert result.mismatches == 0 and result.compared > 0
    gates = {sng: sum(layer.cost.gates for layer in bill(module)[0]) for sng, module in made.items()}
    assert gates["smaller"] < gates["comparator"]


def test_yosys_agrees_that_they_are_smaller():
    made = {}
    for kind in ("comparator", "wbg"):
        module = compile(build(SPEC), calibration=data(SPEC, 50), length=32, sng=kind)
        made[kind] = run_yosys(emit_netlist(module), None).gate_count()[0]
        assert sum(layer.cost.gates for layer in bill(module)[0]) == pytest.approx(made[kind], rel=0.15)
    assert made["wbg"] < made["comparator"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"style": "streaming"}, "a state machine's lanes have one each"),
        ({"sharing": "none"}, "share one random number"),
        ({"multipliers": 20}, "have no folded form"),
    ],
)
def test_where_they_cannot_stand_they_are_refused_and_comparators_stand_when_only_the_smaller_is_asked_for(
    options, reason
):
    with pytest.raises(SccError, match=reason):
        compile(build(SPEC), length=32, sng="wbg", **options)
    module = compile(build(SPEC), length=32, sng="smaller", **options)
    assert module.ops_named("sc.sng")
