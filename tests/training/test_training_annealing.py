"""A step that halves while the network learns: exactly by half, in kernel, reference and netlist, and it learns more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_nets import random_network, small_cnn

from sccc.backends.simulator.training import Trainer
from sccc.backends.verilog.training import emit_training
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.ir import Module
from sccc.learning_options import TrainingOptions
from sccc.ops import REGISTRY
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.text import parse_module
from sccc.training import train
from sccc.training_check import check_training
from sccc.verify import verify

RULES = ("gdc", "gdm", "fixed")
Both = tuple[Data, Data]


def made(network: Module | None = None, **options: object) -> Module:
    counters = InsertGradientCounters(**options)  # type: ignore[arg-type]
    return run_passes(network or random_network((9, 6, 4)), [counters], PassContext())


def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.uniform(-1, 1, (n, 9)), random.integers(0, 4, n)


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.uniform(-1, 1, (n, 1, 6, 6)), random.integers(0, 4, n)


def learned(module: Module, kernels: str, x: np.ndarray, y: np.ndarray, halvings: list[int]) -> Trainer:
    """A trainer that has learned from the samples, a piece of them with each number of halvings."""
    trainer = Trainer(module, kernels)
    numbers = trainer.numbers(x)
    for number, piece in zip(halvings, np.array_split(np.arange(len(x)), len(halvings)), strict=True):
        trainer.halvings = number
        trainer.train(numbers, y, piece)
    return trainer


@pytest.mark.parametrize("rule", RULES)
def test_the_kernel_halves_where_the_reference_does(rule: str) -> None:
    module = made(rule=rule, halvings=2, step_bits=4)
    plain = learned(module, "numpy", *samples(90), [0, 2, 1]).state
    forms = ("numba", "kinds") if rule == "gdc" else ("kinds",)  # one kernel for all takes 7 s to compile
    for kernels in forms:
        fast = learned(module, kernels, *samples(90), [0, 2, 1]).state
        assert all(np.array_equal(fast[name], plain[name]) for name in plain)
    constant = learned(module, "kinds", *samples(90), [0, 0, 0]).state
    assert not np.array_equal(constant["fc1_w"], plain["fc1_w"])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("network", "weights"), [(None, "fc1_w"), (small_cnn, "c1_w")])
def test_every_halving_halves_what_a_sample_changes(
    rule: str, network: Callable[[], Module] | None, weights: str
) -> None:
    """Those of the rival do within what it rounds."""
    module = made(network and network(), rule=rule, halvings=2)
    x, y = images(40) if network else samples(40)
    trainer = Trainer(module, "kinds")
    numbers, rounding, moved = trainer.numbers(x), 2 if rule == "fixed" else 0, 0
    for sample in range(40):
        before, changes = trainer.state, []
        for number in (2, 1, 0):
            trainer.state, trainer.halvings = before, number
            trainer.train(numbers, y, np.array([sample]))
            changes.append(trainer.state[weights] - before[weights])
        assert np.abs(changes[1] - 2 * changes[0]).max() <= rounding
        assert np.abs(changes[2] - 2 * changes[1]).max() <= rounding
        moved += int(np.abs(changes[0]).sum())
    assert moved > 20


@pytest.mark.parametrize("rule", ["gdc", "gdm"])
def test_before_the_first_halving_it_learns_as_with_a_constant_step(rule: str) -> None:
    network = random_network((9, 6, 4))
    for op in network.ops_named("nn.layer"):  # as fine as the constant step, so that both begin with the same weights
        op.attributes |= {name: np.round(op.attributes[name] * 2**10) / 2**10 for name in ("weight", "bias")}
    fine, plain = (
        learned(made(network.clone(), rule=rule, halvings=h), "kinds", *samples(60), [0]).state for h in (3, 0)
    )
    assert np.array_equal(fine["fc1_w"], plain["fc1_w"] << 3)
    assert not np.array_equal(plain["fc1_w"], Trainer(made(network), "numpy").state["fc1_w"])


@pytest.mark.parametrize("name", ["count", "count_by", "descend", "descend_by"])
def test_meaning_in_reals_halves_with_the_step(name: str) -> None:
    network = small_cnn() if name.endswith("_by") else None
    module = made(network, rule="fixed" if name.startswith("descend") else "gdc", halvings=2)
    op = module.ops_named(f"train.{name}_annealed")[0]
    random = np.random.default_rng(1)
    w, *others = (random.uniform(-0.01, 0.01, (1, *operand.type.shape)) for operand in op.operands[:-1])
    value = REGISTRY[op.name].value
    assert value is not None
    first, third = (value(op, w, *others, np.array([float(h)])) - w for h in (0, 2))
    gradient = others[0] if len(others) == 1 else np.einsum("bm,bn->bmn", *others) if w.ndim == 3 else np.prod(others)
    assert np.allclose(first, -(2.0**-10) * gradient) and np.allclose(third, first / 4)


@pytest.mark.parametrize("rule", RULES)
def test_icarus_halves_where_the_simulator_does(rule: str) -> None:
    x, y = samples(40)
    module = made(rule=rule, halvings=2, step_bits=4)
    assert check_training(module, x, y, halvings=np.arange(40) // 14).mismatches == 0


def test_icarus_halves_behind_windows_of_streams_too() -> None:
    module, halvings = made(rule="gdc", halvings=2, forward="streams", length=16), np.arange(12) // 4
    assert check_training(module, *samples(12), halvings=halvings).mismatches == 0


def test_icarus_halves_the_steps_of_convolutions_too() -> None:
    module, halvings = made(small_cnn(), rule="gdm", halvings=1), np.arange(12) // 6
    assert check_training(module, *images(12), halvings=halvings).mismatches == 0


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("gdc", "(move_v >>> halvings_v)", "(move_v)"),
        ("gdm", "(move_v >>> halvings_v)", "(move_v >>> (halvings_v + 1))"),
        ("fixed", "(shift_v + halvings_v)", "shift_v"),
    ],
)
def test_a_step_that_does_not_halve_is_found(rule: str, right: str, wrong: str) -> None:
    module = made(rule=rule, halvings=2, step_bits=4)
    netlist = emit_training(module)
    assert right in netlist.text
    broken = replace(netlist, text=netlist.text.replace(right, wrong))
    assert check_training(module, *samples(40), broken, halvings=np.arange(40) // 14).mismatches > 0


def test_the_module_with_halvings_prints_and_parses() -> None:
    text = str(made(rule="gdm", halvings=3))
    assert "train.halvings {most = 3" in text and "train.count_by_annealed" in text
    assert str(parse_module(text, "net.sc")) == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train.halvings {most = 3", "train.halvings {most = 13", r"13 is outside 1 \.\. 12"),
        ("%fc1_qx, %halvings {", "%fc1_qx, %fc1_qdelta {", "no number of halvings"),
        ("lo = -8192, move = 8}", "lo = -8192, move = 4}", r"must be 2\*\*3"),
    ],
)
def test_misuse_of_halvings_is_refused(old: str, new: str, message: str) -> None:
    text = str(made(halvings=3))
    assert old in text
    with pytest.raises(SccError, match=message):
        verify(parse_module(text.replace(old, new, 1), "net.sc"))


def test_more_halvings_than_the_counters_have_bits_for_are_refused() -> None:
    trainer = Trainer(made(halvings=2), "numpy")
    with pytest.raises(SccError, match=r"3 halvings are outside 0 \.\. 2"):
        trainer.halvings = 3


def test_the_step_halves_after_the_epoch_that_was_named_and_each_that_follows() -> None:
    options = TrainingOptions(halvings=2, halve_after=3)
    assert [options.halved(epoch) for epoch in range(7)] == [0, 0, 0, 1, 2, 2, 2]
    assert {TrainingOptions().halved(epoch) for epoch in range(30)} == {0}


@pytest.mark.parametrize("given", [{"halvings": 2}, {"halve_after": 2}])
def test_how_often_and_when_belong_together(given: dict[str, int]) -> None:
    with pytest.raises(SccError, match="wants both"):
        TrainingOptions(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", ["gdc", "gdm", "float-momentum"])
def test_a_run_that_stopped_before_the_step_halved_ends_as_if_it_had_not(
    rule: str, digits_network: Module, digits: Both, tmp_path: Path
) -> None:
    options, kept = TrainingOptions(rule=rule, epochs=4, halvings=2, halve_after=2), tmp_path / "kept.npz"
    whole = train(digits_network, *digits, options)
    train(digits_network, *digits, replace(options, epochs=2), checkpoint=kept)
    resumed = train(digits_network, *digits, options, checkpoint=kept)
    assert resumed.epochs == whole.epochs
    assert all(np.array_equal(resumed.layers[name][0], weight) for name, (weight, _) in whole.layers.items())
    constant = train(digits_network, *digits, replace(options, halvings=0, halve_after=0))
    assert constant.epochs[1:] != whole.epochs[1:] and not np.array_equal(
        constant.layers["fc1"][0], whole.layers["fc1"][0]
    )


def test_a_coarse_step_that_halves_learns_more_than_one_that_does_not(digits_network: Module, digits: Both) -> None:
    """The noise of single steps is proportional to the step: at 2**-4 it costs several points."""
    options = TrainingOptions(rule="gdm", epochs=12, step_bits=4)
    constant = train(digits_network, *digits, options)
    halved = train(digits_network, *digits, replace(options, halvings=4, halve_after=7))
    assert halved.accuracy > constant.accuracy + 0.04
