"""Folded hardware as a whole: which engines a module becomes, and how they are linked.

`dataflow` reads a module whose sums of products carry `parallel`. Every value that engines hand on is a link; one with several
readers is a fork. Where branches meet again (sc.add), the earlier operand waits in a FIFO that is long enough for the other branch
to take all the levels that it needs first, so that nothing ever blocks for good: `sccc.dataflow_timing` runs the whole as proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sccc.cells import Arbiter, Comb, CountCell, Fold, Fsm, Memory, MultiplyAdd, Race, Wire
from sccc.diagnostics import Collector
from sccc.engines import (
    AddEngine,
    Engine,
    LayoutEngine,
    Link,
    PoolEngine,
    ProductEngine,
    View,
    constant_of,
    is_rewiring,
    natural_order,
    run_of,
)
from sccc.folding import folding_of
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.geometry import window_of
from sccc.ops.registry import refuse
from sccc.types import Level, Random, Stream, Total

STREAMING_ADVICE = "folded hardware needs activations in binary: use --style accumulate or fixed"


@dataclass(eq=False)
class Dataflow:
    """Engines in the order of the module; `source` and `sink` are its input and output."""

    module: Module
    engines: list[Engine]
    source: Link
    sink: View
    argmax: Operation | None

    @property
    def links(self) -> list[Link]:
        return [self.source, *(engine.output for engine in self.engines)]

    def readers(self, link: Link) -> list[tuple[Engine | None, int]]:
        """Who takes a link, and as which input; None is the output."""
        found: list[tuple[Engine | None, int]] = []
        for engine in self.engines:
            found += [(engine, k) for k, other in enumerate(engine.inputs) if other is link]
        return [*found, (None, 0)] if self.sink.link is link else found

    @property
    def slowest(self) -> Engine:
        """The engine that bounds how soon a sample may follow another."""
        return max(self.engines, key=lambda engine: engine.cycles)

    @property
    def products(self) -> list[ProductEngine]:
        return [engine for engine in self.engines if isinstance(engine, ProductEngine)]

    @property
    def memory_bits(self) -> int:
        return sum(sum(engine.memory_bits.values()) for engine in self.engines)


def is_folded(module: Module) -> bool:
    """Whether the sums of products of a module are to be folded. Raises SccError when only some of them say how."""
    sums = [op for op in module if isinstance(REGISTRY[op.name].cell, CountCell | MultiplyAdd)]
    without = [op for op in sums if not op.attributes["parallel"]]
    if without and len(without) < len(sums):
        problems = Collector()
        for op in without:
            problems.add(
                "has no `parallel`, and other sums of products of the module have one",
                op.place(),
                "fold all layers or none: run fold-layers",
            )
        problems.raise_if_any()
    return bool(sums) and not without


def dataflow(module: Module, cycles: int = 0) -> Dataflow:
    """The engines of a verified module that is to be folded. Raises SccError with everything that cannot be.

    Links are made as wide as it takes for no link or pooling to need more than `cycles` cycles per sample; 0: no more than the
    slowest sum of products.
    """
    builder = _Builder(module)
    flow = builder.build()
    _set_beats(flow, cycles or max((engine.folding.cycles for engine in flow.products), default=1))
    _set_depths(flow)
    return flow


@dataclass
class _Builder:
    """Makes engines op by op. `views`: levels and totals that are on a link; `open`: the engine whose totals a value still is."""

    module: Module
    engines: list[Engine] = field(default_factory=list)
    views: dict[Value, View] = field(default_factory=dict)
    open: dict[Value, Engine] = field(default_factory=dict)
    problems: Collector = field(default_factory=Collector)
    argmax: Operation | None = None

    def build(self) -> Dataflow:
        self.uses = self.module.uses()
        live = self._live()
        broken: set[Value | None] = set()
        for op in self.module:
            if op not in live:
                continue
            found = len(self.problems.diagnostics)
            with self.problems.catching():
                if broken.isdisjoint(op.operands):
                    self._op(op)
            if len(self.problems.diagnostics) > found or not broken.isdisjoint(op.operands):
                broken.add(op.result)
        self.problems.raise_if_any()
        (sink,) = self.module.outputs
        (source,) = self.module.inputs
        assert source.result is not None
        result = self.argmax.operands[0] if self.argmax else sink.operands[0]
        return Dataflow(self.module, self.engines, self.views[source.result].link, self.views[result], self.argmax)

    def _live(self) -> set[Operation]:
        """What the output needs, and the input."""
        live, wanted = set(), set()
        for op in reversed(self.module.ops):
            if op.result is None or op.result in wanted or op in self.module.inputs:
                live.add(op)
                wanted.update(op.operands)
        return live

    def _op(self, op: Operation) -> None:
        cell, kind = REGISTRY[op.name].cell, op.result.type if op.result is not None else None
        if op.result is None:
            self._sink(op)
        elif not op.operands:
            self._leaf(op)
        elif isinstance(cell, CountCell | MultiplyAdd):
            self._product(op, streams=isinstance(cell, CountCell))
        elif isinstance(kind, Stream) and isinstance(cell, Comb) and isinstance(op.operands[0].type, Level):
            self._sng(op)
        elif isinstance(cell, Fsm) and cell.out is None and isinstance(op.operands[0].op, Operation):
            self._accumulate(op)
        elif is_rewiring(op) and isinstance(kind, Level):
            self._rewire(op)
        elif isinstance(cell, Fold) and isinstance(op.operands[0].type, Level):
            self._pool(op)
        elif isinstance(cell, Comb) and isinstance(kind, Total) and len(op.operands) == 2:
            self._add(op)
        elif isinstance(cell, Comb | Memory | Wire) and isinstance(op.operands[0].type, Total):
            self._tail(op)
        elif isinstance(cell, Arbiter):
            self._arbiter(op)
        else:
            raise refuse(op, f"{op.name} has no folded form", _advice(op))

    # -- ends ---------------------------------------------------------------------------------------------------

    def _leaf(self, op: Operation) -> None:
        assert op.result is not None
        if op in self.module.inputs:
            self._offer(op.result)
        elif isinstance(op.result.type, Random) and op.result.type.lanes > 1:
            raise refuse(
                op, f"folded SNGs share one source, and here are {op.result.type.lanes}", "use --sharing auto or max"
            )

    def _offer(self, value: Value) -> Link:
        """The link on which an engine, or the user, hands over a value in its natural order."""
        order = natural_order(value.type.shape)
        link = Link(value, order, run_of(value.type.shape))
        self.views[value] = View(link, order)
        return link

    def _sink(self, op: Operation) -> None:
        value = op.operands[0]
        self._settle(value)
        if isinstance(value.type, Stream) or (value not in self.views and self.argmax is None):
            raise refuse(op, f"folded hardware puts out levels or totals, and %{value.name} is {value.type}")
        if self.argmax is None and self.views[value].link.value.op in self.module.inputs:
            raise refuse(op, "the output is the input in another order: there is nothing to fold")

    def _arbiter(self, op: Operation) -> None:
        self._settle(op.operands[0])
        if not all(user in self.module.outputs for user in self.uses[op.result]):  # type: ignore[index]
            raise refuse(op, "a class that other ops read has no folded form", "let it be the output")
        self.argmax = op

    # -- engines ------------------------------------------------------------------------------------------------

    def _view(self, value: Value) -> View:
        """A value on a link."""
        self._settle(value)
        return self.views[value]

    def _settle(self, value: Value) -> None:
        """Close an engine whose totals are handed on as they are."""
        engine = self.open.pop(value, None)
        if engine is not None:
            engine.output = self._offer(value)

    def _natural(self, value: Value) -> Link:
        """A link on which the value comes in its natural order: put in order by an engine where it does not."""
        view = self._view(value)
        kind = value.type
        if np.array_equal(view.order, natural_order(kind.shape)):
            return view.link
        place = np.empty(kind.lanes, dtype=np.int64)
        place[view.order] = np.arange(kind.lanes)
        op = value.op
        assert op is not None
        return self._laid_out(op, value, [view.link], place[natural_order(kind.shape)], 0)

    def _laid_out(self, op: Operation, value: Value, inputs: list[Link], index: np.ndarray, level: int) -> Link:
        link = self._offer(value)
        self.engines.append(LayoutEngine(name=_layer(op), op=op, inputs=inputs, output=link, index=index, level=level))
        return link

    def _sng(self, op: Operation) -> None:
        if op.name != "sc.sng":
            raise refuse(op, f"{op.name} has no folded form", "use --sng comparator")
        random = op.operands[1].op
        if random is not None and random.operands:
            raise refuse(random, "folded SNGs share one source without masks", "use --sharing auto or max")

    def _product(self, op: Operation, streams: bool) -> None:
        assert op.result is not None
        weights = constant_of(op)
        if weights.op is None or "levels" not in weights.op.attributes:
            raise refuse(op, "weights that are not constant have no folded form", "fold inference modules only")
        x = op.operands[0]
        if streams:
            if x.op is None or not isinstance(x.op.operands[0].type, Level):
                raise refuse(op, f"%{x.name} is not made by SNGs, so its bits cannot be made again", STREAMING_ADVICE)
            x = x.op.operands[0]
        folding = folding_of(op)
        link = self._natural(x) if folding.geometry.window is not None else self._view(x).link
        order = self.views[x].order
        engine = ProductEngine(name=_layer(op), op=op, inputs=[link], output=link, folding=folding, order=order)
        self.engines.append(engine)
        self.open[op.result] = engine
        if not streams:
            engine.totals = op.result

    def _continue(self, op: Operation) -> Engine:
        """The engine whose totals, which nobody else reads, an op goes on with."""
        value = op.operands[0]
        if value not in self.open:
            raise refuse(op, f"%{value.name} is not a total of an engine", STREAMING_ADVICE)
        if len(self.uses[value]) > 1:
            raise refuse(op, f"%{value.name} has several readers", "let branches read levels")
        return self.open.pop(value)

    def _accumulate(self, op: Operation) -> None:
        engine = self._continue(op)
        engine.totals = op.result
        self.open[op.result] = engine  # type: ignore[index]

    def _tail(self, op: Operation) -> None:
        engine = self._continue(op)
        engine.tail.append(op)
        assert op.result is not None
        self.open[op.result] = engine
        if isinstance(op.result.type, Level):
            self._settle(op.result)

    def _pool(self, op: Operation) -> None:
        assert op.result is not None
        link = self._natural(op.operands[0])
        window, _, _ = window_of(op, op.operands[0].type.shape)
        engine = PoolEngine(name=_layer(op), op=op, inputs=[link], output=link, window=window)
        self._started(engine, op.result)

    def _add(self, op: Operation) -> None:
        assert op.result is not None
        a, b = (self._view(v) for v in op.operands)
        links = [a.link, b.link]
        if not np.array_equal(a.order, b.order) or not np.array_equal(a.order, natural_order(op.result.type.shape)):
            links = [self._natural(v) for v in op.operands]
        self._started(AddEngine(name=_layer(op), op=op, inputs=links, output=links[0]), op.result)

    def _started(self, engine: Engine, value: Value) -> None:
        """An engine whose result is a level, or totals that other ops go on with."""
        self.engines.append(engine)
        self.open[value] = engine
        if isinstance(value.type, Level):
            self._settle(value)
        else:
            engine.totals = value

    def _rewire(self, op: Operation) -> None:
        assert op.result is not None
        index = REGISTRY[op.name].cell.index(op)  # type: ignore[union-attr]
        views = [self._view(v) for v in op.operands]
        flat = index.reshape(-1)
        if len(views) == 1 and len(flat) == len(views[0].order) and np.array_equal(np.sort(flat), np.arange(len(flat))):
            lane = np.empty(len(flat), dtype=np.int64)
            lane[flat] = np.arange(len(flat))
            self.views[op.result] = View(views[0].link, lane[views[0].order])
            return
        place = np.empty(sum(len(view.order) for view in views), dtype=np.int64)
        first = 0
        for view in views:
            place[first + view.order] = first + np.arange(len(view.order))
            first += len(view.order)
        chosen = flat[natural_order(op.result.type.shape)]
        places = np.where(chosen < 0, -1, place[chosen])
        self._laid_out(op, op.result, [view.link for view in views], places, int(op.attributes.get("level", 0)))


def _advice(op: Operation) -> str:
    """What to do instead of an op that cannot be folded."""
    cell = REGISTRY[op.name].cell
    if isinstance(cell, Fold):
        return "pool levels: sc.max_pool counts, and is folded"
    if isinstance(cell, Race):
        return "leave out --early-exit"
    if is_rewiring(op):
        return "move it in front of the SNG, to the levels"
    if op.result is not None and isinstance(op.result.type, Random):
        return "share one source without masks: --sharing auto or max"
    return STREAMING_ADVICE


def _layer(op: Operation) -> str:
    assert op.result is not None
    return str(op.attributes.get("layer") or op.result.name)


# -- widths of links --------------------------------------------------------------------------------------------------


def _set_beats(flow: Dataflow, cycles: int) -> None:
    """Give links that meet in an engine one width, the smallest with which they and the engine take no more than `cycles`."""
    group = {link: {link} for link in flow.links}
    for engine in flow.engines:
        if not isinstance(engine, ProductEngine):
            joined = set().union(*(group[link] for link in (*engine.inputs, engine.output)))
            for link in joined:
                group[link] = joined
    for links in {id(g): g for g in group.values()}.values():
        most = math.gcd(*(limit for link in links for limit in _limits(flow, link)))
        widths = [b for b in range(1, most + 1) if most % b == 0]
        engines = [e for e in flow.engines if e.output in links and not isinstance(e, ProductEngine)]
        for width in widths:
            if not all(e.blocks(width) is not None for e in engines if isinstance(e, LayoutEngine)):
                break
            for link in links:
                link.beat = width
            if max(link.beats for link in links) <= cycles and all(e.cycles <= cycles for e in engines):
                break
    for engine in flow.products:
        engine.folding = folding_of(engine.op, None, engine.inputs[0].beat, engine.output.beat)


def _limits(flow: Dataflow, link: Link) -> list[int]:
    """Numbers that a link's width must divide."""
    limits = [link.run]
    for engine in flow.products:
        if link in engine.inputs:
            limits.append(engine.folding.widest_word)
        if link is engine.output:
            limits += [engine.folding.results, engine.folding.last_results]
    return limits


# -- how long operands wait -------------------------------------------------------------------------------------------


def _set_depths(flow: Dataflow) -> None:
    """How many transfers of each operand of an addition may have to wait for the other one, and a row more, which lets the engines
    of both branches work at the same time (measured: without it they wait for one another when a window is all of a position).

    Let the levels of a fork in front of both branches come one by one, and let everything that can happen then happen. The operand
    that is early piles up while the other branch fills its line buffers; a FIFO that holds the pile lets this order of events come
    true, and in a network whose result does not depend on the order of events every other order then comes to its end too.
    """
    joins = [engine for engine in flow.engines if isinstance(engine, AddEngine)]
    for root in flow.links if joins else []:
        if len(flow.readers(root)) > 1:
            needs = _needs(flow, root)
            for join in joins:
                if all(link in needs for link in join.inputs):
                    join.depths = [max(pair) for pair in zip(join.depths, _depths(join, needs), strict=True)]


def _depths(join: AddEngine, needs: dict[Link, np.ndarray]) -> list[int]:
    """The transfers that pile up in front of an addition while the levels of one fork come."""
    sides = [needs[link] for link in join.inputs]
    both = np.maximum(*sides)
    shape = join.output.value.type.shape
    row = (shape[2] if len(shape) == 3 else 1) + 1
    depths = []
    for side, link in zip(sides, join.inputs, strict=True):
        piled = 0
        if not np.array_equal(side, both):  # the later operand never has to wait
            piled = int((np.searchsorted(side, both, side="right") - np.arange(len(both))).max())
        depths.append(min(max(2, -(-piled // link.beat) + row * link.run // link.beat), link.beats))
    return depths


def _needs(flow: Dataflow, root: Link) -> dict[Link, np.ndarray]:
    """For each link behind `root`: how many lanes of it must have come before each lane can be made, never decreasing."""
    needs: dict[Link, np.ndarray] = {root: np.arange(1, len(root.order) + 1)}
    for engine in flow.engines:
        before = [needs[link] for link in engine.inputs if link in needs]
        if not before:
            continue
        if isinstance(engine, ProductEngine | PoolEngine):
            buffer = engine.folding.buffer if isinstance(engine, ProductEngine) else engine.buffer
            lanes = np.repeat(buffer.needed() * buffer.channels, len(engine.output.order) // buffer.positions)
            made = before[0][lanes - 1]
        elif isinstance(engine, LayoutEngine):
            joined = np.concatenate([needs.get(link, np.zeros(len(link.order), np.int64)) for link in engine.inputs])
            made = joined[np.maximum(engine.index, 0)]
        else:
            made = before[0] if len(before) == 1 else np.maximum(*before)
        needs[engine.output] = np.maximum.accumulate(made)
    return needs
