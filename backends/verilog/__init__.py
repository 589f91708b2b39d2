"""The Verilog backend."""

from sccc.backends.verilog.folded.netlist import FoldedNetlist
from sccc.backends.verilog.interface import Netlist, Observable
from sccc.backends.verilog.netlist import emit_netlist

__all__ = ["FoldedNetlist", "Netlist", "Observable", "emit_netlist"]
