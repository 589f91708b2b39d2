"""Every error of the text form, with its place: § stands before the character that the caret must show."""

import pytest

from sccc.diagnostics import SccError
from sccc.text import parse_module, parse_type

X = '%x = nn.input {name = "i", shape = [4]} : real<4>'


def body(*lines: str, data: str = "") -> str:
    """A module of an input %x, in line 2, and of the given lines; `data` is the body of its data section."""
    section = f"data {{\n{data}\n}}\n" if data else ""
    return "\n  ".join(["module @m {", X, *lines]) + "\n}\n" + section


def failure(marked: str) -> SccError:
    with pytest.raises(SccError) as caught:
        parse_module(marked.replace("§", ""), "net.sc")
    return caught.value


def check_places(marked: str, error: SccError) -> None:
    """Each diagnostic is at a mark (in order), and its excerpt is that line with a caret below the marked character."""
    places = []
    for number, line in enumerate(marked.splitlines(), 1):
        while "§" in line:
            places.append((number, line.index("§") + 1))
            line = line.replace("§", "", 1)
    assert [(d.location.line, d.location.column) for d in error.diagnostics] == places
    for diagnostic, (line, column) in zip(error.diagnostics, places, strict=True):
        assert diagnostic.location.file == "net.sc"
        source = marked.replace("§", "").split("\n")[line - 1]
        assert diagnostic.excerpt.splitlines() == [source, " " * (column - 1) + "^"]
        assert f"net.sc:{line}:{column}" in str(error)


SEMANTIC = {
    "unknown op": (body("%y = §nn.tan %x : real<4>"), "unknown operation 'nn.tan'", "did you mean 'nn.tanh'?"),
    "unknown attribute": (body("%y = nn.clip %x {§lw = 0.0} : real<4>"), "nn.clip has no attribute 'lw'", "known: hi, lo"),
    "no attributes": (body("%y = nn.tanh %x {§lo = 0.0} : real<4>"), "nn.tanh has no attribute 'lo'", ""),
    "missing attribute": (body("%y = §nn.reshape %x : real<4>"), "nn.reshape needs the attribute 'shape'", "new shape"),
    "attribute twice": (body("%y = nn.clip %x {lo = 0.0, §lo = 1.0} : real<4>"), "'lo' is given twice", ""),
    "kind float": (body('%y = nn.clip %x {§lo = "0"} : real<4>'), "'lo' of nn.clip must be a number, and is \"0\"", ""),
    "kind float, bool": (body("%y = nn.clip %x {§lo = true} : real<4>"), "must be a number, and is true", ""),
    "kind ints": (body("%y = nn.reshape %x {§shape = 4} : real<4>"), "must be a list of integers, and is 4", ""),
    "kind of elements": (body("%y = nn.reshape %x {§shape = [4.0]} : real<4>"), "a list of integers, and is [4.0]", ""),
    "kind str": (body("nn.output %x {§name = 1}"), "must be a string, and is 1", ""),
    "kind tensor": (body('%y = nn.constant {§value = "a"} : real<4>'), "must be a tensor or a number", ""),
    "kind int": (body("%y = nn.quantize %x {hi = 7, §lo = 1.5, scale = 1.0} : real<4>"), "must be an integer", ""),
    "undefined value": (body("%y = nn.tanh §%xx : real<4>"), "undefined value %xx", "did you mean '%x'?"),
    "later value": (body("%y = nn.tanh §%z : real<4>", "%z = nn.tanh %x : real<4>"), "undefined value %z", ""),
    "value twice": (body("§%x = nn.tanh %x : real<4>"), "value %x is defined twice", "first in line 2"),
    "too few operands": (body("%y = §nn.tanh : real<4>"), "nn.tanh takes 1 operand (x), and has 0", ""),
    "too many operands": (body("%y = §nn.tanh %x, %x : real<4>"), "nn.tanh takes 1 operand (x), and has 2", ""),
    "two operands": (body("%y = §sc.sng %x {length = 1} : real<4>"), "takes 2 operands (level, random), and has 1", ""),
    "no operands": (body("%y = §nn.constant %x {value = 1.0} : real<4>"), "takes 0 operands, and has 1", ""),
    "no name": (body("§nn.tanh %x : real<4>"), "the result of nn.tanh needs a name", "write: %name = nn.tanh"),
    "no type": (body("%y = §nn.tanh %x"), "the result of nn.tanh needs a type", "write: ... : type"),
    "needless result": (body('§%y = nn.output %x {name = "y"}'), "nn.output has no result", ""),
    "needless type": (body('§nn.output %x {name = "y"} : real<4>'), "nn.output has no result", ""),
    "wrong type": (body("%y = nn.tanh %x : §real<5>"), "%y is declared as real<5>, and nn.tanh makes it real<4>", ""),
    "wrong kind of type": (body("%y = nn.tanh %x : §total<4, 0..1>"), "declared as total<4, 0..1>", ""),
    "inference": (body("§%y = nn.reshape %x {shape = [5]} : real<5>"), "cannot reshape (4,) to (5,)", ""),
    "inference, no result": (
        body(
            '%z = sc.input {bits = 5, encoding = "signed", name = "z", shape = [1]} : level<1, signed, bits=5>',
            '§nn.output %z {name = "y"}',
        ),
        "operand %z must be a real, and is level<1, signed, bits=5>", ""
    ),
    "unknown type": (body("%y = nn.tanh %x : §reel<4>"), "unknown type 'reel'", "did you mean 'real'?"),
    "unknown encoding": (body("%y = nn.tanh %x : level<4, §unipola, bits=5>"), "unknown encoding", "unipolar"),
    "unknown parameter": (body("%y = nn.tanh %x : random<4, §bit=5>"), "unknown parameter 'bit'", "mean 'bits'?"),
    "other parameters": (
        body("%y = nn.tanh %x : §level<4, bits=5>"), "a level has", "level<shape, unipolar|bipolar|signed, bits=N>"
    ),
    "too many parameters": (body("%y = nn.tanh %x : §real<4, 1..2>"), "a real has other parameters", "real<shape>"),
    "range missing": (body("%y = nn.tanh %x : §count<4, length=5>"), "a count has", "count<shape, lo..hi, length=N>"),
    "unknown shape": (body("%y = nn.tanh %x : real<§scalr>"), "unknown shape 'scalr'", "a shape is 'scalar'"),
    "unknown word": (body("%y = nn.clip %x {lo = §infi} : real<4>"), "unknown word 'infi'", "did you mean 'inf'?"),
    "unknown data": (body("%y = nn.constant {value = §@w1} : real<4>", data="w = int64<1> [1]"), "unknown data", "'w'"),
    "no data": (body("%y = nn.constant {value = §@w} : real<4>"), "unknown data entry @w", ""),
    "data twice": (body(data="w = int64<1> [1]\n  §w = int64<1> [2]"), "data entry 'w' is defined twice", ""),
    "data unreadable": (
        body("%y = nn.constant {value = @w} : real<4>", data="w = int64<§1> [1 2]"), "1 elements, and here are 2", ""
    ),
    "inline count": (body("%y = nn.constant {value = int64<§2x3> [1 2 3]} : real<4>"), "has 6 elements, and", ""),
    "scalar count": (body("%y = nn.constant {value = int64<§scalar> []} : real<4>"), "has 1 elements, and", ""),
    "too many axes": (body(f"%y = nn.constant {{value = int64<§{'1x' * 70}1> [1]}} : real<4>"), "71 axes", ""),
    "element type": (body("%y = nn.constant {value = §int8<1> [1]} : real<4>"), "unknown element type 'int8'", "int64"),
    "not an int64": (body("%y = nn.constant {value = int64<2> [1 §2.5]} : real<4>"), "'2.5' is no int64", ""),
    "beyond int64": (body("%y = nn.constant {value = int64<2> [§9223372036854775808 1]} : real<4>"), "is no int64", ""),
    "not a float64": (body("%y = nn.constant {value = float64<1> [§one]} : real<4>"), "'one' is no float64", ""),
    "not a bool": (body("%y = nn.constant {value = bool<2> [true §1]} : real<4>"), "'1' is no bool", ""),
    "deep in data": (body(data="  w = int64<4> [ 1 2 // 9 x\n  3 //\n    §x4 ]"), "'x4' is no int64", ""),
    "list with commas": (body(data="w = int64<2> [§1, 2]"), "'1,' is no int64", ""),
    "escape": (body('%y = nn.tanh %x : real<4> from §"a\\qb"'), "unknown escape '\\q' in a string", "known: \\n"),
    "short escape": (body('%y = nn.tanh %x : real<4> from §"\\u12"'), "unknown escape '\\u' in a string", ""),
    "no such character": (body('%y = nn.tanh %x : real<4> from §"\\U00110000"'), "unknown escape", ""),
    "escape in a name": (body('§%"\\q" = nn.tanh %x : real<4>'), "unknown escape", ""),
    "huge integer": (body(f"%y = nn.clip %x {{lo = 1{'0' * 40}, hi = §1{'0' * 5000}}} : real<4>"), "5001 digits", ""),
    "deep list": (body(f"%y = nn.reshape %x {{§shape = {'[' * 5000}{']' * 5000}}} : real<4>"), "more than 64 deep", ""),
}  # fmt: skip


@pytest.mark.parametrize(("marked", "message", "advice"), SEMANTIC.values(), ids=SEMANTIC)
def test_semantic_error(marked, message, advice):
    error = failure(marked)
    (diagnostic,) = error.diagnostics
    assert message in diagnostic.message
    assert advice in diagnostic.advice
    if max(map(len, marked.splitlines())) < 110:
        check_places(marked, error)
    else:
        before = marked[: marked.index("§")]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        assert (diagnostic.location.line, diagnostic.location.column) == place


SYNTAX = {
    "empty": ("§", "the text ends too early: expected 'module'"),
    "only a comment": ("// nothing§", "the text ends too early: expected 'module'"),
    "no module": ("§%x = nn.tanh %x", "unexpected '%x': expected 'module'"),
    "no name": ("module §{", "unexpected '{': expected a name such as @net"),
    "not closed": ("module @m {\n  nn.tanh§\n\n", "the text ends too early: expected"),
    "text behind": ("module @m { }\n§module @n { }", "unexpected 'module': expected 'data' or the end of the text"),
    "no equals sign": ("module @m {\n  §%y nn.tanh %x : real<4>\n}", "unexpected '%y': expected"),
    "op without dialect": (
        "module @m {\n  %y = §tanh %x\n}",
        "unexpected 'tanh': expected an operation such as nn.tanh",
    ),
    "two equals signs": ("module @m {\n  %y = §= nn.tanh\n}", "expected an operation such as nn.tanh"),
    "no colon": ("module @m {\n  %y = nn.tanh %x §real<4>\n}", "unexpected 'real': expected"),
    "no comma": ("module @m {\n  %y = nn.tanh %x §%z : real<4>\n}", "unexpected '%z': expected"),
    "comma": ("module @m {\n  %y = nn.tanh %x,§: real<4>\n}", "unexpected ':': expected a value such as %x"),
    "no value": ("module @m {\n  nn.clip {lo = §}\n}", "a number"),
    "no key": ("module @m {\n  nn.clip {§1.0}\n}", "expected '}' or a word"),
    "attribute not closed": ("module @m {\n  nn.clip {lo = 1 §: real\n}", "unexpected ':': expected ',' or '}'"),
    "type not closed": ("module @m {\n  %y = nn.tanh : real<4\n§}", "unexpected '}': expected ',' or '>'"),
    "no shape": ("module @m {\n  %y = nn.tanh : real<§>\n}", "unexpected '>': expected a shape such as 2x3 or a word"),
    "negative shape": ("module @m {\n  %y = nn.tanh : real<§-1>\n}", "expected a shape such as 2x3 or a word"),
    "half a range": ("module @m {\n  %y = nn.tanh : total<4, 1..§>\n}", "unexpected '>': expected an integer"),
    "no origin": ("module @m {\n  nn.tanh from §fc1\n}", "unexpected 'fc1': expected a string in quotes"),
    "string not closed": ('module @m {\n  nn.tanh from §"fc1\n}', "a string is not closed on its line"),
    "numbers not closed": (
        "module @m {\n}\ndata {\n  w = int64<4> §[ 1 2\n  v = int64<1> [3]\n}",
        "not closed by ]",
    ),
    "nested numbers": ("module @m {\n}\ndata {\n  w = int64<2> §[[1] [2]]\n}", "has a [ or / inside"),
    "no numbers": ("module @m {\n}\ndata {\n  w = int64<4>\n§}", "unexpected '}': expected numbers in [ ]"),
    "not a tensor": ("module @m {\n}\ndata {\n  w = §1.0\n}", "unexpected '1.0': expected a word"),
    "strange character": ("module @m {\n  §$x = nn.tanh\n}", "unexpected '$': expected"),
    "behind a tab": ("module @m {\n \t §$x\n}", "unexpected '$': expected"),
}


@pytest.mark.parametrize(("marked", "message"), SYNTAX.values(), ids=SYNTAX)
def test_syntax_error(marked, message):
    error = failure(marked)
    assert message in error.diagnostics[0].message
    check_places(marked.replace("\t", " "), error)


def test_no_terminal_of_the_grammar_is_named_in_a_message():
    for marked, _ in SYNTAX.values():
        message = failure(marked).diagnostics[0].message
        assert not any(word.strip("',:").isupper() and len(word) > 3 for word in message.split()), message


def test_what_no_op_foresaw_is_still_the_users_error():
    """sc.mask lets numpy refuse shapes that do not broadcast; the text form gives that a place."""
    marked = body(
        '%r = sc.source {bits = 5, index = int64<2> [0 1], kind = "sobol"} : random<2, bits=5>',
        "§%m = sc.mask %r {masks = int64<3> [0 1 2]} : random<3, bits=5>",
    )
    check_places(marked, failure(marked))


def test_errors_are_reported_together_and_cause_no_others():
    marked = body(
        "%a = nn.tanh §%q : real<4>",
        "%b = §nn.tanch %a : real<4>",
        "%c = nn.tanh %b : §real<5>",
        "%d = nn.constant {value = @w} : real<9>",  # its data entry is unreadable: not a second error
        "%e = nn.tanh %d : §reel<5>",
        "%f = nn.tanh %e : real<5>",  # the type of %e is unknown: not a second error
        "%g = nn.clip %f {§lo = true, §ho = 1.0} : real<5>",
        data="  w = int64<§3> [1 2]",
    )
    error = failure(marked)
    assert len(error.diagnostics) == 7
    check_places(marked, error)  # in the order of the text, although data entries are read first


def test_a_broken_operation_does_not_break_those_that_look_at_it(golden):
    """sc.dot reads the levels of the constant that its weights come from."""
    marked = golden.replace(", levels = @w_levels", "")
    check_places(marked.replace("= sc.constant", "= §sc.constant"), failure(marked))


def test_the_place_of_an_inference_error_names_node_and_op():
    (diagnostic,) = failure(body('%y = nn.reshape %x {shape = [5]} : real<5> from "Reshape_7"')).diagnostics
    assert str(diagnostic.location) == "net.sc:3:3, node 'Reshape_7', op %y = nn.reshape"


def test_the_whole_message_reads_well():
    text = 'module @m {\n  %x = nn.input {name = "i", shape = [4]} : real<4>\n  %y = nn.tahn %x : real<4>\n}\n'
    with pytest.raises(SccError) as caught:
        parse_module(text, "a/net.sc")
    assert str(caught.value) == (
        "error: a/net.sc:3:8: unknown operation 'nn.tahn'\n"
        "  |   %y = nn.tahn %x : real<4>\n"
        "  |        ^\n"
        "  = did you mean 'nn.tanh'?"
    )


def test_a_long_line_is_cut_around_the_caret():
    text = "module @m {\n  %k = nn.constant {value = int64<500> [" + "1 " * 499 + "x]} : real<500>\n}"
    with pytest.raises(SccError) as caught:
        parse_module(text)
    line, caret = caught.value.diagnostics[0].excerpt.splitlines()
    assert len(line) <= 110 and line[caret.index("^")] == "x"


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("real<4", 7, "the text ends too early: expected ',' or '>'"),
        ("reel<4>", 1, "unknown type 'reel'"),
        ("stream<4, unipolar, len=3>", 21, "unknown parameter 'len'"),
        ("real<4> x", 9, "expected the end of the text"),
    ],
)
def test_parse_type(text, column, message):
    with pytest.raises(SccError, match=message) as caught:
        parse_type(text)
    location = caught.value.diagnostics[0].location
    assert (location.file, location.line, location.column) == ("<type>", 1, column)
