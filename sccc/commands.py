"""What the commands do. Whatever the command line names is read and checked first, and every problem told at once."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sccc import report
from sccc.api import compile, load
from sccc.cli import EXIT_MISMATCH, EXIT_OK, option_values
from sccc.config import Config, load_config, make_config
from sccc.data import Data, has_calibration, load_calibration, load_data, saturated
from sccc.diagnostics import Collector, Location, SccError, nearest
from sccc.files import check_writable, write_files
from sccc.ir import Module
from sccc.passes import Pass, parse_pipeline

ENDINGS = {".v": "verilog", ".sc": "ir", ".dot": "dot"}
STANDARD_OUTPUT = "-"


# -- what goes in -----------------------------------------------------------------------------------------------------


@dataclass
class _Inputs:
    """What the command line names. `calibration` is None where there is none, `data` where no samples were asked for."""

    source: Module = dataclasses.field(default_factory=Module)
    config: Config = dataclasses.field(default_factory=Config)
    passes: str | list[Pass] = ""
    data: Data | None = None
    calibration: np.ndarray | None = None

    @property
    def samples(self) -> Data:
        assert self.data is not None
        return self.data


def _read(
    args: argparse.Namespace, problems: Collector, writes: list[Path], samples: Callable[[Module], Data | None]
) -> _Inputs:
    """Read and check everything; `samples` reads data for the model. Raises SccError with all problems, those given too."""
    _check_outputs(args, writes, problems)
    inputs = _Inputs()
    with problems.catching():
        if getattr(args, "early_exit", ""):
            from sccc.early_exit import parse_rule

            parse_rule(args.early_exit)
    with problems.catching():
        values = option_values(args)
        inputs.config = load_config(args.config, values) if args.config else make_config(values)
    with problems.catching():
        inputs.passes = parse_pipeline(args.passes) if args.passes else ""
    with problems.catching():
        inputs.source = load(args.model)
    if inputs.source.ops:
        with problems.catching():
            inputs.data = samples(inputs.source)
        with problems.catching():
            inputs.calibration = load_calibration(args.calibrate, inputs.source) if args.calibrate else None
    problems.raise_if_any()
    return inputs


def _check_outputs(args: argparse.Namespace, writes: list[Path], problems: Collector) -> None:
    """Every file that is to be written can be, and none is the model, the data or another result."""
    if args.json and args.json != STANDARD_OUTPUT:
        writes = [*writes, Path(args.json)]
    with problems.catching():
        check_writable(writes)
    read = [Path(p) for p in (args.model, getattr(args, "data", None), args.calibrate, args.config) if p]
    for path in writes:
        if any(path.exists() and other.exists() and path.samefile(other) for other in read):
            problems.add(
                "would overwrite what is read", Location(file=str(path)), "give another name with -o or --json"
            )
    if len({os.path.realpath(path) for path in writes}) < len(writes):
        problems.add(
            "two results would be written to one file", Location(file=str(writes[-1])), "give --json another name"
        )


def _calibrated(args: argparse.Namespace, inputs: _Inputs) -> None:
    """Without --calibrate: training samples in the data file, where it has any; never the samples that are measured."""
    is_nn = any(op.dialect == "nn" for op in inputs.source)
    if inputs.calibration is None and is_nn and args.split == "test" and has_calibration(args.data):
        inputs.calibration = load_calibration(args.data, inputs.source)


def _exit_samples(args: argparse.Namespace, inputs: _Inputs) -> np.ndarray | None:
    """What margins of the early exit are chosen on: more samples than ranges need, from where those come."""
    from sccc.exit_report import CALIBRATION_SAMPLES

    path = args.calibrate or (args.data if inputs.calibration is not None else None)
    return load_calibration(path, inputs.source, CALIBRATION_SAMPLES) if path else None


def _compile(args: argparse.Namespace, inputs: _Inputs) -> Module:
    """The module, with the early exit when one is asked for that is no cascade."""
    module = _compiled(args, inputs)
    if not getattr(args, "early_exit", ""):
        return module
    from sccc.early_exit import parse_rule
    from sccc.exit_report import with_early_exit

    rule = parse_rule(args.early_exit)
    if rule["stages"] and args.command == "simulate":
        return module
    warnings: list[str] = []
    module = with_early_exit(module, rule, _exit_samples(args, inputs), warnings)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return module


def _compiled(args: argparse.Namespace, inputs: _Inputs) -> Module:
    warnings: list[str] = []
    watch = _Watch() if args.verbose else None
    module = compile(
        inputs.source,
        calibration=inputs.calibration,
        config=inputs.config,
        passes=inputs.passes,
        warnings=warnings,
        watch=watch,
    )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return module


class _Watch:
    """Prints the module after each pass, and how long the pass took."""

    def __init__(self) -> None:
        self.since = time.perf_counter()

    def __call__(self, each: Pass, module: Module) -> None:
        seconds = time.perf_counter() - self.since
        print(f"// after {each}, {seconds:.2f} s\n{module}", file=sys.stderr)
        self.since = time.perf_counter()


# -- what comes out ---------------------------------------------------------------------------------------------------


def _json_file(args: argparse.Namespace, result: dict[str, Any]) -> dict[Path, str]:
    """The file that --json names, as `write_files` takes it."""
    return {Path(args.json): report.json_text(result)} if args.json and args.json != STANDARD_OUTPUT else {}


def _print(args: argparse.Namespace, result: dict[str, Any], *parts: Any) -> None:
    """Tables and lines for people; on standard error when standard output is for the JSON."""
    screen = report.console(stderr=args.json == STANDARD_OUTPUT)
    for part in parts:
        if isinstance(part, str):
            print(part, file=screen.file)
        else:
            screen.print(part)
    if args.json == STANDARD_OUTPUT:
        print(report.json_text(result), end="")


def _is_hardware(module: Module) -> bool:
    return all(op.dialect not in ("nn", "train") for op in module)


MOST_SATURATED = 0.05
"""Share of the input's numbers that may lie outside its range without a warning; ranges leave out rare outliers."""


def warn_of_range(args: argparse.Namespace, module: Module, x: np.ndarray) -> None:
    """Data that the network was not trained on in this scale saturate, and the result means nothing."""
    share = saturated(module, x)
    if share > MOST_SATURATED:
        advice = "scale the data as in training, or set the range (--calibrate, --input-range)"
        print(
            f"warning: {args.data}: {share:.0%} of the inputs lie outside the input's range: {advice}", file=sys.stderr
        )


def _require_hardware(module: Module) -> None:
    """Before a simulation: a pipeline of the user's may have left something of the float network."""
    for op in module:
        if op.dialect == "nn":
            raise SccError(f"{op.name} is not hardware yet", op.place(), "run the whole pipeline, as in `sccc passes`")
        if op.dialect == "train":
            raise SccError("this network learns", op.place(), "train it with `sccc train`; `sccc compile` emits it")


# -- compile ----------------------------------------------------------------------------------------------------------


def run_compile(args: argparse.Namespace) -> int:
    """Compile and write; print the bill."""
    started = time.perf_counter()
    problems = Collector()
    kind = args.emit or (ENDINGS.get(Path(args.output).suffix, "verilog") if args.output else "verilog")
    output = Path(args.output or Path(args.model).stem + {v: k for k, v in ENDINGS.items()}[kind])
    if args.testbench and kind != "verilog":
        problems.add(
            f"a testbench is for Verilog, not for {kind}", Location(option="--testbench"), "use --emit verilog"
        )
    if args.testbench and not (args.data or args.calibrate):
        problems.add("a testbench needs samples", Location(option="--testbench"), "give --data D.npz")
    if args.data and not args.testbench:
        advice = "give --testbench too, or --calibrate instead"
        problems.add("is only for a testbench", Location(option="--data"), advice)
    inputs = _read(
        args, problems, [output], lambda model: load_data(args.data, model, limit=args.samples) if args.data else None
    )
    module = _compile(args, inputs)
    hardware = _is_hardware(module)
    files = _emitted(module, kind, output)
    if args.testbench:
        x = inputs.calibration if inputs.data is None else inputs.data.x
        assert x is not None
        files |= _testbench(module, x[: args.samples], output)
    result = report.bill_rows(module) if hardware else {"ops": len(module)}
    shown: list[Any] = [report.bill_table(result)] if hardware else []
    write_files(files | _json_file(args, result))
    more = f" and {len(files) - 2} more" if len(files) > 2 else ""
    shown.append(f"wrote {', '.join(map(str, list(files)[:2]))}{more}")
    if args.verbose:
        shown.append(f"{time.perf_counter() - started:.1f} s")
    _print(args, result, *shown)
    return EXIT_OK


def _emitted(module: Module, kind: str, output: Path) -> dict[Path, str]:
    """What to write: `output` itself first, then the memories of folded hardware beside it."""
    if kind == "ir":
        return {output: str(module)}
    if kind == "dot":
        return {output: report.dot(module)}
    from sccc.api import emit_files

    files = emit_files(module, output.name)
    if len(files) > 1 and output.exists() and not output.is_file():
        problem = "is no file, and a folded netlist has memories that are written beside it"
        raise SccError(problem, Location(file=str(output)), "give -o the name of a file")
    return {output.parent / name: text for name, text in files.items()}


def _testbench(module: Module, x: np.ndarray, output: Path) -> dict[Path, str]:
    """The testbench's files, itself first. Their names stand in it, as Verilog strings."""
    from sccc.rtl_check import testbench

    _, bench = testbench(module, x, re.sub(r"[^\w.+-]", "_", output.stem, flags=re.ASCII) + "_tb")
    names = sorted(bench.files, key=lambda name: name != bench.main)
    return {output.parent / name: bench.files[name] for name in names}


# -- simulate ---------------------------------------------------------------------------------------------------------


def run_simulate(args: argparse.Namespace) -> int:
    """Accuracy and each layer's error."""
    from sccc.accuracy import measure

    problems = Collector()
    options = _flip_options(args, problems)
    inputs = _read(
        args, problems, [], lambda model: load_data(args.data, model, split=args.split, limit=args.limit, need_y=True)
    )
    _calibrated(args, inputs)
    module = _compile(args, inputs)
    _require_hardware(module)
    warn_of_range(args, module, inputs.samples.x)
    options |= {"seed": inputs.config.options.seed, "kernels": args.kernels}
    with _progress("simulating") as progress:
        result = measure(module, inputs.samples, progress=progress, **options)
    tables = _accuracy_tables(result)
    if args.early_exit:
        result["early_exit"] = _measured_exit(args, inputs, module)
        tables += report.exit_tables(result["early_exit"])
    if args.scc:
        from sccc.scc import measured_scc

        result["scc"] = measured_scc(module, inputs.samples.x, kernels=args.kernels)
        tables.append(report.scc_table(result["scc"]))
    write_files(_json_file(args, result))
    _print(args, result, *tables)
    return EXIT_OK


def _flip_options(args: argparse.Namespace, problems: Collector) -> dict[str, Any]:
    """What `Simulator` is told about flipped bits."""
    from sccc.backends.simulator.flip_sites import load_sites
    from sccc.backends.simulator.flips import KINDS

    if not 0.0 <= args.flip_rate <= 0.5:
        advice = "a rate is a probability, and 0.5 makes every stream random"
        problems.add(f"{args.flip_rate} is outside 0 .. 0.5", Location(option="--flip-rate"), advice)
    kinds = args.flips.split(",")
    for kind in kinds:
        if kind not in KINDS:
            problems.add(f"unknown kind '{kind}'", Location(option="--flips"), nearest(kind, KINDS))
    options: dict[str, Any] = {"flip_rate": args.flip_rate, "flips": kinds}
    with problems.catching():
        options["flip_sites"] = load_sites(args.flip_sites) if args.flip_sites else []
    return options


def _measured_exit(args: argparse.Namespace, inputs: _Inputs, module: Module) -> dict[str, Any]:
    from sccc.early_exit import parse_rule
    from sccc.exit_report import measure_cascade, measure_exit

    rule = parse_rule(args.early_exit)
    if not rule["stages"]:
        return measure_exit(module, inputs.samples)
    more = {"margin": rule["margin"], "tolerance": rule["tolerance"], "calibration": _exit_samples(args, inputs)}
    return measure_cascade(module, inputs.samples, rule["stages"], **more)


def _accuracy_tables(result: dict[str, Any]) -> list[Any]:
    rows = [[name, "-" if value is None else f"{100 * value:.2f} %"] for name, value in result["accuracy"].items()]
    title = f"{result['samples']:,} samples, {result['length']} cycles"
    tables: list[Any] = [title, report.table("", ["model", "accuracy"], rows)]
    layers = [
        [layer[k] for k in ("name", "rmse_quantized", "rmse_stream", "relative", "added")] for layer in result["layers"]
    ]
    if layers:
        headings = ["layer", "RMS error, quantised - float", "RMS error, stream - quantised", "relative", "added here"]
        cells = [[n, *(f"{v:.4g}" if v is not None else "-" for v in r)] for n, *r in layers]
        tables.append(report.table("", headings, cells))
    if result["worst_layer"] is not None and len(layers) > 1:
        tables.append(f"largest error of its own: {result['worst_layer']}")
    speed = result["bit_products_per_second"]
    return [*tables, f"{result['seconds']:.2f} s, {speed:.3g} products of bits per second"]


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
    from sccc.rtl_check import check, require_simulator

    problems = Collector()
    with problems.catching():
        require_simulator(args.simulator)
    if args.keep and Path(args.keep).exists() and not Path(args.keep).is_dir():
        problems.add("is a file, not a folder", Location(file=args.keep, option="--keep"), "name a folder, new or old")
    limit = min(args.limit or args.samples, args.samples)
    flips = _flip_options(args, problems)
    faulty = bool(args.flip_rate or args.flip_sites)
    if faulty and (args.keep or args.simulator != "icarus"):
        option = "--keep" if args.keep else "--simulator"
        problems.add("is not for runs with faults", Location(option=option), "leave it out")
    inputs = _read(args, problems, [], lambda model: load_data(args.data, model, split=args.split, limit=limit))
    _calibrated(args, inputs)
    module = _compile(args, inputs)
    _require_hardware(module)
    warn_of_range(args, module, inputs.samples.x)
    folder = _made_folder(args.keep) if args.keep else None
    with _progress(f"running the RTL in {args.simulator.capitalize()}"):
        if faulty:
            from sccc.fault_check import check_faults

            result = check_faults(module, inputs.samples.x, seed=inputs.config.options.seed, **flips)
        else:
            result = check(module, inputs.samples.x, folder=folder, simulator=args.simulator)
    plain = dataclasses.asdict(result)
    write_files(_json_file(args, plain))
    counts = f"{result.compared:,} values compared, {result.mismatches:,} differ"
    _print(args, plain, f"{result.samples} samples, {result.cycles} cycles: {counts}")
    if result.first is not None:
        print(f"first difference: {result.first}", file=sys.stderr)
    early = _checked_exit(module, inputs.samples.x)
    return EXIT_MISMATCH if result.mismatches or early else EXIT_OK


def _checked_exit(module: Module, x: np.ndarray) -> int:
    """Of a module that exits early: run samples as close as they may be; how many end at another time, or otherwise."""
    from sccc.backends.verilog.early_exit import races
    from sccc.exit_check import check_exit

    if not races(module):
        return 0
    result = check_exit(module, x)
    cycles = f"{result.mean_latency:.1f} cycles from start to valid on average"
    print(
        f"early exit: {result.samples} samples, {result.mismatches} differ in cycle or result; {cycles}",
        file=sys.stderr,
    )
    if result.first:
        print(f"first difference: {result.first}", file=sys.stderr)
    return result.mismatches


def _made_folder(name: str) -> Path:
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SccError(
            f"cannot be made: {error.strerror}", Location(file=name, option="--keep"), "name another"
        ) from error
    return Path(name)
