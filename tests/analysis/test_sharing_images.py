"""Sources within an error budget, source sharing and SCC, in networks with convolutions, pooling and residual branches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from image_errors import UNCORRECTED, measured_errors
from image_nets import data, lenet_like, residual
from nets import lower

from sccc.backends.simulator import simulate
from sccc.cli import main
from sccc.config import make_config
from sccc.correlation import dependent_pair, generator_of
from sccc.diagnostics import SccError
from sccc.error_model import layer_error
from sccc.interference import constraint_graph, interference_graph
from sccc.judged_layer import ideal_levels, output_variance, signal_deviation
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.passes import PassContext
from sccc.passes.judge import Judge
from sccc.rounding import count_units, float_layers
from sccc.scc import measured_scc
from sccc.verify import verify

LENET = Path(__file__).parents[2] / "examples" / "lenet"
NETWORKS = {"lenet": lenet_like, "average": lambda: lenet_like("nn.avg_pool", "nn.tanh"), "residual": residual}


def made(network, pipeline=UNCORRECTED, **options):
    module = NETWORKS[network]()
    samples = data(module, 80)
    return lower(module, {"length": 32, **options}, samples, pipeline), samples


def relative_errors(module, samples) -> dict[str, float]:
    """Measured RMS of each layer without the mean of each output, in standard deviations of its output, in real units."""
    layers, found = float_layers(module), {}
    for dot, levels in ideal_levels(module, samples).items():
        layer = layers.get(str(dot.attributes["layer"]))
        units = count_units(dot, layer) if layer is not None else np.ones(1)
        error = measured_errors(module, samples)[dot]
        off = np.sqrt((output_variance(error) * units**2).mean())
        found[str(dot.attributes["layer"])] = float(off) / signal_deviation(dot, levels, units)
    return found


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("length", "budget"), ((32, 0.5), (128, 0.15)))
def test_every_layer_is_within_its_budget(network, length, budget):
    module, samples = made(network, error_budget=budget, length=length)
    verify(module)
    assert (
        max(relative_errors(module, samples).values()) <= 1.15 * budget
    )  # levels are those of streams, not ideal ones


@pytest.mark.parametrize("network", ("lenet", "average"))
def test_pooled_streams_are_kept_within_budgets_too(network):
    """Their mean error is not folded into any start value, but is part of the error."""
    module, samples = made(network, error_budget=0.3, pooling="streams", length=64)
    verify(module)
    assert max(relative_errors(module, samples).values()) <= 0.35


def test_when_none_fits_the_convolution_and_the_best_error_are_named():
    with pytest.raises(SccError, match=r"best that was found has an RMS error of 0\.0") as caught:
        made("residual", error_budget=1e-3)
    (problem,) = caught.value.diagnostics
    assert problem.location.node == "stem" and problem.location.option == "--error-budget"
    assert "--length" in problem.advice


def test_channels_count_by_what_they_are_worth():
    """A channel of tiny weights, which has a scale of its own, has large counts; its error counts as little as its signal."""
    module = lenet_like()
    conv = next(op for op in module if op.name == "nn.conv")
    conv.attributes["weight"][0] *= 1e-4
    conv.attributes["bias"] *= 0
    samples = data(module, 80)
    lowered = lower(module, {"length": 32}, samples, UNCORRECTED)
    judge = Judge(lowered, PassContext(make_config({}, None), samples))
    dot = lowered.ops_named("sc.conv")[0]
    variance, levels = layer_error(dot, judge.levels[dot]).variance, judge.levels[dot]
    units = np.array([0.0, *count_units(dot, judge.float_layers["conv1"])[1:]])
    others = np.sqrt((variance * units**2).mean()) / signal_deviation(dot, levels, units)
    alike = np.sqrt(variance.mean()) / signal_deviation(dot, levels)
    assert judge.of(dot) == pytest.approx(others, rel=1e-4)
    assert abs(alike / others - 1.0) > 0.01


@pytest.mark.parametrize("source", ("sobol", "lfsr"))
@pytest.mark.parametrize("pooling", ("counting", "streams"))
def test_a_source_for_every_sng_under_windows(source, pooling):
    module, _ = made("lenet", sharing="none", source=source, pooling=pooling)
    verify(module)
    for dot in module.ops_named(*PRODUCT_SUMS):
        assert dependent_pair(*dot.operands, 32, op=dot) is None
    lanes = generator_of(module.ops_named("sc.conv")[0].operands[1]).operands[1].type.lanes
    assert lanes == 3 * 9  # weights


@pytest.mark.parametrize("pooling", ("counting", "streams"))
def test_the_fewest_sources_of_a_convolutional_network(pooling):
    module, _ = made("lenet", sharing="max", pooling=pooling)
    verify(module)
    attributes = [op.attributes for op in module.ops_named("sc.source")]
    assert len({(a["kind"], int(a["index"]), a["taps"]) for a in attributes}) == 2


def test_a_weight_that_meets_its_own_source_under_some_window_is_refused():
    module, _ = made("lenet", sharing="none")
    dot = module.ops_named("sc.conv")[1]
    x, w = (stream.op.operands[1] for stream in dot.operands)
    for mask in module.ops_named("sc.mask"):
        mask.attributes["masks"] = np.zeros_like(mask.attributes["masks"])
    sources = [(r.op if r.op.name == "sc.source" else r.op.operands[0].op).attributes for r in (x, w)]
    sources[1]["index"] = sources[1]["index"].copy()
    sources[1]["index"].flat[5] = sources[0]["index"].flat[17]
    with pytest.raises(SccError, match=r"%conv2_x and %conv2_w are correlated.*the same random numbers"):
        verify(module)


def test_pooled_streams_are_what_meets_weights():
    """The OR of streams is still a comparison with their source: a choice must respect it, as no state machine lies between."""
    module, _ = made("lenet", pooling="streams")
    graph = constraint_graph(interference_graph(module))
    through = {frozenset((u, v)): name for u, v, name in graph.edges(data="through")}
    assert through == {frozenset((f"{layer}_x", f"{layer}_w")): "" for layer in ("conv1", "conv2", "fc")}


def test_scc_of_convolutions_is_pooled_over_positions():
    module, x = made("residual", length=16)
    rows = {row["layer"]: row for row in measured_scc(module, x[:5], worst=4)}
    assert sorted(rows) == ["a1", "a2", "b1", "b2", "fc", "proj", "stem"]
    dot = next(dot for dot in module.ops_named("sc.conv") if dot.origin == "a1")
    trace = simulate(module, x[:5], trace=[v.name for v in dot.operands]).trace
    xb, wb = (trace[v.name].astype(float) for v in dot.operands)
    padded = np.pad(xb, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    for pair in rows["a1"]["worst"]:
        j, i, r, c = pair["weight"]
        assert pair["output"] == j
        a, b = padded[:, i, r : r + 5 : 2, c : c + 5 : 2], wb[0, j, i, r, c]
        d = (a * b).mean(axis=-1) - a.mean(axis=-1) * b.mean()
        assert pair["deviation"] == pytest.approx(np.nanmean(d), abs=1e-6)
        assert pair["predicted"] == pytest.approx(pair["measured"], abs=1e-6)


def test_a_planted_shared_source_shows_in_the_scc_of_a_convolution():
    module, x = made("lenet", length=16)
    dot = module.ops_named("sc.conv")[0]
    dot.operands[1].op.operands[1].op.attributes["index"] = 0
    row = measured_scc(module, x[:5])[0]
    assert row["rms"] == pytest.approx(1.0)


def test_lenet_is_compiled_within_a_budget_and_refused_beyond_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["compile", str(LENET / "lenet.onnx"), "--length", "16", "--calibrate", str(LENET / "lenet_sample.npz")]
    passes = ["--passes", UNCORRECTED.replace(",fold-layers", "")]
    assert main([*common, *passes, "-o", "net.sc", "--json", "r.json", "--error-budget", "0.3"]) == 0
    assert len(json.loads(Path("r.json").read_text())["layers"]) == 7
    assert main([*common, *passes, "-o", "other.sc", "--error-budget", "0.01"]) == 2
    assert "layer '/conv1/Conv' cannot be kept within an error budget of 0.01" in capsys.readouterr().err.replace(
        "\n", " "
    )
    assert not Path("other.sc").exists()
