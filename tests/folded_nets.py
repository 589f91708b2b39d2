"""Folded networks for tests: single layers with every attribute at hand, and random networks of all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sccc.diagnostics import SccError
from sccc.ir import Module, Value
from sccc.windows import Window


@dataclass
class FoldedNet:
    """Builds a module op by op, in one encoding and style. `fixed`: numbers instead of streams."""

    shape: Sequence[int]
    x: str = "unipolar"
    w: str = "signed"
    bits: int = 3
    length: int = 8
    source: str = "sobol"
    fixed: bool = False
    seed: int = 0
    layers: int = 0
    module: Module = field(default_factory=lambda: Module("net"))

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.top = (1 << self.bits) - self.fixed
        attributes = {"shape": list(self.shape), "name": "x", "encoding": self.x, "bits": self.bits}
        self.input = self.add("sc.input", [], "x", **attributes, largest=self.top if self.fixed else 0)

    def add(self, op: str, operands: Sequence[Value], wish: str = "v", /, **attributes: Any) -> Value:
        result = self.module.append(op, operands, attributes, result=wish).result
        assert result is not None
        return result

    def layer(self) -> dict[str, str]:
        self.layers += 1
        return {"layer": f"l{self.layers}"}

    def totals(
        self,
        x: Value,
        outputs: int,
        parallel: Sequence[int],
        kernel: Sequence[int] = (),
        initial: Any = None,
        **window: Any,
    ) -> Value:
        """The totals of a dense layer, or of a convolution where there is a kernel."""
        layer, groups = self.layer(), window.get("groups", 1)
        inner = x.type.shape[0] // groups if kernel else x.type.lanes
        lowest = -self.top if self.w == "signed" else 0
        levels = self.rng.integers(lowest, self.top + 1, (outputs, inner, *kernel))
        weights = self.add("sc.constant", [], levels=levels, encoding=self.w, bits=self.bits, **layer)
        name = "conv" if kernel else "dot"
        if initial is None:
            initial = self.rng.integers(-20, 20, (outputs, 1, 1) if kernel else (outputs,))
        if self.fixed:
            attributes = {**window, "parallel": list(parallel), "initial": initial}
            return self.add(f"fx.{name}", [x, weights], "total", **attributes, **layer)
        streams = []
        for value, kind, index in ((x, self.source, 0), (weights, "lfsr" if self.source == "lfsr" else "sobol", 1)):
            seed = index + 2 if kind == "lfsr" else index
            source = self.add("sc.source", [], kind=kind, index=seed, bits=self.bits, **layer)
            streams.append(self.add("sc.sng", [value, source], length=self.length, **layer))
        count = self.add(f"sc.{name}", streams, **window, parallel=list(parallel), **layer)
        return self.add("sc.accumulate", [count], "total", initial=initial, **layer)

    def levels(self, total: Value, mult: Any = 1, table: bool = False) -> Value:
        """Levels of totals, which use the whole range."""
        layer = {"layer": total.op.attributes["layer"]}  # type: ignore[union-attr]
        span = max(-total.type.lo, total.type.hi, 1) * int(np.max(mult)) * 3  # type: ignore[attr-defined]
        shift = max(0, int(np.log2(span / self.top)))
        lo, hi = (-self.top if self.x == "signed" else 0), self.top
        if table:
            scaled = self.add("sc.rescale", [total], mult=mult, shift=shift + 1, lo=-5, hi=4, **layer)
            entries = self.rng.integers(lo, hi + 1, 10)
            return self.add("sc.lookup", [scaled], "y", table=entries, encoding=self.x, bits=self.bits, **layer)
        scaled = self.add("sc.rescale", [total], mult=mult, shift=shift, lo=lo, hi=hi, **layer)
        return self.add("sc.level", [scaled], "y", encoding=self.x, bits=self.bits, **layer)

    def end(self, value: Value, argmax: bool = False) -> Module:
        layer = {"layer": value.op.attributes["layer"]}  # type: ignore[union-attr]
        value = self.add("sc.argmax", [value], **layer) if argmax else value
        self.module.append("sc.output", [value], {"name": "y", **layer})
        return self.module

    def data(self, samples: int = 3) -> np.ndarray:
        """Inputs that use the whole range."""
        lowest = 0.0 if self.x == "unipolar" else -1.0
        return np.random.default_rng([self.seed, 1]).uniform(lowest, 1.0, (samples, *self.shape))


class RandomNet:
    """A random network of up to five steps of all kinds of engines, with branches; `net` and `module` are what came out."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 7])
        fixed = bool(rng.random() < 0.25)
        x = str(rng.choice(["unipolar", "signed"] if fixed else ["unipolar", "signed", "bipolar"]))
        w = "signed" if fixed or x == "signed" else str(rng.choice(["signed", "bipolar"]))
        bits, source = int(rng.integers(4, 6)), str(rng.choice(["sobol", "ramp", "lfsr"]))
        shape = [int(n) for n in rng.integers(1, 6, 3)]
        self.net = FoldedNet(shape, x, w, bits, int(rng.choice([4, 8, 13])), source, fixed, seed)
        value = self.net.input
        for _ in range(int(rng.integers(1, 5))):
            if value.type.lanes <= 200:
                value = self._step(value)
        self.module = self._end(value)

    def _step(self, x: Value) -> Value:
        rng, net = self.rng, self.net
        kind = rng.choice(["conv", "conv", "pool", "add", "add", "pad", "slice", "upsample", "concat", "transpose"])
        if kind == "pool":
            return self._pool(x)
        if kind == "add" and net.x != "bipolar":
            a = x
            for _ in range(int(rng.integers(0, 3))):
                a = self._same(a)
            total = net.add(
                "sc.add", [a, x] if rng.random() < 0.5 else [x, a], "total",
                mult_a=int(rng.integers(1, 4)), mult_b=rng.integers(1, 4, (x.type.shape[0], 1, 1)), **net.layer(),
            )  # fmt: skip
            return net.levels(total, table=bool(rng.random() < 0.3))
        if kind == "pad":
            pads = [int(n) for n in rng.integers(0, 2, 6)]
            return net.add("sc.pad", [x], "y", pads=pads, level=int(rng.integers(0, net.top + 1)), **net.layer())
        if kind == "slice":
            starts = [int(rng.integers(0, n)) for n in x.type.shape]
            steps = [int(n) for n in rng.integers(1, 3, 3)]
            return net.add("sc.slice", [x], "y", starts=starts, stops=list(x.type.shape), steps=steps, **net.layer())
        if kind == "upsample":
            return net.add("sc.upsample", [x], "y", factors=[int(n) for n in rng.integers(1, 3, 2)], **net.layer())
        if kind == "concat":
            other = self._same(x) if rng.random() < 0.5 else x
            return net.add("sc.concat", [x, other], "y", axis=int(rng.integers(0, 3)), **net.layer())
        if kind == "transpose":
            return net.add("sc.transpose", [x], "y", perm=[int(n) for n in rng.permutation(3)], **net.layer())
        return self._levels(self._conv(x))

    def _levels(self, total: Value) -> Value:
        mult = self.rng.integers(1, 9, (total.type.shape[0],) + (1,) * (len(total.type.shape) - 1))
        return self.net.levels(total, mult if self.rng.random() < 0.6 else 3, bool(self.rng.random() < 0.3))

    def _pool(self, x: Value) -> Value:
        window = self._window(x.type.shape)
        try:
            if self.rng.random() < 0.5:
                return self.net.add("sc.max_pool", [x], "y", **window, **self.net.layer())
            return self._levels(self.net.add("sc.sum_pool", [x], "total", **window, **self.net.layer()))
        except SccError:  # a window in the padding altogether
            return x

    def _same(self, x: Value) -> Value:
        """A layer that keeps the shape."""
        if self.rng.random() < 0.3:
            return self.net.add("sc.max_pool", [x], "y", kernel=[3, 3], pads=[1, 1, 1, 1], **self.net.layer())
        channels = x.type.shape[0]
        size = int(self.rng.choice([1, 3]))
        parallel = [1, int(self.rng.integers(1, channels + 1)), int(self.rng.integers(1, channels * size * size + 1))]
        return self.net.levels(self.net.totals(x, channels, parallel, [size, size], pads=[size // 2] * 4))

    def _conv(self, x: Value) -> Value:
        rng, channels = self.rng, x.type.shape[0]
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        each = int(rng.integers(1, 4))
        window = self._window(x.type.shape)
        kernel = window.pop("kernel")
        taps = channels // groups * kernel[0] * kernel[1]
        parallel = [1, int(rng.integers(1, each + 1)), int(rng.integers(1, taps + 1))]
        if groups == channels > 1:
            parallel = [int(rng.integers(1, groups + 1)), each, parallel[2]]
        outputs = groups * each
        rows, columns = Window.of(window, tuple(kernel)).output(*x.type.shape[1:])
        shapes = [(), (outputs, 1, 1), (outputs, rows, columns)]
        initial = rng.integers(-30, 30, shapes[rng.integers(3)])
        return self.net.totals(x, outputs, parallel, kernel, initial, groups=groups, **window)

    def _window(self, shape: Sequence[int]) -> dict[str, list[int]]:
        rng = self.rng
        while True:
            drawn = {"kernel": rng.integers(1, 4, 2), "strides": rng.integers(1, 4, 2)}
            drawn |= {"pads": rng.integers(0, 3, 4), "dilations": rng.integers(1, 3, 2)}
            window = {name: [int(n) for n in numbers] for name, numbers in drawn.items()}
            try:
                Window.of(window).output(shape[1], shape[2])
                return window
            except ValueError:
                continue

    def _end(self, x: Value) -> Module:
        rng, net = self.rng, self.net
        kind = rng.choice(["dense", "conv", "level", "argmax"])
        if kind in ("dense", "argmax"):
            flat = net.add("sc.reshape", [x], "flat", shape=[x.type.lanes], **net.layer())
            outputs = int(rng.integers(2, 7))
            parallel = [1, int(rng.integers(1, outputs + 1)), int(rng.integers(1, x.type.lanes + 1))]
            return net.end(net.totals(flat, outputs, parallel), argmax=kind == "argmax")
        total = self._conv(x)
        return net.end(self._levels(total) if kind == "level" else total)
