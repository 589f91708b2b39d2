"""Upsample and Resize where they repeat rows and columns, in every way to say so; the rest is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sccc.diagnostics import SccError

IMAGE = ("N", 2, 3, 4)
REPEATING = [
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
]


def modes(coordinate: str, rounding: str) -> dict[str, str]:
    return {"coordinate_transformation_mode": coordinate, "nearest_mode": rounding}


def factors(module) -> list[int]:
    (op,) = module.ops_named("nn.upsample")
    return op.attributes["factors"]


@pytest.mark.parametrize("scales", [[2, 2], [3, 1], [1, 4]])
def test_upsample_and_the_first_resize_repeat(graph, scales):
    for opset, op in ((9, "Upsample"), (10, "Resize")):
        g = graph(opset, shape=IMAGE)
        g.node(op, "x", g.const([1, 1, *scales], np.float32))
        assert factors(g.check(runtime_only=True)) == scales


@pytest.mark.parametrize("opset", [11, 13, 18, 21, 28])
@pytest.mark.parametrize(("coordinate", "rounding"), REPEATING)
@pytest.mark.parametrize("scales", [[2, 2], [3, 1]])
def test_resize_by_scales(graph, opset, coordinate, rounding, scales):
    g = graph(opset, shape=IMAGE)
    roi = g.const([], np.float32) if opset < 13 else ""
    g.node("Resize", "x", roi, g.const([1, 1, *scales], np.float32), **modes(coordinate, rounding))
    assert factors(g.check()) == scales


@pytest.mark.parametrize("opset", [11, 13, 18, 21, 28])
def test_resize_by_sizes(graph, opset):
    g = graph(opset, shape=(5, 2, 3, 4))
    empty = g.const([], np.float32) if opset < 13 else ""
    g.node("Resize", "x", empty, empty, g.const([5, 2, 6, 12], np.int64), **modes("asymmetric", "floor"))
    assert factors(g.check()) == [2, 3]


def test_resize_to_sizes_computed_from_a_dynamic_batch(graph):
    """interpolate(size=...) as PyTorch writes it."""
    g = graph(shape=IMAGE)
    g.node("Shape")
    g.node("Slice", g.last, *(g.const([n], np.int64) for n in (0, 2, 0)))
    g.node("Concat", g.last, g.const([6, 8], np.int64), axis=0)
    g.node("Resize", "x", "", "", g.last, **modes("asymmetric", "floor"))
    assert factors(g.check()) == [2, 2]


def test_resize_of_some_axes_and_in_one_dimension(graph):
    g = graph(opset=18, shape=IMAGE)
    g.node("Resize", "x", "", g.const([3, 2], np.float32), axes=[3, -2])
    assert factors(g.check(runtime_only=True)) == [2, 3]
    g = graph(opset=18, shape=("N", 2, 5))
    g.node("Resize", "x", "", g.const([1, 1, 2], np.float32))
    assert factors(g.check()) == [1, 2]


def test_modes_that_repeat_for_one_factor_only(graph):
    """Rounding half down repeats twice evenly, and three times not."""
    g = graph(shape=IMAGE)
    g.node("Resize", "x", "", g.const([1, 1, 2, 2], np.float32), **modes("asymmetric", "round_prefer_floor"))
    assert factors(g.check()) == [2, 2]
    g = graph(shape=IMAGE)
    g.node("Resize", "x", "", g.const([1, 1, 3, 3], np.float32), **modes("asymmetric", "round_prefer_floor"))
    with pytest.raises(SccError, match="'asymmetric' and 'round_prefer_floor' do not repeat axis 2"):
        g.load()


def test_a_resize_to_the_same_size_vanishes_in_every_mode(graph):
    g = graph(shape=IMAGE)
    g.node("Resize", "x", "", g.const([1, 1, 1, 1], np.float32), mode="linear")
    g.node("Relu")
    assert [op.name for op in g.check()] == ["nn.input", "nn.relu", "nn.output"]


def test_everything_else_is_refused_at_its_node(graph):
    g = graph(opset=18, shape=IMAGE)
    two, sizes = g.const([1, 1, 2, 2], np.float32), g.const([1, 2, 6, 8], np.int64)
    g.node("Resize", "x", "", two, mode="linear", name="linear")
    g.node("Resize", "x", "", two, **modes("align_corners", "floor"), name="corners")
    g.node("Resize", "x", "", two, coordinate_transformation_mode="tf_crop_and_resize", name="crop")
    g.node("Resize", "x", "", g.const([1, 1, 0.5, 1], np.float32), name="half")
    g.node("Resize", "x", "", g.const([1, 1, 1.5, 1], np.float32), name="fraction")
    g.node("Resize", "x", "", g.const([1, 2, 1, 1], np.float32), name="channels")
    g.node("Resize", "x", "", g.const([2, 1, 1, 1], np.float32), name="batch")
    g.node("Resize", "x", "", g.const([2, 2], np.float32), name="short")
    g.node("Resize", "x", "", "", g.const([6, 9], np.int64), axes=[2, 3], name="uneven")
    g.node(
        "Resize",
        "x",
        "",
        "",
        g.const([6, 8], np.int64),
        axes=[2, 3],
        keep_aspect_ratio_policy="not_larger",
        name="ratio",
    )
    g.node("Resize", "x", "", two, sizes, name="both")
    g.node("Resize", "x", name="neither")
    g.node("Resize", "x", "", "x", name="runtime")
    for node in g.nodes:
        g.output(node.output[0])
    with pytest.raises(SccError) as error:
        g.load()
    found = {d.location.node: d.message for d in error.value.diagnostics}
    assert found == {
        "linear": "Resize: the mode 'linear' is not supported",
        "corners": "Resize: the modes 'align_corners' and 'floor' do not repeat axis 2 of [N, 2, 3, 4] evenly",
        "crop": "Resize: the coordinate_transformation_mode 'tf_crop_and_resize' is not supported",
        "half": "Resize: scales axis 2 of [N, 2, 3, 4] by 0.5",
        "fraction": "Resize: scales axis 2 of [N, 2, 3, 4] by 1.5",
        "channels": "Resize: resizes [N, 2, 3, 4] to [N, 4, 3, 4]",
        "batch": "Resize: scales axis 0 of [N, 2, 3, 4] by 2",
        "short": "Resize: 2 scales do not fit [N, 2, 3, 4]",
        "uneven": "Resize: resizes axis 3 of [N, 2, 3, 4] to 9",
        "ratio": "Resize: keep_aspect_ratio_policy is not honoured",
        "both": "Resize: needs either scales or sizes",
        "neither": "Resize: needs either scales or sizes",
        "runtime": "Resize: the scales 'x' is computed at run time",
    }
