"""The pipeline as text: it round-trips, and a fault in it is shown with a caret below it."""

from __future__ import annotations

import pytest

from sccc.diagnostics import SccError
from sccc.passes import DEFAULT_PIPELINE, PASSES, parse_pipeline


@pytest.mark.parametrize(
    "text",
    [DEFAULT_PIPELINE, "quantize{weights=per-channel scales=power-of-two},lower", "share-sngs{sharing=none}"],
)
def test_round_trip(text):
    passes = parse_pipeline(text)
    assert ",".join(map(str, passes)) == text
    assert parse_pipeline(",".join(map(str, passes))) == passes


def test_spaces_and_commas_between_options_do_not_matter():
    loose = " quantize { weights = per-channel , scales=any } , lower "
    assert parse_pipeline(loose.replace("quantize {", "quantize{")) == parse_pipeline(
        "quantize{weights=per-channel scales=any},lower"
    )


# § marks where the caret must stand.
FAULTS = [
    ("§quantise", "unknown pass 'quantise'", "did you mean 'quantize'?"),
    ("lower,§lowr", "unknown pass 'lowr'", "did you mean 'lower'?"),
    ("quantize{§wieghts=per-channel}", "pass 'quantize' has no option 'wieghts'", "did you mean 'weights'?"),
    ("lower{§x=1}", "pass 'lower' has no option 'x'", ""),
    ("quantize{weights=§per-chanel}", "unknown value 'per-chanel'", "did you mean 'per-channel'?"),
    ("quantize{weights=per-channel §weights=per-tensor}", "option 'weights' is given twice", ""),
    ("lower,§", "expected a pass after the comma", ""),
    ("§", "expected a pass", ""),
    ("§,lower", "expected a pass", ""),
    ("lower §quantize", "expected a pass", ""),
    ("lower§}", "expected a pass", ""),
    ("quantize§{weights=per-channel", "expected a pass", ""),
    ("lower,§9", "expected a pass", ""),
]


@pytest.mark.parametrize(("marked", "message", "advice"), FAULTS, ids=[m for m, _, _ in FAULTS])
def test_faults_are_shown_where_they_are(marked, message, advice):
    text = marked.replace("§", "")
    with pytest.raises(SccError) as caught:
        parse_pipeline(text)
    (diagnostic,) = caught.value.diagnostics
    assert message in diagnostic.message and advice in diagnostic.advice
    assert diagnostic.location.option == "--passes"
    source, caret = (*diagnostic.excerpt.split("\n"), "")[:2]
    assert source == text and caret == " " * marked.index("§") + "^"


def test_an_option_without_a_value():
    with pytest.raises(SccError, match="expected option=value"):
        parse_pipeline("quantize{weights}")


def test_every_pass_says_what_it_does_and_is_constructible_from_its_name():
    for cls in PASSES:
        assert cls.__doc__ and cls.__doc__.strip().endswith(".")
        assert parse_pipeline(cls.name) == [cls()]
