"""Preprocessing: the ``[preprocess]`` table, which gives every column its chain of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, Self

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.data.profiles import ColumnProfile
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.data.statistics import MOST_LEVELS, POSSIBLE, ColumnStatistics, Needs
from daskflow.data.tallies import Tally
from daskflow.preprocess import Step
from daskflow.preprocess.chains import Chain, is_dropped, misfits, parse_chain, words_of
from daskflow.preprocess.duplicates import ValueSum, alike
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.fitting import fit_columns
from daskflow.preprocess.functions import Function
from daskflow.preprocess.interactions import Interaction
from daskflow.preprocess.preparation import Preparation
from daskflow.preprocess.select import Select
from daskflow.preprocess.selectors import Rank, ambiguities, chosen, listed, select
from daskflow.preprocess.steps import FORMS

Steps = tuple[SerializeAsAny[Step], ...]

WHERE = "preprocess.columns"


@cache
def default_categorical() -> Chain:
    """Return the chain of categorical columns when nothing is said."""
    return parse_chain([{"kind": "rare", "min_frequency": 0.001}, "onehot"])


class Preprocessing(Settings):
    r"""Steps for the columns of each kind, or for single columns, and new columns made of others.

    A step is its name, or a table with ``kind`` and its options: ``["impute", { kind = "scale", method = "minmax" }]``.
    Instead of steps ``"passthrough"`` leaves columns as they are, and ``"drop"`` leaves them out of the matrix;
    functions and interactions may use those that are dropped.

    Attributes
    ----------
    numeric, categorical, datetime : list of steps
        For columns of that kind; default impute the mean and scale; group levels of fewer than 0.1 % of the rows and
        one-hot encode; take dates apart. Under the default a categorical column of more than 262,144 levels is
        hashed. An empty list is ``"passthrough"``.
    boolean : list of steps, optional
        Default: as `numeric`.
    columns : mapping of str to list of steps
        For the columns of a selector, instead of the steps of their kind: a name, a glob such as ``"bill_*"``, a
        regular expression such as ``"/^pay_\d/"``, or a type such as ``"@float"`` or ``"@integer"``. A column follows
        its name, else the first pattern written that matches, else the first type.
    functions : list of Function
        New columns by a user's own pandas functions, row by row:
        ``[{ function = "package.module:name", columns = ["a", "b"], outputs = { ratio = "float64" } }]``. Their module
        must be importable here, by every worker and where the model predicts; a model is loaded with them only where
        they are named as trusted.
    interactions : list of Interaction
        New columns of others, row by row: ``[["a", "b"], { columns = ["a", "b"], degree = 2 }]``; products of numbers,
        crossed levels of categories, named ``a:b``.
    select : Select, optional
        Which columns stay, by their variance or by their mutual information with the target; default all. Counted
        before the chains, new columns too; for each fold from its training rows.
    drop_constant : bool
        Leave columns out that have one value in all training rows, before or after their chain, with a warning; default
        True.
    drop_duplicates : bool
        Leave columns out that equal an earlier one of the same kind and chain in all training rows, with a warning;
        default True. A workflow compares only columns of equal range and counts over the whole table.
    """

    numeric: Steps = Field(default_factory=lambda: parse_chain(["impute", "scale"]))
    categorical: Steps = Field(default_factory=default_categorical)
    datetime: Steps = Field(default_factory=lambda: parse_chain(["dates"]))
    boolean: Steps | None = None
    columns: Mapping[str, Steps] = Field(default_factory=dict)
    functions: tuple[Function, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    select: Select | None = None
    drop_constant: bool = True
    drop_duplicates: bool = True

    @field_validator("numeric", "categorical", "datetime", "boolean", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        return None if value is None else parse_chain(value)

    @field_validator("columns", mode="before")
    @classmethod
    def _steps_of_columns(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise SettingsError([Problem("", f"should map columns to lists of steps (found {value!r:.80})")])
        problems: list[Problem] = []
        chains: dict[str, Chain] = {}
        for name, steps in value.items():
            try:
                chains[str(name)] = parse_chain(steps)
            except SettingsError as error:
                problems += [Problem(f"{name}.{p.where}".rstrip("."), p.message) for p in error.problems]
        if problems:
            raise SettingsError(problems)
        return chains

    @field_validator("functions", "interactions", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError("should be a list")
        return value

    @model_validator(mode="after")
    def _chains_fit_their_kinds(self) -> Self:
        problems = [
            Problem(str(kind), message)
            for kind in ColumnKind
            if getattr(self, kind) is not None
            for message in misfits(getattr(self, kind), FORMS[kind])
        ]
        if problems:
            raise SettingsError(problems)
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: the settings, the order of the selectors, and the functions' sources.

        Raises
        ------
        SettingsError
            For functions that cannot be imported.
        """
        plain = self.dump()
        sources = Preparation.sources_of(self.functions)
        return {**plain, "columns": [[key, chain] for key, chain in plain["columns"].items()], "sources": sources}

    @property
    def function_names(self) -> tuple[str, ...]:
        """Import paths of the functions."""
        return tuple(function.function for function in self.functions)

    def preparation(self, features: Schema) -> Preparation:
        """Return the new columns as they are made of these features.

        Raises
        ------
        SettingsError
            For functions and interactions that cannot be; every one is named.
        """
        return Preparation.of(self.functions, self.interactions, features)

    def chains(self, features: Schema) -> dict[str, Chain]:
        """Return the chain of every feature and new column, in order.

        Raises
        ------
        SettingsError
            As `check`.
        """
        return self._resolved(features)[1]

    def check(self, features: Schema, beside: Iterable[str] = ()) -> None:
        """Check everything against the columns.

        Parameters
        ----------
        features : Schema
            The columns a model may see.
        beside : iterable of str
            Names of the table's other columns, which no new column may have.

        Raises
        ------
        SettingsError
            For selectors that match nothing, steps that do not fit their column, and new columns that cannot be made;
            every one is named.
        """
        extended, _ = self._resolved(features)
        taken = sorted(set(beside) & set(extended.names[len(features.columns) :]))
        if taken:
            message = f"new columns have names of the table's own: {listed(taken)}. Choose others"
            raise SettingsError([Problem("preprocess", message)])

    def needs(self, features: Schema, profiles: Mapping[str, ColumnProfile] | None = None) -> Needs:
        """Return what must be counted of each feature and new column; missing and infinite values are counted always.

        Parameters
        ----------
        features : Schema
            The columns a model may see.
        profiles : mapping of str to ColumnProfile, optional
            What is known of all rows: columns that differ there need not be compared.

        Raises
        ------
        SettingsError
            As `check`.
        """
        extended, chains = self._resolved(features)
        twins = alike(extended, chains, profiles or {}) if self.drop_duplicates else frozenset()
        needs: dict[str, frozenset[str | Tally]] = {}
        for column in extended.columns:
            steps = chains[column.name]
            if is_dropped(steps):
                continue
            # what tells a constant column, and then what the steps ask; after 'ordinal' they ask of the codes, whose
            # statistics follow from the levels
            asked: set[str | Tally] = {"levels" if column.kind is ColumnKind.CATEGORICAL else "moments"}
            if steps and steps[0].counts_itself:
                asked -= {"levels"}
            asked = asked.union(*(step.statistics(column) for step in steps))
            if self.select is not None:
                asked |= self.select.statistics(column)
            if column.name in twins:
                asked.add(ValueSum())
            possible = POSSIBLE[column.kind]
            needs[column.name] = frozenset(need for need in asked if not isinstance(need, str) or need in possible)
        return needs

    def reads(self, features: Schema) -> tuple[str, ...]:
        """Return the features that must be read for `needs`: those with a chain, and what new columns are made of."""
        preparation = self.preparation(features)
        wanted = {*self.needs(features), *preparation.needed}
        return tuple(name for name in features.names if name in wanted)

    def needs_target(self, features: Schema) -> bool:
        """Return whether something learns from the target."""
        steps = any(step.needs_target for chain in self.chains(features).values() for step in chain)
        return steps or (self.select is not None and self.select.needs_target)

    def describe(self, features: Schema) -> dict[str, str]:
        """Return what applies, in words: chains by kind and selector, new columns, and what is left out."""
        extended, chains = self._resolved(features)
        selectors = select(self.columns, extended, WHERE)
        winners = chosen(selectors)
        plain = [column for column in extended.columns if column.name not in winners]
        words = {str(column.kind): words_of(chains[column.name]) for column in plain}
        said = {kind: words[kind] for kind in map(str, ColumnKind) if kind in words}
        for selector in selectors:
            mine = [name for name in selector.columns if winners[name] is selector]
            where = selector.key if selector.rank is Rank.NAME else f"{selector.key} ({listed(mine)})"
            said |= {where: words_of(self.columns[selector.key])} if mine else {}
        said |= {f"new '{name}'": what for name, what in self.preparation(features).words().items()}
        if self.select is not None:
            said["select"] = self.select.words()
        return said

    def notes(self, features: Schema) -> list[str]:
        """Return what a user may want to look at: selectors that overlap, and what happens by itself."""
        extended, chains = self._resolved(features)
        said = ambiguities(select(self.columns, extended, WHERE))
        useless = [
            word for word, is_on in [("constant", self.drop_constant), ("duplicate", self.drop_duplicates)] if is_on
        ]
        if useless:
            said.append(f"{' and '.join(useless)} columns of the training rows are left out; the run says which")
        if any(self.is_default(column, chains) for column in extended.columns):
            said.append(f"categorical columns of more than {MOST_LEVELS:,} levels are hashed")
        return said

    def is_default(self, column: Column, chains: Mapping[str, Chain]) -> bool:
        """Return whether a categorical column has the chain that it has when nothing is said."""
        return column.kind is ColumnKind.CATEGORICAL and chains[column.name] == default_categorical()

    def fit(
        self,
        features: Schema,
        statistics: Mapping[str, ColumnStatistics],
        *,
        sparse: bool | Literal["auto"] = "auto",
    ) -> FittedPreprocessor:
        """Fit every column's chain from statistics; nothing is read.

        Columns without any value, constant ones, duplicates and those that are not selected are left out with a
        warning.

        Parameters
        ----------
        features : Schema
            The columns a model may see.
        statistics : mapping of str to ColumnStatistics
            Of the training rows, for each feature and new column, as `needs` asked.
        sparse : bool or "auto"
            Whether the matrix is CSR; ``auto``: when it has more than 256 columns, most of them indicators of levels.

        Raises
        ------
        SettingsError
            As `check`.
        DataError
            For infinite values, too many levels, no rows, and when no column is left; every column is named.
        """
        extended, chains = self._resolved(features)
        used = extended.without(name for name, chain in chains.items() if is_dropped(chain))
        hashed = [
            column.name
            for column in used.columns
            if statistics[column.name].has_too_many_levels and self.is_default(column, chains)
        ]
        return fit_columns(
            used.columns,
            chains | dict.fromkeys(hashed, parse_chain("hash")) if hashed else chains,
            statistics,
            self.preparation(features),
            select=self.select,
            drop_constant=self.drop_constant,
            drop_duplicates=self.drop_duplicates,
            sparse=sparse,
            warnings=[f"Column '{name}' has more than {MOST_LEVELS:,} levels; it is hashed." for name in hashed],
        )

    def _resolved(self, features: Schema) -> tuple[Schema, dict[str, Chain]]:
        """Features and new columns, and the chain of each; SettingsError with every mistake."""
        problems: list[Problem] = []
        extended = features
        try:
            extended = Schema((*features.columns, *self.preparation(features).new.columns))
        except SettingsError as error:
            problems += error.problems
        keys: dict[str, str] = {}
        try:
            winners = chosen(select(self.columns, extended, WHERE))
            keys = {name: selector.key for name, selector in winners.items()}
        except SettingsError as error:
            # a selector may mean a new column that could not be made
            problems += error.problems if extended is not features or not problems else []
            keys = {name: name for name in features.names if name in self.columns}
        chains: dict[str, Chain] = {}
        for column in extended.columns:
            key = keys.get(column.name)
            chain = self.columns[key] if key is not None else getattr(self, column.kind)
            chains[column.name] = self.numeric if chain is None else chain
            where = f"preprocess.{column.kind}" if key is None else f"{WHERE}.{key}"
            messages = misfits(chains[column.name], FORMS[column.kind], column)
            problems += [Problem(where, message) for message in messages]
        if problems:
            raise SettingsError(problems)
        return extended, chains
