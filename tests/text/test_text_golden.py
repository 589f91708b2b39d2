"""The printed form of a hand-written module, and what a reader may write differently."""

import subprocess
import sys

import numpy as np

from sccc.diagnostics import Location
from sccc.ir import Module
from sccc.text import parse_module, print_module
from sccc.types import Count, Encoding, Level, Stream


def test_golden_text_is_printed_as_it_was_read(golden):
    assert print_module(parse_module(golden)) == golden


def test_what_is_read(golden):
    module = parse_module(golden, "tiny.sc")
    assert module.name == "tiny" and len(module) == 10
    assert module.value("x").type == Level((6,), Encoding.UNIPOLAR, 5)
    assert module.value("ws").type == Stream((3, 6), Encoding.SIGNED, 32)
    dot = module.value("c").op
    assert dot.result.type == Count((3,), -3, 4, 32)
    assert [operand.name for operand in dot.operands] == ["xs", "ws"]
    assert dot.operands[0] is module.value("xs")
    assert dot.origin == "fc1" and dot.attributes == {"layer": "fc1", "parallel": []}
    assert dot.location == Location("tiny.sc", 9, 3)
    levels = module.value("w").op.attributes["levels"]
    assert levels.dtype == np.int64 and levels[1].tolist() == [0, 0, 7, -32, 0, 0]
    assert module.outputs[0].result is None and module.outputs[0].location.column == 3


def test_defaults_are_filled_in_and_not_printed(golden):
    module = parse_module(golden)
    assert module.value("x").op.attributes["scale"] == 1.0
    assert module.value("s").op.attributes["index"] == 0
    module.value("x").op.attributes["scale"] = 1
    assert "scale = 1, " in print_module(module)  # an int where the default is a float is told apart
    module.value("x").op.attributes["scale"] = 2.0
    assert "scale = 2.0, " in print_module(module)


def test_comments_line_breaks_and_order_of_attributes_mean_nothing(golden):
    free = (
        golden.replace("%x = sc.input {bits = 5, ", "%x // first\n =\n// an input\nsc.input // {\n{ ")
        .replace("shape = [6]}", "shape=[6],bits=5 // }\n}")
        .replace("7 -32 0", "7 // ] [ 1 2 3\n -32 //\n0")
        .replace("\n", "\r\n")
    )
    assert print_module(parse_module("// a module\n" + free + "// the end")) == golden


def test_keywords_are_free_for_names():
    text = "module @module { %from = nn.constant {value = @data} : real<2> }"
    text += "data { data = int64<2> [1 2] from = bool<0> [] }"
    module = parse_module(text)
    assert module.value("from").op.attributes["value"].tolist() == [1, 2]
    assert module.name == "module"


def test_equal_tensors_share_an_entry_but_not_memory():
    module = Module("m")
    big = np.arange(20)
    for array in (big, big.copy(), big.astype(float), big.reshape(4, 5), big + 1):
        module.append("nn.constant", attributes={"value": array}, result="k")
    text = print_module(module)
    entries = [line for line in text.splitlines() if "<" in line and line.endswith("[")]
    assert entries == [
        "  k_value = int64<20> [",
        "  k_3_value = float64<20> [",
        "  k_4_value = int64<4x5> [",
        "  k_5_value = int64<20> [",
    ]
    back = parse_module(text)
    first, second = (back.value(name).op.attributes["value"] for name in ("k", "k_2"))
    assert first is not second and not np.shares_memory(first, second)
    first[0] = 9
    assert second[0] == 0


def test_names_of_data_entries_are_unique():
    module = Module("m")
    for name in ("a b", "a_b", "2"):
        op = module.append("nn.constant", attributes={"value": np.full(17, len(module))})
        op.result.name = name
    text = print_module(module)
    assert '%"a b" = nn.constant {value = @a_b_value}' in text
    assert "%a_b = nn.constant {value = @a_b_value_2}" in text
    assert "%2 = nn.constant {value = @v2_value}" in text
    assert print_module(parse_module(text)) == text


def test_inline_limit():
    module = Module("m")
    module.append("nn.constant", attributes={"value": np.arange(16)}, result="a")
    module.append("nn.constant", attributes={"value": np.arange(17)}, result="b")
    text = print_module(module)
    assert "%a = nn.constant {value = int64<16> [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]} : real<16>" in text
    assert "%b = nn.constant {value = @b_value} : real<17>" in text


def test_big_tensors_are_wrapped():
    module = Module("m")
    module.append("nn.constant", attributes={"value": np.linspace(-1, 1, 1000).reshape(10, 100)})
    widths = [len(line) for line in print_module(module).splitlines()]
    assert max(widths) <= 110 and sorted(widths)[len(widths) // 2] > 80


def test_importing_builds_no_parser():
    code = (
        "import sccc.text, sccc.text_types as t; assert t.grammar.cache_info().currsize == 0; t.parse_type('real<2>');"
    )
    code += "t.parse_type('real<3>'); assert t.grammar.cache_info().misses == 1"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
