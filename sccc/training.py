"""Training of a network: by gradient counters as on chip, by their rivals, or by float gradient descent.

All rules start from the same weights and meet the same samples in the same order, so that accuracies compare.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sccc.backends.simulator.training import Trainer
from sccc.backends.simulator.training_float import FloatRule, FloatTrainer
from sccc.data import Data
from sccc.diagnostics import Location, SccError
from sccc.files import write_files
from sccc.ir import Module, Operation
from sccc.learning_options import COUNTER_RULES, TrainingOptions
from sccc.passes import PassContext, run_passes
from sccc.passes.fold_constants import FoldConstants
from sccc.passes.fuse_layers import FuseLayers
from sccc.passes.insert_gradient_counters import InsertGradientCounters
from sccc.passes.trainable import WEIGHTED, Trainable, read_trainable
from sccc.training_weights import new_weights

CHUNK = 1000
"""Samples between two reports of progress."""

LONG_RUN = 200_000
"""Samples, of all epochs, from which one kernel for all, a third faster, makes up for its compilation (LeNet: 20 s)."""

CALIBRATION = 2000
"""Training samples on which the input's range is measured."""

Progress = Callable[[int, int, str], None]
"""Told the samples done, those of all epochs, and the accuracy as text."""


@dataclass
class TrainingResult:
    """`layers`: trained weights [outputs, inputs] and biases of each nn.layer, by the layer's name. seconds: without compiling the
    kernels; those of stopped runs are in it."""

    options: TrainingOptions
    epochs: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    layers: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        return self.epochs[-1]["accuracy"]

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return {
            **asdict(self.options),
            "epochs": self.epochs,
            "accuracy": self.accuracy,
            "seconds": round(self.seconds, 3),
        }


class _Learner(Protocol):
    """What `Trainer` and `FloatTrainer` have in common. halvings: how often the step, or learning rate, has been halved."""

    halvings: int

    def numbers(self, x: np.ndarray) -> np.ndarray: ...
    def train(self, numbers: np.ndarray, labels: np.ndarray, order: np.ndarray | None = None) -> None: ...
    def accuracy(self, numbers: np.ndarray, labels: np.ndarray) -> float: ...
    @property
    def state(self) -> dict[str, np.ndarray]: ...
    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None: ...


def layered(model: Module) -> Module:
    """The model as layers, which are what is trained. Raises SccError for what has no layer form."""
    if model.ops_named(*WEIGHTED):
        return model.clone()
    return run_passes(model.clone(), [FoldConstants(), FuseLayers()], PassContext())


def train(
    module: Module,
    samples: Data,
    test: Data,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train a module of `layered` on samples, with the accuracy on `test` after every epoch.

    With a checkpoint the state is kept there after every epoch; a run that finds one of its own goes on behind it, and ends as if
    it had never stopped. Raises SccError for data without classes or a foreign checkpoint.
    """
    network = read_trainable(module)
    _check_classes(network, samples, test)
    learner, numbers, test_numbers = _prepared(module, network, samples.x, test.x, options)
    assert samples.y is not None and test.y is not None
    labels, test_labels = samples.y.astype(np.int64), test.y.astype(np.int64)
    result = TrainingResult(options)
    fingerprint = _fingerprint(module, options, numbers, labels) if checkpoint else ""
    if checkpoint is not None and checkpoint.exists():
        _resume(checkpoint, fingerprint, learner, result)
    _compile_kernels(learner, numbers, labels)
    total = options.epochs * len(numbers)
    for epoch in range(len(result.epochs), options.epochs):
        started = time.perf_counter()
        learner.halvings = options.halved(epoch)
        order = np.random.default_rng([options.seed, epoch]).permutation(len(numbers))
        for i in range(0, len(order), CHUNK):
            learner.train(numbers, labels, order[i : i + CHUNK])
            if progress is not None:
                last = f"{100 * result.accuracy:.2f} %" if result.epochs else ""
                progress(epoch * len(numbers) + min(i + CHUNK, len(order)), total, last)
        result.epochs.append({"epoch": epoch + 1, "accuracy": learner.accuracy(test_numbers, test_labels)})
        result.seconds += time.perf_counter() - started
        if checkpoint is not None:
            _keep(checkpoint, fingerprint, learner, result)
    result.layers = _trained_layers(network, learner)
    return result


def _check_classes(network: Trainable, samples: Data, test: Data) -> None:
    last = network.layers[-1].result
    assert last is not None
    for name, data in (("training", samples), ("test", test)):
        if data.y is None or data.y.dtype.kind not in "iub":
            raise SccError(f"the {name} data holds no classes", advice="one whole number per sample is wanted")
        if data.y.min() < 0 or data.y.max() >= last.type.lanes:
            raise SccError(
                f"the {name} data's classes lie in {data.y.min()} .. {data.y.max()}, and the network tells "
                f"{last.type.lanes} apart",
                advice=f"classes must lie in 0 .. {last.type.lanes - 1}",
            )


def _prepared(
    module: Module, network: Trainable, x: np.ndarray, test: np.ndarray, options: TrainingOptions
) -> tuple[_Learner, np.ndarray, np.ndarray]:
    """The learner, and both sets of samples in its form."""
    if options.rule in COUNTER_RULES:
        kernels = "numba" if options.epochs * len(x) >= LONG_RUN else "kinds"
        trainer = Trainer(training_module(module, options, x), kernels)
        return trainer, trainer.numbers(x), trainer.numbers(test)
    beta = 1.0 - 2.0**-options.decay_bits if options.rule == "float-momentum" else 0.0
    learner = FloatTrainer(network.steps, FloatRule(2.0**-options.step_bits, beta, options.loss))
    both = [learner.numbers((d.reshape(len(d), -1) - network.offset) / network.scale) for d in (x, test)]
    return learner, both[0], both[1]


def training_module(module: Module, options: TrainingOptions, x: np.ndarray) -> Module:
    """The training module of a layered one; the input's range is measured on x."""
    counters = InsertGradientCounters(**options.counters(), random_seed=options.seed)
    return run_passes(module.clone(), [counters], PassContext(calibration=x[:CALIBRATION]))


def _compile_kernels(learner: _Learner, numbers: np.ndarray, labels: np.ndarray) -> None:
    """Call everything once on nothing, so that compiling is not in the measured time."""
    state = learner.state
    learner.train(numbers, labels, np.zeros(1, dtype=np.int64))
    learner.accuracy(numbers[:1], labels[:1])
    learner.state = state


def _trained_layers(network: Trainable, learner: _Learner) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = learner.layers() if isinstance(learner, FloatTrainer) else {}
    state = learner.state
    for op in network.layers:
        assert op.result is not None
        name, shape = op.result.name, np.asarray(op.attributes["weight"]).shape
        if isinstance(learner, Trainer):
            parts = []
            for suffix in ("w", "b"):
                register = learner.module.value(f"{name}_{suffix}")
                parts.append(state[register.name] / 2.0**register.type.bits)  # type: ignore[attr-defined]
            found[name] = (parts[0], parts[1])
        found[name] = (found[name][0].reshape(shape), found[name][1])
    return found


def with_weights(module: Module, layers: dict[str, tuple[np.ndarray, np.ndarray]]) -> Module:
    """The module with trained weights in its layers."""
    changed = module.clone()
    for name, (weight, bias) in layers.items():
        op: Operation | None = changed.value(name).op
        assert op is not None
        op.attributes["weight"], op.attributes["bias"] = weight.astype(np.float64), bias.astype(np.float64)
    return changed


# -- checkpoints ----------------------------------------------------------------------------------------------------------


def _fingerprint(module: Module, options: TrainingOptions, numbers: np.ndarray, labels: np.ndarray) -> str:
    """What a run depends on, but for the number of epochs."""
    digest = hashlib.sha256()
    plain = {k: v for k, v in asdict(options).items() if k != "epochs"}
    digest.update(json.dumps(plain, sort_keys=True).encode())
    digest.update(str(module).encode())
    for array in (numbers, labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _keep(path: Path, fingerprint: str, learner: _Learner, result: TrainingResult) -> None:
    stream = io.BytesIO()
    facts = {"fingerprint": fingerprint, "epochs": result.epochs, "seconds": result.seconds}
    np.savez_compressed(stream, facts=np.array(json.dumps(facts)), **learner.state)  # type: ignore[arg-type]
    write_files({path: stream.getvalue()})


def _resume(path: Path, fingerprint: str, learner: _Learner, result: TrainingResult) -> None:
    place = Location(file=str(path), option="--checkpoint")
    try:
        with np.load(path, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            state = {name: archive[name] for name in archive.files if name != "facts"}
        epochs, seconds, kept = facts["epochs"], float(facts["seconds"]), facts["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SccError("no checkpoint of a training, or a damaged one", place, "delete it, or name another") from error
    if kept != fingerprint:
        raise SccError(
            "the checkpoint is one of another model, data or options", place, "delete it, or name another file"
        )
    learner.state = state
    result.epochs, result.seconds = epochs[: result.options.epochs], seconds
    if len(epochs) > result.options.epochs:
        raise SccError(f"the checkpoint has {len(epochs)} epochs already", place, "ask for at least as many")


__all__ = [
    "TrainingOptions",
    "TrainingResult",
    "layered",
    "new_weights",
    "train",
    "training_module",
    "with_weights",
]
