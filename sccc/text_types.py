"""What all text of the IR has in common: the grammar, places in the text, syntax errors, names, tensors and types.

The grammar is `grammar/sc.lark`. How a type is written follows from its dataclass fields (`parameters`), so that a new
type needs one line in `TYPES` and nothing else here.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import re
import typing
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any

import lark
import numpy as np

from sccc.diagnostics import InternalError, Location, SccError, caret_excerpt, nearest
from sccc.types import Count, Fixed, Level, Random, Real, Shape, Stream, Total, Type

Node = Any
"""A tree of lark; the grammar says what its children are."""

TYPES: dict[str, type[Type]] = {
    "real": Real,
    "level": Level,
    "random": Random,
    "stream": Stream,
    "count": Count,
    "total": Total,
    "fixed": Fixed,
}

# How terminals are called in messages; those that are not here are shown as they are written.
_SPOKEN = {
    "SYMBOL": "a name such as @net",
    "VALUE": "a value such as %x",
    "RESULT": "a result such as '%x ='",
    "OP": "an operation such as nn.tanh",
    "NAME": "a word",
    "NUMBER": "a number",
    "NUMBERS": "numbers in [ ]",
    "INT": "an integer",
    "DIMS": "a shape such as 2x3",
    "STRING": "a string in quotes",
    "$END": "the end of the text",
}
_IGNORED = {"COMMENT", "WHITESPACE"}
_SHORT_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", '"': '"', "\\": "\\"}
_ESCAPED = {short: char for char, short in _SHORT_ESCAPES.items()}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)


@functools.cache
def grammar() -> lark.Lark:
    """The parser for modules and types, built on first use."""
    text = resources.files("sccc.grammar").joinpath("sc.lark").read_text(encoding="utf-8")
    return lark.Lark(text, parser="lalr", start=["module", "type"], maybe_placeholders=True)


# -- places -----------------------------------------------------------------------------------------------------------


class Source:
    """A text with its file name: parses it, and makes errors that show a place in it."""

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename
        self._lines = text.split("\n")

    def location(self, token: lark.Token) -> Location:
        """Where a token starts."""
        return Location(self.filename, token.line, token.column)

    def excerpt(self, line: int, column: int) -> str:
        """The line with a caret; whatever would break or shift it (tabs, control characters) is shown as a space."""
        shown = "".join(c if c.isprintable() else " " for c in self._lines[line - 1])
        return caret_excerpt(shown, 1, column)

    def error(self, token: lark.Token, message: str, advice: str = "") -> SccError:
        """An error at the start of a token."""
        location = self.location(token)
        return SccError(message, location, advice, self.excerpt(token.line or 1, token.column or 1))

    def parse(self, start: str) -> Node:
        """The syntax tree of the text, from the grammar's rule `start`. Raises SccError."""
        try:
            return grammar().parse(self.text, start=start)
        except lark.UnexpectedInput as problem:
            error = self._syntax_error(problem)
        raise error

    def _syntax_error(self, problem: lark.UnexpectedInput) -> SccError:
        line, column = problem.line, problem.column
        if isinstance(problem, lark.UnexpectedToken):
            expected, found = problem.accepts or problem.expected, f"'{clipped(problem.token)}'"
            message = f"unexpected {found}: expected {_spoken(expected)}"
            if problem.token.type == "$END":  # lark places it at the last token
                written = self.text.rstrip()
                line, column = written.count("\n") + 1, len(written) - written.rfind("\n")
                message = f"the text ends too early: expected {_spoken(expected)}"
            elif found == "'['" and "NUMBERS" in expected:
                message = "this list of numbers is not closed by ], or has a [ or / inside"
        else:
            assert isinstance(problem, lark.UnexpectedCharacters)
            message = f"unexpected {problem.char!r}: expected {_spoken(problem.allowed)}"
            if problem.char == '"':
                message = "a string is not closed on its line"
        return SccError(message, Location(self.filename, line, column), "", self.excerpt(line, column))


def clipped(token: str, width: int = 24) -> str:
    """The first line of a token, cut to `width` characters."""
    first = token.split("\n", 1)[0]
    return first if first == token and len(token) <= width else first[:width] + "..."


def _spoken(terminals: Iterable[str]) -> str:
    """'x, y or z' for names of terminals."""
    words = []
    for name in sorted(set(terminals) - _IGNORED):
        words.append(_SPOKEN.get(name) or f"'{grammar().get_terminal(name).pattern.value}'")
    words = sorted(set(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# -- names, strings and integers --------------------------------------------------------------------------------------


def quote(text: str) -> str:
    """A string in quotes; what is not printable is escaped, so that it stays on one line and shows as it is."""
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in text) + '"'


def _escape(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return "\\" + _SHORT_ESCAPES[char]
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def unquote(quoted: str, token: lark.Token, source: Source) -> str:
    """The string that `quote` has written as `quoted`, which is part of `token`. Raises SccError."""

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code in _ESCAPED:
            return _ESCAPED[code]
        if len(code) > 1 and int(code[1:], 16) <= 0x10FFFF:
            return chr(int(code[1:], 16))
        raise source.error(
            token, f"unknown escape '{match[0]}' in a string", 'known: \\n \\r \\t \\" \\\\ \\uXXXX \\UXXXXXXXX'
        )

    return _ESCAPE.sub(replace, quoted[1:-1])


def symbol(sigil: str, name: str) -> str:
    """`@name` or `%name`, with quotes where the name is not a word."""
    return sigil + (name if re.fullmatch(r"\w+", name) else quote(name))


def name_of(token: lark.Token, source: Source) -> str:
    """The name that `symbol` has written. Raises SccError."""
    name = token[1:]
    return unquote(name, token, source) if name.startswith('"') else name


def integer(digits: str, token: lark.Token, source: Source) -> int:
    """An integer of the text. Raises SccError when it has more digits than Python reads (4300)."""
    try:
        return int(digits)
    except ValueError:
        raise source.error(token, f"an integer of {len(digits)} digits is too long") from None


def read_shape(token: lark.Token, source: Source) -> Shape:
    """A shape: `scalar` or axes joined by x. Raises SccError."""
    if token.type == "DIMS":
        return tuple(integer(axis, token, source) for axis in token.split("x"))
    if token != "scalar":
        raise source.error(token, f"unknown shape '{clipped(token)}'", "a shape is 'scalar', or axes such as 2x3")
    return ()


# -- tensors ----------------------------------------------------------------------------------------------------------

WORDS = {"true": True, "false": False}
# Element types: the kinds of numpy's types that are written so, and how a word is read.
_ELEMENTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "bool": ("b", WORDS.__getitem__),
    "int64": ("iu", int),
    "float64": ("f", float),
}


def plain(array: np.ndarray) -> np.ndarray:
    """The array in that element type of the text which holds its numbers exactly. Raises InternalError."""
    for name, (kinds, _) in _ELEMENTS.items():
        if array.dtype.kind in kinds:
            found = array.astype(name, copy=False)
            if found is array or np.array_equal(found, array, equal_nan=name == "float64"):
                return found
    raise InternalError(f"a tensor of {array.dtype} has no text form")


def tensor_head(array: np.ndarray) -> str:
    """Element type and shape, of a plain array."""
    return f"{array.dtype.name}<{'x'.join(map(str, array.shape)) or 'scalar'}>"


def tensor_words(array: np.ndarray) -> Iterable[str]:
    """The elements of a plain array in row-major order, exactly."""
    elements = array.ravel().tolist()
    return (str(element).lower() for element in elements) if array.dtype == np.bool_ else map(repr, elements)


def read_tensor(tree: Node, source: Source) -> np.ndarray:
    """A tensor. Nothing is allocated before its shape is compared with the numbers that are there. Raises SccError."""
    element, shape, numbers = tree.children
    if element not in _ELEMENTS:
        raise source.error(element, f"unknown element type '{element}'", nearest(element, _ELEMENTS))
    axes = read_shape(shape, source)
    words = re.sub("//[^\n]*", "", numbers)[1:-1].split()
    if len(words) != math.prod(axes):
        message = f"a tensor of shape {clipped(shape)} has {math.prod(axes)} elements, and here are {len(words)}"
        raise source.error(shape, message)
    try:
        flat = np.array(list(map(_ELEMENTS[element][1], words)), dtype=str(element))
    except (ValueError, OverflowError, KeyError):
        raise _bad_number(element, numbers, source) from None
    try:
        return flat.reshape(axes)
    except (ValueError, OverflowError):
        raise source.error(shape, f"a shape of {len(axes)} axes ({clipped(shape)}) is not supported") from None


def _bad_number(element: lark.Token, numbers: lark.Token, source: Source) -> SccError:
    """An error at the first word of a list of numbers that is not of the element type."""
    without_comments = re.sub("//[^\n]*", lambda comment: " " * len(comment[0]), numbers[1:-1])
    for match in re.finditer(r"\S+", without_comments):
        try:
            np.array(_ELEMENTS[element][1](match[0]), dtype=str(element))
        except (ValueError, OverflowError, KeyError):
            before = numbers[: match.start() + 1]
            breaks = before.count("\n")
            column = len(before) - before.rfind("\n") if breaks else (numbers.column or 1) + len(before)
            place = lark.Token("NUMBER", match[0], line=(numbers.line or 1) + breaks, column=column)
            return source.error(place, f"'{clipped(match[0])}' is no {element}")
    raise InternalError("a list of numbers could not be read, and each of its words can")


# -- types ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What stands between two commas of a type: a word of an enumeration, a range lo..hi, or name=integer."""

    rule: str
    fields: tuple[str, ...]
    words: type[enum.Enum] | None = None

    def __str__(self) -> str:
        """How it is written, for messages."""
        if self.words is not None:
            return "|".join(member.value for member in self.words)
        return "..".join(self.fields) if self.rule == "range" else f"{self.fields[0]}=N"

    def read(self, tree: Node, source: Source) -> dict[str, Any]:
        """The dataclass fields that a subtree of the same rule gives. Raises SccError."""
        tokens = [token for token in tree.children if isinstance(token, lark.Token)]
        if self.words is not None:
            known = [member.value for member in self.words]
            if tokens[0] not in known:
                raise source.error(tokens[0], f"unknown {self.fields[0]} '{tokens[0]}'", nearest(tokens[0], known))
            return {self.fields[0]: self.words(str(tokens[0]))}
        if self.rule == "named" and tokens[0] != self.fields[0]:
            raise source.error(tokens[0], f"unknown parameter '{tokens[0]}'", f"did you mean '{self.fields[0]}'?")
        numbers = [integer(token, token, source) for token in tokens if token.type == "INT"]
        return dict(zip(self.fields, numbers, strict=True))


@functools.cache
def parameters(name: str) -> tuple[Parameter, ...]:
    """How the type `name` is written behind its shape, from its dataclass fields: `lo` and `hi` make a range."""
    kind = TYPES[name]
    hints = typing.get_type_hints(kind)
    found = []
    for field in [field.name for field in dataclasses.fields(kind) if field.name not in ("shape", "hi")]:
        if isinstance(hints[field], type) and issubclass(hints[field], enum.Enum):
            found.append(Parameter("word", (field,), hints[field]))
        else:
            found.append(Parameter("range", ("lo", "hi")) if field == "lo" else Parameter("named", (field,)))
    return tuple(found)


def read_type(tree: Node, source: Source) -> Type:
    """The type of a syntax tree. Raises SccError."""
    name, shape, *given = tree.children
    if name not in TYPES:
        raise source.error(name, f"unknown type '{name}'", nearest(name, TYPES))
    expected = parameters(name)
    if [parameter.rule for parameter in expected] != [subtree.data for subtree in given]:
        form = ", ".join(["shape", *map(str, expected)])
        raise source.error(name, f"a {name} has other parameters", f"it is written {name}<{form}>")
    fields: dict[str, Any] = {"shape": read_shape(shape, source)}
    for parameter, subtree in zip(expected, given, strict=True):
        fields.update(parameter.read(subtree, source))
    return TYPES[name](**fields)


def parse_type(text: str, filename: str = "<type>") -> Type:
    """The type that `str(type)` has printed as `text`. Raises SccError."""
    source = Source(text, filename)
    return read_type(source.parse("type"), source)
