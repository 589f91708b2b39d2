"""Text as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def text(words: str) -> str:
    """Plain text, in which only `code` means something, so that Markdown shows it as it is."""
    parts = words.split("`")
    shown = [re.sub(r"([\\*_{}\[\]#|])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    marked = [code(part) for part in parts[1::2]]
    return "".join(a + b for a, b in zip(shown, [*marked, ""], strict=True))


def code(words: str) -> str:
    """Text in the typeface of code, in a table or outside."""
    return f"`{words}`".replace("|", r"\|")


def block(words: str, language: str = "text") -> str:
    """Lines of code."""
    return f"```{language}\n{words.rstrip()}\n```\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
