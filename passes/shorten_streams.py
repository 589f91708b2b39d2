"""shorten-streams: each layer that accumulates gets the shortest window with which it stays within its error budget.

A layer's window restarts its sources, so layers may have windows of different lengths. A shorter one costs fewer cycles and coarser
levels, so that what counts is both errors: that of the streams, predicted on calibration data, and that of rounding
(`sccc.passes.judge`). Lengths are tried on copies of the module, which are quantised and lowered for each, from the shortest on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from sccc.diagnostics import Location, SccError
from sccc.ir import Module, Operation
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.ops.layer import PRODUCT_LAYERS
from sccc.passes.choose_encoding import ChooseEncoding
from sccc.passes.forms import Forms
from sccc.passes.judge import Judge
from sccc.passes.lower import Lower
from sccc.passes.manager import Pass, PassContext, register, run_passes
from sccc.passes.quantize import Quantize
from sccc.passes.share_sngs import keeps_budget

SHORTEST = 8
"""Cycles of the shortest window that is tried: levels have 3 bits at least."""


@register
@dataclass(frozen=True)
class ShortenStreams(Pass):
    """Within an error budget, give each accumulating layer the shortest window; does nothing without the option shorten = yes."""

    name: ClassVar[str] = "shorten-streams"

    def run(self, module: Module, context: PassContext) -> Module:
        layers = module.ops_named(*PRODUCT_LAYERS)
        if not any(context.layer_options(op).shorten == "yes" for op in layers):
            return module
        _require_budget(layers, context)
        groups = [group for group in _groups(module) if all(_may_change(op, context) for op in group)]
        if not groups:
            return module
        given = [max(context.layer_options(op).length for op in group) for group in groups]
        chosen = _first_choice(module, context, groups, given)
        while any(tight := [not fit for fit in _fits(module, context, groups, chosen)]):
            # Other layers' lengths change what a layer is given a little, and so its error.
            longer = [_longer(n, most) if late else n for n, most, late in zip(chosen, given, tight, strict=True)]
            if longer == chosen:
                break  # share-sngs will say which layer cannot be kept within its budget at the length given
            chosen = longer
        for group, length in zip(groups, chosen, strict=True):
            for op in group:
                op.attributes["length"] = length
        return module


def _require_budget(layers: list[Operation], context: PassContext) -> None:
    if not any(context.layer_options(op).error_budget for op in layers):
        raise SccError(
            "streams are shortened within an error budget, and none is given",
            Location(option="--shorten"),
            "give --error-budget, in standard deviations of a layer's output, and --calibrate",
        )


def _groups(module: Module) -> Iterator[list[Operation]]:
    """The layers that must agree on a length: those that read one value, whose levels have as many bits as a length resolves."""
    forms = Forms(module)
    by_class: dict[int, list[Operation]] = {}
    for op in module.ops_named(*PRODUCT_LAYERS):
        by_class.setdefault(id(forms[op.operands[0]]), []).append(op)
    yield from by_class.values()


def _may_change(op: Operation, context: PassContext) -> bool:
    """Not where a length of its own is given, no budget, or where streams of the layer before or behind must be as long."""
    assert op.result is not None
    options = context.layer_options(op)
    names = (op.result.name, op.origin, str(op.attributes["activation_origin"]))
    own = any("length" in context.config.layers.get(name, {}) for name in names)
    wanted = options.shorten == "yes" and options.error_budget > 0.0
    return wanted and not own and options.style in ("auto", "accumulate") and not _streamed_to(op, context)


def _streamed_to(op: Operation, context: PassContext) -> bool:
    """Whether a layer that streams, or what lies between it and this layer, makes a layer's input."""
    maker = op.operands[0].op
    while maker is not None and maker.name not in PRODUCT_LAYERS and maker.operands:
        maker = maker.operands[0].op
    return maker is not None and maker.name in PRODUCT_LAYERS and context.layer_options(maker).style == "streaming"


def _longer(length: int, most: int) -> int:
    return min(2 * length, most)


def _first_choice(module: Module, context: PassContext, groups: list[list[Operation]], given: list[int]) -> list[int]:
    """For each group the shortest length that is enough for its layers, all other layers being as short."""
    chosen: list[int | None] = [None] * len(groups)
    length = SHORTEST
    while None in chosen:
        trial = [min(length, most) if done is None else done for done, most in zip(chosen, given, strict=True)]
        open_groups = [done is None for done in chosen]
        fits = _fits(module, context, groups, trial, open_groups)
        for number, fit in enumerate(fits):
            if open_groups[number] and (fit or trial[number] == given[number]):
                chosen[number] = trial[number]
        length *= 2
    return [length for length in chosen if length is not None]


def _fits(
    module: Module,
    context: PassContext,
    groups: list[list[Operation]],
    lengths: list[int],
    asked: list[bool] | None = None,
) -> list[bool]:
    """Whether all layers of each group, if it is asked about, stay within their budgets at these lengths."""
    trial = module.clone()
    twins = dict(zip(module.ops, trial.ops, strict=True))
    for group, length in zip(groups, lengths, strict=True):
        for op in group:
            twins[op].attributes["length"] = length
    quiet = replace(context, warnings=[])
    lowered = run_passes(trial, [Quantize(), ChooseEncoding(), Lower()], quiet)
    judge = Judge(lowered, quiet)
    dots = lowered.ops_named(*PRODUCT_SUMS)
    numbered = {str(dot.attributes["layer"]): (position, dot) for position, dot in enumerate(dots)}
    return [
        (asked is not None and not asked[number])
        or all(keeps_budget(lowered, judge, *numbered[op.result.name], quiet) for op in group if op.result)
        for number, group in enumerate(groups)
    ]
