"""sccc as a process: exit codes, pipes, and a start that does not load what it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_common import process, samples, shell

import sccc

SCCC = f"{sys.executable} -m sccc.cli"
HEAVY = ("onnx", "numba", "onnxruntime", "rich", "scipy", "networkx", "lark", "matplotlib", "numpy")


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["compile", "--help"], ["nonsense"], []])
def test_help_and_usage_errors_load_nothing_heavy(argv):
    code = (
        "import sys\nimport sccc.cli\n"
        f"try: sccc.cli.main({argv!r})\nexcept SystemExit: pass\n"
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    result = shell([sys.executable, "-c", code])
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "LOADED []"


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, sccc; dir(sccc); print([m for m in {HEAVY!r} if m in sys.modules])"
    assert shell([sys.executable, "-c", code]).out == "[]\n"


def test_compiling_loads_neither_the_simulator_nor_onnxruntime(model):
    code = (
        "import sys\nfrom sccc.cli import main\n"
        "main(['net.onnx'])\n"
        "print([m for m in ('numba', 'onnxruntime', 'matplotlib') if m in sys.modules])"
    )
    assert shell([sys.executable, "-c", code]).out.splitlines()[-1] == "[]"


def test_the_public_names_are_there():
    for name in sccc.__all__:
        assert getattr(sccc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compyle'"):
        sccc.compyle  # noqa: B018


def test_the_exit_code_of_a_process_is_0_or_2(model):
    assert process(model).code == 0
    bad = process(model, "--length", "0")
    assert (bad.code, bad.out) == (2, "")
    assert bad.err.startswith("error: option length: 0 is outside")
    assert "Traceback" not in bad.err


def test_the_exit_code_of_a_mismatch_is_1(model, data):
    """A simulator that is wrong is found as well as a netlist that is."""
    code = (
        "import sys\nfrom sccc import rtl_check\nfrom sccc.cli import main\n"
        "emit = rtl_check.emit_netlist\n"
        "import dataclasses\n"
        "rtl_check.emit_netlist = lambda m: dataclasses.replace(\n"
        "    emit(m), text=emit(m).text.replace('assign sum = ', 'assign sum = ~'))\n"
        "sys.exit(main(['check', 'net.onnx', '--data', 'd.npz', '--length', '8']))"
    )
    result = shell([sys.executable, "-c", code])
    assert result.code == 1
    assert "first difference: %fc1_count, lane " in result.err
    assert "Traceback" not in result.err


def test_the_installed_command_is_the_same(model):
    script = Path(sys.executable).parent / "sccc"
    assert shell([str(script), "--version"]).out == f"sccc {sccc.__version__}\n"


@pytest.mark.parametrize("command", ["ops", "passes", "--help", "net.onnx --emit ir -o /dev/stdout"])
def test_a_reader_that_leaves_early_is_no_error(model, command):
    result = shell(f"set -o pipefail; {SCCC} {command} 2>err | head -1; echo code ${{PIPESTATUS[0]}}")
    assert result.out.splitlines()[-1] == "code 0"
    noise = [line for line in Path("err").read_text().splitlines() if not line.startswith("warning: ")]
    assert noise == []


@pytest.mark.parametrize("command", ["ops", "net.onnx"])
def test_a_closed_reader_is_no_error(model, command):
    """The pipe is broken before the first byte, so that the error comes with the last flush."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*SCCC.split(), command], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] == []


def test_an_ascii_terminal_is_no_error(model):
    Path("größe").mkdir()
    result = process(model, "-o", "größe/net.v", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert result.code == 0, result.err
    assert "fc1" in result.out
    assert Path("größe/net.v").exists()


def test_no_colours_and_no_bars_when_piped(model, data):
    result = process("simulate", model, "--data", data, "--kernels", "numpy", "--limit", "5")
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "\r" not in result.out + result.err
    assert all(line.startswith("warning: ") for line in result.err.splitlines())


def test_wide_tables_are_not_cut_when_piped(folder):
    from cli_common import write_model

    names = ("/model/encoder/stages/0/blocks/0/mlp/fully_connected_1/Gemm_with_a_long_name", "act", "fc2")
    write_model(Path("net.onnx"), names=names)
    lines = process("net.onnx").out.splitlines()
    assert any(line.split()[0] == names[0] for line in lines if line.split())
    assert "…" not in "".join(lines)


def test_python_and_the_command_line_give_the_same_verilog(model):
    assert process(model, "--length", "16", "--style", "streaming").code == 0
    module = sccc.compile(str(model), length=16, style="streaming")
    assert Path("net.v").read_text() == sccc.emit(module)
    x = samples()[0][:2]
    assert np.isfinite(sccc.simulate(module, x).output).all()
