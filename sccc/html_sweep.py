"""A sweep on the report's page: what `sccc sweep --json` wrote, as plots and a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sccc.config import OPTION_FIELDS
from sccc.diagnostics import Location, SccError
from sccc.html_parts import inline_svg, paragraph, table
from sccc.sweep_plots import plot_files

LARGEST = 1e12
"""No figure of a sweep is as large."""


def load_sweep(path: str) -> dict[str, Any]:
    """What `sccc sweep --json` wrote. Raises SccError."""
    place, advice = Location(file=path, option="--sweep"), "write one with `sccc sweep ... --json FILE`"
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SccError(f"cannot read the sweep: {error.strerror}", place, advice) from error
    except ValueError as error:
        raise SccError("not a sweep's JSON", place, advice) from error
    held = found if isinstance(found, dict) else {}
    points = held.get("points")
    numbers = all(_is_number(held.get(key)) for key in ("samples", "float"))
    if not numbers or not isinstance(points, list) or not all(map(_is_point, points)):
        raise SccError("not a sweep's JSON: points, samples or float are missing", place, advice)
    return held


def _is_point(result: Any) -> bool:
    """Whether a sweep's result holds what is shown of it."""
    point = result.get("point") if isinstance(result, dict) else None
    if not isinstance(point, dict):
        return False
    if any(point.get(key) not in OPTION_FIELDS[key].metadata["choices"] for key in ("style", "encoding")):
        return False
    held = [point.get("length"), point.get("flip_rate")]
    held += [] if "refused" in result else [result.get(key) for key in ("accuracy", "low", "high", "cycles")]
    return all(map(_is_number, held))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < LARGEST


def sweep_section(sweep: Mapping[str, Any]) -> str:
    """Plots and table of a sweep."""
    points, shown = sweep["points"], ""
    if any("accuracy" in result for result in points):
        plots = plot_files(points, "", Path("sweep"), sweep["float"])
        shown = next(inline_svg(text.decode(), "accuracy") for path, text in plots.items() if path.suffix == ".svg")
    headings = ["style", "encoding", "N, cycles", "flipped, %", "accuracy, %", "95 % from", "to", "latency, cycles", ""]
    intro = f"{sweep['samples']:,} samples; float model {100 * sweep['float']:.2f} %. Bars are 95 % intervals (Wilson)."
    return paragraph(intro) + shown + table(headings, [_row(result) for result in points])


def _row(result: Mapping[str, Any]) -> list[Any]:
    point = result["point"]
    accuracy = [f"{100 * result[key]:.2f}" if key in result else None for key in ("accuracy", "low", "high")]
    head = [point["style"], point["encoding"], point["length"], 100 * point["flip_rate"]]
    return [*head, *accuracy, result.get("cycles"), result.get("refused", "")]
