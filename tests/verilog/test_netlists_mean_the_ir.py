"""What pyverilog reads in an emitted netlist is what the IR holds: ports, neurons, counts, streams, and every weight."""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import Spec, compiled, one_layer
from pyverilog.vparser import ast
from pyverilog.vparser.parser import parse

from sccc.backends.verilog import emit_netlist
from sccc.ir import Module
from sccc.types import Count, Level, Stream, Total


class Parsed:
    """The modules of a netlist by name."""

    def __init__(self, text: str, folder: Path) -> None:
        (folder / "net.v").write_text(text, encoding="ascii")
        with contextlib.chdir(folder):  # pyverilog leaves files where it stands
            tree, _ = parse([str(folder / "net.v")], outputdir=str(folder), debug=False)
        self.modules = {d.name: d for d in tree.description.definitions if isinstance(d, ast.ModuleDef)}

    def ports(self, name: str) -> dict[str, tuple[str, int]]:
        """Direction and width of each port."""
        found = {}
        for each in self.modules[name].portlist.ports:
            wire = each.first
            width = int(wire.width.msb.value) - int(wire.width.lsb.value) + 1 if wire.width else 1
            found[wire.name] = (type(wire).__name__.lower(), width)
        return found

    def instances(self, name: str) -> dict[str, tuple[str, dict[str, int]]]:
        """The instances in a module: the module of each, and its parameters that are plain numbers."""
        found = {}
        for item in self.modules[name].items:
            for each in item.instances if isinstance(item, ast.InstanceList) else ():
                numbers = {p.paramname: p.argname for p in each.parameterlist if isinstance(p.argname, ast.IntConst)}
                found[each.name] = (each.module, {key: number(value) for key, value in numbers.items()})
        return found

    def bits(self, name: str, signal: str) -> list[set[tuple[str, int]]]:
        """The terms whose AND is each bit that an always block gives to a signal, the least significant first."""
        for item in self.modules[name].items:
            if isinstance(item, ast.Always):
                statement = item.statement.statements[0] if isinstance(item.statement, ast.Block) else item.statement
                if statement.left.var.name == signal:
                    return terms(statement.right.var)[::-1]
        return []


def number(constant: ast.IntConst) -> int:
    text = constant.value
    return int(text.split("'h")[1], 16) if "'h" in text else int(text)


def terms(node) -> list[set[tuple[str, int]]]:
    if isinstance(node, ast.Concat):
        return [term for item in node.list for term in terms(item)]
    if isinstance(node, ast.Repeat):
        return terms(node.value) * int(node.times.value)
    if isinstance(node, ast.And):
        return [a | b for a, b in zip(terms(node.left), terms(node.right), strict=True)]
    assert isinstance(node, ast.Pointer), node
    return [{(node.var.name, int(node.ptr.value))}]


def unpacked(packed: int, width: int, count: int) -> list[int]:
    return [packed >> i * width & (1 << width) - 1 for i in range(count)]


def width_of(kind) -> int:
    if isinstance(kind, Level):
        return kind.bits + 1 + (kind.encoding.value == "signed")
    if isinstance(kind, Count | Total):
        return next(w for w in range(1, 64) if -(1 << w - 1) <= kind.lo and kind.hi < 1 << w - 1)
    assert isinstance(kind, Stream)
    return 1


@pytest.fixture(scope="session")
def parsed(netlist, tmp_path_factory):
    return Parsed(netlist.text, tmp_path_factory.mktemp("parsed"))


def layers(module: Module) -> list[str]:
    return list(dict.fromkeys(op.attributes["layer"] for op in module if op.name == "sc.dot"))


def test_the_top_has_the_documented_ports(parsed, netlist, module):
    x, y = module.inputs[0].result.type, module.outputs[0].operands[0].type
    assert parsed.ports(netlist.top) == {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "start": ("input", 1),
        netlist.input_port: ("input", math.prod(x.shape) * width_of(x)),
        "valid": ("output", 1),
        netlist.output_port: ("output", math.prod(y.shape) * width_of(y)),
    }


def test_there_is_a_module_for_each_layer_and_one_for_each_neuron(parsed, netlist, module):
    names = [f"{netlist.top}_{layer}" for layer in layers(module)]
    inside = [kind for kind, _ in parsed.instances(netlist.top).values()]
    assert inside == names
    for name, dot in zip(names, module.ops_named("sc.dot"), strict=True):
        neurons = [kind for kind, _ in parsed.instances(name).values() if "_neuron_" in kind]
        assert neurons == [f"{name}_neuron_{j}" for j in range(dot.result.type.lanes)]
        for neuron in neurons:
            assert parsed.ports(neuron)["count"] == ("output", width_of(dot.result.type))
            assert parsed.ports(neuron)["x"] == ("input", dot.operands[0].type.lanes)


def test_every_module_that_is_there_is_used(parsed, netlist):
    used = {kind for name in parsed.modules for kind, _ in parsed.instances(name).values()}
    assert used | {netlist.top} == set(parsed.modules)


def test_layers_hand_over_what_the_ir_says(parsed, netlist, module):
    for layer, dot in zip(layers(module), module.ops_named("sc.dot"), strict=True):
        source = dot.operands[0]
        if source.op.name == "sc.sng":
            source = source.op.operands[0]
        ports = parsed.ports(f"{netlist.top}_{layer}")
        width = source.type.lanes * width_of(source.type)
        assert [w for _, (kind, w) in ports.items() if kind == "input"] == [1, 1, 1, width]


def test_equal_streams_exist_once(parsed, netlist, module):
    """As many streams as distinct (magnitude, mask, source) that are neither always 0 nor always 1, and those levels."""
    for layer, dot in zip(layers(module), module.ops_named("sc.dot"), strict=True):
        sng = dot.operands[1].op
        level, random = sng.operands
        magnitude = np.abs(level.op.attributes["levels"])
        masks = np.zeros(1, dtype=int)
        while random.op.name == "sc.mask":
            masks, random = masks ^ random.op.attributes["masks"], random.op.operands[0]
        sources = np.arange(random.type.lanes).reshape(random.type.shape)
        every = np.broadcast_arrays(magnitude, masks, sources)
        distinct = {each for each in zip(*(a.ravel().tolist() for a in every), strict=True)}
        distinct = {each for each in distinct if 0 < each[0] < 1 << level.type.bits}
        kind, found = parsed.instances(f"{netlist.top}_{layer}").get(f"{layer}_ws_sng", ("", {}))
        assert (kind, found.get("STREAMS")) == (("sccc_constant_streams", len(distinct)) if distinct else ("", None))
        if distinct:
            levels = unpacked(found["LEVELS"], level.type.bits + 1, len(distinct))
            assert sorted(levels) == sorted(each[0] for each in distinct)


@pytest.fixture
def plain():
    """Unsigned inputs and signed weights: a lane is x & w, counted up or down."""
    spec = Spec((9, 6, 4), "sigmoid", "none", {"length": 32, "encoding": "signed"}, seed=11)
    return compiled(spec)


def test_the_weights_can_be_read_back(plain, tmp_path):
    netlist = emit_netlist(plain)
    parsed = Parsed(netlist.text, tmp_path)
    for layer in layers(plain):
        constant = plain.value(f"{layer}_weights")
        rebuilt = np.zeros(constant.type.shape, dtype=int)
        streams = parsed.instances(f"net_{layer}")[f"{layer}_ws_sng"][1]
        levels = unpacked(streams["LEVELS"], constant.type.bits + 1, streams["STREAMS"])
        for j in range(rebuilt.shape[0]):
            for signal, sign in (("up", 1), ("down", -1)):
                for lane in parsed.bits(f"net_{layer}_neuron_{j}", signal):
                    named = dict(lane)
                    # A full-scale weight needs no stream: its lane is x alone.
                    rebuilt[j, named["x"]] = sign * (levels[named["ws"]] if "ws" in named else 1 << constant.type.bits)
        assert np.array_equal(rebuilt, constant.op.attributes["levels"])
        assert (rebuilt == 0).any() and (np.abs(rebuilt) == 1 << constant.type.bits).any()


def test_zero_weights_cost_nothing(plain, tmp_path):
    """A population count is as wide as the neuron has positive (or negative) weights."""
    parsed = Parsed(emit_netlist(plain).text, tmp_path)
    for layer in layers(plain):
        levels = plain.value(f"{layer}_weights").op.attributes["levels"]
        for j, row in enumerate(levels):
            counts = {name: kind for name, (kind, _) in parsed.instances(f"net_{layer}_neuron_{j}").items()}
            wanted = {"count_up": int((row > 0).sum()), "count_down": int((row < 0).sum())}
            assert counts == {name: f"sccc_popcount_{lanes}" for name, lanes in wanted.items() if lanes}
            for lanes in filter(None, wanted.values()):
                ports = parsed.ports(f"sccc_popcount_{lanes}")
                assert ports == {"v": ("input", lanes), "ones": ("output", lanes.bit_length())}


def test_a_layer_of_zeros_has_no_lanes(tmp_path):
    module = one_layer("unipolar", "signed", np.zeros((2, 3), dtype=int), 16, 4)
    parsed = Parsed(emit_netlist(module).text, tmp_path)
    assert not any("popcount" in name or "constant_streams" in name for name in parsed.modules)


def test_the_same_module_gives_the_same_bytes(spec, netlist):
    assert emit_netlist(compiled(spec)).text == netlist.text
    assert emit_netlist(compiled(replace(spec, seed=spec.seed + 1))).text != netlist.text


def test_the_header_documents_interface_and_timing(netlist, module):
    header = netlist.text.split("`default_nettype none")[0]
    assert all(line.startswith("//") for line in header.splitlines())
    plan = netlist.schedule
    assert f"the next one may come {plan.interval} cycles later" in header
    assert f"{plan.latency} cycles after start" in header
    for layer in layers(module):
        assert re.search(rf"//   {netlist.top}_{layer}  '/{layer}/Gemm'  {plan.layers[layer].length}  \d+\n", header)
    assert header.isascii() and netlist.text.isascii()
