"""Targets: which task a target column poses, its classes, and the codes of its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.blocks import Blocks, open_block
from daskflow.data.profiles import ColumnProfile
from daskflow.data.schema import Column, ColumnKind, Target, Task

MOST_INTEGER_CLASSES = 20
"""Integers with at most so many distinct values are classes unless the task is given."""


def target_of(blocks: Blocks, task: Task | str | None = None, positive: Any = None) -> Target:
    """Return the task and the classes of a scanned table's target.

    Without a given task: booleans and strings are classes; numbers of two distinct values are a binary task; integers
    of 3 to 20 distinct values are classes; other numbers are a regression.

    Parameters
    ----------
    blocks : Blocks
        The scanned table; ``roles.target`` names the column.
    task : Task, str or None
        As the user said.
    positive : object or None
        Label of the positive class in a binary task; default the greater one in sort order (True, 1).

    Raises
    ------
    DataError
        For gaps, infinite values, one class only, a label that is not there, or a task that does not fit the values.
    """
    name = blocks.roles.target
    if name is None:
        raise DataError("No column is named as target. Say which is learned: target = 'COLUMN' under [data].")
    column, seen = blocks.schema[name], blocks.profile[name]
    if seen.missing:
        raise DataError(
            f"The target '{name}' has gaps: {seen.missing} of {seen.rows} rows have no value, the first of them in "
            f"{_first_gap(blocks, name)}. Drop those rows from the files, or say what they are with derive, "
            f'such as {name} = "(EXPRESSION).fillna(False)".'
        )
    chosen = task_of(column, seen) if task is None else Task(task)
    if chosen is Task.MULTILABEL:
        raise DataError("task = 'multilabel' cannot be learned from one target column. Use binary or multiclass.")
    if chosen is Task.REGRESSION:
        _check_regression(column, seen)
        if positive is not None:
            raise DataError(f"positive = {positive!r} is for a binary task; '{name}' is a regression. Leave it out.")
        return Target(name, chosen)
    if column.kind is ColumnKind.DATETIME:
        raise DataError(f"The target '{name}' holds dates, which are no classes. Derive a number or a label from them.")
    if seen.distinct is None:
        raise DataError(
            f"The target '{name}' has more distinct values than a classification can have. "
            f"Say task = 'regression', or derive a coarser label."
        )
    return _classes(column, seen, chosen, positive)


def target_codes(values: pa.ChunkedArray | pa.Array, target: Target) -> NDArray[Any]:
    """Return what an estimator learns: class codes (int64), or numbers (float64) for regression.

    Parameters
    ----------
    values : pyarrow array
        The target column as blocks present it.
    target : Target
        Its classes.

    Raises
    ------
    DataError
        For a label that is not among the classes.
    """
    column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not target.task.is_classification:
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    places = {label: code for code, label in enumerate(target.classes)}
    table = np.array([places.get(label, -1) for label in column.dictionary.to_pylist()] or [-1], dtype=np.int64)
    codes: NDArray[Any] = table[column.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    if column.null_count or (len(codes) and codes.min() < 0):
        raise DataError(
            f"The target '{target.name}' holds a value that is none of its classes {_shown(target.classes)}. "
            f"The blocks were changed since the scan: run again with --fresh."
        )
    return codes


def task_of(column: Column, seen: ColumnProfile) -> Task:
    """The task that a target's values look like."""
    if column.kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL):
        return Task.MULTICLASS if seen.distinct is None or seen.distinct > 2 else Task.BINARY
    if column.kind is ColumnKind.NUMERIC and seen.distinct is not None:
        if seen.distinct <= 2:
            return Task.BINARY
        if pa.types.is_integer(column.arrow_type) and seen.distinct <= MOST_INTEGER_CLASSES:
            return Task.MULTICLASS
    return Task.REGRESSION


def _check_regression(column: Column, seen: ColumnProfile) -> None:
    """Refuse targets that are no finite numbers or that never change."""
    if column.kind not in (ColumnKind.NUMERIC, ColumnKind.BOOLEAN):
        raise DataError(
            f"The target '{column.name}' is {column.kind}, which a regression cannot learn. "
            f"Choose task = 'binary' or 'multiclass', or derive a number from it."
        )
    if seen.infinite:
        raise DataError(
            f"The target '{column.name}' is infinite in {seen.infinite} of {seen.rows} rows. "
            f"Drop those rows, or clip the values with derive."
        )
    if seen.min == seen.max:
        raise DataError(f"The target '{column.name}' is {seen.min} in every row: there is nothing to learn.")


def _classes(column: Column, seen: ColumnProfile, task: Task, positive: Any) -> Target:
    """Sort the labels; for a binary task the positive one goes last."""
    counts = dict(seen.top)
    labels = sorted(counts)
    if seen.infinite:
        raise DataError(f"The target '{column.name}' is infinite in {seen.infinite} of {seen.rows} rows. Drop them.")
    if len(labels) == 1:
        raise DataError(
            f"The target '{column.name}' has one class only: {labels[0]!r} in all {seen.rows} rows. "
            f"There is nothing to tell apart: check the files, and the expression if it is derived."
        )
    if task is Task.BINARY and len(labels) != 2:
        raise DataError(
            f"task = 'binary', but the target '{column.name}' has {len(labels)} classes: {_shown(labels)}. "
            f"Say task = 'multiclass', or derive a target of two values."
        )
    if positive is not None:
        if task is not Task.BINARY:
            raise DataError(f"positive = {positive!r} is for a binary task; '{column.name}' has {len(labels)} classes.")
        place = _place_of(positive, labels)
        if place is None:
            raise DataError(
                f"positive = {positive!r} is no label of '{column.name}'"
                f"{nearest(str(positive), [str(label) for label in labels])}"
            )
        labels.append(labels.pop(place))
    return Target(column.name, task, tuple(labels), tuple(counts[label] for label in labels))


def _place_of(positive: Any, labels: list[Any]) -> int | None:
    """Where a label stands; as written in a file or on a command line, where 1 and "1" look the same."""
    for place, label in enumerate(labels):
        if label == positive and isinstance(label, bool) == isinstance(positive, bool):
            return place
    for place, label in enumerate(labels):
        if str(label).lower() == str(positive).lower() or label == positive:
            return place
    return None


def _first_gap(blocks: Blocks, name: str) -> str:
    """The first file with a missing target."""
    gaps = ((file.name, open_block(file).column(name).null_count) for file in blocks.files)
    return next((f"{file} ({count} there)" for file, count in gaps if count), "an unknown file")


def _shown(labels: Any) -> str:
    """A few labels for a message."""
    texts = [repr(label) for label in labels]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")
