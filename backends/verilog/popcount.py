"""Sums of bits: carry-save trees of 3:2 compressors (Swartzlander 1973), one module per number of bits of each weight.

Whole vectors in one always block: Icarus evaluates that an order of magnitude faster than the same tree in continuous
assignments or as full-adder instances (measured), and synthesis finds the same full adders, n - popcount(n) for n bits of one
weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from sccc.gates import sum_bits


def sum_name(heights: Sequence[int]) -> str:
    """The module that adds heights[k] bits of weight 2**k; of bits of one weight, their population count."""
    if len(heights) == 1:
        return f"sccc_popcount_{heights[0]}"
    return "sccc_sum_" + "_".join(map(str, heights))


def sum_module(heights: Sequence[int]) -> str:
    """That module: ports v0, v1 .. (bits of weight 1, 2 ..; none where there are no bits) and ones, their sum."""
    vectors = [f"v{weight}" for weight in range(len(heights))]
    declarations, body, total = sum_tree(heights, vectors)
    head = [
        f"// The sum of {_words(heights)}.",
        f"module {sum_name(heights)} (",
        *(f"  input  wire [{n - 1}:0] {vector}," for vector, n in zip(vectors, heights, strict=True) if n),
        f"  output reg  [{sum_bits(heights) - 1}:0] ones",
        ");",
    ]
    return "\n".join(
        [*head, *declarations, "  always @* begin", *body, f"    ones = {total};", "  end", "endmodule", ""]
    )


def popcount_width(lanes: int) -> int:
    """Bits that hold 0 .. lanes."""
    return sum_bits([lanes])


def popcount_tree(lanes: int, vector: str = "v", prefix: str = "w") -> tuple[list[str], list[str], str]:
    """Declarations and statements that count the ones of a vector, and the count."""
    return sum_tree([lanes], [vector], prefix)


def sum_tree(heights: Sequence[int], vectors: Sequence[str], prefix: str = "w") -> tuple[list[str], list[str], str]:
    """Declarations and statements that add vectors of heights[k] bits of weight 2**k, and the sum.

    Weight by weight, the carries of the weight below first.
    """
    declarations: list[str] = []
    body: list[str] = []

    def let(name: str, length: int, expression: str) -> str:
        declarations.append(f"  reg [{length - 1}:0] {name};")
        body.append(f"    {name} = {expression};")
        return name

    total: list[str] = []
    carries: list[tuple[str, int]] = []
    while carries or len(total) < len(heights):
        weight = len(total)
        parts = list(carries)
        if weight < len(heights) and heights[weight]:
            parts.append((vectors[weight], heights[weight]))
        if not parts:
            total.append("1'b0")
            continue
        name, length = parts[0][0], sum(size for _, size in parts)
        if len(parts) > 1:
            name = let(f"{prefix}{weight}", length, "{" + ", ".join(part for part, _ in reversed(parts)) + "}")
        name, carries = _reduce(name, length, f"{prefix}{weight}", let)
        total.append(name)
    return declarations, body, total[0] if len(total) == 1 else "{" + ", ".join(reversed(total)) + "}"


def _words(heights: Sequence[int]) -> str:
    return " and ".join(f"{n} bits" + (f" of weight {1 << k}" if k else "") for k, n in enumerate(heights) if n)


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


@cache
def neighbours(length: int) -> tuple[int, ...]:
    """Positions in a vector of that length so that what stands there one after the other is added first (see `_reduce`).

    Bits that rarely change, or change together, then leave whole parts of the tree at rest.
    """
    vector = [[position] for position in range(length)]
    while len(vector) > 1:
        third = len(vector) // 3
        if third == 0:
            return tuple(vector[1] + vector[0])
        rest = vector[3 * third :]
        vector = rest + [vector[i] + vector[third + i] + vector[2 * third + i] for i in range(third)]
    return tuple(vector[0]) if vector else ()


def counter_name(size: int) -> str:
    return f"sccc_counters_{size}"


def counter_module(size: int) -> str:
    """LANES population counts of 2**k - 1 bits each: bit i of every port belongs to count i. Full adders only."""
    places = size.bit_length()
    ports = [f"  input  wire [LANES-1:0] v{i}" for i in range(size)]
    ports += [f"  output reg  [LANES-1:0] ones{k}" for k in range(places)]
    declarations: list[str] = []
    body: list[str] = []
    columns: list[list[str]] = [[f"v{i}" for i in range(size)], *([] for _ in range(places - 1))]
    for weight, column in enumerate(columns):
        while len(column) > 1:
            a, b, c = column[:3]
            s, carry = f"s{weight}_{len(column)}", f"c{weight}_{len(column)}"
            declarations.append(f"  reg [LANES-1:0] {s}, {carry};")
            body += [f"    {s} = {a} ^ {b} ^ {c};", f"    {carry} = ({a} & {b}) | ({c} & ({a} ^ {b}));"]
            column[:3] = []
            column.append(s)
            columns[weight + 1].append(carry)
        body.append(f"    ones{weight} = {column[0]};")
    head = [
        f"// Population counts of {size} bits, LANES of them side by side.",
        f"module {counter_name(size)} #(",
        "  parameter LANES = 1",
        ") (",
        ",\n".join(ports),
        ");",
    ]
    return "\n".join([*head, *declarations, "  always @* begin", *body, "  end", "endmodule", ""])
