"""A forward pass on streams: SNGs that read the counters, tables and bits, netlist and simulator agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_checks import assert_fault_is_found, assert_kernel_equals_reference
from training_nets import random_network

from sccc.api import load
from sccc.backends.simulator.training import Trainer
from sccc.backends.verilog.training import emit_training
from sccc.cells import Comb
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.learning import StreamProduct, stream_windows
from sccc.learning_options import TrainingOptions
from sccc.ops import REGISTRY
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.training import train
from sccc.training_check import check_training
from sccc.verify import verify

Learning = Callable[..., Module]
Both = tuple[Data, Data]
NETWORK = random_network((9, 6, 4))


def made(**options: object) -> Module:
    counters = InsertGradientCounters(**{"forward": "streams", "length": 64, **options})  # type: ignore[arg-type]
    return run_passes(NETWORK.clone(), [counters], PassContext())


def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.uniform(-1, 1, (n, 9)), random.integers(0, 4, n)


@pytest.mark.parametrize(("rule", "length"), [("gdc", 64), ("gdm", 256)])
def test_the_kernels_tables_equal_the_streams_bit_by_bit(rule: str, length: int) -> None:
    module = made(rule=rule, length=length)
    before, expected = assert_kernel_equals_reference(
        module, *samples(60), forms=("numba", "kinds") if rule == "gdc" else ("kinds",)
    )
    assert not np.array_equal(before["fc1_w"], expected["fc1_w"])


def test_the_weights_sngs_read_the_counters() -> None:
    """The level that an SNG compares is the counter's magnitude, rounded to its upper bits, sample by sample."""
    trainer = Trainer(made(), "numpy")
    x, y = samples(40)
    seen = []
    for numbers, label in zip(trainer.numbers(x), y, strict=True):
        values = {value.name: array for value, array in trainer._reference.step(numbers, int(label)).items()}
        counters = values["fc1_w"]
        assert np.array_equal(values["fc1_w_near_level"], np.sign(counters) * ((np.abs(counters) + 8) >> 4))
        seen.append(values["fc1_w_near_level"])
    assert any(not np.array_equal(seen[0], levels) for levels in seen)


def test_levels_are_on_average_as_large_as_the_counters() -> None:
    """Upper bits alone would be half a level too small, and with them all sums."""
    module, counters = made(length=32), np.arange(-512, 513)
    (op,) = (op for op in module.ops_named("train.nearest") if op.operands[0].name == "fc1_w")
    definition, shift = REGISTRY[op.name], op.attributes["shift"]
    assert shift == 5 and isinstance(definition.cell, Comb) and definition.value is not None
    levels = np.asarray(definition.cell.result.evaluate({"x": counters, "shift": shift}))
    assert np.array_equal(levels, -levels[::-1])
    assert np.abs(levels * 32 - counters).max() == 16
    assert abs(np.abs(levels).sum() * 32 / np.abs(counters).sum() - 1) < 0.01
    assert np.array_equal(definition.value(op, counters / 2.0**10) * 2.0**5, levels)


def test_the_products_are_those_of_inference() -> None:
    """Sobol dimensions 0 and 1, signed streams, sc.dot; the totals of random levels, product by product."""
    module = made()
    verify(module)
    (first, _) = stream_windows(module)
    product = StreamProduct.behind(first)
    indices = [int(source.op.attributes["index"]) for source in product.sources if source.op is not None]
    assert indices == [0, 1] and product.length == 64
    table = product.table()
    assert table.shape == (129, 129)
    levels = np.arange(-64, 65)
    assert np.abs(table - np.outer(levels, levels) / 64).max() <= 3  # a low-discrepancy pair


def test_scores_are_near_the_float_networks() -> None:
    x, _ = samples(30)
    errors = []
    for length in (32, 256):
        trainer = Trainer(made(length=length), "numpy")
        scores = trainer.scores(trainer.numbers(x)) / 2.0**8
        errors.append(np.abs(scores - evaluate(NETWORK, x)).max())
    assert errors[1] < 0.04 and errors[1] < errors[0]


def test_it_prints_parses_and_emits(tmp_path: Path) -> None:
    module, path = made(), tmp_path / "net.sc"
    path.write_text(str(module))
    assert str(load(path)) == str(module)
    text = emit_training(module).text
    assert "sccc_sng #(" in text and ".total(fc1_w_near)" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 512}, "resolves more levels than %x has"),
        ({"length": 64, "step_bits": 5}, "resolves more levels than %fc1_w has"),
        ({"length": 48}, "option length: 48 is no power of two"),
        ({"forward": "stream"}, "option forward: unknown value 'stream'"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SccError, match=message):
        made(**options)


def test_it_learns_the_digits_as_well_as_fixed_point(digits_network: Module, digits: Both) -> None:
    options = TrainingOptions(epochs=20)
    fixed, streams = (
        train(digits_network, *digits, replace(options, forward=forward, length=64)).accuracy
        for forward in ("fixed", "streams")
    )
    assert streams > 0.9 and streams > fixed - 0.02


def test_every_counter_at_every_step_in_icarus(learning: Learning, digits: Both) -> None:
    x, y = digits[0].x[:24], digits[0].y[:24]  # type: ignore[index]
    result = check_training(learning(forward="streams", length=32), x, y)
    assert result.samples == 24 and result.mismatches == 0
    assert result.compared > 24 * (64 * 16 + 16 * 10)


FAULTS = {
    "an SNG that is off by one": ("+: BITS+1] > {1'b0, random}", "+: BITS+1] >= {1'b0, random}"),
    "a product that ignores the weight's sign": ("(xs[a] ^ ws[b])", "(xs[a] ^ xs[a])"),
    "weights compared with the inputs' source": (".random(w_random)", ".random(x_random)"),
    "an SNG that reads no counter": (".total(fc1_w_near)", ".total({54{8'd9}})"),
    "a window that is too short": ("t <= 63", "t <= 40"),
    "a second layer that does not wait": ("t >= 64", "t >= 60"),
    "counters that learn too early": (".go(done)", ".go(start)"),
    "a level that keeps the wrong bits": (".SHIFT(4)", ".SHIFT(3)"),
    "a negative level that is not rounded": ("(((C0 - x_v) * C2) >>> shift_v) + C1)", "(((C0 - x_v) * C2) >>> shift_v))"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    module, (x, y) = made(), samples(8)
    assert check_training(module, x, y).mismatches == 0
    assert_fault_is_found(module, x, y, *FAULTS[fault])
