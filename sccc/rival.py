"""Streams and fixed point held against each other: designs as rows of a table, and who wins in what."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

EQUAL_ACCURACY, EQUAL_SIGMAS = 0.001, 2.0
"""A rival is as accurate when it is at most 0.1 percentage points worse, or when the samples cannot tell: of those on which just
one of the two is right, the difference is within two standard deviations of none (McNemar 1947)."""


@dataclass
class Design:
    """One line of the comparison. `period` in ns and what follows from it are None without synthesis, `accuracy` without data;
    `right`: which samples it classifies rightly; `bill`: the estimate (`sccc.bill_tables.estimated`)."""

    name: str
    accuracy: float | None
    gates: int
    flipflops: int
    interval: int
    area: float
    energy: float
    period: float | None = None
    latency: float | None = None
    right: np.ndarray | None = field(default=None, repr=False)
    bill: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def time(self) -> float | None:
        """The shortest time between samples, ns."""
        return self.interval * self.period if self.period is not None else None

    @property
    def throughput_per_area(self) -> float | None:
        """Inferences per second and mm²."""
        return 1e15 / (self.time * self.area) if self.time else None

    def plain(self) -> dict[str, Any]:
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("right", "bill")},
            "time_ns": self.time,
            "inferences_per_second_per_mm2": self.throughput_per_area,
        }


@dataclass(frozen=True)
class Rival:
    """A comparison for a page: the designs as a table, what is said of them, and the two whose bills stand side by side."""

    headings: list[str]
    rows: list[list[Any]]
    verdicts: list[str]
    pair: tuple[Design, Design]


def design_row(d: Design) -> list[Any]:
    accuracy = "-" if d.accuracy is None else f"{100 * d.accuracy:.2f} %"
    optional = ["-" if v is None else f"{v:,.2f}" for v in (d.period, d.time)]
    per_area = "-" if d.throughput_per_area is None else f"{d.throughput_per_area:,.0f}"
    return [d.name, accuracy, d.gates, d.flipflops, float(d.area), d.interval, *optional, float(d.energy), per_area]


MEASURES = ("area", "energy", "time", "throughput_per_area")


def verdicts(streams: list[Design], fixed: list[Design]) -> list[dict[str, Any]]:
    """Each stream design against the fixed one that is best in each measure among those as accurate.

    Where no fixed design is as accurate, the most accurate one is the rival. `ratio` is streams over fixed; `wins` whether the
    streams are better: less area, energy and time, more throughput per area.
    """
    found = []
    for design in streams:
        equal = [r for r in fixed if _as_accurate(r, design)]
        rivals = equal or [max(fixed, key=lambda r: r.accuracy or 0.0)]
        verdict: dict[str, Any] = {"design": design.name, "equally_accurate": bool(equal), "measures": {}}
        for measure in MEASURES:
            values = {r.name: getattr(r, measure) for r in rivals if getattr(r, measure)}
            own = getattr(design, measure)
            if not values or not own:
                continue
            more = measure == "throughput_per_area"
            best = (max if more else min)(values, key=lambda name: values[name])
            ratio = own / values[best]
            verdict["measures"][measure] = {"rival": best, "ratio": ratio, "wins": ratio > 1 if more else ratio < 1}
        found.append(verdict)
    return found


def _as_accurate(rival: Design, design: Design) -> bool:
    if rival.accuracy is None or design.accuracy is None:
        return True
    if rival.accuracy >= design.accuracy - EQUAL_ACCURACY:
        return True
    if rival.right is None or design.right is None:
        return False
    lost, won = int((design.right & ~rival.right).sum()), int((rival.right & ~design.right).sum())
    return lost - won <= EQUAL_SIGMAS * float(np.sqrt(lost + won))


def verdict_sentence(verdict: dict[str, Any]) -> str:
    texts = [
        f"{'better' if m['wins'] else 'worse'} in {name.replace('_', ' ')} ({m['ratio']:.3g} x {m['rival']})"
        for name, m in verdict["measures"].items()
    ]
    note = "" if verdict["equally_accurate"] else " (no fixed design is as accurate)"
    return f"{verdict['design']}: {', '.join(texts)}{note}"
