"""`sccc report` and `sccc setup-eda`: what the commands do."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sccc import commands, report
from sccc.accuracy import predictions
from sccc.api import compile
from sccc.backends.simulator import Simulator
from sccc.bill_tables import bill_columns, estimated, estimated_table, synthesized_parts, synthesized_rows
from sccc.cli import EXIT_OK
from sccc.config import Config
from sccc.cost import bill
from sccc.data import Data, has_calibration, load_calibration, load_data
from sccc.dataflow import is_folded
from sccc.diagnostics import Collector, Location, SccError
from sccc.energy import OSU018
from sccc.files import write_files
from sccc.ir import Module
from sccc.rival import Design, Rival, design_row, verdict_sentence, verdicts
from sccc.types import Encoding, Level

if TYPE_CHECKING:
    from sccc.backends.synthesis import SynthesisBill

ACTIVITY_SAMPLES = 64
"""Samples from which activity is taken."""

STREAM_OPTIONS = ("length", "style", "bits", "encoding", "source", "sharing")
"""What a layer's own table may say of streams: it does not hold for the fixed-point rival."""


# -- the command ----------------------------------------------------------------------------------------------------------


def run_report(args: argparse.Namespace) -> int:
    """Print the bill; with --synth the synthesised one too; with --against the comparison."""
    problems = Collector()
    lengths = _numbers(args.lengths, "--lengths", 1, problems)
    widths = _numbers(args.widths, "--widths", 2, problems)
    _check(args, problems)
    liberty = _liberty(args, problems)
    pages = [Path(args.html)] if args.html else []
    sweep = _sweep(args, problems)
    inputs = commands._read(args, problems, pages, lambda model: _data(args, model))
    if inputs.calibration is None and args.data and args.split == "test" and has_calibration(args.data):
        inputs.calibration = load_calibration(args.data, inputs.source)
    files = {}
    if args.against:
        result, parts, rival, main = _comparison(args, inputs, liberty, lengths, widths)
        if args.html:
            if main is None:
                module = commands._compile(args, inputs)
                main = module, estimated(module)
            files[Path(args.html)] = _page(main[0], inputs, main[1], sweep, rival)
    else:
        module = commands._compile(args, inputs)
        commands._require_hardware(module)
        if inputs.data is not None:
            commands.warn_of_range(args, module, inputs.data.x)
        result, parts = _single(args, module, inputs, liberty)
        if args.html:
            sweep = sweep or _swept(args, inputs, lengths)
            files[Path(args.html)] = _page(module, inputs, result, sweep)
    if args.html:
        parts.append(f"wrote {args.html}")
    write_files(files | commands._json_file(args, result))
    commands._print(args, result, *parts)
    return EXIT_OK


def _page(
    module: Module, inputs: Any, result: dict[str, Any], sweep: dict[str, Any] | None, rival: Rival | None = None
) -> str:
    from sccc.html_report import Contents, html_page

    synthesis = synthesized_rows(result["synthesis"], result) if "synthesis" in result else None
    return html_page(
        Contents(module, inputs.config, result, bill_columns(result), inputs.data, sweep, synthesis, rival)
    )


def _swept(args: argparse.Namespace, inputs: Any, lengths: list[int]) -> dict[str, Any] | None:
    """The sweep that --lengths asks for, of the options that the page is about."""
    if not lengths:
        return None
    from sccc.sweep import Sweep
    from sccc.sweep_cli import measured

    options = inputs.config.options
    return measured(args.model, inputs, Sweep(lengths, (0.0,), (options.encoding,), (options.style,), inputs.config))


def _sweep(args: argparse.Namespace, problems: Collector) -> dict[str, Any] | None:
    """What --sweep names."""
    from sccc.html_sweep import load_sweep

    found = None
    with problems.catching():
        found = load_sweep(args.sweep) if args.sweep else None
    return found


def run_setup_eda(args: argparse.Namespace) -> int:
    """Install Yosys, OpenSTA and the OSU Liberty file from Debian's packages."""
    from sccc.backends.synthesis.tools import setup_eda

    print(f"ready: {setup_eda()}")
    return EXIT_OK


def _check(args: argparse.Namespace, problems: Collector) -> None:
    if args.liberty and not args.synth:
        problems.add("is only for synthesis", Location(option="--liberty"), "give --synth too")
    if args.glitches and not args.synth:
        problems.add("is only for synthesis", Location(option="--glitches"), "give --synth too")
    if args.lengths and not args.against and not args.html:
        advice = "give --against fixed too, or --html for a sweep on the page"
        problems.add("is only for a comparison or a page", Location(option="--lengths"), advice)
    if args.lengths and args.html and not args.against:
        _check_sweep(args, problems)
    if args.widths and not args.against:
        problems.add("is only for a comparison", Location(option="--widths"), "give --against fixed too")
    if args.sweep and not args.html:
        problems.add("is shown on a page only", Location(option="--sweep"), "give --html too")
    if args.against and args.style == "fixed":
        problems.add("the rival is fixed already", Location(option="--style"), "leave it out")


def _check_sweep(args: argparse.Namespace, problems: Collector) -> None:
    """Of a page that runs a sweep itself."""
    place = Location(option="--lengths")
    if args.sweep:
        problems.add("a sweep is given already", place, "leave out --sweep, or --lengths")
    if args.passes or args.model.endswith(".sc"):
        problems.add("a sweep compiles the model anew for each length", place, "give an .onnx file, and no --passes")
    if not args.data:
        problems.add("a sweep measures accuracy", place, "give samples with --data")


def _liberty(args: argparse.Namespace, problems: Collector) -> Path | None:
    if not args.synth:
        return None
    from sccc.backends.synthesis.tools import find_liberty, require_tools

    with problems.catching():
        require_tools("yosys", "sta")
    found = None
    with problems.catching():
        found = find_liberty(args.liberty)
    return found


def _numbers(text: str, option: str, least: int, problems: Collector) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        problems.add(f"'{text}' is not a list of whole numbers", Location(option=option), "write for example 8,16,32")
        return []
    if any(n < least for n in numbers):
        problems.add(f"{min(numbers)} is less than {least}", Location(option=option), "write for example 8,16,32")
    return list(dict.fromkeys(numbers))


def _data(args: argparse.Namespace, model: Module) -> Data | None:
    if not args.data:
        return None
    return load_data(args.data, model, split=args.split, limit=args.limit, need_y=bool(args.against or args.lengths))


def _single(
    args: argparse.Namespace, module: Module, inputs: Any, liberty: Path | None
) -> tuple[dict[str, Any], list[Any]]:
    result = estimated(module)
    if not is_folded(module):
        for row, layer in zip(result["layers"], bill(module)[0], strict=True):
            row["key"] = layer.name
    parts = [estimated_table(result)]
    if liberty is not None:
        found = _synthesize(args, module, inputs, liberty, "")
        result["synthesis"] = found.plain()
        parts += synthesized_parts(result["synthesis"], result)
    return result, parts


def _synthesize(args: argparse.Namespace, module: Module, inputs: Any, liberty: Path, label: str) -> SynthesisBill:
    from sccc.backends.synthesis import synthesize

    if is_folded(module):
        raise SccError(
            "folded hardware has memories, for which the library has no cells",
            Location(option="--synth"),
            "leave out --synth for the estimate, or hand the emitted files to a flow with a memory compiler",
        )
    with _stages(label) as watch:
        samples = activity_samples(module, inputs.data, inputs.calibration)
        return synthesize(module, samples, liberty, watch, glitches=args.glitches)


def activity_samples(module: Module, data: Data | None, calibration: np.ndarray | None) -> np.ndarray:
    """Samples for the activity: of the data, of the calibration, or else uniform over the input's range."""
    if data is not None:
        return data.x[:ACTIVITY_SAMPLES]
    if calibration is not None:
        return calibration[:ACTIVITY_SAMPLES]
    (source,) = module.inputs
    assert source.result is not None
    kind = source.result.type
    least = 0.0 if isinstance(kind, Level) and kind.encoding is Encoding.UNIPOLAR else -1.0
    uniform = np.random.default_rng(1).uniform(least, 1.0, (ACTIVITY_SAMPLES, *kind.shape))
    return uniform * np.asarray(source.attributes["scale"]) + np.asarray(source.attributes.get("offset", 0.0))


@contextmanager
def _stages(label: str) -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    """A progress bar that each stage renames, on a terminal; nothing when piped."""
    if not sys.stderr.isatty():
        yield lambda stage: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def watch(stage: str) -> Callable[[int, int], None]:
            bar.reset(task, total=None, description=f"{label} {stage}".strip())
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield watch


# -- against fixed point ----------------------------------------------------------------------------------------------------


def _comparison(
    args: argparse.Namespace, inputs: Any, liberty: Path | None, lengths: list[int], widths: list[int]
) -> tuple[dict[str, Any], list[Any], Rival, tuple[Module, dict[str, Any]] | None]:
    """Result and parts to print, the same for a page, and the design at --length with its estimate, if it is among them."""
    options = inputs.config.options
    designs: dict[str, list[Design]] = {"streams": [], "fixed": []}
    main = None
    for length in lengths or [options.length]:
        config = Config(dataclasses.replace(options, length=length), inputs.config.layers)
        design, module = _design(args, inputs, config, liberty, f"streams, N = {length}")
        designs["streams"].append(design)
        if length == options.length:
            main = module, design.bill
    layers = {
        name: {k: v for k, v in values.items() if k not in STREAM_OPTIONS}
        for name, values in inputs.config.layers.items()
    }
    plain = dataclasses.replace(options, encoding="auto", source="auto", sharing="auto", style="fixed")
    for width in widths or [8]:
        config = Config(dataclasses.replace(plain, bits=width), layers)
        designs["fixed"].append(_design(args, inputs, config, liberty, f"fixed, {width} bits")[0])
    verdict = verdicts(designs["streams"], designs["fixed"])
    result = {
        "synthesised": liberty is not None,
        "table": None if liberty else OSU018.name,
        "streams": [d.plain() for d in designs["streams"]],
        "fixed": [d.plain() for d in designs["fixed"]],
        "verdict": verdict,
    }
    title = "synthesised" if liberty else f"estimated ({OSU018.name})"
    rows = [design_row(d) for d in (*designs["streams"], *designs["fixed"])]
    headings = ["design", "accuracy", "gates", "flip-flops", "area um²", "cycles", "period ns", "time ns"]
    headings += ["energy pJ", "inferences/s/mm²"]
    sentences = [verdict_sentence(v) for v in verdict]
    rival = Rival(headings, rows, sentences, (designs["streams"][0], designs["fixed"][0]))
    return result, [report.table(title, headings, rows), *sentences], rival, main


def _design(
    args: argparse.Namespace, inputs: Any, config: Config, liberty: Path | None, name: str
) -> tuple[Design, Module]:
    warnings: list[str] = []
    module = compile(
        inputs.source, calibration=inputs.calibration, config=config, passes=inputs.passes, warnings=warnings
    )
    for warning in warnings:
        print(f"warning: {name}: {warning}", file=sys.stderr)
    commands._require_hardware(module)
    accuracy = right = None
    if inputs.data is not None:
        output = Simulator(module, seed=config.options.seed).run(inputs.data.x).output
        right = predictions(output) == inputs.data.y
        accuracy = float(right.mean())
    guess = estimated(module)
    if liberty is None:
        gates, flipflops, interval = guess["gates"], guess["flipflops"], guess["interval"]
        area, energy = guess["area_um2"], guess["energy_pj"]
        return Design(name, accuracy, gates, flipflops, interval, area, energy, right=right, bill=guess), module
    found = _synthesize(args, module, inputs, liberty, name)
    design = Design(
        name,
        accuracy,
        int(found.total("gates")),
        int(found.total("flipflops")),
        found.interval,
        found.total("area"),
        found.energy,
        found.period,
        found.latency * found.period,
        right,
        guess,
    )
    return design, module
