"""Runs the notebooks in this folder and stores their outputs, or checks that those stored are what a run gives.

    python examples/notebooks/execute.py            # after a change: run and store
    python examples/notebooks/execute.py --check    # exit code 1 where an output differs

Needs nbclient and ipykernel (the `dev` extra). Pictures of plots are not compared: their bytes are matplotlib's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent

PLOTS = ("image/png", "image/svg+xml")

SECONDS = 300
"""Longest time for a cell."""


def executed(path: Path) -> Any:
    """The notebook at `path` with the outputs of a run in its folder. Raises CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": path.parent}},
    )
    client.execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def outputs(notebook: Any) -> list[list[Any]]:
    """What each cell puts out, as far as it can be compared: text and HTML; of a plot only that it is one."""
    return [list(_comparable(cell.get("outputs", []))) for cell in notebook.cells]


def _comparable(found: list[Any]) -> Iterator[Any]:
    for output in found:
        if output.output_type == "stream":
            yield output.name, output.text
        else:
            plot = any(kind in output.data for kind in PLOTS)
            yield "plot" if plot else dict(output.data)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the stored outputs, write nothing")
    args = parser.parse_args(argv)
    differing = []
    for path in sorted(HERE.glob("*.ipynb")):
        notebook = executed(path)
        if args.check:
            if outputs(notebook) != outputs(nbformat.read(path, as_version=4)):
                differing.append(path.name)
        else:
            nbformat.write(notebook, path)
    if differing:
        print(f"outputs differ from those stored: {', '.join(differing)}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
