"""Progressive precision: the answer after each prefix of the streams, and when to stop.

In streaming style all layers run together, so that the sums of the last layer after t cycles *are* the network's answer at that
time. In accumulate style a layer hands on levels when its window ends, so that only the last layer can stop within its window;
there, running the whole network on short windows first and on longer ones for the samples in doubt saves more
(`prefix_module`: low-discrepancy streams of N cycles begin with those of N/2).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.diagnostics import Location, SccError
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.conversion import SNGS
from sccc.types import Count, Stream

SUMS = ("sc.accumulate", "sc.race")


@dataclass(frozen=True)
class ExitRule:
    """Stop after cycle t >= `first`, t a multiple of `every`, when the largest total exceeds the second by `margin` counts."""

    margin: int
    first: int = 1
    every: int = 1


def final_sum(module: Module) -> Operation:
    """The op that sums the last layer's counts and decides the class. Raises SccError where the output is something else."""
    value = module.outputs[0].operands[0]
    if value.op is not None and value.op.name == "sc.argmax":
        value = value.op.operands[0]
    if value.op is None or value.op.name not in SUMS:
        made = value.op.name if value.op is not None else "nothing"
        raise SccError(
            f"the output is made by {made}, and has no totals that grow with the window",
            (value.op or module.outputs[0]).place(),
            "a classifier that ends in scores, softmax or argmax, in streams, gives an answer after every cycle",
        )
    return value.op


def leads(totals: np.ndarray) -> np.ndarray:
    """The largest total minus the second largest, [...] of totals [..., lanes]."""
    top = np.partition(totals, totals.shape[-1] - 2, axis=-1)
    return np.asarray(top[..., -1] - top[..., -2])


def prefix_totals(counts: np.ndarray, initial: np.ndarray, prefixes: Iterable[int]) -> np.ndarray:
    """Totals int64 [samples, prefixes, lanes] after the first t cycles of counts [samples, lanes, cycles].

    The start values (one, or [lanes]), which are meant for a whole window, count by the share of it that has passed, rounded.
    """
    length = counts.shape[-1]
    at = np.asarray(list(prefixes), dtype=np.int64)
    flat = counts.reshape(len(counts), -1, length)
    running = np.cumsum(flat, axis=2, dtype=np.int64)[:, :, at - 1].transpose(0, 2, 1)
    share = np.broadcast_to(np.asarray(initial, dtype=np.int64), counts.shape[1:-1]).reshape(-1)
    return np.asarray(running + (2 * share * at[:, None] + length) // (2 * length))


def exit_cycles(totals: np.ndarray, rule: ExitRule) -> np.ndarray:
    """How many cycles each sample sums, int64 [samples], of totals [samples, cycles, lanes] after 1, 2, ... cycles."""
    safe = leads(totals) >= rule.margin
    after = np.arange(1, totals.shape[1] + 1)
    safe &= (after >= rule.first) & (after % rule.every == 0)
    safe[:, -1] = True
    return np.asarray(np.argmax(safe, axis=1) + 1)


def choose_rule(totals: np.ndarray, *, first: int = 0, every: int = 1, tolerance: float = 0.0) -> ExitRule:
    """The rule with the fewest mean cycles under which at most a share `tolerance` of the samples ever looks safe and is wrong.

    totals: int [samples, cycles, lanes] after 1, 2, ... cycles, of calibration samples. Wrong is another class than after the
    whole window, so that no labels are wanted. That a sample is never wrong with such a lead, and not only when it first has it,
    asks more of a margin and holds better on new samples. `first` 0: chosen too.
    """
    lead, winner = leads(totals), totals.argmax(axis=2)
    misleading = np.where(winner != winner[:, -1:], lead, -1)
    after = np.arange(1, totals.shape[1] + 1)
    allowed = min(int(tolerance * len(totals)), len(totals) - 1)
    rules = []
    for least in [first] if first else sorted({1 << k for k in range(len(after).bit_length())} & set(after.tolist())):
        looked = (after >= least) & (after % every == 0)
        worst = np.sort(misleading[:, looked].max(axis=1, initial=-1))[::-1]
        rules.append(ExitRule(max(int(worst[allowed]) + 1, 1), least, every))
    return min(rules, key=lambda rule: float(exit_cycles(totals, rule).mean()))


def prefix_module(module: Module, cycles: int) -> Module:
    """The same network on windows of the first `cycles` cycles of the same streams.

    Sources, levels and tables stay. Start values of sums shrink with the window, and what reads a sum multiplies by the factor
    that is lost: `cycles` must divide each window. State machines stay as they are. Raises SccError.
    """
    short = module.clone()
    for op in short:
        definition = REGISTRY[op.name]
        whole = op.operands[0].type if op.operands else None
        if op.name in SNGS:
            length = op.attributes["length"]
            if cycles < 1 or length % cycles:
                raise SccError(
                    f"a window of {length} cycles is no multiple of {cycles}",
                    op.place(),
                    "take a power of two below it",
                )
            op.attributes["length"] = cycles
        elif op.name in SUMS and isinstance(whole, Count):
            _shorten_sum(op, module.value(op.result.name).op)  # type: ignore[union-attr]
        elif op.name == "sc.rescale":
            factor = _lost_factor(op, module)
            op.attributes["mult"] = np.asarray(op.attributes["mult"]) * factor
            if np.ndim(op.attributes["mult"]) == 0:
                op.attributes["mult"] = int(op.attributes["mult"])
        elif op.name == "sc.output":
            op.attributes["scale"] = float(op.attributes["scale"]) * _lost_factor(op, module)
        if op.result is not None:
            op.result.type = definition.infer(op)
    return short


def _shorten_sum(op: Operation, whole: Operation | None) -> None:
    """Start values in the proportion of the windows; `whole` is the op that they are meant for."""
    assert whole is not None and isinstance(whole.operands[0].type, Count)
    kind = op.operands[0].type
    assert isinstance(kind, Count)
    factor = whole.operands[0].type.length // kind.length
    exact = np.asarray(whole.attributes["exact"], dtype=np.float64)
    initial = np.asarray(whole.attributes["initial"])
    op.attributes["initial"] = np.rint(initial / factor).astype(np.int64)
    op.attributes["exact"] = exact / factor if exact.ndim else float(exact) / factor
    scale = np.asarray(whole.attributes["scale"]) * factor
    op.attributes["scale"] = scale if scale.ndim else float(scale)


def _lost_factor(op: Operation, module: Module) -> int:
    """By how much the sum that an op of a shortened module reads is smaller than it was; 1 where it reads none."""
    value = op.operands[0]
    if value.op is None or value.op.name not in SUMS:
        return 1
    short, whole = value.op.operands[0].type, module.value(value.name).op.operands[0].type  # type: ignore[union-attr]
    assert isinstance(short, Count) and isinstance(whole, Count)
    return whole.length // short.length


def window_length(module: Module) -> int:
    """Cycles of the longest window, 1 without streams."""
    return max((v.type.length for v in module.values() if isinstance(v.type, Stream)), default=1)


def parse_rule(text: str) -> dict[str, Any]:
    """What `--early-exit` says: `margin=auto` or a number, and perhaps `first=T`, `every=K`, `tolerance=P`, `stages=8+16+32`.

    Keys: margin (0: auto), first (0: auto), every, tolerance, stages (a list). Raises SccError.
    """
    place = Location(option="--early-exit")
    values: dict[str, Any] = {"margin": 0, "first": 0, "every": 1, "tolerance": 0.0, "stages": []}
    for part in filter(None, text.split(",")):
        key, sign, value = part.partition("=")
        if key not in values or not sign:
            raise SccError(
                f"'{part}' is not understood",
                place,
                "write margin=auto, or like margin=12,first=8,every=2,tolerance=0.001",
            )
        try:
            if key == "stages":
                values[key] = [int(n) for n in value.split("+")]
            elif key == "tolerance":
                values[key] = float(value)
            else:
                values[key] = 0 if value == "auto" and key != "every" else int(value)
        except ValueError:
            raise SccError(f"'{value}' is not a number", place, f"give {key} a number") from None
    return values
