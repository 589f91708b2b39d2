"""The schedule: in which clock cycle of the hardware each cycle of a value's window appears.

Cycle 0 is the one in which `start` is high. Each layer has a window controller: `go` high in cycle g makes its sources
run in cycles g+1 .. g+N. A layer that streams lets the next one start one cycle behind it (the register of its state
machine); a layer that accumulates hands over its levels when its window has ended. A fixed-point layer takes its input in
cycle g itself, and may do so every cycle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sccc.cells import MultiplyAdd
from sccc.diagnostics import Collector, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.types import Count, Level, Random, Stream, Total


@dataclass(frozen=True)
class LayerTiming:
    """A layer's window: `go` is the cycle in which it is told to start, `length` its cycles.

    `instant`: fixed point, whose window of one cycle is `go` itself, because no source has to start first.
    """

    name: str
    go: int
    length: int
    streams_from: str
    instant: bool = False

    @property
    def first(self) -> int:
        """The first cycle of the window."""
        return self.go if self.instant else self.go + 1

    @property
    def ended(self) -> int:
        """The cycle in which totals are valid and the window's `done` is high."""
        return self.first + self.length

    @property
    def busy(self) -> int:
        """For how many cycles the layer's input must be held, and after how many the next one may come."""
        return self.ended - self.go


@dataclass(frozen=True)
class Schedule:
    """All layers in order, the cycle in which the result is valid, and how soon another start may follow."""

    layers: dict[str, LayerTiming]
    latency: int
    interval: int

    def first_cycle(self, value: Value) -> int:
        """The hardware cycle in which the value's window begins (streams, counts) or its number is valid (totals, levels)."""
        op = value.op
        assert op is not None
        if op.name == "sc.input":
            return 0
        timing = self.layers[str(op.attributes["layer"])]
        latency = REGISTRY[op.name].latency
        if isinstance(value.type, Stream | Count):
            return timing.first + latency
        return timing.ended + latency


def layer_ops(module: Module) -> dict[str, list[Operation]]:
    """The ops of each layer, in order; inputs and outputs belong to none."""
    layers: dict[str, list[Operation]] = {}
    for op in module:
        if op.name not in ("sc.input", "sc.output"):
            layers.setdefault(str(op.attributes.get("layer", "")), []).append(op)
    return layers


def schedule(module: Module) -> Schedule:
    """When everything happens. The module must be a chain of layers, as `lower` makes them. Raises SccError when it is not."""
    _check_layers(module)
    timings: dict[str, LayerTiming] = {}
    for name, ops in layer_ops(module).items():
        length = next(
            (op.result.type.length for op in ops if op.result and isinstance(op.result.type, Count | Stream)), 1
        )
        feed = _feeding_value(ops)
        go = 0
        streams_from = ""
        if feed is not None and feed.op is not None and feed.op.name != "sc.input":
            before = timings[str(feed.op.attributes["layer"])]
            streaming = isinstance(feed.type, Stream)
            go = before.go + REGISTRY[feed.op.name].latency if streaming else before.ended + 1
            streams_from = before.name if streaming else ""
        timings[name] = LayerTiming(name, go, length, streams_from, is_instant(ops))
    output = module.outputs[0].operands[0]
    last = timings[str(output.op.attributes["layer"])]  # type: ignore[union-attr]
    held = isinstance(output.type, Level)
    return Schedule(timings, last.ended + (1 if held else 0), max(t.busy for t in timings.values()))


def is_instant(ops: Iterable[Operation]) -> bool:
    """Whether a layer of these ops multiplies numbers, once per sample."""
    return any(isinstance(REGISTRY[op.name].cell, MultiplyAdd) for op in ops)


def _check_layers(module: Module) -> None:
    problems = Collector()
    for op in module:
        if op.name not in ("sc.input", "sc.output") and not op.attributes.get("layer"):
            problems.add("belongs to no layer", op.place(), 'write {layer = "NAME"}: a netlist is a chain of layers')
    for ops in layer_ops(module).values():
        streams = [op for op in ops if op.result and isinstance(op.result.type, Count | Random | Stream)]
        if streams and is_instant(ops):
            problems.add("a layer of streams cannot hold an fx.dot", streams[0].place(), "put it in a layer of its own")
    problems.raise_if_any()
    if not any(value.op and value.op.name != "sc.input" for op in module.outputs for value in op.operands):
        raise SccError(f"module '{module.name}' has no layer: no output is computed from anything")


def _feeding_value(ops: list[Operation]) -> Value | None:
    """The value from outside that a layer's window waits for."""
    inside = {op.result for op in ops}
    for op in ops:
        for operand in op.operands:
            if operand not in inside:
                return operand
    return None


__all__ = ["LayerTiming", "Schedule", "Total", "is_instant", "layer_ops", "schedule"]
