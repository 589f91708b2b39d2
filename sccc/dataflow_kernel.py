"""When everything happens in folded hardware: the recurrences of each kind of node, compiled. Importing this module imports numba.

A channel is a link, or a branch of one, for all samples: its transfers are start[c] .. start[c + 1] - 1. `offer` holds for each
transfer the cycle in which it is first offered (valid), `taken` the one in which it happens (valid and ready); -1: not known yet.
Times depend on earlier times only, so that the order in which nodes are worked on does not matter: each goes on as far as is known,
and wakes its neighbours.

The Verilog in backends/verilog/folded does in hardware what is said here, cycle by cycle.
"""

from __future__ import annotations

import numpy as np

from sccc.jit import njit

SOURCE, SINK, FORK, FIFO, ADD, POOL, PRODUCT, LAYOUT = range(8)

KIND, A, B, OUT = range(4)
"""What every node has: its kind, the channels that it takes (B: -1 for none), the channel that it makes. A fork makes B too."""

DEPTH = INDEX = BEATS = 4
"""Of a FIFO its transfers; of a layout engine where its index begins in the table; of a source the transfers of a sample."""

A_BEATS, B_BEATS, SIZE = 5, 6, 7
"""Of a layout engine: transfers of a sample on a, on b (0: there is none) and made."""

NEEDED, LOWEST, DONE, ROWS, ROW_BEATS, HEIGHT, OUT_ROWS, POSITIONS, COLUMNS, FETCHES, WORDS = range(4, 15)
"""Of what reads a line buffer. In the table: transfers needed at each position, lowest row of each row of positions. Where its
part of `rows_done` begins. Rows kept, transfers of a row, rows of the image; rows, positions and columns of a sample; steps at a
position, and words of a step."""

LENGTH, USES, STEPS, BLOCKS, SENDS, LAST_SENDS = range(15, 21)
"""Of a sum of products besides: cycles of a window, windows for which a step's levels serve, windows of a group of totals; of how
many such groups the last may be smaller; transfers of a group, and of that last one."""

PARAMETERS = 21

FIRST, SECOND, THIRD, LATEST, SAMPLE, FREE = range(6)
"""State of the other nodes: transfers taken, or made, on one, two or three channels; when the latest was made; of a layout engine
the number of the sample, and when its memories are free for it."""

TAKEN_IN, ROWS_FREE, FETCHED, STEP_TAKEN, STEP_THERE, STEP_WAITS = range(6)
"""State of what reads a line buffer: transfers taken; rows of positions that must be done before the next has room; steps read,
when the last one was taken, when its last word was there, and whether it waits to be taken. Steps are read one ahead."""

WINDOWS, BEGAN, RUNS, ENDED, FINISHED, FINISHED_AT, SENT, PART, MOVED, MADE = range(6, 16)
"""State of a sum of products: windows begun, when the last one did, whether its end is not known, when the last known one ended;
groups of totals finished, when the last one was, groups sent; transfers of the group being sent, when the last transfer was moved
to the output register, and transfers in all."""

STATE = 16


@njit(boundscheck=False)
def run(nodes, table, offer, taken, start, rows_done, neighbours):  # type: ignore[no-untyped-def]
    """Work on all nodes until nothing more is known."""
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
        if advance(nodes[n], state[n], table, offer, taken, start, rows_done):
            for k in range(neighbours.shape[1]):
                other = neighbours[n, k]
                if other >= 0 and not queued[other]:
                    queue[(first + waiting) % count] = other
                    waiting += 1
                    queued[other] = True


@njit(boundscheck=False)
def advance(p, s, table, offer, taken, start, rows_done):  # type: ignore[no-untyped-def]
    """Let one node go on. Parameters p, state s. Returns whether anything new is known."""
    kind = p[KIND]
    if kind == PRODUCT:
        moved = accept(p, s, table, offer, taken, start, rows_done)
        return product(p, s, table, offer, taken, start, rows_done) or moved
    if kind == POOL:
        moved = accept(p, s, table, offer, taken, start, rows_done)
        return pool(p, s, table, offer, taken, start, rows_done) or moved
    if kind == FORK:
        return fork(p, s, offer, taken, start)
    if kind == FIFO:
        return fifo(p, s, offer, taken, start)
    if kind == ADD:
        return add(p, s, offer, taken, start)
    if kind == LAYOUT:
        return layout(p, s, table, offer, taken, start)
    if kind == SOURCE:
        return source(p, s, offer, taken, start)
    return sink(p, s, offer, taken, start)


@njit(boundscheck=False)
def source(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """The user: starts as soon as that is allowed, and has every transfer ready."""
    before = s[FIRST]
    out, end = start[p[OUT]], start[p[OUT] + 1]
    while out + s[FIRST] < end:
        k = out + s[FIRST]
        if s[FIRST] == 0:
            offer[k] = 1
        elif taken[k - 1] < 0:
            break
        else:
            offer[k] = taken[k - 1] + (2 if s[FIRST] % p[BEATS] == 0 else 1)
        s[FIRST] += 1
    return s[FIRST] > before


@njit(boundscheck=False)
def sink(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    before = s[FIRST]
    while start[p[A]] + s[FIRST] < start[p[A] + 1] and offer[start[p[A]] + s[FIRST]] >= 0:
        taken[start[p[A]] + s[FIRST]] = offer[start[p[A]] + s[FIRST]]
        s[FIRST] += 1
    return s[FIRST] > before


@njit(boundscheck=False)
def fork(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """Two readers take a transfer when they can; it is over when both have."""
    before = s[FIRST] + s[SECOND]
    a, one, other, end = start[p[A]], start[p[OUT]], start[p[B]], start[p[A] + 1] - start[p[A]]
    while s[FIRST] < end and offer[a + s[FIRST]] >= 0:
        k = s[FIRST]
        offer[one + k] = offer[other + k] = offer[a + k]
        s[FIRST] += 1
    while s[SECOND] < s[FIRST] and taken[one + s[SECOND]] >= 0 and taken[other + s[SECOND]] >= 0:
        k = s[SECOND]
        taken[a + k] = max(taken[one + k], taken[other + k])
        s[SECOND] += 1
    return s[FIRST] + s[SECOND] > before


@njit(boundscheck=False)
def fifo(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """Transfers go into a memory, and from there into a register, from which they are offered."""
    before = s[FIRST] + s[SECOND]
    a, out, end, depth = start[p[A]], start[p[OUT]], start[p[A] + 1] - start[p[A]], p[DEPTH]
    moved = True
    while moved:
        moved = False
        i, j = s[FIRST], s[SECOND]
        if i < end and offer[a + i] >= 0 and i - depth < j:
            at = offer[a + i]
            if i:
                at = max(at, taken[a + i - 1] + 1)
            if i >= depth:
                at = max(at, offer[out + i - depth])  # the cycle after that one went into the register
            taken[a + i] = at
            s[FIRST] += 1
            moved = True
        if j < s[FIRST] and (j == 0 or taken[out + j - 1] >= 0):
            at = taken[a + j] + 1
            if j:
                at = max(at, taken[out + j - 1], s[LATEST] + 1)
            s[LATEST] = at
            offer[out + j] = at + 1
            s[SECOND] += 1
            moved = True
    return s[FIRST] + s[SECOND] > before


@njit(boundscheck=False)
def add(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """Both operands are taken when both are there and the output register is free."""
    before = s[FIRST]
    a, b, out, end = start[p[A]], start[p[B]], start[p[OUT]], start[p[A] + 1] - start[p[A]]
    while s[FIRST] < end:
        k = s[FIRST]
        if offer[a + k] < 0 or offer[b + k] < 0 or (k and taken[out + k - 1] < 0):
            break
        at = max(offer[a + k], offer[b + k])
        if k:
            at = max(at, taken[out + k - 1], taken[a + k - 1] + 1)
        taken[a + k] = taken[b + k] = at
        offer[out + k] = at + 1
        s[FIRST] += 1
    return s[FIRST] > before


@njit(boundscheck=False)
def layout(p, s, table, offer, taken, start):  # type: ignore[no-untyped-def]
    """Entries are sent when they have come; the next sample's come when all have been sent, and this sample has come as a whole."""
    before = s[FIRST] + s[SECOND] + s[THIRD]
    out, size = start[p[OUT]], p[SIZE]
    end = start[p[OUT] + 1] - out
    moved = True
    while moved and (s[SAMPLE] + 1) * size <= end:
        sample = s[SAMPLE]
        moved = store(p[A], p[A_BEATS], FIRST, s, offer, taken, start)
        if p[B_BEATS]:
            moved = store(p[B], p[B_BEATS], SECOND, s, offer, taken, start) or moved
        while s[THIRD] < (sample + 1) * size:
            j = s[THIRD]
            if j and taken[out + j - 1] < 0:
                break
            entry = max(table[p[INDEX] + j % size], 0)  # what is added waits for the first transfer
            where, known = sample * p[A_BEATS] + entry, s[FIRST]
            channel = p[A]
            if entry >= p[A_BEATS]:
                channel = p[B]
                where, known = sample * p[B_BEATS] + entry - p[A_BEATS], s[SECOND]
            if where >= known:
                break
            at = max(taken[start[channel] + where] + 1, s[FREE])
            if j:
                at = max(at, s[LATEST] + 1, taken[out + j - 1])
            offer[out + j] = at + 1
            s[LATEST] = at
            s[THIRD] += 1
            moved = True
        whole = s[FIRST] == (sample + 1) * p[A_BEATS] and s[SECOND] == (sample + 1) * p[B_BEATS]
        if whole and s[THIRD] == (sample + 1) * size:
            last = max(s[LATEST], taken[start[p[A]] + s[FIRST] - 1] + 1)
            if p[B_BEATS]:
                last = max(last, taken[start[p[B]] + s[SECOND] - 1] + 1)
            s[FREE] = last + 1
            s[SAMPLE] += 1
            moved = True
    return s[FIRST] + s[SECOND] + s[THIRD] > before


@njit(boundscheck=False)
def store(channel, beats, count, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """A layout engine takes this sample's transfers of one channel; s[count] counts them."""
    before = s[count]
    a = start[channel]
    while s[count] < (s[SAMPLE] + 1) * beats and offer[a + s[count]] >= 0:
        i = s[count]
        at = max(offer[a + i], s[FREE])
        if i:
            at = max(at, taken[a + i - 1] + 1)
        taken[a + i] = at
        s[count] += 1
    return s[count] > before


@njit(boundscheck=False)
def accept(p, s, table, offer, taken, start, rows_done):  # type: ignore[no-untyped-def]
    """A line buffer takes transfers while there is room."""
    before = s[TAKEN_IN]
    a = start[p[A]]
    end = start[p[A] + 1] - a
    beats = p[ROW_BEATS] * p[HEIGHT]
    out_rows = end // beats * p[OUT_ROWS]
    while s[TAKEN_IN] < end and offer[a + s[TAKEN_IN]] >= 0:
        i = s[TAKEN_IN]
        at = offer[a + i]
        if i:
            at = max(at, taken[a + i - 1] + 1)
        if i % p[ROW_BEATS] == 0:
            spare = i // p[ROW_BEATS] - p[ROWS]
            q = s[ROWS_FREE]
            while q < out_rows and (q // p[OUT_ROWS]) * p[HEIGHT] + table[p[LOWEST] + q % p[OUT_ROWS]] <= spare:
                q += 1
            s[ROWS_FREE] = q
            if q:
                if rows_done[p[DONE] + q - 1] < 0:
                    break
                at = max(at, rows_done[p[DONE] + q - 1] + 1)
        taken[a + i] = at
        s[TAKEN_IN] += 1
    return s[TAKEN_IN] > before


@njit(boundscheck=False)
def fetch(p, s, table, taken, start, rows_done):  # type: ignore[no-untyped-def]
    """The next step is read, a word a cycle, as soon as the one before it has been taken and its window's levels are there."""
    if s[STEP_WAITS]:
        return False
    u, a = s[FETCHED], start[p[A]]
    beats = p[ROW_BEATS] * p[HEIGHT]
    place = u // p[FETCHES]
    if place == (start[p[A] + 1] - a) // beats * p[POSITIONS]:
        return False
    index = a + place // p[POSITIONS] * beats + table[p[NEEDED] + place % p[POSITIONS]] - 1
    if taken[index] < 0:
        return False
    at = max(s[STEP_TAKEN], taken[index] + 1)
    s[STEP_THERE] = at + p[WORDS]
    s[STEP_WAITS] = 1
    s[FETCHED] = u + 1
    row_steps = p[FETCHES] * p[COLUMNS]
    if s[FETCHED] % row_steps == 0:
        rows_done[p[DONE] + s[FETCHED] // row_steps - 1] = at + p[WORDS] - 1
    return True


@njit(boundscheck=False)
def pool(p, s, table, offer, taken, start, rows_done):  # type: ignore[no-untyped-def]
    """Each step is a transfer."""
    out = start[p[OUT]]
    moved = False
    while True:
        new = fetch(p, s, table, taken, start, rows_done)
        k = s[MADE]
        if s[STEP_WAITS] and (k == 0 or taken[out + k - 1] >= 0):
            at = max(s[STEP_THERE], taken[out + k - 1]) if k else s[STEP_THERE]
            offer[out + k] = at + 1
            s[STEP_TAKEN], s[STEP_WAITS] = at, 0
            s[MADE] += 1
            new = True
        if not new:
            return moved
        moved = True


@njit(boundscheck=False)
def product(p, s, table, offer, taken, start, rows_done):  # type: ignore[no-untyped-def]
    moved = False
    while True:
        new = fetch(p, s, table, taken, start, rows_done)
        new = windows(p, s) or new
        new = send(p, s, offer, taken, start) or new
        if not new:
            return moved
        moved = True


@njit(boundscheck=False)
def windows(p, s):  # type: ignore[no-untyped-def]
    """A window begins in the last cycle of the one before it. The last one of a group of totals waits there until there is room."""
    moved = False
    if not s[RUNS]:
        fresh = s[WINDOWS] % p[USES] == 0
        if fresh and not s[STEP_WAITS]:
            return False
        at = s[ENDED]
        if fresh:
            at = max(at, s[STEP_THERE])
            s[STEP_TAKEN], s[STEP_WAITS] = at, 0
        s[BEGAN], s[RUNS] = at, 1
        s[WINDOWS] += 1
        moved = True
    last = s[WINDOWS] % p[STEPS] == 0
    if not last or s[SENT] == s[FINISHED]:
        at = s[BEGAN] + p[LENGTH]
        if last:
            at = max(at, s[MOVED])
            s[FINISHED_AT] = at
            s[FINISHED] += 1
            s[PART] = 0
        s[ENDED], s[RUNS] = at, 0
        moved = True
    return moved


@njit(boundscheck=False)
def send(p, s, offer, taken, start):  # type: ignore[no-untyped-def]
    """A group's totals go to the output register, one transfer after the other."""
    k = start[p[OUT]] + s[MADE]
    if s[SENT] == s[FINISHED] or (s[MADE] and taken[k - 1] < 0):
        return False
    at = (s[FINISHED_AT] if s[PART] == 0 else s[MOVED]) + 1
    if s[MADE]:
        at = max(at, taken[k - 1])
    s[MOVED] = at
    offer[k] = at + 1
    s[MADE] += 1
    s[PART] += 1
    if s[PART] == (p[LAST_SENDS] if s[SENT] % p[BLOCKS] == p[BLOCKS] - 1 else p[SENDS]):
        s[SENT] += 1
    return True
