"""The engines of folded hardware, and the links between them: what each does, in how many cycles, with how much memory.

A link carries a value, some lanes at a time, with a valid/ready handshake. Images go pixel by pixel, row after row, all channels of
a pixel in a row; vectors in the order in which they were made: reshaping and transposing only changes which lane comes when.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sccc.cells import Gather
from sccc.folding import Folding
from sccc.ir import Operation, Value
from sccc.line_buffer import LineBuffer, Walk
from sccc.ops.registry import REGISTRY
from sccc.types import Level, lane_width, signed_width
from sccc.windows import Window


@dataclass(eq=False)
class Link:
    """A value on its way: `order` is the lane that comes at each place, `run` how many places one pixel takes.

    `beat` lanes are transferred at a time; it divides `run`.
    """

    value: Value
    order: np.ndarray = field(repr=False)
    run: int
    beat: int = 1

    @property
    def beats(self) -> int:
        """Transfers per sample."""
        return len(self.order) // self.beat


@dataclass(frozen=True)
class View:
    """A value as the lanes of a link under other names: `order` is the value's lane at each place of the link."""

    link: Link
    order: np.ndarray


def natural_order(shape: Sequence[int]) -> np.ndarray:
    """The lanes of an image pixel by pixel, of anything else one after the other."""
    lanes = np.arange(math.prod(shape))
    return lanes.reshape(tuple(shape)).transpose(1, 2, 0).reshape(-1) if len(shape) == 3 else lanes


def run_of(shape: Sequence[int]) -> int:
    """Lanes of a pixel; all lanes of what is no image."""
    return shape[0] if len(shape) == 3 else math.prod(shape)


@dataclass(eq=False, kw_only=True)
class Engine:
    """A piece of hardware that makes a link from others. `tail`: what happens to its totals, op by op; `totals`: their value."""

    name: str
    op: Operation
    inputs: list[Link]
    output: Link
    tail: list[Operation] = field(default_factory=list)
    totals: Value | None = None

    @property
    def origin(self) -> str:
        return self.op.origin

    @property
    def cycles(self) -> int:
        """Cycles per sample when it never waits for another engine."""
        return max(self.output.beats, *(link.beats for link in self.inputs))

    @property
    def memory_bits(self) -> dict[str, int]:
        """Bits of its memories, by what they hold."""
        return {}

    def _lane_constants(self) -> int:
        """Bits of the multipliers of the tail, where they differ from lane to lane."""
        bits = 0
        for op in self.tail:
            mult = np.asarray(op.attributes.get("mult", 0))
            if np.unique(mult).size > 1:
                bits += mult.size * signed_width(0, int(mult.max()))
        return bits


@dataclass(eq=False, kw_only=True)
class ProductEngine(Engine):
    """sc.dot, sc.conv, fx.dot, fx.conv, with its accumulator. `order`: the lane of x at each place of its link."""

    folding: Folding
    order: np.ndarray

    @property
    def cycles(self) -> int:
        return self.folding.cycles

    @property
    def initial(self) -> np.ndarray:
        """What its totals start from: one integer, or one for each lane or channel."""
        maker = self.op if "initial" in self.op.attributes else self.totals.op  # type: ignore[union-attr]
        assert maker is not None
        return np.asarray(maker.attributes["initial"])

    @property
    def memory_bits(self) -> dict[str, int]:
        x, w = self.inputs[0].value.type, constant_of(self.op).type
        f = self.folding
        assert self.totals is not None and isinstance(w, Level)
        bits = {"line buffer": f.buffer.levels * lane_width(x)}
        bits["weights"] = f.windows * f.multipliers * lane_width(w)
        starts = self.initial.size * lane_width(self.totals.type) if np.unique(self.initial).size > 1 else 0
        bits["start values and scales"] = starts + self._lane_constants()
        return bits


@dataclass(eq=False, kw_only=True)
class PoolEngine(Engine):
    """sc.max_pool, sc.sum_pool."""

    window: Window

    @property
    def buffer(self) -> LineBuffer:
        channels, height, width = self.op.operands[0].type.shape
        beat = self.inputs[0].beat
        return LineBuffer(channels, height, width, self.window, beat, beat)

    @property
    def walk(self) -> Walk:
        return Walk(1, self.window.taps, blocks=self.buffer.pixel_words)

    @property
    def cycles(self) -> int:
        return max(self.buffer.positions * self.walk.fetches * self.walk.step_words, self.inputs[0].beats)

    @property
    def memory_bits(self) -> dict[str, int]:
        bits = {"line buffer": self.buffer.levels * lane_width(self.inputs[0].value.type)}
        return bits | ({"start values and scales": self._lane_constants()} if self._lane_constants() else {})


@dataclass(eq=False, kw_only=True)
class AddEngine(Engine):
    """sc.add. `depths`: transfers that wait in front of each operand for the other one."""

    depths: list[int] = field(default_factory=lambda: [2, 2])

    @property
    def memory_bits(self) -> dict[str, int]:
        waiting = sum(d * k.beat * lane_width(k.value.type) for d, k in zip(self.depths, self.inputs, strict=True))
        bits = {"waiting operands": waiting}
        return bits | ({"start values and scales": self._lane_constants()} if self._lane_constants() else {})


@dataclass(eq=False, kw_only=True)
class LayoutEngine(Engine):
    """Levels in another order, some left out, repeated or added: its inputs are stored whole, and read in the order wanted.

    `index`: for each lane it sends the place on its inputs, laid end to end, or a negative number for `level`.
    """

    index: np.ndarray
    level: int = 0

    def blocks(self, beat: int) -> np.ndarray | None:
        """The index in units of transfers of `beat` lanes; None where it does not keep them together."""
        parts = self.index.reshape(-1, beat)
        first = parts[:, :1]
        together = (parts == first + np.arange(beat)).all(axis=1) & (first[:, 0] % beat == 0)
        nothing = (parts < 0).all(axis=1)
        return np.where(nothing, -1, first[:, 0] // beat) if (together | nothing).all() else None

    @property
    def memory_bits(self) -> dict[str, int]:
        stored = sum(len(link.order) * lane_width(link.value.type) for link in self.inputs)
        entries = self.output.beats * (sum(link.beats for link in self.inputs) + 1).bit_length()
        return {"stored inputs": stored, "order": entries}


def constant_of(op: Operation) -> Value:
    """The constant weights of a sum of products."""
    weights = op.operands[1]
    assert weights.op is not None
    return weights.op.operands[0] if weights.op.name == "sc.sng" else weights


def is_rewiring(op: Operation) -> bool:
    """Whether an op only moves lanes."""
    return isinstance(REGISTRY[op.name].cell, Gather)
