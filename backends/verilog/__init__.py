"""The Verilog backend."""

from sccc.backends.verilog.netlist import Netlist, Observable, emit_netlist

__all__ = ["Netlist", "Observable", "emit_netlist"]
