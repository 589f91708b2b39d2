"""`sccc --help` is quick: nothing heavy is imported before a command needs it."""

from __future__ import annotations

import subprocess
import sys
import time

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


def test_help_takes_less_than_0_3_s_beyond_python_itself():
    """The best of several: the machine may be busy."""
    best = {}
    for name, code in (("python", "pass"), ("help", "from sccc.cli import main; main(['--help'])")):
        times = []
        for _ in range(7):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            times.append(time.perf_counter() - begin)
        best[name] = min(times)
    assert best["help"] - best["python"] < 0.3
