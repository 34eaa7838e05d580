"""Run records for the tests of the report: small, but with every part."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation, Point, RunRecord, SearchResult, Trial, TrialState

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"
TEX = r"$$\frac{1}{2}$$ \(x\) \[y\]"


def search_of(n_trials: int = 6, metric: str = "roc_auc", greater_is_better: bool = True) -> SearchResult:
    """Trials with curves; the last one failed, the one before was stopped."""
    trials = []
    for number in range(n_trials - 1):
        scores = [0.7 + 0.01 * number - 0.05 / resource for resource in (1, 3, 9)]
        kept = scores[:2] if number == n_trials - 2 else scores
        curve = tuple(
            Point(3**place, score, (score - 0.011, score + 0.011), 0.5, 0.4) for place, score in enumerate(kept)
        )
        trials.append(
            Trial(
                str(number),
                {"alpha": 10.0 ** (-number), "penalty": ("l1", "l2")[number % 2], "fixed": 1},
                TrialState.FINISHED if len(kept) == 3 else TrialState.STOPPED,
                kept[-1],
                curve[-1].resource,
                curve,
                {metric: kept[-1], "log_loss": 0.4321},
            )
        )
    params = {"alpha": -1.0, "penalty": "l1", "fixed": 1}
    failed = Trial(str(n_trials - 1), params, TrialState.FAILED, error="ValueError: alpha must be > 0")
    ranked = SearchResult((*trials, failed), trials[0], metric, greater_is_better, 2).ranked()
    return SearchResult((*trials, failed), ranked[0], metric, greater_is_better, 2)


def column(name: str, kind: str, role: str = "feature", **known: Any) -> dict[str, Any]:
    """What the scan says of a column."""
    arrow_type = "int64" if kind == "numeric" else "string"
    given = {"name": name, "kind": kind, "type": arrow_type, "role": role, "missing": 0, "infinite": 0, "top": []}
    return given | dict.fromkeys(("min", "max", "mean", "std")) | known


def record_of(**changed: Any) -> RunRecord:
    """A finished binary run."""
    evaluation = Evaluation(
        {"roc_auc": Score(0.7312, 0.7123, 0.7501), "log_loss": Score(0.4567, 0.4444, 0.4688), "f1": Score(math.nan)},
        1_234,
        {
            "confusion": {"classes": ["no", "yes"], "counts": [[900, 34], [200, 100]]},
            "roc": {"fpr": [0.0, 0.1, 1.0], "tpr": [0.0, 0.6, 1.0]},
            "precision_recall": {"precision": [1.0, 0.7, 0.243], "recall": [0.1, 0.5, 1.0]},
            "calibration": {"predicted": [0.1, 0.6], "observed": [0.12, 0.55], "count": [1000, 234]},
            "notes": ["f1 is not defined: a note."],
        },
    )
    record = RunRecord(
        name="late-flights",
        id="0a1b2c3d4e",
        status="done",
        workflow={
            "name": "late-flights",
            "seed": 7,
            "data": {"kind": "csv", "path": "https://me:geheim@host/f.csv?token=abc123", "target": "late"},
            "model": {"kind": "sgd"},
            "search": {"kind": "hyperband", "metric": "roc_auc", "space": None},
        },
        data={
            "partitions": 12,
            "files": 3,
            "bytes": 5_000_000,
            "rows": 6_170,
            "columns": [
                column("distance", "numeric", missing=617, distinct=None, min=31, max=2_724, mean=1_234.5, std=321.0),
                column("carrier", "categorical", distinct=11, top=[["AS", 3_085], ["WN", 617]]),
                column("late", "categorical", role="target", distinct=2, top=[["no", 4_670], ["yes", 1_500]]),
            ],
        },
        split={
            "kind": "random",
            "train": 4_936,
            "validation": 0,
            "test": 1_234,
            "rejected": 5,
            "folds": 2,
            "asked": {"test": 0.2},
            "obtained": {"test": 0.2003},
        },
        task="binary",
        classes=("no", "yes"),
        class_counts=(4_670, 1_500),
        feature_names=("distance", "carrier_AS", "carrier_WN"),
        search=search_of(),
        evaluation=evaluation,
        versions={"python": "3.11.7", "scikit-learn": "1.9.1", "data": "fedcba9876543210"},
        stages=({"stage": "scan", "seconds": 12.0}, {"stage": "search", "seconds": 36.0}),
        warnings=("Column 'x' was left out.",),
        seconds=75.0,
        cpu_seconds=130.0,
        peak_memory_bytes=412 * 2**20,
    )
    return replace(record, **changed)


def hostile_record() -> RunRecord:
    """Names, values, labels and texts that try to be markup, script or formula."""
    record = record_of()
    assert record.evaluation is not None
    assert record.search is not None
    names = [HOSTILE, TEX, "line\nbreak \u202e end"]
    columns = [
        {**column, "name": name, "top": [[HOSTILE, 9]], "missing": 3}
        for name, column in zip(names, record.data["columns"], strict=True)
    ]
    trials = [
        replace(
            trial,
            params={**trial.params, HOSTILE: f"{HOSTILE}{trial.id}", TEX: trial.id},
            error=trial.error and HOSTILE,
        )
        for trial in record.search.trials
    ]
    best = next(trial for trial in trials if trial.id == record.search.best.id)
    details = {
        **record.evaluation.details,
        "confusion": {"classes": [HOSTILE, TEX], "counts": [[900, 34], [200, 100]]},
        "per_class": [{"class": HOSTILE, "support": 3, "precision": 0.5, "recall": None}],
        "notes": [HOSTILE],
    }
    return replace(
        record,
        name=HOSTILE,
        id=HOSTILE,
        workflow={"model": {"kind": HOSTILE}, HOSTILE: HOSTILE, "data": {"target": HOSTILE}},
        data={**record.data, "columns": columns},
        classes=(HOSTILE, TEX),
        search=replace(record.search, trials=tuple(trials), best=best, metric=HOSTILE),
        evaluation=replace(
            record.evaluation, details=details, metrics={HOSTILE: Score(0.7, 0.6, 0.8), TEX: Score(12.0, 11.0, 13.0)}
        ),
        versions={HOSTILE: HOSTILE, "data": HOSTILE},
        stages=({"stage": HOSTILE, "seconds": 1.0},),
        warnings=(HOSTILE,),
    )
