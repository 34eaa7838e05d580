"""The page of the evaluation: what validation says before the test, and what the test says as its rows are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from daskflow.dashboard import evaluation_figures as figures
from daskflow.dashboard import quantities, words
from daskflow.dashboard.evaluation_panels import panels
from daskflow.dashboard.evaluation_tables import main_metric, metrics, per_class, worst
from daskflow.dashboard.slots import Row, Slot, Value
from daskflow.dashboard.state import RunState

EXPLAINED = {
    "importance": ("the importance of", "column", "columns"),
    "dependence": ("what the model makes of", "column", "columns"),
    "shap": ("SHAP values of", "block of rows", "blocks of rows"),
}
"""What explains a model, in words."""

RULES = {
    "cost": "for the lowest cost",
    "f1": "for the best F1",
    "youden": "for the best Youden index",
    "balanced_accuracy": "for the best balanced accuracy",
    "mcc": "for the best Matthews correlation",
}
"""How a threshold was chosen."""

MAY_NOT_COME = ("settling", "importance", "worst_slices")
"""Figures that every task has, and not every run."""


class EvaluationScreen:
    """How good the model is, and how sure that is."""

    key = "evaluation"
    title = "Evaluation"

    def __init__(self) -> None:
        self._drawn: tuple[Any, ...] = ()
        self._figures: list[Slot] = []

    def rows(self) -> Sequence[Row]:
        """Return the panels from top to bottom."""
        return panels()

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known of the model's worth now."""
        test = state.evaluation
        drawn = (test, test.version, state.status)
        if drawn != self._drawn:
            self._drawn = drawn
            self._figures = [
                *figures.settling(test),
                *figures.in_curves(test.details),
                *figures.confusion(test.details),
                *figures.residuals(test.details),
                *figures.reasons(test),
                *_tables(test.details),
            ]
            said = {slot.name: slot.value for slot in self._figures if isinstance(slot, Value)}
            over = state.is_over and state.status != "waiting"  # what has not come will not come
            is_one_step = test.is_final and len(test.steps) < 2  # judged at once: nothing settled, the table says all
            self._figures += [
                Value(f"{key}.hidden", bool(over and said[f"{key}.empty"]) or (key == "settling" and is_one_step))
                for key in MAY_NOT_COME
            ]
            self._figures.append(Value("slices.hidden", over and not said["slices"]["rows"]))
        return [
            Value("evaluation_tiles", tiles(state)),
            Value("standing", standing(state)),
            Value("metrics", metrics(state)),
            *self._figures,
        ]


def tiles(state: RunState) -> list[dict[str, Any]]:
    """Return the numbers that matter: validation, test, rows judged, columns explained."""
    search, test = state.search, state.evaluation
    found: list[dict[str, Any]] = []
    if search.best is not None:
        sure = quantities.interval(*search.interval())
        found.append({
            "label": f"Validation: {search.metric}",
            "value": quantities.value(search.best.score),
            "note": f"best so far, trial {search.best.id}" + (f"; {sure}" if sure else ""),
        })  # fmt: skip
    name = main_metric(state)
    if name in test.metrics:
        value, low, high = test.metrics[name]
        sure = quantities.interval(low, high)
        found.append({
            "label": f"Test: {name}",
            "value": quantities.value(value),
            "note": f"95 % interval {sure}" if sure else "without an interval",
        })  # fmt: skip
    if test.total:
        found.append({
            "label": "Test rows judged",
            "value": quantities.count(test.rows),
            "note": "all of them" if test.is_final else f"of {quantities.count(test.total)}",
            **({"state": "good"} if test.is_final else {}),
        })  # fmt: skip
    columns = max((test.explained.get(what, 0) for what in ("importance", "dependence")), default=0)
    columns = max(columns, len((test.details.get("importance") or {}).get("columns") or ()))
    if columns:
        found.append({"label": "Columns explained", "value": f"{columns:,}", "note": ""})
    threshold = (test.decision.get("threshold") or {}).get("value")
    if quantities.is_number(threshold):
        rule = (test.decision.get("threshold") or {}).get("rule")
        note = RULES.get(str(rule), "as the workflow says")
        found.append({"label": "Threshold", "value": quantities.value(threshold), "note": note})
    return found or [{"label": "Evaluation", "value": "to come", "note": "No candidate has a score yet."}]


def standing(state: RunState) -> list[str]:
    """Return sentences on how good the model is, and by which rows that is said."""
    search, test = state.search, state.evaluation
    if search.best is None and not test.metrics:
        if state.is_over and state.status != "waiting":
            return ["The run ended before a candidate had a score."]
        return [
            "No candidate has a score yet. Validation comes first: what is learned from some rows is tried on others.",
            "The test rows are judged once, at the end.",
        ]
    found = []
    name = main_metric(state)
    if test.metrics:
        value, low, high = test.metrics.get(name, (None, None, None))
        sure = quantities.interval(low, high)
        judged = f"All {test.rows:,}" if test.is_final else f"{test.rows:,} of {test.total:,}"
        found.append(
            f"Test: {judged} test rows are judged: {name} {quantities.value(value)}"
            + (f", 95 % interval {sure}." if sure else ".")
        )
        if not test.is_final:
            found.append("These numbers are not final: they move within their intervals as rows come in.")
    if search.best is not None:
        found += _validated(state)
    if test.metrics and search.best is not None and name == search.metric:
        found += _beside(state)
    calibration = (test.decision.get("calibration") or {}).get("kind")
    if calibration:
        found.append(
            f"Probabilities are calibrated ({calibration}), by rows that had no part in the fit and not by the test."
        )
    if not test.metrics:
        found.append(
            "The run has ended, and there are no numbers of a test: it keeps no rows apart, or ended before."
            if state.is_over
            else "The test comes at the end: rows that had no part in any choice, judged once."
        )
    found += [
        f"Explained so far: {before} {_counted(test.explained[what], one, many)}."
        for what, (before, one, many) in EXPLAINED.items()
        if test.explained.get(what) and what not in test.details
    ]
    return found + [str(note) for note in test.details.get("notes") or ()][:6]


def _validated(state: RunState) -> list[str]:
    """What validation says of the best."""
    search = state.search
    assert search.best is not None
    low, high = search.interval()
    sure = quantities.interval(low, high)
    better = "higher" if search.greater_is_better else "lower"
    score = f"{search.metric} {quantities.value(search.best.score)}"
    said = f"Validation: the best candidate so far is {search.best.id} with {score}"
    said += f", 95 % interval {sure}" if sure else ""
    tied = search.best_said.get("tied") if search.best_said.get("trial") == search.best.id else None
    also = ""
    if tied:
        also = f" {words.plural(int(tied), 'other candidate')} cannot be told apart from it."
    return [f"{said} ({better} is better).{also}"]


def _beside(state: RunState) -> list[str]:
    """Whether the test agrees with validation."""
    search, test = state.search, state.evaluation
    assert search.best is not None
    _, low, high = test.metrics[search.metric]
    score = search.best.score
    if low is None or high is None or math.isnan(score) or low <= score <= high:
        return []
    is_above = score > high
    flatters = is_above is search.greater_is_better
    if flatters:
        return ["Validation promised more than the test's interval holds: the best of many candidates was also lucky."]
    return ["The test is better than validation said: its rows may be easier, or more rows to learn from helped."]


def _tables(details: figures.Details) -> list[Slot]:
    """Classes and slices in numbers; hidden where there are none."""
    classes, slices = per_class(details), worst(details)
    return [
        Value("per_class", classes),
        Value("per_class.hidden", not classes["rows"]),
        Value("slices", slices),
    ]


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
