"""Runs the commands that a page shows, and puts what they print below them.

    python docs/session.py docs/tutorial.md docs/extending.md      # after a change of the program or the page

In a page, ```python title="NAME" is a file, and ```console holds commands behind "$ " with their output. All run in order in one
folder that starts with the page's `files`. Blocks before the line "<!-- run from here -->" are only shown. tests/docs runs the
pages and compares.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

START = "<!-- run from here -->"

FILES = {
    "tutorial.md": ("examples/tutorial/digits.onnx", "examples/tutorial/digits.npz"),
    "extending.md": ("examples/digits_mlp/digits_mlp.onnx", "examples/digits_mlp/digits.npz"),
}
"""What lies in the folder in which a page's commands run."""

_BLOCK = re.compile(r'```(?:python title="(?P<name>[\w.]+)"|console)\n(?P<body>.*?)```', re.DOTALL)


def run_page(path: Path) -> str:
    """The page's text with the outputs of a run. Raises RuntimeError where a command fails."""
    shown, marked, run = path.read_text(encoding="utf-8").partition(START)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for each in FILES[path.name]:
            shutil.copy(ROOT / each, folder)
        return shown + marked + _BLOCK.sub(lambda match: _block(match, folder), run)


def _block(match: re.Match[str], folder: Path) -> str:
    if match["name"]:
        (folder / match["name"]).write_text(match["body"], encoding="utf-8")
        return match[0]
    lines = [line for line in match["body"].splitlines() if line.startswith("$ ")]
    return "```console\n" + "".join(f"{line}\n{_output(line[2:], folder)}" for line in lines) + "```"


def _output(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
    lines = [line.rstrip() for line in (done.stdout + done.stderr).splitlines()]
    return "".join(line + "\n" for line in lines if line)


def comparable(text: str) -> str:
    """A page's text without what no two runs share: seconds, and the rate that follows from them."""
    return re.sub(r"^[\d.]+ s, .* products of bits per second$", "... s", text, flags=re.MULTILINE)


def main(arguments: Sequence[str]) -> None:
    for argument in arguments:
        text = run_page(Path(argument))
        Path(argument).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
