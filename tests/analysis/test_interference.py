"""The interference graph: which streams meet, with which need, and what their bits depend on."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from nets import Spec, compiled, one_layer

from sccc.cells import Comb
from sccc.diagnostics import SccError
from sccc.expr import Var
from sccc.interference import constraint_graph, interference_graph
from sccc.ops import REGISTRY
from sccc.ops.registry import Correlated, Op
from sccc.types import Stream
from sccc.verify import verify


def edges(graph) -> dict:
    return {frozenset(pair): graph.edges[pair]["need"] for pair in graph.edges}


def test_streams_that_are_multiplied_and_streams_that_are_added():
    module = one_layer("unipolar", "signed", [[1, 2], [3, -4]], 8, 3, bias=([1, 0], [2, 3]))
    graph = interference_graph(module)
    assert isinstance(graph, networkx.Graph)
    assert edges(graph) == {
        frozenset(("x", "w")): "independent",
        frozenset(("x", "fraction")): "indifferent",
        frozenset(("w", "fraction")): "indifferent",
    }
    assert [op.name for op in graph.edges["x", "w"]["ops"]] == ["sc.dot"]
    assert all(node["kind"] == "sng" and not node["decorrelated"] for node in graph.nodes.values())
    assert graph.nodes["x"]["value"] is module.value("x")
    assert graph.nodes["w"]["sources"] == {module.value("w").op.operands[1].name}


def test_layers_that_accumulate_do_not_meet():
    graph = interference_graph(compiled(Spec((4, 3, 3, 2))))
    assert edges(graph) == {frozenset((f"fc{k}_x", f"fc{k}_w")): "independent" for k in range(3)}


def test_through_masks_and_state_machines():
    """A streaming layer's output depends on all sources before it, decorrelated, and meets the next weights."""
    module = compiled(Spec((4, 3, 3, 2), "tanh", "none", {"style": "streaming", "length": 32}))
    graph = interference_graph(module)
    assert graph.nodes["fc0_w"]["sources"] == {"fc0_rw"}  # through its masks
    first, second = graph.nodes["fc0_stream"], graph.nodes["fc1_stream"]
    assert first["kind"] == second["kind"] == "fsm" and first["decorrelated"] and second["decorrelated"]
    assert first["sources"] == {"fc0_rx", "fc0_rw", "fc0_rb"}
    assert second["sources"] == first["sources"] | {"fc1_rw", "fc1_rb"}
    assert edges(graph)[frozenset(("fc0_stream", "fc1_w"))] == "independent"
    assert edges(graph)[frozenset(("fc0_stream", "fc1_b"))] == "indifferent"


def test_what_a_choice_must_respect():
    module = compiled(Spec((4, 3, 3, 2), "tanh", "none", {"style": "streaming", "length": 32}))
    graph = constraint_graph(interference_graph(module))
    through = {frozenset((u, v)): name for u, v, name in graph.edges(data="through")}
    assert through == {
        frozenset(("fc0_x", "fc0_w")): "",
        frozenset(("fc0_x", "fc1_w")): "fc0_stream",
        frozenset(("fc0_w", "fc1_w")): "fc0_stream",
        frozenset(("fc0_x", "fc2_w")): "fc1_stream",
        frozenset(("fc0_w", "fc2_w")): "fc1_stream",
        frozenset(("fc1_w", "fc2_w")): "fc1_stream",
    }


@pytest.fixture
def maximum():
    """An op that needs correlated streams: OR as max (Alaghi & Hayes 2013)."""
    op = Op(
        "sc.test_or", "max", ("a", "b"), lambda op, a, b: np.maximum(a, b), lambda op: op.operands[0].type, {},
        Comb(Var("a") | Var("b")), (Correlated("a", "b"),),
    )  # fmt: skip
    REGISTRY.add(op)
    yield op
    del REGISTRY._ops["sc.test_or"]


def either(index):
    module = one_layer("unipolar", "unipolar", [[1, 2]], 8, 3)
    other = module.append("sc.source", [], {"kind": "sobol", "index": index, "bits": 3, "layer": "one"}).result
    sng = module.append("sc.sng", [module.value("level"), other], {"length": 8, "layer": "one"}, result="b").result
    module.append("sc.test_or", [module.value("x"), sng], result="both")
    return module


def test_correlated_streams(maximum):
    graph = interference_graph(either(0))
    assert graph.edges["x", "b"]["need"] == "correlated"
    assert graph.nodes["both"]["kind"] == "logic" and not graph.nodes["both"]["decorrelated"]
    assert isinstance(graph.nodes["both"]["value"].type, Stream) and len(graph.nodes["both"]["sources"]) == 2
    verify(either(0))
    with pytest.raises(SccError, match=r"%x and %b must compare with the same random numbers"):
        verify(either(3))
