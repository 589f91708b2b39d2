"""Histograms of a layer's values and errors, for the report's page."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.html_parts import figure_svg

BINS = 60

SPREAD = 99.9
"""Percent of the errors that the histogram's range holds; what is beyond falls into the last bins."""

LEAST = 0.01
"""Percent at which the axis of shares begins."""

FLOAT, QUANTISED, STREAM = "#333333", "#d9822b", "#2b6cb0"
"""Colours, which also differ in grey."""


def error_figure(exact: np.ndarray | None, quantised: np.ndarray, stream: np.ndarray, label: str) -> str:
    """Two histograms side by side as SVG: the values of the models, and their errors. Arrays of one shape, real units."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 2.6), layout="constrained")
    values, errors = figure.subplots(1, 2)
    known = [("float", exact, FLOAT), ("quantised", quantised, QUANTISED), ("stream", stream, STREAM)]
    _histograms(values, known, float(min(quantised.min(), stream.min())), float(max(quantised.max(), stream.max())))
    values.set_xlabel("value")
    differences = [
        ("quantised − float", None if exact is None else quantised - exact, QUANTISED),
        ("stream − quantised", stream - quantised, STREAM),
    ]
    reach = max(float(np.percentile(np.abs(d), SPREAD)) for _, d, _ in differences if d is not None) or 1.0
    _histograms(errors, differences, -reach, reach)
    errors.set_xlabel("error")
    values.set_ylabel("share of values, %")
    return figure_svg(figure, label)


def _histograms(axes: Any, parts: list[tuple[str, np.ndarray | None, str]], lo: float, hi: float) -> None:
    edges = np.linspace(lo, hi if hi > lo else lo + 1.0, BINS + 1)
    for name, array, colour in parts:
        if array is not None:
            counts, _ = np.histogram(np.clip(array, edges[0], edges[-1]), edges)
            axes.stairs(100 * counts / array.size, edges, color=colour, label=name, linewidth=1.1)
    axes.set_yscale("log")  # the zeros that ReLU and exact sums give would hide everything else
    axes.set_ylim(bottom=LEAST)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(parts), columnspacing=1.0
    )
