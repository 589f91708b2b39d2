"""`sccc --help` is quick: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import resource
import subprocess
import sys

HEAVY = (
    "numpy",
    "onnx",
    "onnxruntime",
    "numba",
    "scipy",
    "networkx",
    "lark",
    "rich",
    "joblib",
    "matplotlib",
    "distributed",
)

PROBE = f"""
import contextlib, io, sys
from sccc.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main([{{arguments}}])
print([m for m in {HEAVY!r} if m in sys.modules])
"""


def imported(*arguments: str) -> str:
    text = PROBE.format(arguments=", ".join(map(repr, arguments)))
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.strip()


def test_help_imports_nothing_heavy():
    assert imported("--help") == "[]"
    for command in ("compile", "simulate", "check", "sweep", "report", "train"):
        assert imported(command, "--help") == "[]", command


def cpu_seconds(code: str) -> float:
    """Processor time of a fresh Python that runs the code, the least of several: other work on the machine does not count."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_help_takes_less_than_0_3_s_of_processor_time_beyond_python_itself():
    assert cpu_seconds("from sccc.cli import main; main(['--help'])") - cpu_seconds("pass") < 0.3
