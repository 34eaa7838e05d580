"""Preprocessing: the ``[preprocess]`` table, which gives every column its chain of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings, nearest
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.data.statistics import MOST_LEVELS, POSSIBLE, ColumnStatistics, Needs
from daskflow.data.tallies import Tally
from daskflow.preprocess import REGISTRY, Step
from daskflow.preprocess.fitted import FittedColumn, FittedPreprocessor, infinite_sentence, unique_names
from daskflow.preprocess.steps import FORMS, Form, State

Chain = tuple[SerializeAsAny[Step], ...]

SPARSE_COLUMNS = 256
"""Columns of the matrix from which on ``auto`` makes it sparse, if most of them are indicators."""

DENSE_COLUMNS = 20_000
"""Columns that a dense matrix has at most: 80 kB for each row."""

ENDINGS: Mapping[Form, str] = {
    Form.LEVELS: "strings are left as they are, which no model can use. End the chain with 'onehot' or 'ordinal', or "
    "leave the columns out with data.drop",
    Form.DATES: "dates are left as they are, which no model can use. End the chain with 'dates', or leave the columns "
    "out with data.drop",
}
"""What is wrong with a chain that ends in this form."""


class Preprocessing(Settings):
    """Steps for the columns of each kind, or for single columns.

    A step is its name, or a table with ``kind`` and its options: ``["impute", { kind = "scale", method = "minmax" }]``.

    Attributes
    ----------
    numeric, categorical, datetime : list of steps
        For columns of that kind. An empty list leaves numbers as they are.
    boolean : list of steps, optional
        Default: as `numeric`.
    columns : mapping of str to list of steps
        For single columns, instead of the steps of their kind.
    """

    numeric: Chain = Field(default_factory=lambda: _chain(["impute", "scale"]))
    categorical: Chain = Field(default_factory=lambda: _chain([{"kind": "rare", "min_frequency": 0.001}, "onehot"]))
    datetime: Chain = Field(default_factory=lambda: _chain(["dates"]))
    boolean: Chain | None = None
    columns: Mapping[str, Chain] = Field(default_factory=dict)

    @field_validator("numeric", "categorical", "datetime", "boolean", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        return None if value is None else _chain(value)

    @field_validator("columns", mode="before")
    @classmethod
    def _steps_of_columns(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise SettingsError([Problem("", f"should map columns to lists of steps (found {value!r:.80})")])
        problems: list[Problem] = []
        chains: dict[str, tuple[Step, ...]] = {}
        for name, steps in value.items():
            try:
                chains[str(name)] = _chain(steps)
            except SettingsError as error:
                problems += [Problem(f"{name}.{p.where}".rstrip("."), p.message) for p in error.problems]
        if problems:
            raise SettingsError(problems)
        return chains

    @model_validator(mode="after")
    def _chains_fit_their_kinds(self) -> Self:
        problems = [
            Problem(str(kind), message)
            for kind in ColumnKind
            if getattr(self, kind) is not None
            for message in _misfits(getattr(self, kind), FORMS[kind])
        ]
        if problems:
            raise SettingsError(problems)
        return self

    def steps_of(self, column: Column) -> tuple[Step, ...]:
        """Return a column's chain: its own, else that of its kind."""
        if column.name in self.columns:
            return self.columns[column.name]
        chain = getattr(self, column.kind)
        return tuple(self.numeric if chain is None else chain)

    def check(self, features: Schema) -> None:
        """Check the chains against the columns.

        Raises
        ------
        SettingsError
            For columns that are not there, and steps that do not fit their column; every one is named.
        """
        problems = [
            Problem(f"preprocess.columns.{name}", f"there is no such feature{nearest(name, features.names)}")
            for name in self.columns
            if name not in features
        ]
        for column in features.columns:
            own = column.name in self.columns
            where = f"preprocess.columns.{column.name}" if own else f"preprocess.{column.kind}"
            messages = _misfits(self.steps_of(column), FORMS[column.kind], column)
            problems += [Problem(where, message) for message in messages]
        if problems:
            raise SettingsError(problems)

    def needs(self, features: Schema) -> Needs:
        """Return what must be counted of each feature; missing and infinite values are counted always.

        Raises
        ------
        SettingsError
            As `check`.
        """
        self.check(features)
        needs: dict[str, frozenset[str | Tally]] = {}
        for column in features.columns:
            # what tells a constant column, and then what the steps ask; after 'ordinal' they ask of the codes, whose
            # statistics follow from the levels
            steps = self.steps_of(column)
            asked: set[str | Tally] = {"levels" if column.kind is ColumnKind.CATEGORICAL else "moments"}
            if steps and steps[0].counts_itself:
                asked -= {"levels"}
            asked = asked.union(*(step.statistics(column) for step in steps))
            possible = POSSIBLE[column.kind]
            needs[column.name] = frozenset(need for need in asked if not isinstance(need, str) or need in possible)
        return needs

    def describe(self, features: Schema) -> dict[str, str]:
        """Return the chains that apply, in words, by kind and column."""
        plain = [column for column in features.columns if column.name not in self.columns]
        words = {str(column.kind): _words(self.steps_of(column)) for column in plain}
        own = {c.name: _words(self.steps_of(c)) for c in features.columns if c.name in self.columns}
        return {kind: words[kind] for kind in map(str, ColumnKind) if kind in words} | own

    def fit(
        self,
        features: Schema,
        statistics: Mapping[str, ColumnStatistics],
        *,
        sparse: bool | Literal["auto"] = "auto",
    ) -> FittedPreprocessor:
        """Fit every column's chain from statistics; nothing is read.

        Columns without any value, and constant ones, are left out with a warning.

        Parameters
        ----------
        features : Schema
            The columns a model may see.
        statistics : mapping of str to ColumnStatistics
            Of the training rows, for each feature, as `needs` asked.
        sparse : bool or "auto"
            Whether the matrix is CSR; ``auto``: when it has more than 256 columns, most of them indicators of levels.

        Raises
        ------
        SettingsError
            As `check`.
        DataError
            For infinite values, too many levels, no rows, and when no column is left; every column is named.
        """
        self.check(features)
        _refuse(features, statistics)
        warnings: list[str] = []
        problems: list[str] = []
        fitted: list[FittedColumn] = []
        for column in features.columns:
            found = statistics[column.name]
            useless = _useless(column, found)
            if useless:
                warnings.append(useless)
                continue
            try:
                chain, said = _fit_chain(column, self.steps_of(column), found)
            except DataError as error:
                problems.append(str(error))
                continue
            warnings += said
            fitted += [chain] if chain.outputs else []
        if problems:
            raise DataError("\n".join(problems))
        if not fitted:
            n_rows = max((found.n_rows for found in statistics.values()), default=0)
            raise DataError("\n".join([f"No feature is left for the model (n_samples = {n_rows}).", *warnings]))
        named = _with_unique_names(fitted)
        is_sparse = _is_sparse(named) if sparse == "auto" else sparse
        if not is_sparse:
            _refuse_dense(named)
        return FittedPreprocessor(named, is_sparse, tuple(warnings))


def _chain(value: Any) -> tuple[Step, ...]:
    """Make steps of what a user wrote; SettingsError with every mistake, placed by the step's number."""
    if isinstance(value, str | Mapping | Step):
        value = [value]
    if not isinstance(value, list | tuple):
        raise SettingsError([Problem("", f"should be a list of steps (found {value!r:.80})")])
    problems: list[Problem] = []
    steps: list[Step] = []
    for number, item in enumerate(value):
        try:
            steps.append(REGISTRY.parse(item, where=str(number)))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return tuple(steps)


def _misfits(steps: tuple[Step, ...], form: Form, column: Column | None = None) -> list[str]:
    """Walk a chain from the form a column has; say where a step does not take what it gets, or what it leaves."""
    before = ""
    messages: list[str] = []
    for step in steps:
        if form is Form.COLUMNS:
            return [
                f"'{step.kind}' stands after '{before}', whose columns are finished; put it before, or leave it out"
            ]
        if form not in step.takes:
            takes = " or ".join(str(other) for other in Form if other in step.takes)
            after = f" after '{before}'" if before else ""
            return [f"'{step.kind}' takes {takes}, and gets {form}{after}"]
        if before and step.follows is not None and before not in step.follows:
            return [f"'{step.kind}' stands after '{before}', which changes what it counts; put it first"]
        message = step.check(column, form) if column else None
        if column and message:
            messages.append(f"'{step.kind}' on column '{column.name}': {message}")
        form, before = step.gives(form), step.kind
    return [*messages, ENDINGS[form]] if form in ENDINGS else messages


def _refuse(features: Schema, statistics: Mapping[str, ColumnStatistics]) -> None:
    """Raise for what no step can mend."""
    problems: list[str] = []
    found = {name: statistics[name] for name in features.names}
    if any(state.n_rows == 0 for state in found.values()):
        raise DataError("There is no row to fit the preprocessing on; give the training part a larger share.")
    infinite = {name: state.n_infinite for name, state in found.items() if state.n_infinite}
    if infinite:
        problems.append(infinite_sentence(infinite))
    for name in (name for name, state in found.items() if state.has_too_many_levels):
        problems.append(
            f"Column '{name}' has more than {MOST_LEVELS:,} levels: it names rows rather than groups of them. Encode "
            f"it with 'hash' or 'target' as the first step, leave it out with data.drop, or make it a group or a key."
        )
    if problems:
        raise DataError("\n".join(problems))


def _useless(column: Column, found: ColumnStatistics) -> str | None:
    """Say why a column is left out before its chain; None when it is not."""
    if found.n_values == 0:
        return f"Column '{column.name}' has no value in the training rows; it is left out."
    if found.n_missing or len(found.levels or ()) > 1:
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


def _fit_chain(column: Column, steps: tuple[Step, ...], statistics: ColumnStatistics) -> tuple[FittedColumn, list[str]]:
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
    is_constant = is_open and found.n_missing == 0 and found.min == found.max
    keeps_values = is_open and not is_constant
    outputs = (*state.outputs, column.name) if keeps_values else state.outputs
    warnings = list(state.warnings)
    if is_constant or not outputs:
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


def _words(steps: tuple[Step, ...]) -> str:
    """Say a chain in words: names, and the options that were given."""
    said = []
    for step in steps:
        given = [f"{word} {value}" for word, value in step.dump().items() if word in step.model_fields_set - {"kind"}]
        said.append(f"{step.kind} ({', '.join(given)})" if given else step.kind)
    return ", ".join(said) or "as they are"
