"""numba kernels of plain gradient descent in float32: see `training_float`."""

from __future__ import annotations

from typing import Any

import numpy as np

from sccc.jit import njit

PRODUCTS, MAXIMUM, MEAN, JOINT = range(4)
IDENTITY, TANH, SIGMOID, CLIP = range(4)
CROSS_ENTROPY, SQUARED_ERROR = range(2)

TINY = np.float32(1e-20)

LAYOUT = (
    "kind",
    "m",
    "n",
    "p",
    "groups",
    "parameters",
    "inputs",
    "other",
    "out",
    "function",
    "lanes",
    "before",
    "handed",
)
"""Columns of a step's row: m results of n terms at p positions, each group of results with terms of its own; where its parameters,
its terms [groups, p, n] (of a sum of branches: both operands) and its results [m, p] lie; where `lanes` lists what its windows see
(-1: nothing is listed); where its operand lies; whether that has errors."""


@njit(nogil=True)
def _activated(function: int, limits: np.ndarray, total: Any) -> Any:
    if function == TANH:
        return np.tanh(total)
    if function == SIGMOID:
        return np.float32(1.0) / (np.float32(1.0) + np.exp(-total))
    if function == CLIP:
        return min(max(total, limits[0]), limits[1])
    return total


@njit(nogil=True, fastmath=True)
def _products(
    row: np.ndarray, limits: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray
) -> None:
    _, m, n, p, groups, start, inputs, _, out, function, first, _, _ = row
    if first >= 0:
        for i in range(groups * p * n):
            values[inputs + i] = values[lanes[first + i]]
    for j in range(m):
        w = parameters[start + j * n : start + j * n + n]
        terms = inputs + j // (m // groups) * p * n
        for k in range(p):
            x = values[terms + k * n : terms + k * n + n]
            total = np.float32(0.0)
            for i in range(n):
                total += w[i] * x[i]
            total += parameters[start + m * n + j]
            values[out + j * p + k] = _activated(function, limits, total)


@njit(nogil=True)
def _joint(row: np.ndarray, limits: np.ndarray, values: np.ndarray) -> None:
    """Sums of two operands, or, where there is no other, one alone."""
    _, m, _, _, _, _, inputs, other, out, function, _, _, _ = row
    for i in range(m):
        total = values[inputs + i] + (values[other + i] if other >= 0 else np.float32(0.0))
        values[out + i] = _activated(function, limits, total)


@njit(nogil=True, fastmath=True)
def _pool(row: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray) -> None:
    """Listed are the lanes in the image, in front, and -1 for the padding. A mean's parameters are what a tap counts for."""
    kind, m, n, _, _, start, _, _, out, _, first, _, _ = row
    for j in range(m):
        seen = lanes[first + j * n : first + j * n + n]
        best, total = values[seen[0]], values[seen[0]]
        for i in range(1, n):
            if seen[i] < 0:
                break
            best = max(best, values[seen[i]])
            total += values[seen[i]]
        values[out + j] = best if kind == MAXIMUM else total * parameters[start + j]


@njit(nogil=True)
def _forward(
    x: np.ndarray, layout: np.ndarray, limits: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray
) -> None:
    """Inputs and results of all steps into `values`."""
    for i in range(len(x)):
        values[i] = x[i]
    for step in range(len(layout)):
        if layout[step, 0] == PRODUCTS:
            _products(layout[step], limits[step], lanes, parameters, values)
        elif layout[step, 0] == JOINT:
            _joint(layout[step], limits[step], values)
        else:
            _pool(layout[step], lanes, parameters, values)


@njit(nogil=True)
def _slope(function: int, limits: np.ndarray, a: Any) -> Any:
    """The derivative of an activation, from its output."""
    if function == TANH:
        return np.float32(1.0) - a * a
    if function == SIGMOID:
        return a * (np.float32(1.0) - a)
    return np.float32(1.0 if function == IDENTITY or limits[0] < a < limits[1] else 0.0)


@njit(nogil=True)
def _loss(label: int, row: np.ndarray, limits: np.ndarray, values: np.ndarray, errors: np.ndarray, loss: int) -> None:
    """The last step's errors, in front of its activation."""
    m, out, function = row[1], row[8], row[9]
    scores, error = values[out : out + m], errors[out : out + m]
    if loss == CROSS_ENTROPY:
        error[:] = np.exp(scores - scores.max())
        error /= error.sum()
        error[label] -= np.float32(1.0)
        return
    off = np.float32(-1.0 if function == TANH else 0.0)
    for j in range(m):
        target = np.float32(1.0) if j == label else off
        error[j] = (scores[j] - target) * _slope(function, limits, scores[j])


@njit(nogil=True, fastmath=True)
def _products_back(row: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, errors: np.ndarray) -> None:
    """To the errors of a step's operand, from those in front of its activation."""
    _, m, n, p, groups, start, inputs, _, out, _, first, _, _ = row
    for j in range(m):
        w, terms = parameters[start + j * n : start + j * n + n], inputs + j // (m // groups) * p * n
        for k in range(p):
            error = errors[out + j * p + k]
            if error != 0:
                handed = errors[terms + k * n : terms + k * n + n]
                for i in range(n):
                    handed[i] += w[i] * error
    if first >= 0:
        for i in range(groups * p * n):
            errors[lanes[first + i]] += errors[inputs + i]


@njit(nogil=True)
def _joint_back(row: np.ndarray, errors: np.ndarray) -> None:
    """To the errors of both operands, as they are."""
    _, m, _, _, _, _, inputs, other, out, _, _, _, _ = row
    for i in range(m):
        errors[inputs + i] += errors[out + i]
        if other >= 0:
            errors[other + i] += errors[out + i]


@njit(nogil=True)
def _pool_back(
    row: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray, errors: np.ndarray
) -> None:
    """To the errors of a pooling's operand: of the first of the largest, or of all alike."""
    kind, m, n, _, _, start, _, _, out, _, first, _, _ = row
    for j in range(m):
        for i in range(n):
            lane = lanes[first + j * n + i]
            if lane < 0:
                break
            if kind == MEAN:
                errors[lane] += errors[out + j] * parameters[start + j]
            elif values[lane] == values[out + j]:
                errors[lane] += errors[out + j]
                break


@njit(nogil=True, fastmath=True)
def _row_gradient(row: np.ndarray, j: int, values: np.ndarray, errors: np.ndarray, gradient: np.ndarray) -> Any:
    """The gradient of output j's weights, summed over positions, into `gradient`; that of its bias."""
    _, m, n, p, groups, _, inputs, _, out, _, _, _, _ = row
    terms = inputs + j // (m // groups) * p * n
    bias = np.float32(0.0)
    gradient[:n] = np.float32(0.0)
    for k in range(p):
        error = errors[out + j * p + k]
        bias += error
        if abs(error) > TINY:
            x = values[terms + k * n : terms + k * n + n]
            for i in range(n):
                gradient[i] += error * x[i]
    return bias


@njit(nogil=True, fastmath=True)
def _descend(
    row: np.ndarray, parameters: np.ndarray, velocity: np.ndarray, values: np.ndarray, errors: np.ndarray,
    gradient: np.ndarray, rate: Any, beta: Any,
) -> None:  # fmt: skip
    """Move a step's parameters. Numbers below `TINY` move nothing that float32 holds, and would make denormals, which are slow."""
    m, n, start = row[1], row[2], row[5]
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
    order: np.ndarray, x: np.ndarray, y: np.ndarray, layout: np.ndarray, limits: np.ndarray, lanes: np.ndarray,
    parameters: np.ndarray, velocity: np.ndarray, values: np.ndarray, errors: np.ndarray, gradient: np.ndarray, rate: Any,
    beta: Any, loss: int,
) -> None:  # fmt: skip
    """Learn from samples x [samples, lanes] with classes y in this order. Errors are added up: a result may be read twice."""
    last = len(layout) - 1
    for s in order:
        _forward(x[s], layout, limits, lanes, parameters, values)
        errors[:] = np.float32(0.0)
        _loss(y[s], layout[last], limits[last], values, errors, loss)
        for step in range(last, -1, -1):
            row = layout[step]
            kind, out, function, handed = row[0], row[8], row[9], row[12]
            if step < last and function != IDENTITY:
                for i in range(out, out + row[1] * row[3]):
                    errors[i] *= _slope(function, limits[step], values[i])
            if kind == PRODUCTS:
                if handed:
                    _products_back(row, lanes, parameters, errors)
                _descend(row, parameters, velocity, values, errors, gradient, rate, beta)
            elif handed and kind == JOINT:
                _joint_back(row, errors)
            elif handed:
                _pool_back(row, lanes, parameters, values, errors)


@njit(nogil=True)
def classes(
    x: np.ndarray, layout: np.ndarray, limits: np.ndarray, lanes: np.ndarray, parameters: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """The first largest output of each sample."""
    found = np.zeros(len(x), dtype=np.int64)
    m, out = layout[len(layout) - 1, 1], layout[len(layout) - 1, 8]
    for s in range(len(x)):
        _forward(x[s], layout, limits, lanes, parameters, values)
        found[s] = np.argmax(values[out : out + m])
    return found
