"""The generated kernel is the module, op by op; counters learn what the gradient says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from training_checks import assert_kernel_equals_reference
from training_nets import random_network

from sccc.backends.simulator.training import Trainer
from sccc.evaluate import evaluate
from sccc.ops.training_types import input_numbers
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters

RULES = ("gdc", "gdm", "fixed")


def made(function: str = "tanh", **options: object):
    module = random_network((9, 6, 4), function=function)
    counters = InsertGradientCounters(**options)  # type: ignore[arg-type]
    return run_passes(module, [counters], PassContext())


def samples(n: int, scale: float = 1.0, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(-scale, scale, (n, 9)), random.integers(0, 4, n)


@pytest.mark.parametrize(
    ("rule", "sources", "loss", "function"),
    [
        *itertools.product(RULES, ("per-layer", "per-lane", "scrambled"), ("cross-entropy",), ("tanh",)),
        ("gdc", "per-lane", "squared-error", "sigmoid"),
        ("gdc", "per-layer", "cross-entropy", "relu"),
        ("gdm", "per-layer", "squared-error", "relu"),
    ],
)
def test_the_kernel_equals_the_module_op_by_op(rule: str, sources: str, loss: str, function: str) -> None:
    module = made(function, rule=rule, sources=sources, loss=loss)
    order = np.random.default_rng(3).permutation(120)
    # One kernel for all takes 7 s to compile, and is made of the same loops.
    one = ("numba",) if sources == "per-lane" else ()
    before, expected = assert_kernel_equals_reference(module, *samples(120), order, (*one, "kinds"))
    assert any(not np.array_equal(before[name], expected[name]) for name in ("fc1_w", "fc2_w"))


def test_wide_inputs_move_counters_by_what_they_are_worth() -> None:
    module = made(input_range=4.0, update_range=4)
    fast, plain = Trainer(module, "kinds"), Trainer(module, "numpy")
    assert module.ops_named("train.count")[-2].attributes["move"] == 4
    numbers, labels = fast.numbers(samples(60, 4.0)[0]), samples(60)[1]
    fast.train(numbers, labels)
    plain.train(numbers, labels)
    assert np.array_equal(fast.state["fc1_w"], plain.state["fc1_w"])


def expected_change(module, numbers: np.ndarray, label: int) -> np.ndarray:
    """step * gradient of the first layer's weights, in counter steps: delta x of the fixed-point backward graph."""
    values = Trainer(module, "numpy")._reference.forward(numbers, label)
    by_name = {value.name: array for value, array in values.items()}
    return -np.outer(by_name["fc1_delta"] / 2.0**16, by_name["x"] / 2.0**8)


@pytest.mark.parametrize("sources", ["per-layer", "per-lane", "scrambled"])
def test_the_expected_update_is_the_step_times_the_gradient(sources: str) -> None:
    module = made(sources=sources)
    trainer = Trainer(module, "kinds")
    x, y = samples(1)
    numbers = trainer.numbers(x)
    reset, total, repeats = trainer.state, 0.0, 20_000
    weights = {n: a for n, a in reset.items() if not n.endswith("_r")}
    for _ in range(repeats):
        trainer.train(numbers, y)
        total = total + trainer.state["fc1_w"] - reset["fc1_w"]
        trainer.state = {**trainer.state, **weights}  # sources go on, counters start again
    wanted = expected_change(module, numbers[0], int(y[0]))
    deviation = np.abs(total / repeats - wanted)
    sigma = np.sqrt(np.abs(wanted) / repeats) + 1e-4
    assert np.all(deviation < 5 * sigma)
    big = np.abs(wanted) > 0.02
    assert big.sum() > 5 and np.all(np.abs(2 * wanted - total / repeats)[big] > 5 * sigma[big])  # a wrong scale is seen


def test_momentum_counters_follow_the_moving_average_whatever_their_width() -> None:
    """In the mean, all of a gradient reaches the weight, 1 / (1 - beta) = 2**decay_bits updates late."""
    means = []
    for momentum_bits in (4, 8):
        module = made(rule="gdm", decay_bits=3, momentum_bits=momentum_bits)
        trainer = Trainer(module, "kinds")
        x, y = samples(1)
        numbers, state = trainer.numbers(x), trainer.state
        for _ in range(300):
            for _ in range(40):
                trainer.train(numbers, y)
                weights = {n: a for n, a in state.items() if n in ("fc1_w", "fc1_b", "fc2_w", "fc2_b")}
                held = trainer.state
                trainer.state = {**held, **weights}  # the gradient stays what it is
            means.append(held["fc1_w_m"] / 8.0)
    wanted = -expected_change(module, numbers[0], int(y[0]))
    for half in (means[:300], means[300:]):
        average = np.mean(half, axis=0)
        assert np.abs(average - wanted).max() < 0.08
        assert np.corrcoef(average.ravel(), wanted.ravel())[0, 1] > 0.9


def test_counters_saturate() -> None:
    module = made(step_bits=2, weight_range=1)
    trainer = Trainer(module, "kinds")
    x, y = samples(50)
    for _ in range(40):
        trainer.train(trainer.numbers(x), y)
    weights = trainer.state["fc2_w"]
    assert weights.min() >= -4 and weights.max() <= 3
    assert (weights == -4).any() and (weights == 3).any()


def test_inputs_are_rounded_and_saturated() -> None:
    op = made().ops_named("train.input")[0]
    assert input_numbers(op, np.array([[-2.0, -0.5, 0.001, 0.002, 2.0]])).tolist() == [[-256, -128, 0, 1, 256]]


def test_meaning_in_reals_is_the_float_network_within_rounding() -> None:
    module = made()
    x, _ = samples(30)
    trainer = Trainer(module, "kinds")
    scores = trainer.scores(trainer.numbers(x)) / 2.0**8
    assert module.reference is not None
    assert np.abs(scores - evaluate(module.reference, x)).max() < 0.03
