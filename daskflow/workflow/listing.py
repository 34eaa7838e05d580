"""Listing: the runs of a folder with their scores, read from the ends of their files."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import DaskflowError, SettingsError, StorageError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record, decode, plain
from daskflow.core.results import TrialState
from daskflow.core.settings import nearest
from daskflow.core.space import FAMILY
from daskflow.workflow.run import Run

if TYPE_CHECKING:
    import pandas as pd

HEAD_BYTES, TAIL_BYTES = 16 * 2**10, 64 * 2**10
"""What is read of a journal's beginning and end: the first scan's record, and the last one."""

ORDERS = ("started", "name", "status", "score", "test", "rows", "seconds", "cpu_seconds", "model")
"""What runs can be sorted by."""


def gist(run: Run) -> dict[str, Any]:
    """Return what the list of runs tells of a journal that ends now; its ``end`` record carries it.

    The list then needs no other record, and nothing of it can be out of date: whatever continues the run is written
    behind it.
    """
    search, records = run.search, run.records
    begun = [record["at"] for record in records if record["record"] == "invocation"]
    seconds, cpu_seconds, peak = run.cost
    last = max((record.get("at", 0.0) for record in records), default=0.0)
    found = {
        "began": begun[-1] if begun else last,
        "seconds_before": seconds - (last - begun[-1]) if begun else 0.0,
        "cpu_seconds": cpu_seconds,
        "peak_memory_bytes": peak,
        "trials": sum(trial.state is not TrialState.WAITING for trial in run.trials),
        "metric": None,
    }
    if search is not None:
        best = search.best
        found |= {
            "metric": search.metric,
            "greater_is_better": search.greater_is_better,
            "score": best.score,
            "low": best.low,
            "high": best.high,
            "tied": sum(trial.is_tied is True for trial in search.trials),
            "family": best.params.get(FAMILY),
        }
    return dict(plain(found))


def list_runs(
    folder: Path | str = "runs",
    *,
    name: str | None = None,
    status: str | None = None,
    model: str | None = None,
    data: str | None = None,
    metric: str | None = None,
    sort: str = "started",
) -> list[dict[str, Any]]:
    """Return the runs below a folder, newest first.

    Parameters
    ----------
    folder : path, default "runs"
        Of all runs, or ``runs/NAME``.
    name, status, model : str, optional
        Keep runs that match; ``*`` and ``?`` stand for anything, as in a shell.
    data : str, optional
        Keep runs whose data have this fingerprint, or one that begins so.
    metric : str, optional
        The test metric that ``test`` is; default the one that chose the best candidate, else the first one tested.
    sort : str
        ``started`` (the newest first), ``name``, ``status``, ``model``; or the best, most or longest first: ``score``,
        ``test``, ``rows``, ``seconds``, ``cpu_seconds``. What has no value comes last.

    Returns
    -------
    list of dict
        Of each run: ``name``, ``id``, ``status`` (done, failed, interrupted, running, or damaged when its journal
        cannot be read); in validation ``metric``, the best ``score`` with its 95 % interval (``low``, ``high``),
        ``tied`` (candidates that cannot be told apart from the best, itself among them) and ``trials``; on the test
        rows ``test_metric``, ``test``, ``test_low``, ``test_high`` and ``metrics`` (all of them); ``rows``, ``data``
        (fingerprint), ``model``, ``search``, ``seconds``, ``cpu_seconds``, ``peak_memory_bytes``, ``started`` and
        ``ended`` (seconds since 1970), ``path``. None where it is not known.

    Raises
    ------
    StorageError
        When there is no such folder.
    SettingsError
        When runs cannot be sorted so.

    Notes
    -----
    Of a run that has ended the first and last bytes of the journal are read, the beginning of its metrics and its
    workflow: a few milliseconds, however many trials it had. Of one that goes on, or was killed, the whole journal.
    """
    if sort not in ORDERS:
        raise SettingsError(f"Runs cannot be sorted by '{sort}'{nearest(sort, ORDERS)}; there is: {', '.join(ORDERS)}")
    found = [row_of(RunFolder(path.parent.resolve()), metric) for path in _journals(Path(folder))]
    wanted = {"name": name, "status": status, "model": model}
    kept = [
        run
        for run in found
        if all(fnmatch(str(run[word]), pattern) for word, pattern in wanted.items() if pattern is not None)
        and (data is None or str(run["data"] or "").startswith(data))
    ]
    return in_order(kept, sort)


def runs_frame(runs: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a list of runs as a table: one row each, times as dates, test metrics as columns ``test_NAME``.

    Examples
    --------
    >>> runs_frame([]).empty
    True
    """
    import pandas as pd

    rows = []
    for run in runs:
        tested = {f"test_{name}": score["value"] for name, score in run["metrics"].items()}
        rows.append({**{word: value for word, value in run.items() if word != "metrics"}, **tested})
    table = pd.DataFrame(rows)
    for word in ("started", "ended"):
        if word in table:
            table[word] = pd.to_datetime(table[word], unit="s", utc=True)
    return table


def in_order(runs: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return runs by what they are sorted by; those of one metric stand together."""

    def key(run: Mapping[str, Any]) -> tuple[Any, ...]:
        value = run[sort]
        if value is None:
            return (1,)
        if sort in ("name", "status", "model"):
            return 0, value
        sign = 1.0
        if sort in ("score", "test"):
            metric = run["metric"] if sort == "score" else run["test_metric"]
            sign = -1.0 if not _is_greater_better(run, metric) else 1.0
            return 0, str(metric), -sign * value
        return 0, -sign * value

    newest = sorted(runs, key=lambda run: -(run["started"] or 0.0))
    return sorted(newest, key=key)


def _is_greater_better(run: Mapping[str, Any], metric: str | None) -> bool:
    """The direction of a metric: the search's own is on record, that of others is asked for."""
    if metric == run["metric"]:
        return bool(run["greater_is_better"])
    import daskflow.metrics

    try:
        return daskflow.metrics.parse(metric).greater_is_better
    except DaskflowError:
        return True


def _journals(root: Path) -> list[Path]:
    """Every run's journal below the folder of runs, or of one name's."""
    if not root.is_dir():
        raise StorageError(f"There is no folder {root}; `daskflow run` makes it, or name another one.")
    if (root / "journal.jsonl").is_file():
        return [root / "journal.jsonl"]
    return sorted(root.glob("*/journal.jsonl" if (root / "latest").is_file() else "*/*/journal.jsonl"))


def row_of(folder: RunFolder, metric: str | None) -> dict[str, Any]:
    """Return one run of the list."""
    row: dict[str, Any] = {"name": folder.name, "id": folder.id, "status": "damaged"}
    row |= dict.fromkeys(("metric", "score", "low", "high", "tied", "trials", "greater_is_better"))
    row |= dict.fromkeys(("test_metric", "test", "test_low", "test_high", "metrics"), None) | {"metrics": {}}
    row |= dict.fromkeys(("rows", "data", "model", "search", "seconds", "cpu_seconds", "peak_memory_bytes"))
    row |= {"started": None, "ended": None, "path": str(folder.path)}
    try:
        head, end = ends_of(folder.journal)
        if end is None or not head:
            run = Run(folder)
            row["status"], row["ended"] = run.status, None
            head = list(run.records)
            known = gist(run)
            row["seconds"] = run.cost[0]
        else:
            known = end["gist"]
            row["status"], row["ended"] = end["status"], end["at"]
            row["seconds"] = known["seconds_before"] + end["at"] - known["began"]
    except (DaskflowError, KeyError, TypeError):
        return row
    row |= {word: known.get(word) for word in row if word in known}
    row["started"] = next((record["at"] for record in head if record["record"] == "invocation"), None)
    first = next((record for record in head if record["record"] == "data"), {})
    row["rows"], row["data"] = first.get("rows"), first.get("fingerprint")
    settings = _settings(folder.workflow)
    row["model"], row["search"] = known.get("family") or _model(settings), settings.get("search", {}).get("kind")
    row["metrics"] = tested = _tested(folder.metrics)
    chosen = metric or (row["metric"] if row["metric"] in tested else next(iter(tested), None))
    if chosen in tested:
        score = tested[chosen]
        row |= {"test_metric": chosen, "test": score.get("value")}
        row |= {"test_low": score.get("low"), "test_high": score.get("high")}
    return row


def ends_of(journal: Path) -> tuple[list[Record], Record | None]:
    """Return the first records up to that of the data, and the last when it is an ``end`` with all that the list tells.

    Nothing when the first scan's record is not among the first bytes.
    """
    with open(journal, "rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        tail = file.read()
    first = [record for line in head.splitlines(keepends=True) if (record := decode(line)) is not None]
    last = next((found for line in reversed(tail.splitlines(keepends=True)) if (found := decode(line))), None)
    if last is None or last.get("record") != "end" or "gist" not in last:
        return [], None
    is_whole = size <= HEAD_BYTES or any(record["record"] == "data" for record in first)
    return first if is_whole else [], last


def _settings(path: Path) -> dict[str, Any]:
    """The workflow as it was resolved; nothing when it is not there or not whole."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _model(settings: Mapping[str, Any]) -> str | None:
    """The family's name, or the estimator's."""
    model = settings.get("model", {})
    name = model.get("estimator") or model.get("kind") if isinstance(model, Mapping) else model
    return None if name is None else str(name)


def _tested(path: Path) -> dict[str, dict[str, float | None]]:
    """Test metrics; they stand first in their file, and what pictures are drawn from is not read."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(HEAD_BYTES)
            for _ in range(2):
                place = text.find('"metrics":')
                try:
                    if place >= 0:
                        found = json.JSONDecoder().raw_decode(text, text.index("{", place))[0]
                        return {name: score for name, score in found.items() if _is_score(score)}
                except ValueError:
                    pass
                text += file.read()
    except OSError:
        pass
    return {}


def _is_score(score: Any) -> bool:
    """Whether it is a metric with a value."""
    value = score.get("value") if isinstance(score, Mapping) else None
    return isinstance(value, int | float) and math.isfinite(value)
