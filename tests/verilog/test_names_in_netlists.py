"""Whatever a model calls its nodes, the netlist is legal, means the same, and its header says what is what."""

from __future__ import annotations

import numpy as np
import pytest
from nets import lower

from sccc import check
from sccc.backends.verilog import emit_netlist
from sccc.ir import Module

HOSTILE = (
    "x; endmodule $finish",
    "module",
    "größe",
    "层",
    "a\nb",
    '*/ // `include "x"',
    "ends in a backslash\\",
    "verilator lint_off",
    "synopsys translate_off",
    "1st",
    "",
    "sccc_window",
    "n" * 500,
    "_",
    "$display",
    "\u202ereversed\x00",
)
OURS = ("clk", "rst", "start", "valid", "held", "go_0", "done_1", "layer_0", "follow_1", "net", "net_tb", "tb", "net_0_a_level",
        "running", "t", "done", "window", "neuron_0", "sccc", "a_level", "a_level_out", "a_neuron_0", "net_a")  # fmt: skip
"""Names that the netlist itself uses."""


def network(module_name: str, layers: tuple[str, str], ports: tuple[str, str], origin: str = "") -> Module:
    rng = np.random.default_rng(5)
    module = Module(module_name)
    value = module.append("nn.input", [], {"shape": [3], "name": ports[0]}, result=ports[0] or "x").result
    for name, (m, n) in zip(layers, ((4, 3), (2, 4)), strict=True):
        attributes = {"weight": rng.normal(size=(m, n)), "bias": rng.normal(size=m)}
        value = module.append("nn.dense", [value], attributes, result=name, origin=origin or name).result
        if name == layers[0]:
            value = module.append("nn.tanh", [value], {}, origin=origin + "act").result
    module.append("nn.output", [value], {"name": ports[1]})
    return module


def assert_sound(module: Module, accepts, style: str = "accumulate") -> str:
    compiled = lower(module, {"length": 8, "style": style})
    netlist = emit_netlist(compiled)
    assert accepts(netlist.text, netlist.top) == ""
    result = check(compiled, np.array([[0.0, 0.5, 1.0], [0.9, 0.1, 0.4]]))
    assert (result.mismatches, result.first) == (0, None)
    header = netlist.text.split("`default_nettype none")[0]
    assert header.isascii() and all(line.startswith("//") and line.isprintable() for line in header.splitlines())
    return header


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_everything(name, accepts):
    header = assert_sound(network(name, (name, name + "2"), (name, name), name), accepts)
    shown = name.encode("unicode_escape").decode("ascii")
    assert shown in header or shown.replace("\\\\", "\\") in header


@pytest.mark.parametrize("k", range(0, len(OURS), 2), ids=lambda k: OURS[k])
def test_names_that_the_netlist_itself_uses(k, accepts):
    """As names of the input, of the output, and of the second layer."""
    name, other, third = (OURS[(k + i) % len(OURS)] for i in (0, 1, 5))
    assert_sound(network("net", ("a", third), (name, other)), accepts, ("accumulate", "streaming")[k // 2 % 2])


def test_names_that_become_equal(accepts):
    header = assert_sound(network("a b", ("a-b", "a.b"), ("a/b", "a+b")), accepts)
    for was in ("a b", "a-b", "a.b", "a/b", "a+b"):
        assert f"'{was}'" in header, was


def test_names_that_only_differ_behind_what_is_kept(accepts):
    assert_sound(network("net", ("n" * 300 + "1", "n" * 300 + "2"), ("p" * 300 + "1", "p" * 300 + "2")), accepts)
