"""Judging files: a model and files whose truth has become known, to metrics, one partition in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from daskflow.bundle import load_model
from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.settings import nearest
from daskflow.data.derive import derive
from daskflow.data.joins import join_all
from daskflow.workflow.joining import joins_for
from daskflow.workflow.judging import Judge, Judgement, Tallies, asked_of, judgement_of, merged, sliced_by
from daskflow.workflow.scoring import open_new


def judge_files(
    model_path: Path | str,
    paths: Sequence[str],
    *,
    metrics: Sequence[Any] = (),
    weight: str | None = None,
    group: str | None = None,
    slices: bool | Sequence[str] = False,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    joined: Mapping[str, str] | None = None,
    replicates: int = 500,
    trusted: Sequence[str] = (),
    base: Path | None = None,
    listener: Listener = nobody,
) -> Judgement:
    """Judge a model on files that hold the target, read as those of training were.

    Parameters
    ----------
    model_path : path
        A model folder, a run's folder, or ``runs/NAME`` for its latest run.
    paths : sequence of str
        Files, folders and globs, with the model's columns and its target.
    metrics, weight, group, slices, replicates
        As for `flow.evaluate`.
    kind, options, joined, trusted, base, listener
        As for `daskflow.workflow.scoring.score`.

    Returns
    -------
    Judgement
        Of all rows.

    Raises
    ------
    DataError
        For files that cannot be read, without a target, or with labels that the model does not know.
    SettingsError
        For options, columns or metrics that cannot be.
    BundleError
        For a model that is changed or not trusted.
    """
    model = load_model(model_path, trusted=trusted)
    target = model.target.name
    place = base or Path(os.curdir)
    table, expressions = open_new(model, paths, place, kind=kind, options=options or {}, keep=(), columns=(target,))
    joins = joins_for(model, table, expressions, joined or {}, place)
    names = [*table.source_schema.names, *expressions, *(name for join in joins for name in join.values.column_names)]
    for word, name in (("target", target), ("--weight", weight), ("--group", group)):
        if name is not None and name not in names:
            raise SettingsError([Problem(word, f"the files have no column '{name}'{nearest(name, names)}")])
    for name in slices if not isinstance(slices, bool) else ():
        if name not in names:
            raise SettingsError([Problem("--slice", f"the files have no column '{name}'{nearest(name, names)}")])
    asked = asked_of(model, metrics, replicates=replicates, seed=0)
    tallies: Tallies | None = None
    judge: Judge | None = None
    total, rejected = len(table.partitions), 0
    unseen: dict[str, int] = {}
    tell(listener, "stage", stage="evaluation", state="started", total=total)
    for number, partition in enumerate(table.partitions):
        decoded = partition.read()
        rejected += len(decoded.rejects)
        rows, _, _ = join_all(decoded.plain, joins, partition.fingerprint.name)
        frame = derive(rows, expressions).to_pandas(types_mapper=pd.ArrowDtype)
        if len(frame):
            if judge is None:
                sliced = sliced_by(model, frame, slices, asked, leave_out=(target, weight, group))
                judge = Judge(model, asked, sliced, model.classes, target, weight, group)
            try:
                found = judge.of(frame, number)
            except DataError as error:
                raise DataError(f"{partition.fingerprint.name}: {error}") from error
            tallies = merged([tallies, found])
            for name, count in model.check(frame).items():
                unseen[name] = unseen.get(name, 0) + count
        tell(listener, "progress", stage="evaluation", done=number + 1, total=total)
    notes = [f"{rejected:,} rows were rejected and are not judged."] if rejected else []
    notes += [f"{name}: {count:,} rows have a level that the model has not seen." for name, count in unseen.items()]
    return judgement_of(tallies, notes)
