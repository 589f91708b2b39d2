"""The dot products of a layer as one Verilog module: products, shared subtotals, and for each output what it adds.

What is to be computed says `sccc.counting`; here it becomes vectors. Gathering a bit costs Icarus far more than a gate on whole
vectors does: bits are gathered as late as possible, and a vector in one go.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from sccc.backends.verilog.popcount import counter_module, counter_name, neighbours, sum_module, sum_name
from sccc.backends.verilog.render import sized, to_verilog
from sccc.counting import Bit, Columns, Counting, heights
from sccc.gates import sum_bits

CHUNK = 512
"""Bits of a vector that holds products of many streams, or bits of many subtotals."""


@dataclass
class DotModule:
    """Emits one. `lanes` of x; `used`: the library modules that it needs.

    Ports: x, xs (signs, when there are some), ws (the weights' streams), offset (the plan's table at the present random number,
    packed) and sum, `width` bits of each output, packed: the counts, or, where the plan's offset is "xs", what they are before
    it is taken off, unsigned and as narrow as possible.
    """

    plan: Counting
    lanes: int
    width: int
    signed_input: bool
    order: bool
    used: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    subtotals: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.plan.offset == "xs":
            self.width = max(sum_bits(heights(columns)) for columns in self.plan.up)

    def emit(self, name: str, origin: str, first: int = 0) -> str:
        """The module's text. `origin`: the node whose outputs they are, from number `first` on."""
        self._products()
        self._subtotals()
        if self.plan.offset == "x":
            self.lines.append("\n  // the ones among x, which count off in each output")
            self._tree([self.lanes], {0: "x"}, "every")
        outputs = len(self.plan.up)
        for j in range(outputs):
            self._output(j, f"output {first + j} of {origin}")
        self.lines += [f"  assign sum = {_braces([f'sum_{j}' for j in range(outputs)])};", "endmodule", ""]
        head = [f"// {outputs} counts of {origin}, {self.lanes} lanes each", f"module {name} (", *self._ports(), ");"]
        return "\n".join([*head, *self.lines])

    def _ports(self) -> list[str]:
        outputs, streams = len(self.plan.up), len(self.plan.streams.levels) + (self.plan.offset == "xs")
        widths = {"x": self.lanes} | ({"xs": self.lanes} if self.signed_input else {}) | {"ws": max(streams, 1)}
        widths |= {"offset": outputs * self.width} if self.plan.offset == "w" else {}
        ports = [f"  input  wire [{width - 1}:0] {port}," for port, width in widths.items()]
        output = f"  output wire [{outputs * self.width - 1}:0] sum"
        return ["  /* verilator lint_off UNUSEDSIGNAL */", *ports, "  /* verilator lint_on UNUSEDSIGNAL */", output]

    # -- products ----------------------------------------------------------------------------------------------------

    def _products(self) -> None:
        """A vector for each stream that meets many lanes; the other products in vectors of CHUNK bits."""
        table = self.plan.products
        self.products = [""] * len(table.lane)
        whole: list[list[int]] = []
        scattered: dict[tuple[int, int], list[int]] = {}
        keys = zip(table.owner.tolist(), table.kind.tolist(), table.stream.tolist(), strict=True)
        for (owner, kind, _), run in itertools.groupby(enumerate(keys), key=lambda item: item[1]):
            numbers = [number for number, _ in run]
            if table.exprs[kind].kind == "var":
                for number in numbers:
                    self.products[number] = f"x[{table.lane[number]}]"
            elif owner < 0 and 2 * len(numbers) >= self.lanes:
                whole.append(numbers)
            else:
                scattered.setdefault((owner, kind), []).extend(numbers)
        body: list[str] = []
        for numbers in whole:
            name = self._vector(numbers, self.lanes, table.lane[numbers].tolist())
            names = {"x": "x", "xs": "xs", "w": f"{{{self.lanes}{{ws[{table.stream[numbers[0]]}]}}}}"}
            body.append(f"    {name} = {to_verilog(table.exprs[table.kind[numbers[0]]], names.__getitem__)};")
        for (_, kind), numbers in scattered.items():
            for part in _chunks(numbers):
                name = self._vector(part, len(part), range(len(part)))
                lanes, streams = table.lane[part].tolist(), table.stream[part].tolist()
                gather = partial(_gather, lanes, streams)
                body.append(f"    {name} = {to_verilog(table.exprs[kind], gather)};")
        if body:
            self.lines += ["  // Products of x and the weights' streams.", "  always @* begin", *body, "  end"]

    def _vector(self, numbers: list[int], width: int, positions: Iterable[int]) -> str:
        """Declare a vector that holds these products, at these positions."""
        name = f"p_{sum(line.startswith('  reg') for line in self.lines)}"
        self.lines.append(f"  reg [{width - 1}:0] {name};")
        for number, position in zip(numbers, positions, strict=True):
            self.products[number] = f"{name}[{position}]"
        return name

    # -- subtotals ---------------------------------------------------------------------------------------------------

    def _subtotals(self) -> None:
        """Counters of one size side by side, CHUNK of them at most."""
        self.subtotals = [[] for _ in self.plan.subtotals]
        by_size: dict[int, list[int]] = {}
        for number, bits in enumerate(self.plan.subtotals):
            by_size.setdefault(len(bits), []).append(number)
        for size, numbers in sorted(by_size.items()):
            self.used[counter_name(size)] = counter_module(size)
            for index, part in enumerate(_chunks(numbers)):
                self._counters(size, f"common_{size}_{index}", part)

    def _counters(self, size: int, name: str, numbers: list[int]) -> None:
        places, count = range(size.bit_length()), len(numbers)
        self.lines.append(f"\n  // {count} times {size} bits that two outputs count alike")
        self.lines += [f"  reg [{count - 1}:0] {name}_v{i};" for i in range(size)]
        self.lines += [f"  wire [{count - 1}:0] {name}_{k};" for k in places]
        self.lines.append("  always @* begin")
        for i in range(size):
            bits = [self._text(self.plan.subtotals[number][i]) for number in numbers]
            self.lines.append(f"    {name}_v{i} = {_concatenation(bits)};")
        self.lines.append("  end")
        ports = [f".v{i}({name}_v{i})" for i in range(size)] + [f".ones{k}({name}_{k})" for k in places]
        rows = ",\n    ".join(", ".join(ports[i : i + 6]) for i in range(0, len(ports), 6))
        self.lines.append(f"  {counter_name(size)} #(.LANES({count})) {name} (\n    {rows}\n  );")
        for position, number in enumerate(numbers):
            self.subtotals[number] = [f"{name}_{k}[{position}]" for k in places]

    # -- outputs -----------------------------------------------------------------------------------------------------

    def _output(self, j: int, title: str) -> None:
        self.lines.append(f"\n  // {title}")
        constant = int(self.plan.constants[j])
        terms = sized(constant, self.width) if constant else ""
        for sign, label, columns in (("+", "up", self.plan.up[j]), ("-", "down", self.plan.down[j])):
            if any(columns):
                vectors = self._columns(columns, f"{label}_{j}")
                self._tree(heights(columns), vectors, f"{label}_{j}")
                operand = self._extended(f"{label}_{j}", sum_bits(heights(columns)), self.plan.scale - 1)
                terms = operand if sign == "+" and not terms else f"{terms or sized(0, self.width)} {sign} {operand}"
        terms = terms or sized(0, self.width)
        if self.plan.offset == "x":
            terms += f" - {self._extended('every', sum_bits([self.lanes]), 0)}"
        elif self.plan.offset == "w":
            terms += f" - offset[{(j + 1) * self.width - 1}:{j * self.width}]"
        self.lines.append(f"  wire [{self.width - 1}:0] sum_{j} = {terms};")

    def _columns(self, columns: Columns, label: str) -> dict[int, str]:
        """Gather the bits of each weight; the names of the vectors, by weight."""
        names, body = {}, []
        for weight, column in enumerate(columns):
            if column:
                names[weight] = f"{label}_v{weight}"
                self.lines.append(f"  reg [{len(column) - 1}:0] {names[weight]};")
                body.append(f"    {names[weight]} = {_concatenation(map(self._text, self._ordered(column)))};")
        self.lines += ["  always @* begin", *body, "  end"]
        return names

    def _ordered(self, column: list[Bit]) -> list[Bit]:
        """The bits by position: those that follow each other in the plan are added first."""
        if not self.order:
            return column
        placed = dict(zip(neighbours(len(column)), column, strict=True))
        return [placed[position] for position in range(len(column))]

    def _tree(self, sizes: Iterable[int], vectors: Mapping[int, str], name: str) -> None:
        """An instance that adds the vectors, by weight; its result is the wire `name`."""
        sizes = tuple(sizes)
        module = sum_name(sizes)
        if module not in self.used:
            self.used[module] = sum_module(sizes)
        ports = ", ".join(f".v{weight}({vector})" for weight, vector in vectors.items())
        self.lines.append(f"  wire [{sum_bits(sizes) - 1}:0] {name};")
        self.lines.append(f"  {module} add_{name} ({ports}, .ones({name}));")

    def _extended(self, name: str, bits: int, shift: int) -> str:
        """An unsigned number times 2**shift in `width` bits."""
        low = f", {shift}'b0" if shift else ""
        high = self.width - bits - shift
        if high < 0:
            return f"{{{name}[{self.width - shift - 1}:0]{low}}}"
        return f"{{{f'{high}{chr(39)}b0, ' if high else ''}{name}{low}}}"

    def _text(self, bit: Bit) -> str:
        text = self.products[bit.number] if bit.place < 0 else self.subtotals[bit.number][bit.place]
        return f"~{text}" if bit.inverted else text


def _chunks(numbers: list[int]) -> list[list[int]]:
    return [numbers[i : i + CHUNK] for i in range(0, len(numbers), CHUNK)]


def _gather(lanes: list[int], streams: list[int], name: str) -> str:
    """The bits of variable x, xs or w in these lanes, or of these streams, as one vector."""
    if name == "w":
        return _concatenation(f"ws[{stream}]" for stream in streams)
    return _concatenation(f"{name}[{lane}]" for lane in lanes)


def _concatenation(bits: Iterable[str]) -> str:
    """Bits, the first one least significant; equal neighbours as a replication."""
    bits = list(bits)
    if not any(map(operator.eq, bits, bits[1:])):
        return _braces(bits)
    runs = [(bit, len(list(same))) for bit, same in itertools.groupby(bits)]
    return _braces([bit if count == 1 else f"{{{count}{{{bit}}}}}" for bit, count in runs])


def _braces(items: list[str]) -> str:
    """Verilog's concatenation; the first item is the least significant."""
    rows = [", ".join(items[::-1][i : i + 12]) for i in range(0, len(items), 12)]
    return "{" + ",\n    ".join(rows) + "}"
