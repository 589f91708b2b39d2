"""Nodes that hand their input on (Identity, Dropout, Cast), and Constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from sccc.diagnostics import SccError
from sccc.frontend.bindings import FLOATS, INTEGERS, Binding, Ending, Known, Tensor
from sccc.frontend.handlers import Step, handles


@handles("Identity", any_type=True, after_ending=True, quantized=True)
def identity(step: Step) -> Binding:
    binding = step.input(0)
    if binding is None:
        raise step.refuse("input 0 is missing")
    return binding


@handles("Dropout", attributes={"ratio": 0.5, "seed": 0}, any_type=True, after_ending=True)
def dropout(step: Step) -> Binding:
    """Hands its input on: dropping happens in training only."""
    mode = step.input(2)
    if mode is not None and not (isinstance(mode, Known) and mode.fixed and not np.any(mode.array)):
        raise step.refuse("training_mode is set", "export the model in inference mode (model.eval())")
    if len(step.node.output) > 1 and step.node.output[1] in step.context.used - {""}:
        raise step.refuse("its mask is used", "export the model in inference mode (model.eval())")
    return identity(step)


@handles("Cast", attributes={"to": None, "saturate": 1, "round_mode": "up"}, any_type=True, after_ending=True)
def cast(step: Step) -> Binding:
    """Between floats, from an integer input to float, and anything behind ArgMax."""
    binding, target = step.input(0), step.attributes["to"]
    if not isinstance(binding, Tensor) or binding.ending is Ending.ARGMAX:
        return identity(step)
    if target not in FLOATS and target != binding.type:
        raise step.refuse(
            f"to {type_name(target)} changes what the network computes",
            "casts to integers are supported behind ArgMax only; use QuantizeLinear and DequantizeLinear instead",
        )
    if binding.type not in FLOATS and binding.type not in INTEGERS:
        raise step.refuse(f"from {type_name(binding.type)} is not supported")
    return replace(binding, type=target)


def type_name(number: int) -> str:
    """The name of an ONNX element type."""
    try:
        return str(onnx.TensorProto.DataType.Name(number))
    except ValueError:
        return f"type {number}"


LISTS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": np.str_,
    "value_strings": np.str_,
}


@handles("Constant", attributes={"value": None, "sparse_value": None, **dict.fromkeys(LISTS)})
def constant(step: Step) -> Known:
    given = {name: value for name, value in step.attributes.items() if value is not None}
    if len(given) != 1:
        raise step.refuse(f"needs one value, and has {len(given)}")
    name, value = given.popitem()
    if name == "sparse_value":
        raise step.refuse("sparse tensors are not supported", "store the weights densely")
    if (name == "value") is not isinstance(value, onnx.TensorProto):
        raise step.refuse(f"the attribute '{name}' is of the wrong type", "the file is damaged: export it again")
    if name == "value":
        try:
            return Known.of(step.context.tensors.read(value))
        except SccError as error:
            raise step.refuse(error.diagnostics[0].message, error.diagnostics[0].advice) from error
    try:
        return Known.of(np.asarray(value, dtype=LISTS[name]))
    except (ValueError, TypeError, OverflowError) as error:
        raise step.refuse(
            f"the attribute '{name}' is of the wrong type", "the file is damaged: export it again"
        ) from error
