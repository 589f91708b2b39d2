"""share-sngs with an error budget, or with the fewest sources: legal, within the budget, no dearer than need be, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from naive import Naive
from nets import Spec, build, compiled, context, data, lower

from sccc.backends.simulator import simulate
from sccc.config import make_config
from sccc.correlation import dependent_pair
from sccc.cost import op_cost
from sccc.diagnostics import SccError
from sccc.error_model import layer_error
from sccc.judged_layer import ideal_levels, signal_deviation
from sccc.passes import DEFAULT_PIPELINE, PassContext, parse_pipeline, run_passes
from sccc.passes.candidates import legal, specs
from sccc.passes.choose_sources import cheapest_within, comparators, plan_of
from sccc.passes.judge import Judge
from sccc.passes.plans import assign
from sccc.rtl_check import check
from sccc.sources import is_maximal, lfsr, maximal_taps
from sccc.verify import verify

SIZES, LENGTH = (12, 8, 6, 4), 128


def made(**options):
    samples = data(Spec(SIZES), 60)
    spec = Spec(SIZES, options.pop("activation", "tanh"), "none", {"length": LENGTH, **options})
    return lower(build(spec), spec.options, samples), samples


def sources(module) -> list[tuple]:
    found = [op for op in module.ops_named("sc.source") if not op.result.name.endswith("rb")]
    return [(op.attributes["kind"], np.ravel(op.attributes["index"]).tolist(), op.attributes["taps"]) for op in found]


def measured(module, samples) -> list[float]:
    """Residual errors of the layers, each fed with its ideal levels, in standard deviations of its output: by simulation."""
    errors = []
    for dot, levels in ideal_levels(module, samples).items():
        x, w = dot.operands
        trace = simulate(module, samples, trace=[w.name]).trace[w.name]
        random = x.op.operands[1]
        numbers = simulate(module, samples, trace=[random.name]).trace[random.name]
        xb = np.abs(levels)[..., None] > (numbers if numbers.ndim == 1 else numbers.T)
        weights = w.op.operands[0].op.attributes["levels"]  # signed, as x is where it can be negative
        signs = np.sign(levels), np.sign(weights)
        totals = np.einsum("snt,sn,mnt,mn->sm", xb.astype(float), signs[0], trace[0].astype(float), signs[1])
        error = totals - x.type.length * levels @ weights.T / 4 ** w.op.operands[0].type.bits
        errors.append(float(np.sqrt(error.var(axis=0).mean())) / signal_deviation(dot, levels))
    return errors


# -- within a budget --------------------------------------------------------------------------------------------------


def test_without_a_budget_nothing_changes():
    """The default is the most even pair of sources in every layer that accumulates."""
    assert sources(made()[0]) == [("sobol", [k], 0) for k in (0, 1, 0, 1, 0, 1)]
    assert str(made(error_budget=0.0)[0]) == str(made()[0])


@pytest.mark.parametrize("budget", (0.5, 0.15, 0.07))
@pytest.mark.parametrize("source", ("auto", "sobol"))
def test_every_layer_is_within_its_budget(budget, source):
    module, samples = made(error_budget=budget, source=source)
    verify(module)
    for dot in module.ops_named("sc.dot"):
        assert dependent_pair(*dot.operands, LENGTH, 1.0) is None
    assert max(measured(module, samples)) <= budget + 1e-9
    kinds = {"auto": {"ramp", "sobol", "lfsr"}, "sobol": {"sobol"}, "lfsr": {"lfsr"}}[source]
    assert {kind for kind, _, _ in sources(module)} <= kinds


def test_lfsrs_are_searched_for():
    """Seeds and polynomials within a budget that the pair drawn by rule does not keep."""
    drawn, samples = made(source="lfsr")
    budget = 0.7 * max(measured(drawn, samples))
    module, _ = made(source="lfsr", error_budget=budget)
    verify(module)
    assert {kind for kind, _, _ in sources(module)} == {"lfsr"}
    assert max(measured(module, samples)) <= budget + 1e-9


def area(module) -> float:
    return sum(op_cost(op).gates + 6 * op_cost(op).flipflops for op in module.ops_named("sc.source", "sc.sng"))


def test_a_tighter_budget_is_never_cheaper():
    areas = [area(made(error_budget=budget)[0]) for budget in (1.0, 0.2, 0.07, 0.06)]
    assert areas == sorted(areas)


def test_the_cheapest_is_taken_and_of_equally_cheap_ones_the_best():
    """Against all candidates, one by one."""
    module, samples = made()
    judge, budget = Judge(module, PassContext(make_config({}, None), samples)), 0.05
    dot = module.ops_named("sc.dot")[0]
    plan = cheapest_within(judge, dot, "sobol", 1, budget)
    every = {}
    for a in specs("sobol", 7, 1):
        for b in specs("sobol", 7, 1):
            if legal(a, b, 7, LENGTH) and (error := judge.error(dot, a, b)) <= budget:
                copy = module.clone()
                twin = copy.ops_named("sc.dot")[0]
                assign(copy, twin, plan_of(twin, a, b))
                every[a.index, b.index] = (area(copy), error)
    cheapest = min(cost for cost, _ in every.values())
    assert every[plan.index][0] == cheapest
    assert plan.masks == (None, None)
    assert comparators(dot, True) > comparators(dot, False)


def test_when_none_fits_the_layer_and_the_best_error_are_named():
    with pytest.raises(SccError) as caught:
        made(error_budget=1e-4)
    (problem,) = caught.value.diagnostics
    assert problem.location.node == "/fc0/Gemm" and problem.location.option == "--error-budget"
    assert "best that was found has an RMS error of 0.0" in problem.message
    assert "--length" in problem.advice


def test_the_advice_helps():
    with pytest.raises(SccError) as caught:
        made(error_budget=0.01)
    length = int(caught.value.diagnostics[0].advice.split("--length ")[1].split(",")[0])
    made(error_budget=0.01, length=2 * length)


def test_budgets_may_differ_by_layer():
    samples = data(Spec(SIZES), 60)
    layers = {"fc1": {"error_budget": 1e-4}}
    with pytest.raises(SccError) as caught:
        lower(build(Spec(SIZES)), {"length": 64, "error_budget": 0.5}, samples, layers=layers)
    assert caught.value.diagnostics[0].location.node == "/fc1/Gemm"


def test_a_budget_needs_data():
    with pytest.raises(SccError, match="not known without data") as caught:
        compiled(Spec(SIZES, options={"error_budget": 0.1}), calibrated=False)
    assert "--calibrate" in caught.value.diagnostics[0].advice


def test_a_source_for_every_sng_is_held_to_the_budget_too():
    made(sharing="none", error_budget=0.5)
    with pytest.raises(SccError, match="cannot be kept within an error budget"):
        made(sharing="none", error_budget=0.01)


def test_streaming_layers_keep_their_masks_and_change_their_sources():
    module, _ = made(style="streaming", error_budget=5.0)
    assert len(module.ops_named("sc.mask")) == 2
    pairs = sources(module)
    assert len({str(s) for s in pairs}) == len(pairs) == 4  # x, w, and the weights of the layers behind


# -- the fewest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ("auto", "sobol", "lfsr"))
@pytest.mark.parametrize("length", (8, 20, 64))
def test_two_sources_are_enough_for_layers_that_accumulate(source, length):
    module, _ = made(sharing="max", source=source, length=length)
    verify(module)
    assert len({str(s) for s in sources(module)}) == 2
    assert not module.ops_named("sc.mask")


def test_state_machines_keep_sources_apart():
    module, _ = made(sharing="max", style="streaming", length=64)
    assert len({str(s) for s in sources(module)}) == 4
    assert not module.ops_named("sc.mask")


def test_the_fewest_within_a_budget():
    module, samples = made(sharing="max", error_budget=0.15)
    assert len({str(s) for s in sources(module)}) == 2
    assert max(measured(module, samples)) <= 0.15 + 1e-9
    with pytest.raises(SccError, match="cannot be kept within an error budget"):
        made(sharing="max", error_budget=1e-4)


def test_max_warns_where_state_machines_follow():
    spec, samples = Spec(SIZES), data(Spec(SIZES), 60)
    where = context({"sharing": "max", "style": "streaming"}, samples)
    run_passes(build(spec), parse_pipeline(DEFAULT_PIPELINE), where)
    assert sum("without masks" in warning for warning in where.warnings) == 2


# -- never illegal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", ({}, {"sharing": "max"}, {"error_budget": 0.2}, {"error_budget": 0.3, "source": "lfsr"})
)
def test_an_assignment_made_illegal_by_hand_is_refused_with_the_pair_named(options):
    module, _ = made(**options)
    verify(module)
    dot = module.ops_named("sc.dot")[1]
    x, w = (stream.op.operands[1].op for stream in dot.operands)
    for key in ("kind", "index", "taps"):
        w.attributes[key] = x.attributes[key]
    with pytest.raises(SccError, match=r"%fc1_x and %fc1_w are correlated.*the same random numbers"):
        verify(module)


@pytest.mark.parametrize(
    "options",
    (
        {"sharing": "max", "length": 16},
        {"error_budget": 3.0, "source": "lfsr", "length": 16},
        {"error_budget": 9.0, "style": "streaming", "length": 16},
    ),
)
def test_naive_evaluator_simulator_and_rtl_agree(options):
    module, samples = made(**options)
    x = samples[:2]
    naive = Naive(module, x)
    trace = simulate(module, x, trace=[v.name for v in module.values()]).trace
    assert all(np.array_equal(trace[v.name], naive.values[v.name]) for v in module.values())
    assert check(module, x).mismatches == 0


# -- polynomials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "primitive"), ((3, 2), (4, 2), (5, 6), (6, 6), (7, 18), (8, 16)))
def test_all_primitive_polynomials_are_found(width, primitive):
    """As many as there are: phi(2**width - 1) / width (Golomb 1967)."""
    taps = maximal_taps(width, 1000)
    assert len(set(taps)) == len(taps) == primitive
    for each in taps:
        states = lfsr(width, width, 1, each).sequence(1 << width)
        assert sorted(states) == list(range(1 << width))


@pytest.mark.parametrize("taps", (1, 0b1111, 0b10001, 0b101000))
def test_other_polynomials_are_refused(taps):
    assert not is_maximal(5, taps)
    from sccc.ir import Module

    with pytest.raises(SccError, match="make no LFSR of 5 bits"):
        Module().append("sc.source", [], {"kind": "lfsr", "taps": taps, "bits": 5})


def test_predictions_are_the_errors_of_the_whole_pass():
    """What the pass judged by is what layer_error says of the module that it made."""
    module, samples = made(error_budget=0.15)
    for dot, levels in ideal_levels(module, samples).items():
        assert layer_error(dot, levels).residual / signal_deviation(dot, levels) <= 0.15 + 1e-9
