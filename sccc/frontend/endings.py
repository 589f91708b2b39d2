"""The end of a classifier: Softmax, ArgMax, and the labels that scikit-learn's exporter writes behind them.

The hardware ends at the scores: what follows them computes class labels, and a label's index is the index of the
largest score. In a classifier of two classes with one output p the pair (1 - p, p) stands for p: class 1 where p > 0.5.
"""

from __future__ import annotations

from dataclasses import replace

from onnx import TensorProto

from sccc.frontend.bindings import BATCH, Binding, Derived, Dims, Ending, Known, Tensor
from sccc.frontend.handlers import ML, Step, handles
from sccc.frontend.layout import reshape_lanes, show, size_of


@handles("Softmax", attributes={"axis": None})
def softmax(step: Step) -> Tensor:
    """Before opset 13 over all axes from `axis` (1) on, since then over one (the last)."""
    x = step.tensor(0)
    given = step.attributes["axis"]
    if step.opset < 13:
        given = 1 if given is None else given
        first = x.rank if given == x.rank else step.axis(given, x.rank)
        summed = x.dims[first:]
    else:
        axis = step.axis(-1 if given is None else given, x.rank)
        summed = x.dims[axis : axis + 1]
    _check_axis(step, x, summed)
    classes, shape = size_of(summed), x.value.type.shape
    if shape[-1:] == (classes,):
        return replace(step.apply("nn.softmax", x), ending=Ending.SOFTMAX)
    if size_of(x.dims) != classes:
        raise step.refuse(
            f"runs over {show(summed)} of {show(x.dims)}, not over the last axis", "let it run over the last axis"
        )
    flat = step.apply("nn.softmax", reshape_lanes(step, replace(x, batch=None), [classes]))
    return replace(reshape_lanes(step, flat, shape), batch=x.batch, ending=Ending.SOFTMAX)


@handles("ArgMax", attributes={"axis": 0, "keepdims": 1, "select_last_index": 0}, after_ending=True)
def argmax(step: Step) -> Binding:
    x = step.tensor(0)
    if step.attributes["select_last_index"]:
        raise step.refuse("select_last_index is not honoured", "of equal scores the first one is taken")
    if x.ending is Ending.ARGMAX:
        raise step.refuse("its input is an ArgMax already")
    if x.ending is Ending.BINARY:
        return Derived(x)
    axis = step.axis(step.attributes["axis"], x.rank)
    _check_axis(step, x, x.dims[axis : axis + 1])
    if x.dims[axis] != size_of(x.dims):
        raise step.refuse(
            f"runs over axis {axis} of {show(x.dims)}, not over all scores of a sample",
            "let it run over the axis of the classes",
        )
    value = step.emit("nn.argmax", [x.value])
    return Tensor(value, 0 if x.batch is not None else None, TensorProto.INT64, Ending.ARGMAX, scores=x)


def _check_axis(step: Step, x: Tensor, summed: Dims) -> None:
    if BATCH in summed:
        raise step.refuse(
            f"runs over the batch axis of {show(x.dims)}", "set axis to the axis of the classes (the last, -1)"
        )


def binary_pair(step: Step) -> Tensor | None:
    """What a Concat of (1 - p, p) along the last axis stands for: p; None for any other Concat."""
    parts = step.inputs
    if len(parts) == 2 and isinstance(parts[0], Tensor) and isinstance(parts[1], Tensor):
        p = parts[1]
        last = step.axis(step.attributes["axis"], p.rank) == p.rank - 1 and p.dims[-1:] != (BATCH,)
        if parts[0].complement is p.value and parts[0].batch == p.batch and last:
            return replace(p, ending=Ending.BINARY)
    return None


@handles("ArrayFeatureExtractor", domain=ML, any_type=True, after_ending=True)
def array_feature_extractor(step: Step) -> Derived:
    """Picks a class label by the index that ArgMax gives."""
    index = step.input(1)
    if not isinstance(step.input(0), Known):
        raise step.refuse("picks from what the network computes", "only class labels may be picked")
    if isinstance(index, Tensor) and index.ending is Ending.ARGMAX:
        return Derived(index)
    raise step.refuse("its index does not come from ArgMax")


@handles(
    "ZipMap",
    domain=ML,
    attributes={"classlabels_int64s": None, "classlabels_strings": None},
    after_ending=True,
)
def zip_map(step: Step) -> Derived:
    """A map from label to score."""
    return Derived(step.tensor(0), label=False)


@handles("Binarizer", domain=ML, attributes={"threshold": 0.0}, after_ending=True)
def binarizer(step: Step) -> Derived:
    """scikit-learn's labels where several may hold at once: score > 0.5."""
    x = step.tensor(0)
    if step.attributes["threshold"] != 0.5 or x.value.op is None or x.value.op.name != "nn.sigmoid":
        raise step.refuse("is supported behind a sigmoid with a threshold of 0.5 only")
    return Derived(x)
