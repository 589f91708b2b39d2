"""The memories of folded engines as text for $readmemh: made by numpy, whatever their size."""

from __future__ import annotations

import numpy as np

from sccc.backends.verilog.buses import sign_magnitude
from sccc.engines import ProductEngine, constant_of
from sccc.types import Encoding, Level

_DIGITS = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def hex_text(words: np.ndarray) -> str:
    """Words of bits, uint8 [words, bits], least significant first, as one line of hex each."""
    count, bits = words.shape
    nibbles = -(-bits // 4)
    padded = np.zeros((count, nibbles * 4), dtype=np.uint8)
    padded[:, :bits] = words
    values = padded.reshape(count, nibbles, 4) @ np.array([1, 2, 4, 8], dtype=np.uint8)
    text = np.full((count, nibbles + 1), ord("\n"), dtype=np.uint8)
    text[:, :nibbles] = _DIGITS[values[:, ::-1]]
    return text.tobytes().decode("ascii")


def bits_of(values: np.ndarray, width: int) -> np.ndarray:
    """Two's complement bits of integers, uint8 [..., width], least significant first."""
    return ((values[..., None] >> np.arange(width)) & 1).astype(np.uint8)


def level_codes(values: np.ndarray, kind: Level) -> np.ndarray:
    """Levels as the hardware holds them: sign and magnitude."""
    if kind.encoding is not Encoding.SIGNED:
        return values
    sign = sign_magnitude(-1, kind) & ~1
    codes: np.ndarray = np.abs(values) | np.where(values < 0, sign, 0)
    return codes


def weight_words(engine: ProductEngine) -> np.ndarray:
    """The weights of each window in the order in which they are multiplied: int32 [windows, groups, outputs, taps at once].

    Padding is 0.
    """
    f = engine.folding
    maker = constant_of(engine.op).op
    assert maker is not None
    weights = np.asarray(maker.attributes["levels"]).astype(np.int32)
    g = f.geometry
    if g.window is None:
        taps = weights.reshape(1, g.outputs, g.taps)[:, :, engine.order]
    else:
        taps = weights.reshape(g.groups, g.outputs, f.inner, -1).transpose(0, 1, 3, 2).reshape(g.groups, g.outputs, -1)
    padded = np.zeros((f.group_blocks * f.groups, f.output_blocks * f.outputs, f.tap_blocks * f.taps), dtype=np.int32)
    padded[: g.groups, : g.outputs, : g.taps] = taps
    split = padded.reshape(f.group_blocks, f.groups, f.output_blocks, f.outputs, f.tap_blocks, f.taps)
    return split.transpose(0, 2, 4, 1, 3, 5).reshape(f.windows, f.groups, f.outputs, f.taps)


def weight_planes(words: np.ndarray, kind: Level) -> str:
    """Weight memory of an engine of streams: bit plane by bit plane of the levels, then their signs."""
    signed = kind.encoding is Encoding.SIGNED
    codes = level_codes(words.reshape(len(words), -1), kind)
    planes = [((codes >> k) & 1).astype(np.uint8) for k in range(kind.bits + 1 + signed)]
    return hex_text(np.concatenate(planes, axis=1))


def weight_numbers(words: np.ndarray, width: int) -> str:
    """Weight memory of an engine of numbers: two's complement, lane by lane."""
    return hex_text(bits_of(words, width).reshape(len(words), -1))


def lane_words(values: np.ndarray, order: np.ndarray, shape: tuple[int, ...], size: int) -> np.ndarray | None:
    """Constants of lanes in the order in which lanes are sent, `size` lanes a word: int64 [words, size], as few as repeat.

    values: one for all lanes, or for each channel, or for each lane. None when all are equal.
    """
    if np.all(values == values.reshape(-1)[0]):
        return None
    sent = np.broadcast_to(values, shape).reshape(-1)[order].reshape(-1, size)
    channels = shape[0] if len(shape) == 3 else sent.size
    period = channels // size
    repeats = sent.size // channels
    return sent[:period] if (sent.reshape(repeats, period, size) == sent[:period]).all() else sent


def start_words(engine: ProductEngine) -> np.ndarray | None:
    """What each group of totals starts from: int64 [groups of totals, results], as few as repeat; None when all are equal."""
    f, values = engine.folding, engine.initial.astype(np.int64)
    if np.all(values == values.reshape(-1)[0]):
        return None
    shape = f.geometry.shape
    places = np.broadcast_to(values, shape).reshape(shape[0], -1).T  # [positions, channels]
    if (places == places[:1]).all():
        places = places[:1]
    split = places.reshape(len(places), f.geometry.groups, f.geometry.outputs)
    padded = np.zeros((len(places), f.group_blocks * f.groups, f.output_blocks * f.outputs), dtype=np.int64)
    padded[:, : f.geometry.groups, : f.geometry.outputs] = split
    blocks = padded.reshape(len(places), f.group_blocks, f.groups, f.output_blocks, f.outputs)
    return blocks.transpose(0, 1, 3, 2, 4).reshape(-1, f.results)
