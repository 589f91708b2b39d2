"""Icarus, Verilator and Yosys take what is emitted without a word."""


def test_by_all_tools(netlist, accepts):
    assert accepts(netlist.text, netlist.top) == ""
