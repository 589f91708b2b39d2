"""naive evaluator == simulator (both engines) == RTL in Icarus: every value, lane and cycle, on many small networks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Spec, build, compiled, data, lower, one_layer
from three_way import assert_same

from sccc.backends.simulator import simulate
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding

ENCODINGS = ("signed", "bipolar", "unipolar", "auto")
ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "clip", "hard_sigmoid", "identity")
STREAMED = ("tanh", "sigmoid", "relu")
SOURCES = (("sobol", "auto"), ("lfsr", "none"), ("ramp", "auto"), ("sobol", "none"), ("lfsr", "auto"))
LENGTHS = (16, 33, 20, 8, 64, 3, 1)
ENDS = ("none", "argmax", "softmax", "relu", "tanh", "hard_sigmoid")


def legal(style: str, encoding: str, activation: str) -> bool:
    if style == "streaming" and encoding == "bipolar":
        return activation == "tanh"
    return encoding != "unipolar" or activation not in ("tanh", "leaky_relu")


def specs() -> list[Spec]:
    """Each style with each encoding and activation, three times, with everything else varied from one to the next."""
    found = []
    kinds = [("accumulate", a) for a in ACTIVATIONS] + [("streaming", a) for a in STREAMED]
    for (style, activation), encoding, _ in itertools.product(kinds, ENCODINGS, range(2)):
        if not legal(style, encoding, activation):
            continue
        k = len(found)
        rng = np.random.default_rng(k)
        source, sharing = SOURCES[k % len(SOURCES)]
        options = {
            "style": style, "encoding": encoding, "source": source, "sharing": sharing, "length": LENGTHS[k % 7],
            "bits": int(rng.choice([0, 0, 4, 7])), "weights": ("per-tensor", "per-channel")[k % 2],
            "scales": ("any", "power-of-two")[k // 2 % 2], "seed": k,
        }  # fmt: skip
        sizes = tuple(int(v) for v in rng.integers(1, 10, 3 + (k % 4 == 0)))
        positive = encoding == "unipolar"
        found.append(Spec(sizes, activation, ENDS[k % 6], options, not positive and k % 3 == 0, positive, k % 5 > 0, k))
    return found


def name(spec: Spec) -> str:
    o = spec.options
    return "-".join(map(str, (o["style"], o["encoding"], spec.activation, o["source"], o["sharing"], o["length"])))


@pytest.mark.parametrize("spec", specs(), ids=name)
def test_every_value_of_every_kind_of_network(spec):
    assert_same(compiled(spec), data(spec))


@st.composite
def random_specs(draw: st.DrawFn) -> Spec:
    style = draw(st.sampled_from(("accumulate", "streaming")))
    activation = draw(st.sampled_from(STREAMED if style == "streaming" else ACTIVATIONS))
    encoding = draw(st.sampled_from([e for e in ENCODINGS if legal(style, e, activation)]))
    source, sharing = draw(st.sampled_from(SOURCES))
    options = {
        "style": style, "encoding": encoding, "source": source, "sharing": sharing,
        "length": draw(st.integers(1, 70)), "bits": draw(st.sampled_from((0, 2, 5, 8))),
        "weights": draw(st.sampled_from(("per-tensor", "per-channel"))),
        "scales": draw(st.sampled_from(("any", "power-of-two"))),
    }  # fmt: skip
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=4)))
    positive = encoding == "unipolar"
    negative = not positive and draw(st.booleans())
    end = draw(st.sampled_from(ENDS[:4] if positive else ENDS))
    return Spec(sizes, activation, end, options, negative, positive, draw(st.booleans()), draw(st.integers(0, 99)))


@settings(max_examples=40)
@given(random_specs(), st.booleans())
def test_any_network(spec, calibrated):
    assert_same(compiled(spec, calibrated or spec.positive), data(spec))


MACHINES = (
    ("sc.accumulate", {"initial": np.array([5, -70, 0])}),
    ("sc.btanh", {"states": np.array([2, 6, 40])}),
    ("sc.sigmoid", {"states": 8}),
    ("sc.relu", {"threshold": np.array([1, 2, 9]), "depth": np.array([0, 3, 50])}),
)
PAIRS = (
    ({"index": 0}, {"index": 15}),
    ({"kind": "ramp"}, {"index": 0}),
    ({"kind": "lfsr", "index": 3, "width": 9}, {"kind": "lfsr", "index": np.array([[7], [8], [9]]), "width": 9}),
    ({"kind": "scrambled", "index": 16 * np.arange(4)}, {"kind": "scrambled", "index": 16 * np.arange(12).reshape(3, 4) + 1}),
)  # fmt: skip


@pytest.mark.parametrize("bias", (None, (np.array([-2, 0, 3]), np.array([0, -5, 32]))), ids=("", "bias"))
@pytest.mark.parametrize("pair", PRODUCTS, ids=lambda pair: "-".join(e.value for e in pair))
def test_every_multiplier_with_every_machine_and_every_source(pair, bias):
    """Also those that no pass chooses: the levels hold both ends, both signs and both zeros."""
    x, w = pair
    levels = np.array([[32, 0, 7, 1], [31, -32, -3, 0], [0, 0, 0, 0]])
    levels = np.clip(levels, w.minimum_level(5), 32)
    data = np.array([[1.0, -1.0, 0.3, 0.0], [-0.4, 0.9, 0.03, -0.7]])
    number = list(PRODUCTS).index(pair) + (bias is not None)
    for k, machine in enumerate(MACHINES):
        assert_same(one_layer(x.value, w.value, levels, 40, 5, machine, PAIRS[(number + k) % 4], bias), data)


@pytest.mark.parametrize("style", ("accumulate", "streaming"))
@pytest.mark.parametrize("encoding", ("signed", "bipolar"))
@pytest.mark.parametrize("what", ("weights", "biases", "both", "last"))
def test_layers_that_count_nothing(style, encoding, what):
    """Zero weights are no hardware at all, so that nothing in the netlist moves; it must come to life all the same."""
    module = build(Spec((3, 4, 2), "tanh", seed=4))
    for op in module.ops_named("nn.dense")[1 if what == "last" else 0 :]:
        for name in {"weights": ["weight"], "biases": ["bias"]}.get(what, ["weight", "bias"]):
            op.attributes[name] = np.zeros_like(op.attributes[name])
    options = {"style": style, "encoding": encoding, "length": 12}
    assert_same(lower(module, options), np.array([[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]))


@pytest.mark.parametrize("style", ("accumulate", "streaming"))
def test_whole_biases_beside_no_weights(style):
    """A bias that is a whole count has no fraction: its stream is all zeros."""
    module = build(Spec((3, 4, 2), "tanh", seed=4))
    first = module.ops_named("nn.dense")[0]
    first.attributes |= {"weight": np.zeros((4, 3)), "bias": np.array([1.0, -1.0, 2.0, 0.0])}
    assert_same(lower(module, {"style": style, "length": 12}), np.array([[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]))


def test_samples_do_not_depend_on_the_ones_before_them():
    """Every window restarts the sources and the state machines: the same input twice gives the same bits."""
    for style, source in (("accumulate", "lfsr"), ("streaming", "lfsr"), ("streaming", "sobol")):
        spec = Spec((4, 5, 3), "tanh", "none", {"style": style, "source": source, "length": 24}, samples=4)
        module, x = compiled(spec), data(spec)[[2, 0, 2, 1, 2]]
        assert_same(module, x)
        trace = simulate(module, x, trace="all").trace
        for name, value in trace.items():
            assert np.array_equal(value[0], value[2]) and np.array_equal(value[0], value[4]), name


def test_the_naive_evaluator_knows_each_encoding():
    assert (
        {e.value for pair in PRODUCTS for e in pair} == {e.value for e in Encoding} == {"unipolar", "bipolar", "signed"}
    )
