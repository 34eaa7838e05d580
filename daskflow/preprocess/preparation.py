"""Preparation: the row-wise new columns of a preprocessing, made before any column meets its chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.seeds import digest
from daskflow.core.settings import nearest
from daskflow.data.schema import Column, Schema
from daskflow.preprocess.functions import Function, resolve, source_of
from daskflow.preprocess.interactions import Interaction, Made
from daskflow.preprocess.reading import read_typed

MARK = b"daskflow.prepared"
"""Key of a table's metadata that says by which preparation it has its new columns."""


@dataclass(frozen=True)
class Preparation:
    """Functions and then interactions, as they apply to the columns of one table; plain data.

    Attributes
    ----------
    functions : tuple of Function
        In order; one may use what those before it made.
    sources : mapping of str to str
        Hash of each function's source in training; see `daskflow.preprocess.functions.source_of`.
    interactions : tuple of Made
        New columns of columns.
    columns : tuple of Column
        Those of the table that they are made of, as they were in training.
    token : str
        Names the whole preparation; a part of it (`only`) keeps the name.
    """

    functions: tuple[Function, ...] = ()
    sources: Mapping[str, str] | None = None
    interactions: tuple[Made, ...] = ()
    columns: tuple[Column, ...] = ()
    token: str = ""

    @classmethod
    def of(cls, functions: Iterable[Function], interactions: Iterable[Interaction], features: Schema) -> Preparation:
        """Check functions and interactions against the features.

        Raises
        ------
        SettingsError
            For columns that are not there or do not go together, names that are taken, and functions that cannot be
            imported; every one is named.
        """
        functions, interactions = tuple(functions), tuple(interactions)
        if not functions and not interactions:
            return NOTHING
        problems: list[Problem] = []
        known = features
        for number, function in enumerate(functions):
            where = f"preprocess.functions.{number}"
            problems += [
                Problem(f"{where}.columns", f"there is no feature '{name}'{nearest(name, known.names)}")
                for name in function.columns
                if name not in known
            ]
            known, taken = _extended(known, Schema(function.made()), f"{where}.outputs")
            problems += taken
        sources: dict[str, str] = {}
        try:
            sources = cls.sources_of(functions)
        except SettingsError as error:
            problems += error.problems
        made: list[Made] = []
        with_outputs = known
        for number, interaction in enumerate(interactions):
            where = f"preprocess.interactions.{number}"
            missing = [name for name in interaction.columns if name not in with_outputs]
            problems += [
                Problem(where, f"there is no feature '{name}'{nearest(name, with_outputs.names)}") for name in missing
            ]
            if missing:
                continue
            try:
                new = interaction.made(with_outputs)
            except SettingsError as error:
                problems.append(Problem(where, error.problems[0].message))
                continue
            known, taken = _extended(known, Schema(tuple(each.column for each in new)), where)
            problems += taken
            made += new
        if problems:
            raise SettingsError(problems)
        found = cls(functions, sources, tuple(made))
        found = replace(found, columns=tuple(column for column in features.columns if column.name in found.needed))
        return replace(found, token=digest(found.dump(), 16))

    @staticmethod
    def sources_of(functions: Iterable[Function]) -> dict[str, str]:
        """Return a hash of the source of each function; SettingsError for those that cannot be imported."""
        problems: list[Problem] = []
        sources: dict[str, str] = {}
        for number, function in enumerate(functions):
            try:
                sources[function.function] = source_of(function.function)
            except DataError as error:
                problems.append(Problem(f"preprocess.functions.{number}.function", str(error)))
        if problems:
            raise SettingsError(problems)
        return sources

    @cached_property
    def new(self) -> Schema:
        """The new columns, in order."""
        columns = [column for function in self.functions for column in function.made()]
        return Schema((*columns, *(made.column for made in self.interactions)))

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that it is made of, each once; outputs of functions that others use are among them."""
        names = [name for function in self.functions for name in function.columns]
        return tuple(dict.fromkeys([*names, *(name for made in self.interactions for name in made.factors)]))

    @property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """Columns of the table that each new column is made of, directly or by others."""
        found: dict[str, tuple[str, ...]] = {}
        made = [(name, f.columns) for f in self.functions for name in f.outputs]
        for name, parts in [*made, *((each.name, each.factors) for each in self.interactions)]:
            found[name] = tuple(dict.fromkeys(origin for part in parts for origin in found.get(part, (part,))))
        return found

    def only(self, names: Iterable[str]) -> Preparation:
        """Return the part that makes some of the new columns."""
        wanted = set(names)
        interactions = tuple(made for made in self.interactions if made.name in wanted)
        wanted.update(name for made in interactions for name in made.factors)
        functions: list[Function] = []
        for function in reversed(self.functions):
            if wanted & set(function.outputs):
                functions.insert(0, function)
                wanted.update(function.columns)
        sources = {function.function: (self.sources or {})[function.function] for function in functions}
        found = replace(self, functions=tuple(functions), sources=sources, interactions=interactions)
        return replace(found, columns=tuple(column for column in self.columns if column.name in found.needed))

    def apply(self, table: pa.Table) -> pa.Table:
        """Return a table with the new columns; one that has them from the same preparation as it is.

        Raises
        ------
        DataError
            For names that the table has already, and functions that fail or are not those of training.
        """
        return self._applied(table, is_checked=False)

    def checked(self, table: pa.Table) -> pa.Table:
        """Do as `apply`, and check on a sample that every function looks at each row alone."""
        return self._applied(table, is_checked=True)

    def _applied(self, table: pa.Table, *, is_checked: bool) -> pa.Table:
        metadata = table.schema.metadata or {}
        if not len(self.new.columns) or metadata.get(MARK) == self.token.encode():
            return table
        taken = [name for name in self.new.names if name in table.column_names]
        if taken:
            raise DataError(
                f"The preprocessing makes a new column '{taken[0]}', and the table has one of that name. Rename one."
            )
        self.check_sources()
        made = self._read(table)
        for function in self.functions:
            found = function.apply(made)
            if is_checked:
                function.check(made, found)
            for name, array in found.items():
                made = made.append_column(name, array)
        for new in self.interactions:
            made = made.append_column(new.name, new.apply(made))
        for name in self.new.names:
            table = table.append_column(name, made.column(name))
        return table.replace_schema_metadata({**metadata, MARK: self.token.encode()})

    def _read(self, table: pa.Table) -> pa.Table:
        """The columns of a table that are needed, as they were in training; all problems at once."""
        problems: list[str] = []
        found: dict[str, pa.Array] = {}
        for column in self.columns:
            try:
                found[column.name] = read_typed(table, column)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError("\n".join(problems))
        return pa.table(found)

    def check_sources(self) -> None:
        """Import the functions, and see that they are those of training.

        Raises
        ------
        DataError
            When one cannot be imported, or has changed.
        """
        for function in self.functions:
            resolve(function.function)
            if source_of(function.function) != (self.sources or {})[function.function]:
                raise DataError(
                    f"Function {function.function} is not the one of training: its source has changed, so it may give "
                    "other values than the model learned. Put the old one back, or train again."
                )

    def words(self) -> dict[str, str]:
        """Say of each new column what it is."""
        said = {name: f"{f.function} of {', '.join(f.columns)}" for f in self.functions for name in f.outputs}
        return said | {made.name: made.words() for made in self.interactions}

    def dump(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "functions": [function.dump() for function in self.functions],
            "sources": dict(self.sources or {}),
            "interactions": [made.dump() for made in self.interactions],
            "columns": Schema(self.columns).dump(),
            "token": self.token,
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Preparation:
        """Return what `dump` gave; no function is imported."""
        functions = tuple(Function(**function) for function in values["functions"])
        interactions = tuple(Made.load(made) for made in values["interactions"])
        columns = Schema.load(values["columns"]).columns
        return cls(functions, dict(values["sources"]), interactions, columns, str(values["token"]))


NOTHING = Preparation()
"""No new columns."""


def _extended(schema: Schema, new: Schema, where: str) -> tuple[Schema, list[Problem]]:
    """A schema with new columns, and the names that were taken."""
    names = set(schema.names)
    problems: list[Problem] = []
    columns = list(schema.columns)
    for column in new.columns:
        if column.name in names:
            problems.append(Problem(where, f"there is a column '{column.name}' already; choose another name"))
            continue
        names.add(column.name)
        columns.append(column)
    return Schema(tuple(columns)), problems
