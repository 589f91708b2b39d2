"""numba kernels of plain gradient descent in float32: see `training_float`."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.jit import njit

PRODUCTS, MAXIMUM, MEAN = range(3)
IDENTITY, TANH, SIGMOID, RELU = range(4)
CROSS_ENTROPY, SQUARED_ERROR = range(2)

TINY = np.float32(1e-20)

LAYOUT = ("kind", "m", "n", "p", "parameters", "inputs", "out", "function", "lanes", "before", "size")
"""Columns of a step's row: m results of n terms at p positions; where its parameters, its terms [p, n] and its results [m, p] lie;
where `lanes` lists what its windows see (-1: nothing is listed); where its operand of `size` numbers lies."""


@njit(nogil=True, fastmath=True)
def _products(row: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray) -> None:
    _, m, n, p, start, inputs, out, function, first, _, _ = row
    if first >= 0:
        for i in range(p * n):
            values[inputs + i] = values[lanes[first + i]]
    for j in range(m):
        w = parameters[start + j * n : start + j * n + n]
        for k in range(p):
            x = values[inputs + k * n : inputs + k * n + n]
            total = np.float32(0.0)
            for i in range(n):
                total += w[i] * x[i]
            total += parameters[start + m * n + j]
            if function == TANH:
                total = np.tanh(total)
            elif function == SIGMOID:
                total = np.float32(1.0) / (np.float32(1.0) + np.exp(-total))
            elif function == RELU:
                total = max(total, np.float32(0.0))
            values[out + j * p + k] = total


@njit(nogil=True, fastmath=True)
def _pool(row: np.ndarray, lanes: np.ndarray, values: np.ndarray) -> None:
    kind, m, n, _, _, _, out, _, first, _, _ = row
    for j in range(m):
        seen = lanes[first + j * n : first + j * n + n]
        best, total = values[seen[0]], values[seen[0]]
        for i in range(1, n):
            best = max(best, values[seen[i]])
            total += values[seen[i]]
        values[out + j] = best if kind == MAXIMUM else total / np.float32(n)


@njit(nogil=True)
def _forward(x: np.ndarray, layout: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray) -> None:
    """Inputs and results of all steps into `values`."""
    for i in range(len(x)):
        values[i] = x[i]
    for step in range(len(layout)):
        if layout[step, 0] == PRODUCTS:
            _products(layout[step], lanes, parameters, values)
        else:
            _pool(layout[step], lanes, values)


@njit(nogil=True)
def _slope(function: int, a: Any) -> Any:
    """The derivative of an activation, from its output."""
    if function == TANH:
        return np.float32(1.0) - a * a
    if function == SIGMOID:
        return a * (np.float32(1.0) - a)
    return np.float32(1.0 if function == IDENTITY or a > 0 else 0.0)


@njit(nogil=True)
def _loss(label: int, row: np.ndarray, values: np.ndarray, errors: np.ndarray, loss: int) -> None:
    """The last step's errors, in front of its activation."""
    m, out, function = row[1], row[6], row[7]
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
def _products_back(row: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, errors: np.ndarray) -> None:
    """The errors of a step's operand, from those in front of its activation."""
    _, m, n, p, start, inputs, out, _, first, before, size = row
    errors[inputs : inputs + p * n] = np.float32(0.0)
    for k in range(p):
        handed = errors[inputs + k * n : inputs + k * n + n]
        for j in range(m):
            error = errors[out + j * p + k]
            if error != 0:
                w = parameters[start + j * n : start + j * n + n]
                for i in range(n):
                    handed[i] += w[i] * error
    if first >= 0:
        errors[before : before + size] = np.float32(0.0)
        for i in range(p * n):
            errors[lanes[first + i]] += errors[inputs + i]


@njit(nogil=True)
def _pool_back(row: np.ndarray, lanes: np.ndarray, values: np.ndarray, errors: np.ndarray) -> None:
    """The errors of a pooling's operand: to the first of the largest, or to all alike."""
    kind, m, n, _, _, _, out, _, first, before, size = row
    errors[before : before + size] = np.float32(0.0)
    for j in range(m):
        for i in range(n):
            lane = lanes[first + j * n + i]
            if kind == MEAN:
                errors[lane] += errors[out + j] / np.float32(n)
            elif values[lane] == values[out + j]:
                errors[lane] += errors[out + j]
                break


@njit(nogil=True, fastmath=True)
def _row_gradient(row: np.ndarray, j: int, values: np.ndarray, errors: np.ndarray, gradient: np.ndarray) -> Any:
    """The gradient of output j's weights, summed over positions, into `gradient`; that of its bias."""
    _, _, n, p, _, inputs, out, _, _, _, _ = row
    bias = np.float32(0.0)
    gradient[:n] = np.float32(0.0)
    for k in range(p):
        error = errors[out + j * p + k]
        bias += error
        if abs(error) > TINY:
            x = values[inputs + k * n : inputs + k * n + n]
            for i in range(n):
                gradient[i] += error * x[i]
    return bias


@njit(nogil=True, fastmath=True)
def _descend(
    row: np.ndarray, parameters: np.ndarray, velocity: np.ndarray, values: np.ndarray, errors: np.ndarray,
    gradient: np.ndarray, rate: Any, beta: Any,
) -> None:  # fmt: skip
    """Move a step's parameters. Numbers below `TINY` move nothing that float32 holds, and would make denormals, which are slow."""
    m, n, start = row[1], row[2], row[4]
    for j in range(m):
        bias = _row_gradient(row, j, values, errors, gradient)
        at, b = start + j * n, start + m * n + j
        w = parameters[at : at + n]
        if beta > 0:
            v, rest = velocity[at : at + n], np.float32(1.0) - beta
            for i in range(n):
                new = beta * v[i] + rest * gradient[i]
                v[i] = new if abs(new) > TINY else np.float32(0.0)
                w[i] -= rate * v[i]
            velocity[b] = beta * velocity[b] + rest * bias
            parameters[b] -= rate * velocity[b]
        else:
            for i in range(n):
                w[i] -= rate * gradient[i]
            parameters[b] -= rate * bias


@njit(nogil=True)
def train(
    order: np.ndarray, x: np.ndarray, y: np.ndarray, layout: np.ndarray, lanes: np.ndarray, parameters: np.ndarray,
    velocity: np.ndarray, values: np.ndarray, errors: np.ndarray, gradient: np.ndarray, rate: Any, beta: Any, loss: int,
) -> None:  # fmt: skip
    """Learn from samples x [samples, lanes] with classes y in this order."""
    last = len(layout) - 1
    weighted = 0
    while layout[weighted, 0] != PRODUCTS:
        weighted += 1
    for s in order:
        _forward(x[s], layout, lanes, parameters, values)
        _loss(y[s], layout[last], values, errors, loss)
        for step in range(last, weighted - 1, -1):
            row = layout[step]
            if row[0] != PRODUCTS:
                _pool_back(row, lanes, values, errors)
                continue
            if step < last:
                out, function = row[6], row[7]
                for i in range(out, out + row[1] * row[3]):
                    errors[i] *= _slope(function, values[i])
            if step > weighted:
                _products_back(row, lanes, parameters, errors)
            _descend(row, parameters, velocity, values, errors, gradient, rate, beta)


@njit(nogil=True)
def classes(
    x: np.ndarray, layout: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """The first largest output of each sample."""
    found = np.zeros(len(x), dtype=np.int64)
    m, out = layout[len(layout) - 1, 1], layout[len(layout) - 1, 6]
    for s in range(len(x)):
        _forward(x[s], layout, lanes, parameters, values)
        found[s] = np.argmax(values[out : out + m])
    return found
