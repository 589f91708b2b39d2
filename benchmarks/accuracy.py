"""Accuracy of the shipped MNIST networks on all 10,000 test images, in the configurations that the README quotes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import sccc
from sccc.accuracy import measure
from sccc.data import load_calibration, load_data
from sccc.report import console, table

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "mnist_mlp"

CONFIGURATIONS: tuple[tuple[str, str, dict[str, object], float], ...] = (
    ("tanh", "accumulate, auto, N = 32", {"length": 32}, 0.5),
    ("tanh", "accumulate, auto, N = 16", {"length": 16}, 1.5),
    ("tanh", "streaming, auto, N = 64", {"length": 64, "style": "streaming"}, 1.0),
    ("tanh", "streaming, auto, N = 256", {"length": 256, "style": "streaming"}, 0.5),
    ("tanh", "accumulate, bipolar, sobol, N = 256", {"length": 256, "encoding": "bipolar", "source": "sobol"}, 1.5),
    ("relu", "accumulate, auto, N = 64", {"length": 64}, 0.5),
    ("relu", "accumulate, auto, N = 32", {"length": 32}, 1.0),
    ("relu", "accumulate, auto, N = 16", {"length": 16}, 2.0),
    ("tanh", "accumulate, auto, N = 256", {"length": 256}, 0.5),
    ("relu", "streaming, auto, N = 64", {"length": 64, "style": "streaming"}, 2.0),
    ("relu", "streaming, auto, N = 256", {"length": 256, "style": "streaming"}, 1.0),
    ("tanh", "accumulate, auto, N = 8", {"length": 8}, 1.0),
)
"""Network, configuration, options, and how many points below the float model it may be."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "mnist.npz"))
    parser.add_argument("--limit", type=int, default=0)
    args = parser.parse_args(argv)
    if not Path(args.data).exists():
        print(f"no MNIST test images in {args.data}: name an npz file with x_test and y_test by --data")
        return
    rows = []
    for network, title, options, allowed in CONFIGURATIONS:
        path = EXAMPLE / f"mnist_mlp_{network}.onnx"
        source = sccc.load(path)
        calibration: np.ndarray = load_calibration(EXAMPLE / "mnist_sample.npz", source)
        data = load_data(args.data, source, limit=args.limit, need_y=True)
        module = sccc.compile(source, calibration=calibration, **options)  # type: ignore[arg-type]
        result = measure(module, data)
        accuracy = {k: 100 * v for k, v in result["accuracy"].items()}
        below = accuracy["float"] - accuracy["stream"]
        rate = f"{result['bit_products_per_second']:.2e}"
        cells = [f"{accuracy[k]:.2f}" for k in ("float", "quantized", "stream")]
        rows.append([network, title, *cells, f"{below:+.2f}", f"{allowed:.1f}", f"{result['seconds']:.2f}", rate])
        print(*rows[-1], sep="  ", flush=True)
    headings = [
        "net",
        "configuration",
        "float %",
        "quantised %",
        "stream %",
        "points below",
        "allowed",
        "s",
        "bit products/s",
    ]
    console().print(table(f"{result['samples']:,} images", headings, rows))


if __name__ == "__main__":
    main()
