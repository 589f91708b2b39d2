"""What the commands do."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sccc import report
from sccc.api import compile, load
from sccc.cli import EXIT_MISMATCH, EXIT_OK, option_values
from sccc.config import Config, load_config, make_config
from sccc.data import Data, load_calibration, load_data
from sccc.diagnostics import Location, SccError, nearest
from sccc.files import write_files
from sccc.ir import Module
from sccc.passes import DEFAULT_PIPELINE, PASSES

ENDINGS = {".v": "verilog", ".sc": "ir", ".dot": "dot"}


def _config(args: argparse.Namespace) -> Config:
    values = option_values(args)
    return load_config(args.config, values) if args.config else make_config(values)


def _compile(args: argparse.Namespace, source: Module, fallback: np.ndarray | None = None) -> Module:
    """Compile what `args` name. `fallback` serves as calibration data where none are given."""
    calibration = load_calibration(args.calibrate, source) if args.calibrate else fallback
    warnings: list[str] = []
    module = compile(source, calibration=calibration, config=_config(args), passes=args.passes, warnings=warnings)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.verbose:
        print(module, file=sys.stderr)
    return module


# -- compile ----------------------------------------------------------------------------------------------------------


def run_compile(args: argparse.Namespace) -> int:
    """Compile and write; print the bill."""
    started = time.perf_counter()
    source = load(args.model)
    output = Path(args.output) if args.output else None
    kind = args.emit or (ENDINGS.get(output.suffix, "verilog") if output else "verilog")
    module = _compile(args, source)
    output = output or Path(Path(args.model).stem + {v: k for k, v in ENDINGS.items()}[kind])
    files = {output: _emitted(module, kind)}
    if args.testbench:
        files |= _testbench(args, module, output)
    write_files(files)
    hardware = all(op.dialect == "sc" for op in module)
    screen = report.console()
    if hardware:
        screen.print(report.bill_table(module))
    screen.print(f"wrote {', '.join(map(str, list(files)[:2]))}" + (f" and {len(files) - 2} more" if len(files) > 2 else ""))
    if args.verbose:
        screen.print(f"{time.perf_counter() - started:.1f} s")
    if args.json:
        report.write_json(args.json, report.bill_rows(module) if hardware else {"ops": len(module)})
    return EXIT_OK


def _emitted(module: Module, kind: str) -> str:
    if kind == "ir":
        return str(module)
    if kind == "dot":
        return report.dot(module)
    from sccc.api import emit

    return emit(module)


def _testbench(args: argparse.Namespace, module: Module, output: Path) -> dict[Path, str]:
    from sccc.rtl_check import testbench

    if not (args.data or args.calibrate):
        raise SccError("a testbench needs samples", Location(option="--testbench"), "give --data D.npz")
    if args.data:
        x = load_data(args.data, module, limit=args.samples).x
    else:
        x = load_calibration(args.calibrate, module)[: args.samples]
    _, bench = testbench(module, x, output.stem + "_tb")
    return {output.parent / name: text for name, text in bench.files.items()}


# -- simulate ---------------------------------------------------------------------------------------------------------


def run_simulate(args: argparse.Namespace) -> int:
    """Accuracy and each layer's error."""
    from sccc.accuracy import measure

    if not 0.0 <= args.flip_rate <= 0.5:
        raise SccError(f"{args.flip_rate} is outside 0 .. 0.5", Location(option="--flip-rate"), "a rate is a probability")
    source = load(args.model)
    data = load_data(args.data, source, split=args.split, limit=args.limit, need_y=True)
    module = _compile(args, source, _calibration_of(args, source, data))
    with _progress("simulating") as progress:
        result = measure(
            module, data, flip_rate=args.flip_rate, seed=_config(args).options.seed, kernels=args.kernels, progress=progress
        )
    _print_accuracy(result)
    if args.json:
        report.write_json(args.json, result)
    return EXIT_OK


def _calibration_of(args: argparse.Namespace, source: Module, data: Data) -> np.ndarray | None:
    """Without --calibrate: training samples in the data file, where it has any; never the samples that are measured."""
    if args.calibrate or not any(op.dialect == "nn" for op in source):
        return None
    with np.load(args.data) as archive:
        has_own = any(name in archive.files for name in ("x_calib", "x_train")) and args.split == "test"
    return load_calibration(args.data, source) if has_own else None


def _print_accuracy(result: dict[str, Any]) -> None:
    screen = report.console()
    rows = [[name, "-" if value is None else f"{100 * value:.2f} %"] for name, value in result["accuracy"].items()]
    screen.print(report.table(f"{result['samples']:,} samples, {result['length']} cycles", ["model", "accuracy"], rows))
    layers = [[layer["name"], layer["rmse_quantized"], layer["rmse_stream"]] for layer in result["layers"]]
    if layers:
        headings = ["layer", "RMS error, quantised - float", "RMS error, stream - quantised"]
        screen.print(report.table("", headings, [[n, *(f"{v:.4g}" if v is not None else "-" for v in r)] for n, *r in layers]))
    screen.print(f"{result['seconds']:.2f} s, {result['bit_products_per_second']:.3g} products of bits per second")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on a terminal, nothing when piped."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# -- check ------------------------------------------------------------------------------------------------------------


def run_check(args: argparse.Namespace) -> int:
    """RTL against simulator."""
    from sccc.rtl_check import check

    source = load(args.model)
    data = load_data(args.data, source, split=args.split, limit=args.limit or args.samples)
    x = data.x[: args.samples]
    module = _compile(args, source, _calibration_of(args, source, data))
    result = check(module, x, folder=Path(args.keep) if args.keep else None)
    screen = report.console()
    screen.print(f"{result.samples} samples, {result.cycles} cycles: {result.compared:,} values compared, {result.mismatches:,} differ")
    if result.first is not None:
        print(f"first difference: {result.first}", file=sys.stderr)
    if args.json:
        report.write_json(args.json, dataclasses.asdict(result))
    return EXIT_MISMATCH if result.mismatches else EXIT_OK


# -- ops, passes ------------------------------------------------------------------------------------------------------


def run_ops(args: argparse.Namespace) -> int:
    """List the registry of operations."""
    from sccc.ops import REGISTRY

    known = {op.name: op for op in REGISTRY}
    if args.name and args.name not in known:
        raise SccError(f"unknown operation '{args.name}'", advice=nearest(args.name, known))
    for name in [args.name] if args.name else known:
        report.print_op(known[name], full=bool(args.name))
    return EXIT_OK


def run_passes(args: argparse.Namespace) -> int:
    """List the registry of passes."""
    if args.name and args.name not in PASSES:
        raise SccError(f"unknown pass '{args.name}'", advice=nearest(args.name, PASSES.names()))
    for each in PASSES:
        if args.name in ("", each.name):
            print(f"{each.name}: {(each.__doc__ or '').splitlines()[0]}")
            for f in dataclasses.fields(each):
                print(f"    {f.name.replace('_', '-')}={f.default if f.default != '' else '(from the options)'}")
    if not args.name:
        print(f"\ndefault pipeline: {DEFAULT_PIPELINE}")
    return EXIT_OK


