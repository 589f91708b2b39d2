"""The yardstick: the same network and the same samples in the same order, by plain per-sample gradient descent in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.backends.simulator.training_float_kernels import LAYOUT, MAXIMUM, MEAN, PRODUCTS, classes, train
from sccc.backends.simulator.training_reference import State
from sccc.ir import Operation
from sccc.windows import Window

FUNCTIONS = {name: number for number, name in enumerate(("identity", "tanh", "sigmoid", "relu"))}
LOSSES = {name: number for number, name in enumerate(("cross-entropy", "squared-error"))}


@dataclass(frozen=True)
class FloatRule:
    """rate: the learning rate. beta: momentum v = beta v + (1 - beta) g of which rate * v is taken; 0: none."""

    rate: float
    beta: float = 0.0
    loss: str = "cross-entropy"


class FloatTrainer:
    """A chain of nn.layer, nn.conv_layer, nn.max_pool and nn.avg_pool ops in float32.

    All numbers of a sample lie in one flat array, inputs first, and so do their errors; `layout` (rows of `LAYOUT`) says where each
    step reads and writes. What a window sees is listed in `lanes`: places in that array, whose last one holds the padding's zero.
    """

    def __init__(self, steps: list[Operation], rule: FloatRule) -> None:
        self.rule, self.steps = rule, steps
        self._rows: list[dict[str, int]] = []
        self._lanes: list[np.ndarray] = []
        self._end, before = steps[0].operands[0].type.lanes, 0
        parts: list[np.ndarray] = []
        for op in steps:
            row = self._step(op, before, sum(len(part) for part in parts))
            if row["kind"] == PRODUCTS:
                bias = np.broadcast_to(np.asarray(op.attributes["bias"]), (row["m"],))
                parts += [np.asarray(op.attributes["weight"]).reshape(-1), bias]
            before = row["out"]
        self.layout = np.array([[row[key] for key in LAYOUT] for row in self._rows], dtype=np.int64)
        found = [np.where(lanes < 0, self._end, lanes).reshape(-1) for lanes in self._lanes]
        self.lanes = np.concatenate([*found, np.zeros(0)]).astype(np.int32)
        self._parameters = np.concatenate(parts).astype(np.float32)
        self._velocity = np.zeros_like(self._parameters if rule.beta else self._parameters[:0])
        self._values, self._errors = (np.zeros(self._end + 1, dtype=np.float32) for _ in range(2))
        self._gradient = np.zeros(max(row["n"] for row in self._rows), dtype=np.float32)

    def _step(self, op: Operation, before: int, parameters: int) -> dict[str, int]:
        """Lay a step out: m results of n terms at each of p positions. `before`: where its operand lies."""
        shape, a = op.operands[0].type.shape, op.attributes
        image = (before + np.arange(op.operands[0].type.lanes)).reshape(shape)
        assert op.result is not None
        row = {"parameters": parameters, "function": FUNCTIONS[a.get("function", "identity")], "lanes": -1}
        if op.name == "nn.layer":
            m, n = np.asarray(a["weight"]).shape
            row |= {"kind": PRODUCTS, "m": m, "n": n, "p": 1, "inputs": before}
        else:
            window = Window.of(a, np.asarray(a["weight"]).shape[2:] if "weight" in a else None)
            views = np.stack([*window.views(image, -1)])  # [taps, channels, rows, columns]
            row["lanes"] = sum(lanes.size for lanes in self._lanes)
            if op.name == "nn.conv_layer":
                lanes = views.transpose(2, 3, 1, 0).reshape(-1, views.shape[0] * views.shape[1])
                row |= {"kind": PRODUCTS, "m": op.result.type.shape[0], "n": lanes.shape[1], "p": lanes.shape[0]}
                row["inputs"], self._end = self._end, self._end + lanes.size
            else:
                lanes = views.transpose(1, 2, 3, 0)
                kind = MAXIMUM if op.name == "nn.max_pool" else MEAN
                row |= {"kind": kind, "m": op.result.type.lanes, "n": views.shape[0], "p": 1, "inputs": before}
            self._lanes.append(lanes)
        row["size"] = op.operands[0].type.lanes
        row["out"], self._end = self._end, self._end + op.result.type.lanes
        row["before"] = before
        self._rows.append(row)
        return row

    def numbers(self, x: np.ndarray) -> np.ndarray:
        """Samples as [samples, lanes] float32."""
        return np.ascontiguousarray(np.asarray(x).reshape(len(x), -1), dtype=np.float32)

    def train(self, numbers: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> None:
        """As `Trainer.train`."""
        order = np.arange(len(numbers)) if order is None else order
        train(
            order.astype(np.int64), numbers, np.asarray(labels, dtype=np.int64), self.layout, self.lanes,
            self._parameters, self._velocity, self._values, self._errors, self._gradient,
            np.float32(self.rule.rate), np.float32(self.rule.beta), LOSSES[self.rule.loss],
        )  # fmt: skip

    def accuracy(self, numbers: np.ndarray, labels: np.ndarray) -> float:
        """As `Trainer.accuracy`."""
        found = classes(numbers, self.layout, self.lanes, self._parameters, self._values)
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
