"""Weights that a BatchNormalization was folded into go back to ONNX without it; first weights of deep networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from training_nets import small_residual

from sccc.api import load
from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module, Value
from sccc.learning import seen_through
from sccc.learning_options import TrainingOptions
from sccc.ops import REGISTRY
from sccc.training import layered, new_weights, with_weights
from sccc.training_onnx import Layers, WritableModel

CIFAR = Path(__file__).parents[2] / "examples" / "cifar10"


def moved(module: Module) -> Layers:
    """Other weights and biases for each layer."""
    random, layers = np.random.default_rng(1), {}
    for op in module.ops_named("nn.layer", "nn.conv_layer"):
        assert op.result is not None
        weight, bias = (np.asarray(op.attributes[k]) for k in ("weight", "bias"))
        layers[op.result.name] = (
            weight * random.uniform(0.9, 1.1, weight.shape),
            bias + random.normal(0, 0.01, bias.shape),
        )
    return layers


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "mobilenetv2"])
def test_the_written_model_computes_what_was_trained_without_its_normalisations(name: str, tmp_path: Path) -> None:
    path = CIFAR / f"{name}_narrow.onnx"
    module = layered(load(path))
    layers, written = moved(module), tmp_path / "trained.onnx"
    written.write_bytes(WritableModel(path, module).serialized(layers))
    model = onnx.load(str(written))
    onnx.checker.check_model(model, full_check=True)
    kinds = [
        [n.op_type for n in m.graph.node if n.op_type != "BatchNormalization"] for m in (onnx.load(str(path)), model)
    ]
    assert kinds[0] == kinds[1] and len(model.graph.node) == len(kinds[1])
    x = np.random.default_rng(2).uniform(0, 1, (2, 3, 32, 32)).astype(np.float32)
    scores, before = (onnxruntime.InferenceSession(str(p)).run(None, {"image": x})[0] for p in (written, path))
    wanted = evaluate(with_weights(module, layers), x)
    assert np.abs(scores - wanted).max() < 1e-4 and np.abs(before - wanted).max() > 0.1


def test_weights_of_two_layers_are_refused_by_name(tmp_path: Path) -> None:
    model, path = onnx.load(str(CIFAR / "vgg16_narrow.onnx")), tmp_path / "shared.onnx"
    first, second = [n for n in model.graph.node if n.op_type == "Conv"][-2:]
    second.input[1] = first.input[1]
    onnx.save(model, str(path))
    with pytest.raises(SccError, match="serves more than one layer"):
        WritableModel(path, layered(load(path)))


def test_first_weights_of_deep_networks_keep_sums_from_vanishing() -> None:
    """13 convolutions with ReLU: the sums' size with the first weights that auto chooses, and with Glorot's."""
    x, most = np.random.default_rng(2).uniform(0, 1, (2, 3, 32, 32)), []
    for kind in ("auto", "glorot"):
        module = layered(load(CIFAR / "vgg16_narrow.onnx"))
        new_weights(module, 1, kind)
        most.append(np.abs(evaluate(module, x)).max())
    assert 0.1 < most[0] < 10 and most[1] < most[0] / 10


def test_the_last_layer_of_a_branch_is_smaller_and_a_shortcut_is_not() -> None:
    module = small_residual()
    new_weights(module, 1, "he")
    most = {
        op.result.name: np.abs(op.attributes["weight"]).max() for op in module.ops_named("nn.conv_layer") if op.result
    }
    assert most["pw"] < np.sqrt(3 / 4) / np.sqrt(2) < most["short"] < np.sqrt(3 / 4)
    with pytest.raises(SccError, match="option first-weights: unknown value 'large'"):
        TrainingOptions(first_weights="large")


def smooth_images(n: int, seed: int) -> np.ndarray:
    """Random colours on a grid of 4 x 4, as images of 3 x 32 x 32."""
    return np.random.default_rng(seed).uniform(0, 1, (n, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)


def sums_of_layers(module: Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer has in front of its activation, by the layer's name."""
    values: dict[Value, np.ndarray] = {}
    evaluate(module, x, lambda op, value: values.update({op.result: value} if op.result else {}))
    found = {}
    for op in module.clone().ops_named("nn.layer", "nn.conv_layer"):
        assert op.result is not None
        op.attributes["function"] = "identity"
        operand = module.value(op.operands[0].name)
        found[op.result.name] = REGISTRY[op.name].value(op, values[operand])  # type: ignore[misc]
    return found


@pytest.mark.parametrize("name", ["vgg16", "mobilenetv2"])
def test_fitted_weights_give_every_layer_sums_of_variance_1_on_other_samples(name: str) -> None:
    module, plain = (layered(load(CIFAR / f"{name}_narrow.onnx")) for _ in range(2))
    new_weights(module, 1, "lsuv", smooth_images(128, 1))
    new_weights(plain, 1, "he")
    ends = {
        op.result.name for op in module.ops_named("nn.conv_layer") if op.result and not op.attributes["weight"].any()
    }
    assert len(ends) == len(module.ops_named("nn.add_layer"))
    other, outside = smooth_images(16, 2), 0
    for layer, sums in sums_of_layers(module, other).items():
        axes = (0, *range(2, sums.ndim))
        if layer not in ends:
            assert 0.5 < sums.var(axis=axes).mean() < 2 and np.abs(sums.mean(axis=axes)).mean() < 0.5, layer
    for sums in sums_of_layers(plain, other).values():
        outside += not 0.5 < sums.var(axis=(0, *range(2, sums.ndim))).mean() < 2
    assert outside > len(ends) + 5  # the check tells weights that were not fitted


def test_a_block_with_fitted_weights_begins_as_the_identity() -> None:
    module, x = layered(load(CIFAR / "mobilenetv2_narrow.onnx")), smooth_images(4, 2)
    new_weights(module, 1, "lsuv", smooth_images(32, 1))
    values: dict[Value, np.ndarray] = {}
    evaluate(module, x, lambda op, value: values.update({op.result: value} if op.result else {}))
    for op in module.ops_named("nn.add_layer"):
        assert op.result is not None
        assert any(np.array_equal(values[op.result], values[seen_through(branch)]) for branch in op.operands)


def test_fitted_weights_are_the_same_for_a_seed_and_want_samples() -> None:
    modules = [small_residual() for _ in range(3)]
    x = np.random.default_rng(3).uniform(-1, 1, (40, 2, 6, 6))
    for module, seed in zip(modules, (1, 1, 2), strict=True):
        new_weights(module, seed, "lsuv", x)
    assert str(modules[0]) == str(modules[1]) != str(modules[2])
    with pytest.raises(SccError, match="fitted to training samples"):
        new_weights(modules[0], 1, "lsuv")
