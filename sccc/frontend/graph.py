"""The walk over an ONNX graph: each node is handled by the table, every problem is collected, then all are raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from sccc.diagnostics import Collector, Location
from sccc.frontend import (  # noqa: F401  (each of these registers its handlers)
    activations,
    convolution,
    elementwise,
    endings,
    joining,
    linear,
    passing,
    pooling,
    quantization,
    resizing,
    shaping,
)
from sccc.frontend.advice import advise
from sccc.frontend.bindings import FLOATS, Binding, Derived, Quantized, Tensor, Unknown
from sccc.frontend.boundary import append_output, bind_input, check_constants, live_nodes
from sccc.frontend.folding import fold, foldable
from sccc.frontend.handlers import HANDLERS, ML, Context, Handler, Step
from sccc.frontend.inference import StandIns
from sccc.frontend.names import identifier, shown
from sccc.frontend.passing import type_name
from sccc.frontend.reader import check_graph, plain_domain, read_model, read_opsets
from sccc.frontend.tensors import TensorReader
from sccc.ir import Module


def load_onnx(path: str | Path) -> Module:
    """The network in an ONNX file as a module of nn ops, each with the ONNX node it comes from as its `origin`.

    Raises SccError with every problem found: what is not supported, malformed or unsafe, each at its node.
    """
    path = Path(path)
    model = read_model(path)
    return Conversion(model, path).run()


class Conversion:
    """One model on its way to a module."""

    def __init__(self, model: onnx.ModelProto, path: Path) -> None:
        self.model = model
        self.path = path
        self.collector = Collector()
        self.location = Location(file=shown(str(path)))
        self.values: dict[str, Binding] = {}
        self.stand_ins = StandIns(model)

    def run(self) -> Module:
        opsets = read_opsets(self.model, self.path, self.collector)
        check_graph(self.model, self.path)
        graph = self.model.graph
        live = live_nodes(graph)
        used = frozenset(n for node, _ in live for n in node.input) | {value.name for value in graph.output}
        module = Module(identifier(self.path.stem) or "net")
        tensors = TensorReader(self.path.parent)
        self.context = Context(module, shown(str(self.path)), opsets, tensors, used=used)
        self.values.update(check_constants(self.model, self.context, self.collector, self.location))
        with self.collector.catching():
            self.values.update(bind_input(graph, self.context, self.location))
        for value in graph.input:
            self.values.setdefault(value.name, Unknown())
        for node, index in live:
            self._convert(node, index)
        if not self.collector.diagnostics:
            with self.collector.catching():
                append_output(self.model, self.values, self.context, self.location)
        self.collector.raise_if_any()
        module.erase_dead()
        return module

    def _convert(self, node: onnx.NodeProto, index: int) -> None:
        """Bind the node's outputs; after a problem to what shape inference says of them."""
        origin = shown(node.name) or f"{shown(node.op_type)}_{index}"
        domain = plain_domain(node.domain)
        step = Step(node, origin, self.context, self.context.opsets.get(domain, 1))
        bound: list[Binding] | None = None
        with self.collector.catching():
            bound = self._handle(step, domain)
        names = list(node.output)
        if bound is None:
            bound = self.stand_ins.bindings(step, domain)
        for name, binding in zip(names, bound, strict=False):
            if name and name in self.values and not isinstance(self.values[name], Unknown):
                self.collector.add(
                    f"{shown(node.op_type)}: writes '{shown(name)}', which is defined already", step.location
                )
            self.values[name] = binding
        for name in names[len(bound) :]:
            self.values.setdefault(name, Unknown())

    def _handle(self, step: Step, domain: str) -> list[Binding] | None:
        """The node's results; None when they cannot be known because of a problem that was reported before."""
        step.inputs = self._inputs(step)
        if foldable(step):
            return fold(step)
        handler = HANDLERS.get((domain, step.node.op_type))
        if handler is None:
            reason = "" if domain in ("", ML) else f": its domain '{shown(domain)}' is unknown"
            raise step.refuse(f"operator not supported{reason}", advise(domain, step.node.op_type))
        self._check_domain(step, domain)
        step.attributes = self._attributes(step, handler)
        if any(isinstance(binding, Unknown) for binding in step.inputs):
            return None
        self._check_node(step)
        self._check_inputs(step, handler)
        labels = next((binding for binding in step.inputs if isinstance(binding, Derived)), None)
        if labels is not None:
            return [labels]
        result = handler.handle(step)
        return result if isinstance(result, list) else [result]

    def _inputs(self, step: Step) -> list[Binding | None]:
        inputs: list[Binding | None] = []
        for name in step.node.input:
            if name and name not in self.values:
                self.values[name] = Unknown()
                self.collector.add(
                    f"{shown(step.node.op_type)}: reads '{shown(name)}', which nothing before it defines",
                    step.location,
                    "the file is damaged, or its nodes are not in order: export it again",
                )
            inputs.append(self.values[name] if name else None)
        return inputs

    def _check_domain(self, step: Step, domain: str) -> None:
        if domain not in self.context.opsets:
            raise step.refuse(f"its operator set '{shown(domain)}' is not imported by the model", "export it again")

    @staticmethod
    def _attributes(step: Step, handler: Handler) -> dict[str, Any]:
        """The node's attributes with defaults filled in. Raises SccError for those that would not be honoured."""
        given: dict[str, Any] = dict(handler.attributes)
        for attribute in step.node.attribute:
            if attribute.name not in handler.attributes:
                raise step.refuse(f"the attribute '{shown(attribute.name)}' is not honoured", "export without it")
            if attribute.ref_attr_name:
                raise step.refuse(f"the attribute '{attribute.name}' refers to a function's attribute")
            try:
                value = onnx.helper.get_attribute_value(attribute)
            except ValueError as error:
                raise step.refuse(f"the attribute '{attribute.name}' has no value") from error
            given[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return given

    def _check_node(self, step: Step) -> None:
        """onnx's own check of one node: number of inputs and outputs, types of attributes, op known in this opset."""
        if step.node.op_type == "Constant":
            return
        context = onnx.checker.C.CheckerContext()
        context.ir_version = max(3, min(self.model.ir_version, onnx.IR_VERSION))
        context.opset_imports = self.context.opsets
        try:
            onnx.checker.check_node(step.node, context)
        except onnx.checker.ValidationError as error:
            text = str(error).split("\n")[0].split("==>")[0].strip()
            raise step.refuse(f"is malformed: {shown(text)}", "export the model again") from error

    @staticmethod
    def _check_inputs(step: Step, handler: Handler) -> None:
        """Types, and that nothing but the end of a classifier stands behind Softmax and ArgMax."""
        for index, binding in enumerate(step.inputs):
            if isinstance(binding, (Quantized, Derived)) and not isinstance(binding, handler.reads):
                if isinstance(binding, Derived):
                    raise step.refuse("computes with class labels", "end the network at the scores or at ArgMax")
                raise step.refuse(
                    f"reads the integers of QuantizeLinear '{binding.origin}' directly",
                    "put a DequantizeLinear between them (QDQ form)",
                )
            if not isinstance(binding, Tensor):
                continue
            if binding.ending and not handler.after_ending:
                raise step.refuse(
                    f"its input '{step.input_name(index)}' comes from {binding.ending.value}",
                    "Softmax and ArgMax are supported at the end of the network only",
                )
            if binding.type not in FLOATS and not handler.any_type and not binding.ending:
                raise step.refuse(
                    f"computes with {type_name(binding.type)}", "cast to float first: only float networks are supported"
                )
