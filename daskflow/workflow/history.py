"""History: the earlier runs of the same name, with the curves of their searches, read in little time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daskflow.core.errors import DaskflowError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record, decode, plain
from daskflow.workflow.listing import ends_of, row_of

MOST_RUNS, MOST_POINTS = 20, 60
"""Runs that are told of, the newest; points of a curve."""

SECONDS = 0.5
"""Reading them takes no longer; curves that it is too short for are left out."""

WHOLE_BYTES = 8 * 2**20
"""A journal that is larger is not read as a whole: the run has no curve, and is left out when it has no end."""

WORDS = ("id", "name", "started", "status", "seconds", "cpu_seconds", "metric", "greater_is_better")
SCORE = ("score", "low", "high", "trials")


def earlier_runs(folder: RunFolder, *, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return the other runs of a run's name, oldest first, as the record ``history`` has them.

    Parameters
    ----------
    folder : RunFolder
        Of the run that is watched; it is not among them.
    seconds : float
        How long reading may take.

    Returns
    -------
    list of dict
        See `core.live`.
    """
    until = time.perf_counter() + seconds
    found: list[dict[str, Any]] = []
    for journal in _newest(folder):
        if time.perf_counter() > until or len(found) == MOST_RUNS:
            break
        try:
            is_whole = journal.stat().st_size <= WHOLE_BYTES
            if not is_whole and ends_of(journal)[1] is None:
                continue
            row = row_of(RunFolder(journal.parent.resolve()), None)
        except (OSError, DaskflowError):
            continue
        if row["status"] == "damaged" or row["started"] is None:
            continue
        tested = {
            name: [score.get(word) for word in ("value", "low", "high")] for name, score in row["metrics"].items()
        }
        curve: list[list[float]] = []
        if is_whole and row["metric"] and time.perf_counter() < until:
            curve = curve_of(_lines(journal, until), row["metric"], greater_is_better=bool(row["greater_is_better"]))
        found.append({**{word: row[word] for word in (*WORDS, *SCORE)}, "test": tested, "curve": curve})
    return plain(sorted(found, key=lambda run: run["started"]))  # type: ignore[no-any-return]  # plain values


def _newest(folder: RunFolder) -> list[Path]:
    """The journals beside a run's own, those that changed last before the others."""
    dated = []
    try:
        for place in folder.path.parent.iterdir():
            journal = place / "journal.jsonl"
            if place.name != folder.id and journal.is_file():
                dated.append((journal.stat().st_mtime, journal))
    except OSError:
        pass
    return [journal for _, journal in sorted(dated, reverse=True)]


def _lines(journal: Path, until: float) -> Iterable[Record]:
    """The records of a journal that a curve needs; they end when the time does."""
    try:
        with open(journal, "rb") as file:
            for number, line in enumerate(file):
                if number % 256 == 0 and time.perf_counter() > until:
                    return
                if b'"unit"' in line or b'"n_folds"' in line or b'"invocation"' in line:
                    record = decode(line)
                    if record is not None:
                        yield record
    except OSError:
        return


def curve_of(records: Iterable[Record], metric: str, *, greater_is_better: bool) -> list[list[float]]:
    """Return the best score so far as the search went on: [seconds, cpu_seconds, score], 60 points at most.

    Seconds are those of the run, over its invocations; processor time is that of its fits.

    Examples
    --------
    >>> unit = {"record": "unit", "fold": 0, "resource": 1, "cpu_seconds": 2.0}
    >>> curve_of(
    ...     [
    ...         {"record": "invocation", "at": 10.0},
    ...         {"record": "candidates", "n_folds": 1, "candidates": []},
    ...         {**unit, "trial": "0", "metrics": {"accuracy": 0.8}, "at": 15.0},
    ...         {**unit, "trial": "1", "metrics": {"accuracy": 0.9}, "at": 18.0},
    ...     ],
    ...     "accuracy",
    ...     greater_is_better=True,
    ... )
    [[5.0, 2.0, 0.8], [8.0, 4.0, 0.9]]
    """
    sign = 1.0 if greater_is_better else -1.0
    points: list[list[float]] = []
    folds: dict[tuple[Any, Any], list[float]] = {}
    n_folds, cpu, best = 1, 0.0, -float("inf")
    before = began = last = 0.0
    for record in records:
        kind, at = record.get("record"), float(record.get("at") or last)
        if kind == "invocation":
            before, began = before + last - began, at
        elif kind == "candidates":
            n_folds = int(record.get("n_folds") or n_folds)
        last = at
        if kind != "unit":
            continue
        cpu += record.get("cpu_seconds") or 0.0
        score = _score(record, metric)
        if score is None:
            continue
        scores = folds.setdefault((record.get("trial"), record.get("resource")), [])
        scores.append(score)
        mean = sign * sum(scores) / n_folds
        if len(scores) == n_folds and mean > best:
            best = mean
            points.append([before + at - began, cpu, sign * best])
    if points and last > began and before + last - began > points[-1][0]:
        points.append([before + last - began, cpu, sign * best])
    return _thinned(points)


def _score(record: Mapping[str, Any], metric: str) -> float | None:
    value = (record.get("metrics") or {}).get(metric)
    return None if record.get("error") or value is None else float(value)


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """Some of the points, evenly, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return points
    return [points[round(place * (len(points) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
