"""The documentation: it builds without warnings, holds what is generated, and its commands print what it says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sccc.cli import COMMANDS
from sccc.config import OPTION_FIELDS
from sccc.ops import REGISTRY
from sccc.passes import PASSES

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "docs"))

from session import FILES, START, comparable, run_page  # noqa: E402


@pytest.mark.parametrize("name", FILES)
def test_a_page_shows_what_its_commands_print(name):
    path = ROOT / "docs" / name
    assert comparable(run_page(path)) == comparable(path.read_text(encoding="utf-8"))


def test_an_output_that_is_out_of_date_is_noticed_and_a_failing_command_too(tmp_path):
    page = tmp_path / "tutorial.md"
    shown = "```console\n$ exit 1\n```\n"
    page.write_text(f"{shown}{START}\n```console\n$ echo 42\n42\n```\n", encoding="utf-8")
    assert run_page(page) == page.read_text(encoding="utf-8")
    page.write_text(page.read_text(encoding="utf-8").replace("\n42\n", "\n43\n"), encoding="utf-8")
    assert "\n42\n" in run_page(page) != page.read_text(encoding="utf-8")
    page.write_text(f"{START}\n{shown}", encoding="utf-8")
    with pytest.raises(RuntimeError, match="exit 1 failed"):
        run_page(page)


def test_the_tutorial_trains_what_the_example_trains():
    (shown,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"), re.DOTALL
    )
    example = ast.parse((ROOT / "examples" / "tutorial" / "train.py").read_text(encoding="utf-8"))
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.Module(example.body[1:], []))  # without the docstring


def headings(page: Path) -> set[str]:
    return set(re.findall(r'<h[23] id="[^"]*">(?:<[^>]*>)*([^<]+)', page.read_text(encoding="utf-8")))


def test_the_site_builds_without_a_warning_and_has_every_page_op_pass_option_and_command(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    reference = tmp_path / "reference"
    assert headings(reference / "ops.html") >= {op.name for op in REGISTRY}
    assert headings(reference / "passes.html") >= set(PASSES.names())
    assert headings(reference / "commands.html") >= {f"sccc {command}" for command in COMMANDS}
    options = (reference / "options.html").read_text(encoding="utf-8")
    assert all(f'id="{name.replace("_", "-")}"' in options for name in OPTION_FIELDS)
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert (tmp_path / f"{page.stem}.html").exists() and f'href="{page.stem}.html"' in index
    for name in re.findall(r"\((images/[\w.]+)\)", (ROOT / "docs" / "rtl.md").read_text(encoding="utf-8")):
        assert (tmp_path / name).stat().st_size > 1000
    assert not list(tmp_path.rglob("*.py"))
