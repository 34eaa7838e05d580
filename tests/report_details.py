"""Details of an evaluation for the tests of the report: every key that a run can record, with values as they come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

COLUMNS = ("distance", "carrier", "hour", "dep_time", "origin", "month", "air_time", "dest", "is_weekend")


def bounded(values: Any, width: float = 0.02) -> dict[str, list[float]]:
    """Values with intervals about them."""
    kept = [round(float(value), 6) for value in values]
    return {"value": kept, "low": [value - width for value in kept], "high": [value + width for value in kept]}


def binary_curves(n_points: int = 400, seed: int = 0) -> dict[str, Any]:
    """Curves of a classifier whose scores of the classes are two shifted normal distributions."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, 4_000)
    y = rng.random(4_000) < 1 / (1 + np.exp(1.3 - 1.6 * logits))
    probability = 1 / (1 + np.exp(1.3 - 1.6 * logits))
    order = np.argsort(-probability, kind="stable")
    hits, taken = np.cumsum(y[order]), np.arange(1, 4_001)
    places = np.unique(np.linspace(0, 3_999, n_points - 1).astype(int))
    tpr, fpr = hits[places] / y.sum(), (taken - hits)[places] / (~y).sum()
    threshold = probability[order][places]
    precision = hits[places] / taken[places]
    bins = np.minimum((probability * 10).astype(int), 9)
    counts = np.bincount(bins, minlength=10)
    seen = [place for place in range(10) if counts[place]]
    predicted = [float(probability[bins == place].mean()) for place in seen]
    observed = [float(y[bins == place].mean()) for place in seen]
    spread = [2 * math.sqrt(max(p * (1 - p), 1e-4) / counts[place]) for p, place in zip(observed, seen, strict=True)]
    table = [int(place) for place in np.linspace(0, len(places) - 1, 150)]
    recall = tpr[table]
    f1 = 2 * precision[table] * recall / (precision[table] + recall + 1e-12)
    false = fpr[table]
    cost = (5 * (1 - recall) * y.mean()) + false * (1 - y.mean())
    at = int(np.argmin(cost))
    return {
        "roc": {
            "fpr": [0.0, *map(float, fpr)],
            "tpr": [0.0, *map(float, tpr)],
            "threshold": [None, *map(float, threshold)],
        },
        "precision_recall": {
            "precision": [*map(float, precision)],
            "recall": [*map(float, tpr)],
            "threshold": [*map(float, threshold)],
        },
        "gain": {"share": [0.0, *map(float, taken[places] / 4_000)], "gain": [0.0, *map(float, tpr)]},
        "calibration": {
            "predicted": predicted,
            "observed": observed,
            "count": [int(counts[place]) for place in seen],
            "low": [max(0.0, value - width) for value, width in zip(observed, spread, strict=True)],
            "high": [min(1.0, value + width) for value, width in zip(observed, spread, strict=True)],
        },
        "confusion": {
            "classes": ["no", "yes"],
            "counts": [
                [
                    int((~y & (probability < threshold[table[at]])).sum()),
                    int((~y & (probability >= threshold[table[at]])).sum()),
                ],
                [
                    int((y & (probability < threshold[table[at]])).sum()),
                    int((y & (probability >= threshold[table[at]])).sum()),
                ],
            ],
        },
        "thresholds": {
            "threshold": [float(threshold[place]) for place in table],
            "taken": [float(taken[places][place] / 4_000) for place in table],
            "precision": [float(precision[place]) for place in table],
            "recall": [float(value) for value in recall],
            "f1": [float(value) for value in f1],
            "false_positive_rate": [float(value) for value in false],
            "cost": [float(value) for value in cost],
            "costs": [[0, 1], [5, 0]],
            "chosen": float(threshold[table[at]]),
            "rule": "cost",
            "best": {
                "f1": float(threshold[table[int(np.argmax(f1))]]),
                "youden": float(threshold[table[int(np.argmax(recall - false))]]),
                "cost": float(threshold[table[at]]),
            },
        },
        "decision": {
            "calibration": {
                "kind": "isotonic",
                "rows": 4_936,
                "before": {"log_loss": 0.4712, "brier": 0.1534, "ece": 0.0412},
                "after": {"log_loss": 0.4521, "brier": 0.1498, "ece": 0.0093},
            },
            "threshold": {
                "value": float(threshold[table[at]]),
                "rule": "cost",
                "rows": 4_936,
                "before": {"f1": 0.4312, "recall": 0.3311},
                "after": {"f1": 0.5718, "recall": 0.7012},
                "costs": [[0, 1], [5, 0]],
            },
            "source": "out-of-fold",
        },
    }


def slices(metric: str = "roc_auc", overall: float = 0.7312, is_share: bool = True) -> dict[str, Any]:
    """Slices of a few columns, and the worst of them."""
    rng = np.random.default_rng(1)
    levels: dict[str, tuple[str, list[str]]] = {
        "carrier": ("levels", ["AS", "WN", "DL", "UA", "AA", "OO", "US", "B6", "F9", "HA", "VX", "others"]),
        "hour": ("bins", ["0 to 6", "6 to 9", "9 to 13", "13 to 18", "18 to 24", "missing"]),
        "month": ("bins", ["1 to 3", "3 to 5", "5 to 8", "8 to 10", "10 to 12"]),
        "origin": ("levels", ["SEA", "PDX"]),
        "date": ("times", [f"2014-{month:02}" for month in range(1, 13)]),
        "distance": ("bins", ["93 to 500", "500 to 900", "900 to 1,300", "1,300 to 2,724"]),
        "dest": ("levels", [f"D{number:02}" for number in range(20)]),
        "is_weekend": ("levels", ["true", "false"]),
    }
    scale = 0.04 * (1 if is_share else overall)
    columns = []
    for name, (kind, groups) in levels.items():
        rows = []
        for group in groups:
            n_rows = int(rng.integers(20, 800))
            value, half = overall + scale * rng.normal(), scale * 12 / math.sqrt(n_rows)
            rows.append(
                {"group": group, "rows": n_rows, "value": value, "low": value - half, "high": value + half}
                | {"target": 0.2 + 0.1 * rng.random(), "predicted": 0.2 + 0.1 * rng.random()}
            )
        columns.append({"column": name, "kind": kind, "groups": rows})
    columns[1]["groups"][5] |= {"value": None, "low": None, "high": None, "rows": 3}
    sign = -1 if is_share else 1

    def worst(where: dict[str, str], n_rows: int, difference: float, p: float) -> dict[str, Any]:
        value = overall + sign * difference * (1 if is_share else overall)
        step = sign * difference * (1 if is_share else overall)
        return {
            "where": [{"column": column, "group": group} for column, group in where.items()],
            "rows": n_rows,
            "value": value,
            "low": value - abs(step) / 2,
            "high": value + abs(step) / 2,
            "difference": step,
            "difference_low": step - abs(step) / 2,
            "difference_high": step + abs(step) / 2,
            "p": p,
        }

    return {
        "slices": {
            "metric": metric,
            "greater_is_better": is_share,
            "overall": {"value": overall, "low": overall - scale / 2, "high": overall + scale / 2},
            "columns": columns,
            "left_out": ["Column 'flight' has too many levels to be sliced (4,012)."],
        },
        "worst_slices": [
            worst({"carrier": "WN", "hour": "18 to 24"}, 123, 0.1211, 0.00002),
            worst({"dest": "D07"}, 88, 0.0934, 0.0041),
            worst({"month": "10 to 12", "origin": "PDX"}, 201, 0.0412, 0.0312),
            worst({"carrier": "HA"}, 41, 0.0511, 0.2211),
        ],
        "over_time": {
            "column": "date",
            "metric": metric,
            "start": [f"2014-{month:02}-01T00:00:00" for month in range(1, 13)],
            "end": [f"2014-{month:02}-28T00:00:00" for month in range(1, 13)],
            "rows": [int(rows) for rows in rng.integers(60, 140, 12)],
            **bounded(overall + scale * np.sin(np.arange(12) / 2), scale * 0.8),
        },
        "learning_curve": {
            "metric": metric,
            "rows": [500, 1_000, 2_000, 4_936],
            **bounded(overall - sign * -1 * scale * np.array([2.0, 1.2, 0.6, 0.1]), scale * 0.4),
            "train": [overall - sign * value * scale for value in (4.0, 2.5, 1.5, 0.8)],
        },
        "drift": [
            {"column": "month", "statistic": "KS", "value": 0.1312, "bound": 0.0421, "is_drifted": True}
            | {"train": "mean 6.4", "test": "mean 7.2"},
            {"column": "carrier", "statistic": "TV", "value": 0.0832, "bound": 0.0611, "is_drifted": True}
            | {"train": "AS 37 %", "test": "AS 41 %"},
            *(
                {"column": column, "statistic": "KS", "value": 0.03 - 0.003 * place, "bound": 0.0421}
                | {"is_drifted": False, "train": "mean 12.1", "test": "mean 12.3"}
                for place, column in enumerate(("distance", "hour", "air_time", "dep_time"))
            ),
        ],
        "leaks": [
            {"column": "air_time", "metric": "roc_auc", "score": 0.991}
            | {"text": "alone it ranks the training rows with roc_auc 0.991; is it known when the answer is needed?"}
        ],
    }


def why(metric: str = "roc_auc", outputs: tuple[str, ...] = ("probability of yes",)) -> dict[str, Any]:
    """Importance, dependence and SHAP values."""
    rng = np.random.default_rng(2)
    drop = [0.11, 0.072, 0.041, 0.022, 0.009, 0.004, 0.001, -0.0004, 0.0]
    grid = np.linspace(31, 2_724, 20)
    dependence = []
    for number, output in enumerate(outputs):
        line = 0.2 + 0.15 * np.tanh((grid - 900) / 500) + 0.05 * number
        single = [
            [float(v) for v in line + 0.08 * rng.normal() + 0.03 * rng.normal() * grid / 2_000] for _ in range(50)
        ]
        density = rng.dirichlet(np.ones(20))
        dependence.append(
            {"column": "distance", "kind": "number", "values": [float(v) for v in grid], "output": output}
            | {"mean": [float(v) for v in line], "low": [float(v) - 0.02 for v in line]}
            | {"high": [float(v) + 0.02 for v in line], "individual": single, "share": [float(v) for v in density]}
        )
    dependence += [
        {"column": "carrier", "kind": "category", "values": ["AS", "WN", "DL", "UA", "AA"], "output": outputs[0]}
        | {"mean": [0.21, 0.31, 0.22, 0.25, 0.24], "low": [0.2, 0.29, 0.2, 0.23, 0.22]}
        | {"high": [0.22, 0.33, 0.24, 0.27, 0.26], "share": [0.4, 0.2, 0.15, 0.15, 0.1]}
        | {"individual": [[0.1 + 0.3 * float(rng.random()) for _ in range(5)] for _ in range(50)]},
        {"column": "date", "kind": "time", "values": [f"2014-{month:02}-15T00:00:00" for month in range(1, 13)]}
        | {"output": outputs[0], "mean": [0.2 + 0.01 * month for month in range(12)], "low": [0.19] * 12}
        | {"high": [0.33] * 12, "individual": [], "share": [1 / 12] * 12},
        {"column": "is_weekend", "kind": "boolean", "values": ["false", "true"], "output": outputs[0]}
        | {"mean": [0.24, 0.26], "low": [0.23, 0.25], "high": [0.25, 0.27], "individual": [], "share": [0.7, 0.3]},
    ]
    return {
        "importance": {
            "metric": metric,
            "rows": 1_234,
            "repeats": 5,
            "baseline": 0.7312,
            "columns": [
                {"column": column, "value": value, "low": value - 0.004, "high": value + 0.005}
                for column, value in zip(COLUMNS, drop, strict=True)
            ],
            "left_out": ["tailnum"],
            "seconds": 12.3,
        },
        "dependence": dependence,
        "shap": {
            "output": outputs[0],
            "rows": 300,
            "columns": [{"column": column, "value": 0.3 / (place + 1)} for place, column in enumerate(COLUMNS)],
            "points": [
                {
                    "column": column,
                    "shap": [float(value) for value in rng.normal(0, 0.3 / (place + 1), 300)],
                    "value": None if column == "carrier" else [float(value) for value in rng.random(300)],
                }
                for place, column in enumerate(COLUMNS)
            ],
        },
        "parameter_importance": {
            "metric": metric,
            "method": "random forest over the trials, permuted",
            "parameters": [
                {"name": "alpha", "value": 0.61, "low": 0.52, "high": 0.71},
                {"name": "penalty", "value": 0.21, "low": 0.12, "high": 0.31},
            ],
            "trials": 1_000,
        },
        "notes": ["f1 is not defined: a note."],
    }


def utilisation() -> dict[str, Any]:
    """What two slots did."""
    stages = [
        ("scan", 12.0, 20.1, 1.2, 2.1, 0.6),
        ("statistics", 2.0, 2.6, 1.1, 0.3, 0.0),
        ("search", 36.0, 66.2, 4.1, 1.2, 0.5),
        ("refit", 3.0, 2.9, 3.1, 0.0, 0.0),
        ("evaluation", 9.0, 14.4, 2.4, 0.9, 0.3),
    ]
    names = ("stage", "seconds", "busy", "no_task", "waiting_for_data", "waiting_for_workers")
    return {
        "slots": 2,
        "stages": [dict(zip(names, stage, strict=True)) | {"slot_seconds": 2 * stage[1]} for stage in stages],
    }
