"""A convolution's forward pass on streams: tables and bits, patches, netlist and simulator agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from training_checks import assert_fault_is_found, assert_kernel_equals_reference
from training_nets import small_cnn

from sccc.backends.simulator.training import Trainer
from sccc.backends.verilog.training import emit_training
from sccc.data import Data
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module, Value
from sccc.learning import StreamProduct, stream_windows
from sccc.learning_options import TrainingOptions
from sccc.passes import PassContext, run_passes
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.text import parse_module
from sccc.training import train
from sccc.training_check import check_training
from sccc.verify import verify

Both = tuple[Data, Data]


def made(function: str = "tanh", pool: str = "nn.avg_pool", **options: object) -> Module:
    counters = InsertGradientCounters(**{"forward": "streams", "length": 32, **options})  # type: ignore[arg-type]
    return run_passes(small_cnn(function, pool), [counters], PassContext())


def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return random.uniform(-1, 1, (n, 1, 6, 6)), random.integers(0, 4, n)


def grouped(encoding: str = "signed", pads: int = 1) -> Module:
    """A convolution in two groups on streams, of which a dense layer makes scores."""
    module, random = Module("grouped"), np.random.default_rng(5)

    def add(name: str, operands: list[Value], result: str, /, **attributes: object) -> Value:
        value = module.append(name, operands, attributes, result=result).result  # type: ignore[arg-type]
        assert value is not None
        return value

    def streams(numbers: Value, number: int, shape: list[int]) -> Value:
        shaped = add("train.reshape", [numbers], f"{numbers.name}_shaped", shape=shape)
        level = add("train.level", [shaped], f"{numbers.name}_level", encoding=encoding, bits=4)
        source = add("sc.source", [], f"{numbers.name}_random", kind="sobol", index=number, bits=4)
        return add("sc.sng", [level, source], f"{numbers.name}_stream", length=16)

    def weights(shape: tuple[int, ...], name: str) -> Value:
        initial = random.integers(0, 17, shape) * random.choice([1, -1 if encoding == "signed" else 1], shape)
        return add("train.weights", [], name, initial=initial, bits=4, lo=-16 if encoding == "signed" else 0, hi=16)

    lo = -16 if encoding == "signed" else 0
    x = add("train.input", [], "x", shape=[100], name="x", bits=4, lo=lo, hi=16)
    add("train.label", [], "label", classes=3)
    operands = [streams(x, 0, [4, 5, 5]), streams(weights((6, 8), "w"), 1, [6, 2, 2, 2])]
    count = add("sc.conv", operands, "count", groups=2, strides=[2, 2], pads=[pads, pads, 0, 0])
    total = add("train.total", [add("sc.accumulate", [count], "total")], "sums", bits=4)
    flat = add("train.reshape", [total], "flat", shape=[total.type.lanes])
    scores = add("train.dense", [flat, weights((3, total.type.lanes), "v"), weights((3,), "b")], "scores")
    module.append("train.output", [scores], {"name": "y"})
    return module


@pytest.mark.parametrize(
    ("rule", "length", "function", "pool"),
    [("gdm", 32, "relu", "nn.max_pool"), ("gdc", 64, "tanh", "nn.avg_pool")],
)
def test_the_kernels_tables_equal_the_streams_bit_by_bit(rule: str, length: int, function: str, pool: str) -> None:
    module = made(function, pool, rule=rule, length=length)
    forms = ("numba", "kinds") if rule == "gdm" else ("kinds",)  # one kernel for all takes 10 s to compile
    before, expected = assert_kernel_equals_reference(module, *samples(40), forms=forms)
    assert all(not np.array_equal(before[f"{name}_w"], expected[f"{name}_w"]) for name in ("c1", "c2", "fc"))


def test_groups_and_strides_too() -> None:
    module, x = grouped(), np.random.default_rng(3).integers(-16, 17, (30, 100))
    verify(module)
    scores = [Trainer(module, kernels).scores(x) for kernels in ("kinds", "numpy")]
    assert np.array_equal(*scores)
    assert len(np.unique(scores[0])) > 30


def test_a_convolution_is_a_dense_layer_on_patches() -> None:
    """The totals are sums, over the patches that the gradient reads, of what pairs of levels add."""
    module = made()
    x, y = samples(3)
    trainer = Trainer(module, "numpy")
    for accumulate, name in zip(stream_windows(module)[:2], ("c1", "c2"), strict=True):
        table = StreamProduct.behind(accumulate).table()
        for numbers, label in zip(trainer.numbers(x), y, strict=True):
            values = {v.name: array for v, array in trainer._reference.forward(numbers, int(label)).items()}
            near = (values[f"{name}_patches"] + 16) >> 5  # 10 fractional bits rounded to 5
            pairs = table[near[None] + 32, values[f"{name}_w_near"][:, None] + 32]
            assert np.array_equal(values[f"{name}_flat"], pairs.sum(axis=2))


def test_every_pixel_has_one_sng_and_every_weight_reads_its_counter() -> None:
    module = made()
    kinds = {op.operands[0].name: op.operands[0].type.shape for op in module.ops_named("sc.sng")}
    assert kinds["c1_near_level"] == (1, 6, 6) and kinds["c2_near_level"] == (2, 3, 3)
    trainer, (x, y) = Trainer(module, "numpy"), samples(30)
    seen = []
    for numbers, label in zip(trainer.numbers(x), y, strict=True):
        values = {v.name: array for v, array in trainer._reference.step(numbers, int(label)).items()}
        counters, levels = values["c2_w"], values["c2_w_near_level"]
        assert np.array_equal(levels.reshape(counters.shape), np.sign(counters) * ((np.abs(counters) + 16) >> 5))
        seen.append(levels)
    assert any(not np.array_equal(seen[0], levels) for levels in seen)


def test_scores_are_near_the_float_networks() -> None:
    x, _ = samples(20)
    errors = []
    for length in (32, 512):
        trainer = Trainer(made(length=length), "numpy")
        scores = trainer.scores(trainer.numbers(x)) / 2.0**8
        errors.append(np.abs(scores - evaluate(small_cnn("tanh", "nn.avg_pool"), x)).max())
    assert errors[1] < 0.05 and errors[1] < errors[0] / 4


def test_the_module_prints_parses_and_verifies() -> None:
    module = made(rule="gdm")
    verify(module)
    assert str(parse_module(str(module))) == str(module)


def test_a_bias_that_is_no_lane_per_row_is_refused() -> None:
    text = str(made())
    assert "train.add %c2_flat, %c2_b {" in text
    with pytest.raises(SccError, match="or a lane per row"):
        parse_module(text.replace("train.add %c2_flat, %c2_b {", "train.add %c2_flat, %c1_b {"))


def test_padding_of_streams_that_are_not_zero_is_refused() -> None:
    Trainer(grouped("bipolar", pads=0))
    with pytest.raises(SccError, match="padding of streams whose bit 0 is not 0"):
        Trainer(grouped("bipolar"))


def digits_cnn() -> Module:
    """8 x 8 digits: 4 maps of 3 x 3, the means of 2 x 2, 10 classes."""
    module, random = Module("digits"), np.random.default_rng(1)
    value = module.append("nn.input", [], {"shape": [1, 8, 8], "name": "x"}, result="x").result
    for op, result, attributes in (
        ("nn.conv_layer", "c1", {"weight": random.uniform(-0.4, 0.4, (4, 1, 3, 3)), "function": "tanh"}),
        ("nn.avg_pool", "p1", {"kernel": [2, 2], "strides": [2, 2]}),
        ("nn.reshape", "flat", {"shape": [36]}),
        ("nn.layer", "fc", {"weight": random.uniform(-0.3, 0.3, (10, 36)), "function": "identity"}),
    ):
        assert value is not None
        if "weight" in attributes:
            attributes["bias"] = np.zeros(len(attributes["weight"]))  # type: ignore[arg-type]
        value = module.append(op, [value], attributes, result=result).result  # type: ignore[arg-type]
    assert value is not None
    module.append("nn.output", [value], {"name": "y"})
    return module


def test_it_learns_the_digits_as_well_as_fixed_point(digits: Both) -> None:
    data = [Data(part.x.reshape(-1, 1, 8, 8), part.y) for part in digits]
    options = TrainingOptions(epochs=12, step_bits=8, length=64)
    fixed, streams = (
        train(digits_cnn(), *data, replace(options, forward=forward)).accuracy for forward in ("fixed", "streams")
    )
    assert streams > 0.85 and streams > fixed - 0.02


@pytest.mark.parametrize(("function", "pool"), [("relu", "nn.max_pool"), ("tanh", "nn.avg_pool")])
def test_every_counter_and_total_at_every_sample_in_icarus(function: str, pool: str) -> None:
    module, (x, y) = made(function, pool, rule="gdm"), samples(12)
    result = check_training(module, x, y)
    totals = sum(op.result.type.lanes for op in stream_windows(module) if op.result is not None)
    assert result.samples == 12 and result.mismatches == 0
    assert totals == 2 * 36 + 3 * 4 + 4 and result.compared > 12 * (totals + 18 + 24 + 48)


def test_verilator_and_yosys_accept_the_netlist(tmp_path: Path) -> None:
    netlist = emit_training(made())
    path = tmp_path / "net.v"
    path.write_text(netlist.text)
    for command in (
        ["verilator", "--lint-only", "-Wall", "-Wno-fatal", "--top-module", netlist.top, str(path)],
        ["yosys", "-q", "-p", f"read_verilog {path}; hierarchy -check -top {netlist.top}"],
    ):
        done = run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "%Error" not in done.stderr, done.stderr[-2000:]


def test_groups_in_icarus() -> None:
    module, x = grouped(), np.random.default_rng(3).uniform(-1, 1, (8, 100))
    assert check_training(module, x, np.zeros(8, dtype=int)).mismatches == 0
    for right, wrong in (("a = (p*G + g)*N + i;", "a = p*G*N + i;"), ("j < (g + 1)*M", "j < g*M + 1")):
        assert_fault_is_found(module, x, np.zeros(8, dtype=int), right, wrong)


FAULTS = {
    "every position sees the first patch": ("a = (p*G + g)*N + i;", "a = g*N + i;"),
    "every map has the first map's weights": ("b = j*N + i;", "b = i;"),
    "signs of the bits instead of the pixels": (".x(c2_near_level_stream_sign)", ".x(c2_near_level_stream)"),
    "padding that is not zero": ("{{W{1'b0}}, x}", "{{W{1'b1}}, x}"),
    "an SNG that reads no counter": (".total(c2_w_near_shaped)", ".total({24{7'd9}})"),
    "weights compared with the inputs' source": (".random(w_random)", ".random(x_random)"),
    "a second convolution that does not wait": ("t >= 32", "t >= 30"),
    "a window that is too short": ("t <= 63", "t <= 60"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str) -> None:
    module, (x, y) = made(), samples(4)
    assert_fault_is_found(module, x, y, *FAULTS[fault])
