"""Notes about the parts of an ensemble: what each holds, and sentences about those that do not look like the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE = 5_000
"""Rows of a part that its columns' means come from, evenly spread over it."""

NOTABLE_SHIFT, NOTABLE_CLASSES = 0.25, 0.1
"""A column's mean that lies so many standard deviations off, and so much of the classes' shares in other classes, are
worth a sentence; what chance gives is taken off first."""

CHANCE = 4.0
"""So many standard errors are chance: with a hundred columns and ten parts a thousand means are looked at."""

NAMED = 3
"""Parts and columns that a sentence names."""


class PartitionWarning(UserWarning):
    """A part of the rows is not like the others, so that the member fitted on it knows another population."""


@dataclass(frozen=True, slots=True)
class Notes:
    """What a part holds.

    Attributes
    ----------
    n_rows : int
        Its rows.
    labels : ndarray or None
        Its classes, sorted; None for regression.
    counts : ndarray or None
        Rows of each.
    means, spreads : ndarray of float, shape (n_columns,)
        Of its numeric columns and, for regression, of the target at the end; missing values left out.
    columns : tuple of str
        Their names.
    n_sampled : int
        Rows that the means are of.
    """

    n_rows: int
    labels: NDArray[Any] | None
    counts: NDArray[np.int64] | None
    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    columns: tuple[str, ...]
    n_sampled: int


def take_notes(X: Any, y: Any, *, is_classification: bool) -> Notes:
    """Look at a part: all of its labels, and a sample of its columns."""
    n_rows = int(X.shape[0])
    rows = np.unique(np.linspace(0, n_rows - 1, min(SAMPLE, n_rows)).astype(np.int64))
    names, values = _numbers(X, rows)
    labels = counts = None
    if is_classification:
        labels, counts = np.unique(np.asarray(y), return_counts=True)
    else:
        values = np.column_stack([values, np.asarray(y, dtype=np.float64)[rows]])
        names = (*names, "the target")
    known = np.isfinite(values)
    n_known = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / n_known
    spreads = np.sqrt((np.where(known, values - means, 0.0) ** 2).sum(axis=0) / n_known)
    return Notes(n_rows, labels, counts, means, spreads, names, len(rows))


def _numbers(X: Any, rows: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The numeric columns at some rows, with their names."""
    if hasattr(X, "select_dtypes"):
        found = X.iloc[rows].select_dtypes(["number", "bool"])
        return tuple(f"column '{name}'" for name in found.columns), found.to_numpy(dtype=np.float64, na_value=np.nan)
    picked: Any = X[rows]
    values = np.asarray(picked.toarray() if hasattr(picked, "toarray") else picked)
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        return (), np.empty((len(rows), 0))
    return tuple(f"column {number}" for number in range(values.shape[1])), values.astype(np.float64)


def sentences(notes: Sequence[Notes]) -> list[str]:
    """Say which parts have a single class, lack classes, or hold other values than all together.

    Parameters
    ----------
    notes : sequence of Notes
        Of every part.

    Returns
    -------
    list of str
        At most one for each of the three.
    """
    if len(notes) < 2:
        return []
    return [text for text in (_single(notes), _lacking(notes), _drifting(notes)) if text]


REMEDY = "With partitions = 'shuffled' every member sees a sample of all rows."


def _single(notes: Sequence[Notes]) -> str:
    found = [k for k, note in enumerate(notes) if note.labels is not None and len(note.labels) == 1]
    if not found:
        return ""
    return (
        f"{_parts(found, len(notes))} {'has' if len(found) == 1 else 'have'} rows of a single class: the member "
        f"there can say nothing else. {REMEDY}"
    )


def _lacking(notes: Sequence[Notes]) -> str:
    labels = [note.labels for note in notes if note.labels is not None]
    if not labels:
        return ""
    every = np.unique(np.concatenate(labels))
    found = [k for k, own in enumerate(labels) if 1 < len(own) < len(every)]
    if not found:
        return ""
    fewest = min(len(labels[k]) for k in found)
    return (
        f"{_parts(found, len(notes))} {'lacks' if len(found) == 1 else 'lack'} classes (the fewest: {fewest} of "
        f"{len(every)}): members give those they never saw no probability. {REMEDY}"
    )


def _drifting(notes: Sequence[Notes]) -> str:
    """Compare every part's means with the middle of all parts', and its classes with those of all rows."""
    said: dict[int, str] = {}
    for k, (amount, name) in _shifts(notes).items():
        said[k] = f"{name} lies {amount:.1f} standard deviations off"
    for k, share in _other_classes(notes).items():
        said.setdefault(k, f"{share:.0%} of its rows are of other classes than elsewhere")
    if not said:
        return ""
    told = "; ".join(f"in part {k} {text}" for k, text in sorted(said.items())[:NAMED])
    more = "; and more" if len(said) > NAMED else ""
    return (
        f"{_parts(sorted(said), len(notes))} {'holds' if len(said) == 1 else 'hold'} other rows than the rest: "
        f"{told}{more}. {REMEDY}"
    )


def _shifts(notes: Sequence[Notes]) -> dict[int, tuple[float, str]]:
    """The column whose mean is the furthest off, of each part where one is."""
    if len({len(note.means) for note in notes}) > 1 or not len(notes[0].means):
        return {}
    weights = np.array([note.n_rows for note in notes], dtype=np.float64)
    weights /= weights.sum()
    means = np.array([note.means for note in notes])
    middle = np.median(means, axis=0)  # one part that is off does not move it, as it would move the mean
    within = weights @ np.array([note.spreads for note in notes]) ** 2
    spread = np.sqrt(np.where(within > 0, within, weights @ (means - middle) ** 2))
    error = CHANCE / np.sqrt([[note.n_sampled] for note in notes])
    off = np.abs(means - middle) / np.where(spread > 0, spread, np.inf) - error
    furthest = off.argmax(axis=1)
    return {
        k: (float(off[k, column] + error[k, 0]), notes[k].columns[column])
        for k, column in enumerate(furthest)
        if off[k, column] > NOTABLE_SHIFT
    }


def _other_classes(notes: Sequence[Notes]) -> dict[int, float]:
    """Total variation between the classes of a part and of all, of each part where it is more than chance's."""
    pairs = [(note.labels, note.counts) for note in notes if note.labels is not None and note.counts is not None]
    if not pairs:
        return {}
    every = np.unique(np.concatenate([labels for labels, _ in pairs]))
    table = np.zeros((len(pairs), len(every)))
    for k, (labels, counts) in enumerate(pairs):
        table[k, np.searchsorted(every, labels)] = counts
    all_shares = table.sum(axis=0) / table.sum()
    rows = table.sum(axis=1, keepdims=True)
    distance = np.abs(table / rows - all_shares).sum(axis=1) / 2
    # Half of the sum of the classes' standard errors, the most that chance gives on the average, times two.
    chance = np.sqrt(all_shares * (1 - all_shares) / rows).sum(axis=1)
    return {k: float(distance[k]) for k in range(len(pairs)) if distance[k] - chance[k] > NOTABLE_CLASSES}


def _parts(found: Sequence[int], total: int) -> str:
    if len(found) == 1:
        return f"Part {found[0]} of {total}"
    named = ", ".join(str(k) for k in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
    return f"{len(found)} of {total} parts ({named})"
