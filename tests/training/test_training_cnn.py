"""Convolutions and pooling in a network that learns: kernel, reference, gradient and float yardstick agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_checks import assert_kernel_equals_reference
from training_nets import small_cnn

from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_float import FloatRule, FloatTrainer
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.learning_options import TrainingOptions
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.passes.trainable import read_trainable
from sccc.text import parse_module
from sccc.training import train
from sccc.verify import verify

POOLS = ("nn.max_pool", "nn.avg_pool")


def made(network: Module, **options: object) -> Module:
    counters = InsertGradientCounters(**options)  # type: ignore[arg-type]
    return run_passes(network.clone(), [counters], PassContext())


def samples(n: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (n, 1, 6, 6)), random.integers(0, 4, n)


@pytest.mark.parametrize(
    ("rule", "sources", "function", "pool"),
    [
        ("gdm", "per-layer", "relu", "nn.max_pool"),
        ("gdc", "per-lane", "tanh", "nn.avg_pool"),
        ("gdm", "scrambled", "relu", "nn.avg_pool"),
        ("fixed", "per-layer", "tanh", "nn.max_pool"),
    ],
)
def test_the_kernel_equals_the_module_op_by_op(rule: str, sources: str, function: str, pool: str) -> None:
    module = made(small_cnn(function, pool), rule=rule, sources=sources)
    # One kernel for all takes 10 s to compile.
    forms = ("numba", "kinds") if (rule, pool) == ("gdm", "nn.max_pool") else ("kinds",)
    before, expected = assert_kernel_equals_reference(module, *samples(60), forms=forms)
    assert all(not np.array_equal(before[f"{name}_w"], expected[f"{name}_w"]) for name in ("c1", "c2", "fc"))


def test_the_module_prints_parses_and_verifies() -> None:
    module = made(small_cnn(), rule="gdm")
    verify(module)
    assert str(parse_module(str(module))) == str(module)


@pytest.mark.parametrize(("function", "pool"), [("relu", POOLS[0]), ("tanh", POOLS[1])])
def test_meaning_in_reals_is_the_float_network_within_rounding(function: str, pool: str) -> None:
    network = small_cnn(function, pool)
    trainer = Trainer(made(network), "numpy")
    x, _ = samples(20)
    scores = trainer.scores(trainer.numbers(x)) / 2.0**8
    assert np.abs(scores - evaluate(network, x)).max() < 0.05


def float_gradients(network: Module, x: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Weights' gradients of the float yardstick: what one step at rate 1 takes off."""
    learner = FloatTrainer(read_trainable(network).steps, FloatRule(1.0))
    before = learner.layers()
    learner.train(learner.numbers(x), np.array([label]))
    return {name: before[name][0] - weight for name, (weight, _) in learner.layers().items()}


@pytest.mark.parametrize(("function", "pool"), [("relu", POOLS[0]), ("tanh", POOLS[1])])
def test_the_yardstick_descends_the_slope_of_the_loss(function: str, pool: str) -> None:
    """Against central differences of the float network's loss, for the largest gradient of each layer."""
    network = small_cnn(function, pool)
    x, y = samples(1)
    gradients = float_gradients(network, x, int(y[0]))

    def loss() -> float:
        scores = evaluate(network, x)[0]
        return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[y[0]])

    for name, gradient in gradients.items():
        op = network.value(name).op
        assert op is not None
        flat = np.asarray(op.attributes["weight"]).reshape(-1)
        k = int(np.argmax(np.abs(gradient)))
        slopes, held = [], flat[k]
        for shift in (1e-4, -1e-4):
            flat[k] = held + shift
            slopes.append(loss())
        flat[k] = held
        assert abs((slopes[0] - slopes[1]) / 2e-4 - gradient.reshape(-1)[k]) < 1e-3


@pytest.mark.parametrize(("function", "pool"), [("relu", POOLS[0]), ("tanh", POOLS[1])])
def test_the_fixed_point_gradient_is_the_float_one_within_rounding(function: str, pool: str) -> None:
    network = small_cnn(function, pool)
    module = made(network)
    x, y = samples(1, seed=3)  # no two taps of a window round to the same maximum
    trainer = Trainer(module, "numpy")
    values = trainer._reference.forward(trainer.numbers(x)[0], int(y[0]))
    wanted = float_gradients(network, x, int(y[0]))
    for name in ("c1", "c2"):
        found = next(array for value, array in values.items() if value.name == f"{name}_gw") / 2.0**16
        assert np.abs(found - wanted[name]).max() < 0.02
        assert np.abs(wanted[name]).max() > 0.1  # so that a wrong scale or position would be seen


def test_the_expected_update_of_a_shared_weight_is_the_step_times_its_gradient() -> None:
    module = made(small_cnn(), sources="per-lane", gradient_range=2)
    trainer = Trainer(module, "kinds")
    x, y = samples(1)
    numbers, reset, total, repeats = trainer.numbers(x), trainer.state, 0.0, 20_000
    weights = {n: a for n, a in reset.items() if not n.endswith("_r")}
    for _ in range(repeats):
        trainer.train(numbers, y)
        total = total + trainer.state["c2_w"] - reset["c2_w"]
        trainer.state = {**trainer.state, **weights}  # sources go on, counters start again
    values = Trainer(module, "numpy")._reference.forward(numbers[0], int(y[0]))
    wanted = -next(array for value, array in values.items() if value.name == "c2_gw") / 2.0**16
    deviation = np.abs(total / repeats - wanted)
    sigma = np.sqrt(2 * np.abs(wanted) / repeats) + 1e-4  # a move is worth 2 steps
    assert np.all(deviation < 5 * sigma)
    big = np.abs(wanted) > 0.05
    assert big.sum() > 3 and np.all(np.abs(2 * wanted - total / repeats)[big] > 5 * sigma[big])  # a wrong scale is seen


def test_a_stopped_run_ends_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    network, kept = small_cnn(), tmp_path / "run.npz"
    data, test, options = Data(*samples(50)), Data(*samples(20, 3)), TrainingOptions(rule="gdm", epochs=3)
    whole = train(network, data, test, options)
    train(network, data, test, replace(options, epochs=1), checkpoint=kept)
    resumed = train(network, data, test, options, checkpoint=kept)
    assert resumed.epochs == whole.epochs
    for name, (weight, bias) in whole.layers.items():
        assert np.array_equal(resumed.layers[name][0], weight) and np.array_equal(resumed.layers[name][1], bias)
    assert whole.layers["c1"][0].shape == (2, 1, 3, 3)


def test_what_cannot_be_trained_is_refused_with_its_place() -> None:
    odd = small_cnn()
    odd.ops_named("nn.conv_layer")[1].attributes["function"] = "hard_swish"
    with pytest.raises(SccError, match="hard_swish has no backward form"):
        read_trainable(odd)
