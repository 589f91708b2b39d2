"""Folded hardware as Verilog: engines that use their multipliers again and again, linked by streams of levels."""

from sccc.backends.verilog.folded.netlist import FoldedNetlist, Watch, emit_folded

__all__ = ["FoldedNetlist", "Watch", "emit_folded"]
