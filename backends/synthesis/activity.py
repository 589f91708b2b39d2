"""A simulation of the mapped gates, 64 samples at a time: what every net does, cycle by cycle.

Samples sit in the bits of 64-bit words; cells of one type and level are evaluated together. With zero delay a net changes at most
once a cycle; with unit delay every cell takes one step, so that paths of unequal length make glitches, as they do in hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sccc.backends.synthesis.flat import Flat, Group, levels
from sccc.backends.synthesis.liberty import compiled

WORD = 64
"""Samples in a word."""

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


Step = tuple[Callable[..., Any], list[np.ndarray], np.ndarray]


class GateSimulator:
    """Steps through clock cycles. `step` clocks the flip-flops, sets the inputs and lets the logic settle."""

    def __init__(self, flat: Flat, *, unit_delay: bool = False) -> None:
        self.flat, self.unit_delay = flat, unit_delay
        self.nets = np.zeros(flat.nets, dtype=np.uint64)
        self.nets[1] = ALL
        self.plan: list[Step] = []
        for level in levels(flat):
            for group, rows in level:
                self.plan += self._logic(group, rows)
        self.cells = [s for g in flat.groups.values() if not g.cell.clocked_on for s in self._logic(g, slice(None))]
        self.flops = []
        for group in flat.groups.values():
            if group.cell.clocked_on:
                names = group.cell.inputs
                data = compiled(group.cell.next_state, names)
                outputs = [
                    (group.column(p), group.cell.pins[p].function == group.cell.state) for p in group.cell.outputs
                ]
                self.flops.append((data, [group.column(p) for p in names], outputs))
        self.state: list[np.ndarray] = []

    @staticmethod
    def _logic(group: Group, rows: np.ndarray | slice) -> list[Step]:
        inputs = [group.column(p)[rows] for p in group.cell.inputs]
        functions = [(compiled(group.cell.pins[p].function, group.cell.inputs), p) for p in group.cell.outputs]
        return [(logic, inputs, group.column(pin)[rows]) for logic, pin in functions]

    def step(
        self, inputs: Mapping[str, np.ndarray], toggles: np.ndarray | None = None, mask: np.uint64 = ALL
    ) -> np.ndarray:
        """One clock cycle with these words on the input ports; the settled nets (a view that the next step changes).

        `toggles` receives the transitions of each net, in the samples of `mask`.
        """
        nets = self.nets
        before = nets.copy() if toggles is not None else nets
        for outputs, state in zip((f[2] for f in self.flops), self.state, strict=False):
            for column, straight in outputs:
                nets[column] = state if straight else ~state
        for port, words in inputs.items():
            nets[self.flat.ports[port]] = words
        nets[0], nets[1] = 0, ALL
        if self.unit_delay:
            self._settle_slowly(before, toggles, mask)
        else:
            for logic, columns, output in self.plan:
                nets[output] = logic(*(nets[c] for c in columns))
            nets[0], nets[1] = 0, ALL
            if toggles is not None:
                toggles += np.bitwise_count((nets ^ before) & mask)
        self.state = [np.asarray(data(*(nets[c] for c in columns)), dtype=np.uint64) for data, columns, _ in self.flops]
        return nets

    def _settle_slowly(self, before: np.ndarray, toggles: np.ndarray | None, mask: np.uint64) -> None:
        """All cells at once, one delay after the other, until nothing changes."""
        nets = self.nets
        while True:
            if toggles is not None:
                toggles += np.bitwise_count((nets ^ before) & mask)
            before = nets.copy()
            for logic, columns, output in self.cells:
                nets[output] = logic(*(before[c] for c in columns))
            nets[0], nets[1] = 0, ALL
            if np.array_equal(nets, before):
                return


def pack(bits: np.ndarray) -> np.ndarray:
    """Words [lanes] from bits [samples, lanes], sample k in bit k; up to 64 samples."""
    weights = np.uint64(1) << np.arange(len(bits), dtype=np.uint64)
    return (bits.astype(np.uint64) * weights[:, None]).sum(axis=0, dtype=np.uint64)


def unpack(words: np.ndarray, samples: int) -> np.ndarray:
    """Bits [samples, lanes] from words [lanes]."""
    return ((words[None, :] >> np.arange(samples, dtype=np.uint64)[:, None]) & np.uint64(1)).astype(np.int64)
