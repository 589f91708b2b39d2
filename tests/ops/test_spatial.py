"""Ops on images compute, element by element, what their definition says; operands that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccc.diagnostics import SccError
from sccc.evaluate import evaluate
from sccc.ir import Module
from sccc.text import parse_module
from sccc.windows import Window

SIZES = st.integers(1, 3)
WINDOWS = st.builds(
    Window,
    st.tuples(SIZES, SIZES),
    st.tuples(SIZES, SIZES),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.tuples(SIZES, SIZES),
)


def attributes(window: Window) -> dict[str, list[int]]:
    return {"strides": [*window.strides], "pads": [*window.pads], "dilations": [*window.dilations]}


def seen(window: Window, height: int, width: int) -> dict[tuple[int, int], list[tuple[int, int, int, int]]]:
    """Output position -> for each of its taps inside the image: row and column of the kernel, row and column of the image."""
    rows, columns = window.output(height, width)
    result = {}
    for r in range(rows):
        for c in range(columns):
            taps = []
            for i in range(window.kernel[0]):
                for j in range(window.kernel[1]):
                    y = r * window.strides[0] + i * window.dilations[0] - window.pads[0]
                    x = c * window.strides[1] + j * window.dilations[1] - window.pads[1]
                    if 0 <= y < height and 0 <= x < width:
                        taps.append((i, j, y, x))
            result[r, c] = taps
    return result


def fits(window: Window, height: int, width: int) -> bool:
    return all(
        span <= size + before + behind
        for span, size, before, behind in zip(
            window.span, (height, width), window.pads[:2], window.pads[2:], strict=True
        )
    )


def value(op: str, x: np.ndarray, **given) -> np.ndarray:
    """The op's value for one sample."""
    module = Module()
    source = module.append("nn.input", [], {"shape": [*x.shape], "name": "x"}).result
    module.append("nn.output", [module.append(op, [source], given).result], {"name": "y"})
    again = parse_module(str(module))
    assert str(again) == str(module)
    return evaluate(again, x[None])[0]


@given(WINDOWS, st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 2]), st.integers(0, 99))
def test_convolutions_and_pools_by_their_definition(window, height, width, groups, seed):
    if not fits(window, height, width):
        return
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(4, height, width)), rng.normal(size=(2, 4 // groups, *window.kernel))
    taps = seen(window, height, width)
    covered = window.covered(height, width)
    result = value("nn.conv", x, weight=weight, bias=np.array([0.5, -1.0]), groups=groups, **attributes(window))
    for (r, c), inside in taps.items():
        assert covered[r, c] == len(inside)
        for o, bias in enumerate((0.5, -1.0)):
            own = x[o * 4 // groups % 4 : o * 4 // groups % 4 + 4 // groups] if groups > 1 else x
            expected = bias + sum(weight[o, :, i, j] @ own[:, y, k] for i, j, y, k in inside)
            assert result[o, r, c] == pytest.approx(expected)
    if covered.min() == 0:
        with pytest.raises(SccError, match="see nothing but the pads"):
            value("nn.max_pool", x, kernel=[*window.kernel], **attributes(window))
        return
    largest = value("nn.max_pool", x - 9.0, kernel=[*window.kernel], **attributes(window))
    means = [
        value("nn.avg_pool", x, kernel=[*window.kernel], include_pad=p, **attributes(window)) for p in (False, True)
    ]
    for (r, c), inside in taps.items():
        numbers = np.array([x[:, y, k] for _, _, y, k in inside])
        np.testing.assert_allclose(largest[:, r, c], numbers.max(axis=0) - 9.0)
        np.testing.assert_allclose(means[0][:, r, c], numbers.mean(axis=0))
        np.testing.assert_allclose(means[1][:, r, c], numbers.sum(axis=0) / window.taps)


def test_a_mean_over_a_whole_image():
    x = np.random.default_rng(0).normal(size=(2, 300, 200))
    result = value("nn.avg_pool", x, kernel=[300, 200])
    np.testing.assert_allclose(result, x.mean(axis=(1, 2), keepdims=True))


def test_rearrangements():
    x = np.arange(24.0).reshape(2, 3, 4)
    padded = value("nn.pad", x, pads=[0, 1, 0, 0, 0, 2], value=-1.0)
    assert padded.shape == (2, 4, 6)
    np.testing.assert_array_equal(padded[:, 1:, :4], x)
    assert (padded[:, 0] == -1.0).all() and (padded[:, :, 4:] == -1.0).all()
    cut = value("nn.slice", x, starts=[0, 1, 0], stops=[2, 3, 4], steps=[1, 1, 3])
    np.testing.assert_array_equal(cut, x[:, 1:3, ::3])
    enlarged = value("nn.upsample", x, factors=[2, 3])
    np.testing.assert_array_equal(enlarged, np.kron(x, np.ones((1, 2, 3))))


@pytest.mark.parametrize("x", [-4.0, -3.0, -1.0, 0.0, 1.0, 3.0, 5.0])
def test_hard_swish(x):
    expected = 0.0 if x <= -3 else x if x >= 3 else x * (x + 3) / 6
    assert value("nn.hard_swish", np.array([x]))[0] == pytest.approx(expected)


IMAGE = (4, 5, 6)
REFUSED = [
    ("nn.conv", {"weight": np.ones((2, 4, 3))}, "weights of shape .* do not fit"),
    ("nn.conv", {"weight": np.ones((0, 4, 1, 1))}, "the weight is empty"),
    ("nn.conv", {"weight": np.ones((2, 3, 1, 1))}, "1 groups do not fit 4 channels"),
    ("nn.conv", {"weight": np.ones((3, 2, 1, 1)), "groups": 2}, "2 groups do not fit 4 channels"),
    ("nn.conv", {"weight": np.ones((2, 4, 1, 1)), "bias": np.ones(3)}, "a bias of shape .* does not fit 2 outputs"),
    ("nn.conv", {"weight": np.ones((2, 4, 6, 1))}, "does not fit an image of 5 x 6"),
    ("nn.conv", {"weight": np.ones((2, 4, 1, 1)), "strides": [0, 1]}, "must be positive"),
    ("nn.max_pool", {"kernel": [2]}, "two numbers"),
    ("nn.avg_pool", {"kernel": [2, 2], "pads": [2, 0, 0, 0]}, "see nothing but the pads"),
    ("nn.pad", {"pads": [0, 0, 1, 1]}, "are not a begin and an end"),
    ("nn.pad", {"pads": [0, 0, 1, 0, 0, -1]}, "are not a begin and an end"),
    ("nn.slice", {"starts": [0, 0], "stops": [4, 5], "steps": [1, 1]}, "do not cut a part"),
    ("nn.slice", {"starts": [0, 0, 3], "stops": [4, 5, 3], "steps": [1, 1, 1]}, "do not cut a part"),
    ("nn.slice", {"starts": [0, 0, 0], "stops": [4, 5, 7], "steps": [1, 1, 1]}, "do not cut a part"),
    ("nn.slice", {"starts": [0, 0, 0], "stops": [4, 5, 6], "steps": [1, 1, 0]}, "do not cut a part"),
    ("nn.upsample", {"factors": [2, 0]}, "two positive integers"),
    ("nn.upsample", {"factors": [2]}, "two positive integers"),
]


@pytest.mark.parametrize(("op", "given", "message"), REFUSED)
def test_what_does_not_fit_is_refused(op, given, message):
    module = Module()
    x = module.append("nn.input", [], {"shape": [*IMAGE], "name": "x"}).result
    with pytest.raises(SccError, match=message):
        module.append(op, [x], given)


def test_tensors_of_other_shapes_are_not_joined():
    module = Module()
    x = module.append("nn.input", [], {"shape": [*IMAGE], "name": "x"}).result
    y = module.append("nn.upsample", [x], {"factors": [1, 2]}).result
    flat = module.append("nn.reshape", [x], {"shape": [4, 30]}).result
    assert module.append("nn.concat", [x, y], {"axis": 2}).result.type.shape == (4, 5, 18)
    for op, operands, more in (
        ("nn.add", [x, y], {}),
        ("nn.concat", [x, y], {"axis": 1}),
        ("nn.concat", [x, x], {"axis": 3}),
        ("nn.concat", [x, flat], {"axis": 2}),
    ):
        with pytest.raises(SccError, match=r"differ|cannot be joined"):
            module.append(op, operands, more)
    with pytest.raises(SccError, match="wants an image"):
        module.append("nn.max_pool", [flat], {"kernel": [1, 1]})
