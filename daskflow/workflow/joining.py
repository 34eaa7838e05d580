"""Joining new rows to the small tables that a model's rows were joined to, or to others in their place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daskflow.bundle import Model
from daskflow.bundle.origin import needed_joins
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest, parse
from daskflow.data import joins
from daskflow.data.schema import Schema
from daskflow.data.table import Table
from daskflow.sources.files import SUFFIXES
from daskflow.sources.join import Join


def joins_for(
    model: Model, table: Table, expressions: Mapping[str, str], replaced: Mapping[str, str], base: Path
) -> list[joins.Join]:
    """Return the joins that a model's columns need, no row of which is left out.

    Parameters
    ----------
    model : Model
        It holds the small tables of its training.
    table : Table
        The new rows.
    expressions : mapping of str to str
        Columns that will be derived from them.
    replaced : mapping of str to str
        Paths of other small tables, by the joins' names.
    base : Path
        Folder that relative paths start from.

    Raises
    ------
    SettingsError
        For the name of a join that the model does not have.
    DataError
        For a table that cannot take the place of the one before.
    """
    known = [join.name for join in model.joins]
    for name in replaced:
        if name not in known:
            raise SettingsError([Problem("--join", f"the model has no join '{name}'{nearest(name, known)}")])
    saved = model.card.get("source", {}).get("joins", [])
    schema, found = table.source_schema, []
    for join in needed_joins(model, expressions):
        if join.name in replaced:
            settings = {**saved[known.index(join.name)], "name": join.name}
            join = _renewed(settings, replaced[join.name], schema, base)
        schema = join.extend(schema)
        found.append(join.every_row())
    return found


def _renewed(settings: Mapping[str, Any], path: str, schema: Schema, base: Path) -> joins.Join:
    """A join as in training, with the small table of another file."""
    learned = settings["source"]
    options = learned if learned.get("kind") in SUFFIXES else {"derive": learned.get("derive", {})}
    path = path if "://" in path else os.path.abspath(base / os.path.expanduser(path))
    return parse(Join, {**settings, "source": {**options, "path": path}}, "--join").open(schema, Path())
