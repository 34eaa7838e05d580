"""Batch scoring: files to predictions, one partition in memory at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

import daskflow.sources
from daskflow.bundle import Model, load_model
from daskflow.bundle.origin import needed_expressions
from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.settings import nearest
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.data.table import Table
from daskflow.sources import Source
from daskflow.sources.guess import guess
from daskflow.streams.scoring import PREDICTION, Scorer
from daskflow.workflow.joining import joins_for
from daskflow.workflow.scored_file import ScoredFile
from daskflow.workflow.scoring_parts import PartScorer, executor_on, in_order

TEXT_KINDS = ("csv", "json")
"""Files that do not know their types: the model's are said to them."""

FILE_KINDS = (*TEXT_KINDS, "parquet", "arrow")
ROLE_OPTIONS = frozenset(Source.model_fields) | {
    "path",
    "columns",
    "dtypes",
    "on_bad_rows",
    "filters",
    "storage_options",
    "partition_bytes",
}
"""Options of the training files that say nothing of how new files are read."""

PLACES = ("path", "storage_options", "url", "dsn", "token")
"""Options of a joined table that say where it stood, which a model does not tell."""


def reading_of(table: Table) -> dict[str, Any]:
    """Return how a table was read, as a model's card keeps it: kind, options, derived columns, column types."""
    options = {word: value for word, value in table.settings.items() if word not in ROLE_OPTIONS}
    return {
        "kind": table.settings.get("kind", ""),
        "options": options if table.settings.get("kind") in FILE_KINDS else {},
        "derive": dict(table.derive),
        "joins": [
            {**join, "source": {word: value for word, value in join["source"].items() if word not in PLACES}}
            for join in table.settings.get("joins", [])
        ],
        "columns": table.source_schema.dump(),
    }


def score(
    model_path: Path | str,
    paths: Sequence[str],
    out: Path,
    *,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    keep: Sequence[str] = (),
    joined: Mapping[str, str] | None = None,
    probabilities: bool = True,
    trusted: Sequence[str] = (),
    base: Path | None = None,
    cluster: Any = None,
    listener: Listener = nobody,
) -> dict[str, Any]:
    """Predict the rows of files and write them to one file, in the order of files and rows.

    Parameters
    ----------
    model_path : path
        A model folder, a run's folder, or ``runs/NAME`` for its latest run.
    paths : sequence of str
        Files, folders and globs. The target need not be in them; columns of the model must.
    out : Path
        ``.parquet``, ``.csv`` or ``.csv.gz``; appears when it is complete.
    kind : str, optional
        Kind of the files; default by their suffixes.
    options : mapping, optional
        Options of that kind; default: the training files' own where the kind is the same, else as guessed.
    keep : sequence of str
        Columns to copy before the predictions.
    joined : mapping, optional
        Other files in place of joined tables, by the joins' names; default: the tables that training used, which the
        model holds. Every row stays, also where training left out those without a match.
    probabilities : bool
        Whether to write ``probability_LABEL`` for each class where the estimator gives them.
    trusted : sequence of str
        As for `load_model`.
    base : Path, optional
        Folder that relative paths start from; default the current one.
    cluster : str, mapping or Cluster, optional
        Where the files are read and scored, partition by partition; default: in this process, one after the other. The
        file that is written is the same. Workers must see the input files; only this process writes.
    listener : callable, optional
        Hears of the progress.

    Returns
    -------
    dict
        ``output``, ``rows``, ``partitions``, ``rejected`` (rows, where the options say reject), ``unseen`` (rows by
        column with a category that training has not seen), ``unmatched`` (rows by join without a match), ``seconds``.

    Raises
    ------
    DataError
        For files that cannot be read, or whose columns do not fit the model; nothing is written.
    SettingsError
        For options, columns or a suffix that cannot be.
    BundleError
        For a model that is changed or not trusted.
    ClusterError
        When no cluster can be had, or a partition ends every worker that has it; nothing is written.
    """
    started = time.perf_counter()
    scored_file = ScoredFile(out)
    model = load_model(model_path, trusted=trusted)
    table, expressions = open_new(model, paths, base or Path(), kind=kind, options=options or {}, keep=keep)
    _check_output(out, paths, base or Path(), keep, model)
    joins = joins_for(model, table, expressions, joined or {}, base or Path())
    scorer = PartScorer(Scorer(model, probabilities=probabilities), joins, expressions, tuple(keep))
    n_rows = rejected = 0
    unmatched: dict[str, int] = {}
    unseen: dict[str, int] = {}
    total = len(table.partitions)
    with executor_on(cluster, out, listener) as executor, scored_file as file:
        tell(listener, "stage", stage="scoring", state="started", total=total)
        for done, scored in enumerate(in_order(scorer, table.partitions, executor), start=1):
            file.write(scored.rows)
            n_rows, rejected = n_rows + len(scored.rows), rejected + scored.rejected
            for counts, found in ((unseen, scored.unseen), (unmatched, scored.unmatched)):
                for name, count in found.items():
                    counts[name] = counts.get(name, 0) + count
            tell(listener, "progress", stage="scoring", done=done, total=total, rows=n_rows)
        if not n_rows:
            raise DataError("The files have no rows: there is nothing to score.")
    seconds = time.perf_counter() - started
    tell(listener, "stage", stage="scoring", state="finished", seconds=seconds)
    return {
        "output": str(out),
        "rows": n_rows,
        "partitions": total,
        "rejected": rejected,
        "unseen": unseen,
        "unmatched": unmatched,
        "seconds": round(seconds, 3),
    }


def open_new(
    model: Model,
    paths: Sequence[str],
    base: Path,
    *,
    kind: str | None,
    options: Mapping[str, Any],
    keep: Sequence[str],
    columns: Sequence[str] = (),
) -> tuple[Table, dict[str, str]]:
    """Open new files as the model's own were read; return the table and the columns to derive from it.

    Those are the columns that the model needs, and `columns` beside them.
    """
    absolute = [path if "://" in path else os.path.abspath(base / os.path.expanduser(path)) for path in paths]
    learned = model.card.get("source", {})
    guessed: Mapping[str, Any] = {}
    if kind is None:
        kind, guessed, _ = guess(absolute, storage_options=options.get("storage_options"))
    own = learned.get("options", {}) if kind == learned.get("kind") else guessed
    settings = {"kind": kind, "path": absolute, **own, **options}
    plain = {word: value for word, value in settings.items() if word not in ("dtypes", "date_format")}
    names = daskflow.sources.REGISTRY.parse(plain, where="--set").table().source_schema.names
    for name in keep:
        if name not in names:
            raise SettingsError([Problem("--keep", f"there is no column '{name}'{nearest(name, names)}")])
    expressions = needed_expressions(learned.get("derive", {}), [*model.schema.names, *columns])
    if isinstance(settings.get("date_format"), Mapping):
        settings["date_format"] = {name: form for name, form in settings["date_format"].items() if name in names}
    if kind in TEXT_KINDS:
        known = Schema.load(learned["columns"]) if "columns" in learned else model.schema
        settings["dtypes"] = {**_words(known, names), **settings.get("dtypes", {})}
    return daskflow.sources.REGISTRY.parse(settings, where="--set").table(), expressions


def _words(schema: Schema, names: Sequence[str]) -> dict[str, str]:
    """Types of CSV columns as the model learned them, so that what is text there is text here."""
    return {column.name: word for column in schema.columns if column.name in names and (word := _word(column))}


def _word(column: Column) -> str | None:
    """A type's word in ``dtypes``; None for types that CSV files give no other way."""
    if column.kind is ColumnKind.CATEGORICAL:
        return "string"
    if column.kind is ColumnKind.BOOLEAN:
        return "bool"
    if column.kind is ColumnKind.DATETIME:
        return "datetime[utc]" if "tz=" in column.type else "datetime"
    return column.type if pa.types.is_integer(column.arrow_type) else "float64"


def _check_output(out: Path, paths: Sequence[str], base: Path, keep: Sequence[str], model: Model) -> None:
    """Refuse to write over an input, and columns of one name."""
    for path in paths:
        given = Path(os.path.abspath(base / os.path.expanduser(path)))
        if out.exists() and given.exists() and out.samefile(given):
            raise SettingsError([Problem("--output", f"{out} is one of the files to be scored; name another")])
    made = [PREDICTION, *(f"probability_{label}" for label in model.classes)]
    doubled = [name for name in keep if name in made or list(keep).count(name) > 1]
    if doubled:
        raise SettingsError([Problem("--keep", f"the output has a column '{doubled[0]}' already")])
