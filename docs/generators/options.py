"""The references of options and commands, from `sccc.config.Options` and the command line's own help."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from unittest import mock

from generators.markdown import block, code, table, text
from sccc.cli import COMMANDS, main
from sccc.config import OPTION_FIELDS

WIDTH = 110
"""Columns of the help."""


def options_page() -> str:
    """The page of compilation options, Markdown."""
    rows = []
    for name, field in OPTION_FIELDS.items():
        option, data = name.replace("_", "-"), field.metadata
        values = ", ".join(code(choice) for choice in data["choices"]) or _bounds(data["lo"], data["hi"])
        where = "layer" if data["per_layer"] else "network"
        anchor = f'<a id="{option}"></a>{code("--" + option)}'
        rows.append((anchor, type(field.default).__name__, code(str(field.default)), values, where, text(data["doc"])))
    headings = ("option", "kind", "default", "values", "holds for", "meaning")
    return "\n".join(["# Options of compilation\n", _INTRODUCTION, table(headings, rows)])


_INTRODUCTION = """\
This page is generated from `sccc.config.Options`. Each option has the same name on the command line (`--input-range`), in Python
(`sccc.compile(model, input_range=1.0)`) and in a TOML file given with `--config`, where a table sets what differs for a layer, by
the name of its ONNX node:

```toml
length = 32
style = "streaming"

[layer."/fc3/Gemm"]
length = 64
style = "accumulate"
```

The command line wins over the file. All problems of a configuration are told at once, before any work.
"""


def _bounds(lo: float | None, hi: float | None) -> str:
    if lo is None and hi is None:
        return "any"
    return f"{lo} .. {hi}" if hi is not None else f"at least {lo}"


def commands_page() -> str:
    """The page of commands: their help texts, Markdown."""
    parts = [
        "# Commands\n",
        "This page is what `sccc COMMAND --help` prints. Exit codes: 0; 1 when `check` finds a mismatch; 2",
    ]
    parts[-1] += " when the input cannot be honoured, with the place, the reason and what to do.\n"
    for command in COMMANDS:
        parts += [f"## sccc {command}\n", block(_help(command))]
    return "\n".join(parts)


def _help(command: str) -> str:
    printed = io.StringIO()
    with mock.patch.dict(os.environ, COLUMNS=str(WIDTH)), redirect_stdout(printed), suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue()
