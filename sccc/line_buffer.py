"""Line buffers: the few rows of an image that folded hardware keeps while a window slides over them.

An image arrives pixel by pixel, row after row, all channels of a pixel in a row: `beat` levels at a time. It is read `word` levels
at a time. Rows are written around and around, so that a sample's first rows may arrive while the last ones of the sample before it
are still read. A vector is an image of one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sccc.windows import Window


@dataclass(frozen=True)
class LineBuffer:
    """`beat` divides `word`, and `word` the channels."""

    channels: int
    height: int
    width: int
    window: Window
    word: int = 1
    beat: int = 1

    @property
    def rows(self) -> int:
        """Rows kept: enough for all that the next row of positions sees, in the next sample too, to arrive while one is read."""
        top, span, stride = self.window.pads[0], self.window.span[0], self.window.strides[0]
        last = np.clip(np.arange(self.output[0]) * stride - top + span, 1, self.height)
        following = np.append(last[1:], self.height + last[0])
        return int((following - self.lowest_rows()).max())

    @property
    def levels(self) -> int:
        """Levels that the buffer holds."""
        return self.rows * self.width * self.channels

    @property
    def output(self) -> tuple[int, int]:
        """Rows and columns of window positions."""
        return self.window.output(self.height, self.width)

    @property
    def positions(self) -> int:
        rows, columns = self.output
        return rows * columns

    @property
    def pixel_beats(self) -> int:
        return self.channels // self.beat

    @property
    def pixel_words(self) -> int:
        return self.channels // self.word

    @property
    def input_beats(self) -> int:
        """Transfers per sample."""
        return self.height * self.width * self.pixel_beats

    def needed(self) -> np.ndarray:
        """Pixels of a sample that must have arrived before the window at each position is read: int64 [positions].

        At least the first one, even where a window lies in the padding: nothing runs ahead of the samples that were let in.
        """
        rows, columns = self.output
        (top, left, _, _), (sh, sw), (span_h, span_w) = self.window.pads, self.window.strides, self.window.span
        row = np.clip(np.arange(rows) * sh - top + span_h - 1, 0, self.height - 1)
        column = np.clip(np.arange(columns) * sw - left + span_w - 1, 0, self.width - 1)
        pixels: np.ndarray = row[:, None] * self.width + column + 1
        return pixels.reshape(-1)

    def lowest_rows(self) -> np.ndarray:
        """The first row that is still needed while each row of positions is read: int64 [rows of positions]."""
        first = np.arange(self.output[0]) * self.window.strides[0] - self.window.pads[0]
        return np.clip(first, 0, self.height)


@dataclass(frozen=True)
class Walk:
    """In what order words are read at a position. A tap of the window is `tap_words` words; `step_words` words are a step.

    At each position, for each of `blocks` groups of channels, `repeats` times: `steps` steps, over all taps; words beyond the last
    tap are read as nothing.
    """

    tap_words: int
    step_words: int
    steps: int = 1
    repeats: int = 1
    blocks: int = 1

    @property
    def fetches(self) -> int:
        """Steps at a position."""
        return self.steps * self.repeats * self.blocks
