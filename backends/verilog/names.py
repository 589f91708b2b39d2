"""Names: made legal for Verilog and unique; what they were is kept for the header comment."""

from __future__ import annotations

import re

KEYWORDS = frozenset(
    ["always", "and", "assign", "automatic", "begin", "buf", "bufif0", "bufif1", "case", "casex", "casez", "cell", "cmos", "config", "deassign", "default", "defparam", "design", "disable", "edge", "else", "end", "endcase", "endconfig", "endfunction", "endgenerate", "endmodule", "endprimitive", "endspecify", "endtable", "endtask", "event", "for", "force", "forever", "fork", "function", "generate", "genvar", "highz0", "highz1", "if", "ifnone", "incdir", "include", "initial", "inout", "input", "instance", "integer", "join", "large", "liblist", "library", "localparam", "macromodule", "medium", "module", "nand", "negedge", "nmos", "nor", "noshowcancelled", "not", "notif0", "notif1", "or", "output", "parameter", "pmos", "posedge", "primitive", "pull0", "pull1", "pulldown", "pullup", "pulsestyle_onevent", "pulsestyle_ondetect", "rcmos", "real", "realtime", "reg", "release", "repeat", "rnmos", "rpmos", "rtran", "rtranif0", "rtranif1", "scalared", "showcancelled", "signed", "small", "specify", "specparam", "strong0", "strong1", "supply0", "supply1", "table", "task", "time", "tran", "tranif0", "tranif1", "tri", "tri0", "tri1", "triand", "trior", "trireg", "unsigned", "use", "vectored", "wait", "wand", "weak0", "weak1", "while", "wire", "wor", "xnor", "xor", "bit", "byte", "const", "int", "logic", "return", "string", "type", "do", "enum", "struct", "union", "void", "final", "priority", "unique"]
)


PRAGMAS = ("verilator", "synopsys", "synthesis", "pragma")
"""Words that make a comment a command to some tool when they come first in it."""


class Names:
    """Hands out legal, unique Verilog identifiers. Names never start with `sccc_`, which is the library's, or a pragma."""

    def __init__(self, reserved: tuple[str, ...] = ()) -> None:
        self._taken = set(reserved)
        self.original: dict[str, str] = {}

    def make(self, wish: str, original: str = "") -> str:
        """An identifier close to `wish`; `original` is what the user called it."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", wish)[:80] or "v"
        if not base[0].isalpha() or base in KEYWORDS or base.startswith(("sccc_", *PRAGMAS)):
            base = "n_" + base
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        if original:
            self.original[name] = original
        return name


def comment(text: str) -> str:
    """Text that is safe behind // : one line of printable ASCII."""
    return text.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
