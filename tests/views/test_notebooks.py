"""The notebooks in examples/ run, and hold the outputs that a run gives."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
sys.path.append(str(NOTEBOOKS))

from execute import executed, main, outputs  # noqa: E402


@pytest.mark.parametrize("name", [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))])
def test_a_notebook_gives_the_outputs_that_it_holds(name):
    stored = nbformat.read(NOTEBOOKS / name, as_version=4)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert code and all(cell.outputs for cell in code)
    assert outputs(executed(NOTEBOOKS / name)) == outputs(stored)


def test_a_changed_output_is_noticed(tmp_path, monkeypatch, capsys):
    shutil.copy(NOTEBOOKS / "from_onnx_to_rtl.ipynb", tmp_path / "small.ipynb")
    notebook = nbformat.read(tmp_path / "small.ipynb", as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell("print(6 * 7)", id="cell-0")]
    nbformat.write(notebook, tmp_path / "small.ipynb")
    monkeypatch.setattr("execute.HERE", tmp_path)
    assert main([]) == 0 and main(["--check"]) == 0
    text = (tmp_path / "small.ipynb").read_text()
    (tmp_path / "small.ipynb").write_text(text.replace('"42\\n"', '"43\\n"'))
    assert text.count('"42\\n"') == 1
    assert main(["--check"]) == 1 and "small.ipynb" in capsys.readouterr().err
