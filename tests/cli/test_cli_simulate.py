"""sccc simulate: its numbers are those of the float model, the ideal evaluator and the simulator, on the data asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_common import W2, edit_model, process, samples, scores, write_model
from onnx import TensorProto, helper

import sccc
from sccc.evaluate import evaluate

KEYS = ["samples", "length", "accuracy", "layers", "worst_layer", "seconds", "bit_products_per_second"]


@pytest.fixture
def measured(ok, model):
    """The JSON of a simulation of net.onnx, or of another model."""

    def call(*argv, model=model) -> dict:
        ok("simulate", model, *argv, "--kernels", "numpy", "--json", "r.json")
        return json.loads(Path("r.json").read_text())

    return call


def save(path: str, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return path


def without_times(result: dict) -> dict:
    return {key: value for key, value in result.items() if key not in KEYS[-2:]}


# -- the report -------------------------------------------------------------------------------------------------------


def test_the_json_has_exactly_the_documented_keys(measured, data):
    result = measured("--data", data, "--length", "32")
    assert list(result) == KEYS
    assert list(result["accuracy"]) == ["float", "quantized", "stream"]
    assert [layer["name"] for layer in result["layers"]] == ["fc1", "fc2"]
    assert all(
        list(layer) == ["name", "rmse_quantized", "rmse_stream", "relative", "added"] for layer in result["layers"]
    )
    assert result["worst_layer"] == max(result["layers"], key=lambda layer: layer["added"])["name"]
    assert (result["samples"], result["length"]) == (60, 32)
    assert result["seconds"] > 0
    assert result["bit_products_per_second"] == pytest.approx(60 * 32 * (30 + 15) / result["seconds"])


@pytest.mark.parametrize("command", ["simulate", "check", "report"])
@pytest.mark.parametrize("options", [(), ("--encoding", "bipolar"), ("--style", "fixed")])
def test_data_in_another_scale_than_the_input_s_are_warned_of(ok, model, command, options):
    x, y = samples()
    inside, outside = np.abs(x) / np.abs(x).max(), np.abs(x) * 255
    share = float((outside > 1).mean())
    for name, given in (("in.npz", inside), ("out.npz", outside)):
        np.savez(name, x=given[:8] if command == "check" else given, y=y[:8] if command == "check" else y)
    assert "input's range:" not in ok(command, model, "--data", "in.npz", *options).err
    assert share > 0.9
    said = ok(command, model, "--data", "out.npz", "--input-range", "1", *options).err
    assert "warning: out.npz: " in said and "of the inputs lie outside the input's range: scale" in said
    assert "input's range:" not in ok(command, model, "--data", "out.npz", "--input-range", "2000", *options).err


def test_accuracies_are_what_numpy_makes_of_the_outputs(measured, data):
    options = {"length": 16, "seed": 1}
    result = measured("--data", data, "--length", "16")
    x, y = samples()
    module = sccc.compile("net.onnx", **options)
    stream = sccc.simulate(module, x).output
    assert result["accuracy"] == {
        "float": (scores(x).argmax(axis=1) == y).mean(),
        "quantized": (evaluate(module, x).argmax(axis=1) == y).mean(),
        "stream": (stream.argmax(axis=1) == y).mean(),
    }
    assert 0.5 < result["accuracy"]["stream"] < 1.0


def test_layer_errors_are_what_numpy_makes_of_the_values(measured, data):
    result = measured("--data", data, "--length", "16")
    x, _ = samples()
    module = sccc.compile("net.onnx", length=16)
    ideal = evaluate(module, x)
    stream = sccc.simulate(module, x).output
    scale = float(module.outputs[0].attributes["scale"])
    last = result["layers"][-1]
    assert last["rmse_stream"] == pytest.approx(np.sqrt(np.mean((stream - ideal) ** 2)))
    assert last["rmse_quantized"] == pytest.approx(np.sqrt(np.mean((ideal - scores(x)) ** 2)))
    assert last["rmse_quantized"] > scale * 1e-3
    assert np.abs(scores(x)).max() < np.abs(W2).sum(axis=1).max()


def test_longer_streams_have_smaller_errors(measured, data):
    errors = [measured("--data", data, "--length", n)["layers"][-1]["rmse_stream"] for n in ("8", "64", "512")]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_tables_show_the_same_numbers(ok, model, data):
    result = ok("simulate", model, "--data", data, "--json", "r.json", "--kernels", "numpy")
    measured = json.loads(Path("r.json").read_text())
    assert "60 samples, 64 cycles" in result.out
    for name, value in measured["accuracy"].items():
        assert any(line.split()[:1] == [name] and f"{100 * value:.2f} %" in line for line in result.out.splitlines()), (
            result.out
        )
    for layer in measured["layers"]:
        assert f"{layer['rmse_stream']:.4g}" in result.out
    assert "products of bits per second" in result.out


def test_both_engines_report_the_same(ok, model, data):
    for kernels in ("numpy", "numba"):
        ok("simulate", model, "--data", data, "--kernels", kernels, "--json", f"{kernels}.json", "--flip-rate", "0.02")
    a, b = (without_times(json.loads(Path(f"{kernels}.json").read_text())) for kernels in ("numpy", "numba"))
    assert a == b


def test_there_is_no_float_accuracy_without_a_float_model(measured, ok, model, data):
    ok(model, "-o", "net.sc")
    whole, alone = measured("--data", data), measured("--data", data, model="net.sc")
    assert whole["accuracy"]["float"] == 1.0
    assert alone["accuracy"] == {**whole["accuracy"], "float": None}
    assert [layer["rmse_quantized"] for layer in alone["layers"]] == [None, None]
    assert [layer["rmse_stream"] for layer in alone["layers"]] == [layer["rmse_stream"] for layer in whole["layers"]]


def test_json_on_standard_output_stands_there_alone(ok, model, data):
    result = ok("simulate", model, "--data", data, "--kernels", "numpy", "--json", "-")
    assert list(json.loads(result.out)) == KEYS
    assert "60 samples" in result.err


@pytest.fixture
def classifier(model) -> Path:
    """net.onnx with ArgMax at its end"""

    def end(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "s"
        model.graph.node.append(helper.make_node("ArgMax", ["s"], ["y"], name="best", axis=1, keepdims=0))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["N"]))

    path = Path("classifier.onnx")
    path.write_bytes(model.read_bytes())
    edit_model(path, end)
    return path


def test_a_model_that_ends_in_argmax_is_measured_like_one_that_ends_in_scores(measured, ok, data, classifier):
    plain, classes = measured("--data", data), measured("--data", data, model=classifier)
    assert classes["accuracy"] == plain["accuracy"]
    for a, b in zip(plain["layers"], classes["layers"], strict=True):
        assert a == pytest.approx(b)
    ok(classifier, "-o", "net.sc")
    alone = measured("--data", data, model="net.sc")
    assert alone["accuracy"] == {**plain["accuracy"], "float": None}
    unknown = dict.fromkeys(("rmse_quantized", "rmse_stream", "relative", "added"))
    assert alone["layers"][-1] == {"name": "fc2", **unknown} and alone["worst_layer"] is None


@pytest.mark.parametrize("function", ["Relu", "Sigmoid", "LeakyRelu"])
@pytest.mark.parametrize("options", [(), ("--weights", "per-channel"), ("--encoding", "bipolar")])
def test_layer_errors_are_in_the_units_of_the_layer(measured, data, function, options):
    """Small against what the layers put out, so not off by a scale."""
    write_model(Path("net.onnx"), function)
    length = ("--length", "1024", "--calibrate", data, "--coverage", "1")
    for layer in measured("--data", data, *length, *options)["layers"]:
        assert layer["rmse_quantized"] < 0.06, layer
        assert layer["rmse_stream"] < 0.06, layer


# -- flips ------------------------------------------------------------------------------------------------------------


def test_flipped_bits_lower_the_accuracy_and_raise_the_errors(measured, data):
    rates = [measured("--data", data, "--flip-rate", rate) for rate in ("0", "0.05", "0.5")]
    clean, some, all_random = (r["layers"][-1]["rmse_stream"] for r in rates)
    assert clean < some < all_random
    assert rates[0]["accuracy"]["stream"] > rates[2]["accuracy"]["stream"] + 0.2
    assert len({r["accuracy"]["quantized"] for r in rates}) == 1


def test_flips_are_drawn_from_the_seed(measured, data):
    first, again = (measured("--data", data, "--flip-rate", "0.05", "--seed", "5") for _ in range(2))
    other = measured("--data", data, "--flip-rate", "0.05", "--seed", "6")
    assert without_times(first) == without_times(again)
    assert first["layers"] != other["layers"]


# -- which data -------------------------------------------------------------------------------------------------------


def test_limit_keeps_the_first_samples(measured, data):
    x, y = samples()
    first = save("first.npz", x=x[:7], y=y[:7])
    limited = measured("--data", data, "--limit", "7")
    assert limited["samples"] == 7
    assert without_times(limited) == without_times(measured("--data", first))
    assert measured("--data", data, "--limit", "1000")["samples"] == 60


def test_split_says_which_samples_are_measured(measured):
    x, y = samples()
    both = save("both.npz", x_test=x[:20], y_test=y[:20], x_train=x[20:], y_train=(y[20:] + 1) % 3)
    test, train = measured("--data", both), measured("--data", both, "--split", "train")
    assert (test["samples"], train["samples"]) == (20, 40)
    assert test["accuracy"]["float"] == 1.0
    assert train["accuracy"]["float"] == 0.0


def test_a_named_split_comes_before_plain_x(measured):
    x, y = samples()
    both = save("both.npz", x=x, y=y, x_train=x[:5], y_train=y[:5])
    assert measured("--data", both)["samples"] == 60
    assert measured("--data", both, "--split", "train")["samples"] == 5


def test_training_samples_in_the_file_calibrate_unless_others_are_named(ok, model):
    x, y = samples()
    both = save("both.npz", x_test=x, y_test=y, x_train=2 * x, y_train=y)
    save("other.npz", x=3 * x)
    quiet = ok("simulate", model, "--data", both, "--kernels", "numpy", "--json", "a.json")
    assert quiet.err == ""
    ok("simulate", model, "--data", both, "--calibrate", "other.npz", "--kernels", "numpy", "--json", "b.json")
    assert "no calibration data" in ok("simulate", model, "--data", both, "--split", "train", "--kernels", "numpy").err
    a, b = (json.loads(Path(name).read_text())["layers"] for name in ("a.json", "b.json"))
    assert a != b


def test_uint8_is_scaled_by_1_255(measured):
    pixels = np.random.default_rng(8).integers(0, 256, (30, 6), dtype=np.uint8)
    y = scores(pixels / 255).argmax(axis=1)
    scaled = measured("--data", save("u8.npz", x=pixels, y=y))
    assert scaled["accuracy"]["float"] == 1.0
    reals = (pixels / np.float32(255)).astype(np.float32)
    assert without_times(scaled) == without_times(measured("--data", save("f4.npz", x=reals, y=y)))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.bool_])
def test_numbers_of_other_types_are_taken_as_they_are(measured, dtype):
    x = (np.random.default_rng(9).random((20, 6)) > 0.5).astype(dtype)
    y = scores(x.astype(np.float64)).argmax(axis=1)
    assert measured("--data", save("d2.npz", x=x, y=y))["accuracy"]["float"] == 1.0


@pytest.mark.parametrize("shape", [(60, 2, 3), (60, 1, 6), (60, 6, 1, 1)])
def test_samples_are_reshaped_when_the_number_of_elements_fits(measured, data, shape):
    x, y = samples()
    reshaped = save("r.npz", x=x.reshape(shape), y=y)
    assert without_times(measured("--data", reshaped)) == without_times(measured("--data", data))


def test_classes_may_stand_in_a_column(measured, data):
    x, y = samples()
    assert measured("--data", save("c.npz", x=x, y=y[:, None]))["accuracy"]["float"] == 1.0


# -- as a process -----------------------------------------------------------------------------------------------------


def test_nothing_but_the_report_is_shown_when_piped(data):
    write_model(Path("net.onnx"))
    result = process("simulate", "net.onnx", "--data", data, "--calibrate", data, "--kernels", "numpy")
    assert result.code == 0
    assert result.err == ""
    assert "\x1b" not in result.out
    assert "\r" not in result.out
    assert "simulating" not in result.out
