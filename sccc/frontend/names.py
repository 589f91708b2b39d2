"""Names in ONNX files are any text at all: how they are shown to a person, and how they become identifiers."""

from __future__ import annotations

import re

LONGEST_SHOWN = 120
LONGEST_IDENTIFIER = 60


def shown(name: str) -> str:
    """The name as it is, but with control and invisible characters escaped, and cut when it is very long."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def identifier(name: str) -> str:
    """An ASCII identifier that resembles the name: `/0/Gemm:0` gives `v0_Gemm_0`; "" when nothing is left of it."""
    base = re.sub(r"[^A-Za-z0-9_]+", "_", name[: 4 * LONGEST_IDENTIFIER]).strip("_")[:LONGEST_IDENTIFIER].strip("_")
    return "v" + base if base[:1].isdigit() else base
