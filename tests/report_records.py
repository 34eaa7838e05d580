"""Run records for the tests of the report: small, but with every part."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation, Point, RunRecord, SearchResult, Trial, TrialState
from tests import report_details

HOSTILE = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"
CLASSES = (
    "smurf neptune normal back satan ipsweep portsweep warezclient teardrop pod nmap guess_passwd buffer_overflow land "
    "warezmaster imap rootkit loadmodule ftp_write multihop phf perl spy"
)
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


def full_record(n_trials: int = 60) -> RunRecord:
    """A binary run with every detail that a run can record."""
    details = {**report_details.binary_curves(), **report_details.slices(), **report_details.why()}
    metrics = {
        "roc_auc": Score(0.7312, 0.7123, 0.7501), "average_precision": Score(0.4512, 0.4211, 0.4822),
        "log_loss": Score(0.4567, 0.4444, 0.4688), "brier": Score(0.1512, 0.1455, 0.1571),
        "accuracy": Score(0.7812, 0.7711, 0.7922), "balanced_accuracy": Score(0.6812, 0.6611, 0.7022),
        "precision": Score(0.5112, 0.4811, 0.5422), "recall": Score(0.7012, 0.6811, 0.7222),
        "f1": Score(0.5912, 0.5711, 0.6122), "matthews": Score(0.4312, 0.4011, 0.4622),
    }  # fmt: skip
    stages = tuple(
        {"stage": one["stage"], "seconds": one["seconds"], "cpu_seconds": one["busy"]}
        for one in report_details.utilisation()["stages"]
    )
    return record_of(
        search=tuned(n_trials),
        evaluation=Evaluation(metrics, 4_000, details),
        utilisation=report_details.utilisation(),
        stages=stages,
    )


def tuned(n_trials: int, metric: str = "roc_auc", greater_is_better: bool = True) -> SearchResult:
    """Trials of a search over five parameters whose scores depend on them; a twentieth failed, many were stopped."""
    rng = np.random.default_rng(3)
    sign = 1 if greater_is_better else -1
    trials = []
    for number in range(n_trials):
        alpha, eta = 10 ** rng.uniform(-6, -1), 10 ** rng.uniform(-3, 0)
        params = {
            "alpha": float(alpha),
            "penalty": str(rng.choice(["l1", "l2", "elasticnet"])),
            "eta0": float(eta),
            "average": bool(rng.random() < 0.5),
            "power_t": round(float(rng.uniform(0.1, 0.9)), 3),
        }
        if number % 20 == 19:
            trials.append(Trial(str(number), params, TrialState.FAILED, error="ValueError: alpha must be > 0"))
            continue
        end = 0.74 - 0.012 * abs(math.log10(alpha) + 4) - 0.01 * (params["penalty"] == "l1") + 0.008 * rng.normal()
        steps = [1, 3, 9, 27][: 4 if end > 0.72 else int(rng.integers(1, 4))]
        scores = [end - 0.06 / step for step in steps]
        if not greater_is_better:
            scores = [3_000 * (1.6 - score) for score in scores]
        half = 0.01 * (1 if greater_is_better else 3_000)
        curve = tuple(
            Point(
                step,
                score,
                (score - half, score + half / 2, score + half / 2),
                0.5,
                0.4,
                (),
                score - half,
                score + half,
            )
            for step, score in zip(steps, scores, strict=True)
        )
        state = TrialState.FINISHED if len(steps) == 4 else TrialState.STOPPED
        metrics = {metric: scores[-1], "log_loss": 0.4321}
        low, high = scores[-1] - half, scores[-1] + half
        trials.append(Trial(str(number), params, state, scores[-1], steps[-1], curve, metrics, "", low, high, False))
    best = max((trial for trial in trials if not math.isnan(trial.score)), key=lambda trial: sign * trial.score)
    trials = [
        replace(trial, is_tied=True) if abs(trial.score - best.score) < abs(best.high - best.score) / 2 else trial
        for trial in trials
    ]
    best = next(trial for trial in trials if trial.id == best.id)
    return SearchResult(tuple(trials), best, metric, greater_is_better, 3)


def regression_full() -> RunRecord:
    """A regression with every detail."""
    rng = np.random.default_rng(4)
    true = rng.gamma(4, 3_000, 1_500)
    predicted = true * rng.normal(1, 0.15, 1_500)
    counts, edges = np.histogram(np.clip(true - predicted, -6_000, 6_000), 40)
    details = {
        "residuals": {"y_true": [*map(float, true)], "y_pred": [*map(float, predicted)]},
        "residual_histogram": {"edges": [*map(float, edges)], "counts": [*map(int, counts)]},
        **report_details.slices("rmse", 2_381.6, False),
        **report_details.why("rmse", ("prediction",)),
    }
    metrics = {
        "rmse": Score(2381.6, 2248.7, 2559.5), "mae": Score(1512.1, 1455.0, 1571.9),
        "median_ae": Score(988.0, 950.0, 1022.0),
        "r2": Score(0.9432, 0.93, 0.95), "mape": Score(0.1232, 0.1211, 0.1255),
    }  # fmt: skip
    return record_of(
        task="regression", classes=(), class_counts=(), search=tuned(60, "rmse", False),
        evaluation=Evaluation(metrics, 1_500, details), utilisation=report_details.utilisation(),
    )  # fmt: skip


def multiclass_full() -> RunRecord:
    """23 classes, the rarest of a few rows."""
    rng = np.random.default_rng(5)
    names = [f"{word}." for word in CLASSES.split()]
    sizes = [int(280_000 / 2.1**place) + 2 for place in range(23)]
    test = [max(1, size // 5) for size in sizes]
    counts = [
        [round(size * 0.93) if row == column else int(rng.poisson(size * 0.07 / 22)) for column in range(23)]
        for row, size in enumerate(test)
    ]
    details = {
        "confusion": {"classes": names, "counts": counts},
        "per_class": [
            {"class": name, "support": size, "precision": 0.9 - 0.01 * place, "recall": 0.93 if size > 1 else None}
            | {"f1": 0.9 - 0.012 * place, "roc_auc": 0.99, "average_precision": 0.8}
            for place, (name, size) in enumerate(zip(names, test, strict=True))
        ],
        **report_details.slices("accuracy", 0.9312),
        **report_details.why(
            "accuracy", ("probability of smurf.", "probability of neptune.", "probability of normal.")
        ),
    }
    metrics = {
        "accuracy": Score(0.9312, 0.93, 0.9324), "balanced_accuracy": Score(0.7312, 0.6911, 0.7722),
        "log_loss": Score(0.1212, 0.12, 0.1224), "f1_macro": Score(0.6712, 0.6411, 0.7022),
    }  # fmt: skip
    return record_of(
        task="multiclass", classes=tuple(names), class_counts=tuple(sizes), search=tuned(60, "accuracy"),
        evaluation=Evaluation(metrics, sum(test), details), utilisation=report_details.utilisation(),
    )  # fmt: skip


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


def hostile_full() -> RunRecord:
    """Every name, group, output and text of the details tries to be markup, a formula, or to turn the text."""
    record, plain = hostile_record(), full_record(12)
    assert plain.evaluation is not None
    assert record.evaluation is not None
    details = {**plain.evaluation.details, **record.evaluation.details, "notes": [HOSTILE]}
    details["slices"]["left_out"] = [HOSTILE]
    details["importance"]["left_out"] = [HOSTILE, TEX]
    utilisation = {**plain.utilisation, "stages": [{**one, "stage": HOSTILE} for one in plain.utilisation["stages"]]}
    return replace(
        record, evaluation=replace(record.evaluation, details=hostile(details)), utilisation=hostile(utilisation)
    )


NAMES = {
    "column",
    "group",
    "output",
    "text",
    "metric",
    "train",
    "test",
    "name",
    "method",
    "rule",
    "source",
    "statistic",
}
"""Keys of the details whose texts come from the data, or might one day."""


def hostile(value: Any, key: str = "") -> Any:
    """Put a hostile text before every name, the same before the same."""
    if isinstance(value, dict):
        return {word: hostile(item, word) for word, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, key) for item in value]
    if isinstance(value, str) and key in NAMES:
        return f"{(HOSTILE, TEX, chr(0x202E))[len(value) % 3]}{value}"
    return value
