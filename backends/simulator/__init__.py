"""The simulator: runs an sc module bit for bit. `simulate` for one call, `Simulator` for many on the same module."""

from sccc.backends.simulator.executor import Simulation, Simulator, simulate

__all__ = ["Simulation", "Simulator", "simulate"]
