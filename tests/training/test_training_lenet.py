"""LeNet's hand-written backward pass is the gradient, and its momentum counters are those of `train.average`."""

from __future__ import annotations

import numpy as np

from sccc.backends.simulator.training_lenet import COUNTERS, FLOAT, LeNet, _descend, _forward
from sccc.ops import REGISTRY
from sccc.training_cells import Update

LAST = 44_426


def loss(net: LeNet, x: np.ndarray, label: int) -> float:
    f = np.float32
    a1, p1, a2, p2 = (np.zeros(s, f) for s in ((6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4)))
    h1, h2, z = np.zeros(120, f), np.zeros(84, f), np.zeros(10, f)
    _forward(x, net.weights, a1, p1, a2, p2, h1, h2, z)
    scores = z.astype(np.float64)
    return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[label])


def test_the_backward_pass_is_the_slope_of_the_loss() -> None:
    """One step with beta = 1/2 moves a weight by rate/2 times its gradient; compared with central differences."""
    x = np.random.default_rng(1).random((1, 784)).astype(np.float32)
    net = LeNet(FLOAT, 1, step_bits=0, decay_bits=1)
    before = net.weights.copy()
    net.train(x, np.array([3]), np.zeros(1))
    gradient = (before - net.weights) * 2
    net.weights[:] = before
    layers = ((0, 150), (150, 156), (156, 2556), (2556, 2572), (2572, 33292), (33412, 43492), (43576, LAST))
    for lo, hi in layers:
        k = lo + int(np.argmax(np.abs(gradient[lo:hi])))
        slopes = []
        for sign in (1, -1):
            net.weights[k] = before[k] + sign * np.float32(2e-2)
            slopes.append(loss(net, x[0], 3))
            net.weights[k] = before[k]
        assert abs((slopes[0] - slopes[1]) / 4e-2 - gradient[k]) < 0.02 * abs(gradient[k]) + 1e-3


def test_momentum_counters_are_those_of_the_ops() -> None:
    """Against the expressions of train.average and train.count_by, for every counter and every move."""
    average, count_by = (REGISTRY[n].cell for n in ("train.average", "train.count_by"))
    assert isinstance(average, Update) and isinstance(count_by, Update)
    grid = [v.ravel().astype(np.int32) for v in np.meshgrid(np.arange(-16, 16), (-1, 0, 1), np.arange(-4, 4))]
    momentum, moves, counters = grid
    for seed in range(1, 30):
        random = np.array([seed * 7919], dtype=np.uint32)
        m, c, w = momentum.copy(), counters.copy(), (counters / 4).astype(np.float32)
        empty = np.zeros(len(m), np.float32)
        drawn = random.copy()
        _descend(w, empty, empty.copy(), c, m, moves, random, COUNTERS, 2, 3, 16)
        s = int(drawn[0])
        for shift in (13, -17, 5):
            s ^= (s << shift if shift > 0 else s >> -shift) & 0xFFFFFFFF
        threshold = (s >> 8) * 8 >> 24
        out = np.where(np.abs(momentum) > threshold, np.sign(momentum), 0)
        bounds = {"lo": -16, "hi": 15}
        wanted = average.next.evaluate({"w": momentum, "delta": moves, "x": 1, "out": out, **bounds})
        assert np.array_equal(m, wanted)
        assert np.array_equal(c, count_by.next.evaluate({"w": counters, "out": out, "move": 1, "lo": -4, "hi": 3}))
        assert np.array_equal(w, c / np.float32(4))


def test_both_rules_learn_and_a_seed_repeats(digits) -> None:  # type: ignore[no-untyped-def]
    """Digits blown up to 28 x 28: accuracy on the samples themselves."""
    x = np.zeros((300, 28, 28), np.float32)
    x[:, 2:26, 2:26] = digits[0].x[:300].reshape(-1, 8, 8).repeat(3, 1).repeat(3, 2)
    y = digits[0].y[:300]
    runs = [LeNet(rule, 1, step_bits=7) for rule in (FLOAT, COUNTERS, COUNTERS)]
    for net in runs:
        for epoch in range(6):
            net.train(x.reshape(300, -1), y, np.random.default_rng(epoch).permutation(300))
    scores = [net.accuracy(x.reshape(300, -1), y) for net in runs]
    assert scores[0] > 0.85 and scores[1] > 0.85 - 0.05
    assert np.array_equal(runs[1].weights, runs[2].weights)
