"""`sccc report --html`: one page that holds everything, with no script and nothing from elsewhere.

Same module, same samples, same results: same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sccc import __version__
from sccc.accuracy import TRACED_SAMPLES, LayerValues, errors_of, layer_values, measure
from sccc.api import emit_files
from sccc.backends.verilog.hierarchy import Part, hierarchy
from sccc.config import Config
from sccc.data import Data
from sccc.graph_layout import markup
from sccc.graph_view import MOST_OPERATIONS, layers_svg, svg
from sccc.html_parts import number, page, paragraph, table
from sccc.html_plots import error_figure
from sccc.html_sweep import sweep_section
from sccc.ir import Module
from sccc.rival import Rival


@dataclass(frozen=True)
class Contents:
    """What a page is made of.

    bill: of `sccc.bill_tables.estimated`; columns: its per-layer keys with their headings; data: samples (their classes may be
    missing), or None; sweep: of `sccc.html_sweep.load_sweep`, or None; synthesis: headings, rows and totals of the synthesised
    bill, or None; rival: the comparison with fixed point, or None.
    """

    module: Module
    config: Config
    bill: Mapping[str, Any]
    columns: Mapping[str, str]
    data: Data | None = None
    sweep: Mapping[str, Any] | None = None
    synthesis: tuple[list[str], list[list[Any]], list[Any]] | None = None
    rival: Rival | None = None


def html_page(contents: Contents) -> str:
    """The page's text. Raises SccError where the module cannot be emitted or simulated."""
    module, data = contents.module, contents.data
    measured = measure(module, data) if data is not None and data.y is not None else None
    values = layer_values(module, data.x[:TRACED_SAMPLES]) if data is not None else []
    sections = [
        ("summary", module.name, _summary(contents, measured)),
        ("network", "Network", _network(module)),
        ("errors", "Error, layer by layer", _errors(module, values)),
        ("cost", "Cost per layer", _cost(contents)),
        ("rival", "Against fixed point", _rival(contents.rival) if contents.rival is not None else ""),
        ("netlist", "Hierarchy of the netlist", _netlist(module)),
        ("sweep", "Sweep", sweep_section(contents.sweep) if contents.sweep is not None else ""),
        ("options", "Options", _options(contents.config)),
    ]
    return page(f"{module.name}: sccc report", sections)


def _summary(contents: Contents, measured: Mapping[str, Any] | None) -> str:
    bill, tiles = contents.bill, list[tuple[str, str]]()
    part = " without memories" if "multipliers" in bill else ""
    if measured is not None:
        known = {name: value for name, value in measured["accuracy"].items() if value is not None}
        tiles += [(f"{100 * value:.2f} %", f"accuracy, {_MODELS[name]}") for name, value in known.items()]
    tiles += [
        (number(bill["gates"]), "gates (2 inputs), estimated"),
        (number(bill["flipflops"]), "flip-flops"),
        (f"{number(bill['area_um2'] / 1e6)} mm²", f"area{part}, {bill['table']}"),
        (f"{number(bill['energy_pj'] / 1e3)} nJ", f"energy per inference{part}"),
        (number(bill["cycles"]), "cycles from start to result"),
        (number(bill["interval"]), "cycles between samples"),
    ]
    boxes = "".join(f'<div class="tile"><b>{value}</b><span>{what}</span></div>' for value, what in tiles)
    samples = f"Accuracy on {number(measured['samples'])} samples. " if measured is not None else ""
    return f'<div class="tiles">{boxes}</div>' + paragraph(f"{samples}Made by sccc {__version__}.", "note")


_SIDE = {"gates": "gates", "flipflops": "flip-flops", "area_um2": "area um²", "energy_pj": "energy pJ"}
"""What is told of each layer of two designs that stand side by side."""

INDENT = "\u2003\u2003"
"""Two em spaces for each level of the hierarchy."""

MORE = "\u00a0…"
"""Behind the name of the first of several modules."""

_MODELS = {"float": "float model", "quantized": "quantised model", "stream": "bit streams"}


def _network(module: Module) -> str:
    parts = [
        paragraph(
            "A box for each layer: what it computes, the encodings of the streams that it multiplies with their random sources "
            "(kind and number), its style, and its result. Colours stand for the kind of the result."
        ),
        f'<div class="graph">{layers_svg(module)}</div>',
    ]
    if len(module) <= MOST_OPERATIONS:
        inner = f'<div class="graph">{svg(module)}</div>'
        parts.append(f"<details><summary>all {len(module)} operations</summary>{inner}</details>")
    return "\n".join(parts)


def _errors(module: Module, values: Sequence[LayerValues]) -> str:
    if not values:
        return paragraph("No samples were given (--data).")
    errors = errors_of(module, list(values))
    keys = ("name", "rmse_quantized", "rmse_stream", "relative", "added")
    headings = [
        "layer",
        "RMS, quantised − float",
        "RMS, stream − quantised",
        "stream − float, in σ of the layer",
        "added here, σ",
    ]
    samples = next((len(v.stream) for v in values if v.stream is not None), 0)
    intro = (
        f"On {samples:,} samples, in each layer's real units. quantised: numbers rounded as in hardware, streams at their "
        "expectation. added here: the part that the layers before do not account for, as if errors were independent."
    )
    figures = []
    for place, value in enumerate(values):
        if value.stream is not None and value.quantised is not None:
            figure = error_figure(value.exact, value.quantised, value.stream, f"errors of layer {place + 1}")
            figures.append(f"<div><h3>{markup(value.name)}</h3>{figure}</div>")
    return "\n".join(
        [
            paragraph(intro),
            table(headings, [[each[key] for key in keys] for each in errors]),
            f'<div class="figures">{"".join(figures)}</div>' if figures else "",
        ]
    )


def _cost(contents: Contents) -> str:
    bill, columns = contents.bill, contents.columns
    rows = [[layer[key] for key in columns] for layer in bill["layers"]]
    footer = ["total", "", *(bill.get(key, "") for key in list(columns)[2:])]
    said = f"Estimated from the cells ({bill['table']}); energy per inference in full operation, a sample every "
    parts = [paragraph(f"{said}{bill['interval']:,} cycles.")]
    parts.append(table(list(columns.values()), rows, footer, bar=list(columns).index("gates")))
    if contents.synthesis is not None:
        parts += ["<h3>Synthesised: Yosys, OpenSTA</h3>", table(*contents.synthesis)]
    return "\n".join(parts)


def _rival(rival: Rival) -> str:
    """The designs that were compared, and the estimates of the first of each kind side by side."""
    names = [design.name for design in rival.pair]
    bills = [{layer["name"]: layer for layer in design.bill["layers"]} for design in rival.pair]
    rows = [[name, *_both([bill.get(name, {}) for bill in bills])] for name in dict.fromkeys([*bills[0], *bills[1]])]
    headings = ["layer", *(f"{heading}, {kind}" for heading in _SIDE.values() for kind in ("streams", "fixed"))]
    side = table(headings, rows, ["total", *_both([design.bill for design in rival.pair])])
    return "\n".join(
        [
            table(rival.headings, rival.rows),
            *map(paragraph, rival.verdicts),
            f"<h3>Estimated, layer by layer: {markup(names[0])}; {markup(names[1])}</h3>",
            side,
        ]
    )


def _both(bills: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [bill.get(key) for key in _SIDE for bill in bills]


def _netlist(module: Module) -> str:
    files = emit_files(module, "net.v")
    root = hierarchy(files["net.v"])
    rows = [
        [
            f"{INDENT * depth}{part.name}{MORE * (part.modules > 1)}",
            part.modules,
            part.instances,
            part.lines,
            part.comment,
        ]
        for depth, part in _walk(root, 0)
    ]
    memories = f" and {len(files) - 1} memory files" if len(files) > 1 else ""
    intro = (
        f"{files['net.v'].count(chr(10)):,} lines of Verilog-2005{memories}. Modules whose names differ in numbers only stand in "
        "one row (…); instances are those written in the parent."
    )
    return paragraph(intro) + table(["module", "modules", "instances", "lines", "what the netlist says"], rows)


def _walk(part: Part, depth: int) -> Iterator[tuple[int, Part]]:
    yield depth, part
    for each in part.parts:
        yield from _walk(each, depth + 1)


def _options(config: Config) -> str:
    options = config.options
    rows = [
        [f"--{f.name.replace('_', '-')}", str(getattr(options, f.name)), f.metadata["doc"]] for f in fields(options)
    ]
    parts = [table(["option", "value", "meaning"], rows)]
    if config.layers:
        own = [[layer, name, str(value)] for layer, values in config.layers.items() for name, value in values.items()]
        parts += [paragraph("Layers that differ:"), table(["layer", "option", "value"], own)]
    return "\n".join(parts)
