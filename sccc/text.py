"""The text form of the IR: a printer and a parser that are each other's inverse.

    module @net {
      %x = nn.input {name = "image", shape = [4]} : real<4>
      %y = nn.dense %x {bias = 0.0, weight = @y_weight} : real<8> from "fc1"
      nn.output %y {name = "logits"}
    }
    data {
      y_weight = float64<8x4> [
        0.5 -0.25 ...
      ]
    }

Tensors of more than `INLINE` elements stand in the data section, so that the operations stay readable; equal ones
share an entry. Names that are not words are quoted: `@"my net"`. Result types are redundant, and checked against what
the op infers. Attributes that have their default value are not printed. `Module.reference` is not part of the text.
The grammar is `grammar/sc.lark`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import lark
import numpy as np

from sccc.diagnostics import Collector, InternalError, SccError, nearest
from sccc.ir import Attribute, Module, Operation, Value
from sccc.ops import REGISTRY, Attr, Op
from sccc.text_types import (
    WORDS,
    Node,
    Source,
    clipped,
    integer,
    name_of,
    parse_type,
    plain,
    quote,
    read_tensor,
    read_type,
    symbol,
    tensor_head,
    tensor_words,
    unquote,
)
from sccc.types import Type

__all__ = ["parse_module", "parse_type", "print_module"]

INLINE = 16
WIDTH = 110
DEEPEST = 64

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "ints": "a list of integers",
    "tensor": "a tensor or a number",
}


# -- printing ---------------------------------------------------------------------------------------------------------


def print_module(module: Module) -> str:
    """The text of a module; `parse_module` reads it back."""
    printer = _Printer()
    lines = [f"module {symbol('@', module.name)} {{"]
    lines.extend("  " + printer.operation(op) for op in module)
    lines.append("}")
    if printer.data:
        lines.extend(["data {", *printer.data_lines(), "}"])
    return "\n".join(lines) + "\n"


class _Printer:
    """Prints operations, and gathers the tensors that go to the data section."""

    def __init__(self) -> None:
        self.data: dict[str, np.ndarray] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def operation(self, op: Operation) -> str:
        """One line: %result = name %operands {attributes} : type from "origin"."""
        owner = op.result.name if op.result is not None else op.name.rsplit(".", 1)[-1]
        parts = [f"{symbol('%', op.result.name)} =", op.name] if op.result is not None else [op.name]
        if op.operands:
            parts.append(", ".join(symbol("%", value.name) for value in op.operands))
        known = REGISTRY[op.name].attributes if op.name in REGISTRY else {}
        shown = [(key, value) for key, value in sorted(op.attributes.items()) if not _is_default(known.get(key), value)]
        if shown:
            pairs = [f"{key} = {self.attribute(value, f'{owner}_{key}')}" for key, value in shown]
            parts.append("{" + ", ".join(pairs) + "}")
        if op.result is not None:
            parts.append(f": {op.result.type}")
        if op.origin:
            parts.append(f"from {quote(op.origin)}")
        return " ".join(parts)

    def attribute(self, value: Any, hint: str) -> str:
        """An attribute's value; `hint` is the name wished for its data entry, where it needs one."""
        if isinstance(value, bool | np.bool_):
            return "true" if value else "false"
        if isinstance(value, int | np.integer):
            return str(int(value))
        if isinstance(value, float | np.floating):
            return repr(float(value))
        if isinstance(value, str):
            return quote(value)
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self.attribute(element, hint) for element in value) + "]"
        if not isinstance(value, np.ndarray):
            raise InternalError(f"an attribute of {type(value)} has no text form: {value!r}")
        array = plain(value)
        if array.size <= INLINE:
            return f"{tensor_head(array)} [{' '.join(tensor_words(array))}]"
        return "@" + self._entry(array, hint)

    def _entry(self, array: np.ndarray, hint: str) -> str:
        """The data entry that holds the array: a new one, unless an equal array has one."""
        key = (array.dtype.name, array.shape, hashlib.blake2b(array.tobytes()).digest())
        if key not in self._names:
            base = re.sub(r"\W", "_", hint)
            base = base if re.match(r"[^\W\d]", base) else "v" + base
            name, number = base, 1
            while name in self.data:
                number += 1
                name = f"{base}_{number}"
            self._names[key] = name
            self.data[name] = array
        return self._names[key]

    def data_lines(self) -> Iterator[str]:
        for name, array in self.data.items():
            yield f"  {name} = {tensor_head(array)} ["
            yield from _wrapped(tensor_words(array), "    ")
            yield "  ]"


def _is_default(attr: Attr | None, value: Any) -> bool:
    """Would the parser put in this very value? Told by the text, since 0, 0.0, -0.0 and False are equal."""
    if attr is None or value is attr.default or (isinstance(value, list) and value == attr.default):
        return attr is not None
    scalar = (bool, int, float, str, np.generic)
    if not (isinstance(value, scalar) and isinstance(attr.default, scalar)):
        return False
    return _Printer().attribute(value, "") == _Printer().attribute(attr.default, "")


def _wrapped(words: Iterable[str], indent: str) -> Iterator[str]:
    """Words in lines of at most WIDTH columns."""
    line: list[str] = []
    length = len(indent)
    for word in words:
        if line and length + len(word) > WIDTH:
            yield indent + " ".join(line)
            line, length = [], len(indent)
        line.append(word)
        length += len(word) + 1
    if line:
        yield indent + " ".join(line)


# -- parsing ----------------------------------------------------------------------------------------------------------


def parse_module(text: str, filename: str = "<text>") -> Module:
    """The module of a text. Raises SccError with every problem that was found; a syntax error is found alone.

    Attributes that are left out and have a default get it.
    """
    source = Source(text, filename)
    return _Reader(source).module(source.parse("module"))


class _Parts(NamedTuple):
    """The pieces of an operation's syntax tree."""

    result: lark.Token | None
    name: lark.Token
    operands: list[lark.Token]
    attributes: list[Node]
    type: Node | None
    origin: lark.Token | None

    @classmethod
    def of(cls, tree: Node) -> _Parts:
        result, name, operands, attributes, type, origin = tree.children
        return cls(
            result, name, operands.children if operands else [], attributes.children if attributes else [], type, origin
        )

    @property
    def start(self) -> lark.Token:
        """The operation's first token."""
        return self.result if self.result is not None else self.name


class _Reader:
    """Builds a module from a syntax tree. Problems are collected, and reading goes on behind them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems = Collector()
        self.data: dict[str, np.ndarray | None] = {}
        self.values: dict[str, Value] = {}
        self.untyped: set[Value] = set()

    def module(self, tree: Node) -> Module:
        name, *operations, data = tree.children
        module = Module()
        with self.problems.catching():
            module.name = name_of(name, self.source)
        for entry in data.children if data is not None else ():
            self._entry(*entry.children)
        module.ops = [self._operation(_Parts.of(operation)) for operation in operations]
        self.problems.diagnostics.sort(key=lambda d: (d.location.line or 0, d.location.column or 0))
        self.problems.raise_if_any()
        return module

    def _complain(self, token: lark.Token, message: str, advice: str = "") -> None:
        self.problems.diagnostics.extend(self.source.error(token, message, advice).diagnostics)

    def _entry(self, name: lark.Token, tensor: Node) -> None:
        """A data entry; one that cannot be read is known, so that its uses are not reported too."""
        if name in self.data:
            self._complain(name, f"data entry '{name}' is defined twice")
            return
        self.data[str(name)] = None
        with self.problems.catching():
            self.data[str(name)] = read_tensor(tensor, self.source)

    # -- operations -------------------------------------------------------------------------------------------------

    def _operation(self, parts: _Parts) -> Operation:
        """One operation; whatever is wrong with it, its result is defined afterwards."""
        problems = len(self.problems.diagnostics)
        op = Operation(str(parts.name), location=self.source.location(parts.start))
        op.operands = self._operands(parts.operands)
        op.attributes = self._attributes(parts.attributes)
        declared = None
        if parts.origin is not None:
            with self.problems.catching():
                op.origin = unquote(parts.origin, parts.origin, self.source)
        if parts.type is not None:
            with self.problems.catching():
                declared = read_type(parts.type, self.source)
        if op.name in REGISTRY:
            self._check_form(REGISTRY[op.name], parts)
            self._check_attributes(op, REGISTRY[op.name], parts)
        else:
            known = [definition.name for definition in REGISTRY]
            self._complain(parts.name, f"unknown operation '{op.name}'", nearest(op.name, known))
        if parts.result is not None:
            self._define(parts.result, op, declared)
        readable = all(attribute.children[0] in op.attributes for attribute in parts.attributes)
        if readable and len(self.problems.diagnostics) == problems and not self.untyped.intersection(op.operands):
            self._check_inference(op, parts)
        return op

    def _operands(self, tokens: Iterable[lark.Token]) -> list[Value]:
        """The operands that are defined; the others are reported."""
        values = []
        for token in tokens:
            with self.problems.catching():
                name = name_of(token, self.source)
                if name not in self.values:
                    known = [symbol("%", known) for known in self.values]
                    raise self.source.error(token, f"undefined value {token}", nearest(token, known))
                values.append(self.values[name])
        return values

    def _define(self, token: lark.Token, op: Operation, type: Type | None) -> None:
        """Name the result. Where its type is not known, what reads it cannot be checked."""
        with self.problems.catching():
            op.result = Value(name_of(token, self.source), type or Type(()), op)
            if type is None:
                self.untyped.add(op.result)
            first = self.values.setdefault(op.result.name, op.result).op
            if first is not None and first is not op:
                raise self.source.error(
                    token, f"value {token} is defined twice", f"first in line {first.location.line}"
                )

    def _check_form(self, definition: Op, parts: _Parts) -> None:
        """Are there as many operands, results and types as the op has?"""
        name, wanted = parts.name, definition.operands
        if len(parts.operands) != len(wanted):
            listed = f"{len(wanted)} operand{'' if len(wanted) == 1 else 's'}"
            listed += f" ({', '.join(wanted)})" if wanted else ""
            self._complain(name, f"{name} takes {listed}, and has {len(parts.operands)}")
        if not definition.has_result:
            if parts.result is not None or parts.type is not None:
                self._complain(parts.start, f"{name} has no result")
            return
        if parts.result is None:
            self._complain(name, f"the result of {name} needs a name", f"write: %name = {name} ...")
        if parts.type is None:
            self._complain(name, f"the result of {name} needs a type", "write: ... : type")

    def _check_attributes(self, op: Operation, definition: Op, parts: _Parts) -> None:
        """Are all attributes known, given once, of the right kind and complete? Those left out get their default."""
        name, given = parts.name, set()
        for key, _ in (attribute.children for attribute in parts.attributes):
            attr = definition.attributes.get(key)
            if key in given:
                self._complain(key, f"attribute '{key}' is given twice")
            elif attr is None:
                self._complain(key, f"{name} has no attribute '{key}'", nearest(key, definition.attributes))
            elif key in op.attributes and not _accepts(attr, op.attributes[key]):
                shown = clipped(_Printer().attribute(op.attributes[key], str(key)))
                kind = _KINDS.get(attr.kind, attr.kind)
                self._complain(key, f"attribute '{key}' of {name} must be {kind}, and is {shown}")
            given.add(str(key))
        definition.fill_defaults(op)
        for key in sorted(definition.attributes.keys() - given - op.attributes.keys()):
            self._complain(name, f"{name} needs the attribute '{key}'", f"{key}: {definition.attributes[key].doc}")

    def _check_inference(self, op: Operation, parts: _Parts) -> None:
        """Does the op take these operands, and is its result what the text says?"""
        start = parts.start
        try:
            inferred = REGISTRY[op.name].infer(op)
        except SccError as error:
            excerpt = self.source.excerpt(start.line or 1, start.column or 1)
            for d in error.diagnostics:
                self.problems.diagnostics.append(replace(d, location=op.place(), excerpt=d.excerpt or excerpt))
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            # What no op's own checks foresaw. Behind another problem it is a consequence: `infer` may look at the
            # operations that the operands come from, and one of them is broken.
            if not self.problems.diagnostics:
                self._complain(start, f"{op.name} does not take these operands and attributes: {error}")
        else:
            if op.result is not None and parts.type is not None and op.result.type != inferred:
                name = symbol("%", op.result.name)
                message = f"{name} is declared as {op.result.type}, and {op.name} makes it {inferred}"
                self._complain(parts.type.children[0], message)

    # -- attribute values -------------------------------------------------------------------------------------------

    def _attributes(self, trees: Iterable[Node]) -> dict[str, Attribute]:
        """The attributes that can be read; the others are reported."""
        attributes: dict[str, Attribute] = {}
        for tree in trees:
            key, value = tree.children
            with self.problems.catching():
                attributes.setdefault(str(key), self._value(value, key))
        return attributes

    def _value(self, node: Any, near: lark.Token, depth: int = 0) -> Any:
        """An attribute's value; `near` is a token close to it. Raises SccError."""
        if isinstance(node, lark.Tree):
            if node.data == "tensor":
                return read_tensor(node, self.source)
            if depth >= DEEPEST:
                raise self.source.error(near, f"lists are nested more than {DEEPEST} deep")
            return [self._value(child, near, depth + 1) for child in node.children]
        if node.type == "STRING":
            return unquote(node, node, self.source)
        if node.type == "NUMBER":
            return integer(node, node, self.source) if re.fullmatch("-?[0-9]+", node) else float(node)
        if node.type == "SYMBOL":
            return self._reference(node)
        if node in WORDS:
            return WORDS[node]
        raise self.source.error(node, f"unknown word '{clipped(node)}'", nearest(node, [*WORDS, "inf", "nan"]))

    def _reference(self, token: lark.Token) -> np.ndarray:
        """A copy of a data entry, since entries are shared and attributes are not."""
        name = name_of(token, self.source)
        if name not in self.data:
            raise self.source.error(token, f"unknown data entry {token}", nearest(name, self.data))
        array = self.data[name]
        if array is None:
            raise SccError(())  # its own problem is reported, and this operation cannot be checked
        return array.copy()


def _accepts(attr: Attr, value: Any) -> bool:
    """Attr.accepts, and the elements of a list too."""
    if attr.kind == "ints" and isinstance(value, list):
        return all(isinstance(element, int) and not isinstance(element, bool) for element in value)
    return attr.accepts(value)
