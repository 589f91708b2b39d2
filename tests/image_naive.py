"""The naive evaluator for images: convolutions, pooling, rewirings and sums of branches, in plain loops over coordinates."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from naive import Naive


class ImageNaive(Naive):
    """`Naive` for modules that hold images; lanes of totals and levels are walked by coordinates."""

    def taps(self, op, image, kernel):
        """For each output position (row, column): the (kernel row, kernel column, row, column) that lie in the image."""
        a = op.attributes
        height, width = image.type.shape[1:]
        rows, columns = op.result.type.shape[1:]
        for y in range(rows):
            for x in range(columns):
                seen = []
                for ky in range(kernel[0]):
                    for kx in range(kernel[1]):
                        row = y * a["strides"][0] + ky * a["dilations"][0] - a["pads"][0]
                        column = x * a["strides"][1] + kx * a["dilations"][1] - a["pads"][1]
                        if 0 <= row < height and 0 <= column < width:
                            seen.append((ky, kx, row, column))
                yield y, x, seen

    def products(self, op, x, w, inputs, weights, shape):
        """Sums of inputs [samples, c, h, w, ...] times weights [m, c / groups, kh, kw, ...] at every position."""
        result = np.zeros(shape, dtype=np.int64)
        outputs, inner = w.type.shape[:2]
        per_group = outputs // op.attributes["groups"]
        for y, column, seen in self.taps(op, x, w.type.shape[2:]):
            for m in range(outputs):
                first = m // per_group * inner
                for c in range(inner):
                    for ky, kx, row, col in seen:
                        result[:, m, y, column] += inputs[:, first + c, row, col] * weights[m, c, ky, kx]
        return result

    def do_conv(self, op, x, w):
        inputs, weights = self.numbers(x), self.numbers(w)[0]
        return self.products(op, x, w, inputs, weights, (len(inputs), *op.result.type.shape, op.result.type.length))

    def fixed_conv(self, op, x, w):
        inputs, weights = self.of(x), self.of(w)[0]
        sums = self.products(op, x, w, inputs, weights, (len(inputs), *op.result.type.shape))
        return sums + np.broadcast_to(op.attributes["initial"], op.result.type.shape)

    def fixed_dot(self, op, x, w):
        initial = np.broadcast_to(op.attributes["initial"], op.result.type.shape).tolist()
        weights = self.of(w)[0].tolist()
        return [
            [
                start + sum(a * b for a, b in zip(row, each, strict=True))
                for each, start in zip(weights, initial, strict=True)
            ]
            for row in self.of(x).tolist()
        ]

    def __getattribute__(self, name):
        renamed = {"fx.conv": "fixed_conv", "fx.dot": "fixed_dot"}
        return super().__getattribute__(renamed.get(name, name))

    def pooled(self, op, x, combine):
        values = self.of(x)
        result = np.zeros((len(values), *op.result.type.shape, *values.shape[4:]), dtype=np.int64)
        for y, column, seen in self.taps(op, x, op.attributes["kernel"]):
            for index in np.ndindex(len(values), values.shape[1], *values.shape[4:]):
                sample, channel, *time = index
                window = [int(values[(sample, channel, row, col, *time)]) for _, _, row, col in seen]
                result[(sample, channel, y, column, *time)] = combine(window)
        return result

    def do_max_pool(self, op, x):
        return self.pooled(op, x, max)

    def do_or_pool(self, op, x):
        return self.pooled(op, x, lambda bits: int(any(bits)))

    def do_sum_pool(self, op, x):
        return self.pooled(op, x, sum)

    def do_add(self, op, a, b):
        return self.of(a) * int(op.attributes["mult_a"]) + self.of(b) * int(op.attributes["mult_b"])

    def moved(self, op, x, change):
        """A rewiring of lanes; of signed streams the signs go with their bits."""
        if x.name in self.signs:
            self.signs[op.result.name] = np.stack([change(signs) for signs in self.signs[x.name]])
        values = self.of(x)
        if values.ndim == 1 + len(x.type.shape):
            return np.stack([change(sample) for sample in values])
        return np.stack([np.stack([change(s[..., t]) for t in range(s.shape[-1])], axis=-1) for s in values])

    def do_reshape(self, op, x):
        return self.moved(op, x, lambda v: v.reshape(op.attributes["shape"]))

    def do_transpose(self, op, x):
        return self.moved(op, x, lambda v: v.transpose(op.attributes["perm"]))

    def do_slice(self, op, x):
        a = op.attributes
        parts = tuple(slice(*each) for each in zip(a["starts"], a["stops"], a["steps"], strict=True))
        return self.moved(op, x, lambda v: v[parts])

    def do_pad(self, op, x):
        pads, rank = op.attributes["pads"], len(x.type.shape)
        widths = [(pads[k], pads[rank + k]) for k in range(rank)]
        return self.moved(op, x, lambda v: np.pad(v, widths, constant_values=op.attributes["level"]))

    def do_upsample(self, op, x):
        rows, columns = op.attributes["factors"]
        return self.moved(op, x, lambda v: np.kron(v, np.ones((1, rows, columns), dtype=np.int64)))

    def do_concat(self, op, x, y):
        return np.concatenate([self.of(x), self.of(y)], axis=1 + op.attributes["axis"])

    # totals, lane by lane whatever their shape

    def lanes(self, op, name):
        return np.broadcast_to(op.attributes[name], op.operands[0].type.shape)

    def do_accumulate(self, op, count):
        return self.of(count).sum(axis=-1) + self.lanes(op, "initial")

    def do_rescale(self, op, total):
        a, mult, values = op.attributes, self.lanes(op, "mult"), self.of(total)
        result = np.zeros_like(values)
        for index in np.ndindex(*values.shape):
            exact = Fraction(int(values[index]) * int(mult[index[1:]]), 2 ** a["shift"])
            result[index] = min(max(math.floor(exact + Fraction(1, 2)), a["lo"]), a["hi"])
        return result

    def do_lookup(self, op, total):
        return np.asarray(op.attributes["table"])[self.of(total) - total.type.lo]
