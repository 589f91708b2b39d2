"""The innermost loop of window totals, written in LLVM's vectors: sums stay in registers while all taps pass by.

Loop vectorisers keep the sums in memory, take half the machine's width, and give up where rows are chosen by an index. LLVM takes
these vectors apart on machines that have narrower ones. Importing this imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

VECTOR_BITS = 512

INDEX = ir.IntType(64)


class Words:
    """A vector of packed words under construction, with the operators of bit expressions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __and__(self, other: Words) -> Words:
        return Words(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other: Words) -> Words:
        return Words(self.builder, self.builder.or_(self.value, other.value))

    def __xor__(self, other: Words) -> Words:
        return Words(self.builder, self.builder.xor(self.value, other.value))

    def __invert__(self) -> Words:
        return Words(self.builder, self.builder.not_(self.value))


def row_sums(expression: Callable[..., Words], reads: tuple[str, ...], parts: int, size: int, scale: int) -> Any:
    """An intrinsic `sums(x, xs, w, ws, taps, rows, first, last, out, place)`, all arrays flat, for samples side by side.

    For b in 0 .. size - 1: out[place + b] += scale * sum over i in first .. last - 1 and k in 0 .. parts - 1 of
    pop(expression(x=x[r], xs=xs[r], w=w[i*parts + k], ws=...)), with r = (rows[taps[i]] * parts + k) * size + b. Sums are
    computed modulo the unit's width of bits, and scaled and added modulo out's. `reads`: which of x, xs, w, ws it reads.
    """

    @intrinsic
    def sums(typing: Any, x: Any, xs: Any, w: Any, ws: Any, taps: Any, rows: Any, first: Any, last: Any, out: Any, place: Any) -> Any:  # fmt: skip # noqa: E501
        signature = types.void(x, xs, w, ws, taps, rows, first, last, out, place)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = {
                name: context.make_array(signature.args[i])(context, builder, args[i]).data
                for i, name in enumerate(("x", "xs", "w", "ws", "taps", "rows"))
            }
            target = context.make_array(signature.args[8])(context, builder, args[8]).data
            lanes = min(size, VECTOR_BITS // x.dtype.bitwidth)
            _Loop(builder, expression, reads, parts, size, lanes, x.dtype.bitwidth).build(
                arrays, args[6], args[7], target, out.dtype.bitwidth, args[9], scale
            )
            return context.get_dummy_value()

        return signature, codegen

    return sums


class _Loop:
    """Builds the loop over taps and parts for `size` samples, `lanes` a vector."""

    def __init__(
        self, builder: Any, expression: Callable[..., Words], reads: tuple[str, ...], parts: int, size: int, lanes: int,
        bits: int,
    ) -> None:  # fmt: skip
        self.builder, self.expression, self.reads, self.parts, self.size = builder, expression, reads, parts, size
        self.lanes, self.bits = lanes, bits
        self.vector = ir.VectorType(ir.IntType(bits), lanes)
        name = f"llvm.ctpop.v{lanes}i{bits}"
        self.pop = cgutils.get_or_insert_function(builder.module, ir.FunctionType(self.vector, [self.vector]), name)

    def build(
        self, arrays: dict[str, Any], first: Any, last: Any, out: Any, out_bits: int, place: Any, scale: int
    ) -> None:
        builder, count = self.builder, self.size // self.lanes
        entry, loop, done = builder.block, builder.append_basic_block("taps"), builder.append_basic_block("sums")
        start, stop = (builder.mul(end, INDEX(self.parts)) for end in (first, last))
        builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)
        builder.position_at_end(loop)
        at = builder.phi(INDEX)
        sums = [builder.phi(self.vector) for _ in range(count)]
        made = self._step(arrays, at, sums)
        following = builder.add(at, INDEX(1))
        at.add_incoming(start, entry)
        at.add_incoming(following, loop)
        nothing = ir.Constant(self.vector, [0] * self.lanes)
        for phi, value in zip(sums, made, strict=True):
            phi.add_incoming(nothing, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
        builder.position_at_end(done)
        totals = [builder.phi(self.vector) for _ in range(count)]
        for phi, value in zip(totals, made, strict=True):
            phi.add_incoming(nothing, entry)
            phi.add_incoming(value, loop)
        self._store(totals, out, out_bits, place, scale)

    def _step(self, arrays: dict[str, Any], at: Any, sums: list[Any]) -> list[Any]:
        """The sums with the words at `at`, a place in w and ws, added."""
        builder, parts = self.builder, INDEX(self.parts)
        tap = builder.zext(builder.load(builder.gep(arrays["taps"], [builder.udiv(at, parts)])), INDEX)
        lane = builder.zext(builder.load(builder.gep(arrays["rows"], [tap])), INDEX)
        row = builder.add(builder.mul(lane, parts), builder.urem(at, parts))
        base = builder.mul(row, INDEX(self.size))
        known = {
            name: self._spread(builder.load(builder.gep(arrays[name], [at]))) for name in self.reads if name[0] == "w"
        }
        constants = {
            name: Words(builder, ir.Constant(self.vector, [word] * self.lanes))
            for name, word in (("ZERO", 0), ("ONES", -1))
        }
        made = []
        for number, total in enumerate(sums):
            place = builder.add(base, INDEX(number * self.lanes))
            data = {n: Words(builder, self._load(arrays[n], place, self.bits)) for n in self.reads if n[0] == "x"}
            both = self.expression(**{**dict.fromkeys(("x", "xs", "w", "ws")), **data, **known, **constants})
            made.append(builder.add(total, builder.call(self.pop, [both.value])))
        return made

    def _spread(self, word: Any) -> Words:
        """One word in all lanes of a vector."""
        builder, nothing = self.builder, ir.Constant(self.vector, ir.Undefined)
        single = builder.insert_element(nothing, word, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return Words(builder, builder.shuffle_vector(single, nothing, mask))

    def _pointer(self, array: Any, place: Any, bits: int) -> Any:
        kind = ir.VectorType(ir.IntType(bits), self.lanes)
        return self.builder.bitcast(self.builder.gep(array, [place]), kind.as_pointer())

    def _load(self, array: Any, place: Any, bits: int) -> Any:
        return self.builder.load(self._pointer(array, place, bits), align=bits // 8)

    def _store(self, totals: list[Any], out: Any, bits: int, place: Any, scale: int) -> None:
        builder, kind = self.builder, ir.VectorType(ir.IntType(bits), self.lanes)
        for number, total in enumerate(totals):
            fitted = total if bits == self.bits else (builder.zext if bits > self.bits else builder.trunc)(total, kind)
            at = builder.add(place, INDEX(number * self.lanes))
            scaled = fitted if scale == 1 else builder.mul(fitted, ir.Constant(kind, [scale] * self.lanes))
            builder.store(builder.add(self._load(out, at, bits), scaled), self._pointer(out, at, bits), align=bits // 8)
