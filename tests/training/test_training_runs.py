"""Whole runs: accuracy, resumption, determinism, and the weights' way back into ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from training_nets import DIGITS, MODEL, random_network

from sccc.api import load
from sccc.cli import main
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.learning_options import TrainingOptions
from sccc.training import train, with_weights

Both = tuple[Data, Data]


def test_gradient_counters_learn_the_digits_as_well_as_float(digits_network: Module, digits: Both) -> None:
    options = TrainingOptions(epochs=20)
    counters, exact = (train(digits_network, *digits, replace(options, rule=rule)) for rule in ("gdc", "float"))
    assert exact.accuracy > 0.93
    assert counters.accuracy > exact.accuracy - 0.02


def test_momentum_learns_as_well_as_float_momentum(digits_network: Module, digits: Both) -> None:
    options = TrainingOptions(epochs=20)
    counters, exact = (
        train(digits_network, *digits, replace(options, rule=rule)) for rule in ("gdm", "float-momentum")
    )
    assert exact.accuracy > 0.93
    assert counters.accuracy > exact.accuracy - 0.02


def test_training_from_a_trained_network_does_not_diverge(digits_network: Module, digits: Both) -> None:
    first = train(digits_network, *digits, TrainingOptions(epochs=15))
    on = train(with_weights(digits_network, first.layers), *digits, TrainingOptions(epochs=5, step_bits=6, seed=2))
    assert min(e["accuracy"] for e in on.epochs) > first.accuracy - 0.06


def test_a_stopped_run_ends_as_if_it_had_not_stopped(digits_network: Module, digits: Both, tmp_path: Path) -> None:
    for rule in ("gdc", "gdm", "float-momentum"):
        options, kept = TrainingOptions(rule=rule, epochs=4), tmp_path / f"{rule}.npz"
        whole = train(digits_network, *digits, options)
        train(digits_network, *digits, replace(options, epochs=2), checkpoint=kept)
        resumed = train(digits_network, *digits, options, checkpoint=kept)
        assert resumed.epochs == whole.epochs
        for name, (weight, bias) in whole.layers.items():
            assert np.array_equal(resumed.layers[name][0], weight) and np.array_equal(resumed.layers[name][1], bias)


def test_a_foreign_or_damaged_checkpoint_is_refused(digits_network: Module, digits: Both, tmp_path: Path) -> None:
    kept = tmp_path / "c.npz"
    train(digits_network, *digits, TrainingOptions(epochs=1), checkpoint=kept)
    with pytest.raises(SccError, match="another model, data or options"):
        train(digits_network, *digits, TrainingOptions(epochs=2, seed=2), checkpoint=kept)
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(SccError, match="damaged"):
        train(digits_network, *digits, TrainingOptions(epochs=2), checkpoint=kept)


def test_the_same_seed_gives_the_same_weights(
    digits_network: Module, digits: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for threads in (1, 2):
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, threads=threads: set(range(threads)))
        runs.append(train(digits_network, *digits, TrainingOptions(epochs=2)))
    other = train(digits_network, *digits, TrainingOptions(epochs=2, seed=3))
    first, second = (run.layers["fc1"][0] for run in runs)
    assert np.array_equal(first, second) and not np.array_equal(first, other.layers["fc1"][0])


def test_classes_that_the_network_does_not_have_are_refused(digits_network: Module, digits: Both) -> None:
    wrong = Data(digits[0].x, digits[0].y + 1)  # type: ignore[operator]
    with pytest.raises(SccError, match=r"1 \.\. 10"):
        train(digits_network, wrong, digits[1], TrainingOptions(epochs=1))


def command(tmp_path: Path, *options: str) -> dict:
    result = tmp_path / "result.json"
    assert main(["train", str(MODEL), "--data", str(DIGITS), "--json", str(result), *options]) == 0
    return json.loads(result.read_text())


def test_the_trained_model_is_the_same_graph_with_other_weights(tmp_path: Path, digits: Both) -> None:
    written = tmp_path / "trained.onnx"
    result = command(tmp_path, "--epochs", "6", "-o", str(written), "--from-scratch")
    assert [e["epoch"] for e in result["epochs"]] == list(range(1, 7))
    assert result["accuracy"] == result["epochs"][-1]["accuracy"] and result["seconds"] > 0
    before, after = onnx.load(str(MODEL)), onnx.load(str(written))
    for model in (before, after):
        del model.graph.initializer[:]
    assert before == after
    (scores,) = onnxruntime.InferenceSession(written.read_bytes()).run(None, {"x": digits[1].x})
    accuracy = float(np.mean(np.argmax(scores, axis=1) == digits[1].y))
    assert abs(accuracy - result["accuracy"]) < 0.02


def test_a_text_model_is_written_as_text(tmp_path: Path) -> None:
    written = tmp_path / "trained.sc"
    command(tmp_path, "--epochs", "1", "-o", str(written))
    assert len(load(written).ops_named("nn.layer")) == 2


def test_two_rules_in_one_run_are_compared(tmp_path: Path) -> None:
    result = command(tmp_path, "--epochs", "2", "--against", "float")
    assert result["difference"] == result["accuracy"] - result["against"]["accuracy"]
    assert result["against"]["rule"] == "float"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--step-bits", "40"], "40 is outside 2 .. 20"),
        (["--weight-range", "3"], "no power of two"),
        (["-o", "trained.txt"], "an .onnx or a .sc file"),
        (["-o", str(MODEL)], "would overwrite"),
    ],
)
def test_bad_options_are_refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(MODEL), "--data", str(DIGITS), "--epochs", "1", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_network_that_is_no_mlp_is_refused() -> None:
    module = random_network((4, 3, 2), function="leaky_relu")
    with pytest.raises(SccError, match="leaky_relu has no backward form"):
        train(
            module,
            Data(np.zeros((1, 4)), np.zeros(1, int)),
            Data(np.zeros((1, 4)), np.zeros(1, int)),
            TrainingOptions(),
        )


def test_the_network_prints_parses_and_emits(learning: Callable[..., Module], tmp_path: Path) -> None:
    path = tmp_path / "learning.sc"
    module = learning(rule="gdm", sources="per-lane")
    path.write_text(str(module))
    assert str(load(path)) == str(module)
    assert main([str(path), "-o", str(tmp_path / "net.v")]) == 0
    assert "sccc_average" in (tmp_path / "net.v").read_text()
