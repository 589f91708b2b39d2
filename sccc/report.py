"""Tables for people and dictionaries for JSON."""

from __future__ import annotations

import json
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sccc.cost import Cost, bill
from sccc.dataflow import is_folded
from sccc.folded_cost import folded_bill
from sccc.ir import Module
from sccc.ops.registry import REQUIRED, Op

PIPED_WIDTH = 1000
"""Columns where there is no terminal. Tables take what they need of it."""


def console(*, stderr: bool = False) -> Console:
    """Plain text when piped, and as wide as it needs to be, so that tables do not break."""
    screen = _Console(highlight=False, stderr=stderr)
    return screen if screen.is_terminal else _Console(highlight=False, stderr=stderr, width=PIPED_WIDTH)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to `sccc.cli.main`: rich would exit with 1."""
        raise


def table(title: str, columns: list[str], rows: list[list[Any]], *, footer: list[Any] | None = None) -> Table:
    """A table; columns whose cells are numbers are aligned right."""
    result = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", show_footer=footer is not None)
    for i, name in enumerate(columns):
        numeric = bool(rows) and isinstance(rows[0][i], int | float)
        justify: Literal["left", "right"] = "right" if numeric else "left"
        result.add_column(name, justify=justify, footer=_cell(footer[i]) if footer else "", no_wrap=True)
    for row in rows:
        result.add_row(*(_cell(cell) for cell in row))
    return result


def _cell(value: Any) -> Text:
    """As Text, in which rich sees no markup: names are the user's."""
    if isinstance(value, float):
        return Text(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}")
    return Text(f"{value:,}" if isinstance(value, int) else str(value))


def scc_table(layers: list[dict[str, Any]]) -> Table:
    """What `sccc.scc.measured_scc` found: the pairs of streams whose products are furthest off."""
    rows: list[list[Any]] = []
    for layer in layers:
        for pair in layer["worst"]:
            predicted = "-" if pair["predicted"] is None else f"{pair['predicted']:+.3f}"
            weight = f"w[{', '.join(map(str, pair['weight']))}]"
            lanes = f"x[{pair['x']}] {weight}" if len(pair["weight"]) == 2 else f"{weight} at all positions"
            figures = f"{pair['deviation']:+.4f}", f"{pair['measured']:+.3f}", predicted
            rows.append([layer["layer"], lanes, *figures, f"{layer['rms']:.3f} of {layer['pairs']:,}"])
    headings = ["layer", "worst pairs", "p11 - pa pb", "SCC", "predicted", "RMS SCC of all pairs"]
    return table("correlation of the streams that are multiplied", headings, rows)


def exit_tables(result: dict[str, Any]) -> list[Any]:
    """What `sccc.exit_report` measured."""
    accuracy = f"{100 * result['accuracy']:.2f} % against {100 * result['full_accuracy']:.2f} % of the whole window"
    times = f"{result['mean_latency']:.1f} cycles on average from start to valid, {result['latency']} without"
    text = f"early exit: {accuracy}; {times}"
    if "stages" not in result:
        rule = f"margin {result['margin']} counts, first {result['first']}, every {result['every']}"
        spread = ", ".join(f"{p} % within {v:g}" for p, v in result["percentiles"].items())
        window = f"last window: {result['mean_cycles']:.2f} of {result['window']} cycles on average ({spread})"
        return [text, f"{rule}; {window}"]
    rows = [[s["length"], s["margin"], s["latency"], s["samples"]] for s in result["stages"]]
    return [text, table("", ["window", "margin", "cycles from start to valid", "samples"], rows)]


def folded_rows(module: Module) -> dict[str, Any]:
    """The bill of folded hardware as plain data: per engine and in total. utilisation: of the slowest engine's cycles."""
    found = folded_bill(module)
    total = found.total
    return {
        "layers": [
            {
                "name": engine.origin or engine.name,
                "engine": engine.kind,
                "multipliers": engine.multipliers,
                "cycles": engine.cycles,
                "utilisation": round(engine.utilisation, 3),
                "memory_bits": engine.memory_bits,
                "gates": round(engine.cost.gates),
                "flipflops": engine.cost.flipflops,
            }
            for engine in found.engines
        ],
        "sources": total.sources,
        "sngs": total.sngs,
        "multipliers": sum(engine.multipliers for engine in found.engines),
        "memory_bits": sum(engine.memory_bits for engine in found.engines),
        "gates": round(total.gates),
        "flipflops": total.flipflops,
        "cycles": found.latency,
        "interval": found.interval,
    }


def _folded_table(data: dict[str, Any]) -> Table:
    headings = ["layer", "engine", "multipliers", "cycles", "utilisation", "memory bits", "gates", "flip-flops"]
    rows = [list(layer.values()) for layer in data["layers"]]
    footer = [
        "total",
        "",
        *(data[k] for k in ("multipliers", "interval")),
        "",
        *(data[k] for k in ("memory_bits", "gates", "flipflops")),
    ]
    title = f"folded: a sample every {data['interval']:,} cycles, its result after {data['cycles']:,}"
    return table(title, headings, rows, footer=footer)


def bill_rows(module: Module) -> dict[str, Any]:
    """The bill as plain data: per layer and in total."""
    if is_folded(module):
        return folded_rows(module)
    layers, latency = bill(module)
    total = sum((layer.cost for layer in layers), Cost())
    return {
        "layers": [
            {
                "name": layer.origin or layer.name,
                "encoding": layer.encoding,
                "style": layer.style,
                "source": layer.sources,
                "sources": layer.cost.sources,
                "sngs": layer.cost.sngs,
                "products": layer.cost.products,
                "gates": round(layer.cost.gates),
                "flipflops": layer.cost.flipflops,
                "cycles": layer.cycles,
            }
            for layer in layers
        ],
        "sources": total.sources,
        "sngs": total.sngs,
        "products": total.products,
        "gates": round(total.gates),
        "flipflops": total.flipflops,
        "cycles": latency,
    }


def bill_table(data: dict[str, Any]) -> Table:
    """The bill, as `bill_rows` gives it, as a table."""
    if "interval" in data:
        return _folded_table(data)
    columns = ["name", "encoding", "style", "source", "sources", "sngs", "products", "gates", "flipflops", "cycles"]
    rows = [[layer[c] for c in columns] for layer in data["layers"]]
    headings = [
        "layer",
        "encoding (x, w)",
        "style",
        "source",
        "sources",
        "SNGs",
        "products",
        "gates",
        "flip-flops",
        "cycles",
    ]
    footer = ["total", "", "", "", *(data[c] for c in columns[4:])]
    return table("", headings, rows, footer=footer)


def json_text(data: dict[str, Any]) -> str:
    """Results as JSON."""
    return json.dumps(data, indent=2) + "\n"


def dot(module: Module) -> str:
    """The module as a Graphviz graph, one node per op."""
    lines = [f'digraph "{_quoted(module.name)}" {{', "  node [shape=box, fontname=monospace];"]
    graph = module.to_networkx()
    for node, attributes in graph.nodes(data=True):
        op = attributes["op"]
        text = op.name if op.result is None else f"%{op.result.name}\n{op.name}\n{op.result.type}"
        lines.append(f'  n{node} [label="{_quoted(text)}"];')
    lines += [f"  n{a} -> n{b};" for a, b in graph.edges()]
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def print_op(op: Op, *, full: bool) -> None:
    """An op of the registry as text: one line, or everything it states."""
    operands = ", ".join(f"%{o}" for o in op.operands)
    print(f"{op.name}({operands}): {op.doc}")
    if not full:
        return
    for name, attr in op.attributes.items():
        default = "required" if attr.default is REQUIRED else f"default {attr.default!r}"
        print(f"    {name} ({attr.kind}, {default}): {attr.doc}")
    print(f"    cell: {type(op.cell).__name__ if op.cell else 'none (no hardware)'}, latency {op.latency}")
    for need in op.needs:
        print(f"    needs: {type(need).__name__.lower()} " + ", ".join(f"%{name}" for name in need.operands))
