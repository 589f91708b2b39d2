"""Fixtures: an empty folder, a model, data, and the command line run inside this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_common import Result, Run, contents, samples, write_model

from sccc.cli import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Path:
    """net.onnx"""
    return write_model(Path("net.onnx"))


@pytest.fixture
def data(folder: Path) -> Path:
    """d.npz with x and y"""
    x, y = samples()
    np.savez("d.npz", x=x, y=y)
    return Path("d.npz")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def call(*argv: str | Path) -> Result:
        capsys.readouterr()
        code = main([str(a) for a in argv])
        seen = capsys.readouterr()
        return Result(code, seen.out, seen.err)

    return call


@pytest.fixture
def ok(run: Run) -> Run:
    """Run a command that must succeed."""

    def call(*argv: str | Path) -> Result:
        result = run(*argv)
        assert result.code == 0, result.err
        return result

    return call


@pytest.fixture
def refused(run: Run, folder: Path) -> Run:
    """Run a command that must be refused: code 2, nothing on standard output, advice with every error, no file touched."""

    def call(*argv: str | Path) -> Result:
        before = contents(folder)
        result = run(*argv)
        assert result.code == 2, (result.out, result.err)
        assert result.out == ""
        assert "Traceback" not in result.err
        problems = [part for part in result.err.split("error: ")[1:]]
        assert problems, result.err
        assert all("\n  = " in problem for problem in problems), f"without advice: {result.err}"
        assert contents(folder) == before
        return result

    return call
