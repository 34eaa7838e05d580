"""A run in MLflow: a parent with its settings, metrics and files, and a nested run for every trial.

Only the process that calls it speaks to the tracking store, after the run, and never a worker. What is logged carries
the run's name and a hash of what it holds, so that a second call finds it and logs nothing twice; a run that went on
since is logged anew in the place of the old entry.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daskflow.core.errors import Problem, SettingsError, StorageError
from daskflow.core.journal import plain
from daskflow.core.results import Trial, TrialState
from daskflow.core.seeds import digest

if TYPE_CHECKING:
    from daskflow.workflow.run import Run

KEY, DIGEST, PARENT = "daskflow.key", "daskflow.digest", "mlflow.parentRunId"
"""Tags: which run or trial it is, what it holds, and MLflow's own for nesting."""

LONGEST_VALUE, MOST_AT_ONCE = 500, 90
"""Characters of a parameter or tag, and how many are logged at once: within the limits of stores since MLflow 2."""

NOT_IN_NAMES = re.compile(r"[^\w\-./ ]")

FILES = ("report.html", "metrics.json", "trials.csv", "data.json", "versions.json", "workflow.toml")
"""Files of the run folder that are logged beside the model, where they are."""

OFF = "MLFLOW_DISABLE_TELEMETRY"
"""MLflow tells its makers of its use unless this says not to; daskflow sends nothing anywhere."""


def to_mlflow(
    run: Run, tracking_uri: str | None = None, experiment: str | None = None, *, artifacts: str | None = None
) -> str:
    """Log a run; see `Run.to_mlflow`."""
    _check_driver()
    os.environ.setdefault(OFF, "true")
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise SettingsError(
            [Problem("mlflow", "needs MLflow, which is not installed. Install it: pip install 'daskflow[mlflow]'")]
        ) from error
    try:
        return _Logged(mlflow.MlflowClient(tracking_uri=tracking_uri), run, experiment, artifacts).log()
    except MlflowException as error:
        raise StorageError(f"MLflow cannot log {run.path}: {error.message}") from error


def _check_driver() -> None:
    """Refuse to log from a worker's task: there are many of them, and each would write the same."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return
    try:
        distributed.get_worker()
    except ValueError:
        return
    raise SettingsError([Problem("mlflow", "is called in a task of a Dask worker; call it where the run was started")])


class _Logged:
    """What stands in the store, and what has to."""

    def __init__(self, client: Any, run: Run, experiment: str | None, artifacts: str | None) -> None:
        self.client, self.run, self.record = client, run, run.record()
        self.key = f"{self.record.name}/{self.record.id}"
        name = experiment or self.record.name
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        self.experiment = found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts)

    def log(self) -> str:
        """Log what is not there yet, and return the parent's run ID."""
        parent = self._parent()
        for trial in self.run.trials:
            if trial.state is not TrialState.WAITING:
                self._trial(trial, parent)
        return parent

    def _parent(self) -> str:
        """The entry of the whole run."""
        record, best = self.record, self.run.trials and self.run.best
        metrics = [(name, score.value, 0) for name, score in self.run.metrics.items()]
        for name, score in self.run.metrics.items():
            metrics += [(f"{name}.low", score.low, 0), (f"{name}.high", score.high, 0)]
        if best and self.run.search is not None:
            metrics.append((f"search.{self.run.search.metric}", best.score, 0))
        metrics += [("seconds", record.seconds, 0), ("cpu_seconds", record.cpu_seconds, 0)]
        params = {**dict(_flat(plain(record.workflow))), **(_named("best", best.params) if best else {})}
        tags = {
            "daskflow.run": self.key,
            "daskflow.fingerprint": str(record.versions.get("data", "")),
            "daskflow.task": record.task,
            **{f"daskflow.version.{name}": str(value) for name, value in record.versions.items() if name != "data"},
        }
        paths = [self.run.path / name for name in FILES]
        held = digest([params, metrics_text(metrics), tags, [_stamp(path) for path in paths], self.run.status], 16)
        found = self._found(self.key, held)
        if found is not None:
            return found
        made = self._create(self.key, record.id, tags)
        self._log(made, params, metrics)
        for path in paths:
            if path.exists():
                self.client.log_artifact(made, str(path))
        if (self.run.path / "model").is_dir():
            self.client.log_artifacts(made, str(self.run.path / "model"), "model")
        return self._close(made, held, is_failed=self.run.status == "failed")

    def _trial(self, trial: Trial, parent: str) -> None:
        """The entry of a trial: its parameters, its metrics, and its score after each resource."""
        name = self.run.search.metric if self.run.search else "score"
        metrics = [(name, point.score, point.resource) for point in trial.curve]
        metrics += [(f"final.{word}", value, trial.resource) for word, value in trial.metrics.items()]
        metrics += [("seconds", trial.seconds, trial.resource), ("cpu_seconds", trial.cpu_seconds, trial.resource)]
        params = _named("", trial.params)
        tags = {"daskflow.state": str(trial.state), "daskflow.error": trial.error}
        held = digest([params, metrics_text(metrics), tags], 16)
        key = f"{self.key}/{trial.id}"
        found = self._found(key, held)
        if found is not None:
            self.client.set_tag(found, PARENT, parent)  # which may have been logged anew
            return
        made = self._create(key, f"trial {trial.id}", {**tags, PARENT: parent})
        self._log(made, params, metrics)
        self._close(made, held, is_failed=trial.state is TrialState.FAILED)

    def _found(self, key: str, held: str) -> str | None:
        """The entry of a key that holds this; others of the key, which hold less or were not finished, are deleted."""
        same = None
        for found in self.client.search_runs([self.experiment], f"tags.`{KEY}` = '{key}'"):
            if same is None and found.data.tags.get(DIGEST) == held:
                same = str(found.info.run_id)
            else:
                self.client.delete_run(found.info.run_id)
        return same

    def _create(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """Begin an entry."""
        cut = {word: value[:LONGEST_VALUE] for word, value in tags.items() if value}
        user = {"mlflow.source.name": "daskflow", "mlflow.source.type": "LOCAL"}
        made = self.client.create_run(self.experiment, run_name=name, tags={**cut, **user, KEY: key})
        return str(made.info.run_id)

    def _log(self, made: str, params: Mapping[str, Any], metrics: Sequence[tuple[str, float, int]]) -> None:
        """Log parameters and metrics, some at once."""
        from mlflow.entities import Metric, Param

        texts = [Param(word, text_of(value)) for word, value in params.items()]
        at = int(1000 * self.run.started)
        numbers = [Metric(allowed(n), value, at, step) for n, value, step in metrics if math.isfinite(value)]
        for start in range(0, len(texts), MOST_AT_ONCE):
            self.client.log_batch(made, params=texts[start : start + MOST_AT_ONCE])
        for start in range(0, len(numbers), MOST_AT_ONCE):
            self.client.log_batch(made, metrics=numbers[start : start + MOST_AT_ONCE])

    def _close(self, made: str, held: str, *, is_failed: bool) -> str:
        """End an entry; that it is whole is said last."""
        self.client.set_terminated(made, "FAILED" if is_failed else "FINISHED")
        self.client.set_tag(made, DIGEST, held)
        return made


def _named(prefix: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under the names that MLflow allows."""
    return {allowed(f"{prefix}.{name}".lstrip(".")): value for name, value in params.items()}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names."""
    for word, item in value.items():
        name = f"{prefix}.{word}".lstrip(".")
        if isinstance(item, Mapping) and item:
            yield from _flat(item, name)
        else:
            yield allowed(name), item


def allowed(name: str) -> str:
    """Return a name as MLflow takes it.

    Examples
    --------
    >>> allowed("precision@10 (macro)")
    'precision_10 _macro_'
    """
    return NOT_IN_NAMES.sub("_", name)[:250] or "_"


def text_of(value: Any) -> str:
    """Return a parameter's value as text, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(plain(value))
    return text[:LONGEST_VALUE]


def metrics_text(metrics: Sequence[tuple[str, float, int]]) -> list[list[Any]]:
    """Return metrics as plain values, nan as a text."""
    return [[name, repr(value), step] for name, value, step in metrics]


def _stamp(path: Path) -> list[Any]:
    """What tells a file from an earlier one of its name."""
    return [path.name, path.stat().st_size] if path.exists() else [path.name]
