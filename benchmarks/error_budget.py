"""What an error budget does: accuracy, cycles and estimated energy of networks whose streams are as short as budgets allow.

With --predictions instead: predicted against measured RMS error of each layer of LeNet, for several choices of random sources. The
prediction sees calibration samples; what is measured is every layer's total on test images, for the levels that it is given.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from sccc.accuracy import predictions
from sccc.backends.simulator import simulate
from sccc.bill_tables import estimated
from sccc.correlation import generator_of
from sccc.data import Data, load_calibration, load_data
from sccc.diagnostics import SccError
from sccc.error_model import layer_error
from sccc.ir import Module, Operation
from sccc.judged_layer import ideal_levels, ideal_totals, signal_deviation
from sccc.ops import REGISTRY
from sccc.passes import DEFAULT_PIPELINE
from sccc.report import console, table
from sccc.schedule import schedule
from sccc.types import Level

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

NETWORKS = {
    "tanh": ("mnist_mlp/mnist_mlp_tanh.onnx", "mnist_mlp/mnist_sample.npz"),
    "relu": ("mnist_mlp/mnist_mlp_relu.onnx", "mnist_mlp/mnist_sample.npz"),
    "lenet": ("lenet/lenet.onnx", "lenet/lenet_sample.npz"),
}

CHOICES: tuple[dict[str, Any], ...] = (
    {"length": 32},
    {"length": 16},
    {"length": 32, "source": "lfsr"},
    {"length": 64, "sharing": "none"},
    {"length": 64, "sharing": "none", "source": "lfsr"},
    {"length": 32, "pooling": "streams"},
    {"length": 32, "pooling": "streams", "sharing": "none"},
)


def measured(path: Path, calibration: np.ndarray, data: Data, options: dict[str, Any]) -> list[Any]:
    """Lengths by layer, accuracy, cycles, interval, gates, energy and seconds of processor time to compile."""
    began = time.process_time()
    module = sccc.compile(path, calibration=calibration, **options)
    seconds = time.process_time() - began
    right = 0
    assert data.y is not None
    for begin in range(0, len(data.x), 1000):
        part = slice(begin, begin + 1000)
        right += int((predictions(simulate(module, data.x[part]).output) == data.y[part]).sum())
    bill, times = estimated(module), schedule(module)
    lengths = [timing.length for timing in times.layers.values() if timing.length]
    cycles = f"{times.latency:,}", str(times.interval), f"{bill['gates']:,}", f"{bill['energy_pj'] / 1000:.1f}"
    return [" ".join(map(str, lengths)), f"{100 * right / len(data.x):.2f}", *cycles, f"{seconds:.1f}"]


def errors(module: Module, x: np.ndarray) -> Iterator[tuple[Operation, np.ndarray]]:
    """Each product sum with its measured total minus that of exact streams, for the levels that it is given."""
    uses, dots = module.uses(), list(ideal_levels(module, x[:1]))
    makers = [generator_of(dot.operands[0]) for dot in dots]
    levels = [maker.operands[0] for maker in makers if maker is not None]
    totals = [uses[dot.result][0] for dot in dots if dot.result is not None]
    names = [v.name for v in levels] + [op.result.name for op in totals if op.result is not None]
    trace = simulate(module, x, trace=names).trace
    for dot, maker, level, total in zip(dots, makers, levels, totals, strict=True):
        assert isinstance(level.type, Level) and total.result is not None
        numbers, chain, stream = level.type.encoding.decode(trace[level.name], level.type.bits), [], dot.operands[0]
        while stream.op is not None and stream.op is not maker:
            chain.append(stream.op)
            stream = stream.op.operands[0]
        for op in reversed(chain):  # pooling, reshaping
            value = REGISTRY[op.name].value
            assert value is not None
            numbers = value(op, numbers)
        ideal = ideal_totals(dot, level.type.encoding.encode(numbers, level.type.bits))
        yield dot, trace[total.result.name] - np.asarray(total.attributes["initial"]) - ideal


def compare(samples: int) -> None:
    """Predicted against measured errors of LeNet's layers."""
    path, sample = (EXAMPLES / name for name in NETWORKS["lenet"])
    model = sccc.load(path)
    calibration, fresh = load_calibration(sample, model), load_data(sample, model, limit=samples).x
    rows, worst = [], 0.0
    for options in CHOICES:
        passes = DEFAULT_PIPELINE.replace(",correct-bias", "")
        module = sccc.compile(path, calibration=calibration, passes=passes, **options)
        levels = ideal_levels(module, calibration[:100])
        cells = []
        for dot, error in errors(module, fresh):
            found, real = layer_error(dot, levels[dot]).rms, float(np.sqrt(np.square(error).mean()))
            worst = max(worst, abs(found / real - 1.0))
            unit = signal_deviation(dot, levels[dot])
            cells.append(f"{found / unit:.3f} {real / unit:.3f}")
        rows.append([" ".join(f"{k}={v}" for k, v in options.items()), *cells])
    headings = ["choice", "conv1", "conv2", "fc1", "fc2", "fc3"]
    console().print(table("RMS errors, predicted and measured, in deviations of the layer's output", headings, rows))
    print(f"off by at most {100 * worst:.1f} %")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="", help="test images; default: the example's sample")
    parser.add_argument("--networks", default="tanh,relu,lenet")
    parser.add_argument("--lengths", default="64,32,16,8", help="of all layers alike, without a budget")
    parser.add_argument(
        "--budgets", default="0.05,0.1,0.2", help="with streams shortened from the first of the lengths"
    )
    parser.add_argument("--samples", type=int, default=0, help="images; 0: all (of --predictions: 200)")
    parser.add_argument("--predictions", action="store_true")
    args = parser.parse_args(argv)
    if args.predictions:
        compare(args.samples or 200)
        return
    lengths = [int(length) for length in args.lengths.split(",")]
    rows = []
    for network in args.networks.split(","):
        path, sample = (EXAMPLES / name for name in NETWORKS[network])
        model = sccc.load(path)
        data = load_data(args.data or sample, model, limit=args.samples, need_y=True)
        choices: list[tuple[str, dict[str, Any]]] = [("-", {"length": length}) for length in lengths]
        for budget in filter(None, args.budgets.split(",")):
            choices.append((budget, {"length": lengths[0], "shorten": "yes", "error_budget": float(budget)}))
        for title, options in choices:
            try:
                figures = measured(path, load_calibration(sample, model), data, options)
            except SccError as error:  # no sources are found within a tight budget
                figures = [error.diagnostics[0].message, *[""] * 6]
            rows.append([network, title, *figures])
            print(*rows[-1], sep="  ", flush=True)
    headings = [
        "network",
        "budget",
        "lengths",
        "accuracy %",
        "cycles",
        "interval",
        "gates",
        "energy nJ",
        "compiled in s",
    ]
    console().print(table("networks within error budgets", headings, rows))


if __name__ == "__main__":
    main()
