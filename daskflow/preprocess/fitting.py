"""Fitting: the chains of all columns from their statistics, and which columns do not reach the matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from daskflow.core.errors import DataError
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.statistics import MOST_LEVELS, ColumnStatistics
from daskflow.preprocess.chains import Chain
from daskflow.preprocess.duplicates import duplicates_of
from daskflow.preprocess.fitted import FittedColumn, FittedPreprocessor, infinite_sentence, unique_names
from daskflow.preprocess.preparation import Preparation
from daskflow.preprocess.select import Select
from daskflow.preprocess.steps import FORMS, Form, State

SPARSE_COLUMNS = 256
"""Columns of the matrix from which on ``auto`` makes it sparse, if most of them are indicators."""

DENSE_COLUMNS = 20_000
"""Columns that a dense matrix has at most: 80 kB for each row."""


def fit_columns(
    columns: Sequence[Column],
    chains: Mapping[str, Chain],
    statistics: Mapping[str, ColumnStatistics],
    preparation: Preparation,
    *,
    select: Select | None,
    drop_constant: bool,
    drop_duplicates: bool,
    sparse: bool | Literal["auto"],
    warnings: Sequence[str] = (),
) -> FittedPreprocessor:
    """Leave out what says nothing or is not selected, and fit the chains of the rest.

    Parameters
    ----------
    columns : sequence of Column
        Features and new columns that have a chain.
    chains : mapping of str to steps
        By column.
    statistics : mapping of str to ColumnStatistics
        Of the training rows.
    preparation : Preparation
        Makes the new columns.
    select : Select, optional
        Which columns stay.
    drop_constant, drop_duplicates : bool
        Whether such columns are left out.
    sparse : bool or "auto"
        As for `Preprocessing.fit`.
    warnings : sequence of str
        What was said before.

    Raises
    ------
    DataError
        For infinite values, too many levels, no rows, and when no column is left; every column is named.
    """
    _refuse(columns, chains, statistics)
    said = list(warnings)
    used: list[Column] = []
    for column in columns:
        useless = _useless(column, statistics[column.name], drop_constant)
        said += [useless] if useless else []
        used += [] if useless else [column]
    if drop_duplicates:
        copies = duplicates_of(used, statistics, chains)
        said += [
            f"Column '{copy}' equals '{kept}' in all training rows; it is left out." for copy, kept in copies.items()
        ]
        used = [column for column in used if column.name not in copies]
    if select is not None:
        gone, sentence = select.left_out(used, statistics)
        said += [sentence] if sentence else []
        used = [column for column in used if column.name not in gone]
    problems: list[str] = []
    fitted: list[FittedColumn] = []
    for column in used:
        try:
            chain, heard = _fit_chain(column, chains[column.name], statistics[column.name], drop_constant=drop_constant)
        except DataError as error:
            problems.append(str(error))
            continue
        said += heard
        fitted += [chain] if chain.outputs else []
    if problems:
        raise DataError("\n".join(problems))
    if not fitted:
        n_rows = max((found.n_rows for found in statistics.values()), default=0)
        raise DataError("\n".join([f"No feature is left for the model (n_samples = {n_rows}).", *said]))
    named = _with_unique_names(fitted)
    is_sparse = _is_sparse(named) if sparse == "auto" else sparse
    if not is_sparse:
        _refuse_dense(named)
    made = preparation.only(column.column.name for column in named)
    return FittedPreprocessor(named, is_sparse, tuple(said), made)


def _refuse(columns: Sequence[Column], chains: Mapping[str, Chain], statistics: Mapping[str, ColumnStatistics]) -> None:
    """Raise for what no step can mend."""
    problems: list[str] = []
    found = {column.name: statistics[column.name] for column in columns}
    if any(state.n_rows == 0 for state in found.values()):
        raise DataError("There is no row to fit the preprocessing on; give the training part a larger share.")
    infinite = {name: state.n_infinite for name, state in found.items() if state.n_infinite}
    if infinite:
        problems.append(infinite_sentence(infinite))
    for name in (name for name, state in found.items() if state.has_too_many_levels):
        if chains[name] and chains[name][0].counts_itself:
            continue
        problems.append(
            f"Column '{name}' has more than {MOST_LEVELS:,} levels: it names rows rather than groups of them. Encode "
            f"it with 'hash' or 'target' as the first step, leave it out with 'drop', or make it a group or a key."
        )
    if problems:
        raise DataError("\n".join(problems))


def _useless(column: Column, found: ColumnStatistics, drop_constant: bool) -> str | None:
    """Say why a column is left out before its chain; None when it is not."""
    if found.n_values == 0:
        return f"Column '{column.name}' has no value in the training rows; it is left out."
    if not drop_constant or found.n_missing or len(found.levels or ()) > 1:
        return None
    if column.kind is ColumnKind.CATEGORICAL:
        return _constant(column, f"{next(iter(found.levels))!r:.60}") if found.levels else None
    if found.min != found.max:
        return None
    if column.kind is ColumnKind.DATETIME:
        return _constant(column, "one date")
    return _constant(column, str(bool(found.min)) if column.kind is ColumnKind.BOOLEAN else f"{found.min:.12g}")


def _constant(column: Column, value: str) -> str:
    """Say that a column is constant."""
    return f"Column '{column.name}' is constant in the training rows ({value}); it is left out."


def _fit_chain(
    column: Column, steps: Chain, statistics: ColumnStatistics, *, drop_constant: bool
) -> tuple[FittedColumn, list[str]]:
    """Fit one column's steps in order; warnings of theirs, and when they leave it, or its main part, constant."""
    state = State(column, FORMS[column.kind], statistics)
    fitted = []
    for step in steps:
        if state.form is Form.COLUMNS:
            raise DataError(
                f"Column '{column.name}': '{step.kind}' stands after finished columns, one for each class. Leave it "
                "out."
            )
        done, state = step.fit(state)
        fitted.append(done)
    found = state.statistics
    is_open = state.form is not Form.COLUMNS
    is_constant = drop_constant and is_open and found.n_missing == 0 and found.min == found.max
    keeps_values = is_open and not is_constant
    outputs = (*state.outputs, column.name) if keeps_values else state.outputs
    warnings = list(state.warnings)
    if is_constant or not (outputs or state.warnings):
        chain = ", ".join(f"'{step.kind}'" for step in steps)
        why = " (each of its levels is rare)" if state.rare is not None else ""
        warnings.append(f"Column '{column.name}' is constant after {chain}{why}; it is left out.")
    return FittedColumn(column, tuple(fitted), outputs, keeps_values), warnings


def _with_unique_names(columns: list[FittedColumn]) -> tuple[FittedColumn, ...]:
    """Tell apart matrix columns that would have the same name."""
    names = iter(unique_names([name for column in columns for name in column.outputs]))
    return tuple(
        FittedColumn(c.column, c.steps, tuple(next(names) for _ in c.outputs), c.keeps_values) for c in columns
    )


def _is_sparse(columns: tuple[FittedColumn, ...]) -> bool:
    """Whether a matrix is wide and mostly zero."""
    total = sum(len(column.outputs) for column in columns)
    indicators = sum(step.n_indicators for column in columns for step in column.steps)
    return total > SPARSE_COLUMNS and 2 * indicators > total


def _refuse_dense(columns: tuple[FittedColumn, ...]) -> None:
    """Raise for a dense matrix that is too wide."""
    widths = {column.column.name: len(column.outputs) for column in columns}
    if sum(widths.values()) > DENSE_COLUMNS:
        widest = max(widths, key=lambda name: widths[name])
        raise DataError(
            f"The matrix would have {sum(widths.values()):,} dense columns, {widths[widest]:,} of them from "
            f"'{widest}'; at most {DENSE_COLUMNS:,} are made. Choose a model that takes sparse matrices, such as sgd, "
            f"or give the column fewer (n_features of 'hash' and 'text', max_features of 'text', max_levels of 'rare')."
        )
