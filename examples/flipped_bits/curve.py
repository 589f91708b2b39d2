"""The published accuracy of a stochastic-computing MLP under flipped bits, and ours beside it.

    python curve.py                     # 500 test images, about five minutes on two cores
    python curve.py --limit 10000 --data /path/to/mnist.npz

Published (MNIST; bipolar multipliers, FSM tanh): float 97.77 %, streams 97.71, 97.33, 96.92 and 94.84 % with 0, 1, 5 and 10 % of
the bits flipped. Neither the stream length nor which bits flip is given, and the network is another one: so what is compared is how
many points below its own float accuracy each configuration is.

Every operand bit of every dot product flips with the given probability, those of the weights too; of fixed point, every bit of
every number that a dot product reads. `compensated` is compiled for the rate (compensate-flips, calibrated on streams that flip).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

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
    "streaming, bipolar, N = 1024": ({"length": 1024, **BIPOLAR}, False),
    "accumulate, signed, N = 32": ({"length": 32}, False),
    "streaming, signed weights, N = 64": ({"length": 64, "style": "streaming"}, False),
    "fixed point, 8 bits": ({"style": "fixed", "bits": 8}, False),
}
"""Name -> options, and whether it is compiled for the rate."""


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


def distance(losses: np.ndarray) -> float:
    """Root mean square of the differences to the published losses, in points."""
    return float(np.sqrt(np.mean((losses - (PUBLISHED_FLOAT - np.array(PUBLISHED))) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(EXAMPLE / "mnist_sample.npz"))
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--only", default="", help="only configurations whose name holds this")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    source = sccc.load(EXAMPLE / "mnist_mlp_tanh.onnx")
    calibration = load_calibration(EXAMPLE / "mnist_sample.npz", source)
    data = load_data(args.data, source, limit=args.limit, need_y=True)
    samples = len(data.x)
    exact = 100 * float((predictions(evaluate(source, data.x)) == data.y).mean())
    rows = [["published", *PUBLISHED, "-"]]
    found = {}
    for name, (options, compensated) in CONFIGURATIONS.items():
        if args.only not in name:
            continue
        started = time.perf_counter()
        right = curve(source, data, calibration, options, compensated)
        accuracy = 100 * np.array(right) / samples
        found[name] = {"accuracy": accuracy.tolist(), "distance": distance(exact - accuracy)}
        half = [50 * (wilson(r, samples)[1] - wilson(r, samples)[0]) for r in right]
        cells = [f"{a:.2f} ({h:.1f})" for a, h in zip(accuracy, half, strict=True)]
        rows.append([name, *cells, f"{found[name]['distance']:.2f}"])
        print(*rows[-1], f"{time.perf_counter() - started:.0f} s", sep="  ", flush=True)
    headings = ["configuration", *(f"{100 * r:g} %" for r in RATES), "RMS difference of losses"]
    console().print(
        table(
            f"accuracy in %, {samples} images (half a 95 % interval); float {exact:.2f}, published {PUBLISHED_FLOAT}",
            headings,
            rows,
        )
    )
    nearest = min(found, key=lambda name: found[name]["distance"])
    best = max(found, key=lambda name: sum(found[name]["accuracy"]))
    side = []
    for i, (rate, published) in enumerate(zip(RATES, PUBLISHED, strict=True)):
        ours = [found[name]["accuracy"][i] for name in (nearest, best)]
        cells = [
            f"{published:.2f} ({published - PUBLISHED_FLOAT:+.2f})",
            *(f"{a:.2f} ({a - exact:+.2f})" for a in ours),
        ]
        side.append([f"{100 * rate:g} %", *cells])
    headings = ["flipped", "published", f"nearest: {nearest}", f"best: {best}"]
    console().print(table("accuracy, and points against the float model", headings, side))
    if args.json:
        Path(args.json).write_text(json.dumps({"float": exact, "samples": samples, "configurations": found}, indent=1))


if __name__ == "__main__":
    main()
