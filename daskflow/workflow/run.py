"""Run: what a run folder holds, read from the folder alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import SearchError
from daskflow.core.folder import RunFolder, find_run, read_json
from daskflow.core.journal import Record, plain, read
from daskflow.core.live import merged, read_spans
from daskflow.core.notebook import block
from daskflow.core.overlap import Overlap, overlap_of
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation, RunRecord, SearchResult, Trial, TrialState
from daskflow.core.space import told
from daskflow.workflow.acting import Acting, status_of
from daskflow.workflow.core_hours import Accounted
from daskflow.workflow.spent import stages_of, utilisation_of
from daskflow.workflow.toml import load
from daskflow.workflow.trials import search_of

if TYPE_CHECKING:
    import pandas as pd

    from daskflow.bundle import Model
    from daskflow.workflow.opened_stream import OpenedStream

RECORD_FIELDS = ("task", "classes", "class_counts", "feature_names")


class Run(Acting, Accounted):
    """A run, finished or not; everything is read from its folder, and what is asked of it goes there.

    Parameters
    ----------
    folder : RunFolder
        Of a run; `open_run` finds it.
    trusted : sequence of str
        Functions and types in the model that the caller trusts; see `load_model`.
    """

    def __init__(self, folder: RunFolder, trusted: Sequence[str] = ()) -> None:
        """Read the journal; the rest is read when asked for."""
        self._folder = folder
        self._trusted = tuple(trusted)
        self._records = read(folder.journal)

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._folder.path

    @property
    def status(self) -> str:
        """``done``, ``failed``, ``interrupted``, ``running`` or ``waiting`` (in a batch queue)."""
        return status_of(self._records, self._folder.journal)

    @cached_property
    def search(self) -> SearchResult | None:
        """Every trial so far and the best of them; None before the first score."""
        return search_of(self._records)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial, in the order drawn."""
        return () if self.search is None else self.search.trials

    @property
    def best(self) -> Trial:
        """The best trial so far.

        Raises
        ------
        SearchError
            Before the first score.
        """
        if self.search is None:
            raise SearchError(f"{self.path} has no scored trial yet.")
        return self.search.best

    @property
    def metrics(self) -> dict[str, Score]:
        """Test metrics with their 95 % intervals; empty before the evaluation."""
        found = self.evaluation
        return {} if found is None else dict(found.metrics)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The test part's results; None before the evaluation, or with no test part."""
        saved = read_json(self._folder.metrics)
        if not saved:
            return None
        metrics = {
            name: Score(*(_number(score[k]) for k in ("value", "low", "high")))
            for name, score in saved["metrics"].items()
        }
        return Evaluation(metrics, int(saved["n_rows"]), saved["details"])

    @property
    def model(self) -> Model:
        """The fitted model, loaded and verified; predicts on pandas and dask DataFrames.

        A run that `Workflow.run` returned trusts the functions that the workflow itself names; one that was opened
        from its folder trusts those it was opened with.
        """
        from daskflow.bundle import load_model

        return load_model(self._folder.model, trusted=self._trusted)

    @property
    def foreign_types(self) -> list[str]:
        """Full names of the types in the model that are built only when they are trusted; empty without a model."""
        from daskflow.bundle.trust import foreign_types_of

        return foreign_types_of(self._folder.model)

    @property
    def report_path(self) -> Path:
        """The report's page."""
        return self._folder.report

    @cached_property
    def overlap(self) -> Overlap:
        """When each stage was at work, and how much of that was at the same time."""
        return overlap_of(merged(self._records, read_spans(self._folder.events)))

    @property
    def stages(self) -> pd.DataFrame:
        """The stages so far, in the order they first began.

        Columns: stage, began and ended (seconds on the run's own clock, which stands still between invocations),
        seconds (that it was at work), stretches (of time, between which it was not), cpu_seconds.
        """
        import pandas as pd

        cpu = {stage["stage"]: stage["cpu_seconds"] for stage in stages_of(self._records)}
        rows = [
            (each.stage, each.intervals[0][0], each.intervals[-1][1], each.seconds, len(each.intervals))
            for each in self.overlap.stages
        ]
        table = pd.DataFrame(rows, columns=["stage", "began", "ended", "seconds", "stretches"])
        return table.assign(cpu_seconds=[float(cpu.get(name, math.nan)) for name in table["stage"]])

    def leaderboard(self) -> pd.DataFrame:
        """Return the trials from best to worst.

        Columns: rank, trial, score, its 95 % interval (low, high), whether it is ``tied`` with the best (cannot be told
        apart from it: see `search.uncertainty.with_intervals`), spread over folds (std), resource, state, seconds,
        parameters (missing where a candidate has none of that name; of several families ``param_model`` first, then
        family by family), error.
        """
        import pandas as pd

        if self.search is None:
            return pd.DataFrame(columns=["rank", "trial", "score"])
        rows = [
            {
                "rank": rank,
                "trial": trial.id,
                "score": trial.score,
                "low": trial.low,
                "high": trial.high,
                "tied": trial.is_tied,
                "std": _spread(trial),
                "resource": trial.resource,
                "state": str(trial.state),
                "seconds": round(trial.seconds, 3),
                **{f"param_{name}": value for name, value in trial.params.items()},
                "error": trial.error,
            }
            for rank, trial in enumerate(self.search.ranked(), start=1)
        ]
        table = pd.DataFrame(rows)
        names = [str(name) for name in table]
        params = [name for name in names if name.startswith("param_")]
        several = "param_model" in params
        ordered = (
            sorted(params, key=lambda name: (name != "param_model", name.partition(".")[0])) if several else params
        )
        table = table[[name for name in names if name not in params and name != "error"] + [*ordered, "error"]]
        return table.astype({name: "Int64" for name in params if self._is_whole(name.removeprefix("param_"))})

    def _is_whole(self, parameter: str) -> bool:
        """Whether a parameter is a whole number in every trial that has it, and some have it not."""
        given = [trial.params[parameter] for trial in self.trials if parameter in trial.params]
        return len(given) < len(self.trials) and all(type(value) is int for value in given)

    def summary(self) -> dict[str, Any]:
        """Return what ``run --json`` prints: plain values, cumulative over the run's invocations."""
        data = read_json(self._folder.data)
        counts = {state: sum(trial.state is state for trial in self.trials) for state in TrialState}
        best = (
            None
            if self.search is None
            else {
                "trial": self.best.id,
                "params": plain(dict(self.best.params)),
                "score": plain(self.best.score),
            }
        )
        seconds, cpu, peak = self.cost
        begun = [(r["trial"], r["fold"], r["resource"]) for r in self._records if r["record"] == "start"]
        return {
            "status": self.status,
            "run": str(self.path),
            "resumed": sum(r["record"] == "invocation" for r in self._records) > 1,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu, 3),
            "peak_memory_bytes": peak,
            "core_hours": self.core_hours.dump() if self.jobs else None,
            "overlap": self.overlap.dump(),
            "partitions": data.get("partitions", 0),
            "partition_reads": sum(r.get("partition_reads", 0) for r in self._records if r["record"] == "stage"),
            "rows": {part: data.get("split", {}).get(part, 0) for part in ("train", "validation", "test", "rejected")},
            "trials": {
                "finished": counts[TrialState.FINISHED],
                "failed": counts[TrialState.FAILED],
                "pruned": counts[TrialState.STOPPED],
                "repeated_units": len(begun) - len(set(begun)),
            },
            "best": best,
            "metrics": {
                name: plain({"value": score.value, "low": score.low, "high": score.high})
                for name, score in self.metrics.items()
            },
        }

    def record(self) -> RunRecord:
        """Return everything the report is drawn from."""
        data = read_json(self._folder.data)
        seconds, cpu, peak = self.cost
        ended = next((r for r in reversed(self._records) if r["record"] == "end" and r.get("error")), None)
        warnings = [str(r["text"]) for r in self._records if r["record"] == "warning"]
        if ended is not None and self.status == "failed":
            warnings.insert(0, f"The run failed: {ended['error']}")
        return RunRecord(
            name=self._folder.name,
            id=self._folder.id,
            status=self.status,
            workflow=load(self._folder.workflow, environment={}) if self._folder.workflow.exists() else {},
            data={key: value for key, value in data.items() if key not in ("split", *RECORD_FIELDS)},
            split=data.get("split", {}),
            task=data.get("task", ""),
            classes=tuple(data.get("classes", ())),
            class_counts=tuple(data.get("class_counts", ())),
            feature_names=tuple(data.get("feature_names", ())),
            search=self.search,
            evaluation=self.evaluation,
            versions=read_json(self._folder.versions),
            stages=stages_of(self._records),
            utilisation=utilisation_of(self._records),
            overlap=self.overlap,
            warnings=tuple(dict.fromkeys(warnings)),
            seconds=seconds,
            cpu_seconds=cpu,
            peak_memory_bytes=peak,
            jobs=self.jobs,
            stopped_because=self.accounts.stopped_because,
        )

    def write_report(self, path: Path | str | None = None) -> Path:
        """Write the report's page anew, into the folder or to `path`, and return where it is."""
        from daskflow.reports.page import write

        page = self._folder.report if path is None else Path(path)
        write(self.record(), page)
        return page

    @property
    def streams(self) -> Sequence[OpenedStream]:
        """What its model has served and streamed, the newest last, as it is now; see `open_stream`."""
        from daskflow.workflow.opened_stream import list_streams

        return tuple(list_streams(self.path))

    @property
    def records(self) -> Sequence[Record]:
        """What the journal held when the run was opened; see docs/architecture.md."""
        return self._records

    @property
    def started(self) -> float:
        """When the run was begun, in seconds since 1970."""
        return float(next((r["at"] for r in self._records if r["record"] == "invocation"), 0.0))

    def trials_frame(self) -> pd.DataFrame:
        """Return the trials as `leaderboard` does, with their metrics, every column of one type."""
        from daskflow.workflow.exports import trials_frame

        return trials_frame(self)

    def export_trials(self, path: Path | str) -> Path:
        """Write the trials as ``.csv`` (in which nothing is a formula) or ``.parquet``, and return the path."""
        from daskflow.workflow.exports import export_trials

        return export_trials(self, path)

    def export_predictions(self, path: Path | str) -> Path:
        """Write what was predicted of the test rows as ``.csv`` or ``.parquet``, and return the path."""
        from daskflow.workflow.exports import export_predictions

        return export_predictions(self, path)

    def to_mlflow(
        self, tracking_uri: str | None = None, experiment: str | None = None, *, artifacts: str | None = None
    ) -> str:
        """Log the run to MLflow, a nested run for each trial, and return the parent's ID; needs the extra ``mlflow``.

        Parameters
        ----------
        tracking_uri : str, optional
            Such as ``"sqlite:///mlflow.db"`` or a server's address; default MLflow's own (``MLFLOW_TRACKING_URI``).
        experiment : str, optional
            Made when it is not there; default the workflow's name.
        artifacts : str, optional
            Where a new experiment keeps its files; default as the store says.

        Raises
        ------
        SettingsError
            Without MLflow, or in a task of a Dask worker.
        StorageError
            When the store cannot be used, with MLflow's own reason.

        Notes
        -----
        A second call changes nothing. A run that went on since takes the place of its older entry.
        """
        from daskflow.workflow.mlflow import to_mlflow

        return to_mlflow(self, tracking_uri, experiment, artifacts=artifacts)

    @property
    def cost(self) -> tuple[float, float, int]:
        """Wall seconds over invocations, processor seconds, and the largest process."""
        wall = start = last = 0.0
        for record in self._records:
            if record["record"] == "submitted":  # its job waits in a queue, and the run does not go on
                continue
            if record["record"] == "invocation":
                wall += last - start
                start = record["at"]
            last = record.get("at", last)
        cpu = sum(r.get("cpu_seconds", 0.0) for r in self._records if r["record"] in ("stage", "unit"))
        peaks = [r.get("peak_memory_bytes", 0) for r in self._records if r["record"] in ("stage", "unit")]
        return wall + last - start, cpu, max(peaks, default=0)

    def __repr__(self) -> str:
        """Name, ID, status, and the best score."""
        best = "" if self.search is None else f", best {self.search.metric} {self.best.score:.4g}"
        return f"<Run {self._folder.name}/{self._folder.id}: {self.status}{best}>"

    def _repr_html_(self) -> str:
        """What it learned from, the best candidate, and the test metrics or else the leaderboard; as text."""
        record, search = self.record(), self.search
        pairs: dict[str, object] = {"status": record.status}
        if record.data.get("rows") is not None:
            pairs["data"] = f"{record.data['rows']:,} rows, target {record.data.get('target')}, task {record.task}"
        if search is not None:
            params = ", ".join(f"{name} = {_told(value)}" for name, value in told(search.best.params).items())
            pairs[f"best of {len(search.trials):,}"] = f"trial {search.best.id}: {params or 'nothing was searched'}"
            pairs[f"validation {search.metric}"] = _told_score(search.best)
        pairs["time"] = f"{record.seconds:,.1f} s, {record.cpu_seconds:,.1f} s of processor"
        pairs["folder"] = str(self.path)
        title = f"{record.name}/{record.id}"
        if self.metrics:
            rows = [[name, f"{score.value:.4g}", _told_interval(score)] for name, score in self.metrics.items()]
            return block("Run", title, pairs=pairs, head=["test metric", "value", "95 % interval"], rows=rows)
        top = [] if search is None else search.ranked()
        rows = [[str(place), trial.id, trial.state, _told_score(trial)] for place, trial in enumerate(top, start=1)]
        return block("Run", title, pairs=pairs, head=["rank", "trial", "state", "score"], rows=rows)


def open_run(path: Path | str, *, trusted: Sequence[str] = ()) -> Run:
    """Open a run's folder, or ``runs/NAME`` for its latest run.

    Parameters
    ----------
    path : path
        The folder.
    trusted : sequence of str
        Functions and types in its model that may be imported, such as ``"package.module:name"``; see `load_model`.

    Raises
    ------
    StorageError
        When there is no run.
    """
    return Run(find_run(path), trusted)


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told_interval(score: Score | Trial) -> str:
    return "-" if math.isnan(score.low) or math.isnan(score.high) else f"{score.low:.4g} to {score.high:.4g}"


def _told_score(trial: Trial) -> str:
    interval = _told_interval(trial)
    return f"{trial.score:.4g}" + ("" if interval == "-" else f" ({interval})")


def _spread(trial: Trial) -> float:
    """Standard deviation of the last point's fold scores."""
    scores = trial.curve[-1].fold_scores if trial.curve else ()
    import pandas as pd

    return float(pd.Series(scores, dtype=float).std(ddof=0)) if scores else math.nan


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
