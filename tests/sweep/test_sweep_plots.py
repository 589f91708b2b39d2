"""Plots of a sweep: what stands in which panel, and intervals that end at the accuracy itself."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from sccc.sweep import wilson
from sccc.sweep_plots import panels, plot_files


def results(lengths=(8, 16), rates=(0.0,), styles=("accumulate",), right=90, samples=100):
    low, high = wilson(right, samples)
    found = []
    for length, rate, style in product(lengths, rates, styles):
        point = {"style": style, "encoding": "signed", "length": length, "flip_rate": rate}
        found.append({"point": point, "accuracy": right / samples, "low": low, "high": high})
    return found


def test_one_panel_holds_all_styles_where_nothing_flips():
    (panel,) = panels(results(styles=("accumulate", "streaming")), "length")
    assert list(panel.curves) == ["accumulate, signed", "streaming, signed"]
    assert [r["point"]["length"] for r in panel.curves["streaming, signed"]] == [8, 16]


@pytest.mark.parametrize(
    ("axis", "curves"), (("length", ["0 % flipped", "5 % flipped"]), ("flip_rate", ["N = 8", "N = 16"]))
)
def test_every_style_has_a_panel_where_lengths_and_flips_vary(axis, curves):
    made = panels(results(rates=(0.0, 0.05), styles=("accumulate", "streaming")), axis)
    assert [panel.title for panel in made] == ["accumulate, signed", "streaming, signed"]
    assert all(list(panel.curves) == curves for panel in made)


@pytest.mark.parametrize("right", range(0, 301, 20))
def test_an_interval_that_rounding_puts_beyond_the_accuracy_is_drawn(right):
    """Of 300 right out of 300 the upper bound may be 1 - 1e-16."""
    files = plot_files(results(right=right, samples=300), "t", Path("s"), None)
    assert [path.suffix for path in files] == [".png", ".svg"]


@pytest.mark.parametrize("lengths", ((8,), (8, 16)))
@pytest.mark.parametrize("rates", ((0.0,), (0.1,), (0.0, 0.1)))
def test_every_shape_of_sweep_can_be_drawn(lengths, rates):
    assert len(plot_files(results(lengths, rates, ("accumulate", "streaming")), "t", Path("s"), 0.98)) == 2


def test_a_sweep_of_which_everything_was_refused_has_an_empty_plot():
    refused = [{"point": results()[0]["point"], "refused": "why"}]
    assert len(plot_files(refused, "t", Path("s"), None)) == 2
