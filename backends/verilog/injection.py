"""Netlists into which a testbench can put faults: flipped bits of operands, products and registers.

Only netlists that are asked for have the XOR gates. Their neurons are plain: each lane's bit and sign by the product's own
expressions, added up one by one. All else is as it is without faults; registers need no gates, the testbench changes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.backends.verilog.images import concatenation, patch, places
from sccc.backends.verilog.layer import LayerEmitter
from sccc.backends.verilog.multiply import number_width
from sccc.backends.verilog.names import comment
from sccc.backends.verilog.render import packed, to_verilog
from sccc.cells import Product
from sccc.expr import Expr
from sccc.ir import Operation, Value
from sccc.neurons import ConstantStreams
from sccc.ops.arithmetic import carries_sign, has_multiplier, product_of
from sccc.ops.geometry import Geometry, geometry_of
from sccc.types import Encoding, Level, Stream, lane_width


@dataclass(frozen=True)
class Injection:
    """A signal that faults change. what: x, w, product (masks that are XORed on the way) or state (a register itself).

    `width` bits; from hardware cycle `first` on, for `cycles` cycles of each sample.
    """

    op: Operation
    what: str
    path: str
    width: int
    first: int = 0
    cycles: int = 1


class InjectableLayer(LayerEmitter):
    """A layer with masks on the operands and products of its dot products and convolutions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.masks: list[Injection] = []

    def _mask(self, op: Operation, what: str, width: int) -> str:
        """A register of this layer that nothing but a testbench writes."""
        assert op.result is not None
        name = self.names.make(f"{op.result.name}_flip_{what}")
        self.lines.append(f"  reg [{width - 1}:0] {name} = {width}'d0; // faults, written by a testbench")
        self.masks.append(Injection(op, what, name, width))
        return name

    def _dot(self, op: Operation) -> None:
        x, w = op.operands
        assert op.result is not None and isinstance(x.type, Stream) and w.op is not None
        streams, bus = self.streams(w.op, f"{w.name}s")
        geometry, exists = geometry_of(op), has_multiplier(op)
        rows = geometry.groups * geometry.outputs
        exists = exists.reshape(rows, geometry.taps)
        width, name = lane_width(op.result.type), self.wire(op.result)
        self.signals[op.result] = name
        sizes = {"x": x.type.lanes, "w": rows * geometry.taps, "product": geometry.products}
        flip_x, flip_w, flip_p = (self._mask(op, what, size) for what, size in sizes.items())
        read = self.wire(x, "_read")
        self.lines.append(f"  assign {read} = {self.signals[x]} ^ {flip_x};")
        made: dict[tuple[int, bytes], str] = {}
        for position, group, taps, lanes in places(geometry):
            under = {"x": self._under(op, read, position, group, lanes)}
            if x.type.encoding is Encoding.SIGNED:
                under["xs"] = self._under(op, self.signs[x], position, group, lanes, "xs")
            for j in range(group * geometry.outputs, (group + 1) * geometry.outputs):
                place = j * geometry.positions + position
                count = f"{name}[{place * width} +: {width}]"
                if not len(taps):
                    self.lines.append(f"  assign {count} = {width}'d0;")
                    continue
                key = (j, taps.tobytes())
                if key not in made:
                    made[key] = self.modules.make(f"{self.name}_neuron_{j}")
                    own = streams.block(slice(j, j + 1), taps)
                    self.neurons.append(faulty_neuron(made[key], op, own, exists[j, taps], j, width))
                ports = under | {"ws": bus, "flip_w": _part(flip_w, j * geometry.taps, taps, geometry)}
                ports |= {"flip_product": _part(flip_p, place * geometry.taps, taps, geometry), "count": count}
                self.instance(made[key], {}, f"neuron_{place}", ports)

    def _under(self, op: Operation, bus: str, position: int, group: int, lanes: np.ndarray, kind: str = "x") -> str:
        """The lanes that meet the weights at a position: of a dense layer the whole bus."""
        if geometry_of(op).window is None:
            return bus
        return patch(self, op, bus, position, group, lanes, 1, kind)

    def numbers(self, x: Value) -> str:
        """Numbers with the faults of the dot product that reads them."""
        name = super().numbers(x)
        assert isinstance(x.type, Level)
        width = x.type.lanes * number_width(x.type)
        read = self.wire(x, "_read", width)
        self.lines.append(f"  assign {read} = {name} ^ {self._mask(self.reading, 'x', width)};")
        return read

    def _emit_op(self, op: Operation) -> None:
        self.reading = op
        super()._emit_op(op)


def _part(bus: str, first: int, taps: np.ndarray, geometry: Geometry) -> str:
    """The bits of some taps of a mask, those of one output from bit `first` on."""
    if len(taps) == geometry.taps:
        return f"{bus}[{first} +: {len(taps)}]"
    return concatenation([f"{bus}[{first + tap}]" for tap in taps.tolist()])


def faulty_neuron(
    name: str, op: Operation, streams: ConstantStreams, exists: np.ndarray, output: int, width: int
) -> str:
    """One output of a sum of products as a module, bit and sign of every lane, with masks on weights and products.

    streams: of its taps, [1, lanes]; exists: bool [lanes], which have a multiplier.
    """
    product, x = product_of(op), op.operands[0]
    assert isinstance(x.type, Stream)
    lanes = len(exists)
    weights = [
        f"ws[{k}]" if k >= 0 else f"1'b{b}" for k, b in zip(streams.index[0], streams.constant_bits[0], strict=True)
    ]
    present = packed(exists.astype(int), 1)
    signs = f"  input  wire [{lanes - 1}:0] xs," if x.type.encoding is Encoding.SIGNED else ""
    flipped = {"bit": "", "neg": ""}
    flipped["neg" if carries_sign(product) else "bit"] = f" ^ (flip_product & {present})"
    lines = [
        f"// output {output} of {comment(op.origin)}, {lanes} lanes, with faults",
        f"module {name} (",
        f"  input  wire [{lanes - 1}:0] x,",
        *filter(None, [signs]),
        f"  input  wire [{max(len(streams.levels), 1) - 1}:0] ws,",
        *(f"  input  wire [{lanes - 1}:0] flip_{what}," for what in ("w", "product")),
        f"  output reg  signed [{width - 1}:0] count",
        ");",
        "  integer i;",
        f"  wire [{lanes - 1}:0] x_v  = x;",
        f"  wire [{lanes - 1}:0] w_v  = {{{', '.join(reversed(weights))}}} ^ (flip_w & {present});",
        f"  wire [{lanes - 1}:0] xs_v = {'xs' if signs else f'{lanes}' + chr(39) + 'd0'};",
        f"  wire [{lanes - 1}:0] ws_v = {packed(streams.signs[0], 1)};",
        *(f"  wire [{lanes - 1}:0] {part}_v = {_lanes(expr, lanes)}{flipped[part]};" for part, expr in _parts(product)),
        f"  reg signed [{width - 1}:0] sum;",
        "  always @* begin",
        f"    sum = {width}'d0;",
        f"    for (i = 0; i < {lanes}; i = i + 1)",
        f"      if (bit_v[i]) sum = neg_v[i] ? sum - {width}'sd1 : sum + {width}'sd1;",
        "    count = sum;",
        "  end",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _parts(product: Product) -> list[tuple[str, Expr]]:
    return [("bit", product.bit), ("neg", product.neg)]


def _lanes(expr: Expr, lanes: int) -> str:
    """An expression over all lanes at once."""
    return to_verilog(expr, lambda name: f"{name}_v", lambda bit: f"{{{lanes}{{1'b{bit}}}}}")


def fault_text(injections: list[Injection], stem: str, samples: int) -> str:
    """What a testbench does with masks int [samples, cycles] of `width` bits, in memories STEM_flips_K.hex.

    Masks hold in the cycle that they are for. A register changes a little after the edge at which it took its value.
    """
    lines = []
    for k, each in enumerate(injections):
        since = f"(cycle - {each.first})"
        place = f"{since} / INTERVAL * {each.cycles} + {since} % INTERVAL"
        inside = f"cycle >= {each.first} && {since} / INTERVAL < SAMPLES && {since} % INTERVAL < {each.cycles}"
        lines += [
            f"  // faults: {each.what} of %{comment(each.op.result.name if each.op.result else '')}",
            f"  reg [{each.width - 1}:0] flips_{k} [0:{samples * each.cycles - 1}];",
            f'  initial $readmemh("{stem}_flips_{k}.hex", flips_{k});',
        ]
        if each.what == "state":
            lines.append(f"  always @(cycle) #1 if ({inside}) dut.{each.path} = dut.{each.path} ^ flips_{k}[{place}];")
        else:
            lines.append(f"  always @(cycle) dut.{each.path} <= ({inside}) ? flips_{k}[{place}] : {each.width}'d0;")
    return "\n".join(lines)


def mask_words(masks: np.ndarray) -> str:
    """Bits [samples, cycles, width] as lines of hex, bit 0 lowest."""
    rows = np.packbits(masks.reshape(-1, masks.shape[-1]).astype(np.uint8), axis=1, bitorder="little")[:, ::-1]
    digits = -(-masks.shape[-1] // 4)
    return "\n".join(row.tobytes().hex()[-digits:] for row in rows) + "\n"
