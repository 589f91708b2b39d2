"""Synthesis: Yosys maps the emitted Verilog to a Liberty library, OpenSTA times it, and a simulation of the gates weighs it."""

from sccc.backends.synthesis.bill import SynthesisBill, synthesize

__all__ = ["SynthesisBill", "synthesize"]
