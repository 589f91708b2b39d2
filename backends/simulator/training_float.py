"""The yardstick: the same network and the same samples in the same order, by plain per-sample gradient descent in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.backends.simulator.training_float_kernels import JOINT, LAYOUT, MAXIMUM, MEAN, PRODUCTS, classes, train
from sccc.backends.simulator.training_reference import State
from sccc.ir import Operation, Value
from sccc.learning import seen_through
from sccc.windows import Window

FUNCTIONS = {"identity": 0, "tanh": 1, "sigmoid": 2, "relu": 3, "clip": 3}
LOSSES = {name: number for number, name in enumerate(("cross-entropy", "squared-error"))}

PADDING = -2
"""Padding that a pooling passes over, not one that reads as 0."""


@dataclass(frozen=True)
class FloatRule:
    """rate: the learning rate. beta: momentum v = beta v + (1 - beta) g of which rate * v is taken; 0: none."""

    rate: float
    beta: float = 0.0
    loss: str = "cross-entropy"


class FloatTrainer:
    """nn.layer, nn.conv_layer, nn.add_layer, nn.max_pool and nn.avg_pool ops in float32, each behind those that it reads.

    All numbers of a sample lie in one flat array, inputs first, and so do their errors; `layout` (rows of `LAYOUT`) says where each
    step reads and writes. What a window sees is listed in `lanes`: places in that array, whose last one holds the padding's zero.
    `halvings` may be set between samples: how often the learning rate has been halved.
    """

    def __init__(self, steps: list[Operation], rule: FloatRule) -> None:
        self.rule, self.steps, self.halvings = rule, steps, 0
        source = seen_through(steps[0].operands[0])
        self._places: dict[Value, int] = {source: 0}
        self._learned: set[Value] = set()
        self._rows: list[dict[str, int]] = []
        self._lanes: list[np.ndarray] = []
        self._parts: list[np.ndarray] = []
        self._end = source.type.lanes
        for op in steps:
            self._step(op)
        self.layout = np.array([[row[key] for key in LAYOUT] for row in self._rows], dtype=np.int64)
        self.limits = np.array([_limits(op) for op in steps], dtype=np.float32)
        self.lanes = np.concatenate([*(_found(lanes, self._end) for lanes in self._lanes), np.zeros(0)]).astype(
            np.int32
        )
        self._parameters = np.concatenate(self._parts).astype(np.float32)
        self._velocity = np.zeros_like(self._parameters if rule.beta else self._parameters[:0])
        self._values, self._errors = (np.zeros(self._end + 1, dtype=np.float32) for _ in range(2))
        self._gradient = np.zeros(max(row["n"] for row in self._rows), dtype=np.float32)

    def _step(self, op: Operation) -> None:
        """Lay a step out: m results of n terms at each of p positions."""
        read = [seen_through(value) for value in op.operands]
        before, function = self._places[read[0]], op.attributes.get("function", "identity")
        assert op.result is not None
        lanes = op.result.type.lanes
        row = {key: 0 for key in LAYOUT} | {"before": before, "inputs": before, "function": FUNCTIONS[function]}
        row |= {"groups": 1, "lanes": -1, "other": -1, "m": lanes, "n": 1, "p": 1}
        row |= {"parameters": sum(len(part) for part in self._parts), "handed": int(read[0] in self._learned)}
        if op.name == "nn.add_layer":
            row["kind"] = JOINT
            row["handed"] = int(any(value in self._learned for value in read))
            row["other"] = -1 if op.attributes["alone"] else self._places[read[1]]
        elif op.name == "nn.layer":
            row |= {"kind": PRODUCTS, "n": read[0].type.lanes}
        else:
            row |= self._windows(op, before)
        if row["kind"] == PRODUCTS:
            weight, bias = np.asarray(op.attributes["weight"]), np.asarray(op.attributes["bias"])
            self._parts += [weight.reshape(-1), np.broadcast_to(bias, (len(weight),))]
        if row["kind"] == PRODUCTS or row["handed"]:
            self._learned.add(op.result)
        row["out"], self._end = self._end, self._end + lanes
        self._places[op.result] = row["out"]
        self._rows.append(row)

    def _windows(self, op: Operation, before: int) -> dict[str, int]:
        """What is particular to a step with a window, whose operand lies at `before`."""
        shape, a = op.operands[0].type.shape, op.attributes
        assert op.result is not None
        window = Window.of(a, np.asarray(a["weight"]).shape[2:] if "weight" in a else None)
        views = np.stack([*window.views((before + np.arange(op.operands[0].type.lanes)).reshape(shape), -1)])
        taps, groups = len(views), a.get("groups", 1)  # views: [taps, channels, rows, columns]
        row = {"lanes": sum(listed.size for listed in self._lanes)}
        lanes: np.ndarray
        if op.name == "nn.conv_layer":
            lanes = views.reshape(taps, groups, shape[0] // groups, -1).transpose(1, 3, 2, 0)
            row |= {"kind": PRODUCTS, "m": op.result.type.shape[0], "p": lanes.shape[1], "groups": groups}
            row |= {"n": lanes.shape[2] * taps, "inputs": self._end}
            self._end += lanes.size
        else:
            lanes = views.reshape(taps, -1).T
            lanes = np.take_along_axis(lanes, np.argsort(lanes < 0, axis=1, kind="stable"), axis=1)  # padding behind
            row |= {"kind": MAXIMUM if op.name == "nn.max_pool" else MEAN, "n": taps}
            if op.name == "nn.avg_pool":
                covered = np.full(len(lanes), taps) if a["include_pad"] else (lanes >= 0).sum(axis=1)
                self._parts.append(1.0 / covered)
            lanes = np.where(lanes < 0, PADDING, lanes)
        self._lanes.append(lanes)
        return row

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Samples as [samples, lanes] float32."""
        return np.ascontiguousarray(np.asarray(x).reshape(len(x), -1), dtype=np.float32)

    def train(self, numbers: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> None:
        """As `Trainer.train`."""
        order = np.arange(len(numbers)) if order is None else order
        train(
            order.astype(np.int64), numbers, np.asarray(labels, dtype=np.int64), self.layout, self.limits, self.lanes,
            self._parameters, self._velocity, self._values, self._errors, self._gradient,
            np.float32(self.rule.rate * 2.0**-self.halvings), np.float32(self.rule.beta), LOSSES[self.rule.loss],
        )  # fmt: skip

    def accuracy(self, numbers: np.ndarray, labels: np.ndarray) -> float:
        """As `Trainer.accuracy`."""
        found = classes(numbers, self.layout, self.limits, self.lanes, self._parameters, self._values)
        return float(np.mean(found == labels))

    @property
    def state(self) -> State:
        """Parameters and velocities, float32."""
        return {"parameters": self._parameters.copy(), "velocity": self._velocity.copy()}

    @state.setter
    def state(self, state: State) -> None:
        self._parameters[:], self._velocity[:] = state["parameters"], state["velocity"]

    def layers(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Weights [m, n] and biases [m] of each step that has any, by its result's name."""
        found = {}
        for op, row in zip(self.steps, self._rows, strict=True):
            if row["kind"] == PRODUCTS:
                m, n, start = row["m"], row["n"], row["parameters"]
                parts = self._parameters[start : start + m * n], self._parameters[start + m * n : start + m * n + m]
                assert op.result is not None
                found[op.result.name] = (parts[0].reshape(m, n).copy(), parts[1].copy())
        return found


def _limits(op: Operation) -> tuple[float, float]:
    """Where a ReLU or a clip saturates."""
    if op.attributes.get("function") == "clip":
        return op.attributes["lo"], op.attributes["hi"]
    return 0.0, np.inf


def _found(lanes: np.ndarray, end: int) -> np.ndarray:
    return np.where(lanes == -1, end, lanes).reshape(-1)
