"""sccc: compiles trained neural networks (ONNX) into stochastic-computing hardware.

import sccc
m = sccc.compile("model.onnx", length=64)
print(m)                                  # the SC IR as text; sccc.parse reads it back
result = sccc.simulate(m, x)              # bit streams; result.output, result.trace
sccc.check(m, x[:2])                      # Icarus against the simulator
open("net.v", "w").write(sccc.emit(m))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name -> module that defines it: imported when first used, so that `import sccc` and `sccc --help` stay fast.
_PUBLIC = {
    "compile": "sccc.api",
    "load": "sccc.api",
    "parse": "sccc.api",
    "emit": "sccc.api",
    "simulate": "sccc.backends.simulator",
    "Simulation": "sccc.backends.simulator",
    "waveform": "sccc.waves",
    "check": "sccc.rtl_check",
    "CheckResult": "sccc.rtl_check",
    "Module": "sccc.ir",
    "Operation": "sccc.ir",
    "Value": "sccc.ir",
    "SccError": "sccc.diagnostics",
    "InternalError": "sccc.diagnostics",
    "run_passes": "sccc.passes",
    "parse_pipeline": "sccc.passes",
    "PassContext": "sccc.passes",
}

if TYPE_CHECKING:
    from sccc.api import compile, emit, load, parse
    from sccc.backends.simulator import Simulation, simulate
    from sccc.diagnostics import InternalError, SccError
    from sccc.ir import Module, Operation, Value
    from sccc.passes import PassContext, parse_pipeline, run_passes
    from sccc.rtl_check import CheckResult, check
    from sccc.waves import waveform

__all__ = [
    "CheckResult",
    "InternalError",
    "Module",
    "Operation",
    "PassContext",
    "SccError",
    "Simulation",
    "Value",
    "check",
    "compile",
    "emit",
    "load",
    "parse",
    "parse_pipeline",
    "run_passes",
    "simulate",
    "waveform",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sccc' has no attribute '{name}'")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
