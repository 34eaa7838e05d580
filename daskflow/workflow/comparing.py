"""Comparing: what differs between runs, with paired intervals of their test metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import daskflow.metrics
from daskflow.core.comparison import Against, Compared, ComparedRun, judged
from daskflow.core.errors import DaskflowError, Problem, SettingsError
from daskflow.core.journal import plain
from daskflow.core.notebook import block
from daskflow.core.protocols import Score
from daskflow.core.results import RunRecord
from daskflow.core.settings import nearest
from daskflow.core.space import told
from daskflow.metrics import Metric
from daskflow.workflow.differing import changes, data_change, flat, labels, without
from daskflow.workflow.pairing import against
from daskflow.workflow.run import Run, open_run

if TYPE_CHECKING:
    import pandas as pd

NOT_SETTINGS = ("name",)
"""Words of a workflow that decide nothing."""

NOT_VERSIONS = ("data", "command")
"""What stands beside versions and is none."""


class Comparison(Compared):
    """What `compare` found; frozen. Shows itself in a notebook, and `write` makes a page of it.

    Besides the attributes of `daskflow.core.comparison.Compared` (``runs``, ``metric``, ``settings``, ``data``,
    ``versions``, ``split``, ``parameters``, ``against``, ``notes``, ``sentences``) it has the methods below.
    """

    __slots__ = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the test metrics: a row for each run but the baseline and each metric.

        Columns: ``run``, ``baseline``, ``metric``, ``first`` and ``second`` (the baseline's and the run's value) with
        ``first_low``..., ``difference`` (second less first) with its 95 % interval ``low`` and ``high``, ``p``,
        ``p_adjusted``, ``verdict``, ``pairing``, ``n_rows``.
        """
        import pandas as pd

        rows = [
            {
                "run": other.label,
                "baseline": self.baseline.label,
                "metric": name,
                "first": one.first.value,
                "first_low": one.first.low,
                "first_high": one.first.high,
                "second": one.second.value,
                "second_low": one.second.low,
                "second_high": one.second.high,
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "p": one.p,
                "p_adjusted": one.p_adjusted,
                "verdict": str(one.verdict),
                "pairing": str(other.pairing),
                "n_rows": other.n_rows,
            }
            for other in self.against
            for name, one in other.differences.items()
        ]
        return pd.DataFrame(rows)

    def dump(self) -> dict[str, Any]:
        """Return plain values: what ``daskflow compare --json`` prints."""
        found = {
            "metric": self.metric or None,
            "sentences": list(self.sentences),
            "runs": [_dump_run(run) for run in self.runs],
            "settings": {change.word: list(change.values) for change in self.settings},
            "split": {change.word: list(change.values) for change in self.split},
            "parameters": {change.word: list(change.values) for change in self.parameters},
            "versions": {change.word: list(change.values) for change in self.versions},
            "data": [
                {
                    "run": change.label,
                    "same": change.is_same,
                    "fingerprints": list(change.fingerprints),
                    "rows": list(change.rows),
                    "added": list(change.added),
                    "removed": list(change.removed),
                    "retyped": [list(one) for one in change.retyped],
                    "reassigned": [list(one) for one in change.reassigned],
                }
                for change in self.data
            ],
            "test": [_dump_against(other) for other in self.against],
            "notes": list(self.notes),
        }
        return dict(plain(found))

    def write(self, path: Path | str) -> Path:
        """Write the page: one HTML file that needs no network; returns where it is.

        Raises
        ------
        StorageError
            When it cannot be written.
        """
        from daskflow.reports.comparison import write

        write(self, Path(path))
        return Path(path)

    def __str__(self) -> str:
        """The sentences."""
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        """The sentences and the test metrics, as text."""
        rows = [
            [name, other.label, f"{one.first.value:.4g}", f"{one.second.value:.4g}", str(one), str(one.verdict)]
            for name in self.metrics
            for other in self.against
            if (one := other.differences.get(name)) is not None
        ]
        head = ["metric", "run", self.baseline.label, "the run", "difference (95 %)", "verdict"]
        return block(
            "Comparison", " · ".join(self.labels), sentences=[*self.sentences, *self.notes], head=head, rows=rows
        )


def compare(
    first: Run | Path | str,
    second: Run | Path | str,
    *others: Run | Path | str,
    baseline: Run | Path | str | None = None,
    metrics: Sequence[str] | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> Comparison:
    """Say what differs between runs: settings, data, versions, split, the best candidates, and test scores.

    Parameters
    ----------
    first, second, *others : Run or path
        Runs, their folders, or ``runs/NAME`` for the latest of a name.
    baseline : Run or path, optional
        The one that the others are compared with; default `first`.
    metrics : sequence of str, optional
        Test metrics to compare, the first of them for the verdict; default all that every run was tested by, and for
        the verdict the one that chose the baseline's best candidate.
    replicates : int, default 500
        Resamples behind the intervals of the differences.
    seed : int, default 0
        Of the resamples.

    Returns
    -------
    Comparison
        Test metrics are compared row by row on the same resamples where two runs have the same test rows (the same
        split of the same data), or at least 100 in common; then what the rows have in common, easy and hard ones,
        cancels out, and the interval is that of the difference. Else the two scores are taken as independent, and
        ``against[...].how`` says why. With several runs a verdict holds for all comparisons with the baseline together
        (Holm's method).

    Raises
    ------
    StorageError
        When a run is not there.
    SettingsError
        When runs cannot be compared: another target, task or classes, the same run twice; or a metric that they were
        not tested by.

    Notes
    -----
    An interval says what other test rows would have given, with both models as they are. That two models differ does
    not say that their families do: another seed or sample of training rows makes other models.

    Examples
    --------
    >>> import daskflow as flow
    >>> found = flow.compare("runs/small", "runs/large")  # doctest: +SKIP
    >>> print(found)  # doctest: +SKIP
    large is better than small on roc_auc: +0.0120 (0.0040 to 0.0200), on the same 6,000 test rows.
    """
    opened = [_opened(run) for run in (first, second, *others)]
    if baseline is not None:
        chosen = _opened(baseline)
        opened = [chosen, *(run for run in opened if run.path != chosen.path)]
    if len({run.path for run in opened}) < len(opened) or len(opened) < 2:
        raise SettingsError("The same run is named twice. Name runs that differ; `daskflow runs` lists them.")
    runs = tuple(
        ComparedRun(label, str(run.path), run.record()) for label, run in zip(labels(opened), opened, strict=True)
    )
    problems = [problem for run in runs[1:] for problem in _unlike(runs[0], run)]
    if problems:
        raise SettingsError(problems)
    settled = _metrics_of(runs, metrics)
    found = [
        against(
            runs[0], run, [m for m in settled if _has(runs[0], m) and _has(run, m)], seed=seed, replicates=replicates
        )
        for run in runs[1:]
    ]
    others_judged = judged(found)
    main = _main_metric(runs, others_judged, metrics)
    records = [run.record for run in runs]
    return Comparison(
        runs=runs,
        metric=main,
        settings=changes([flat(without(record.workflow, NOT_SETTINGS)) for record in records]),
        split=changes([flat(record.split) for record in records]),
        parameters=changes(
            [{} if r.search is None else {k: plain(v) for k, v in told(r.search.best.params).items()} for r in records]
        ),
        versions=changes([flat(without(record.versions, NOT_VERSIONS)) for record in records]),
        data=tuple(data_change(runs[0], run) for run in runs[1:]),
        against=others_judged,
        notes=tuple(_notes(runs, others_judged, main)),
    )


def _opened(run: Run | Path | str) -> Run:
    return run if isinstance(run, Run) else open_run(run)


def _unlike(first: ComparedRun, second: ComparedRun) -> list[Problem]:
    """Why a run cannot be compared with the baseline."""
    pairs = (
        ("its target", first.record.data.get("target"), second.record.data.get("target")),
        ("its task", first.record.task, second.record.task),
    )
    for run in (first, second):
        if not run.record.task:
            return [Problem(run.label, "has not read its data yet, so there is nothing to compare. Run it to its end")]
    problems = [
        Problem(
            second.label,
            f"{what} is {other!r:.80}, and that of {first.label} is {one!r:.80}: such runs have nothing to compare",
        )
        for what, one, other in pairs
        if one != other
    ]
    if not problems and first.record.classes != second.record.classes:
        one, other = (", ".join(run.record.classes[:8]) for run in (first, second))
        problems.append(
            Problem(
                second.label,
                f"its classes are {other}, and those of {first.label} are {one} (in this order; the last of two is the "
                "positive one): their scores mean other things",
            )
        )
    return problems


def _has(run: ComparedRun, metric: Metric) -> bool:
    evaluation = run.record.evaluation
    return evaluation is None or metric.name in evaluation.metrics


def _metrics_of(runs: Sequence[ComparedRun], asked: Sequence[str] | None) -> list[Metric]:
    """Metrics that runs were tested by, as the workflows set them."""
    known: dict[str, Metric] = {}
    for run in runs:
        settings = run.record.workflow
        given = [*settings.get("metrics", ()), (settings.get("search") or {}).get("metric")]
        for value in [*given, *(run.record.evaluation.metrics if run.record.evaluation else ())]:
            try:
                metric = daskflow.metrics.parse(value)
            except DaskflowError:
                continue
            known.setdefault(metric.name, metric)
    tested = [set(run.record.evaluation.metrics) for run in runs if run.record.evaluation]
    somewhere = [name for name in known if any(name in names for names in tested)]
    if asked is None:
        return [known[name] for name in somewhere]
    problems = [
        Problem("metrics", f"no run was tested by '{name}'{nearest(name, somewhere)}; there is: {', '.join(somewhere)}")
        for name in asked
        if name not in somewhere
    ]
    if problems:
        raise SettingsError(problems)
    return [known[name] for name in asked]


def _main_metric(runs: Sequence[ComparedRun], others: Sequence[Against], asked: Sequence[str] | None) -> str:
    """The metric that verdicts are told in: the first asked for, the baseline's own, or the first there is."""
    names = dict.fromkeys(name for other in others for name in other.differences)
    search = runs[0].record.search
    wanted = [*(asked or ()), *([search.metric] if search else []), *names]
    return next((name for name in wanted if name in names), "")


def _notes(runs: Sequence[ComparedRun], others: Sequence[Against], main: str) -> list[str]:
    """What a reader should know besides."""
    found = []
    unfinished = [run.label for run in runs if run.record.status != "done"]
    if unfinished:
        found.append(f"Not finished: {', '.join(unfinished)}. What is said of them is what there was.")
    chosen = {run.label: run.record.search.metric for run in runs if run.record.search}
    if len(set(chosen.values())) > 1:
        told_by = ", ".join(f"{label} by {metric}" for label, metric in chosen.items())
        found.append(f"The best candidates were chosen by other metrics: {told_by}. Validation scores do not compare.")
    n_metrics = len({name for other in others for name in other.differences})
    if len(others) > 1:
        found.append(f"{len(others)} runs are compared with {runs[0].label}: verdicts count that by Holm's method.")
    if n_metrics > 1:
        found.append(f"The verdict rests on {main}; of the {n_metrics} metrics shown some may differ by chance.")
    return found


def _dump_score(score: Score) -> dict[str, float]:
    return {"value": score.value, "low": score.low, "high": score.high}


def _dump_run(run: ComparedRun) -> dict[str, Any]:
    """A run as plain values."""
    record: RunRecord = run.record
    best = record.search.best if record.search else None
    return {
        "label": run.label,
        "name": record.name,
        "id": record.id,
        "path": run.path,
        "status": record.status,
        "validation": best
        and {
            "metric": record.search and record.search.metric,
            "trial": best.id,
            "value": best.score,
            "low": best.low,
            "high": best.high,
        },
        "test": {name: _dump_score(score) for name, score in record.evaluation.metrics.items()}
        if record.evaluation
        else {},
        "test_rows": record.evaluation.n_rows if record.evaluation else 0,
        "seconds": record.seconds,
        "cpu_seconds": record.cpu_seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
    }


def _dump_against(other: Against) -> dict[str, Any]:
    """A run against the baseline as plain values."""
    return {
        "run": other.label,
        "pairing": str(other.pairing),
        "rows": other.n_rows,
        "how": other.how,
        "metrics": {
            name: {
                "first": _dump_score(one.first),
                "second": _dump_score(one.second),
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "p": one.p,
                "p_adjusted": one.p_adjusted,
                "verdict": str(one.verdict),
            }
            for name, one in other.differences.items()
        },
    }
