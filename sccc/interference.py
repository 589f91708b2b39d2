"""Which streams meet in which op, and what the op needs of them: the graph that SNG sharing colours.

A node is a value of the IR: all lanes of a stream behave alike here, and `sccc.correlation` looks at the lanes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sccc.cells import Fsm
from sccc.correlation import generator_of
from sccc.ir import Module, Operation, Value
from sccc.ops import REGISTRY
from sccc.ops.conversion import SNGS
from sccc.ops.registry import Selects, Shared, Uncorrelated
from sccc.types import Count, Random, Stream

if TYPE_CHECKING:
    import networkx

INDEPENDENT, CORRELATED, INDIFFERENT = "independent", "correlated", "indifferent"

STRENGTH = (INDIFFERENT, CORRELATED, INDEPENDENT)
"""Of several needs of one pair the strongest is the edge's `need`; `needs` holds all."""


@dataclass(frozen=True)
class Origin:
    """What the bits of a value depend on: random sources (their names), and whether a state machine lies between."""

    sources: frozenset[str] = frozenset()
    decorrelated: bool = False


def interference_graph(module: Module) -> networkx.Graph:
    """The graph of a module's streams.

    Nodes are named like the values and have the attributes `value`, `kind` (sng, fsm, or logic for any other op that makes a
    stream), `sources` (frozenset of the names of the random sources that it depends on, through masks, logic and state
    machines) and `decorrelated` (a state machine lies between source and stream, so that its bits are no longer those of a
    comparison with the source). Edges join streams that meet in an op: `need` (independent, correlated: what the op's `needs` say;
    indifferent: they only meet in a sum), `needs` (a set, when ops differ) and `ops`.
    """
    import networkx

    graph = networkx.Graph(name=module.name)
    origin: dict[Value, Origin] = {}
    parts: dict[Value, frozenset[str]] = {}
    for op in module:
        _meet(graph, op, parts)
        if op.result is None:
            continue
        origin[op.result] = made = _origin(op, origin)
        if isinstance(op.result.type, Stream):
            kind = _kind(op)
            graph.add_node(
                op.result.name, value=op.result, kind=kind, sources=made.sources, decorrelated=made.decorrelated
            )
            parts[op.result] = frozenset({op.result.name})
        elif isinstance(op.result.type, Count):
            parts[op.result] = frozenset().union(*(parts.get(v, frozenset()) for v in op.operands))
    return graph


def _kind(op: Operation) -> str:
    if op.name in SNGS:
        return "sng"
    return "fsm" if isinstance(REGISTRY[op.name].cell, Fsm) or op.name == "sc.activate" else "logic"


def _origin(op: Operation, origin: dict[Value, Origin]) -> Origin:
    """Levels and totals depend on no source any more: they are numbers, held for a window."""
    assert op.result is not None
    if op.name == "sc.source":
        return Origin(frozenset({op.result.name}))
    if not isinstance(op.result.type, Stream | Count | Random):
        return Origin()
    before = [origin.get(v, Origin()) for v in op.operands]
    sources = frozenset().union(*(o.sources for o in before))
    walked = isinstance(op.result.type, Stream) and _kind(op) == "fsm"
    return Origin(sources, walked or any(o.decorrelated for o in before))


def _meet(graph: networkx.Graph, op: Operation, parts: dict[Value, frozenset[str]]) -> None:
    """Join the streams that meet in an op: operands by its needs, all others as indifferent."""
    definition = REGISTRY[op.name]
    needs: dict[tuple[str, str], str] = {}
    for need in definition.needs:
        if isinstance(need, Shared | Selects):
            continue  # needs of lanes of one operand, or of a random number: the graph's nodes are whole streams
        pair = tuple(definition.operand(op, name).name for name in need.operands)
        needs[pair[0], pair[1]] = INDEPENDENT if isinstance(need, Uncorrelated) else CORRELATED
    for v, w in itertools.combinations([v for v in op.operands if v in parts], 2):
        for a, b in itertools.product(sorted(parts[v]), sorted(parts[w])):
            if a != b:
                _join(graph, a, b, needs.get((a, b), needs.get((b, a), INDIFFERENT)), op)
            elif needs.get((v.name, w.name), INDIFFERENT) != INDIFFERENT:
                _join(graph, a, b, needs[v.name, w.name], op)


def _join(graph: networkx.Graph, a: str, b: str, need: str, op: Operation) -> None:
    if not graph.has_edge(a, b):
        graph.add_edge(a, b, need=need, needs=set(), ops=[])
    edge: dict[str, Any] = graph.edges[a, b]
    edge["needs"].add(need)
    edge["need"] = max(edge["needs"], key=STRENGTH.index)
    edge["ops"].append(op)


def constraint_graph(graph: networkx.Graph) -> networkx.Graph:
    """What a choice of sources must respect: SNG streams that are multiplied, as nodes; pairs that must differ, as edges.

    A state machine's stream still depends on the sources behind it, so what it meets should use others: its edges go to the
    SNGs behind it, with the attribute `through` (its name). Edges between SNGs proper have through = "".
    """
    import networkx

    result = networkx.Graph()

    def proper(name: str) -> str:
        """The SNG stream that a stream is, perhaps in other lanes or pooled; "" where there is none."""
        maker = generator_of(graph.nodes[name]["value"])
        return maker.result.name if maker is not None and maker.result is not None else ""

    by_source: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        if node["kind"] == "sng":
            for source in node["sources"]:
                by_source.setdefault(source, []).append(name)
    for a, b, edge in graph.edges(data=True):
        if edge["need"] != INDEPENDENT:
            continue
        ends = [[proper(name)] if proper(name) else _sngs(graph, name, by_source) for name in (a, b)]
        result.add_nodes_from(n for n in map(proper, (a, b)) if n)
        for u, v in itertools.product(*ends):
            through = next((n for n in (a, b) if not proper(n)), "")
            if not (result.has_edge(u, v) and result.edges[u, v]["through"] == ""):
                result.add_edge(u, v, through=through, ops=edge["ops"])
    return result


def _sngs(graph: networkx.Graph, name: str, by_source: dict[str, list[str]]) -> list[str]:
    """The SNG streams that a stream comes from; those of biases, which are never multiplied, left out."""
    multiplied = lambda n: any(e["need"] == INDEPENDENT for e in graph.adj[n].values())  # noqa: E731
    return sorted({n for s in graph.nodes[name]["sources"] for n in by_source.get(s, []) if multiplied(n)})
