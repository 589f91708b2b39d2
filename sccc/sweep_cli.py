"""What `sccc sweep` does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sccc import commands, report
from sccc import sweep as sweeping
from sccc.accuracy import predictions
from sccc.backends.simulator.flips import KINDS
from sccc.cli import EXIT_OK
from sccc.config import OPTION_FIELDS, Config
from sccc.data import load_data
from sccc.diagnostics import Collector, Location, SccError, nearest
from sccc.evaluate import evaluate
from sccc.files import check_writable, write_files
from sccc.ir import Module

EVALUATED_AT_A_TIME = 500


def run_sweep(args: argparse.Namespace) -> int:
    """Sweep, print the table, write JSON and plots."""
    problems = Collector()
    lists = {
        "lengths": _listed(args.lengths, "--lengths", int, problems),
        "flip_rates": _listed(args.flip_rates, "--flip-rates", float, problems),
        "encodings": _words(args.encodings, "encoding", problems),
        "styles": _words(args.styles, "style", problems),
    }
    for rate in lists["flip_rates"]:
        if not 0.0 <= rate <= 0.5:
            problems.add(f"{rate} is outside 0 .. 0.5", Location(option="--flip-rates"), "a rate is a probability")
    flips = args.flips.split(",")
    for kind in flips:
        if kind not in KINDS:
            problems.add(f"unknown kind '{kind}'", Location(option="--flips"), nearest(kind, KINDS))
    plots = [Path(f"{args.plots}.{ending}") for ending in ("png", "svg")] if args.plots else []
    with problems.catching():
        check_writable(plots)
    inputs = commands._read(args, problems, plots, lambda model: load_data(
        args.data, model, split=args.split, limit=args.limit, need_y=True
    ))  # fmt: skip
    if all(op.dialect != "nn" for op in inputs.source):
        raise SccError(
            "the model is hardware already", Location(file=args.model), "sweep the .onnx file that it came from"
        )
    commands._calibrated(args, inputs)
    sweep, cache = _sweep(lists, inputs.config, flips), Path(args.cache) if args.cache else None
    found = measured(args.model, inputs, sweep, jobs=args.jobs, cluster=args.cluster, cache=cache)
    files: dict[Path, Any] = dict(commands._json_file(args, found))
    if args.plots:
        from sccc.sweep_plots import plot_files

        files |= plot_files(found["points"], Path(args.model).stem, Path(args.plots), found["float"])
    write_files(files)
    commands._print(args, found, *_tables(found), *([f"wrote {', '.join(map(str, plots))}"] if plots else []))
    return EXIT_OK


def measured(model: str, inputs: Any, sweep: sweeping.Sweep, **where: Any) -> dict[str, Any]:
    """What a sweep of a model as read from the command line finds, as `--json` writes it. where: as in `sweep.run_sweep`."""
    with commands._progress("sweeping") as progress:
        points = sweeping.run_sweep(
            inputs.source, inputs.samples, sweep, calibration=inputs.calibration, progress=progress, **where
        )
    reference = _float_accuracy(inputs.source, inputs)
    return {"model": model, "samples": len(inputs.samples.x), "float": reference, "points": points}


def _sweep(lists: dict[str, list[Any]], base: Config, flips: list[str]) -> sweeping.Sweep:
    """Lists that were not given hold what is set for all."""
    options = base.options
    return sweeping.Sweep(
        lists["lengths"] or [options.length], lists["flip_rates"] or [0.0], lists["encodings"] or [options.encoding],
        lists["styles"] or [options.style], base, tuple(flips),
    )  # fmt: skip


def _listed(text: str, option: str, kind: Callable[[str], Any], problems: Collector) -> list[Any]:
    values = []
    for part in filter(None, text.split(",")):
        try:
            values.append(kind(part))
        except ValueError:
            problems.add(f"'{part}' is not a number", Location(option=option), "write numbers with commas between them")
    return list(dict.fromkeys(values))


def _words(text: str, option: str, problems: Collector) -> list[Any]:
    words = list(dict.fromkeys(filter(None, text.split(","))))
    choices = OPTION_FIELDS[option].metadata["choices"]
    for word in words:
        if word not in choices:
            problems.add(f"unknown value '{word}'", Location(option=f"--{option}s"), nearest(word, choices))
    return words


def _float_accuracy(source: Module, inputs: Any) -> float:
    """Of the model as it was read."""
    x, y = inputs.samples.x, inputs.samples.y
    right = 0
    for i in range(0, len(x), EVALUATED_AT_A_TIME):
        piece = slice(i, i + EVALUATED_AT_A_TIME)
        right += int((predictions(evaluate(source, x[piece])) == y[piece]).sum())
    return right / len(x)


def _tables(found: dict[str, Any]) -> list[Any]:
    rows = []
    for result in found["points"]:
        p = result["point"]
        head = [p["style"], p["encoding"], p["length"], f"{100 * p['flip_rate']:g}"]
        if "refused" in result:
            rows.append([*head, "-", f"refused: {result['refused']}", "", ""])
            continue
        source = (
            "cache" if result["cached"] else f"prefix of {result['from_prefix']}" if result["from_prefix"] else "run"
        )
        interval = f"{100 * result['low']:.2f} .. {100 * result['high']:.2f}"
        rows.append([*head, f"{100 * result['accuracy']:.2f}", interval, f"{result['cycles']:,}", source])
    headings = ["style", "encoding", "N", "flipped %", "accuracy %", "95 % interval", "cycles", "from"]
    title = f"{found['samples']:,} samples; float model {100 * found['float']:.2f} %"
    return [title, report.table("", headings, rows)]
