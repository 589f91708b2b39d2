"""Area and energy of the MNIST network, with and without what makes netlists cheaper, and against fixed point: docs/bill.md.

A design takes from two minutes to an hour. What has been measured is kept in a folder: a run that was interrupted goes on, and one
that is done prints its tables at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sccc
from sccc.accuracy import predictions
from sccc.backends.simulator import Simulator
from sccc.backends.synthesis import synthesize
from sccc.backends.synthesis.tools import find_liberty
from sccc.cost import bill
from sccc.counting import ALL_SAVINGS, NO_SAVINGS, Savings
from sccc.data import load_calibration, load_data
from sccc.report import console, table
from sccc.rival import Design, verdicts

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "mnist_mlp"

SAVINGS = {
    "all": ALL_SAVINGS,
    "none": NO_SAVINGS,
    **{f"all but {f.name}": dataclasses.replace(ALL_SAVINGS, **{f.name: False}) for f in dataclasses.fields(Savings)},
}


def measured(args: argparse.Namespace, name: str, options: dict[str, Any], savings: Savings) -> dict[str, Any]:
    """Accuracy, estimate and synthesised bill of a design, from the folder when they are there."""
    place = Path(args.keep) / f"{name.replace(' ', '_')}.json"
    if place.exists():
        return json.loads(place.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    source = sccc.load(EXAMPLE / f"mnist_mlp_{args.network}.onnx")
    calibration = load_calibration(EXAMPLE / "mnist_sample.npz", source)
    data = load_data(args.data, source, limit=args.limit, need_y=True)
    module = sccc.compile(source, calibration=calibration, **options)
    right = predictions(Simulator(module).run(data.x).output) == data.y
    found = synthesize(module, data.x[:64], find_liberty(), glitches=args.glitches, savings=savings)
    estimate = sum(layer.cost.gates for layer in bill(module)[0])
    result = {"name": name, "right": right.astype(int).tolist(), "estimate": estimate, **found.plain()}
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(result), encoding="utf-8")
    console().print(f"{name}: {result['area_um2']:,.0f} um², {result['energy_pj_per_inference']:,.0f} pJ")
    return result


def design(result: dict[str, Any]) -> Design:
    """As a line of `sccc report --against fixed`."""
    right = np.asarray(result["right"], dtype=bool)
    numbers = (result[k] for k in ("gates", "flipflops", "interval_cycles", "area_um2", "energy_pj_per_inference"))
    times = result["critical_path_ns"], result["latency_ns"]
    return Design(result["name"], float(right.mean()), *numbers, *times, right)


def _adder(args: argparse.Namespace) -> str:
    return "" if args.adder == "apc" else f"{args.adder} {args.adder_inputs}, "


def line(result: dict[str, Any]) -> list[Any]:
    each = design(result)
    energy = [result["energy_pj_per_inference"] / 1000, each.time or 0.0, (each.throughput_per_area or 0.0) / 1000]
    area = result["area_um2"] / 1e6
    return [each.name, f"{100 * (each.accuracy or 0):.2f}", each.gates, area, result["critical_path_ns"], *energy]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="tanh", choices=("tanh", "relu"))
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "mnist.npz"))
    parser.add_argument("--limit", type=int, default=2000, help="samples for the accuracy")
    parser.add_argument("--lengths", default="8,32,4,16")
    parser.add_argument("--widths", default="3,4")
    parser.add_argument("--adder", default="apc", choices=("apc", "or", "mux"))
    parser.add_argument("--adder-inputs", type=int, default=4)
    parser.add_argument("--savings", default="all,none", help=f"of: {', '.join(SAVINGS)}")
    parser.add_argument(
        "--glitches", action="store_true", help="count every change of a net, as sccc report --glitches"
    )
    parser.add_argument("--keep", default=str(ROOT / "build" / "bill"), help="folder for what has been measured")
    args = parser.parse_args(argv)
    streams: dict[str, list[dict[str, Any]]] = {}
    for length in filter(None, args.lengths.split(",")):
        for kind in args.savings.split(","):
            name = f"streams N = {length}, {_adder(args)}savings {kind}"
            options = {"length": int(length), "adder": args.adder, "adder_inputs": args.adder_inputs}
            result = measured(args, name, options, SAVINGS[kind])
            streams.setdefault(kind, []).append(result)
    fixed = [
        measured(args, f"fixed {width} bits", {"style": "fixed", "bits": int(width)}, ALL_SAVINGS)
        for width in filter(None, args.widths.split(","))
    ]
    headings = ["design", "accuracy %", "gates", "area mm²", "path ns", "energy nJ", "time ns", "1000/s/mm²"]
    rows = [line(result) for results in (*streams.values(), fixed) for result in results]
    console().print(table("MNIST, synthesised", headings, rows))
    for verdict in verdicts([design(r) for r in streams.get("all", [])], [design(r) for r in fixed]) if fixed else []:
        ratios = (f"{k} {m['ratio']:.3g} x {m['rival']}" for k, m in verdict["measures"].items())
        equal = "" if verdict["equally_accurate"] else " (no fixed design is as accurate)"
        console().print(f"{verdict['design']}: {', '.join(ratios)}{equal}")


if __name__ == "__main__":
    main()
