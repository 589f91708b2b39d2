"""The schedule: in which clock cycle of the hardware each cycle of a value's window appears.

Cycle 0 is the one in which `start` is high. Each layer has a window controller: `go` high in cycle g makes its sources
run in cycles g+1 .. g+N. A layer that streams lets the next one start one cycle behind it (the register of its state
machine); a layer that accumulates hands over its levels when its window has ended. A fixed-point layer takes its input in
cycle g itself, and may do so every cycle. A layer of levels alone (pooling, the sum of branches) has no window: its result
is in its registers one cycle after g.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sccc.cells import Gather, MultiplyAdd
from sccc.diagnostics import Collector, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.types import Count, Level, Random, Stream, Total


@dataclass(frozen=True)
class LayerTiming:
    """A layer's window: `go` is the cycle in which it is told to start, `length` its cycles, 0 for a layer of levels.

    `streams_from`: the layer whose streams it reads; `after`: the one whose end starts it, "" for the network's start.
    `instant`: fixed point, whose window of one cycle is `go` itself, because no source has to start first.
    """

    name: str
    go: int
    length: int
    streams_from: str
    after: str = ""
    instant: bool = False

    @property
    def first(self) -> int:
        """The first cycle of the window."""
        return self.go if self.instant or not self.length else self.go + 1

    @property
    def ended(self) -> int:
        """The cycle in which totals are valid and the window's `done` is high."""
        return self.first + self.length

    @property
    def last_read(self) -> int:
        """The last cycle in which the layer looks at the levels that it was given."""
        return max(self.go, self.ended - 1)


@dataclass(frozen=True)
class Schedule:
    """All layers in order, the cycle in which the result is valid, and how soon another start may follow.

    `hold`: for how many cycles from start the network's input must stay.
    """

    layers: dict[str, LayerTiming]
    latency: int
    interval: int
    hold: int

    def first_cycle(self, value: Value) -> int:
        """The hardware cycle in which the value's window begins (streams, counts) or its number is valid (totals, levels)."""
        return _first_cycle(value, self.layers)


def _first_cycle(value: Value, layers: dict[str, LayerTiming]) -> int:
    op = value.op
    assert op is not None
    if op.name == "sc.input":
        return 0
    definition = REGISTRY[op.name]
    if isinstance(definition.cell, Gather):
        return max(_first_cycle(operand, layers) for operand in op.operands)
    timing = layers[str(op.attributes["layer"])]
    if isinstance(value.type, Stream | Count):
        return timing.first + definition.latency
    return timing.ended + definition.latency


def layer_ops(module: Module) -> dict[str, list[Operation]]:
    """The ops of each layer, in order; inputs and outputs belong to none."""
    layers: dict[str, list[Operation]] = {}
    for op in module:
        if op.name not in ("sc.input", "sc.output"):
            layers.setdefault(str(op.attributes.get("layer", "")), []).append(op)
    return layers


def layer_origin(ops: Iterable[Operation]) -> str:
    """The ONNX node that a layer stands for: what most of its ops come from (a reshape before it may be another node's)."""
    origins = [op.origin for op in ops if op.origin]
    return max(origins, key=origins.count, default="")


def schedule(module: Module) -> Schedule:
    """When everything happens. Raises SccError where layers do not fit one another."""
    _check_layers(module)
    timings: dict[str, LayerTiming] = {}
    held: dict[Value, int] = {}
    for name, ops in layer_ops(module).items():
        feeds = feeding_values(ops)
        timing = timings[name] = _timing(name, ops, feeds, timings)
        for register in set().union(*(_registers(feed) for feed in feeds)):
            held[register] = max(held.get(register, 0), timing.last_read)
    output = module.outputs[0].operands[0]
    last = timings[str(output.op.attributes["layer"])]  # type: ignore[union-attr]
    latency = _first_cycle(output, timings) if isinstance(output.type, Level) else last.ended
    # A register takes the next sample's level `interval` cycles after this one's, which must have been read by then.
    free = [until + 1 - _first_cycle(value, timings) for value, until in held.items() if isinstance(value.type, Level)]
    busy = [timing.ended - timing.go for timing in timings.values()]
    hold = max((until + 1 for value, until in held.items() if value in _results(module.inputs)), default=1)
    return Schedule(timings, latency, max(1, *free, *busy), hold)


def _results(ops: Iterable[Operation]) -> list[Value]:
    return [op.result for op in ops if op.result is not None]


def _timing(name: str, ops: list[Operation], feeds: list[Value], timings: dict[str, LayerTiming]) -> LayerTiming:
    windows = [op.result.type.length for op in ops if op.result and isinstance(op.result.type, Count | Stream)]
    length = windows[0] if windows else int(is_instant(ops))
    starts: dict[str, int] = {}
    streaming = ""
    for feed in feeds:
        for register in _registers(feed):
            if register.op is None or register.op.name == "sc.input":
                continue
            before = timings[str(register.op.attributes["layer"])]
            if isinstance(feed.type, Stream):
                streaming = before.name
                starts[before.name] = before.go + REGISTRY[register.op.name].latency
            else:
                starts[before.name] = max(starts.get(before.name, 0), _first_cycle(feed, timings))
    after = max(starts, key=lambda n: starts[n], default="")
    if streaming and len(set(starts.values())) > 1:
        raise SccError(
            f"layer '{name}' reads the streams of '{streaming}' and must wait for '{after}'",
            ops[0].place(),
            f"give layer '{streaming}' style = 'accumulate'",
        )
    return LayerTiming(name, starts.get(after, 0), length, streaming, after, is_instant(ops))


def _registers(value: Value) -> set[Value]:
    """The values behind rewirings, which hold nothing themselves."""
    if value.op is not None and isinstance(REGISTRY[value.op.name].cell, Gather):
        return set().union(*(_registers(operand) for operand in value.op.operands))
    return {value}


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


def feeding_values(ops: list[Operation]) -> list[Value]:
    """The values from outside that a layer reads."""
    inside = {op.result for op in ops}
    return list(dict.fromkeys(operand for op in ops for operand in op.operands if operand not in inside))


__all__ = ["LayerTiming", "Schedule", "Total", "feeding_values", "is_instant", "layer_ops", "schedule"]
