"""Flips at given sites: from names, lanes, cycles and bits to the draws of `sccc.backends.simulator.flips`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from sccc.backends.simulator.faults import state_width
from sccc.backends.simulator.flips import ALL_SAMPLES, KINDS, PRODUCT, STATE, W, X
from sccc.cells import CountCell, Fsm, MultiplyAdd, Race
from sccc.diagnostics import Collector, Location, SccError, nearest
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.fixed import number_range
from sccc.ops.geometry import geometry_of
from sccc.types import Count, Level, Stream


@dataclass(frozen=True)
class FlipSite:
    """One bit that flips.

    kind: see `sccc.backends.simulator.flips`. value: the result's name, without %, of the dot product or convolution (operand,
    product) or of the sum or state machine (state). lane: flat, of the operand, of the products [m, positions, n], or of the
    register. cycle: of the window, from 0. sample: of the data, -1 for all. bit: of a register or number, 0 the least significant.
    operand: x or w.
    """

    kind: str
    value: str
    lane: int
    cycle: int = 0
    sample: int = ALL_SAMPLES
    bit: int = 0
    operand: str = "x"


Sites = Mapping[tuple[int, int, int], tuple[tuple[int, int], ...]]


def load_sites(path: str | Path) -> list[FlipSite]:
    """Sites from a JSON list of objects with the fields of `FlipSite`. Raises SccError."""
    place = Location(file=str(path), option="--flip-sites")
    advice = 'write a list like [{"kind": "state", "value": "fc1_total", "lane": 3, "cycle": 5, "bit": 2}]'
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SccError(f"cannot read the sites: {reason}", place, advice) from error
    known = {f.name: str if f.type == "str" else int for f in fields(FlipSite)}
    sites = []
    for number, entry in enumerate(data if isinstance(data, list) else [None]):
        if not isinstance(entry, dict) or not {"kind", "value", "lane"} <= set(entry) <= set(known):
            raise SccError(f"site {number} has not just the fields of a site: {', '.join(known)}", place, advice)
        for name, value in entry.items():
            if type(value) is not known[name]:
                raise SccError(f"site {number}: {name} is {value!r}, and must be {known[name].__name__}", place, advice)
        sites.append(FlipSite(**entry))
    return sites


def resolve_sites(module: Module, sites: Iterable[FlipSite]) -> Sites:
    """Sites as the draws take them. Raises SccError with every site that the module does not have."""
    made: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    named = {op.result.name: (number, op) for number, op in enumerate(module.ops) if op.result is not None}
    problems = Collector()
    for site in sites:
        with problems.catching():
            if site.value not in named:
                raise SccError(
                    f"the module has no value '{site.value}' to flip bits of", advice=nearest(site.value, named)
                )
            number, op = named[site.value]
            what, lanes, width, cycles = _extent(op, site)
            for name, value, limit in (
                ("lane", site.lane, lanes),
                ("bit", site.bit, width),
                ("cycle", site.cycle, cycles),
            ):
                if not 0 <= value < limit:
                    raise SccError(f"{name} {value} is outside 0 .. {limit - 1}", op.place(), "of a flipped bit")
            made.setdefault((site.sample, number, what), []).append((site.lane * width + site.bit, site.cycle))
    problems.raise_if_any()
    return {key: tuple(value) for key, value in made.items()}


def _extent(op: Operation, site: FlipSite) -> tuple[int, int, int, int]:
    """Which draw a site belongs to, and its lanes, bits of a lane, and cycles."""
    cell = REGISTRY[op.name].cell
    advice = "operands and products are those of a dot product, states those of a sum or a state machine"
    if site.kind not in KINDS or site.operand not in ("x", "w"):
        raise SccError(f"a {site.kind} of {site.operand} cannot flip", op.place(), "known: " + ", ".join(KINDS))
    if site.kind == "state" and isinstance(cell, Fsm | MultiplyAdd | Race):
        count = op.operands[0].type
        assert op.result is not None
        return STATE, op.result.type.lanes, state_width(op), count.length if isinstance(count, Count) else 1
    if site.kind == "operand" and isinstance(cell, MultiplyAdd) and site.operand == "x":
        kind = op.operands[0].type
        assert isinstance(kind, Level)
        lowest, highest = number_range(kind)
        return X, kind.lanes, (highest - lowest).bit_length(), 1
    if site.kind == "state" or not isinstance(cell, CountCell):
        raise SccError(f"%{site.value} has no {site.kind} whose bits could flip", op.place(), advice)
    which = X if site.kind == "operand" and site.operand == "x" else W
    stream = op.operands[which].type
    assert isinstance(stream, Stream)
    if site.kind == "product":
        return PRODUCT, geometry_of(op).products, 1, stream.length
    return which, math.prod(stream.shape), 1, stream.length
