"""When everything happens in folded hardware: the recurrences of each kind of node, compiled. Importing this module imports numba.

A channel is a link, or a branch of one, for all samples; `offer[c, k]` is the cycle in which transfer k is first offered (valid), and
`taken[c, k]` the one in which it happens (valid and ready); -1: not known yet. Times depend on earlier times only, so that the order
in which nodes are worked on does not matter: each goes on as far as is known, and wakes its neighbours.

The Verilog in backends/verilog/folded does in hardware what is said here, cycle by cycle.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SOURCE, SINK, FORK, FIFO, ADD, POOL, PRODUCT, LAYOUT = range(8)

KIND, A, B, OUT = range(4)
"""What every node has: its kind, the channels that it takes (B: -1 when there is one), the channel that it makes. A fork makes B too."""

DEPTH = INDEX = 4
"""Of a FIFO its transfers; of a layout engine where its index begins in the table."""

NEEDED, LOWEST, DONE, ROWS, ROW_BEATS, HEIGHT, OUT_ROWS, POSITIONS, COLUMNS, FETCHES, WORDS = range(4, 15)
"""Of what reads a line buffer. In the table: transfers needed at each position, lowest row of each row of positions. Where its part of
`rows_done` begins. Rows kept, transfers of a row, rows of the image; rows, positions and columns of a sample; steps at a position, and
words of a step."""

LENGTH, USES, STEPS, BLOCKS, SENDS, LAST_SENDS = range(15, 21)
"""Of a sum of products besides: cycles of a window, windows for which a step's levels serve, windows of a group of totals; of how many
such groups the last may be smaller; transfers of a group, and of that last one."""

PARAMETERS = 21

TAKEN_IN, ROWS_FREE, FETCHED, STEP_TAKEN, STEP_THERE, STEP_WAITS = range(6)
"""State of what reads a line buffer: transfers taken; rows of positions that must be done before the next has room; steps read, when
the last one was taken, when its last word was there, and whether it waits to be taken. Steps are read one ahead."""

WINDOWS, BEGAN, RUNS, ENDED, FINISHED, FINISHED_AT, SENT, PART, MOVED, MADE = range(6, 16)
"""State of a sum of products: windows begun, when the last one did, whether its end is not known, when the last known one ended;
groups of totals finished, when the last one was, groups sent; transfers of the group being sent, when the last transfer was moved to
the output register, and transfers in all."""

STATE = 16


@njit(cache=True, boundscheck=False)
def run(nodes, table, offer, taken, start, beats, rows_done, neighbours):  # type: ignore[no-untyped-def]
    """Work on all nodes until nothing more is known. Channel c has the transfers start[c] .. start[c + 1] of offer and taken."""
    count = nodes.shape[0]
    state = np.zeros((count, STATE), np.int64)
    queue = np.arange(count)
    queued = np.ones(count, np.bool_)
    first, waiting = 0, count
    while waiting:
        n = queue[first]
        first = (first + 1) % count
        waiting -= 1
        queued[n] = False
        moved = advance(nodes[n], state[n], table, offer, taken, start, beats, rows_done)
        if moved:
            for k in range(neighbours.shape[1]):
                other = neighbours[n, k]
                if other >= 0 and not queued[other]:
                    queue[(first + waiting) % count] = other
                    waiting += 1
                    queued[other] = True


@njit(cache=True, boundscheck=False)
def advance(p, s, table, offer, taken, start, beats, rows_done):  # type: ignore[no-untyped-def]
    """Let one node go on. Parameters p, state s. Returns whether anything new is known."""
    kind, a, b, out = p[KIND], p[A], p[B], p[OUT]
    if kind == SOURCE:
        return source(s, offer[start[out] : start[out + 1]], taken[start[out] : start[out + 1]], beats[out])
    offered, got = offer[start[a] : start[a + 1]], taken[start[a] : start[a + 1]]
    if kind == SINK:
        return sink(s, offered, got)
    to, gone = offer[start[out] : start[out + 1]], taken[start[out] : start[out + 1]]
    if kind == FORK:
        other, other_gone = offer[start[b] : start[b + 1]], taken[start[b] : start[b + 1]]
        return fork(s, offered, got, to, gone, other, other_gone)
    if kind == FIFO:
        return fifo(s, p[DEPTH], offered, got, to, gone)
    if kind == ADD:
        return add(s, offered, got, offer[start[b] : start[b + 1]], taken[start[b] : start[b + 1]], to, gone)
    if kind == LAYOUT:
        index = table[p[INDEX] : p[INDEX] + beats[out]]
        if b < 0:
            return layout(s, index, beats[a], 0, offered, got, offered, got, to, gone)
        second, second_got = offer[start[b] : start[b + 1]], taken[start[b] : start[b + 1]]
        return layout(s, index, beats[a], beats[b], offered, got, second, second_got, to, gone)
    samples = len(got) // beats[a]
    done = rows_done[p[DONE] : p[DONE] + samples * p[OUT_ROWS]]
    moved = accept(p, s, table, beats[a], offered, got, done)
    if kind == POOL:
        return pool(p, s, table, beats[a], got, to, gone, done) or moved
    return product(p, s, table, beats[a], got, to, gone, done) or moved


@njit(cache=True, boundscheck=False)
def source(s, to, gone, beats):  # type: ignore[no-untyped-def]
    """The user: starts as soon as that is allowed, and has every transfer ready."""
    before = s[0]
    while s[0] < len(to):
        k = s[0]
        if k == 0:
            to[0] = 1
        elif gone[k - 1] < 0:
            break
        else:
            to[k] = gone[k - 1] + (2 if k % beats == 0 else 1)
        s[0] += 1
    return s[0] > before


@njit(cache=True, boundscheck=False)
def sink(s, offered, got):  # type: ignore[no-untyped-def]
    before = s[0]
    while s[0] < len(offered) and offered[s[0]] >= 0:
        got[s[0]] = offered[s[0]]
        s[0] += 1
    return s[0] > before


@njit(cache=True, boundscheck=False)
def fork(s, offered, got, to, gone, other, other_gone):  # type: ignore[no-untyped-def]
    """Two readers take a transfer when they can; it is over when both have."""
    moved = False
    while s[0] < len(offered) and offered[s[0]] >= 0:
        to[s[0]] = other[s[0]] = offered[s[0]]
        s[0] += 1
        moved = True
    while s[1] < s[0] and gone[s[1]] >= 0 and other_gone[s[1]] >= 0:
        got[s[1]] = max(gone[s[1]], other_gone[s[1]])
        s[1] += 1
        moved = True
    return moved


@njit(cache=True, boundscheck=False)
def fifo(s, depth, offered, got, to, gone):  # type: ignore[no-untyped-def]
    """Transfers i go into a memory, and from there (j) into a register; s[2]: when the last one did."""
    moved = True
    before = s[0] + s[1]
    while moved:
        moved = False
        i, j = s[0], s[1]
        if i < len(offered) and offered[i] >= 0 and i - depth < j:
            free = to[i - depth] if i >= depth else 0  # the cycle after it went into the register
            got[i] = max(offered[i], free, got[i - 1] + 1 if i else 0)
            s[0] += 1
            moved = True
        if j < s[0] and (j == 0 or gone[j - 1] >= 0):
            loaded = max(got[j] + 1, gone[j - 1] if j else 0, s[2] + 1 if j else 0)
            s[2] = loaded
            to[j] = loaded + 1
            s[1] += 1
            moved = True
    return s[0] + s[1] > before


@njit(cache=True, boundscheck=False)
def add(s, offered, got, other, other_got, to, gone):  # type: ignore[no-untyped-def]
    before = s[0]
    while s[0] < len(offered):
        k = s[0]
        if offered[k] < 0 or other[k] < 0 or (k and gone[k - 1] < 0):
            break
        at = max(offered[k], other[k])
        if k:
            at = max(at, gone[k - 1], got[k - 1] + 1)
        got[k] = other_got[k] = at
        to[k] = at + 1
        s[0] += 1
    return s[0] > before


@njit(cache=True, boundscheck=False)
def layout(s, index, beats_a, beats_b, offered, got, other, other_got, to, gone):  # type: ignore[no-untyped-def]
    """s: transfers taken from a and b, entries sent, when the last was; the sample's number, and when its memories are free."""
    moved = True
    before = s[0] + s[1] + s[2]
    size = len(index)
    while moved:
        moved = False
        sample = s[4]
        if (sample + 1) * size > len(to):
            break
        while s[0] < (sample + 1) * beats_a and offered[s[0]] >= 0:
            got[s[0]] = max(offered[s[0]], s[5], got[s[0] - 1] + 1 if s[0] else 0)
            s[0] += 1
            moved = True
        while s[1] < (sample + 1) * beats_b and other[s[1]] >= 0:
            other_got[s[1]] = max(other[s[1]], s[5], other_got[s[1] - 1] + 1 if s[1] else 0)
            s[1] += 1
            moved = True
        while s[2] < (sample + 1) * size:
            j = s[2]
            if j and gone[j - 1] < 0:
                break
            at = max(s[5], s[3] + 1, gone[j - 1]) if j else 1
            entry = max(index[j % size], 0)  # what is added waits for the first transfer
            if entry >= beats_a:
                where = sample * beats_b + entry - beats_a
                if where >= s[1]:
                    break
                at = max(at, other_got[where] + 1)
            else:
                where = sample * beats_a + entry
                if where >= s[0]:
                    break
                at = max(at, got[where] + 1)
            to[j] = at + 1
            s[3] = at
            s[2] += 1
            moved = True
        if s[0] == (sample + 1) * beats_a and s[1] == (sample + 1) * beats_b and s[2] == (sample + 1) * size:
            last = max(s[3], got[s[0] - 1] + 1)
            if beats_b:
                last = max(last, other_got[s[1] - 1] + 1)
            s[5] = last + 1
            s[4] += 1
            moved = True
    return s[0] + s[1] + s[2] > before


@njit(cache=True, boundscheck=False)
def accept(p, s, table, beats, offered, got, done):  # type: ignore[no-untyped-def]
    """A line buffer takes transfers while there is room."""
    before = s[TAKEN_IN]
    while s[TAKEN_IN] < len(offered) and offered[s[TAKEN_IN]] >= 0:
        i = s[TAKEN_IN]
        at = offered[i]
        if i:
            at = max(at, got[i - 1] + 1)
        row = (i // beats) * p[HEIGHT] + (i % beats) // p[ROW_BEATS]
        q = s[ROWS_FREE]
        while q < len(done) and (q // p[OUT_ROWS]) * p[HEIGHT] + table[p[LOWEST] + q % p[OUT_ROWS]] <= row - p[ROWS]:
            q += 1
        s[ROWS_FREE] = q
        if q:
            if done[q - 1] < 0:
                break
            at = max(at, done[q - 1] + 1)
        got[i] = at
        s[TAKEN_IN] += 1
    return s[TAKEN_IN] > before


@njit(cache=True, boundscheck=False)
def fetch(p, s, table, beats, got, done):  # type: ignore[no-untyped-def]
    """The next step is read, a word a cycle, as soon as the one before it has been taken and its window's levels are there."""
    u = s[FETCHED]
    if s[STEP_WAITS] or u == (len(got) // beats) * p[POSITIONS] * p[FETCHES]:
        return False
    place = u // p[FETCHES]
    need = table[p[NEEDED] + place % p[POSITIONS]]
    index = (place // p[POSITIONS]) * beats + need - 1
    if got[index] < 0:
        return False
    at = max(s[STEP_TAKEN], got[index] + 1)
    s[STEP_THERE] = at + p[WORDS]
    s[STEP_WAITS] = 1
    s[FETCHED] = u + 1
    rows, rest = divmod(u + 1, p[FETCHES] * p[COLUMNS])
    if rest == 0:
        done[rows - 1] = at + p[WORDS] - 1
    return True


@njit(cache=True, boundscheck=False)
def pool(p, s, table, beats, got, to, gone, done):  # type: ignore[no-untyped-def]
    moved = False
    while True:
        new = fetch(p, s, table, beats, got, done)
        k = s[MADE]
        if s[STEP_WAITS] and (k == 0 or gone[k - 1] >= 0):
            at = max(s[STEP_THERE], gone[k - 1]) if k else s[STEP_THERE]
            to[k] = at + 1
            s[STEP_TAKEN], s[STEP_WAITS] = at, 0
            s[MADE] += 1
            new = True
        if not new:
            return moved
        moved = True


@njit(cache=True, boundscheck=False)
def product(p, s, table, beats, got, to, gone, done):  # type: ignore[no-untyped-def]
    moved = False
    while True:
        new = fetch(p, s, table, beats, got, done)
        new = windows(p, s) or new
        new = send(p, s, to, gone) or new
        if not new:
            return moved
        moved = True


@njit(cache=True, boundscheck=False)
def windows(p, s):  # type: ignore[no-untyped-def]
    """A window begins in the last cycle of the one before it. The last one of a group of totals waits there until there is room."""
    moved = False
    fresh = s[WINDOWS] % p[USES] == 0
    if not s[RUNS] and (s[STEP_WAITS] or not fresh):
        at = s[ENDED]
        if fresh:
            at = max(at, s[STEP_THERE])
            s[STEP_TAKEN], s[STEP_WAITS] = at, 0
        s[BEGAN], s[RUNS] = at, 1
        s[WINDOWS] += 1
        moved = True
    last = s[WINDOWS] % p[STEPS] == 0
    if s[RUNS] and (not last or s[SENT] == s[FINISHED]):
        at = s[BEGAN] + p[LENGTH]
        if last:
            at = max(at, s[MOVED])
            s[FINISHED_AT] = at
            s[FINISHED] += 1
            s[PART] = 0
        s[ENDED], s[RUNS] = at, 0
        moved = True
    return moved


@njit(cache=True, boundscheck=False)
def send(p, s, to, gone):  # type: ignore[no-untyped-def]
    """A group's totals go to the output register, one transfer after the other."""
    k = s[MADE]
    if s[SENT] == s[FINISHED] or (k and gone[k - 1] < 0):
        return False
    at = (s[FINISHED_AT] if s[PART] == 0 else s[MOVED]) + 1
    if k:
        at = max(at, gone[k - 1])
    s[MOVED] = at
    to[k] = at + 1
    s[MADE] += 1
    s[PART] += 1
    if s[PART] == (p[LAST_SENDS] if s[SENT] % p[BLOCKS] == p[BLOCKS] - 1 else p[SENDS]):
        s[SENT] += 1
    return True
