"""Placement: which part of a split a unit goes to, as arithmetic on hashes and counts.

A unit is what must not be cut: a group, a key, or all copies of a row. Its place in hash order is as good as random,
so cutting that order where the asked shares are reached is a random split that needs no generator. Units that hold
more than 1/1024 of the rows cannot be left to chance: they are placed first, largest first, where most is lacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.blocks import SHARE
from daskflow.data.hashing import Hashes

TOP = 2**64 - 1

LEAST = 0.1
"""A part that heavy units overfilled still gets this share of the light rows it would have had without them, so that
it does not consist of copies of one row."""

Counts = NDArray[np.int64]
Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placed:
    """How the units of one class (or of the table) are placed.

    Attributes
    ----------
    cuts : tuple of int
        Part p holds the light units whose place is at least ``cuts[p - 1]`` and below ``cuts[p]``.
    heavy : mapping of int to int
        Part of each heavy unit.
    rows : tuple of int
        Rows per part.
    """

    cuts: tuple[int, ...]
    heavy: dict[int, int]
    rows: tuple[int, ...]


def is_heavy(counts: Counts, n_rows: int) -> NDArray[np.bool_]:
    """Return which units hold more than 1/1024 of the rows, and more than one."""
    return (counts * SHARE > n_rows) & (counts > 1)


def place(
    shares: Sequence[float], heavy: Sequence[tuple[int, int, int]], edges: Sequence[int] | Hashes, light: Counts
) -> Placed:
    """Place heavy units by count and cut the light ones by place.

    Parameters
    ----------
    shares : sequence of float
        Asked share of each part, summing to 1; the first part is the test.
    heavy : sequence of (unit, place, count)
        In any order.
    edges : sequence of int of length n
        Ascending places at which the light units may be cut; the first is the lowest place there is.
    light : ndarray of shape (n,)
        Light rows from each edge to the next.
    """
    light_rows = int(light.sum())
    asked = np.asarray(shares) * (light_rows + sum(count for _, _, count in heavy))
    lacking, rows, parts = asked.copy(), np.zeros(len(shares), dtype=np.int64), {}
    for unit, _, count in sorted(heavy, key=lambda item: (-item[2], item[1])):
        part = int(np.argmax(np.where(np.asarray(shares) > 0, lacking, -np.inf)))
        parts[unit] = part
        rows[part] += count
        lacking[part] -= count
        _settle(lacking, part)
    wanted = _light_rows(np.asarray(shares), lacking, light_rows, has_heavy=bool(heavy))
    return _cut(wanted, edges, light, parts, rows)


def place_by_classes(
    shares: Sequence[float],
    heavy: Sequence[tuple[int, int, Counts]],
    edges: Sequence[Hashes],
    light: Sequence[Counts],
) -> list[Placed]:
    """Place units with rows of several classes so that every part has its share of each class.

    Heavy units go one by one, largest first, where they least disturb the shares of all classes together, as
    scikit-learn's StratifiedGroupKFold places groups; the light units of each class fill up what is lacking of it.

    Parameters
    ----------
    shares : sequence of float
        Asked share of each part, summing to 1; the first part is the test.
    heavy : sequence of (unit, place, rows by class)
        In any order.
    edges : sequence of ndarray
        For each class the ascending places of the light units that mostly have it.
    light : sequence of ndarray
        Their rows.

    Returns
    -------
    list of Placed
        One per class; the first has the heavy units.
    """
    asked_shares = np.asarray(shares)
    n_classes = len(edges)
    totals = np.array([int(counts.sum()) for counts in light], dtype=np.float64)
    totals += np.sum([rows for _, _, rows in heavy], axis=0) if heavy else 0.0
    asked = asked_shares[:, None] * totals
    scale = np.where(totals > 0, totals, 1.0) ** 2
    got, parts = np.zeros((len(shares), n_classes)), {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for unit, _, rows in sorted(heavy, key=lambda item: (-int(item[2].sum()), item[1])):
            grows = (rows * (2 * (got - asked) + rows) / scale).sum(axis=1) / asked_shares
            part = int(np.argmin(np.where(asked_shares > 0, grows, np.inf)))
            parts[unit] = part
            got[part] += rows
    placed = []
    for code in range(n_classes):
        lacking = np.maximum(asked[:, code] - got[:, code], 0.0)
        wanted = _light_rows(asked_shares, lacking, int(light[code].sum()), has_heavy=bool(heavy))
        mine, alone = ({}, np.zeros(len(shares), dtype=np.int64)) if code else (parts, got.sum(axis=1).astype(np.int64))
        placed.append(_cut(wanted, edges[code], light[code], mine, alone))
    return placed


def _cut(wanted: Rows, edges: Sequence[int] | Hashes, light: Counts, parts: dict[int, int], rows: Counts) -> Placed:
    """Cut the light units where the wanted rows of each part are reached; `rows` are those of the heavy ones."""
    reached = np.concatenate([[0], np.cumsum(light)])
    chosen = nearest_cuts(reached, np.cumsum(wanted)[:-1])
    ends = [*(int(reached[cut]) for cut in chosen), int(reached[-1])]
    cuts = tuple(0 if cut == 0 else int(edges[cut]) if cut < len(light) else TOP for cut in chosen)
    return Placed(cuts, parts, tuple((rows + np.diff([0, *ends])).tolist()))


def _settle(lacking: Rows, part: int) -> None:
    """Take what a heavy unit put too much into one part from what the others lack: from the test last."""
    over = max(-lacking[part], 0.0)
    lacking[part] += over
    segments = lacking[1:]
    taken = min(over, float(segments.sum()))
    if taken > 0:
        segments *= 1 - taken / segments.sum()
    lacking[0] = max(lacking[0] - (over - taken), 0.0)


def _light_rows(shares: Rows, lacking: Rows, light_rows: int, *, has_heavy: bool) -> Rows:
    """How many light rows each part shall have: what it lacks, the test before the others."""
    if not has_heavy:
        return shares * light_rows
    wanted = lacking.copy()
    if shares[0] > 0:
        most = max(shares[0], 0.5) * light_rows
        wanted[0] = min(wanted[0], most) if wanted[0] > 0 else LEAST * shares[0] * light_rows
    rest = light_rows - wanted[0]
    others = shares[1:] / shares[1:].sum()
    wanted[1:] = np.maximum(wanted[1:], LEAST * others * rest)
    total = wanted[1:].sum()
    wanted[1:] = wanted[1:] * (rest / total) if total > 0 else others * rest
    return wanted


def nearest_cuts(reached: NDArray[Any], wanted: Rows) -> list[int]:
    """Return for each wanted number of rows the index of the nearest one that can be reached; ascending."""
    after = np.clip(np.searchsorted(reached, wanted), 0, len(reached) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(wanted - reached[before] <= reached[after] - wanted, before, after)
    found = np.where(reached[after] == wanted, after, nearer)
    return [int(cut) for cut in np.maximum.accumulate(found)]


def merged(
    parts: Sequence[tuple[Hashes, NDArray[np.int64], Counts]],
) -> tuple[Hashes, NDArray[np.int64], Counts]:
    """Add up counts of (unit, class) pairs; the pairs come back sorted."""
    units = np.concatenate([part[0] for part in parts])
    classes = np.concatenate([part[1] for part in parts])
    counts = np.concatenate([part[2] for part in parts])
    order = np.lexsort((classes, units))
    units, classes, counts = units[order], classes[order], counts[order]
    starts = np.flatnonzero(
        np.concatenate([[True], (units[1:] != units[:-1]) | (classes[1:] != classes[:-1])])[: len(units)]
    )
    sums = np.add.reduceat(counts, starts) if len(starts) else counts
    return units[starts], classes[starts], sums


@dataclass(frozen=True, slots=True)
class Majority:
    """Each unit once: its rows, its most frequent class, and whether it has rows of others."""

    units: Hashes
    classes: NDArray[np.int64]
    counts: Counts
    is_mixed: NDArray[np.bool_]


def majority(units: Hashes, classes: NDArray[np.int64], counts: Counts) -> Majority:
    """Give each unit the class that most of its rows have, ties to the smaller code; pairs sorted by unit and class."""
    starts = np.flatnonzero(np.concatenate([[True], units[1:] != units[:-1]])[: len(units)])
    number = np.zeros(len(units), dtype=np.int64)
    number[starts[1:]] = 1
    number = np.cumsum(number)
    totals = np.bincount(number, weights=counts, minlength=len(starts)).astype(np.int64)
    order = np.lexsort((classes, -counts, number))
    first = order[np.flatnonzero(np.concatenate([[True], np.diff(number[order]) != 0])[: len(order)])]
    sizes = np.bincount(number, minlength=len(starts))
    return Majority(units[starts], classes[first], totals, sizes > 1)
