"""Plots of a sweep: accuracy against stream length and against flipped bits, with 95 % intervals.

Where several styles or encodings and several values of the other axis were swept, every style and encoding has a panel of its own.
Curves stand a little beside each other, so that their intervals can be told apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

AXES = {"length": "stream length N, cycles", "flip_rate": "flipped bits, %"}

BESIDE = 0.3
"""Distance of the first curve from the last, as a share of the distance of neighbouring points."""

PANEL = 4.0, 3.6
"""Width and height of a panel, inches."""


@dataclass
class Panel:
    """One plot: name of a curve -> its points. ordered: whether the curves are values of a quantity."""

    axis: str
    title: str
    ordered: bool
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def plot_files(results: Iterable[dict[str, Any]], title: str, stem: Path, reference: float | None) -> dict[Path, bytes]:
    """STEM.png and STEM.svg of results as `run_sweep` gives them; the same bytes for the same input.

    reference: the float model's accuracy in 0 .. 1, drawn as a line. An axis along which nothing changes has no plot.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = [r for r in results if "accuracy" in r]
    rows = [panels(known, axis) for axis in AXES if len(_values(known, axis)) > 1] or [panels(known, "length")]
    files = {}
    with rc_context({"svg.hashsalt": "sccc", "svg.fonttype": "path"}):
        columns = max(map(len, rows))
        figure = Figure(figsize=(PANEL[0] * columns + 2.0, PANEL[1] * len(rows) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title)
        for line, row in zip(figure.subplots(len(rows), columns, squeeze=False, sharey=True), rows, strict=True):
            for axes, panel in zip(line, row, strict=True):
                _draw(axes, panel, reference)
            line[0].set_ylabel("accuracy, %")
            if line[-1].containers or reference is not None:
                line[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), fontsize="small", frameon=False)
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, dpi=120, metadata=metadata)
            files[stem.with_name(f"{stem.name}.{ending}")] = buffer.getvalue()
    return files


def panels(results: list[dict[str, Any]], axis: str) -> list[Panel]:
    """The plots along an axis: one, or one for each style and encoding."""
    other = "flip_rate" if axis == "length" else "length"
    families = list(dict.fromkeys(_family(r) for r in results))
    others = _values(results, other)
    if len(others) < 2:
        one = Panel(axis, _other_name(other, others[0]) if others else "", ordered=False)
        one.curves = {f: [r for r in results if _family(r) == f] for f in families}
        return [one]
    made = []
    for family in families:
        mine = [r for r in results if _family(r) == family]
        curves = {_other_name(other, v): [r for r in mine if r["point"][other] == v] for v in others}
        made.append(Panel(axis, family, ordered=True, curves=curves))
    return made


def _values(results: Iterable[dict[str, Any]], axis: str) -> list[float]:
    return sorted({r["point"][axis] for r in results})


def _family(result: dict[str, Any]) -> str:
    return f"{result['point']['style']}, {result['point']['encoding']}"


def _other_name(other: str, value: float) -> str:
    return f"{100 * value:g} % flipped" if other == "flip_rate" else f"N = {value}"


def _draw(axes: Any, panel: Panel, reference: float | None) -> None:
    from matplotlib import colormaps

    count = len(panel.curves)
    at = _values((r for rows in panel.curves.values() for r in rows), panel.axis)
    for number, (name, curve) in enumerate(panel.curves.items()):
        rows = sorted(curve, key=lambda row: row["point"][panel.axis])
        below = [100 * max(0.0, row["accuracy"] - row["low"]) for row in rows]
        above = [100 * max(0.0, row["high"] - row["accuracy"]) for row in rows]
        axes.errorbar(
            _beside(rows, at, BESIDE * ((number + 0.5) / count - 0.5), panel.axis),
            [100 * row["accuracy"] for row in rows],
            (below, above),
            label=name,
            color=colormaps["viridis"](0.9 * number / max(1, count - 1)) if panel.ordered else f"C{number % 10}",
            marker="o", markersize=3, linewidth=1.2, capsize=2, elinewidth=0.8,
        )  # fmt: skip
    if reference is not None:
        axes.axhline(100 * reference, color="grey", linewidth=0.8, label=f"float, {100 * reference:.2f} %")
    if panel.axis == "length":
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [str(value) for value in at])
        axes.minorticks_off()
    else:
        axes.set_xticks([100 * value for value in at])
    axes.set_title(panel.title, fontsize="medium")
    axes.set_xlabel(AXES[panel.axis])
    axes.grid(alpha=0.3)


def _beside(rows: Sequence[dict[str, Any]], at: Sequence[float], shift: float, axis: str) -> list[float]:
    """Places of a curve's points: `shift` distances of neighbouring points beside their values."""
    values = [row["point"][axis] for row in rows]
    step = (at[-1] / at[0]) ** (1 / max(1, len(at) - 1)) if axis == "length" else min(_gaps(at), default=0.0)
    return [v * step**shift for v in values] if axis == "length" else [100 * (v + shift * step) for v in values]


def _gaps(at: Sequence[float]) -> list[float]:
    return [b - a for a, b in pairwise(at)]
