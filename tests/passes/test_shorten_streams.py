"""shorten-streams: the shortest windows within the budget, never a longer one, and nothing unless asked for."""

from __future__ import annotations

import numpy as np
import pytest
from image_nets import data as image_data
from image_nets import lenet_like, residual
from naive import Naive
from nets import Spec, build, context, data, lower

from sccc.backends.simulator import simulate
from sccc.cost import bill
from sccc.diagnostics import SccError
from sccc.energy import OSU018, estimates
from sccc.evaluate import evaluate
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.passes import DEFAULT_PIPELINE, parse_pipeline, run_passes
from sccc.passes.judge import Judge
from sccc.rounding import rounding_errors
from sccc.rtl_check import check
from sccc.schedule import schedule
from sccc.verify import verify

SPEC = Spec((30, 16, 12, 4))
LENGTH, BUDGET = 128, 0.1
BEFORE_BIAS = DEFAULT_PIPELINE.split(",map-activations", maxsplit=1)[0]


def made(pipeline=DEFAULT_PIPELINE, layers=None, **options):
    samples = data(SPEC, 100)
    wanted = {"length": LENGTH, "error_budget": BUDGET, "shorten": "yes", **options}
    return lower(build(SPEC), wanted, samples, pipeline, layers), samples


def lengths(module) -> dict[str, int]:
    return {str(dot.attributes["layer"]): dot.operands[0].type.length for dot in module.ops_named(*PRODUCT_SUMS)}


def errors(module, samples, **options) -> dict[str, float]:
    """Each layer's error with the rounding of its levels, in standard deviations of its output, as the judge says."""
    judge = Judge(module, context({"shorten": "yes", **options}, samples))
    return {str(dot.attributes["layer"]): judge.of(dot) for dot in module.ops_named(*PRODUCT_SUMS)}


def test_nothing_changes_unless_asked_for():
    plain = made(shorten="no")[0]
    assert set(lengths(plain).values()) == {LENGTH}
    without = DEFAULT_PIPELINE.replace("shorten-streams,", "")
    assert str(plain) == str(made(without, shorten="no")[0])


def test_every_layer_is_within_its_budget_and_none_could_be_shorter():
    module, samples = made(BEFORE_BIAS)
    chosen = lengths(module)
    assert max(errors(module, samples).values()) <= BUDGET
    assert set(chosen.values()) <= {8, 16, 32, 64, LENGTH}
    assert len(set(chosen.values())) > 1 or max(chosen.values()) < LENGTH
    for name, length in chosen.items():
        if length == 8:
            continue
        layers = {each: {"length": n if each != name else n // 2} for each, n in chosen.items()}
        with pytest.raises(SccError, match="cannot be kept within an error budget") as caught:
            made(BEFORE_BIAS, layers=layers)
        assert f"/{name}/" in caught.value.diagnostics[0].location.node


def test_a_tighter_budget_never_makes_a_window_shorter():
    several = [lengths(made(BEFORE_BIAS, error_budget=budget)[0]) for budget in (0.4, 0.2, 0.1, 0.05)]
    for name in several[0]:
        assert sorted(each[name] for each in several) == [each[name] for each in several]
    assert several[0] != several[-1]


def test_no_window_becomes_longer_than_the_length_given():
    assert set(lengths(made(BEFORE_BIAS, length=20, error_budget=1.0)[0]).values()) <= {8, 16, 20}
    assert set(lengths(made(BEFORE_BIAS, length=4, error_budget=9.0)[0]).values()) == {4}
    with pytest.raises(SccError, match=r"cannot be kept within an error budget of 0\.1.*of it from rounding"):
        made(BEFORE_BIAS, length=8)


def test_a_length_of_its_own_is_kept():
    chosen = lengths(made(BEFORE_BIAS, layers={"/fc1/Gemm": {"length": 96}})[0])
    assert chosen["fc1"] == 96
    assert chosen["fc0"] < LENGTH


def test_layers_without_a_budget_keep_their_length():
    layers = {"fc1": {"error_budget": 0.0}}
    chosen = lengths(made(BEFORE_BIAS, layers=layers)[0])
    assert chosen["fc1"] == LENGTH
    assert chosen["fc0"] < LENGTH


def test_layers_that_stream_and_what_they_stream_into_keep_their_length():
    chosen = lengths(made(BEFORE_BIAS, layers={"fc0": {"style": "streaming"}}, error_budget=9.0)[0])
    assert chosen["fc0"] == chosen["fc1"] == LENGTH
    assert chosen["fc2"] == 8


@pytest.mark.parametrize("pooling", ("counting", "streams"))
def test_convolutions_with_pooling(pooling):
    module = lenet_like()
    samples = image_data(module, 60)
    options = {"length": 64, "error_budget": 0.4, "shorten": "yes", "pooling": pooling}
    lowered = lower(module, options, samples, BEFORE_BIAS)
    verify(lowered)
    assert max(errors(lowered, samples).values()) <= 0.4
    assert min(lengths(lowered).values()) < 64


def test_layers_that_read_one_value_get_one_length():
    """The stem feeds two convolutions, and so does the sum behind the first block: the longest is taken."""
    module = residual()
    samples = image_data(module, 60)
    lowered = lower(module, {"length": 64, "error_budget": 0.35, "shorten": "yes"}, samples, BEFORE_BIAS)
    chosen = lengths(lowered)
    assert chosen["a1"] == chosen["proj"]
    assert len(set(chosen.values())) > 1
    assert max(errors(lowered, samples).values()) <= 0.35


def test_without_a_budget_or_data_it_is_refused():
    with pytest.raises(SccError, match="shortened within an error budget, and none is given") as caught:
        made(error_budget=0.0)
    assert caught.value.diagnostics[0].location.option == "--shorten"
    where = context({"shorten": "yes", "error_budget": 0.1})
    with pytest.raises(SccError, match="not known without data"):
        run_passes(build(SPEC), parse_pipeline(DEFAULT_PIPELINE), where)


def test_rounding_errors_are_those_of_levels():
    """By hand: levels of the float network's own values times levels of weights, against the float products."""
    module, samples = made(BEFORE_BIAS, shorten="no", length=16, error_budget=0.0)
    seen = {}

    def watch(op, value):
        if op.result is not None:
            seen[op.result.name] = value

    evaluate(module.reference, samples, watch)
    found = {str(dot.attributes["layer"]): error for dot, error in rounding_errors(module, samples).items()}
    before = {"fc0": "x", "fc1": "fc0", "fc2": "fc1"}
    for layer in module.reference.ops_named("nn.layer"):
        a, x = layer.attributes, seen[before[layer.result.name]]
        signed = a["x_encoding"] == "signed"
        rounded = np.clip(np.rint(x / a["in_scale"] * 16), -16 * signed, 16) / 16 * a["in_scale"]
        weight = np.clip(np.rint(a["weight"] / a["weight_scale"] * 16), -16, 16) / 16 * a["weight_scale"]
        exact = x @ a["weight"].T
        error = rounded @ weight.T - exact
        expected = np.sqrt(error.var(axis=0).mean() / exact.var(axis=0).mean())
        assert found[layer.result.name] == pytest.approx(expected)


def test_naive_evaluator_simulator_and_rtl_agree():
    module, samples = made(layers={"fc1": {"error_budget": 0.8}}, error_budget=0.3)
    assert len(set(lengths(module).values())) > 1
    x = samples[:2]
    naive = Naive(module, x)
    trace = simulate(module, x, trace=[v.name for v in module.values()]).trace
    assert all(np.array_equal(trace[v.name], naive.values[v.name]) for v in module.values())
    assert check(module, x).mismatches == 0


def test_gates_of_a_short_window_rest_while_longer_ones_run():
    module, _ = made(layers={"fc1": {"error_budget": 0.8}}, error_budget=0.3)
    costs = {layer.name: layer.cost for layer in bill(module)[0]}
    found, interval = estimates(module, costs), schedule(module).interval
    for name, length in lengths(module).items():
        gates, flipflops = (getattr(costs[name], k) for k in ("gates", "flipflops"))
        energy = (length + 1) * gates * OSU018.gate_energy["streams"] + interval * flipflops * OSU018.flipflop_energy
        assert found[name].energy == pytest.approx(energy)
    assert interval > min(lengths(module).values()) + 1
