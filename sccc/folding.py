"""Folded sums of products: how a dot product or a convolution is spread over time by multipliers that are used again and again.

`parallel` = (groups, outputs of a group, taps) are multiplied at once. At each position of the window, for each block of groups,
for each block of outputs, for each block of taps, the multipliers work for one window of N cycles (one cycle in fixed point). In
accumulate style all sources restart with every window, so a total does not depend on how its products are grouped in time.

The pass that chooses `parallel`, the report and the Verilog backend take their numbers from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sccc.ir import Operation
from sccc.line_buffer import LineBuffer, Walk
from sccc.ops.geometry import Geometry, geometry_of
from sccc.ops.registry import refuse
from sccc.types import Stream
from sccc.windows import Window


@dataclass(frozen=True)
class Folding:
    """A sum of products of `geometry`, of which `groups` x `outputs` x `taps` are multiplied at once for `length` cycles.

    `beat`: levels that arrive at a time; `sent`: results that leave at a time.
    """

    geometry: Geometry
    groups: int
    outputs: int
    taps: int
    length: int
    beat: int = 1
    sent: int = 1

    # -- shape --------------------------------------------------------------------------------------------------

    @property
    def depthwise(self) -> bool:
        """Whether the levels multiplied at once are of different groups, which have one channel each."""
        return self.groups > 1

    @property
    def window(self) -> Window:
        return self.geometry.window or Window((1, 1))

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, rows and columns; of a vector its lanes, 1 and 1."""
        shape = self.geometry.x_shape
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)

    @property
    def inner(self) -> int:
        """Channels of a group."""
        return self.image[0] // self.geometry.groups

    @property
    def group_blocks(self) -> int:
        return -(-self.geometry.groups // self.groups)

    @property
    def output_blocks(self) -> int:
        return -(-self.geometry.outputs // self.outputs)

    @property
    def tap_blocks(self) -> int:
        return -(-self.geometry.taps // self.taps)

    @property
    def slots(self) -> int:
        """Levels of x that are held at once."""
        return self.groups * self.taps

    @property
    def multipliers(self) -> int:
        return self.slots * self.outputs

    @property
    def results(self) -> int:
        """Totals that are finished together: neighbouring channels of the result."""
        return self.groups * self.outputs

    @property
    def sending_blocks(self) -> int:
        """After how many of such groups of totals the channels begin anew, or with another group; the last one may be smaller."""
        return self.group_blocks if self.depthwise else self.output_blocks

    @property
    def last_results(self) -> int:
        """How many of a smaller, last group of totals are results, and not padding."""
        if self.depthwise:
            return (self.geometry.groups - (self.group_blocks - 1) * self.groups) * self.outputs
        return self.geometry.outputs - (self.output_blocks - 1) * self.outputs

    @property
    def windows(self) -> int:
        """Windows at each position: one word of the weight memory each."""
        return self.group_blocks * self.output_blocks * self.tap_blocks

    @property
    def uses(self) -> int:
        """For how many windows in a row the same levels of x serve."""
        return self.output_blocks if self.tap_blocks == 1 else 1

    # -- reading x ----------------------------------------------------------------------------------------------

    @property
    def widest_word(self) -> int:
        """Levels that one read may give: neighbouring channels, of different groups when depthwise, which fill steps exactly."""
        return math.gcd(self.groups, self.image[0]) if self.depthwise else math.gcd(self.inner, self.taps)

    @cached_property
    def word(self) -> int:
        """Levels read at a time: the fewest with which reading does not take longer than multiplying."""
        fits = [w for w in range(1, self.widest_word + 1) if self.widest_word % w == 0 and w % self.beat == 0]
        return next((w for w in fits if self.slots // w <= self.uses * self.length), fits[-1])

    @property
    def buffer(self) -> LineBuffer:
        return LineBuffer(*self.image, self.window, self.word, self.beat)

    @property
    def walk(self) -> Walk:
        tap = (self.groups if self.depthwise else self.inner) // self.word
        repeats = 1 if self.tap_blocks == 1 else self.output_blocks
        return Walk(tap, self.slots // self.word, self.tap_blocks, repeats, self.group_blocks)

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def working(self) -> int:
        """Cycles per sample in which the multipliers work."""
        return self.geometry.positions * self.windows * self.length

    @property
    def cycles(self) -> int:
        """Cycles per sample of an engine that never waits for another: those of multiplying, reading, receiving or sending."""
        step = self.slots // self.word
        per_position = self.windows // self.uses * max(self.uses * self.length, step)
        multiplying = self.geometry.positions * per_position
        sending = math.prod(self.geometry.shape) // self.sent
        return max(multiplying, self.buffer.input_beats, sending)


def folding_of(op: Operation, parallel: Sequence[int] | None = None, beat: int = 1, sent: int = 1) -> Folding:
    """How an sc.dot, sc.conv, fx.dot or fx.conv is folded, by its attribute `parallel` unless another one is given.

    Raises SccError when that cannot be.
    """
    geometry = geometry_of(op)
    parallel = list(op.attributes["parallel"] if parallel is None else parallel)
    most = [geometry.groups, geometry.outputs, geometry.taps]
    if len(parallel) != 3 or any(not 1 <= n <= m for n, m in zip(parallel, most, strict=False)):
        raise refuse(op, f"parallel = {parallel} must be groups, outputs and taps at once, in 1 .. {most}")
    x = op.operands[0].type
    length = x.length if isinstance(x, Stream) else 1
    folding = Folding(geometry, parallel[0], parallel[1], parallel[2], length, beat, sent)
    if folding.groups > 1 and (folding.inner > 1 or folding.outputs < geometry.outputs):
        raise refuse(
            op,
            f"parallel = {parallel}: several groups at once need groups of one channel, and all outputs of each",
            f"give [1, outputs, taps], or for a depthwise convolution [groups, {geometry.outputs}, taps]",
        )
    return folding
