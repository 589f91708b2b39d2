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
from sccc.types import Count, Encoding, Level, Stream, Total

Term = frozenset[tuple[str, int]]
"""Bits, by signal and index, of which something is the AND."""


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

    def wires(self, name: str) -> dict[str, dict[str, str]]:
        """The ports of each instance in a module, and the signal at each."""
        return {
            each.name: {port.portname: port.argname.name for port in each.portlist}
            for item in self.modules[name].items
            for each in (item.instances if isinstance(item, ast.InstanceList) else ())
        }

    def bits(self, name: str) -> dict[str, list[Term]]:
        """For each signal that an always block assigns: the terms whose AND is each of its bits, the least significant first."""
        widths = {port: width for port, (_, width) in self.ports(name).items()}
        found = {}
        for item in self.modules[name].items:
            for statement in item.statement.statements if isinstance(item, ast.Always) else ():
                found[statement.left.var.name] = terms(statement.right.var, widths)[::-1]
        return found


class Dot:
    """A module of dot products of unsigned inputs and signed weights, read back."""

    def __init__(self, parsed: Parsed, name: str) -> None:
        self.signals, self.wires, self.kinds = parsed.bits(name), parsed.wires(name), parsed.instances(name)
        self.counted = {
            wire: (instance, int(port.removeprefix("ones")))
            for instance, ports in self.wires.items()
            for port, wire in ports.items()
            if port.startswith("ones") and self.kinds[instance][0].startswith("sccc_counters")
        }

    def product(self, bit: Term) -> Term:
        """A bit as what it is of x and the weights' streams."""
        return frozenset().union(*(self.resolved(name, index) for name, index in bit))

    def resolved(self, name: str, index: int) -> Term:
        return self.product(self.signals[name][index]) if name in self.signals else frozenset([(name, index)])

    def lanes(self, output: int, label: str) -> list[Term]:
        """The products that an output counts "up" or "down". Of a subtotal, each bit must be there once and at its weight."""
        found, seen = [], {}
        for port, signal in self.wires.get(f"add_{label}_{output}", {}).items():
            for bit in self.signals[signal] if port != "ones" else ():
                ((name, index),) = bit
                if name in self.counted:
                    instance, place = self.counted[name]
                    assert port == f"v{place}"
                    seen.setdefault((instance, index), []).append(place)
                else:
                    assert port == "v0"
                    found.append(self.product(bit))
        for (instance, index), places in seen.items():
            size = int(self.kinds[instance][0].removeprefix("sccc_counters_"))
            assert sorted(places) == list(range(size.bit_length()))
            inputs = [self.signals[self.wires[instance][f"v{i}"]][index] for i in range(size)]
            found += [self.product(bit) for bit in inputs]
        return found


def number(constant: ast.IntConst) -> int:
    text = constant.value
    return int(text.split("'h")[1], 16) if "'h" in text else int(text)


def terms(node, widths: dict[str, int]) -> list[Term]:
    """An expression's bits, the most significant first, each as the set of the bits whose AND it is."""
    if isinstance(node, ast.Concat):
        return [term for item in node.list for term in terms(item, widths)]
    if isinstance(node, ast.Repeat):
        return terms(node.value, widths) * int(node.times.value)
    if isinstance(node, ast.And):
        return [a | b for a, b in zip(terms(node.left, widths), terms(node.right, widths), strict=True)]
    if isinstance(node, ast.Identifier):
        return [frozenset([(node.name, i)]) for i in reversed(range(widths[node.name]))]
    assert isinstance(node, ast.Pointer), node
    return [frozenset([(node.var.name, int(node.ptr.value))])]


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


def test_there_is_a_module_for_each_layer_and_one_for_its_dot_products(parsed, netlist, module):
    names = [f"{netlist.top}_{layer}" for layer in layers(module)]
    inner = [kind for kind, _ in parsed.instances(netlist.top).values()]
    assert inner == names
    for name, dot in zip(names, module.ops_named("sc.dot"), strict=True):
        kinds = [kind for kind, _ in parsed.instances(name).values()]
        assert kinds.count(f"{name}_dot") == 1
        ports = parsed.ports(f"{name}_dot")
        signed = dot.operands[0].type.encoding is Encoding.SIGNED
        assert [p for p in ("x", "xs") if p in ports] == ["x", "xs"][: 1 + signed]
        assert ports["x"] == ("input", dot.operands[0].type.lanes)
        if "sccc_from_start" not in kinds:
            assert ports["sum"] == ("output", dot.result.type.lanes * width_of(dot.result.type))


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


@pytest.fixture(params=[(9, 6, 4), (60, 12, 9)], ids=["small", "with subtotals"])
def plain(request):
    """Unsigned inputs and signed weights: a lane is x & w, counted up or down."""
    return compiled(Spec(request.param, "sigmoid", "none", {"length": 8, "encoding": "signed"}, seed=11))


def test_the_weights_can_be_read_back(plain, tmp_path):
    """Each nonzero weight is counted once, with its sign; a zero weight nowhere."""
    netlist = emit_netlist(plain)
    parsed = Parsed(netlist.text, tmp_path)
    for layer in layers(plain):
        constant = plain.value(f"{layer}_weights")
        rebuilt = np.zeros(constant.type.shape, dtype=int)
        streams = parsed.instances(f"net_{layer}")[f"{layer}_ws_sng"][1]
        levels = unpacked(streams["LEVELS"], constant.type.bits + 1, streams["STREAMS"])
        dot = Dot(parsed, f"net_{layer}_dot")
        for j in range(rebuilt.shape[0]):
            for label, sign in (("up", 1), ("down", -1)):
                for lane in dot.lanes(j, label):
                    named = dict(lane)
                    assert rebuilt[j, named["x"]] == 0
                    # A full-scale weight needs no stream: its lane is x alone.
                    rebuilt[j, named["x"]] = sign * (levels[named["ws"]] if "ws" in named else 1 << constant.type.bits)
        assert np.array_equal(rebuilt, constant.op.attributes["levels"])
        assert (rebuilt == 0).any() and (np.abs(rebuilt) == 1 << constant.type.bits).any()


def test_products_exist_once_and_common_bits_are_counted_once(tmp_path):
    parsed = Parsed(emit_netlist(compiled(Spec((60, 12, 9), "sigmoid", "none", {"length": 8}, seed=11))).text, tmp_path)
    dot = Dot(parsed, "net_fc0_dot")
    products = [dot.product(bit) for name, bits in dot.signals.items() if name.startswith("p_") for bit in bits]
    assert len(products) == len(set(products))
    counters = [kind for kind, _ in dot.kinds.values() if kind.startswith("sccc_counters")]
    assert counters
    users = [
        name
        for name, ports in dot.wires.items()
        if name.startswith("add_")
        for signal in ports.values()
        for bit in dot.signals.get(signal, ())
        for wire, _ in bit
        if dot.counted.get(wire, ("", 1))[1] == 0
    ]
    inputs = sum(kind[1]["LANES"] for kind in dot.kinds.values() if kind[0].startswith("sccc_counters"))
    assert len(users) == 2 * inputs  # each subtotal serves two sums


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
