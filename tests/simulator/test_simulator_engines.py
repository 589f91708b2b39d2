"""The two engines give the same bits, whatever the layer; a kernel that computes something else is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sccc.backends.simulator import fused, simulate, steps
from sccc.cells import Product
from sccc.expr import Var
from sccc.ops import REGISTRY
from sccc.ops.arithmetic import PRODUCTS
from sccc.types import Encoding

UNIPOLAR, BIPOLAR, SIGNED = Encoding.UNIPOLAR, Encoding.BIPOLAR, Encoding.SIGNED
MACHINES = ("accumulate", "btanh", "sigmoid", "relu")
PRODUCT_NAMES = {"-".join(e.value for e in pair): pair for pair in PRODUCTS}

quick = settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
shapes = st.fixed_dictionaries(
    {
        "sources": st.sampled_from(("sobol", "masked", "lfsr", "scrambled", "ramp")),
        "n": st.sampled_from((1, 5, 64)),
        "m": st.sampled_from((1, 3, 66)),
        "length": st.sampled_from((1, 5, 48, 64, 65, 100)),
        "bits": st.sampled_from((3, 6)),
        "offset": st.booleans(),
        "seed": st.integers(0, 999),
    }
)


def assert_engines_agree(module, x, **options):
    """Both engines' raw outputs, and all their traces of values that are not fused away."""
    fast = simulate(module, x, kernels="numba", **options)
    slow = simulate(module, x, kernels="numpy", **options)
    assert np.array_equal(fast.raw, slow.raw)
    assert np.array_equal(fast.output, slow.output)
    assert fast.trace.keys() == slow.trace.keys()
    for name, values in slow.trace.items():
        assert values.dtype == fast.trace[name].dtype
        assert np.array_equal(values, fast.trace[name]), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("product", PRODUCT_NAMES)
def test_one_layer(build, make_net, product, machine):
    @quick
    @given(shape=shapes, samples=st.sampled_from((1, 3, 9)))
    def check(shape, samples):
        net = make_net(*PRODUCT_NAMES[product], machine, **shape)
        assert_engines_agree(build(net), net.data(samples), trace=["xs", "y"])

    check()


@pytest.mark.parametrize("product", ((SIGNED, SIGNED), (BIPOLAR, SIGNED), (UNIPOLAR, BIPOLAR)))
@pytest.mark.parametrize("machine", ("accumulate", "btanh"))
def test_more_lanes_than_a_word_has_bits(build, make_net, product, machine):
    net = make_net(*product, machine, n=130, m=65, length=65)
    assert_engines_agree(build(net), net.data(5))


X, W, WS = Var("x"), Var("w"), Var("ws")
OTHER_PRODUCTS = {
    "two counts, ones in padding": Product(bit=X | ~W, neg=X ^ W),
    "ones in padding of signs": Product(bit=X & W, neg=~WS),
}


@pytest.mark.parametrize("product", OTHER_PRODUCTS)
@pytest.mark.parametrize("machine", ("accumulate", "relu"))
def test_products_that_no_encoding_has_yet(build, make_net, monkeypatch, product, machine):
    for module in (steps, fused):
        monkeypatch.setattr(module, "product_of", lambda op: OTHER_PRODUCTS[product])
    net = make_net(UNIPOLAR, SIGNED, machine, n=9, m=5, length=20, offset=True)
    assert_engines_agree(build(net), net.data(5))


@pytest.mark.parametrize("machine", ("relu",))
def test_several_large_blocks(build, make_net, machine):
    net = make_net(UNIPOLAR, SIGNED, machine, n=7, m=3, length=20)
    assert_engines_agree(build(net), net.data(150), batch=130)
    assert_engines_agree(build(net), net.data(70), batch=70, trace=["count"])


def test_many_words_of_lanes(build, make_net):
    net = make_net(BIPOLAR, SIGNED, "btanh", n=64 * 17 + 3, m=2, length=9)
    assert_engines_agree(build(net), net.data(2))
    assert_engines_agree(build(net), net.data(2), trace=["count"])


def test_many_words_of_time(build, make_net):
    net = make_net(UNIPOLAR, SIGNED, "accumulate", n=80, m=5, length=1024, bits=10)
    assert_engines_agree(build(net), net.data(2))


@pytest.mark.parametrize("machine", MACHINES)
def test_two_layers(build_deep, make_net, machine):
    x = SIGNED if machine == "accumulate" else UNIPOLAR
    net = make_net(x, SIGNED, machine, "masked", n=9, m=66, length=48, offset=machine == "relu")
    assert_engines_agree(build_deep(net), net.data(5))
    assert_engines_agree(build_deep(net), net.data(2), trace="all")


@pytest.mark.parametrize("machine", ("accumulate", "relu"))
def test_numbers_beyond_32_bits(build, make_net, machine):
    net = make_net(UNIPOLAR, SIGNED, machine, n=5, m=3, length=100)
    module = build(net)
    (op,) = module.ops_named(f"sc.{machine}")
    if machine == "accumulate":
        op.attributes["initial"] = np.array([1 << 40, -(1 << 35), 7])
        op.result.type = REGISTRY[op.name].infer(op)
    else:
        op.attributes.update(threshold=np.array([1 << 40, 2, 3]), depth=np.array([1, 1 << 35, 3]))
    assert_engines_agree(module, net.data(3))


def faulty(product: Product, fault: str) -> Product:
    return Product(~product.bit, product.neg) if fault == "bit" else Product(product.bit, ~product.neg)


@pytest.mark.parametrize("product", PRODUCT_NAMES)
@pytest.mark.parametrize("machine", ("accumulate", "relu"))
@pytest.mark.parametrize("fault", ("bit", "neg"))
def test_a_difference_between_the_engines_is_noticed(build, make_net, monkeypatch, product, machine, fault):
    net = make_net(*PRODUCT_NAMES[product], machine, n=5, m=66, length=64)
    wrong = faulty(PRODUCTS[net.x, net.w], fault)
    monkeypatch.setattr(steps, "product_of", lambda op: wrong)
    with pytest.raises(AssertionError):
        assert_engines_agree(build(net), net.data(9))


@pytest.mark.parametrize("machine", ("accumulate", "relu"))
def test_a_wrong_kernel_is_noticed(build, make_net, monkeypatch, machine):
    net = make_net(UNIPOLAR, SIGNED, machine, n=5, m=66)
    wrong = faulty(PRODUCTS[net.x, net.w], "neg")
    monkeypatch.setattr(fused, "product_of", lambda op: wrong)
    with pytest.raises(AssertionError):
        assert_engines_agree(build(net), net.data(9))


def test_a_layer_is_fused_only_if_its_count_is_private(build, make_net):
    net = make_net(UNIPOLAR, SIGNED, "btanh", offset=True)
    module = build(net)
    static = {module.value("ws"), module.value("fraction")}
    assert len(fused.find_patterns(module, static, set())) == 1
    assert not fused.find_patterns(module, static, {module.value("count")})
    assert not fused.find_patterns(module, static, {module.value("biased")})
    assert not fused.find_patterns(module, set(), set())


def test_weights_that_are_not_constant(build, make_net):
    """An input that is both data and weights goes through the reference functions, in either engine."""
    net = make_net(UNIPOLAR, UNIPOLAR, "accumulate", n=4, m=1)
    module = build(net)
    weights = module.value("weights").op
    data = module.value("x").op
    module.replace_uses(weights.result, data.result)
    module.erase(weights)
    sng = module.value("ws").op
    sng.operands[0] = data.result
    data.attributes["shape"] = [1, 4]
    data.result.type = type(data.result.type)((1, 4), UNIPOLAR, 5)
    sng.result.type = type(sng.result.type)((1, 4), UNIPOLAR, 64)
    module.value("count").op.operands[0] = _row(module)
    assert_engines_agree(module, net.data(3))


def _row(module):
    """Constant streams [4] in the place of the data."""
    level = module.append(
        "sc.constant", [], {"levels": np.array([0, 9, 31, 32]), "encoding": "unipolar", "bits": 5}, before=module.ops[0]
    ).result
    random = module.append("sc.source", [], {"kind": "sobol", "index": 0, "bits": 5}, before=module.ops[1]).result
    return module.append("sc.sng", [level, random], {"length": 64}, before=module.ops[2]).result
