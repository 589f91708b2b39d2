"""Networks of many ops are computed by one compiled function for each kind of loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from training_nets import random_network

from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_kernel import _Writer
from sccc.backends.simulator.training_kinds import Step, run_steps, steps_of
from sccc.ir import Module
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters


def made(*sizes: int) -> Module:
    counters = InsertGradientCounters(rule="gdm", sources="per-lane")
    return run_passes(random_network(sizes, function="tanh"), [counters], PassContext())


def steps(module: Module) -> tuple[list[Step], _Writer]:
    writer = _Writer(module)
    return steps_of(writer.bodies()[0], writer.arrays), writer


def test_layers_that_differ_in_size_share_their_functions() -> None:
    few, many = (
        {step.function for step in steps(made(*sizes))[0]} for sizes in ((40, 30, 20, 18), (40, 30, 28, 26, 24, 20, 18))
    )
    assert few == many
    assert len(few) < len(steps(made(40, 30, 20, 18))[0])


def test_a_wrong_size_is_found() -> None:
    module = made(40, 30, 20, 18)
    random = np.random.default_rng(2)
    x, y = random.uniform(-1, 1, (40, 40)), random.integers(0, 18, 40)
    plain = Trainer(module, "numpy")
    numbers = plain.numbers(x)
    plain.train(numbers, y)

    def is_size(bound: np.ndarray | int) -> bool:
        return isinstance(bound, int) and bound == 30

    def trained(change: bool) -> list[np.ndarray]:
        made_steps, writer = steps(module)
        if change:
            place = max(i for i, step in enumerate(made_steps) if any(is_size(b) for b in step.bound))
            bound = tuple(29 if is_size(b) else b for b in made_steps[place].bound)
            made_steps[place] = replace(made_steps[place], bound=bound)
        run_steps(made_steps, range(len(y)), x=numbers, y=y)
        return [writer.arrays[held] for held in writer.states.values()]

    expected = list(plain.state.values())
    names = list(_Writer(module).states)
    assert names == list(plain.state)

    def equal(found: list[np.ndarray]) -> bool:
        return all(np.array_equal(a.reshape(-1), b.reshape(-1)) for a, b in zip(found, expected, strict=True))

    assert equal(trained(False))
    assert not equal(trained(True))
