"""What the processes of a sweep do: compile a configuration, simulate it. Modules travel as flat data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sccc.accuracy import predictions
from sccc.api import compile
from sccc.backends.simulator import Simulator
from sccc.config import Config
from sccc.diagnostics import SccError
from sccc.digest import Packed, digest, pack, unpack
from sccc.early_exit import SUMS, final_sum, prefix_module
from sccc.ir import Module
from sccc.ops import REGISTRY
from sccc.schedule import schedule
from sccc.types import Level

SPECIFIC = ("initial", "exact", "scale")
"""Attributes of a sum that do not concern what is summed."""


@dataclass(frozen=True)
class Compiled:
    """A compiled configuration, or why it was refused; cycles from start to valid."""

    packed: Packed = field(default_factory=list)
    refused: str = ""
    cycles: int = 0


@dataclass(frozen=True)
class Member:
    """A point that a group answers. key: style, encoding, length, flip rate. initial: its own start values, [lanes]."""

    key: tuple[str, str, int, float]
    length: int
    cycles: int
    initial: np.ndarray | None


@dataclass(frozen=True)
class Group:
    """One simulation: the module, and the points that it answers, each after the first `length` cycles."""

    packed: Packed
    length: int
    flip_rate: float
    seed: int
    members: tuple[Member, ...]


def compile_point(source: Packed, config: Config, calibration: np.ndarray | None) -> Compiled:
    """Compile, or say why the compiler refuses."""
    try:
        module = compile(unpack(source), config=config, calibration=calibration)
    except SccError as error:
        return Compiled(refused=error.diagnostics[0].message)
    return Compiled(pack(module), "", schedule(module).latency)


def streams_on(module: Module) -> bool:
    """Whether the class after a prefix is that of a shorter window: no layer but the last waits for the end of one.

    A single score is no class: it is compared with a half, in real units, which totals are not.
    """
    try:
        total = final_sum(module).result
    except SccError:
        return False
    assert total is not None
    made = [op for op in module if op.result is not None and isinstance(op.result.type, Level) and op.operands]
    sums = [op for op in module if op.name in SUMS]
    return not made and len(sums) == 1 and total.type.lanes > 1


def is_prefix(short: Module, long: Module, length: int, whole: int) -> bool:
    """Whether a module with windows of `length` cycles sums just what one of `whole` cycles has summed by then.

    Both must be the same network but for their lengths: the same levels of the same bits, sources and state machines. The last
    sum's own start values may differ, as they are added afterwards.
    """
    if whole % length or not streams_on(long) or not streams_on(short):
        return False
    return _without_start(short) == _without_start(prefix_module(long, length))


def _without_start(module: Module) -> str:
    """A hash of all that decides what is summed."""
    plain = module.clone()
    op = final_sum(plain)
    for name in SPECIFIC:
        op.attributes[name] = REGISTRY[op.name].attributes[name].default
    assert op.result is not None
    op.result.type = REGISTRY[op.name].infer(op)
    for each in plain.outputs:
        each.attributes["scale"] = 1.0
    for each in plain.ops_named("sc.argmax"):
        each.result.type = REGISTRY[each.name].infer(each)  # type: ignore[union-attr]
    return digest(plain)


def prefix_groups(family: Mapping[int, Compiled], name: tuple[str, str], rate: float, seed: int) -> Iterator[Group]:
    """Simulations that answer compiled lengths: shorter ones with a longer one where their bits are its first bits.

    With flips each length has a run of its own, since the flips of a window depend on its length, unless it is the same network
    (fixed point has no window).
    """
    left = sorted(family, reverse=True)
    modules = {length: unpack(family[length].packed) for length in left} if len(left) > 1 else {}
    while left:
        whole, *rest = left
        same = [n for n in rest if digest(modules[n]) == digest(modules[whole])]
        shared = [n for n in rest if rate == 0 and n not in same and is_prefix(modules[n], modules[whole], n, whole)]
        members = []
        for length in [whole, *same, *shared]:
            initial = np.asarray(final_sum(modules[length]).attributes["initial"]) if shared else None
            window = length if length in shared else whole
            members.append(Member((*name, length, rate), window, family[length].cycles, initial))
        yield Group(family[whole].packed, whole, rate, seed, tuple(members))
        left = [n for n in rest if n not in (*same, *shared)]


def simulate_group(group: Group, x: np.ndarray, y: np.ndarray, flips: tuple[str, ...], threads: int) -> list[int] | str:
    """How many samples each point of the group gets right, or why such flips are refused."""
    module, prefixes = unpack(group.packed), list(dict.fromkeys(member.length for member in group.members))
    try:
        simulator = Simulator(
            module, prefixes=prefixes if len(prefixes) > 1 else (), flip_rate=group.flip_rate, flips=flips,
            seed=group.seed, threads=threads,
        )  # fmt: skip
    except SccError as error:
        return error.diagnostics[0].message
    run = simulator.run(x)
    if run.prefixes is None:
        return [int((predictions(run.output) == y).sum())] * len(group.members)
    own = np.asarray(final_sum(module).attributes["initial"], dtype=np.int64)
    right = []
    for member in group.members:
        # `prefix_totals` has added the longest window's start values in part; each point has its own in full
        added = (2 * own * member.length + group.length) // (2 * group.length)
        totals = run.prefixes[:, prefixes.index(member.length)] - added + np.asarray(member.initial).reshape(-1)
        right.append(int((predictions(totals) == y).sum()))
    return right
