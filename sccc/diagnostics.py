"""Diagnostics: where something is wrong, what is wrong, and what to do about it.

Two kinds of error, never mixed: `SccError` is the user's fault and carries every problem found so far; `InternalError`
is ours. Nothing else in the project formats an error message for a person.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Location:
    """A place a user can go to: a file position, an ONNX node, an IR operation or a command-line option."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    node: str | None = None
    op: str | None = None
    option: str | None = None

    def __str__(self) -> str:
        parts = []
        if self.file is not None:
            position = "".join(f":{n}" for n in (self.line, self.column) if n is not None)
            parts.append(f"{self.file}{position}")
        elif self.line is not None:
            parts.append(f"line {self.line}" + (f", column {self.column}" if self.column is not None else ""))
        if self.option is not None:
            parts.append(f"option {self.option}")
        if self.node is not None:
            parts.append(f"node '{self.node}'")
        if self.op is not None:
            parts.append(f"op {self.op}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Diagnostic:
    """One problem. `advice` says what the user can do; `excerpt` is shown below, with a caret already in place."""

    message: str
    location: Location = field(default_factory=Location)
    advice: str = ""
    excerpt: str = ""

    def render(self, severity: str = "error") -> str:
        place = str(self.location)
        lines = [f"{severity}: {place + ': ' if place else ''}{self.message}"]
        if self.excerpt:
            lines.extend("  | " + line for line in self.excerpt.splitlines())
        if self.advice:
            lines.append(f"  = {self.advice}")
        return "\n".join(lines)


class SccError(Exception):
    """The user's input cannot be honoured. Holds all problems found together; the command line exits with 2."""

    def __init__(
        self,
        problem: str | Diagnostic | Iterable[Diagnostic],
        location: Location | None = None,
        advice: str = "",
        excerpt: str = "",
    ) -> None:
        if isinstance(problem, str):
            problem = Diagnostic(problem, location or Location(), advice, excerpt)
        self.diagnostics: tuple[Diagnostic, ...] = (problem,) if isinstance(problem, Diagnostic) else tuple(problem)
        super().__init__("\n".join(d.render() for d in self.diagnostics))

    def __reduce__(self) -> tuple[type[SccError], tuple[tuple[Diagnostic, ...]]]:
        """What pickle makes it from again, when it comes from another process."""
        return SccError, (self.diagnostics,)


class InternalError(Exception):
    """An invariant of sccc itself is broken: a defect to report, with the traceback."""


class Collector:
    """Gathers diagnostics so that a user sees every problem at once, and raises them together."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []

    def add(self, message: str, location: Location | None = None, advice: str = "", excerpt: str = "") -> None:
        self.diagnostics.append(Diagnostic(message, location or Location(), advice, excerpt))

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Collect the problems of an `SccError` raised inside the block, and go on after it."""
        try:
            yield
        except SccError as error:
            self.diagnostics.extend(error.diagnostics)

    def raise_if_any(self) -> None:
        if self.diagnostics:
            raise SccError(self.diagnostics)


FEW = 12
"""So many known words are listed rather than a distant one proposed."""


def closest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """Advice that names the known word most like `name`; empty where none is (`difflib`'s ratio is below the cutoff)."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f"did you mean '{close[0]}'?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice that names the known word closest to `name`, or lists what is known."""
    candidates = sorted(known)
    listed = "known: " + ", ".join(candidates) if candidates else ""
    return closest(name, candidates, 0.65 if len(candidates) <= FEW else 0.5) or listed


def caret_excerpt(text: str, line: int, column: int, width: int = 110) -> str:
    """The source line `line` (1-based) of `text` with a caret below `column` (1-based), cut to `width` characters."""
    lines = text.splitlines()
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    start = max(0, column - 1 - width // 2)
    return f"{source[start : start + width]}\n{' ' * (column - 1 - start)}^"
