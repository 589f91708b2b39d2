"""Models as PyTorch, scikit-learn and Keras exporters write them compute what the exported model computes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.frontend import load_onnx

MODELS = Path(__file__).parent / "models"


@pytest.mark.parametrize("exporter", ["legacy", "dynamo", "fixed"])
@pytest.mark.parametrize("name", ["mlp", "normed", "viewed"])
def test_pytorch_models_compute_what_pytorch_computed(name, exporter):
    """Both exporters; dynamo keeps its weights beside the model, `fixed` has a batch of one."""
    data = np.load(MODELS / f"{name}.npz")
    module = load_onnx(MODELS / f"{name}_{exporter}.onnx")
    np.testing.assert_allclose(evaluate(module, data["x"]), data["y"], atol=1e-6)


@pytest.fixture(scope="module")
def digits():
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    return x.astype(np.float32)[:300], y[:300]


def export(model, x: np.ndarray, path: Path, **options) -> Path:
    from skl2onnx import to_onnx

    path.write_bytes(to_onnx(model, x[:1], **options).SerializeToString())
    return path


def fitted(model, x: np.ndarray, y: np.ndarray):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x, y)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_scikit_learn_classifiers_end_with_their_scores(digits, tmp_path, activation, zipmap):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = digits
    network = MLPClassifier((8,), activation=activation, max_iter=3, random_state=0)
    model = fitted(make_pipeline(StandardScaler(), network), x, y)
    module = load_onnx(export(model, x, tmp_path / "model.onnx", options={"zipmap": zipmap}))
    scores = evaluate(module, x)
    np.testing.assert_allclose(scores, model.predict_proba(x), atol=1e-5)
    np.testing.assert_array_equal(model.classes_[scores.argmax(axis=1)], model.predict(x))
    assert module.outputs[0].attributes["name"] == ("output_probability" if zipmap else "probabilities")


@pytest.mark.parametrize("zipmap", [True, False])
def test_scikit_learn_classifiers_of_two_classes_end_with_the_probability_of_the_second(digits, tmp_path, zipmap):
    from sklearn.neural_network import MLPClassifier

    x, y = digits
    model = fitted(MLPClassifier((8,), max_iter=3, random_state=0), x / 16, y % 2)
    module = load_onnx(export(model, x, tmp_path / "model.onnx", options={"zipmap": zipmap}))
    assert module.ops[-2].name == "nn.sigmoid"
    np.testing.assert_allclose(evaluate(module, x / 16)[:, 0], model.predict_proba(x / 16)[:, 1], atol=1e-5)


def test_scikit_learn_classifiers_with_text_labels_or_several_labels(digits, tmp_path):
    from sklearn.neural_network import MLPClassifier

    x, y = digits
    texts = np.array([f"digit {label}" for label in y])
    model = fitted(MLPClassifier((8,), max_iter=3, random_state=0), x, texts)
    module = load_onnx(export(model, x, tmp_path / "text.onnx"))
    np.testing.assert_allclose(evaluate(module, x), model.predict_proba(x), atol=1e-5)
    model = fitted(MLPClassifier((8,), max_iter=3, random_state=0), x, np.stack([y % 2, y % 3 == 0], 1))
    module = load_onnx(export(model, x, tmp_path / "several.onnx", options={"zipmap": False}))
    np.testing.assert_allclose(evaluate(module, x), model.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize("scaler", ["StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler"])
def test_scikit_learn_regressors_behind_scalers(digits, tmp_path, scaler):
    from sklearn import preprocessing
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline

    x, y = digits
    network = MLPRegressor(hidden_layer_sizes=(8, 4), max_iter=3, random_state=0)
    model = fitted(make_pipeline(getattr(preprocessing, scaler)(), network), x, y.astype(float))
    module = load_onnx(export(model, x, tmp_path / "model.onnx"))
    np.testing.assert_allclose(evaluate(module, x)[:, 0], model.predict(x), rtol=1e-4, atol=1e-4)


def test_scikit_learn_outputs_by_column_are_refused(digits, tmp_path):
    from sklearn.neural_network import MLPClassifier

    x, y = digits
    model = fitted(MLPClassifier((8,), max_iter=1, random_state=0), x, y)
    with pytest.raises(SccError, match="node 'Slice': Slice: its input 'out_activations_result' comes from Softmax"):
        load_onnx(export(model, x, tmp_path / "model.onnx", options={"zipmap": "columns"}))


def keras(g):
    """A classifier as tf2onnx writes it: dense layers as MatMul and Add, names with slashes and colons."""
    g.node("Identity", name="sequential/Cast", outputs=["sequential/Cast:0"])
    g.node("Shape", name="sequential/flatten/Shape")
    g.node("Cast", to=TensorProto.INT32)
    g.node("Slice", g.last, *(g.const([n], np.int64) for n in (0, 1, 0)), name="sequential/flatten/strided_slice")
    g.node("Concat", g.last, g.const([12], np.int32), axis=0, name="sequential/flatten/Reshape/shape")
    g.node("Cast", to=TensorProto.INT64)
    g.node("Reshape", "sequential/Cast:0", g.last, name="sequential/flatten/Reshape")
    for layer, (inputs, outputs, activation) in enumerate([(12, 8, "Relu"), (8, 6, "Tanh"), (6, 3, "Softmax")]):
        name = f"sequential/dense_{layer}"
        g.node("MatMul", g.last, g.weight(inputs, outputs), name=f"{name}/MatMul", outputs=[f"{name}/MatMul:0"])
        g.node("Add", g.last, g.weight(outputs), name=f"{name}/BiasAdd", outputs=[f"{name}/BiasAdd:0"])
        g.node(activation, name=f"{name}/{activation}", outputs=[f"{name}/{activation}:0"])
        if layer == 0:
            normal = [g.const(np.linspace(0.5, 1.5, outputs), np.float32) for _ in range(4)]
            g.node("Mul", g.last, normal[0], name="sequential/batch_normalization/batchnorm/mul_1")
            g.node("Add", g.last, normal[1], name="sequential/batch_normalization/batchnorm/add_1")
    g.node("Identity", name="Identity", outputs=["Identity:0"])
    return g


def test_keras_models_as_tf2onnx_writes_them(graph):
    g = keras(graph(opset=13, shape=("unk__12", 3, 4), input="flatten_input:0"))
    module = g.check()
    assert module.ops[-2].name == "nn.softmax"
    assert "sequential/dense_0/MatMul" in [op.origin for op in module]


def test_keras_images_are_transposed_to_channels_first_and_back(graph):
    g = graph(opset=13, shape=("unk__12", 4, 4, 1), input="image")
    g.node("Transpose", perm=[0, 3, 1, 2])
    g.node("Squeeze", g.last, g.const([1], np.int64))
    g.node("Reshape", g.last, g.const([-1, 16], np.int64))
    g.node("MatMul", g.last, g.weight(16, 2))
    g.check()


def test_every_version_of_an_exported_model_gives_the_same_network(tmp_path):
    """onnx's own converter moves a PyTorch model through the opsets."""
    data = np.load(MODELS / "viewed.npz")
    model = onnx.load(MODELS / "viewed_legacy.onnx")
    for opset in range(20, onnx.defs.onnx_opset_version() + 1):
        path = tmp_path / f"{opset}.onnx"
        onnx.save(onnx.version_converter.convert_version(model, opset), path)
        np.testing.assert_allclose(evaluate(load_onnx(path), data["x"]), data["y"], atol=1e-6)
