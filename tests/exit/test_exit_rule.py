"""The rule of early exit: what a lead is, when it stops, and that a chosen margin keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, data, lower

import sccc
from sccc.early_exit import ExitRule, choose_rule, exit_cycles, leads, parse_rule, prefix_module, prefix_totals
from sccc.ops import REGISTRY
from sccc.passes import DEFAULT_PIPELINE
from sccc.passes.early_exit import spread_bias

STYLES = ({"length": 32}, {"length": 64, "style": "streaming"}, {"length": 48, "bits": 7})


def walks(samples: int = 300, cycles: int = 64, lanes: int = 5) -> np.ndarray:
    """Running totals of counts with a drift of their own for each sample and lane."""
    rng = np.random.default_rng(3)
    drift = rng.normal(0, 0.6, (samples, 1, lanes))
    return np.cumsum(np.rint(drift + rng.normal(0, 1.5, (samples, cycles, lanes))).astype(np.int64), axis=1)


def test_a_lead_is_the_largest_minus_the_second():
    totals = np.array([[[3, 9, 7], [5, 5, -1]]])
    assert leads(totals).tolist() == [[2, 0]]


def test_a_rule_looks_when_it_says():
    totals = np.zeros((1, 16, 2), np.int64)
    totals[0, :, 0] = np.arange(1, 17)
    assert exit_cycles(totals, ExitRule(3)).tolist() == [3]
    assert exit_cycles(totals, ExitRule(3, first=5)).tolist() == [5]
    assert exit_cycles(totals, ExitRule(5, first=1, every=4)).tolist() == [8]
    assert exit_cycles(totals, ExitRule(99)).tolist() == [16]


@pytest.mark.parametrize("tolerance", (0.0, 0.02))
def test_a_chosen_rule_changes_no_more_classes_than_allowed_and_saves_cycles(tolerance):
    totals = walks()
    rule = choose_rule(totals, tolerance=tolerance)
    cycles = exit_cycles(totals, rule)
    changed = totals[np.arange(len(totals)), cycles - 1].argmax(1) != totals[:, -1].argmax(1)
    assert changed.mean() <= tolerance
    assert cycles.mean() < totals.shape[1]
    smaller = ExitRule(rule.margin - 1, rule.first, rule.every)
    misled = (leads(totals) >= smaller.margin) & (totals.argmax(2) != totals[:, -1:].argmax(2))
    assert misled[:, rule.first - 1 :].any(axis=1).mean() > tolerance  # one count less would break the promise


def test_prefixes_are_running_totals_with_their_share_of_the_start():
    counts = np.array([[[1, 2, 3, 4], [-1, 0, 0, 1]]])
    made = prefix_totals(counts, np.array([8, -4]), [1, 2, 4])
    assert made.tolist() == [[[3, -2], [7, -3], [18, -4]]]


@pytest.mark.parametrize("options", STYLES)
@pytest.mark.parametrize("kernels", ("numba", "numpy"))
def test_the_last_prefix_is_the_answer_and_each_one_the_trace_summed(options, kernels):
    spec = Spec(sizes=(7, 6, 3), options=options)
    module, x = lower(build(spec), options, data(spec, 30)), data(spec, 5)
    length = options["length"]
    total = module.outputs[0].operands[0].op
    count = total.operands[0]
    made = sccc.simulate(module, x, prefixes=range(1, length + 1), trace=[count.name], kernels=kernels)
    assert np.array_equal(made.prefixes[:, -1], made.raw)
    counts = made.trace[count.name]
    initial = np.broadcast_to(total.attributes["initial"], counts.shape[1])
    for t in (1, 5, length):
        share = np.floor(initial * t / length + 0.5).astype(int)
        assert np.array_equal(made.prefixes[:, t - 1], counts[..., :t].sum(axis=2) + share)


@pytest.mark.parametrize("options", STYLES)
def test_spreading_the_bias_changes_no_total_of_a_whole_window(options):
    spec = Spec(sizes=(7, 6, 3), options=options)
    module, x = lower(build(spec), options, data(spec, 30)), data(spec, 5)
    before = sccc.simulate(module, x).raw
    op = module.outputs[0].operands[0].op
    op.attributes["initial"] = spread_bias(module, op)
    op.result.type = REGISTRY[op.name].infer(op)
    sccc.run_passes(module, [], sccc.PassContext())  # verified
    assert module.ops_named("sc.offset")
    assert np.array_equal(sccc.simulate(module, x).raw, before)


def test_a_race_stops_where_the_rule_says_and_both_engines_agree():
    options = {"length": 64, "style": "streaming"}
    spec = Spec(sizes=(7, 6, 3), options=options)
    x = data(spec, 40)
    module = lower(build(spec), options, x, DEFAULT_PIPELINE + ",early-exit{margin=7 first=4 every=2}")
    (race,) = module.ops_named("sc.race")
    count = race.operands[0].name
    runs = [sccc.simulate(module, x, trace=[count], kernels=kernels) for kernels in ("numba", "numpy")]
    totals = np.cumsum(runs[0].trace[count], axis=2).transpose(0, 2, 1) + race.attributes["initial"]
    summed = exit_cycles(totals, ExitRule(7, 4, 2))
    for run in runs:
        assert np.array_equal(run.cycles, np.minimum(summed + 1, 64))
        assert np.array_equal(run.raw, totals[np.arange(len(x)), summed - 1])
    assert len(set(summed.tolist())) > 3


def test_a_race_is_read_back_from_its_text():
    options = {"length": 16}
    spec = Spec(sizes=(5, 3), options=options)
    module = lower(build(spec), options, data(spec, 30), DEFAULT_PIPELINE + ",early-exit{margin=5}")
    again = sccc.parse(str(module))
    x = data(spec, 6)
    assert np.array_equal(sccc.simulate(again, x).cycles, sccc.simulate(module, x).cycles)


@pytest.mark.parametrize("cycles", (8, 16))
def test_a_shorter_window_sees_the_beginning_of_the_same_streams(cycles):
    options = {"length": 32}
    spec = Spec(sizes=(6, 5, 3), options=options)
    module, x = lower(build(spec), options, data(spec, 30)), data(spec, 5)
    short = prefix_module(module, cycles)
    streams = [v.name for v in module.values() if v.name.endswith("_x")]
    whole, part = (sccc.simulate(m, x, trace=streams).trace for m in (module, short))
    assert np.array_equal(part[streams[0]], whole[streams[0]][..., :cycles])
    output = sccc.simulate(short, x).output
    assert np.abs(output - sccc.simulate(module, x).output).max() < 0.5 * np.abs(output).max()
    assert np.array_equal(sccc.simulate(prefix_module(module, 32), x).raw, sccc.simulate(module, x).raw)


@pytest.mark.parametrize(
    ("text", "message"), (("margin", "not understood"), ("rate=1", "not understood"), ("margin=x", "not a number"))
)
def test_a_rule_that_is_not_understood_is_refused(text, message):
    with pytest.raises(sccc.SccError, match=message):
        parse_rule(text)


@pytest.mark.parametrize(
    ("options", "end", "message"),
    (({"length": 16, "style": "fixed"}, "none", "no totals"), ({"length": 16}, "tanh", "no totals")),
)
def test_what_has_no_totals_cannot_exit_early(options, end, message):
    spec = Spec(sizes=(5, 3), options=options, end=end)
    with pytest.raises(sccc.SccError, match=message):
        lower(build(spec), options, data(spec, 30), DEFAULT_PIPELINE + ",early-exit{margin=5}")


def test_without_samples_a_margin_must_be_given():
    spec = Spec(sizes=(5, 3), options={"length": 16})
    with pytest.raises(sccc.SccError, match="no samples to choose it on"):
        lower(build(spec), spec.options, None, DEFAULT_PIPELINE + ",early-exit")
