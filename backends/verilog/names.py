"""Names: made legal for Verilog and unique; what they were is kept for the header comment."""

from __future__ import annotations

import re

_KEYWORDS = """
always and assign automatic begin bit buf bufif0 bufif1 byte case casex casez cell cmos config const
deassign default defparam design disable do edge else end endcase endconfig endfunction endgenerate
endmodule endprimitive endspecify endtable endtask enum event final for force forever fork function
generate genvar highz0 highz1 if ifnone incdir include initial inout input instance int integer join
large liblist library localparam logic macromodule medium module nand negedge nmos nor noshowcancelled
not notif0 notif1 or output parameter pmos posedge primitive priority pull0 pull1 pulldown pullup
pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat return rnmos rpmos rtran
rtranif0 rtranif1 scalared showcancelled signed small specify specparam string strong0 strong1 struct
supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type union unique
unsigned use vectored void wait wand weak0 weak1 while wire wor xnor xor
"""
KEYWORDS = frozenset(_KEYWORDS.split())


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
