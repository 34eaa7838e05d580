"""Loops over rows and scores that numpy would need many passes for, compiled by numba.

As those of `daskflow.data.kernels` they release the interpreter's lock and are kept compiled on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from daskflow.data.kernels import GOLDEN, compiled, mix64


@compiled
def place_all(units: Any, salt: Any, places: Any) -> None:
    """Write the upper 32 bits of the units' hashes."""
    for row in range(len(units)):
        places[row] = np.uint32(mix64(np.uint64(units[row]) ^ salt) >> np.uint64(32))


@compiled
def place_numbers(start: Any, salt: Any, places: Any) -> None:
    """Write the upper 32 bits of the hashes of the numbers from `start` on."""
    for row in range(len(places)):
        places[row] = np.uint32(mix64((np.uint64(start) + np.uint64(row)) ^ salt) >> np.uint64(32))


@compiled
def draw_counts(buckets: Any, first: int, salt: Any, steps: Any, counts: Any) -> None:
    """Write how often each bucket stands in each replicate from `first` on: inverse distribution of 53 hashed bits."""
    for place in range(len(buckets)):
        state = mix64(np.uint64(buckets[place]) ^ salt)
        for column in range(counts.shape[1]):
            bits = mix64(state + np.uint64(first + column) * GOLDEN) >> np.uint64(11)
            count = 0
            while count < len(steps) and bits >= steps[count]:
                count += 1
            counts[place, column] = count


@compiled
def add_columns(columns: Any, bucket: Any, sums: Any) -> None:
    """Add each row's columns, shape (n_rows, n_columns), to the sums of its bucket."""
    for row in range(len(columns)):
        place = bucket[row]
        for column in range(columns.shape[1]):
            sums[place, column] += columns[row, column]


@compiled
def resample_cells(bucket: Any, starts: Any, counts: Any, sums: Any) -> None:
    """Sum the counts of rows by cell: `bucket` holds the rows' buckets cell by cell, cell c from ``starts[c]`` on."""
    for cell in range(len(starts) - 1):
        for place in range(starts[cell], starts[cell + 1]):
            row = bucket[place]
            for column in range(counts.shape[1]):
                sums[cell, column] += counts[row, column]


@compiled
def resample_weights(bucket: Any, weight: Any, starts: Any, counts: Any, sums: Any) -> None:
    """Sum weight times count by cell, rows standing cell by cell."""
    for cell in range(len(starts) - 1):
        for place in range(starts[cell], starts[cell + 1]):
            row = bucket[place]
            for column in range(counts.shape[1]):
                sums[cell, column] += weight[place] * counts[row, column]


@compiled
def cells_of_scores(scores: Any, edges: Any, cells: Any, starts: Any) -> None:
    """Write each score's cell, and count them into ``starts[cell + 1]``.

    `edges` are the lowest scores of all cells but the last, falling: a score stands in the first cell whose edge it
    reaches.
    """
    n_edges = len(edges)
    for row in range(len(scores)):
        score = scores[row]
        low, length = 0, n_edges
        while length > 0:
            half = length >> 1
            step = edges[low + half] > score
            low = low + half + 1 if step else low
            length = length - half - 1 if step else half
        cells[row] = low
        starts[low + 1] += 1


@compiled
def by_cell(cells: Any, starts: Any, places: Any, rank: Any, gathered: Any) -> None:
    """Gather the ranks of the rows' buckets cell by cell; `starts` is moved on by the rows of each cell."""
    for row in range(len(cells)):
        cell = cells[row]
        gathered[starts[cell]] = rank[places[row] >> np.uint32(18)]
        starts[cell] += 1


@compiled
def move_by_cell(cells: Any, starts: Any, values: Any, moved: Any) -> None:
    """Gather numbers of rows cell by cell."""
    for row in range(len(cells)):
        cell = cells[row]
        moved[starts[cell]] = values[row]
        starts[cell] += 1


@compiled
def merge_areas(positive: Any, negative: Any) -> Any:
    """Return twice the pairs won, the sum of precisions, and the largest distance of the two rates, of sorted scores.

    Ties count as one half of a pair won; precision is taken at each positive score. Both arrays rise; they are gone
    through from their ends. Between positive scores only the negative rate moves, so that the rates are farthest apart
    before or behind one of them.
    """
    n, m = len(positive), len(negative)
    apart, per_right, per_wrong = 0.0, 1.0 / max(n, 1), 1.0 / max(m, 1)
    i, j = n - 1, m - 1
    pairs = 0
    precision = 0.0
    part, flushed = 0.0, 0
    while i >= 0:
        score = positive[i]
        while j >= 0 and negative[j] > score:
            j -= 1
        last = i
        while i >= 0 and positive[i] == score:
            i -= 1
        tied = j
        while tied >= 0 and negative[tied] == score:
            tied -= 1
        here = last - i
        above = m - 1 - j
        pairs += here * (2 * (m - above) - (j - tied))
        right = n - 1 - i
        before, behind = (right - here) * per_right - above * per_wrong, right * per_right - (m - 1 - tied) * per_wrong
        apart = max(apart, abs(before), abs(behind))
        part += here * (right / (right + (m - 1 - tied)))
        if right - flushed >= 1024:
            precision += part
            part, flushed = 0.0, right
        j = tied
    return pairs, precision + part, apart


@compiled
def merge_distinct(positive: Any, negative: Any, above: Any, below: Any, values: Any) -> Any:
    """Write positive and negative counts at each distinct score, highest first, and the scores; return how many."""
    i, j = len(positive) - 1, len(negative) - 1
    n = 0
    while i >= 0 or j >= 0:
        if i >= 0 and (j < 0 or positive[i] >= negative[j]):
            score = positive[i]
        else:
            score = negative[j]
        here, there = i, j
        while i >= 0 and positive[i] == score:
            i -= 1
        while j >= 0 and negative[j] == score:
            j -= 1
        above[n] = here - i
        below[n] = there - j
        values[n] = score
        n += 1
    return n


@compiled
def merge_runs(positive: Any, negative: Any, above: Any, below: Any) -> Any:
    """Write what `merge_distinct` does, distinct scores of rows of one class alone that follow each other as one."""
    i, j = len(positive) - 1, len(negative) - 1
    n = 0
    while i >= 0 or j >= 0:
        if i >= 0 and (j < 0 or positive[i] >= negative[j]):
            score = positive[i]
        else:
            score = negative[j]
        here, there = i, j
        while i >= 0 and positive[i] == score:
            i -= 1
        while j >= 0 and negative[j] == score:
            j -= 1
        own, other = here - i, there - j
        if n > 0 and ((own == 0 and above[n - 1] == 0) or (other == 0 and below[n - 1] == 0)):
            above[n - 1] += own
            below[n - 1] += other
        else:
            above[n], below[n] = own, other
            n += 1
    return n


@compiled
def merge_steps(positive: Any, negative: Any, steps: Any, right: Any, wrong: Any, values: Any) -> Any:
    """Write the counts taken at the first distinct score whose true and false positive rate sum to each step.

    `steps` rise to 2; what is written is (positives taken, negatives taken, the score); returns how many were.
    """
    i, j = len(positive) - 1, len(negative) - 1
    n_positive, n_negative = len(positive), len(negative)
    step, n = 0, 0
    while (i >= 0 or j >= 0) and step < len(steps):
        if i >= 0 and (j < 0 or positive[i] >= negative[j]):
            score = positive[i]
        else:
            score = negative[j]
        while i >= 0 and positive[i] == score:
            i -= 1
        while j >= 0 and negative[j] == score:
            j -= 1
        taken = (n_positive - 1 - i) / n_positive + (n_negative - 1 - j) / n_negative
        if taken >= steps[step] or (i < 0 and j < 0):
            right[n], wrong[n], values[n] = n_positive - 1 - i, n_negative - 1 - j, score
            n += 1
            while step < len(steps) and taken >= steps[step]:
                step += 1
    return n


@compiled
def add_tenths(is_positive: Any, probability: Any, weight: Any, sums: Any) -> None:
    """Add rows to the sums of their tenth: rows, weight, weight times probability, positive weight, squared weight."""
    found = np.zeros((len(sums), 5))
    n = len(sums)
    for row in range(len(probability)):
        given = np.float64(probability[row])
        tenth = int(min(max(given * n, 0.0), n - 1.0))
        own = weight[row] if len(weight) else 1.0
        found[tenth, 0] += 1.0
        found[tenth, 1] += own
        found[tenth, 2] += own * given
        found[tenth, 3] += own if is_positive[row] else 0.0
        found[tenth, 4] += own * own
    for place in range(n):
        for column in range(5):
            sums[place, column] += found[place, column]


@compiled
def pack_scores(codes: Any, labels: Any, scores: Any, raw: Any, keys: Any, losses: Any, tenths: Any) -> Any:
    """Visit rows of two classes once: pack probability and class into a key, and sum what other states need.

    Parameters
    ----------
    codes, labels : ndarray of int64
        True and predicted classes.
    scores : ndarray of float64
        Probabilities of class 1.
    raw : ndarray of uint64 or uint32
        The bits of the probabilities.
    keys : ndarray like `raw`
        Written: twice the bits of the probability, and one for class 1.
    losses : ndarray of shape (2,)
        Log loss and squared error are added to it.
    tenths : ndarray of shape (10, 5)
        See `add_tenths`.

    Returns
    -------
    (true, predicted, both)
        Rows of class 1, predicted to be, and both; -1 first when a score is not a probability, or a code not 0 or 1.
    """
    n_true: Any = 0
    n_predicted: Any = 0
    n_both: Any = 0
    least, most, one = 2.0**-52, 1.0 - 2.0**-52, raw.dtype.type(1)
    squares, logs = 0.0, 0.0
    product: Any = 1.0
    counts, sums, positives = np.zeros(20), np.zeros(20), np.zeros(20)
    for row in range(len(scores)):
        given, code = scores[row], codes[row]
        if not (given >= 0.0 and given <= 1.0):
            return -1, 0, 0
        label = labels[row]
        if (code | label) >> 1 != 0:
            return -1, 0, 0
        n_true += code
        n_predicted += label
        n_both += code & label
        keys[row] = (raw[row] << one) | raw.dtype.type(code)
        apart = given - code
        squares += apart * apart
        right: Any = given if code == 1 else 1.0 - given
        if right < least:
            right = least
        if right > most:
            right = most
        product = product * right
        if row & 15 == 15:
            logs -= np.log(product)
            product = 1.0
        tenth = 2 * int(min(given * 10.0, 9.0)) + (row & 1)
        counts[tenth] += 1.0
        sums[tenth] += given
        positives[tenth] += code
    losses[0] += logs - np.log(product)
    losses[1] += squares
    for tenth in range(10):
        rows = counts[2 * tenth] + counts[2 * tenth + 1]
        tenths[tenth, 0] += rows
        tenths[tenth, 1] += rows
        tenths[tenth, 2] += sums[2 * tenth] + sums[2 * tenth + 1]
        tenths[tenth, 3] += positives[2 * tenth] + positives[2 * tenth + 1]
        tenths[tenth, 4] += rows
    return n_true, n_predicted, n_both


@compiled
def scan_keys(keys: Any, n_positive: int, steps: Any, right: Any, wrong: Any, places: Any) -> Any:
    """Go through packed scores in rising order from their end: see `pack_scores`, `merge_areas`, `merge_steps`.

    Returns
    -------
    (pairs, precision, apart, n_steps)
        Twice the pairs won, the sum of precisions, the largest distance of the two rates, and points written.
    """
    one = keys.dtype.type(1)
    n = len(keys)
    n_negative = n - n_positive
    per_right = 1.0 / n_positive if n_positive else 0.0
    per_wrong = 1.0 / n_negative if n_negative else 0.0
    got: Any = 0
    lost: Any = 0
    pairs: Any = 0
    precision, part, flushed = 0.0, 0.0, 0
    apart, step, found = 0.0, 0, 0
    next_step = steps[0]
    place = n - 1
    while place >= 0:
        key = keys[place]
        score = key >> one
        here = np.int64(key & one)
        there = 1 - here
        place -= 1
        while place >= 0 and (keys[place] >> one) == score:
            positive = np.int64(keys[place] & one)
            here += positive
            there += 1 - positive
            place -= 1
        pairs += there * (2 * got + here)
        got += here
        lost += there
        part += here * (np.float64(got) / np.float64(got + lost))
        if got - flushed >= 1024:
            precision += part
            part, flushed = 0.0, got
        rate, other = got * per_right, lost * per_wrong
        apart = max(apart, abs(rate - other))
        if rate + other >= next_step or place < 0:
            right[found], wrong[found], places[found] = got, lost, place + 1
            found += 1
            while step < len(steps) and rate + other >= steps[step]:
                step += 1
            next_step = steps[step] if step < len(steps) else 3.0
    return pairs, precision + part, apart, found
