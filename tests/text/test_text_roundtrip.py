"""parse(print(m)) is m: for random nn modules, for any attribute value, and at the size of a real network."""

import math
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import sccc.text
from sccc.diagnostics import InternalError, SccError
from sccc.ir import Module, Operation, Value
from sccc.ops.registry import Attr, Op, Registry
from sccc.text import parse_module, parse_type, print_module
from sccc.types import Count, Encoding, Level, Random, Real, Stream, Total

SETTINGS = settings(max_examples=150, deadline=None, derandomize=True)

strings = st.text(st.characters(codec=None), max_size=12)  # surrogates and control characters too
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
tensors = st.one_of(
    hnp.arrays(np.int64, shapes),
    hnp.arrays(np.float64, shapes, elements=st.floats(allow_nan=True, allow_infinity=True)),
    hnp.arrays(np.bool_, shapes),
)
numbers = st.one_of(st.integers(), st.floats())
scalars = st.one_of(numbers, st.booleans(), strings)
attributes = st.one_of(
    scalars, tensors, st.recursive(scalars | tensors, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
)


def same(a, b) -> bool:
    """Equal in value and kind: nan is nan, -0.0 is not 0.0, True is not 1."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and same(a.tolist(), b.tolist())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) and a == b


class AnyAttr(Attr):
    """An attribute of any kind."""

    def accepts(self, value):
        return True


ANYTHING = Registry()
ANYTHING.add(
    Op("test.any", "", (), None, lambda op: Real(()), {"a": AnyAttr("any", ""), "b": AnyAttr("any", "", default=0.0)})
)


@SETTINGS
@given(attributes, attributes, strings, strings)
def test_any_attribute_name_and_origin(a, b, name, origin):
    op = Operation("test.any", attributes={"a": a, "b": b}, origin=origin)
    op.result = Value(name, Real(()), op)
    with mock.patch.object(sccc.text, "REGISTRY", ANYTHING):
        text = print_module(Module(origin, [op]))
        back = parse_module(text)
        assert print_module(back) == text
    assert same(back.ops[0].attributes, {}) is False  # the comparison can fail
    assert same(a, back.ops[0].attributes["a"]) and same(b, back.ops[0].attributes["b"])
    assert back.name == origin and back.ops[0].origin == origin and back.ops[0].result.name == name


def grow(draw, module: Module) -> None:
    """Append a random nn operation to the last value of a module."""
    x = module.ops[-1].result
    n = x.type.shape[-1]
    kind = draw(st.sampled_from(["dense", "affine", "quantize", "clip", "leaky_relu", "transpose", "reshape", "tanh"]))
    a = {}
    if kind == "dense":
        m = draw(st.integers(1, 6))
        a = {"weight": draw(hnp.arrays(np.float64, (m, n))), "bias": draw(hnp.arrays(np.float64, (m,)))}
    elif kind == "affine":
        a = {"scale": draw(hnp.arrays(np.float64, (n,)) | st.floats()), "shift": draw(st.floats())}
    elif kind == "quantize":
        scale = draw(hnp.arrays(np.float32, (n,)))
        a = {
            "scale": scale,
            "zero_point": np.int8(draw(st.integers(-9, 9))),
            "lo": np.int64(-128),
            "hi": draw(st.integers()),
        }
    elif kind == "clip":
        a = {"lo": draw(st.floats()), "hi": draw(st.floats().map(np.float64))}
    elif kind == "leaky_relu":
        a = {"alpha": draw(st.floats())}
    elif kind == "transpose":
        a = {"perm": draw(st.permutations(range(len(x.type.shape))))}
    elif kind == "reshape":
        a = {"shape": (1, *x.type.shape)}
    module.append(f"nn.{kind}", [x], a, result=draw(strings), origin=draw(strings))


@st.composite
def modules(draw):
    module = Module(draw(strings))
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    module.append("nn.input", attributes={"shape": shape, "name": draw(strings)}, result=draw(strings))
    for _ in range(draw(st.integers(0, 6))):
        grow(draw, module)
    module.append("nn.output", [module.ops[-1].result], {"name": draw(strings)})
    return module


@SETTINGS
@given(modules())
def test_random_networks(module):
    text = print_module(module)
    back = parse_module(text)
    assert print_module(back) == text
    for old, new in zip(module, back, strict=True):
        assert (old.name, old.origin) == (new.name, new.origin)
        assert [v.name for v in old.operands] == [v.name for v in new.operands]
        assert (old.result is None) == (new.result is None)
        if old.result is not None:
            assert (old.result.name, old.result.type) == (new.result.name, new.result.type)
        assert old.attributes.keys() == new.attributes.keys()
        for key, value in old.attributes.items():
            assert np.array_equal(value, new.attributes[key], equal_nan=not isinstance(value, str)), key


encodings = st.sampled_from(Encoding)
type_shapes = st.lists(st.integers(0, 10**6), max_size=4).map(tuple)
types = st.one_of(
    st.builds(Real, type_shapes),
    st.builds(Level, type_shapes, encodings, st.integers(0, 64)),
    st.builds(Random, type_shapes, st.integers(0, 64)),
    st.builds(Stream, type_shapes, encodings, st.integers(1, 10**9)),
    st.builds(Count, type_shapes, st.integers(), st.integers(), st.integers(1, 10**9)),
    st.builds(Total, type_shapes, st.integers(), st.integers()),
)


@SETTINGS
@given(types)
def test_types(type):
    assert parse_type(str(type)) == type


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.uint64, np.float16, np.float32])
def test_other_element_types_are_widened_exactly(dtype):
    module = Module("m")
    module.append("nn.constant", attributes={"value": np.array([1, 2.5, 100]).astype(dtype)})
    back = parse_module(print_module(module)).ops[0].attributes["value"]
    assert back.dtype in (np.int64, np.float64)
    assert back.tolist() == np.array([1, 2.5, 100]).astype(dtype).tolist()


@pytest.mark.parametrize(
    "value", [np.array([2**63], dtype=np.uint64), np.array([1j]), np.array([None]), None, {1: 2}, 1j], ids=repr
)
def test_what_has_no_text_form_is_an_internal_error(value):
    with pytest.raises(InternalError, match="has no text form"):
        print_module(Module("m", [Operation("nn.constant", attributes={"value": value})]))


@pytest.mark.parametrize("weights", ["int64", "float64"])
def test_a_network_of_118_thousand_weights_is_fast(weights):
    rng = np.random.default_rng(1)
    module = Module("mlp")
    x = module.append("nn.input", attributes={"shape": [784], "name": "image"}).result
    for n, m in ((784, 128), (128, 128), (128, 10)):
        w = rng.integers(-64, 65, (m, n)) if weights == "int64" else rng.standard_normal((m, n))
        x = module.append("nn.dense", [x], {"weight": w}).result
    parse_type("real<1>")  # the grammar is built once, and not timed here
    start = time.process_time()
    text = print_module(module)
    printed = time.process_time()
    back = parse_module(text)
    parsed = time.process_time()
    assert all(
        np.array_equal(a.attributes["weight"], b.attributes["weight"])
        for a, b in zip(module.ops[1:], back.ops[1:], strict=True)
    )
    assert printed - start < 1.5 and parsed - printed < 1.5


def test_declared_shapes_allocate_nothing():
    text = "module @m {\n  %k = nn.constant {value = float64<99999999999x99999999999> [1 2]} : real<2>\n}"
    with pytest.raises(SccError, match="has 9999999999800000000001 elements, and here are 2"):
        parse_module(text)
