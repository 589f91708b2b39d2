"""LeNet, trained sample by sample with momentum: in float, or by momentum counters (SC-GDM).

28 x 28 - 6 maps of 5 x 5 - mean of 2 x 2 - 16 maps of 5 x 5 - mean of 2 x 2 - 120 - 84 - 10, tanh (LeCun et al. 1998, both maps
fully connected). Forward and backward are float32 in both rules; the rules differ in the update alone. Of a convolution's
gradient, a sum over positions, the whole element is quantised; of a dense layer delta and input are, as in `train.count`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.jit import njit

CONVOLUTIONS = ((6, 1, 28), (16, 6, 12))
"""Maps, input maps and side of the input of each convolution; the kernel's side is `KERNEL`."""

KERNEL = 5
DENSE = ((120, 256), (84, 120), (10, 84))

FLOAT, COUNTERS = 0, 1
TINY = np.float32(1e-20)


def shapes() -> list[tuple[int, ...]]:
    """Weights of all layers, each followed by its biases."""
    found: list[tuple[int, ...]] = []
    for m, n, _ in CONVOLUTIONS:
        found += [(m, n, KERNEL, KERNEL), (m,)]
    for m, n in DENSE:
        found += [(m, n), (m,)]
    return found


class LeNet:
    """The network and its momentum. rule: FLOAT or COUNTERS; step: learning rate, and the counters' step, 2**-step_bits; beta is
    1 - 2**-decay_bits; momentum counters saturate at 2**momentum_bits; weights of counters at 1."""

    def __init__(self, rule: int, seed: int, step_bits: int = 10, decay_bits: int = 3, momentum_bits: int = 4) -> None:
        random = np.random.default_rng(seed)
        parts = []
        for shape in shapes():
            fan = int(np.prod(shape[1:])) + shape[0] * int(np.prod(shape[2:]))
            limit = np.sqrt(6.0 / fan) if len(shape) > 1 else 0.0
            parts.append(random.uniform(-limit, limit, int(np.prod(shape))))
        self.rule, self.step_bits, self.decay_bits = rule, step_bits, decay_bits
        self.limit = 1 << momentum_bits
        weights = np.concatenate(parts)
        self.counters = np.rint(weights * 2.0**step_bits).astype(np.int32)
        self.weights = weights.astype(np.float32) if rule == FLOAT else self._real()
        self.velocity = np.zeros(len(weights), dtype=np.float32)
        self.momentum = np.zeros(len(weights), dtype=np.int32)
        self.random = np.array([seed * 2654435761 % (1 << 32) | 1], dtype=np.uint32)

    def _real(self) -> np.ndarray:
        return (self.counters / 2.0**self.step_bits).astype(np.float32)

    def train(self, x: np.ndarray, y: np.ndarray, order: np.ndarray) -> None:
        """x: [samples, 784] float32 in 0 .. 1."""
        _train(
            order.astype(np.int64), x, y.astype(np.int64), self.weights, self.velocity, self.counters, self.momentum,
            self.random, self.rule, self.step_bits, self.decay_bits, self.limit,
        )  # fmt: skip

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(_classes(x, self.weights) == y))


@njit(nogil=True, fastmath=True)
def _convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray, a: np.ndarray) -> None:
    """a = tanh(w * x + b): x [n, s, s], w [m, n, 5, 5], a [m, s-4, s-4]."""
    m, n = w.shape[:2]
    side = a.shape[1]
    for j in range(m):
        for r in range(side):
            for c in range(side):
                a[j, r, c] = b[j]
        for i in range(n):
            for u in range(KERNEL):
                for v in range(KERNEL):
                    factor = w[j, i, u, v]
                    for r in range(side):
                        out, row = a[j, r], x[i, r + u, v : v + side]
                        for c in range(side):
                            out[c] += factor * row[c]
        for r in range(side):
            for c in range(side):
                a[j, r, c] = np.tanh(a[j, r, c])


@njit(nogil=True, fastmath=True)
def _pool(a: np.ndarray, p: np.ndarray) -> None:
    for j in range(p.shape[0]):
        for r in range(p.shape[1]):
            for c in range(p.shape[2]):
                total = (
                    a[j, 2 * r, 2 * c] + a[j, 2 * r, 2 * c + 1] + a[j, 2 * r + 1, 2 * c] + a[j, 2 * r + 1, 2 * c + 1]
                )
                p[j, r, c] = np.float32(0.25) * total


@njit(nogil=True, fastmath=True)
def _unpool(back: np.ndarray, a: np.ndarray, delta: np.ndarray) -> None:
    """The error in front of tanh, from that of the means behind it."""
    for j in range(a.shape[0]):
        for r in range(a.shape[1]):
            for c in range(a.shape[2]):
                slope = np.float32(1.0) - a[j, r, c] * a[j, r, c]
                delta[j, r, c] = np.float32(0.25) * back[j, r // 2, c // 2] * slope


@njit(nogil=True, fastmath=True)
def _convolution_gradient(x: np.ndarray, delta: np.ndarray, g: np.ndarray) -> None:
    m, n = g.shape[:2]
    side = delta.shape[1]
    for j in range(m):
        for i in range(n):
            for u in range(KERNEL):
                for v in range(KERNEL):
                    total = np.float32(0.0)
                    for r in range(side):
                        error, row = delta[j, r], x[i, r + u, v : v + side]
                        for c in range(side):
                            total += error[c] * row[c]
                    g[j, i, u, v] = total


@njit(nogil=True, fastmath=True)
def _convolution_back(w: np.ndarray, delta: np.ndarray, back: np.ndarray) -> None:
    back[:] = np.float32(0.0)
    m, n = w.shape[:2]
    side = delta.shape[1]
    for j in range(m):
        for i in range(n):
            for u in range(KERNEL):
                for v in range(KERNEL):
                    factor = w[j, i, u, v]
                    for r in range(side):
                        error, row = delta[j, r], back[i, r + u, v : v + side]
                        for c in range(side):
                            row[c] += factor * error[c]


@njit(nogil=True, fastmath=True)
def _dense(x: np.ndarray, w: np.ndarray, b: np.ndarray, a: np.ndarray, last: bool) -> None:
    for j in range(w.shape[0]):
        total = np.float32(0.0)
        for i in range(w.shape[1]):
            total += w[j, i] * x[i]
        total += b[j]
        a[j] = total if last else np.tanh(total)


@njit(nogil=True, fastmath=True)
def _dense_back(w: np.ndarray, delta: np.ndarray, x: np.ndarray, back: np.ndarray, tanh: bool) -> None:
    back[:] = np.float32(0.0)
    for j in range(w.shape[0]):
        for i in range(w.shape[1]):
            back[i] += w[j, i] * delta[j]
    if tanh:
        for i in range(len(x)):
            back[i] *= np.float32(1.0) - x[i] * x[i]


@njit(nogil=True)
def _next(state: np.ndarray) -> Any:
    """The next number in [0, 1) of xorshift32 (Marsaglia 2003)."""
    s = state[0]
    s ^= np.uint32(s << np.uint32(13))
    s ^= s >> np.uint32(17)
    s ^= np.uint32(s << np.uint32(5))
    state[0] = s
    return np.float32(s >> np.uint32(8)) * np.float32(2.0**-24)


@njit(nogil=True)
def _ternary(value: Any, random: Any) -> int:
    """The ternary quantiser, as `train.quantize`."""
    if value > random:
        return 1
    return -1 if -value > random else 0


@njit(nogil=True)
def _descend(
    w: np.ndarray, g: np.ndarray, v: np.ndarray, counters: np.ndarray, momentum: np.ndarray, moves: np.ndarray,
    random: np.ndarray, rule: int, step_bits: int, decay_bits: int, limit: int,
) -> None:  # fmt: skip
    """Update a layer's flat weights by its gradient g (FLOAT), or by its quantised gradient `moves` (COUNTERS)."""
    if rule == FLOAT:
        rest, rate = np.float32(2.0**-decay_bits), np.float32(2.0**-step_bits)
        for k in range(len(w)):
            new = v[k] + rest * (g[k] - v[k])
            v[k] = new if abs(new) > TINY else np.float32(0.0)
            w[k] -= rate * v[k]
        return
    threshold = int(_next(random) * (1 << decay_bits))
    top, unit = 1 << step_bits, np.float32(2.0**-step_bits)
    for k in range(len(w)):
        if moves[k] == 0 and momentum[k] == 0:
            continue
        out = _ternary(momentum[k], threshold)
        momentum[k] = min(max(momentum[k] + moves[k] - out, -limit), limit - 1)
        if out != 0:
            counters[k] = min(max(counters[k] - out, -top), top - 1)
            w[k] = np.float32(counters[k]) * unit


@njit(nogil=True)
def _dense_update(
    delta: np.ndarray, x: np.ndarray, g: np.ndarray, moves: np.ndarray, random: np.ndarray, rule: int
) -> None:
    """Gradient or quantised gradient of a dense layer: weights [m, n] row by row, then biases. One random number for all inputs,
    one for each error."""
    m, n = len(delta), len(x)
    if rule == FLOAT:
        for j in range(m):
            for i in range(n):
                g[j * n + i] = delta[j] * x[i]
            g[m * n + j] = delta[j]
        return
    shared = _next(random)
    for j in range(m):
        q = _ternary(delta[j], _next(random))
        moves[m * n + j] = q
        for i in range(n):
            moves[j * n + i] = q * _ternary(x[i], shared) if q != 0 else 0


@njit(nogil=True)
def _convolution_update(g: np.ndarray, m: int, moves: np.ndarray, random: np.ndarray, rule: int) -> None:
    """Quantise a convolution's gradient (weights by map, then biases), with a random number for each map."""
    if rule == FLOAT:
        return
    n = (len(g) - m) // m
    for j in range(m):
        r = _next(random)
        for k in range(j * n, (j + 1) * n):
            moves[k] = _ternary(g[k], r)
        moves[m * n + j] = _ternary(g[m * n + j], r)


@njit(nogil=True)
def _forward(x: np.ndarray, w: np.ndarray, a1: np.ndarray, p1: np.ndarray, a2: np.ndarray, p2: np.ndarray,
             h1: np.ndarray, h2: np.ndarray, z: np.ndarray) -> None:  # fmt: skip
    _convolve(x.reshape(1, 28, 28), w[:150].reshape(6, 1, 5, 5), w[150:156], a1)
    _pool(a1, p1)
    _convolve(p1, w[156:2556].reshape(16, 6, 5, 5), w[2556:2572], a2)
    _pool(a2, p2)
    _dense(p2.reshape(256), w[2572:33292].reshape(120, 256), w[33292:33412], h1, False)
    _dense(h1, w[33412:43492].reshape(84, 120), w[43492:43576], h2, False)
    _dense(h2, w[43576:44416].reshape(10, 84), w[44416:44426], z, True)


@njit(nogil=True)
def _train(
    order: np.ndarray, x: np.ndarray, y: np.ndarray, w: np.ndarray, v: np.ndarray, counters: np.ndarray,
    momentum: np.ndarray, random: np.ndarray, rule: int, step_bits: int, decay_bits: int, limit: int,
) -> None:  # fmt: skip
    f = np.float32
    a1, p1, d1 = np.zeros((6, 24, 24), f), np.zeros((6, 12, 12), f), np.zeros((6, 24, 24), f)
    a2, p2, d2 = np.zeros((16, 8, 8), f), np.zeros((16, 4, 4), f), np.zeros((16, 8, 8), f)
    h1, h2, z = np.zeros(120, f), np.zeros(84, f), np.zeros(10, f)
    e2, e1, e0, back1 = np.zeros(84, f), np.zeros(120, f), np.zeros(256, f), np.zeros((6, 12, 12), f)
    g, moves = np.zeros(len(w), f), np.zeros(len(w), np.int32)
    starts = (0, 156, 2572, 33412, 43576, 44426)
    for s in order:
        _forward(x[s], w, a1, p1, a2, p2, h1, h2, z)
        z = np.exp(z - z.max())
        z /= z.sum()
        z[y[s]] -= f(1.0)
        _dense_back(w[43576:44416].reshape(10, 84), z, h2, e2, True)
        _dense_back(w[33412:43492].reshape(84, 120), e2, h1, e1, True)
        _dense_back(w[2572:33292].reshape(120, 256), e1, p2.reshape(256), e0, False)
        _unpool(e0.reshape(16, 4, 4), a2, d2)
        _convolution_back(w[156:2556].reshape(16, 6, 5, 5), d2, back1)
        _unpool(back1, a1, d1)
        _convolution_gradient(x[s].reshape(1, 28, 28), d1, g[:150].reshape(6, 1, 5, 5))
        _convolution_gradient(p1, d2, g[156:2556].reshape(16, 6, 5, 5))
        for j in range(6):
            g[150 + j] = d1[j].sum()
        for j in range(16):
            g[2556 + j] = d2[j].sum()
        _convolution_update(g[:156], 6, moves[:156], random, rule)
        _convolution_update(g[156:2572], 16, moves[156:2572], random, rule)
        _dense_update(e1, p2.reshape(256), g[2572:33412], moves[2572:33412], random, rule)
        _dense_update(e2, h1, g[33412:43576], moves[33412:43576], random, rule)
        _dense_update(z, h2, g[43576:], moves[43576:], random, rule)
        for layer in range(5):
            p, q = starts[layer], starts[layer + 1]
            _descend(
                w[p:q],
                g[p:q],
                v[p:q],
                counters[p:q],
                momentum[p:q],
                moves[p:q],
                random,
                rule,
                step_bits,
                decay_bits,
                limit,
            )


@njit(nogil=True)
def _classes(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    f = np.float32
    a1, p1, a2, p2 = (
        np.zeros((6, 24, 24), f),
        np.zeros((6, 12, 12), f),
        np.zeros((16, 8, 8), f),
        np.zeros((16, 4, 4), f),
    )
    h1, h2, z = np.zeros(120, f), np.zeros(84, f), np.zeros(10, f)
    found = np.zeros(len(x), dtype=np.int64)
    for s in range(len(x)):
        _forward(x[s], w, a1, p1, a2, p2, h1, h2, z)
        found[s] = np.argmax(z)
    return found
