"""A damaged text parses or is the user's error: no other exception ever comes out of the parser."""

import contextlib
import random

import pytest

from sccc.diagnostics import SccError
from sccc.text import parse_module, parse_type, print_module

SNIPPETS = [
    "%", "@", '"', "\\", "[", "]", "{", "}", "<", ">", "=", ",", ":", "..", "//", "\n", "\r", "\t", "\x00", "\u2028",
    "\ud800", "½", "", "-", "0", "-1", "99999999999999999999", "1e999", "nan", "inf", "true", "scalar", "0x0", "[[]]",
    "int64<0> []", "float64<2> [0 nan]", "from", "%x", "%c", "@w_levels", "nn.tanh", "sc.dot", "sc.accumulate",
    "real<4>", "signed", "bipolar", "lfsr", "bits=0",
]  # fmt: skip


def mutate(text: str, rng: random.Random) -> str:
    """Up to four edits: cut, replace a token, insert, double, or swap two pieces of the text."""
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        i, j = sorted(rng.choices(range(len(text) + 1), k=2))
        j = min(j, i + rng.randint(0, 12))
        edit = rng.randrange(6)
        if edit == 0:
            text = text[:i] + text[j:]
        elif edit == 1:
            text = text[:i] + rng.choice(SNIPPETS) + text[i:]
        elif edit == 2:
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(SNIPPETS)
            text = " ".join(words)
        elif edit == 3:
            text = text[:j] + text[i:]
        elif edit == 4:
            lines = text.split("\n")
            a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[a], lines[b] = lines[b], lines[a]
            text = "\n".join(lines)
        else:
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(words)
            text = " ".join(words)
    return text


@pytest.mark.parametrize("block", range(8))
def test_mutations(golden, block):
    parsed = 0
    for seed in range(block * 100, block * 100 + 100):
        text = mutate(golden, random.Random(seed))
        try:
            module = parse_module(text, "fuzz.sc")
        except SccError as error:
            for diagnostic in error.diagnostics:
                line, column = diagnostic.location.line, diagnostic.location.column
                assert 1 <= line <= text.count("\n") + 1, seed
                assert 1 <= column <= len(text.split("\n")[line - 1]) + 1, seed
                assert diagnostic.excerpt.endswith("^") and diagnostic.message, seed
        else:
            parsed += 1
            printed = print_module(module)
            assert print_module(parse_module(printed)) == printed, seed
    assert 0 < parsed < 50  # both happen, and most damage is noticed


def test_mutated_types():
    rng = random.Random(5)
    for _ in range(300):
        text = mutate("count<3x4, -12..34, length=32>", rng)
        try:
            assert parse_type(str(parse_type(text))) == parse_type(text)
        except SccError as error:
            assert error.diagnostics[0].excerpt


def test_every_prefix(golden):
    for end in range(0, len(golden), 3):
        whole = end > golden.index("\n}")  # from here on the prefix may be a text of its own
        with contextlib.suppress(SccError) if whole else pytest.raises(SccError):
            parse_module(golden[:end])
