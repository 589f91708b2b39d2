"""The measured tables of docs/choosing.md: accuracy and cost over stream length, encoding, source and sharing.

Prints Markdown. The network is examples/mnist_mlp's with tanh, calibrated on 500 training images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from sccc.accuracy import predictions
from sccc.bill_tables import estimated
from sccc.data import load_calibration, load_data
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.sweep import wilson

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "mnist_mlp"

LENGTHS = (4, 8, 16, 32, 64, 128, 256)

TABLES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "length": (
        "Stream length and style",
        [{"style": style, "length": n} for style in ("accumulate", "streaming") for n in LENGTHS],
    ),
    "encoding": (
        "Encoding of weights and inputs",
        [
            {"style": style, "encoding": encoding, "length": n}
            for style in ("accumulate", "streaming")
            for encoding in ("signed", "bipolar", "unipolar")
            for n in (32, 256)
        ],
    ),
    "source": (
        "Random sources and their sharing",
        [
            {"style": style, "source": source, "sharing": sharing, "length": n}
            for style in ("accumulate", "streaming")
            for source, sharing in (
                ("sobol", "auto"),
                ("sobol", "max"),
                ("sobol", "none"),
                ("lfsr", "auto"),
                ("lfsr", "none"),
                ("ramp", "auto"),
            )
            for n in (32, 256)
        ],
    ),
    "adder": (
        "What adds the products",
        [
            {"style": "accumulate", "adder": adder, "adder_inputs": inputs, "length": 32}
            for adder, inputs in (("apc", 4), ("or", 2), ("or", 4), ("mux", 4))
        ],
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "mnist.npz"))
    parser.add_argument("--limit", type=int, default=0, help="only the first images")
    parser.add_argument("--tables", nargs="*", choices=tuple(TABLES), default=list(TABLES))
    args = parser.parse_args(argv)
    source = sccc.load(EXAMPLE / "mnist_mlp_tanh.onnx")
    data = load_data(args.data, source, limit=args.limit, need_y=True)
    calibration = load_calibration(EXAMPLE / "mnist_sample.npz", source)
    right = predictions(evaluate(source, data.x)) == data.y
    print(f"{len(data.x):,} images; float model {100 * right.mean():.2f} %")
    for name in args.tables:
        title, configurations = TABLES[name]
        print(f"\n{title}\n")
        for row in _rows(source, data.x, np.asarray(data.y), calibration, configurations):
            print("| " + " | ".join(row) + " |", flush=True)


def _rows(
    source: sccc.Module, x: np.ndarray, y: np.ndarray, calibration: np.ndarray, configurations: list[dict[str, Any]]
) -> Iterator[list[str]]:
    keys = list(configurations[0])
    headings = [
        *keys,
        "accuracy %",
        "95 % interval",
        "gates",
        "flip-flops",
        "sources",
        "latency, cycles",
        "interval, cycles",
        "energy, nJ",
    ]
    yield headings
    yield ["---"] * len(headings)
    for options in configurations:
        head = [str(value) for value in options.values()]
        try:
            module = sccc.compile(source, calibration=calibration, **options)
        except SccError as error:
            yield [*head, f"refused: {error.diagnostics[0].message}", *[""] * (len(headings) - len(head) - 1)]
            continue
        right = int((predictions(sccc.simulate(module, x).output) == y).sum())
        low, high = wilson(right, len(y))
        cost = estimated(module)
        numbers = [f"{cost[k]:,}" for k in ("gates", "flipflops", "sources", "cycles", "interval")]
        accuracy = [f"{100 * right / len(y):.2f}", f"{100 * low:.2f} .. {100 * high:.2f}"]
        yield [*head, *accuracy, *numbers, f"{cost['energy_pj'] / 1000:,.0f}"]


if __name__ == "__main__":
    main()
