"""compensate-flips: what bits that flip at a known rate take off every product on average is put back behind the count.

A bipolar stream whose bits flip with probability f has the mean (1 - 2f) x: 1 bits become -1 and the other way round. A product of
two such streams shrinks by (1 - 2f)^2, one whose own bits flip by (1 - 2f) more (derived; see shared/notes, section 6). The inverse
goes into the scale of the layer's activation, and with it into the bias, the states of its state machine and its table. Noise
that flips add stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sccc.diagnostics import Collector, SccError
from sccc.ir import Module, Operation
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCT_SUMS
from sccc.passes.manager import Pass, PassContext, register
from sccc.types import Encoding, Stream


@register
@dataclass(frozen=True)
class CompensateFlips(Pass):
    """Scale activations up by what flips at `rate` shrink bipolar products; between lower and map-activations."""

    name: ClassVar[str] = "compensate-flips"
    rate: float = 0.0
    operands: bool = True
    products: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.rate < 0.5:
            raise SccError(f"rate = {self.rate} is outside 0 .. 0.5", advice="at 0.5 nothing is left to compensate")

    @property
    def kept(self) -> float:
        """What is left of a product, on average."""
        return float((1.0 - 2.0 * self.rate) ** (2 * self.operands + self.products))

    def run(self, module: Module, context: PassContext) -> Module:
        problems = Collector()
        for op in module.ops_named("sc.activate", "sc.accumulate"):
            dot = op.operands[0].op
            if dot is None or dot.name not in PRODUCT_SUMS:
                continue
            if not _bipolar(dot):
                message = "only products of two bipolar streams shrink by a known factor"
                problems.add(message, dot.place(), "use encoding = 'bipolar'")
            _multiply(op, "in_scale" if op.name == "sc.activate" else "scale", 1.0 / self.kept)
            if op.name == "sc.accumulate":
                self._shrink_start(module, op)
        problems.raise_if_any()
        return module

    def _shrink_start(self, module: Module, op: Operation) -> None:
        """Of a last layer's sum: its bias shrinks as its products do, and the output's scale grows."""
        exact, initial = (np.asarray(op.attributes[name], dtype=np.float64) for name in ("exact", "initial"))
        _multiply(op, "exact", self.kept)
        start = np.where(np.isfinite(exact), exact, initial) * self.kept
        op.attributes["initial"] = np.rint(start).astype(np.int64)
        for sink in module.outputs:
            if sink.operands[0] is op.result:
                _multiply(sink, "scale", 1.0 / self.kept)
        assert op.result is not None
        op.result.type = REGISTRY[op.name].infer(op)


def _multiply(op: Operation, name: str, factor: float) -> None:
    value = np.asarray(op.attributes[name], dtype=np.float64) * factor
    op.attributes[name] = value if value.ndim else float(value)


def _bipolar(dot: Operation) -> bool:
    return all(isinstance(v.type, Stream) and v.type.encoding is Encoding.BIPOLAR for v in dot.operands)
