"""Plots of a sweep: accuracy against stream length and against flipped bits, with 95 % intervals."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

COLOURS = 10
"""Colours before they come again, with another line style."""


def plot_files(results: Iterable[dict[str, Any]], title: str, stem: Path, reference: float | None) -> dict[Path, bytes]:
    """STEM.png and STEM.svg. reference: the float model's accuracy in 0 .. 1, drawn as a line. Same input, same
    bytes."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = [r for r in results if "accuracy" in r]
    axes_wanted = [axis for axis in ("length", "flip_rate") if len({r["point"][axis] for r in known}) > 1] or ["length"]
    with matplotlib.rc_context({"svg.hashsalt": "sccc", "svg.fonttype": "path"}):
        figure = Figure(figsize=(6.4 * len(axes_wanted), 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title)
        for axis, axes in zip(axes_wanted, figure.subplots(1, len(axes_wanted), squeeze=False)[0], strict=True):
            _draw(axes, known, axis, reference)
        files = {}
        for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=ending, dpi=120, metadata=metadata)
            files[stem.with_name(f"{stem.name}.{ending}")] = buffer.getvalue()
    return files


def _draw(axes: Any, results: list[dict[str, Any]], axis: str, reference: float | None) -> None:
    other = "flip_rate" if axis == "length" else "length"
    curves: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        point = result["point"]
        curves.setdefault((point["style"], point["encoding"], point[other]), []).append(result)
    for number, (key, rows) in enumerate(curves.items()):
        rows.sort(key=lambda row: row["point"][axis])
        at = [row["point"][axis] * (100 if axis == "flip_rate" else 1) for row in rows]
        middle, low, high = ([100 * row[name] for row in rows] for name in ("accuracy", "low", "high"))
        errors = [[m - x for m, x in zip(middle, low, strict=True)], [x - m for m, x in zip(middle, high, strict=True)]]
        last = f"{100 * key[2]:g} % flipped" if other == "flip_rate" else f"N = {key[2]}"
        line = {"color": f"C{number % COLOURS}", "linestyle": ("-", "--", ":", "-.")[number // COLOURS % 4]}
        axes.errorbar(
            at, middle, errors, label=f"{key[0]}, {key[1]}, {last}", marker="o", markersize=3, capsize=2, **line
        )
    if reference is not None:
        axes.axhline(100 * reference, color="grey", linewidth=0.8, label="float model")
    if axis == "length":
        axes.set_xscale("log", base=2)
    axes.set_xlabel("stream length N, cycles" if axis == "length" else "flipped bits, %")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
