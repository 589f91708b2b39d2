"""Sweeps: points are what a run of their own gives, a stopped sweep goes on, and a prefix is not simulated again."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from nets import Spec, compiled

import sccc
from sccc import sweep_work
from sccc.accuracy import predictions
from sccc.api import load
from sccc.config import make_config
from sccc.data import load_data
from sccc.diagnostics import Location
from sccc.digest import digest, pack, unpack
from sccc.sweep import Sweep, run_sweep, wilson

LENET = Path(__file__).parents[2] / "examples" / "lenet"


def accuracy(source, samples, flip_rate=0.0, **options):
    module = sccc.compile(source, calibration=samples.x[:50], **options)
    output = sccc.simulate(module, samples.x, flip_rate=flip_rate, seed=1).output
    return float((predictions(output) == samples.y).mean())


def swept(source, samples, folder, sweep, **more):
    return run_sweep(source, samples, sweep, calibration=samples.x[:50], cache=folder, **{"jobs": 1, **more})


def test_points_are_what_single_runs_give(source, samples, tmp_path):
    sweep = Sweep((8, 32), (0.0, 0.1), ("signed", "bipolar"), ("accumulate", "streaming"))
    results = swept(source, samples, tmp_path, sweep)
    assert [r["point"] for r in results] == [asdict(p) for p in sweep.points()]
    for result in results:
        p = result["point"]
        own = accuracy(source, samples, p["flip_rate"], length=p["length"], encoding=p["encoding"], style=p["style"])
        assert result["accuracy"] == own
        assert result["low"] < own < result["high"] or own == 1.0
    assert len({r["accuracy"] for r in results}) > 4


def test_the_prefix_of_a_longer_streaming_run_answers_for_a_shorter_one(source, samples, tmp_path, monkeypatch):
    simulated = []
    real = sweep_work.simulate_group
    monkeypatch.setattr("sccc.sweep.simulate_group", lambda group, *rest: simulated.append(group) or real(group, *rest))
    base = make_config({"bits": 6})
    results = swept(source, samples, tmp_path, Sweep((8, 16, 64), styles=("streaming",), base=base))
    assert [r["from_prefix"] for r in results] == [64, 64, 0]
    assert [group.length for group in simulated] == [64]
    for result in results:
        length = result["point"]["length"]
        assert result["accuracy"] == accuracy(source, samples, length=length, bits=6, style="streaming")


@pytest.mark.parametrize(
    ("options", "rates"), (({"style": "accumulate", "bits": 6}, (0.0,)), ({"style": "streaming"}, (0.0,)),
                           ({"style": "streaming", "bits": 6}, (0.1,)))
)  # fmt: skip
def test_runs_whose_bits_differ_are_not_shared(source, samples, tmp_path, options, rates):
    """Layers that accumulate wait for their windows; other levels make other streams; flips depend on the window."""
    base = make_config(options)
    results = swept(source, samples, tmp_path, Sweep((16, 64), rates, styles=(options["style"],), base=base))
    assert [r["from_prefix"] for r in results] == [0, 0]


@pytest.mark.parametrize("rate", (0.0, 0.02))
def test_lengths_that_make_the_same_network_are_one_run(source, samples, tmp_path, monkeypatch, rate):
    """Fixed point has no window, so that its flips do not depend on the length either."""
    simulated = []
    real = sweep_work.simulate_group
    monkeypatch.setattr("sccc.sweep.simulate_group", lambda group, *rest: simulated.append(group) or real(group, *rest))
    base = make_config({"bits": 6})
    results = swept(source, samples, tmp_path, Sweep((8, 16, 64), (rate,), styles=("fixed", "accumulate"), base=base))
    assert [len(group.members) for group in simulated] == [3, 1, 1, 1]
    for result in results:
        p = result["point"]
        own = accuracy(source, samples, rate, length=p["length"], bits=6, style=p["style"])
        assert (result["accuracy"], result["from_prefix"]) == (own, 0)


@pytest.mark.parametrize(("scores", "shared"), ((1, False), (3, True)))
def test_a_single_score_is_not_read_off_totals(scores, shared):
    """It is compared with 1/2 in real units, which the totals of a prefix are not."""
    module = compiled(Spec(sizes=(6, 5, scores), options={"length": 16, "style": "streaming"}))
    assert sweep_work.streams_on(module) is shared


def test_a_stopped_sweep_goes_on(source, samples, tmp_path, monkeypatch):
    sweep = Sweep((8, 16, 32), (0.0, 0.05))
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(source, samples, tmp_path, sweep, progress=stop)
    assert len(list(tmp_path.glob("*.json"))) == 3
    again = swept(source, samples, tmp_path, sweep)
    assert sorted(r["cached"] for r in again) == [False] * 3 + [True] * 3
    monkeypatch.setattr("sccc.sweep.simulate_group", None)  # all is there: nothing runs
    third = swept(source, samples, tmp_path, sweep)
    assert [r["accuracy"] for r in third] == [r["accuracy"] for r in again]


def test_a_killed_sweep_goes_on(model, data_file, tmp_path):
    """Killed without notice after the first results: whole files are there, and the next run measures only the others."""
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "sccc.cli", "sweep", str(model), "--data", str(data_file), "--jobs", "1"]
    command += ["--lengths", "8,16,32,64,128,256,512,1024", "--flip-rates", "0,0.05,0.1", "--cache", str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(cache.glob("*.json"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    there = len(list(cache.glob("*.json")))
    assert 2 <= there < 24
    report = tmp_path / "again.json"
    subprocess.run([*command, "--json", str(report)], check=True, capture_output=True)
    points = json.loads(report.read_text())["points"]
    assert [r["cached"] for r in points].count(True) == there and len(points) == 24


def test_what_a_result_depends_on_is_in_its_key(source, samples, tmp_path):
    sweep = Sweep((8,))
    swept(source, samples, tmp_path, sweep)
    for other in (
        lambda: run_sweep(source, samples, sweep, calibration=samples.x[:40], cache=tmp_path, jobs=1),
        lambda: swept(source, type(samples)(samples.x[:100], samples.y[:100]), tmp_path, sweep),
        lambda: swept(source, samples, tmp_path, Sweep((8,), base=make_config({"seed": 3}))),
        lambda: swept(source, samples, tmp_path, Sweep((8,), flips=("product",))),
        lambda: swept(source, samples, tmp_path, Sweep((8,), base=make_config({}, {"fc1": {"length": 16}}))),
    ):
        assert [r["cached"] for r in other()] == [False]
    assert [r["cached"] for r in swept(source, samples, tmp_path, sweep)] == [True]


def test_a_damaged_result_is_measured_again(source, samples, tmp_path):
    first = swept(source, samples, tmp_path, Sweep((8,)))
    (path,) = tmp_path.glob("*.json")
    path.write_text("{")
    assert swept(source, samples, tmp_path, Sweep((8,)))[0] == first[0]


def test_processes_give_the_same(source, samples, tmp_path):
    sweep = Sweep((8, 16), (0.0, 0.1))
    alone = swept(source, samples, tmp_path / "a", sweep)
    assert swept(source, samples, tmp_path / "b", sweep, jobs=2) == alone


def test_a_dask_cluster_gives_the_same(source, samples, tmp_path):
    from distributed import LocalCluster

    sweep = Sweep((8, 16), (0.0, 0.1))
    alone = swept(source, samples, tmp_path / "a", sweep)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        spread = swept(source, samples, tmp_path / "b", sweep, cluster=cluster.scheduler_address)
        ran = [step.key for step in cluster.scheduler.transition_log if step.finish == "memory"]
        assert len(cluster.scheduler.workers) == 2
    assert len(ran) >= 2 + 4  # compiled, and simulated, on the workers
    assert spread == alone


def test_without_dask_the_error_says_what_to_install(source, samples, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(sccc.SccError, match=r"dask is not installed") as caught:
        swept(source, samples, tmp_path, Sweep((8,)), cluster="tcp://127.0.0.1:1")
    assert "pip install 'sccc[cluster]'" in str(caught.value)


def test_what_a_configuration_refuses_is_told_and_the_others_run(source, samples, tmp_path):
    results = swept(source, samples, tmp_path, Sweep((8, 16), encodings=("unipolar", "signed")))
    assert ["refused" in r for r in results] == [True, True, False, False]


def test_flips_that_a_network_cannot_have_are_told_and_the_others_run(tmp_path):
    """Numbers have no product streams; the point without flips runs."""
    source = load(LENET / "lenet.onnx")
    samples = load_data(LENET / "lenet_sample.npz", source, limit=4, need_y=True)
    sweep = Sweep((8,), (0.0, 0.1), styles=("fixed",), flips=("product",))
    clean, refused = run_sweep(source, samples, sweep, calibration=samples.x, cache=tmp_path, jobs=2)
    assert clean["samples"] == 4
    assert refused["refused"] == "numbers have no product streams whose bits could flip"


def test_products_of_a_convolution_flip(tmp_path):
    source = load(LENET / "lenet.onnx")
    samples = load_data(LENET / "lenet_sample.npz", source, limit=4, need_y=True)
    (result,) = swept(source, samples, tmp_path, Sweep((8,), (0.1,), flips=("product",)))
    module = sccc.compile(source, calibration=samples.x, length=8)
    output = sccc.simulate(module, samples.x, flip_rate=0.1, flips=("product",), seed=1).output
    assert result["accuracy"] == (predictions(output) == samples.y).mean()


def test_options_that_are_not_legal_are_all_told_before_any_work(source, samples, tmp_path):
    with pytest.raises(sccc.SccError) as caught:
        swept(source, samples, tmp_path, Sweep((0, 8, 1 << 21), (0.0, 0.1)))
    assert [d.message for d in caught.value.diagnostics] == [
        "0 is outside 1 .. 1048576", "2097152 is outside 1 .. 1048576"
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_an_error_comes_whole_from_another_process():
    problem = sccc.SccError("no", Location(option="--x"), "do this")
    again = pickle.loads(pickle.dumps(problem))
    assert again.diagnostics == problem.diagnostics and str(again) == str(problem)


def test_wilson_intervals_are_those_of_the_formula():
    """Newcombe (1998), Table I: 81 of 263 and 0 of 20."""
    assert np.allclose(wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    assert np.allclose(wilson(0, 20), (0.0, 0.1611), atol=5e-5)
    assert wilson(20, 20)[1] == 1.0


def test_a_module_survives_packing(source, samples):
    module = sccc.compile(source, calibration=samples.x[:50], length=16)
    again = unpack(pack(module))
    assert digest(again) == digest(module)
    assert np.array_equal(sccc.simulate(again, samples.x).raw, sccc.simulate(module, samples.x).raw)
    again.ops[0].attributes["scale"] = 2.0
    assert digest(again) != digest(module)
