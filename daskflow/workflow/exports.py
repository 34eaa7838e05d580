"""Trials and predictions of a run as files for other tools: CSV in which nothing is a formula, or typed parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from daskflow.core.errors import Problem, SettingsError, StorageError
from daskflow.core.journal import plain, write_atomically
from daskflow.workflow.rejects import FORMULA_MARKS

if TYPE_CHECKING:
    from daskflow.workflow.run import Run

SUFFIXES = (".csv", ".parquet")

FIXED = {
    "rank": "Int64",
    "trial": "str",
    "score": "float64",
    "low": "float64",
    "high": "float64",
    "tied": "boolean",
    "std": "float64",
    "resource": "Int64",
    "state": "str",
    "seconds": "float64",
    "cpu_seconds": "float64",
}
"""Columns that every table of trials has, and their types; parameters, metrics and ``error`` follow."""


def trials_frame(run: Run) -> pd.DataFrame:
    """Return a run's trials from best to worst, every column of one type.

    Columns are those of `Run.leaderboard` with ``cpu_seconds``, and ``metric_NAME`` for each metric of the validation
    rows. A parameter is Int64, float64, boolean or str; one whose values are of several types, or lists, is JSON text.
    """
    board = run.leaderboard()
    by_name = {trial.id: trial for trial in run.trials}
    trials = [by_name[str(name)] for name in board["trial"]]
    board["cpu_seconds"] = [round(trial.cpu_seconds, 3) for trial in trials]
    params = [str(name) for name in board if str(name).startswith("param_")]
    table: dict[str, pd.Series[Any]] = {}
    for name, kind in FIXED.items():
        values = board[name].tolist() if name in board else [None] * len(board)
        table[name] = pd.Series([None if pd.isna(value) else value for value in values], dtype=kind)
    for name in params:
        table[name] = _typed([trial.params.get(name.removeprefix("param_")) for trial in trials])
    metrics = dict.fromkeys(name for trial in trials for name in trial.metrics)
    for name in metrics:
        table[f"metric_{name}"] = pd.Series([trial.metrics.get(name) for trial in trials], dtype="float64")
    table["error"] = pd.Series([trial.error for trial in trials], dtype="str")
    return pd.DataFrame(table)


def export_trials(run: Run, path: Path | str) -> Path:
    """Write a run's trials as ``.csv`` or ``.parquet``; see `trials_frame`.

    Raises
    ------
    SettingsError
        For another suffix.
    StorageError
        When the file cannot be written.
    """
    return write_frame(trials_frame(run), Path(path))


def export_predictions(run: Run, path: Path | str) -> Path:
    """Write what the run predicted of its test rows as ``.csv`` or ``.parquet``.

    Raises
    ------
    StorageError
        When the run has none: it had no test part, or has not come so far.
    """
    source = run.path / "predictions.parquet"
    if not source.exists():
        raise StorageError(f"{run.path} holds no predictions: it has no test part, or was not evaluated yet.")
    return write_frame(pd.read_parquet(source), Path(path))


def write_frame(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table whole or not at all; its suffix says the format."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SettingsError([Problem("--to", f"{path.name}: the suffix says the format; there is: .csv, .parquet")])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, csv_of(frame) if suffix == ".csv" else _parquet_of(frame))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def csv_of(frame: pd.DataFrame) -> bytes:
    r"""Return a table as CSV, UTF-8, in which a spreadsheet evaluates nothing.

    A text or a column's name that begins like a formula gets an apostrophe before it; numbers stay as they are.

    Examples
    --------
    >>> csv_of(pd.DataFrame({"=a": [-1.5], "b": ["=1+2"]})).decode()
    "'=a,b\n-1.5,'=1+2\n"
    """
    inert = frame.copy()
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            inert[name] = [inert_text(value) for value in frame[name]]
    inert.columns = pd.Index([inert_text(str(name)) for name in frame.columns])
    return inert.to_csv(index=False).encode()


def inert_text(value: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula; other values as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_MARKS) else value


def _parquet_of(frame: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _typed(values: Iterable[Any]) -> pd.Series[Any]:
    """A parameter's values in the one type they have; JSON texts where they have several."""
    plain_values = [plain(value) for value in values]
    kinds = {type(value) for value in plain_values if value is not None}
    if kinds == {bool}:
        return pd.Series(plain_values, dtype="boolean")
    if kinds == {int} and all(abs(value) < 2**63 for value in plain_values if value is not None):
        return pd.Series(plain_values, dtype="Int64")
    if kinds and kinds <= {int, float}:
        return pd.Series(plain_values, dtype="float64")
    if kinds <= {str}:
        return pd.Series(plain_values, dtype="str")
    texts = [None if value is None else json.dumps(value) for value in plain_values]
    return pd.Series(texts, dtype="str")
