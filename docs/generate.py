"""mkdocs' hook: adds the generated pages and diagrams to the site; they are never written into the repository."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from generators import ir, ops, options, passes, timing

PAGES: dict[str, Callable[[], str]] = {
    "reference/ir.md": ir.page,
    "reference/ops.md": ops.page,
    "reference/passes.md": passes.page,
    "reference/options.md": options.options_page,
    "reference/commands.md": options.commands_page,
    **timing.DIAGRAMS,
}
"""What makes each file's text, by the file's place in docs/."""


TOPICS = "Topics"
"""The part of the navigation that holds every page of docs/ that no other part names."""


def on_config(config: Any) -> Any:
    """Called by mkdocs when it has read mkdocs.yml."""
    named = {path for part in config.nav for path in part.values() if isinstance(path, str)}
    others = sorted(path.name for path in Path(config.docs_dir).glob("*.md") if path.name not in named)
    next(part for part in config.nav if TOPICS in part)[TOPICS] = others
    return config


def on_files(files: Files, config: Any) -> Files:
    """Called by mkdocs when it has collected what lies in docs/."""
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files
