"""The intermediate representation: a flat list of operations over typed SSA values.

A `Module` computes one sample. Operations stand in an order in which every operand is defined before it is used.
Attributes are plain data (`Attribute`, checked by the verifier); a numpy array is a constant tensor. Every operation
remembers the ONNX node that it came from (`origin`), through every pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sccc.diagnostics import InternalError, Location
from sccc.types import Type

if TYPE_CHECKING:
    import networkx

Attribute = bool | int | float | str | list[Any] | np.ndarray


@dataclass(eq=False)
class Value:
    """What an operation computes: a name unique in its module, a type and the operation itself."""

    name: str
    type: Type
    op: Operation | None = None

    def __repr__(self) -> str:
        return f"%{self.name} : {self.type}"


@dataclass(eq=False)
class Operation:
    """One operation. `name` is `dialect.op`, looked up in `sccc.ops.REGISTRY`; at most one result."""

    name: str
    operands: list[Value] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    result: Value | None = None
    origin: str = ""
    location: Location = field(default_factory=Location)

    @property
    def dialect(self) -> str:
        return self.name.split(".", 1)[0]

    def __repr__(self) -> str:
        result = f"%{self.result.name} = " if self.result else ""
        return f"<{result}{self.name}({', '.join('%' + v.name for v in self.operands)})>"

    def place(self) -> Location:
        """Where a user finds this operation: the ONNX node it came from, its name in the IR, its line in a file."""
        label = f"%{self.result.name} = {self.name}" if self.result else self.name
        return Location(self.location.file, self.location.line, self.location.column, self.origin or None, label, None)


class Module:
    """A network: an ordered list of operations. `reference` is the float (nn) module that it was lowered from."""

    def __init__(self, name: str = "net", ops: Iterable[Operation] = (), reference: Module | None = None) -> None:
        self.name = name
        self.ops: list[Operation] = list(ops)
        self.reference = reference

    # -- reading ------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.ops)

    def __len__(self) -> int:
        return len(self.ops)

    def ops_named(self, *names: str) -> list[Operation]:
        return [op for op in self.ops if op.name in names]

    @property
    def inputs(self) -> list[Operation]:
        return [op for op in self.ops if op.name.endswith(".input")]

    @property
    def outputs(self) -> list[Operation]:
        return [op for op in self.ops if op.name.endswith(".output")]

    def values(self) -> Iterator[Value]:
        return (op.result for op in self.ops if op.result is not None)

    def value(self, name: str) -> Value:
        """The value called `name` (without %). Raises KeyError."""
        for value in self.values():
            if value.name == name:
                return value
        raise KeyError(name)

    def uses(self) -> dict[Value, list[Operation]]:
        """Each value with the operations that read it, in order."""
        uses: dict[Value, list[Operation]] = {value: [] for value in self.values()}
        for op in self.ops:
            for operand in op.operands:
                uses.setdefault(operand, []).append(op)
        return uses

    def __str__(self) -> str:
        from sccc.text import print_module

        return print_module(self)

    def __repr__(self) -> str:
        return f"<Module {self.name}: {len(self.ops)} ops>"

    def _repr_html_(self) -> str:
        """A picture of the operations, for notebooks."""
        from sccc.graph_view import html

        return html(self)

    def trace(self, x: np.ndarray, names: Iterable[str] | str = "all") -> dict[str, np.ndarray]:
        """What each operation makes of samples x, by its result's name: see `sccc.waves.trace`."""
        from sccc.waves import trace

        return trace(self, x, names)

    def to_networkx(self) -> networkx.DiGraph:
        """A graph of the operations: node = index in `ops` (attributes op, name, label), edge = value (attribute value)."""
        import networkx

        graph = networkx.DiGraph(name=self.name)
        index = {op: i for i, op in enumerate(self.ops)}
        for op, i in index.items():
            graph.add_node(i, op=op, name=op.name, origin=op.origin, label=op.result.name if op.result else op.name)
        for op, i in index.items():
            for operand in op.operands:
                if operand.op is not None:
                    graph.add_edge(index[operand.op], i, value=operand)
        return graph

    # -- changing -----------------------------------------------------------------------------------------------

    def fresh_name(self, hint: str) -> str:
        """A value name that is not taken: `hint`, made an identifier, with a number behind it when needed."""
        base = "".join(c if c.isalnum() or c == "_" else "_" for c in hint) or "v"
        if base[0].isdigit():
            base = "v" + base
        taken = {value.name for value in self.values()}
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name

    def append(
        self,
        name: str,
        operands: Iterable[Value] = (),
        attributes: Mapping[str, Attribute] | None = None,
        *,
        result: str | None = None,
        type: Type | None = None,
        origin: str = "",
        location: Location | None = None,
        before: Operation | None = None,
    ) -> Operation:
        """Add an operation at the end, or before another one; its result type is inferred when not given.

        `result` is the name wished for the result (made unique); ops without a result take none. Raises SccError when the op's own
        type inference refuses the operands.
        """
        from sccc.ops import REGISTRY

        op = Operation(name, list(operands), dict(attributes or {}), None, origin, location or Location())
        definition = REGISTRY[name]
        definition.fill_defaults(op)
        if definition.has_result:
            op.result = Value("", type or definition.infer(op), op)
            op.result.name = self.fresh_name(result or name.split(".", 1)[1])
        self.ops.insert(self.ops.index(before) if before is not None else len(self.ops), op)
        return op

    def replace_uses(self, old: Value, new: Value) -> None:
        for op in self.ops:
            op.operands = [new if operand is old else operand for operand in op.operands]

    def erase(self, op: Operation) -> None:
        """Remove an operation whose result nobody reads."""
        if op.result is not None and any(op.result in other.operands for other in self.ops):
            raise InternalError(f"%{op.result.name} is still in use")
        self.ops.remove(op)

    def erase_dead(self) -> None:
        """Remove every operation whose result is not needed by an output (inputs stay)."""
        live: set[Value] = set()
        kept = []
        for op in reversed(self.ops):
            if op.result is None or op.result in live or op.name.endswith(".input"):
                live.update(op.operands)
                kept.append(op)
        self.ops = kept[::-1]

    def sort(self) -> None:
        """Put operations in an order in which operands come first, keeping the present order where it is possible."""
        import networkx

        order = networkx.lexicographical_topological_sort(self.to_networkx())
        self.ops = [self.ops[i] for i in order]

    def clone(self) -> Module:
        """A copy that shares no operation, value or array with this one."""
        copy = Module(self.name, reference=self.reference)
        mapped: dict[Value, Value] = {}
        for op in self.ops:
            attributes = {k: v.copy() if isinstance(v, np.ndarray | list) else v for k, v in op.attributes.items()}
            new = Operation(op.name, [mapped[v] for v in op.operands], attributes, None, op.origin, op.location)
            if op.result is not None:
                new.result = mapped[op.result] = Value(op.result.name, op.result.type, new)
            copy.ops.append(new)
        return copy
