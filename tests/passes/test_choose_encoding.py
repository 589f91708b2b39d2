"""choose-encoding: auto takes what varies least; what cannot work is refused with its layer and a way out."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Spec, build, data, lower

from sccc.diagnostics import SccError
from sccc.passes.choose_encoding import predicted_variance
from sccc.types import Encoding

PIPELINE = "fold-constants,fuse-layers,quantize,choose-encoding"


def chosen(spec: Spec, calibration=None, layers=None, pipeline: str = PIPELINE, **options):
    return lower(build(spec), options, calibration, pipeline, layers).ops_named("nn.layer")


def encodings(layers) -> list[tuple[str, str]]:
    return [(op.attributes["x_encoding"], op.attributes["w_encoding"]) for op in layers]


def test_auto_takes_the_smaller_predicted_variance():
    for seed in range(5):
        spec = Spec((9, 8, 3), "tanh", seed=seed, negative_inputs=seed % 2 > 0)
        for op in chosen(spec, data(spec, 30)):
            natural = Encoding.SIGNED if op.attributes["in_signed"] else Encoding.UNIPOLAR
            variances = {w: predicted_variance(op, natural, w) for w in (Encoding.SIGNED, Encoding.BIPOLAR)}
            assert op.attributes["w_encoding"] == min(variances, key=variances.get).value


def test_the_predicted_variance_is_that_of_independent_bits():
    """Against drawn bits: a lane is a product of numbers."""
    rng = np.random.default_rng(0)
    op = chosen(Spec((6, 4, 3), "tanh", seed=1))[0]
    weight = np.clip(op.attributes["weight"] / op.attributes["weight_scale"], -1, 1)
    draws = rng.random((2, 40000, 1, 6))
    for w, x_bits, w_bits in (
        (Encoding.SIGNED, draws[0] < 0.5, np.sign(weight) * (rng.random((40000, 4, 6)) < np.abs(weight))),
        (Encoding.BIPOLAR, 2 * (draws[0] < 0.75) - 1, 2 * (rng.random((40000, 4, 6)) < (weight + 1) / 2) - 1),
    ):
        counts = (x_bits * w_bits).sum(axis=2)
        assert predicted_variance(op, Encoding.UNIPOLAR, w) == pytest.approx(counts.var(axis=0).mean(), rel=0.05)


@pytest.mark.parametrize(
    ("encoding", "negative", "expected"),
    (("bipolar", False, ("bipolar", "bipolar")), ("bipolar", True, ("bipolar", "bipolar")),
     ("signed", False, ("unipolar", "signed")), ("signed", True, ("signed", "signed"))),
)  # fmt: skip
def test_what_is_asked_for_is_done(encoding, negative, expected):
    spec = Spec((4, 5, 3), "relu", negative_inputs=negative)
    assert encodings(chosen(spec, data(spec, 30), encoding=encoding))[0] == expected


def test_unipolar_where_nothing_is_negative():
    spec = Spec((4, 5, 3), "sigmoid", positive=True)
    assert encodings(chosen(spec, data(spec, 30), encoding="unipolar")) == [("unipolar", "unipolar")] * 2


@pytest.mark.parametrize(
    ("positive", "negative", "what"),
    ((False, True, "weights and inputs"), (True, True, "inputs"), (False, False, "weights")),
)
def test_unipolar_refuses_negative_numbers_of_every_layer(positive, negative, what):
    spec = Spec((4, 5, 3), "relu", positive=positive, negative_inputs=negative)
    with pytest.raises(SccError) as caught:
        chosen(spec, data(spec, 30), encoding="unipolar")
    assert caught.value.diagnostics[0].message == f"unipolar streams cannot hold negative {what}"
    assert caught.value.diagnostics[0].location.node == "/fc0/Gemm"
    assert len(caught.value.diagnostics) == (1 if positive else 2)


@pytest.mark.parametrize("function", ("leaky_relu", "clip", "hard_sigmoid"))
def test_streaming_refuses_what_no_state_machine_computes(function):
    with pytest.raises(SccError, match=f"no state machine for the activation '{function}'") as caught:
        chosen(Spec((4, 5, 5, 3), function), style="streaming")
    assert [d.location.node for d in caught.value.diagnostics][:2] == ["/fc0/Gemm", "/fc1/Gemm"]
    assert "tanh, sigmoid, relu" in caught.value.diagnostics[0].advice


def test_streaming_gives_each_machines_encoding_to_the_next_layer():
    for function, encoding in (("tanh", "bipolar"), ("sigmoid", "unipolar"), ("relu", "unipolar")):
        layers = chosen(Spec((4, 5, 5, 3), function), style="streaming")
        assert [op.attributes["style"] for op in layers] == ["streaming", "streaming", "accumulate"]
        assert [x for x, _ in encodings(layers)[1:]] == [encoding] * 2


def test_a_bipolar_layer_cannot_follow_a_unipolar_machine():
    with pytest.raises(SccError, match="gives a unipolar stream"):
        chosen(Spec((4, 5, 3), "relu"), style="streaming", encoding="bipolar")


def test_a_streaming_relu_counts_in_whole_numbers():
    spec = Spec((6, 5, 3), "relu")
    op, after = chosen(spec, data(spec, 30), style="streaming")
    threshold = op.attributes["out_scale"] / (op.attributes["in_scale"] * op.attributes["weight_scale"])
    assert threshold == pytest.approx(round(threshold)) and after.attributes["in_scale"] == op.attributes["out_scale"]


def test_lengths_must_agree_where_streams_are_handed_over():
    layers = {"fc1": {"length": 32}}
    with pytest.raises(SccError, match="length 32 differs from the 64"):
        chosen(Spec((4, 5, 3)), layers=layers, style="streaming")
    accumulated = chosen(Spec((4, 5, 3)), layers=layers)
    assert [op.attributes["length"] for op in accumulated] == [64, 32]
    assert [op.attributes["bits"] for op in accumulated] == [6, 5]


def test_auto_accumulates():
    assert {op.attributes["style"] for op in chosen(Spec((4, 5, 3)))} == {"accumulate"}


@pytest.mark.parametrize(("length", "bits"), ((1, 3), (8, 3), (9, 4), (33, 6), (64, 6), (65, 7)))
def test_bits_follow_from_the_length(length, bits):
    assert chosen(Spec((4, 3)), length=length)[0].attributes["bits"] == bits
    assert chosen(Spec((4, 3)), length=length, bits=5)[0].attributes["bits"] == 5
