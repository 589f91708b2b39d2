"""The published accuracy of a stochastic-computing MLP under flipped bits, and ours beside it.

    python curve.py                     # 1,000 test images, about ten minutes on two cores
    python curve.py --limit 2000 --data /path/to/mnist.npz --plot curve.svg

Published (MNIST; bipolar multipliers, FSM tanh): float 97.77 %, streams 97.71, 97.33, 96.92 and 94.84 % with 0, 1, 5 and 10 % of
the bits flipped. Neither the stream length nor which bits flip is given, and the network is another one: so what is compared is how
many points below its own float accuracy each configuration is.

Every operand bit of every dot product flips with the given probability, those of the weights too; of fixed point, every bit of
every number that a dot product reads. `compensated` is compiled for the rate (compensate-flips, calibrated on streams that flip).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from sccc.accuracy import predictions
from sccc.config import make_config
from sccc.data import Data, load_calibration, load_data
from sccc.evaluate import evaluate
from sccc.flip_compensation import compile_for_flips
from sccc.ir import Module
from sccc.report import console, table
from sccc.sweep import wilson

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "mnist_mlp"

RATES = (0.0, 0.01, 0.05, 0.1)
PUBLISHED_FLOAT, PUBLISHED = 97.77, (97.71, 97.33, 96.92, 94.84)

BIPOLAR = {"style": "streaming", "encoding": "bipolar"}
CONFIGURATIONS: dict[str, tuple[dict[str, object], bool]] = {
    "streaming, bipolar, N = 128": ({"length": 128, **BIPOLAR}, False),
    "streaming, bipolar, N = 128, compensated": ({"length": 128, **BIPOLAR}, True),
    "streaming, bipolar, N = 256": ({"length": 256, **BIPOLAR}, False),
    "streaming, bipolar, N = 256, compensated": ({"length": 256, **BIPOLAR}, True),
    "streaming, bipolar, N = 1024": ({"length": 1024, **BIPOLAR}, False),
    "accumulate, bipolar, N = 128": ({"length": 128, "encoding": "bipolar"}, False),
    "accumulate, bipolar, N = 256": ({"length": 256, "encoding": "bipolar"}, False),
    "accumulate, signed, N = 32": ({"length": 32}, False),
    "streaming, signed weights, N = 64": ({"length": 64, "style": "streaming"}, False),
    "fixed point, 8 bits": ({"style": "fixed", "bits": 8}, False),
}
"""Name -> options, and whether it is compiled for the rate."""


@dataclass(frozen=True)
class Found:
    """How many samples a configuration gets right at each rate."""

    name: str
    right: list[int]
    samples: int

    @property
    def accuracy(self) -> list[float]:
        """In %."""
        return [100 * r / self.samples for r in self.right]

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Of 95 % intervals, in %."""
        return [(100 * low, 100 * high) for low, high in (wilson(r, self.samples) for r in self.right)]


def curve(
    source: Module, data: Data, calibration: np.ndarray, options: dict[str, object], compensated: bool
) -> list[int]:
    """How many samples are right at each rate."""
    plain = sccc.compile(source, calibration=calibration, **options)
    right = []
    for rate in RATES:
        module = plain
        if compensated and rate:
            module = compile_for_flips(source, make_config(options), flip_rate=rate, calibration=calibration)
        output = sccc.simulate(module, data.x, flip_rate=rate).output
        right.append(int((predictions(output) == data.y).sum()))
    return right


def losses(accuracy: Sequence[float], exact: float) -> np.ndarray:
    """Points below the float model at each rate."""
    return exact - np.asarray(accuracy)


PUBLISHED_LOSSES = losses(PUBLISHED, PUBLISHED_FLOAT)


def distance(found: Found, exact: float) -> float:
    """Root mean square of the differences to the published losses, in points."""
    return float(np.sqrt(np.mean((losses(found.accuracy, exact) - PUBLISHED_LOSSES) ** 2)))


def tables(found: list[Found], exact: float, samples: int) -> list[Any]:
    """Every configuration; then the published curve beside the nearest and the best one."""
    rows = [["published", *(f"{a:.2f}" for a in PUBLISHED), "-"]]
    for each in found:
        cells = [f"{a:.2f} ± {(high - low) / 2:.1f}" for a, (low, high) in zip(each.accuracy, each.bounds, strict=True)]
        rows.append([each.name, *cells, f"{distance(each, exact):.2f}"])
    title = f"accuracy in %, {samples:,} images, 95 % intervals; float {exact:.2f}, published {PUBLISHED_FLOAT}"
    everything = table(title, ["flipped", *(f"{100 * r:g} %" for r in RATES), "RMS difference of losses"], rows)
    nearest = min(found, key=lambda each: distance(each, exact))
    best = max(found, key=lambda each: sum(each.accuracy))
    rows = []
    for i, rate in enumerate(RATES):
        pairs = [(PUBLISHED[i], PUBLISHED_FLOAT), (nearest.accuracy[i], exact), (best.accuracy[i], exact)]
        rows.append([f"{100 * rate:g} %", *(f"{a:.2f} ({a - reference:+.2f})" for a, reference in pairs)])
    headings = ["flipped", "published", f"nearest: {nearest.name}", f"best: {best.name}"]
    return [everything, table("accuracy in %, and points against the float model", headings, rows)]


def plot(found: list[Found], exact: float, path: str) -> None:
    """Points lost against flipped bits, published and ours."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "sccc"}):
        figure = Figure(figsize=(9.0, 4.6), layout="constrained")
        axes = figure.subplots()
        at = 100 * np.array(RATES)
        for number, each in enumerate(found):
            bars = np.abs(np.array(each.bounds).T - each.accuracy)
            line = axes.errorbar(at + 0.06 * (number - len(found) / 2), losses(each.accuracy, exact), bars[::-1])
            line.set_label(each.name)
            for part in (*line.lines[1], *line.lines[2]):
                part.set_linewidth(0.8)
        axes.plot(at, PUBLISHED_LOSSES, "k*--", markersize=10, label="published (float 97.77 %)", zorder=10)
        axes.set_yscale("symlog", linthresh=2.0)
        axes.set_yticks([0, 1, 2, 5, 10, 20, 50, 90], ["0", "1", "2", "5", "10", "20", "50", "90"])
        axes.set_ylim(bottom=-1.0)
        axes.invert_yaxis()
        axes.set_xticks(at)
        axes.set_xlabel("flipped bits, %")
        axes.set_ylabel("points below the float model")
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize="small", frameon=False)
        figure.savefig(path, dpi=120, metadata={"Date": None} if path.endswith("svg") else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EXAMPLE / "mnist_sample.npz"), help="x_test and y_test")
    parser.add_argument("--limit", type=int, default=1000, help="test images")
    parser.add_argument("--only", default="", help="only configurations whose name holds this")
    parser.add_argument("--plot", default="", help="write a plot there (.png or .svg)")
    args = parser.parse_args()
    source = sccc.load(EXAMPLE / "mnist_mlp_tanh.onnx")
    calibration = load_calibration(EXAMPLE / "mnist_sample.npz", source)
    data = load_data(args.data, source, limit=args.limit, need_y=True)
    exact = 100 * float((predictions(evaluate(source, data.x)) == data.y).mean())
    found = []
    for name, (options, compensated) in CONFIGURATIONS.items():
        if args.only in name:
            started = time.perf_counter()
            right = curve(source, data, calibration, options, compensated)
            found.append(Found(name, right, len(data.x)))
            print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    for each in tables(found, exact, len(data.x)):
        console().print(each)
    if args.plot:
        plot(found, exact, args.plot)


if __name__ == "__main__":
    main()
