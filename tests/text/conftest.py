"""The hand-written module that the tests of the text form share."""

import pytest

GOLDEN = """\
module @tiny {
  %x = sc.input {bits = 5, encoding = "unipolar", name = "image", shape = [6]} : level<6, unipolar, bits=5>
  %r = sc.source {bits = 5, index = 1, kind = "sobol"} : random<scalar, bits=5>
  %xs = sc.sng %x, %r {length = 32} : stream<6, unipolar, length=32>
  %w = sc.constant {bits = 5, encoding = "signed", levels = @w_levels} : level<3x6, signed, bits=5> from "fc1"
  %s = sc.source {bits = 5, kind = "ramp"} : random<scalar, bits=5>
  %m = sc.mask %s {masks = int64<3x1> [0 7 21]} : random<3x1, bits=5>
  %ws = sc.sng %w, %m {length = 32} : stream<3x6, signed, length=32> from "fc1"
  %c = sc.dot %xs, %ws {layer = "fc1"} : count<3, -3..4, length=32> from "fc1"
  %t = sc.accumulate %c {initial = int64<3> [40 -8 0], layer = "fc1"} : total<3, -104..168> from "fc1"
  sc.output %t {name = "logits", scale = 0.125} from "fc1"
}
data {
  w_levels = int64<3x6> [
    1 -2 3 -4 5 -6 0 0 7 -32 0 0 32 31 0 2 1 -1
  ]
}
"""


@pytest.fixture(scope="session")
def golden() -> str:
    """The text of a module that has every type but real, exactly as it is printed."""
    return GOLDEN
