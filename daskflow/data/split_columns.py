"""Predefined splits: a column says which rows train, validate and test, or names the folds."""

from __future__ import annotations

from collections.abc import Mapping

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor
from daskflow.data.blocks import Blocks
from daskflow.data.counts import word_counts
from daskflow.data.schema import ColumnKind
from daskflow.data.split_plan import TEST, Fold, Named
from daskflow.data.split_settings import MOST_FOLDS

TRAIN, TESTS = ("train", "training", "-1"), ("test", "testing", "holdout")
VALIDATION = ("validation", "valid", "val", "dev")

SHOWN = 8


def named_by_column(blocks: Blocks, executor: Executor) -> tuple[Named, tuple[Fold, ...]]:
    """Read what the column of a predefined split says.

    ``train`` (or -1), ``validation`` and ``test`` are what they say, in any case; whole numbers, or any other names
    where none of train and validation is among them, are folds: each validates in turn.

    Returns
    -------
    Named, tuple of Fold
        Without folds where the column names train and test only: all other rows are segment 0.

    Raises
    ------
    DataError
        For gaps, for words that do not go together, and for a column that names one part only.
    """
    name = blocks.roles.fold
    if name is None:
        raise DataError(
            "split.kind = 'predefined' needs the column that names the parts or folds: "
            "say fold = 'COLUMN' under [data]."
        )
    missing = blocks.profile[name].missing
    if missing:
        raise DataError(
            f"split.kind = 'predefined': {missing} of {blocks.n_rows} rows have no '{name}'. Drop those rows, or say "
            f"where they belong: derive the column."
        )
    if blocks.schema[name].kind in (ColumnKind.BOOLEAN, ColumnKind.DATETIME):
        raise DataError(
            f"split.kind = 'predefined': '{name}' is {blocks.schema[name].type}, and should hold words such as 'train' "
            f"and 'test', or numbers of folds. Derive such a column from it."
        )
    counts = word_counts(blocks.files, name, MOST_FOLDS + 3, executor)
    return Named(name, named := _segments(name, counts)), _folds(named, counts)


def _segments(name: str, counts: Mapping[str, int]) -> dict[str, int]:
    """The segment of each word."""
    folds = [word for word in counts if word not in (*TRAIN, *VALIDATION, *TESTS)]
    has_train, has_validation = any(word in TRAIN for word in counts), any(word in VALIDATION for word in counts)
    are_numbers = all(word.lstrip("-").isdigit() for word in folds)
    shown = ", ".join(repr(word) for word in sorted(counts)[:SHOWN]) + (", ..." if len(counts) > SHOWN else "")
    if len(folds) > MOST_FOLDS:
        raise DataError(f"split.kind = 'predefined': '{name}' names more than {MOST_FOLDS} folds: {shown}.")
    if folds and (has_validation or (has_train and not are_numbers)):
        raise DataError(
            f"split.kind = 'predefined': '{name}' holds {shown}. Beside 'train' and 'validation' only 'test' may "
            f"stand, or numbers of folds beside 'train'."
        )
    if folds and not are_numbers and any(word.lstrip("-").isdigit() for word in folds):
        raise DataError(f"split.kind = 'predefined': '{name}' holds numbers and names: {shown}. Use one of them.")
    if not has_train and len(folds) < 2:
        raise DataError(
            f"split.kind = 'predefined': '{name}' holds {shown} only: there is nothing to train on, or nothing to "
            f"validate by. Name at least two folds, or 'train' and 'validation', or 'train' and 'test'."
        )
    folds.sort(key=lambda word: (int(word) if are_numbers else 0, word))
    first = 1 if has_train else 0
    named = {word: first + place for place, word in enumerate(folds)}
    for word in counts:
        if word not in named:
            named[word] = TEST if word in TESTS else 1 if word in VALIDATION else 0
    return named


def _folds(named: Mapping[str, int], counts: Mapping[str, int]) -> tuple[Fold, ...]:
    """One fold for every segment that validates: those of folds, or of the validation part."""
    segments = sorted({segment for segment in named.values() if segment != TEST})
    always = {named[word] for word in counts if word in TRAIN}
    return tuple(
        Fold(tuple(other for other in segments if other != segment), (segment,))
        for segment in segments
        if segment not in always
    )
