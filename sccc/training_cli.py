"""What `sccc train` does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sccc import report
from sccc.api import load
from sccc.cli import EXIT_OK
from sccc.commands import STANDARD_OUTPUT
from sccc.data import Data, load_data
from sccc.diagnostics import Collector, Location
from sccc.files import check_writable, write_files
from sccc.ir import Module
from sccc.learning_options import TRAINING_FIELDS, TrainingOptions
from sccc.training import Progress, TrainingResult, layered, new_weights, train, with_weights
from sccc.training_onnx import WritableModel

OUTPUTS = (".onnx", ".sc")


def run_train(args: argparse.Namespace) -> int:
    """Train, print the accuracy of each epoch, write the trained model."""
    problems = Collector()
    options = TrainingOptions()
    with problems.catching():
        given = {name: getattr(args, name) for name in TRAINING_FIELDS if getattr(args, name) is not None}
        options = TrainingOptions(**given)
    _check_files(args, problems)
    module = Module()
    with problems.catching():
        module = layered(load(args.model))
    data: list[Data] = []
    for split, limit in (("train", args.limit), ("test", 0)):
        with problems.catching():
            if module.ops:
                data.append(load_data(args.data, module, split=split, limit=limit, need_y=True))
    problems.raise_if_any()
    target = _target(args, module)
    if options.from_scratch:
        new_weights(module, options.seed, options.first_weights, data[0].x)
    results = []
    for rule in dict.fromkeys([options.rule, *([args.against] if args.against else [])]):
        own = replace(options, rule=rule)
        checkpoint = Path(args.checkpoint) if args.checkpoint and rule == options.rule else None
        with _bar(rule, options.epochs) as progress:
            results.append(train(module, data[0], data[1], own, checkpoint=checkpoint, progress=progress))
    _write(args, module, target, results)
    return EXIT_OK


def _check_files(args: argparse.Namespace, problems: Collector) -> None:
    written = [Path(p) for p in (args.output, args.checkpoint) if p]
    written += [Path(args.json)] if args.json and args.json != STANDARD_OUTPUT else []
    with problems.catching():
        check_writable(written)
    for path in written:
        if path.exists() and any(Path(p).exists() and path.samefile(p) for p in (args.model, args.data)):
            problems.add("would overwrite what is read", Location(file=str(path)), "give another name")
    if args.output and Path(args.output).suffix not in OUTPUTS:
        problems.add("a trained model is an .onnx or a .sc file", Location(file=args.output, option="-o"))
    if args.output and Path(args.output).suffix == ".onnx" and Path(args.model).suffix != ".onnx":
        problems.add("only an .onnx model can be written as .onnx", Location(file=args.output), "write a .sc file")


def _target(args: argparse.Namespace, module: Module) -> WritableModel | None:
    """Where the weights will go: told before training that they cannot."""
    if not args.output or Path(args.output).suffix != ".onnx":
        return None
    return WritableModel(Path(args.model), module)


@contextmanager
def _bar(rule: str, epochs: int) -> Iterator[Progress | None]:
    """A progress bar with the last accuracy on a terminal, nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[shown]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"training ({rule})", total=None, shown="")

        def show(done: int, total: int, accuracy: str) -> None:
            epoch = min(epochs, done * epochs // total + 1)
            bar.update(task, completed=done, total=total, shown=f"epoch {epoch}/{epochs} {accuracy}")

        yield show


def _write(
    args: argparse.Namespace, module: Module, target: WritableModel | None, results: list[TrainingResult]
) -> None:
    first = results[0]
    plain = first.plain()
    if len(results) > 1:
        plain["against"] = results[1].plain()
        plain["difference"] = first.accuracy - results[1].accuracy
    files: dict[Path, str | bytes] = {}
    if target is not None:
        files[Path(args.output)] = target.serialized(first.layers)
    elif args.output:
        files[Path(args.output)] = str(with_weights(module, first.layers))
    if args.json and args.json != STANDARD_OUTPUT:
        files[Path(args.json)] = report.json_text(plain)
    write_files(files)
    rows = [[n + 1, *(f"{100 * r.epochs[n]['accuracy']:.2f} %" for r in results)] for n in range(first.options.epochs)]
    screen = report.console(stderr=args.json == STANDARD_OUTPUT)
    screen.print(report.table("test accuracy", ["epoch", *(r.options.rule for r in results)], rows))
    for r in results:
        screen.print(f"{r.options.rule}: {100 * r.accuracy:.2f} %, {r.seconds:.1f} s")
    if args.output:
        screen.print(f"wrote {args.output}", markup=False)
    if args.json == STANDARD_OUTPUT:
        print(report.json_text(plain), end="")
