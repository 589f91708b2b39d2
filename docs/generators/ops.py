"""The op reference, from `sccc.ops.REGISTRY`, with what an instance of each op costs in a network of the examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sccc
from generators.markdown import block, code, table, text
from generators.meaning import in_bits, in_reals
from sccc.cells import Gather, Wire
from sccc.cost import op_cost
from sccc.ops import REGISTRY
from sccc.ops.registry import REQUIRED, Op

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("digits_mlp/digits_mlp.onnx", {"length": 32}),
    ("digits_mlp/digits_mlp.onnx", {"length": 32, "style": "streaming"}),
    ("digits_mlp/digits_mlp.onnx", {"style": "fixed"}),
    ("digits_mlp/digits_mlp.onnx", {"length": 32, "sng": "wbg"}),
    ("digits_mlp/digits_mlp.onnx", {"length": 32, "adder": "or"}),
    ("digits_mlp/digits_mlp.onnx", {"length": 32, "adder": "mux"}),
    ("mnist_mlp/mnist_mlp_relu.onnx", {"length": 32, "style": "streaming"}),
    ("lenet/lenet.onnx", {"length": 32}),
    ("lenet/lenet.onnx", {"length": 32, "pooling": "streams"}),
    ("lenet/lenet.onnx", {"style": "fixed"}),
    ("cifar10/resnet18_narrow.onnx", {"length": 32}),
)
"""Model and options of the networks whose ops are weighed: each op where it comes first."""

EXIT = "early-exit{margin=10}"
"""A pass that puts one more op into the second network."""

TRAINED = "not estimated op by op: networks that learn are synthesised whole, see [Networks that learn on chip](../training.md)"

NO_HARDWARE = "none of its own: passes turn it into ops that are hardware"

DIALECTS = {
    "sc": "Hardware of streams",
    "fx": "Fixed point",
    "nn": "The float network",
    "train": "Networks that learn on chip",
}


def page() -> str:
    """The page, Markdown."""
    parts = ["# Operations\n", _INTRODUCTION]
    costs = _costs()
    for dialect, title in DIALECTS.items():
        parts.append(f"## {title}: {code(dialect)}\n")
        for op in REGISTRY:
            if op.name.split(".", 1)[0] == dialect:
                parts += _section(op, costs.get(op.name, ""))
    return "\n".join(parts)


_INTRODUCTION = """\
This page is generated from `sccc.ops.REGISTRY`, from which simulator, Verilog and cost estimate are made too. *In reals* is the
op's meaning as Python over arrays whose first axis is the batch: streams by their encoded number, counts by their mean
per cycle, totals by their expectation. *In bits* are the expressions of its [cell](ir.md#cells), as the netlist computes
them. *Needs* is what the verifier asks of operands, and what keeps `share-sngs` from sharing. *Cost* is
the estimate (2-input gates) for the first such op in a network of `examples/`, which tests hold against Yosys.
"""


def _section(op: Op, cost: str) -> Iterator[str]:
    operands = ", ".join(f"%{name}" for name in op.operands)
    yield f"### {op.name} {{ #{op.name.replace('.', '-')} }}\n"
    yield block((f"%result = {op.name} {operands}" if op.has_result else f"{op.name} {operands}").rstrip())
    yield text(op.doc) + "\n"
    if op.attributes:
        rows = [
            (
                code(name),
                attr.kind,
                "required" if attr.default is REQUIRED else code(repr(attr.default)),
                text(attr.doc),
            )
            for name, attr in op.attributes.items()
        ]
        yield table(("attribute", "kind", "default", "meaning"), rows)
    if op.value is not None:
        yield "*In reals:*\n"
        yield block(in_reals(op.value), "python")
    if op.cell is None:
        yield f"*Cost:* {NO_HARDWARE}\n"
        return
    yield f"*In bits:* cell {code(type(op.cell).__name__)}, latency {op.latency}\n"
    if expressions := in_bits(op.cell):
        yield block(expressions)
    for need in op.needs:
        names = " and ".join(code(f"%{name}") for name in need.operands)
        doc = inspect.getdoc(type(need)) or ""
        yield f"*Needs:* {names} {type(need).__name__.lower()}: {text(doc.removeprefix('A legality condition: '))}\n"
    if isinstance(op.cell, Wire | Gather):
        cost = "none: wires"
    elif not cost and op.name.startswith("train."):
        cost = TRAINED
    if not cost:
        raise ValueError(f"no network of NETWORKS holds {op.name}, whose cost is to be told")
    yield f"*Cost:* {cost}\n"


def _costs() -> dict[str, str]:
    """A sentence for each op that the networks hold."""
    found: dict[str, str] = {}
    for model, options in NETWORKS:
        module = sccc.compile(EXAMPLES / model, **options)
        said = f"{model} {' '.join(f'--{name} {value}' for name, value in options.items())}"
        _add_costs(found, module, said)
        if options.get("style") == "streaming" and "sc.race" not in found:
            _add_costs(found, sccc.compile(module, passes=EXIT), f"{said} --passes {EXIT}")
    model, options = NETWORKS[1]
    _add_costs(
        found, sccc.compile(_classifier(model), **options), f"{model} with sigmoid for tanh and argmax behind it"
    )
    return found


def _classifier(model: str) -> sccc.Module:
    """A network of tanh with the ops that no example has: sigmoid in its place, and the class instead of scores."""
    module = sccc.load(EXAMPLES / model)
    (output,) = module.outputs
    for op in module.ops_named("nn.tanh"):
        op.name = "nn.sigmoid"
    scores = output.operands[0]
    output.operands = [module.append("nn.argmax", [scores], before=output).result]
    return module


def _add_costs(found: dict[str, str], module: sccc.Module, said: str) -> None:
    for op in module:
        if op.name not in found and op.result is not None:
            cost, where = op_cost(op), code(f"%{op.result.name} : {op.result.type}")
            found[op.name] = (
                f"{round(cost.gates):,} gates and {cost.flipflops:,} flip-flops for {where} in {code(said)}"
            )
