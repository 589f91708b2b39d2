"""Folded netlists in Verilator: it compares as much as Icarus, agrees with it, and finds what is planted."""

from __future__ import annotations

from folded_nets import FoldedNet

from sccc import check
from sccc.ir import Module


def small() -> tuple[FoldedNet, Module]:
    """A convolution, pooling and a dense layer."""
    net = FoldedNet((2, 4, 4), "signed")
    x = net.levels(net.totals(net.input, 3, [1, 2, 5], [3, 3], pads=[1, 1, 1, 1]))
    x = net.add("sc.max_pool", [x], kernel=[2, 2], strides=[2, 2], **net.layer())
    flat = net.add("sc.reshape", [x], shape=[12], **net.layer())
    return net, net.end(net.totals(flat, 3, [1, 2, 4]))


def test_verilator_and_icarus_agree():
    net, module = small()
    results = [check(module, net.data(), simulator=name) for name in ("icarus", "verilator")]
    assert results[0] == results[1]
    assert results[0].mismatches == 0 and results[0].compared > 300


def test_a_fault_is_found_where_it_is_and_as_icarus_finds_it():
    """Accumulators whose lowest bit is flipped in each cycle: the first totals are wrong, and said to be."""
    net, module = small()

    def planted(text: str) -> str:
        before, after = "else if (running) state <= following;", "else if (running) state <= following ^ 1;"
        assert text.count(before) == 1
        return text.replace(before, after)

    results = [check(module, net.data(), simulator=name, alter=planted) for name in ("icarus", "verilator")]
    for result in results:
        assert result.mismatches > 0 and result.first is not None and result.first.op == "total"
    assert results[0] == results[1]
