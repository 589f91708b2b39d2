"""The hierarchy that is read off a netlist is the one that pyverilog reads."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from nets import Spec, compiled
from pyverilog.vparser import ast
from pyverilog.vparser.parser import parse

from sccc.api import emit_files
from sccc.backends.verilog.hierarchy import Part, hierarchy


def instances(node: ast.Node) -> Counter[str]:
    found = Counter([node.module]) if isinstance(node, ast.Instance) else Counter()
    return sum((instances(child) for child in node.children()), found)


def matches(part: Part, modules: dict[str, Counter[str]]) -> None:
    """Each single module of the hierarchy instantiates what it instantiates in the syntax tree, as often."""
    assert sum(each.instances for each in part.parts) == modules[part.name].total()
    assert sum(each.modules for each in part.parts) == len(modules[part.name])
    for each in part.parts:
        assert each.name in modules[part.name] and (each.modules > 1 or each.instances == modules[part.name][each.name])
        if each.modules == 1:
            matches(each, modules)


@pytest.mark.parametrize("options", ({}, {"style": "streaming"}, {"multipliers": 6}), ids=("sums", "streams", "folded"))
def test_instances_are_those_of_the_syntax_tree(options, tmp_path):
    module = compiled(Spec(sizes=(9, 6, 3), options={"length": 16, **options}))
    text = emit_files(module, "net.v")["net.v"]
    (tmp_path / "net.v").write_text(text)
    with contextlib.chdir(tmp_path):  # pyverilog leaves files where it stands
        tree, _ = parse(["net.v"], outputdir=str(tmp_path), debug=False)
    modules = {m.name: instances(m) for m in tree.description.definitions if isinstance(m, ast.ModuleDef)}
    root = hierarchy(text)
    assert root.name == "net" and len(root.parts) >= 2
    matches(root, modules)
    with pytest.raises(AssertionError):
        matches(hierarchy(text.replace("\n  net_fc0 ", "\n  // net_fc0 ", 1)), modules)
