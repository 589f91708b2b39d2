"""Population counts as carry-save trees of 3:2 compressors (Swartzlander 1973), one module per width.

Whole vectors in one always block: Icarus evaluates that an order of magnitude faster than the same tree in continuous
assignments or as full-adder instances (measured), and synthesis finds the same full adders, n - popcount(n) for n bits.
"""

from __future__ import annotations

from collections.abc import Callable


def popcount_name(lanes: int) -> str:
    return f"sccc_popcount_{lanes}"


def popcount_width(lanes: int) -> int:
    """Bits that hold 0 .. lanes."""
    return max(1, lanes.bit_length())


def popcount_module(lanes: int) -> str:
    """A module that counts the ones among `lanes` bits."""
    declarations, body, total = popcount_tree(lanes)
    head = [
        f"// The number of ones among {lanes} bits.",
        f"module {popcount_name(lanes)} (",
        f"  input  wire [{lanes - 1}:0] v,",
        f"  output reg  [{popcount_width(lanes) - 1}:0] ones",
        ");",
    ]
    return "\n".join(
        [*head, *declarations, "  always @* begin", *body, f"    ones = {total};", "  end", "endmodule", ""]
    )


def popcount_tree(lanes: int, vector: str = "v", prefix: str = "w") -> tuple[list[str], list[str], str]:
    """Declarations and statements that count the ones of a vector, weight by weight, oldest bits first, and the count."""
    declarations: list[str] = []
    body: list[str] = []

    def let(name: str, length: int, expression: str) -> str:
        declarations.append(f"  reg [{length - 1}:0] {name};")
        body.append(f"    {name} = {expression};")
        return name

    bits: list[str] = []
    name, length = vector, lanes
    while True:
        name, carries = _reduce(name, length, f"{prefix}{len(bits)}", let)
        bits.append(name)
        if not carries:
            break
        length = sum(size for _, size in carries)
        if len(carries) == 1:
            name = carries[0][0]
        else:
            name = let(f"{prefix}{len(bits)}", length, "{" + ", ".join(c for c, _ in reversed(carries)) + "}")
    return declarations, body, bits[0] if len(bits) == 1 else "{" + ", ".join(reversed(bits)) + "}"


def _reduce(
    name: str, length: int, prefix: str, let: Callable[[str, int, str], str]
) -> tuple[str, list[tuple[str, int]]]:
    """Compress a vector of bits of one weight to a single bit; that bit's name, and the carries as (name, length)."""
    carries: list[tuple[str, int]] = []
    step = 0
    while length > 1:
        p = f"{prefix}_{step}"
        third = length // 3
        if third == 0:
            carries.append((let(f"{p}_c", 1, f"{name}[1] & {name}[0]"), 1))
            name, length = let(f"{p}_s", 1, f"{name}[1] ^ {name}[0]"), 1
        else:
            a, b, c = (_slice(name, length, i * third, third) for i in range(3))
            carries.append((let(f"{p}_c", third, f"({a} & {b}) | ({c} & ({a} ^ {b}))"), third))
            total, rest = let(f"{p}_s", third, f"{a} ^ {b} ^ {c}"), length - 3 * third
            if rest:
                total = let(f"{p}_v", third + rest, f"{{{total}, {_slice(name, length, 3 * third, rest)}}}")
            name, length = total, third + rest
        step += 1
    return name, carries


def _slice(name: str, length: int, low: int, count: int) -> str:
    if low == 0 and count == length:
        return name
    return f"{name}[{low}]" if count == 1 else f"{name}[{low + count - 1}:{low}]"
