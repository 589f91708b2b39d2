"""Loops that differ only in their arrays and sizes, compiled once: what a module of many ops is computed with.

A body of loops becomes a function of its arrays and of the sizes in it, called like this from Python: layers of equal kind share
one, in a network and between networks, and compiling takes as long as there are kinds, not ops.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.backends.simulator.codegen import KERNEL, load

SAMPLE = ("s", "x", "y", "results")
"""What differs from call to call: the sample's number, all samples, their classes, all results."""

LITERAL = 16
"""Sizes up to this one stay in the text, where LLVM unrolls them: taps of a window, groups of one map."""

_TOKEN = re.compile(r"range\(|[A-Za-z_][\w.]*|\d+|.", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A function and what it is called with: names of SAMPLE in `sampled`, then arrays and sizes in `bound`."""

    function: Callable[..., None]
    sampled: tuple[str, ...]
    bound: tuple[np.ndarray | int, ...]


def steps_of(bodies: Iterable[str], arrays: Mapping[str, np.ndarray]) -> list[Step]:
    """A step for each body, whose lines are indented once and read `arrays` and SAMPLE by name."""
    return [_step(body, arrays) for body in bodies if body.strip()]


def run_steps(steps: list[Step], order: Iterable[int], **given: Any) -> None:
    """All steps for one sample after the other; `given` holds the other names of SAMPLE that they read."""
    calls = []
    for step in steps:
        values = (*(given[name] for name in step.sampled if name != "s"), *step.bound)
        calls.append((step.function, values, "s" in step.sampled))
    for sample in order:
        for function, values, counts in calls:
            if counts:
                function(int(sample), *values)
            else:
                function(*values)


def _step(body: str, arrays: Mapping[str, np.ndarray]) -> Step:
    text, held, sizes = _generic(body, arrays)
    words = set(re.findall(r"\w+", body))
    sampled = tuple(name for name in SAMPLE if name in words)
    parameters = [*sampled, *held.values(), *(f"n{i}" for i in range(len(sizes)))]
    function = load(f"{KERNEL}\ndef loops({', '.join(parameters)}):\n{text}").loops
    return Step(function, sampled, (*(arrays[name] for name in held), *sizes))


def _generic(body: str, arrays: Mapping[str, np.ndarray]) -> tuple[str, dict[str, str], list[int]]:
    """The body with arrays, variables and sizes called by the order of their appearance; the arrays' names; the sizes.

    Only numbers in range() and in an index are sizes: others may say how narrow a number is.
    """
    held: dict[str, str] = {}
    variables: dict[str, str] = {}
    sizes: dict[int, str] = {}
    inside: list[bool] = []
    made = []
    for token in _TOKEN.findall(body):
        if token in ("range(", "[", "("):
            inside.append(token != "(" or (bool(inside) and inside[-1]))
        elif token in ")]":
            inside.pop()
        elif token in arrays:
            token = held.setdefault(token, f"a{len(held)}")
        elif re.fullmatch(r"[a-z]\w*_\d+", token):
            token = variables.setdefault(token, f"t{len(variables)}")
        elif token.isdigit() and int(token) > LITERAL and inside and inside[-1]:
            token = sizes.setdefault(int(token), f"n{len(sizes)}")
        made.append(token)
    return "".join(made), held, list(sizes)
