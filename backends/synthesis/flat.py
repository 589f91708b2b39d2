"""The mapped netlist as arrays: cells by type, nets by number, what each cell belongs to; and its fan-out repaired.

Nets 0 and 1 are the constants. Everything that follows (energy, timing) reads these arrays and not the hierarchy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sccc.backends.synthesis.liberty import Cell, Library
from sccc.diagnostics import InternalError

CONSTANTS = {"0": 0, "1": 1, "x": 0, "z": 0}

FANOUT_SHARE = 0.5
"""A net is loaded up to this share of its driver's max_capacitance; what exceeds it hangs on buffers loaded alike."""


@dataclass
class Group:
    """All cells of one library type. pins[k, i]: the net at pin `names[i]` of cell k; owner[k] and part[k]: indices into
    Flat.owners and Flat.parts."""

    cell: Cell
    names: list[str]
    pins: np.ndarray
    owner: np.ndarray
    part: np.ndarray

    def column(self, pin: str) -> np.ndarray:
        return self.pins[:, self.names.index(pin)]


@dataclass
class Flat:
    """`ports`: the top level's nets by port. `owners`: what cells belong to: an instance in the top level (a layer), or ""
    for the top itself. `parts`: the modules that they come from."""

    library: Library
    nets: int
    groups: dict[str, Group]
    ports: dict[str, np.ndarray]
    inputs: list[str]
    owners: list[str]
    parts: list[str]
    clocks: np.ndarray
    buffers: int = 0

    def loads(self) -> np.ndarray:
        """Capacitance in pF of the pins on each net; no wires, as nothing is placed."""
        total = np.zeros(self.nets)
        for group in self.groups.values():
            for i, pin in enumerate(group.names):
                if group.cell.pins[pin].direction == "input":
                    total += np.bincount(group.pins[:, i], minlength=self.nets) * group.cell.pins[pin].capacitance
        return total

    def per_owner(self, weight: Mapping[str, float]) -> np.ndarray:
        """The sum over each owner's cells of a number per cell type."""
        total = np.zeros(len(self.owners))
        for name, group in self.groups.items():
            total += np.bincount(group.owner, minlength=len(self.owners)) * weight[name]
        return total


@dataclass
class _Compact:
    """One module: leaf cells by type and instances, over local net numbers."""

    nets: int
    ports: dict[str, np.ndarray]
    cells: dict[str, np.ndarray]
    instances: list[tuple[str, str, dict[str, np.ndarray]]]


def flatten(modules: Mapping[str, Any], top: str, library: Library) -> Flat:
    """Arrays from Yosys' JSON. Cells belong to the top level's instance that they are in."""
    compact = {name: _compact(module, modules, library) for name, module in modules.items()}
    owners, builder = [""], _Builder(compact)
    ports = builder.place(top, 0, owners)
    join = builder.joined()
    groups = {}
    for kind, placed in builder.cells.items():
        pins = join[np.concatenate([pins for pins, _, _ in placed])]
        owner, part = (np.concatenate([np.full(len(p[0]), p[i]) for p in placed]) for i in (1, 2))
        groups[kind] = Group(library.cells[kind], list(library.cells[kind].pins), pins, owner, part)
    inputs = [p for p, v in modules[top]["ports"].items() if v["direction"] == "input"]
    nets = {p: join[n] for p, n in ports.items()}
    parts = [name.rsplit("\\", 1)[-1] for name in builder.parts]
    flat = Flat(library, int(join.max()) + 1, groups, nets, inputs, owners, parts, np.zeros(0, dtype=np.int64))
    flat.clocks = np.unique(np.concatenate([g.column(g.cell.clocked_on) for g in _clocked(flat)] or [np.zeros(0, int)]))
    return flat


def _clocked(flat: Flat) -> list[Group]:
    return [g for g in flat.groups.values() if g.cell.clocked_on]


def _compact(module: Any, modules: Mapping[str, Any], library: Library) -> _Compact:
    numbers: dict[Any, int] = {"0": 0, "1": 1}

    def local(bits: list[Any]) -> np.ndarray:
        found = [CONSTANTS[b] if isinstance(b, str) else numbers.setdefault(b, len(numbers)) for b in bits]
        return np.array(found, dtype=np.int64)

    ports = {name: local(port["bits"]) for name, port in module["ports"].items()}
    rows: dict[str, list[np.ndarray]] = {}
    instances = []
    for label, cell in module["cells"].items():
        kind, wires = cell["type"], cell["connections"]
        if kind in modules:
            instances.append((label, kind, {p: local(b) for p, b in wires.items()}))
            continue
        if kind not in library.cells:
            raise InternalError(f"Yosys has left a cell '{kind}' that {library.path.name} does not have")
        missing = numbers.setdefault(("open", label), len(numbers))
        names = library.cells[kind].pins
        rows.setdefault(kind, []).append(
            np.concatenate([local(wires[p]) if wires.get(p) else [missing] for p in names])
        )
    cells = {kind: np.array(r, dtype=np.int64) for kind, r in rows.items()}
    return _Compact(len(numbers), ports, cells, instances)


@dataclass
class _Builder:
    compact: dict[str, _Compact]
    nets: int = 2
    cells: dict[str, list[tuple[np.ndarray, int, int]]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    same: list[np.ndarray] = field(default_factory=list)

    def place(self, name: str, owner: int, owners: list[str] | None = None) -> dict[str, np.ndarray]:
        """Put a module's cells in; the global numbers of its ports' nets. With `owners`, each instance is one."""
        module = self.compact[name]
        number = np.concatenate([[0, 1], np.arange(self.nets, self.nets + module.nets - 2)]).astype(np.int64)
        self.nets += module.nets - 2
        if module.cells and name not in self.parts:
            self.parts.append(name)
        for kind, pins in module.cells.items():
            self.cells.setdefault(kind, []).append((number[pins], owner, self.parts.index(name)))
        for label, kind, wires in module.instances:
            if owners is not None:
                owners.append(label)
            inner = self.place(kind, len(owners) - 1 if owners is not None else owner)
            for port, outer in wires.items():
                self.same.append(np.stack([inner[port], number[outer]]))
        return {port: number[nets] for port, nets in module.ports.items()}

    def joined(self) -> np.ndarray:
        """The final number of each net: those that ports connect are one; 0 and 1 stay."""
        pairs = np.concatenate(self.same, axis=1) if self.same else np.zeros((2, 0), dtype=np.int64)
        graph = coo_array((np.ones(pairs.shape[1], dtype=np.int8), (pairs[0], pairs[1])), shape=(self.nets, self.nets))
        _, label = connected_components(graph, directed=False)
        zero, one = label[0], label[1]
        if zero == one:
            raise InternalError("the mapped netlist joins 0 and 1")
        rest = np.setdiff1d(np.arange(label.max() + 1), [zero, one])
        final = np.empty(label.max() + 1, dtype=np.int64)
        final[zero], final[one], final[rest] = 0, 1, np.arange(2, len(rest) + 2)
        return final[label]


def repair_fanout(flat: Flat) -> None:
    """Hang what overloads a driver on trees of the library's strongest buffer. The clock is left alone: it is ideal here.

    Synthesis by modules cannot see that a stream of the weights feeds thousands of gates in a hundred neurons.
    """
    buffer = flat.library.buffer
    if buffer is None:
        return
    limit = np.full(flat.nets, buffer.pins[buffer.outputs[0]].max_capacitance * FANOUT_SHARE)
    for group in flat.groups.values():
        for pin in group.cell.outputs:
            allowed = group.cell.pins[pin].max_capacitance * FANOUT_SHARE
            if allowed:
                limit[group.column(pin)] = allowed
    limit[[0, 1]] = np.inf
    limit[flat.clocks] = np.inf
    sinks = _sinks(flat, np.flatnonzero(flat.loads() > limit))
    made: list[tuple[int, int, int]] = []
    own = buffer.pins[buffer.inputs[0]].capacitance
    each = buffer.pins[buffer.outputs[0]].max_capacitance * FANOUT_SHARE
    for net, pins in sinks.items():
        level = pins
        while sum(load for *_, load in level) > limit[net]:
            above: list[tuple[np.ndarray | None, int, int, int, float]] = []
            for part in _bunches(level, each):
                new = flat.nets
                flat.nets += 1
                for array, row, column, _, _ in part:
                    if array is None:
                        made[row] = (new, *made[row][1:])
                    else:
                        array[row, column] = new
                made.append((net, new, part[0][3]))
                above.append((None, len(made) - 1, 0, part[0][3], own))
            level = above
    _add_buffers(flat, buffer, made)


_Sink = tuple[np.ndarray | None, int, int, int, float]


def _sinks(flat: Flat, nets: np.ndarray) -> dict[int, list[Any]]:
    """For each of the nets: (array, row, column, owner, load) of every input pin on it, owner by owner."""
    found: dict[int, list[Any]] = {int(n): [] for n in nets}
    heavy = np.zeros(flat.nets, dtype=bool)
    heavy[nets] = True
    for group in flat.groups.values():
        for i, pin in enumerate(group.names):
            if group.cell.pins[pin].direction != "input":
                continue
            load = group.cell.pins[pin].capacitance
            for row in np.flatnonzero(heavy[group.pins[:, i]]):
                found[int(group.pins[row, i])].append((group.pins, int(row), i, int(group.owner[row]), load))
    return {net: sorted(pins, key=lambda p: p[3]) for net, pins in found.items()}


def _bunches(pins: list[Any], limit: float) -> list[list[Any]]:
    bunches: list[list[Any]] = []
    total = np.inf
    for pin in pins:
        if total + pin[4] > limit:
            bunches.append([])
            total = 0.0
        bunches[-1].append(pin)
        total += pin[4]
    return bunches


def _add_buffers(flat: Flat, buffer: Cell, made: list[tuple[int, int, int]]) -> None:
    if not made:
        return
    names = list(buffer.pins)
    pins = np.zeros((len(made), len(names)), dtype=np.int64)
    pins[:, names.index(buffer.inputs[0])] = [m[0] for m in made]
    pins[:, names.index(buffer.outputs[0])] = [m[1] for m in made]
    owner = np.array([m[2] for m in made])
    flat.parts.append("fan-out")
    part = np.full(len(made), len(flat.parts) - 1)
    old = flat.groups.get(buffer.name)
    if old is not None:
        pins = np.concatenate([old.pins, pins])
        owner, part = np.concatenate([old.owner, owner]), np.concatenate([old.part, part])
    flat.groups[buffer.name] = Group(buffer, names, pins, owner, part)
    flat.buffers = len(made)


def levels(flat: Flat) -> list[list[tuple[Group, np.ndarray]]]:
    """Combinational cells in the order of evaluation: for each level, (group, rows). Raises InternalError on a loop."""
    depth = np.zeros(flat.nets, dtype=np.int64)
    logic = [g for g in flat.groups.values() if not g.cell.clocked_on]
    for _ in range(10_000):
        before = depth.copy()
        for g in logic:
            needed = np.max([depth[g.column(p)] for p in g.cell.inputs], axis=0, initial=0) + 1
            for p in g.cell.outputs:
                depth[g.column(p)] = needed
        depth[:2] = 0
        if np.array_equal(before, depth):
            break
    else:
        raise InternalError("the mapped netlist has a combinational loop")
    result: list[list[tuple[Group, np.ndarray]]] = [[] for _ in range(int(depth.max()) + 1)]
    for g in logic:
        if not g.cell.inputs:
            continue
        at = depth[g.column(g.cell.outputs[0])]
        order = np.argsort(at, kind="stable")
        cuts = np.flatnonzero(np.diff(at[order])) + 1
        for rows in np.split(order, cuts):
            if len(rows):
                result[int(at[rows[0]])].append((g, rows))
    return result
