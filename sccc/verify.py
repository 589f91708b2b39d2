"""The verifier: what must hold of any module, between all passes and before any backend."""

from __future__ import annotations

import math

from sccc.correlation import dependent_pair, dependent_select, generator_of, lanes_of, meeting_pairs
from sccc.diagnostics import Collector, SccError, nearest
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.registry import REQUIRED, Correlated, Op, Selects, Shared, Uncorrelated
from sccc.types import Stream


def verify(module: Module) -> None:
    """Check structure, attributes, types and legality of every op. Raises SccError with every problem found.

    Type inference may look at the ops that operands come from, so what reads the result of a broken op is not checked.
    """
    problems = Collector()
    defined: set[Value] = set()
    broken: set[Value | None] = set()
    names: set[str] = set()
    for op in module:
        found = len(problems.diagnostics)
        if broken.isdisjoint(op.operands):
            with problems.catching():
                _verify_op(op, defined)
        if len(problems.diagnostics) > found or not broken.isdisjoint(op.operands):
            broken.add(op.result)
        if op.result is not None:
            if op.result.name in names:
                problems.add(f"value %{op.result.name} is defined twice", op.place())
            names.add(op.result.name)
            defined.add(op.result)
    problems.raise_if_any()


def _verify_op(op: Operation, defined: set[Value]) -> None:
    definition = REGISTRY[op.name]
    problems = Collector()
    if len(op.operands) != len(definition.operands):
        problems.add(f"takes {len(definition.operands)} operands and has {len(op.operands)}", op.place())
    for operand in op.operands:
        if operand not in defined:
            problems.add(f"reads %{operand.name}, which no operation before it defines", op.place())
    _verify_attributes(op, definition, problems)
    problems.raise_if_any()
    inferred = definition.infer(op)
    if definition.has_result and (op.result is None or op.result.type != inferred):
        actual = op.result.type if op.result else "missing"
        raise SccError(f"the result's type is {actual}, and its operands make it {inferred}", op.place())
    if definition.check is not None:
        definition.check(op)
    for need in definition.needs:
        _verify_need(op, definition, need)


def _verify_attributes(op: Operation, definition: Op, problems: Collector) -> None:
    for name, value in op.attributes.items():
        if name not in definition.attributes:
            problems.add(f"unknown attribute '{name}'", op.place(), nearest(name, definition.attributes))
        elif not definition.attributes[name].accepts(value):
            kind = definition.attributes[name].kind
            problems.add(f"attribute '{name}' must be of kind {kind}, and is {type(value).__name__}", op.place())
    for name, attr in definition.attributes.items():
        if attr.default is REQUIRED and name not in op.attributes:
            problems.add(f"attribute '{name}' is missing: {attr.doc}", op.place())


def _verify_need(op: Operation, definition: Op, need: Uncorrelated | Correlated | Shared | Selects) -> None:
    if isinstance(need, Shared):
        _verify_shared(op, definition.operand(op, need.x))
        return
    if isinstance(need, Selects):
        for stream in (need.a, need.b):
            _verify_select(op, definition.operand(op, need.select), definition.operand(op, stream))
        return
    x, w = definition.operand(op, need.a), definition.operand(op, need.b)
    assert isinstance(x.type, Stream)
    if isinstance(need, Correlated):
        _verify_correlated(op, x, w)
        return
    pair = dependent_pair(x, w, x.type.length, op=op)
    if pair is None:
        return
    a, b, deviation = pair
    if math.isinf(deviation):
        reason = f"both compare with the same random numbers ({a})"
    else:
        reason = f"{a} and {b} deviate {deviation:.1f} times as much from a product as independent streams do"
    raise SccError(
        f"%{x.name} and %{w.name} are correlated, so this op would not multiply: {reason}",
        op.place(),
        "give the two SNGs different sources: another Sobol dimension, seed or kind",
    )


def _verify_correlated(op: Operation, x: Value, w: Value) -> None:
    pairs = list(meeting_pairs(x, w))
    different = next(((a, b) for a, b in pairs if a != b), None)
    if pairs and different is None:
        return
    reason = f"{different[0]} and {different[1]} differ" if different else "not both are made by SNGs"
    raise SccError(
        f"%{x.name} and %{w.name} must compare with the same random numbers for this op: {reason}",
        op.place(),
        "give the two SNGs one source",
    )


def _verify_shared(op: Operation, x: Value) -> None:
    maker = generator_of(x)
    if maker is not None and maker.name != "sc.sng":
        raise SccError(
            f"streams of {maker.name}, such as %{x.name}, are no subsets of each other, as this op needs them to be",
            op.place(),
            "make the streams by sc.sng",
        )
    if maker is None or len(set(lanes_of(maker.operands[1]))) > 1:
        raise SccError(
            f"the lanes of %{x.name} are not made by SNGs that share one source, as this op needs them to be",
            op.place(),
            "give the SNGs one source without masks, or take the op's counterpart on levels",
        )


def _verify_select(op: Operation, select: Value, stream: Value) -> None:
    assert isinstance(stream.type, Stream)
    found = dependent_select(select, stream, stream.type.length, int(op.attributes["inputs"]))
    if found is not None:
        raise SccError(
            f"%{select.name} chooses among lanes by numbers that depend on those of %{stream.name} ({found})",
            op.place(),
            "give it a source of its own: another Sobol dimension, seed or kind",
        )
