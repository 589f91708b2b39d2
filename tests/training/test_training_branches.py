"""Branches, groups, clips and padded pooling in a network that learns: kernel, reference, meaning, gradients and netlist agree."""

from __future__ import annotations

import numpy as np
import pytest
from training_checks import assert_fault_is_found, assert_kernel_equals_reference
from training_nets import small_residual

from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_float import FloatRule, FloatTrainer
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.passes.trainable import read_trainable
from sccc.text import parse_module
from sccc.training_check import check_training
from sccc.verify import verify

LAYERS = ("c1", "dw", "pw", "short", "gr", "fc")


def made(**options: object) -> Module:
    return run_passes(small_residual(), [InsertGradientCounters(**options)], PassContext())  # type: ignore[arg-type]


def samples(n: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (n, 2, 6, 6)), random.integers(0, 4, n)


@pytest.mark.parametrize(("rule", "sources"), [("gdm", "per-layer"), ("gdc", "per-lane"), ("fixed", "per-layer")])
def test_the_kernel_equals_the_module_op_by_op(rule: str, sources: str) -> None:
    module = made(rule=rule, sources=sources)
    before, expected = assert_kernel_equals_reference(module, *samples(60), forms=("kinds",))
    assert all(not np.array_equal(before[f"{name}_w"], expected[f"{name}_w"]) for name in LAYERS)


def test_the_module_prints_parses_and_verifies() -> None:
    module = made(rule="gdm")
    verify(module)
    assert str(parse_module(str(module))) == str(module)


def test_meaning_in_reals_is_the_float_network_within_rounding() -> None:
    trainer = Trainer(made(), "numpy")
    x, _ = samples(20)
    scores = trainer.scores(trainer.numbers(x)) / 2.0**8
    assert np.abs(scores - evaluate(small_residual(), x)).max() < 0.1


def float_gradients(network: Module, x: np.ndarray, label: int) -> dict[str, np.ndarray]:
    """Weights' gradients of the float yardstick: what one step at rate 1 takes off."""
    learner = FloatTrainer(read_trainable(network).steps, FloatRule(1.0))
    before = learner.layers()
    learner.train(learner.numbers(x), np.array([label]))
    return {name: before[name][0] - weight for name, (weight, _) in learner.layers().items()}


def test_the_yardstick_descends_the_slope_of_the_loss() -> None:
    """Against central differences of the float network's loss, for the three largest gradients of each layer."""
    network = small_residual()
    x, y = samples(1)
    gradients = float_gradients(network, x, int(y[0]))

    def loss() -> float:
        scores = evaluate(network, x)[0]
        return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[y[0]])

    assert set(gradients) == set(LAYERS)
    for name, gradient in gradients.items():
        op = network.value(name).op
        assert op is not None
        flat = np.asarray(op.attributes["weight"]).reshape(-1)
        for k in np.argsort(-np.abs(gradient.reshape(-1)))[:3]:
            slopes, held = [], flat[k]
            for shift in (1e-4, -1e-4):
                flat[k] = held + shift
                slopes.append(loss())
            flat[k] = held
            assert abs((slopes[0] - slopes[1]) / 2e-4 - gradient.reshape(-1)[k]) < 1e-3


def test_the_fixed_point_gradient_is_the_float_one_within_rounding() -> None:
    network = small_residual()
    module = made(gradient_range=16)
    x, y = samples(1, seed=4)
    trainer = Trainer(module, "numpy")
    values = {v.name: array for v, array in trainer._reference.forward(trainer.numbers(x)[0], int(y[0])).items()}
    wanted = float_gradients(network, x, int(y[0]))
    for name in LAYERS[:-1]:
        found = values[f"{name}_gw"] / 2.0**16
        assert np.abs(found - wanted[name]).max() < 0.03
        assert np.abs(wanted[name]).max() > 0.1  # so that a wrong scale or position would be seen


def test_padding_is_never_the_largest_of_a_window_and_no_error_goes_there() -> None:
    module, network = made(), small_residual()
    conv = network.ops_named("nn.conv_layer")[0]
    conv.attributes["bias"] = np.full(4, -9.0)  # all maps are 0 behind ReLU: every tap is as large as the next
    conv.attributes["function"] = "identity"  # and all are negative
    module = run_passes(network, [InsertGradientCounters()], PassContext())
    trainer, (x, y) = Trainer(module, "numpy"), samples(1)
    values = {v.name: array for v, array in trainer._reference.forward(trainer.numbers(x)[0], int(y[0])).items()}
    assert values["p1_largest"].max() < 0
    padded = values["p1_windows"].min(axis=1) == module.value("c1_out").type.lo - 1  # type: ignore[attr-defined]
    assert padded.sum() == 4 * 5 and not np.any(values["p1_index"][:1] == 0)
    assert np.array_equal(values["p1_image"].sum(), values["p1_delta"].sum()) and values["p1_delta"].any()


FAULTS = {
    "a branch that is left out": ("((a_v * a_unit_v) + (b_v * b_unit_v))", "((a_v * a_unit_v) + (a_v - a_v))"),
    "groups that all read the first group's patches": ("$signed(x[((g*P + p)*N + n)*X_W", "$signed(x[(p*N + n)*X_W"),
    "groups that all have the first group's weights": ("$signed(w[(m*N + n)*W_W", "$signed(w[((m - g*M)*N + n)*W_W"),
    "a clip whose error passes": ("(below_v > x_v)", "(below_v >= x_v)"),
    "padding of pooling that is 0": (".x({12'hfff, c1_out})", ".x({12'h000, c1_out})"),
}  # fmt: skip


def test_the_netlist_learns_what_the_simulator_learns() -> None:
    module, (x, y) = made(rule="gdm"), samples(16)
    result = check_training(module, x, y)
    assert result.mismatches == 0 and result.compared > len(x) * 1000


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    module, (x, y) = made(rule="gdm"), samples(6)
    assert_fault_is_found(module, x, y, *FAULTS[fault])
