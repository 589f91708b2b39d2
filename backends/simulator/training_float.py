"""The yardstick: the same network and the same samples in the same order, by plain per-sample gradient descent in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sccc.backends.simulator.training_reference import State
from sccc.jit import njit

IDENTITY, TANH, SIGMOID, RELU = range(4)
FUNCTIONS = {"identity": IDENTITY, "tanh": TANH, "sigmoid": SIGMOID, "relu": RELU}

TINY = np.float32(1e-20)

CROSS_ENTROPY, SQUARED_ERROR = range(2)
LOSSES = {"cross-entropy": CROSS_ENTROPY, "squared-error": SQUARED_ERROR}


@dataclass(frozen=True)
class FloatRule:
    """rate: the learning rate. beta: momentum v = beta v + (1 - beta) g of which rate * v is taken; 0: none."""

    rate: float
    beta: float = 0.0
    loss: str = "cross-entropy"


class FloatTrainer:
    """A dense network in float32. weights[l]: [m, n]; biases[l]: [m]; functions[l]: of `FUNCTIONS`.

    All layers lie in one flat array: the parameters of layer l start at `_layout[l, 2]`, its outputs at `_layout[l, 3]`.
    """

    def __init__(
        self, weights: list[np.ndarray], biases: list[np.ndarray], functions: list[str], rule: FloatRule
    ) -> None:
        self.rule = rule
        self.shapes = [w.shape for w in weights]
        rows, parameters, outputs = [], 0, self.shapes[0][1]
        for (m, n), function in zip(self.shapes, functions, strict=True):
            rows.append((m, n, parameters, outputs, FUNCTIONS[function]))
            parameters, outputs = parameters + m * n + m, outputs + m
        self._layout = np.array(rows, dtype=np.int64)
        parts = [part for w, b in zip(weights, biases, strict=True) for part in (w.reshape(-1), b.reshape(-1))]
        self._parameters = np.concatenate(parts).astype(np.float32)
        self._velocity = np.zeros_like(self._parameters if rule.beta else self._parameters[:0])
        self._values, self._errors = np.zeros(outputs, dtype=np.float32), np.zeros(outputs, dtype=np.float32)

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Samples as [samples, lanes] float32."""
        return np.ascontiguousarray(np.asarray(x).reshape(len(x), -1), dtype=np.float32)

    def train(self, numbers: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> None:
        """As `Trainer.train`."""
        order = np.arange(len(numbers)) if order is None else order
        _train(
            order.astype(np.int64),
            numbers,
            np.asarray(labels, dtype=np.int64),
            self._layout,
            self._parameters,
            self._velocity,
            self._values,
            self._errors,
            np.float32(self.rule.rate),
            np.float32(self.rule.beta),
            LOSSES[self.rule.loss],
        )

    def accuracy(self, numbers: np.ndarray, labels: np.ndarray) -> float:
        """As `Trainer.accuracy`."""
        return float(np.mean(_classes(numbers, self._layout, self._parameters, self._values) == labels))

    @property
    def state(self) -> State:
        """Parameters and velocities, float32."""
        return {"parameters": self._parameters.copy(), "velocity": self._velocity.copy()}

    @state.setter
    def state(self, state: State) -> None:
        self._parameters[:], self._velocity[:] = state["parameters"], state["velocity"]

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of each layer."""
        found = []
        for (m, n), start in zip(self.shapes, self._layout[:, 2], strict=True):
            end = start + m * n
            found.append((self._parameters[start:end].reshape(m, n).copy(), self._parameters[end : end + m].copy()))
        return found


@njit(nogil=True, fastmath=True)
def _forward(x: np.ndarray, layout: np.ndarray, parameters: np.ndarray, values: np.ndarray) -> None:
    """Inputs and outputs of all layers, one behind the other, into `values`."""
    before = 0
    for i in range(len(x)):
        values[i] = x[i]
    for layer in range(len(layout)):
        m, n, start, out, function = layout[layer]
        w, inputs = parameters[start : start + m * n].reshape(m, n), values[before : before + n]
        for j in range(m):
            total = np.float32(0.0)
            for i in range(n):
                total += w[j, i] * inputs[i]
            total += parameters[start + m * n + j]
            if function == TANH:
                total = np.tanh(total)
            elif function == SIGMOID:
                total = np.float32(1.0) / (np.float32(1.0) + np.exp(-total))
            elif function == RELU:
                total = max(total, np.float32(0.0))
            values[out + j] = total
        before = out


@njit(nogil=True)
def _slope(function: int, a: Any) -> Any:
    """The derivative of an activation, from its output."""
    if function == TANH:
        return np.float32(1.0) - a * a
    if function == SIGMOID:
        return a * (np.float32(1.0) - a)
    return np.float32(1.0 if function == IDENTITY or a > 0 else 0.0)


@njit(nogil=True)
def _loss(label: int, layout: np.ndarray, values: np.ndarray, errors: np.ndarray, loss: int) -> None:
    """The last layer's errors, in front of its activation."""
    m, _, _, out, function = layout[len(layout) - 1]
    scores, error = values[out : out + m], errors[out : out + m]
    if loss == CROSS_ENTROPY:
        error[:] = np.exp(scores - scores.max())
        error /= error.sum()
        error[label] -= np.float32(1.0)
        return
    off = np.float32(-1.0 if function == TANH else 0.0)
    for j in range(m):
        target = np.float32(1.0) if j == label else off
        error[j] = (scores[j] - target) * _slope(function, scores[j])


@njit(nogil=True, fastmath=True)
def _backward(layer: int, layout: np.ndarray, parameters: np.ndarray, values: np.ndarray, errors: np.ndarray) -> None:
    """The errors of the layer below."""
    m, n, start, out, _ = layout[layer]
    below, function = layout[layer - 1, 3], layout[layer - 1, 4]
    w, handed = parameters[start : start + m * n].reshape(m, n), errors[below : below + n]
    handed[:] = np.float32(0.0)
    for j in range(m):
        error = errors[out + j]
        for i in range(n):
            handed[i] += w[j, i] * error
    for i in range(n):
        handed[i] *= _slope(function, values[below + i])


@njit(nogil=True)
def _train(
    order: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    layout: np.ndarray,
    parameters: np.ndarray,
    velocity: np.ndarray,
    values: np.ndarray,
    errors: np.ndarray,
    rate: Any,
    beta: Any,
    loss: int,
) -> None:
    for s in order:
        _forward(x[s], layout, parameters, values)
        _loss(y[s], layout, values, errors, loss)
        for layer in range(len(layout) - 1, -1, -1):
            if layer:
                _backward(layer, layout, parameters, values, errors)
            _descend(layer, layout, parameters, velocity, values, errors, rate, beta)


@njit(nogil=True, fastmath=True)
def _descend(
    layer: int,
    layout: np.ndarray,
    parameters: np.ndarray,
    velocity: np.ndarray,
    values: np.ndarray,
    errors: np.ndarray,
    rate: Any,
    beta: Any,
) -> None:
    """Move a layer's parameters. Errors below `TINY` move nothing that float32 holds, and would make denormals, which are slow."""
    m, n, start, out, _ = layout[layer]
    before = layout[layer - 1, 3] if layer else 0
    w, inputs = parameters[start : start + m * n].reshape(m, n), values[before : before + n]
    b = parameters[start + m * n : start + m * n + m]
    if beta > 0:
        vw, vb = velocity[start : start + m * n].reshape(m, n), velocity[start + m * n : start + m * n + m]
        for j in range(m):
            rest = (np.float32(1.0) - beta) * errors[out + j]
            for i in range(n):
                new = beta * vw[j, i] + rest * inputs[i]
                vw[j, i] = new if abs(new) > TINY else np.float32(0.0)
                w[j, i] -= rate * vw[j, i]
            vb[j] = beta * vb[j] + rest
            b[j] -= rate * vb[j]
        return
    for j in range(m):
        step = rate * errors[out + j]
        if abs(step) > TINY:
            for i in range(n):
                w[j, i] -= step * inputs[i]
            b[j] -= step


@njit(nogil=True)
def _classes(x: np.ndarray, layout: np.ndarray, parameters: np.ndarray, values: np.ndarray) -> np.ndarray:
    found = np.zeros(len(x), dtype=np.int64)
    m, out = layout[len(layout) - 1, 0], layout[len(layout) - 1, 3]
    for s in range(len(x)):
        _forward(x[s], layout, parameters, values)
        found[s] = np.argmax(values[out : out + m])
    return found
