"""fold-layers: how many products of each layer work in parallel, so that no layer waits long for another.

Results do not depend on it (accumulate style: sources restart with every window), only cycles and hardware do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sccc.cells import CountCell, GroupCell, MultiplyAdd
from sccc.diagnostics import Collector, Location, SccError
from sccc.folding import Folding, folding_of
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.geometry import geometry_of
from sccc.passes.manager import Pass, PassContext, register

Parallel = tuple[int, int, int]


@register
@dataclass(frozen=True)
class FoldLayers(Pass):
    """Choose how many products each layer multiplies at once: for a number of cycles per inference, or of multipliers in all."""

    name: ClassVar[str] = "fold-layers"
    multipliers: int = 0
    cycles: int = 0

    def run(self, module: Module, context: PassContext) -> Module:
        options = context.config.options
        multipliers, cycles = self.multipliers or options.multipliers, self.cycles or options.cycles
        own = {op: _own_multipliers(op, context) for op in _sums(module)}
        if not (multipliers or cycles or any(own.values())):
            return module
        _refuse_groups(module)
        if multipliers and cycles:
            raise SccError(
                f"{multipliers} multipliers and {cycles} cycles are both asked for",
                Location(option="--multipliers"),
                "give one of them: the other follows",
            )
        choices = {op: _cheapest(op, own[op]) for op in own}
        free = [op for op in own if not own[op]]
        # A layer's own multipliers come on top of what the others share.
        share = multipliers or len(free)
        wanted = _for_cycles(choices, free, cycles) if cycles else _for_multipliers(choices, free, share)
        for op, choice in choices.items():
            chosen = choice[-1] if own[op] else wanted[op]
            op.attributes["parallel"] = [chosen.groups, chosen.outputs, chosen.taps]
        return module


def _refuse_groups(module: Module) -> None:
    problems = Collector()
    for op in module:
        if isinstance(REGISTRY[op.name].cell, GroupCell):
            problems.add("OR and MUX adders have no folded form", op.place(), "use --adder apc, or no --multipliers")
    problems.raise_if_any()


def _sums(module: Module) -> list[Operation]:
    return [op for op in module if isinstance(REGISTRY[op.name].cell, CountCell | MultiplyAdd)]


def _own_multipliers(op: Operation, context: PassContext) -> int:
    """How many multipliers a layer's own options give it; 0: none are named."""
    named = context.config.for_layer(str(op.attributes["layer"]), op.origin)
    return named.multipliers if named.multipliers != context.config.options.multipliers else 0


def _parallelisms(op: Operation) -> Iterator[Parallel]:
    """Every sensible (groups, outputs, taps): numbers that divide a layer into equal blocks, or nearly so."""
    geometry = geometry_of(op)
    depthwise = geometry.groups > 1 and geometry.x_shape[0] == geometry.groups
    for taps in _blocks(geometry.taps):
        for outputs in _blocks(geometry.outputs):
            yield 1, outputs, taps
        if depthwise:
            for groups in _blocks(geometry.groups):
                yield groups, geometry.outputs, taps


def _blocks(size: int) -> list[int]:
    """The block sizes that split `size` evenly: ceil(size / k) for every k."""
    return sorted({math.ceil(size / k) for k in range(1, size + 1)})


def _cheapest(op: Operation, most: int = 0) -> list[Folding]:
    """Foldings by rising hardware and falling cycles, none of which has another one that is better in both.

    `most`: multipliers that are not exceeded; 0: any number.
    """
    fastest: dict[int, tuple[int, int, Parallel]] = {}
    geometry = geometry_of(op)
    for parallel in _parallelisms(op):
        groups, outputs, taps = parallel
        multipliers = groups * outputs * taps
        if most and multipliers > most:
            continue
        windows = (
            math.ceil(geometry.groups / groups)
            * math.ceil(geometry.outputs / outputs)
            * math.ceil(geometry.taps / taps)
        )
        key = (windows, groups * outputs, parallel)  # of equally fast ones, the one with the fewest accumulators
        if multipliers not in fastest or key < fastest[multipliers]:
            fastest[multipliers] = key
    found: list[Folding] = []
    best = None
    for _, (windows, _, parallel) in sorted(fastest.items()):
        if best is None or windows < best:
            best = windows
            found.append(folding_of(op, parallel))
    return found


def _for_cycles(
    choices: dict[Operation, list[Folding]], free: list[Operation], cycles: int
) -> dict[Operation, Folding]:
    """The least hardware of each layer with which it needs no more than `cycles`. Raises SccError for all that cannot."""
    problems = Collector()
    wanted: dict[Operation, Folding] = {}
    for op in free:
        fits = next((f for f in choices[op] if _cycles(f) <= cycles), None)
        if fits is None:
            least = min(map(_cycles, choices[op]))
            problems.add(
                f"cannot be done in {cycles} cycles: with everything it has, it takes {least}",
                op.place(),
                f"give --cycles {least} or more, or leave it out for a netlist that does everything at once",
            )
        else:
            wanted[op] = fits
    problems.raise_if_any()
    return wanted


def _cycles(folding: Folding) -> int:
    """Cycles per sample of multiplying and of reading x: links are made as wide as it takes."""
    step = -(-folding.slots // folding.widest_word)
    per_position = folding.windows // folding.uses * max(folding.uses * folding.length, step)
    return folding.geometry.positions * per_position


def _for_multipliers(
    choices: dict[Operation, list[Folding]], free: list[Operation], most: int
) -> dict[Operation, Folding]:
    """The fewest cycles that `most` multipliers in all allow: the slowest layer is given more until there are no more."""
    if most < len(free):
        raise SccError(
            f"{most} multipliers are too few for {len(free)} layers",
            Location(option="--multipliers"),
            f"give at least {len(free)}",
        )
    targets = sorted({_cycles(folding) for op in free for folding in choices[op]})
    low, high = 0, len(targets) - 1
    best = {op: choices[op][0] for op in free}
    while low <= high:
        middle = (low + high) // 2
        tried = {op: next((f for f in choices[op] if _cycles(f) <= targets[middle]), None) for op in free}
        chosen = {op: f for op, f in tried.items() if f is not None}
        if len(chosen) == len(free) and sum(f.multipliers for f in chosen.values()) <= most:
            best, high = chosen, middle - 1
        else:
            low = middle + 1
    return best
