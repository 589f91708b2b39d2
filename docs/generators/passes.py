"""The pass reference, from the passes' fields and docstrings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

from generators.markdown import block, code, table, text
from sccc.config import OPTION_FIELDS
from sccc.passes import DEFAULT_PIPELINE, PASSES, Pass, parse_pipeline


def page() -> str:
    """The page, Markdown."""
    default = [each.name for each in parse_pipeline(DEFAULT_PIPELINE)]
    others = sorted(name for name in PASSES.names() if name not in default)
    parts = ["# Passes\n", _INTRODUCTION, block(DEFAULT_PIPELINE.replace(",", ",\n"))]
    parts.append("## The default pipeline\n")
    parts += [part for name in default for part in _section(PASSES[name])]
    parts.append("## On request\n")
    parts += [part for name in others for part in _section(PASSES[name])]
    return "\n".join(parts)


_INTRODUCTION = """\
This page is generated from the passes: a pass is a frozen dataclass, and its fields are its options, in Python and in the
text of a pipeline. `--passes "name{option=value option=value},name"` runs another pipeline than the default one; the module is
verified before the first pass and after each one, and `-v` prints it after each. The default pipeline is
"""


def _section(cls: type[Pass]) -> Iterator[str]:
    yield f"### {cls.name}\n"
    yield "\n\n".join(text(" ".join(part.split())) for part in (inspect.getdoc(cls) or "").split("\n\n")) + "\n"
    rows = [_row(f) for f in dataclasses.fields(cls)]
    if rows:
        yield table(("option", "kind", "default", "meaning"), rows)


def _row(f: dataclasses.Field[object]) -> tuple[str, str, str, str]:
    shared = OPTION_FIELDS.get(f.name)
    default = code(str(f.default)) if f.default != "" else "the compilation's"
    option = f.name.replace("_", "-")
    meaning = text(f.metadata.get("doc", ""))
    if shared and not meaning:
        meaning = f"as [--{option}](options.md#{option}): {text(shared.metadata['doc'])}"
    return code(option), type(f.default).__name__, default, meaning
