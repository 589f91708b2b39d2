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

PARAMETERS = 24
"""Integers that describe a node: its kind, its channels, and what its kind reads from the 8th on."""

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
    kind, a, b, out = p[0], p[1], p[2], p[3]
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
        return fifo(s, p[8], offered, got, to, gone)
    if kind == ADD:
        return add(s, offered, got, offer[start[b] : start[b + 1]], taken[start[b] : start[b + 1]], to, gone)
    if kind == LAYOUT:
        if b < 0:
            return layout(s, table[p[8] : p[8] + beats[out]], beats[a], 0, offered, got, offered, got, to, gone)
        second, second_got = offer[start[b] : start[b + 1]], taken[start[b] : start[b + 1]]
        index = table[p[8] : p[8] + beats[out]]
        return layout(s, index, beats[a], beats[b], offered, got, second, second_got, to, gone)
    done = rows_done[p[15] : p[15] + p[16]]
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
            at = max(s[5], s[3] + 1, gone[j - 1]) if j else 0
            entry = index[j % size]
            if entry >= beats_a:
                where = sample * beats_b + entry - beats_a
                if where >= s[1]:
                    break
                at = max(at, other_got[where] + 1)
            elif entry >= 0:
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
    """A line buffer takes transfers while there is room: p: rows kept, beats of a row, rows of the image and of positions."""
    rows, row_beats, height, out_rows, lowest = p[9], p[10], p[11], p[12], p[14]
    before = s[0]
    while s[0] < len(offered) and offered[s[0]] >= 0:
        i = s[0]
        at = offered[i]
        if i:
            at = max(at, got[i - 1] + 1)
        row = (i // beats) * height + (i % beats) // row_beats
        q = s[1]  # rows of positions that must have been read before this row has room
        while q < len(done) and (q // out_rows) * height + table[lowest + q % out_rows] <= row - rows:
            q += 1
        s[1] = q
        if q:
            if done[q - 1] < 0:
                break
            at = max(at, done[q - 1] + 1)
        got[i] = at
        s[0] += 1
    return s[0] > before


@njit(cache=True, boundscheck=False)
def fetch(p, s, table, beats, got, done):  # type: ignore[no-untyped-def]
    """The next step is read: s[2] its number, s[3] when the one before it was taken, s[4] when its last word is there.

    Steps are read one ahead: s[5] says that one is waiting to be taken.
    """
    positions, fetches, words, needed, columns = p[13], p[17], p[18], p[8], p[19]
    u = s[2]
    if s[5] or u == (len(done) // p[12]) * positions * fetches:
        return False
    place = u // fetches
    need = table[needed + place % positions]
    at = s[3]
    if need:
        index = (place // positions) * beats + need - 1
        if got[index] < 0:
            return False
        at = max(at, got[index] + 1)
    s[4] = at + words
    s[5] = 1
    s[2] = u + 1
    if s[2] % (fetches * columns) == 0:
        done[s[2] // (fetches * columns) - 1] = at + words - 1
    return True


@njit(cache=True, boundscheck=False)
def pool(p, s, table, beats, got, to, gone, done):  # type: ignore[no-untyped-def]
    moved = False
    while True:
        new = fetch(p, s, table, beats, got, done)
        k = s[6]
        if s[5] and (k == 0 or gone[k - 1] >= 0):
            at = max(s[4], gone[k - 1]) if k else s[4]
            to[k] = at + 1
            s[3], s[5] = at, 0
            s[6] += 1
            new = True
        if not new:
            return moved
        moved = True


@njit(cache=True, boundscheck=False)
def product(p, s, table, beats, got, to, gone, done):  # type: ignore[no-untyped-def]
    """Windows: s[6] the number of the next, s[7] when the last one ended, s[8] that it began and its end is not known yet.

    Results: s[9] groups of totals finished, s[10] being sent, s[11] transfers of it made, s[12] when the last was, s[13] when the
    group finished, s[14] when the window began.
    """
    length, uses, steps, blocks, sends, last_sends = p[20], p[21] >> 32, p[21] & 0xFFFFFFFF, p[22], p[23] >> 32, p[23] & 0xFFFFFFFF
    moved = False
    while True:
        new = fetch(p, s, table, beats, got, done)
        w = s[6]
        if not s[8] and (s[5] or w % uses):
            at = s[7]
            if w % uses == 0:
                at = max(at, s[4])
                s[3], s[5] = at, 0
            s[14] = at
            s[8] = 1
            s[6] = w + 1
            new = True
        if s[8] and (s[6] % steps or s[10] == s[9]):
            at = s[14] + length
            if s[6] % steps == 0:
                at = max(at, s[12])
                s[13] = at
                s[9] += 1
                s[11] = 0
            s[7] = at
            s[8] = 0
            new = True
        if s[10] < s[9]:
            k = s[15]
            if k == 0 or gone[k - 1] >= 0:
                at = s[13] + 1 if s[11] == 0 else s[12] + 1
                if k:
                    at = max(at, gone[k - 1])
                s[12] = at
                to[k] = at + 1
                s[15] += 1
                s[11] += 1
                if s[11] == (last_sends if s[10] % blocks == blocks - 1 else sends):
                    s[10] += 1
                new = True
        if not new:
            return moved
        moved = True
