"""The page of the evaluation says what validation and test say, each by its name, and ends with the run's numbers."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from daskflow.core.results import RunRecord
from daskflow.dashboard.evaluation_figures import MOST_CLASSES
from daskflow.dashboard.screen_evaluation import EvaluationScreen, standing
from tests import report_records
from tests.told_runs import stage_moment, told_run
from tests.viewing import Viewed, state_of, watched

CURVES = ("roc", "precision_recall", "calibration")
OF_A_PASS = (*CURVES, "confusion", "residuals", "residual_histogram", "per_class")


def judged(record: RunRecord, metric: str = "roc_auc", **options: Any) -> list[dict[str, Any]]:
    """A made-up run whose test comes to what a record holds: curves on the way, the rest in the end."""
    assert record.evaluation is not None
    n_rows, found = record.evaluation.n_rows, []
    for told in told_run(metric=metric, **options):
        if told["record"] != "evaluated":
            found.append(told)
            continue
        share, details = told["rows"] / told["total"], record.evaluation.details
        metrics = {}
        for name, score in record.evaluation.metrics.items():
            wide = 1 / math.sqrt(share)
            ends = (score.value - wide * (score.value - score.low), score.value + wide * (score.high - score.value))
            metrics[name] = [None if math.isnan(one) else one for one in (score.value, *ends)]
        shown = details if told["final"] else {word: details[word] for word in OF_A_PASS if word in details}
        found.append({**told, "rows": round(n_rows * share), "total": n_rows, "metrics": metrics, "details": shown})
    return found


def test_the_final_numbers_are_those_of_the_record() -> None:
    record = report_records.full_record()
    assert record.evaluation is not None

    viewed, _ = watched(EvaluationScreen(), judged(record))

    rows = {row["metric"]: row for row in viewed.values["metrics"]["rows"]}
    for name, score in record.evaluation.metrics.items():
        assert rows[name]["test"] == pytest.approx(score.value, rel=1e-5)
        assert (rows[name]["low"], rows[name]["high"]) == pytest.approx((score.low, score.high), rel=1e-5)
        assert rows[name]["rows"] == record.evaluation.n_rows
    details = record.evaluation.details
    assert viewed.columns["roc_data"]["tpr"] == pytest.approx(details["roc"]["tpr"], abs=1e-5)
    assert viewed.columns["precision_recall_data"]["precision"] == pytest.approx(
        details["precision_recall"]["precision"], abs=1e-5
    )
    assert viewed.columns["calibration_data"]["observed"] == pytest.approx(details["calibration"]["observed"], rel=1e-5)
    assert viewed.columns["confusion_data"]["count"] == [n for row in details["confusion"]["counts"] for n in row]
    importance = [row["value"] for row in details["importance"]["columns"]]
    assert viewed.columns["importance_data"]["value"] == pytest.approx(sorted(importance, reverse=True), abs=1e-6)
    assert viewed.columns["worst_slices_data"]["rows"] == [one["rows"] for one in details["worst_slices"]]
    assert "state" not in viewed.values["evaluation_tiles"][1]


def test_the_mark_of_a_curve_is_at_the_threshold_in_use() -> None:
    record = report_records.full_record()
    assert record.evaluation is not None
    viewed = Viewed(EvaluationScreen()).look(state_of(judged(record)), 0.0)

    chosen = record.evaluation.details["thresholds"]["chosen"]
    shown, mark = viewed.columns["roc_data"], viewed.columns["roc_marker_data"]
    at = list(zip(shown["fpr"], shown["tpr"], strict=True)).index((mark["x"][0], mark["y"][0]))
    assert shown["threshold"][at] == pytest.approx(chosen, rel=1e-4)


def test_intervals_tighten_as_rows_are_judged() -> None:
    viewed, state = watched(EvaluationScreen(), judged(report_records.full_record()))

    shown = viewed.columns["settling_data"]
    widths = [
        high - low
        for name, low, high in zip(shown["metric"], shown["low"], shown["high"], strict=True)
        if name == "roc_auc"
    ]
    assert len(widths) == len(state.evaluation.steps) == 6
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 4 * widths[-1]
    bands = viewed.columns["settling_bands_data"]
    assert len(bands["xs"]) == 10
    for place, ys in enumerate(bands["ys"]):
        strip = 10 - place - 1
        assert strip < min(ys) <= max(ys) < strip + 1


def test_before_the_test_only_validation_speaks_and_is_called_so() -> None:
    state = state_of(stage_moment(told_run(), "search", 0.6))
    viewed = Viewed(EvaluationScreen()).look(state, state.last)

    assert state.search.best is not None
    tile = viewed.values["evaluation_tiles"][0]
    assert tile["label"] == "Validation: roc_auc"
    assert tile["value"] == f"{state.search.best.score:.4f}"
    row = viewed.values["metrics"]["rows"][0]
    assert row["validation"] == pytest.approx(state.search.best.score, rel=1e-5)
    assert row["test"] is None
    said = " ".join(viewed.values["standing"])
    assert "Validation: the best candidate so far is" in said
    assert "The test comes at the end" in said
    assert not viewed.is_shown("settling")


def test_numbers_of_a_test_that_goes_on_are_said_to_move() -> None:
    viewed = Viewed(EvaluationScreen()).look(state_of(stage_moment(told_run(), "evaluation", 0.5)), 0.0)

    said = " ".join(viewed.values["standing"])
    assert "of 64,000 test rows are judged" in said
    assert "not final" in said
    assert "state" not in viewed.values["evaluation_tiles"][1]


def test_validation_that_promised_too_much_is_said_in_either_direction() -> None:
    for metric, flattering in (("roc_auc", 0.95), ("rmse", 0.01)):
        records = told_run(metric=metric)
        state = state_of(records)
        assert state.search.best is not None
        state.search.best.score = flattering
        assert any("promised more" in line for line in standing(state))
        state.search.best.score = 1e-3 if metric == "roc_auc" else 1e9
        assert any("better than validation said" in line for line in standing(state))


@pytest.mark.parametrize(
    ("record", "metric", "shown", "left_out"),
    [
        (report_records.full_record(), "roc_auc", {*CURVES, "confusion"}, {"per_class", "residuals"}),
        (report_records.multiclass_full(), "accuracy", {"confusion", "per_class"}, {*CURVES, "residuals"}),
        (report_records.regression_full(), "rmse", {"residuals", "residual_histogram"}, {*CURVES, "confusion"}),
    ],
    ids=["binary", "multiclass", "regression"],
)  # fmt: skip
def test_each_task_has_its_own_panels(record: RunRecord, metric: str, shown: set[str], left_out: set[str]) -> None:
    viewed, _ = watched(EvaluationScreen(), judged(record, metric))

    assert {key for key in shown if viewed.is_shown(key)} == shown
    assert {key for key in left_out if viewed.values[f"{key}.hidden"]} == left_out


def test_twenty_three_classes_are_all_there_the_most_frequent_first() -> None:
    record = report_records.multiclass_full()
    assert record.evaluation is not None
    viewed = Viewed(EvaluationScreen()).look(state_of(judged(record, "accuracy")), 0.0)

    counts = record.evaluation.details["confusion"]["counts"]
    assert viewed.columns["confusion_data"]["count"] == [n for row in counts for n in row]
    assert len(viewed.looks["confusion_columns"]["factors"]) == 23
    assert not any(viewed.columns["confusion_data"]["dark"])
    support = [row["support"] for row in viewed.values["per_class"]["rows"]]
    assert support == sorted(support, reverse=True)
    assert len(support) == 23


def test_of_very_many_classes_the_most_frequent_are_drawn() -> None:
    records = told_run()
    classes = [f"class {code}" for code in range(120)]
    counts = [[code if row == code else 0 for code in range(120)] for row in range(120)]
    records.append(
        {"record": "evaluated", "at": records[-1]["at"], "rows": 7140, "total": 7140, "final": True}
        | {"metrics": {}, "details": {"confusion": {"classes": classes, "counts": counts}}}
    )

    viewed = Viewed(EvaluationScreen()).look(state_of(records), 0.0)

    assert viewed.looks["confusion_columns"]["factors"] == classes[-MOST_CLASSES:]
    assert len(viewed.columns["confusion_data"]["count"]) == MOST_CLASSES**2


def test_importances_appear_column_by_column_and_survive_a_restart() -> None:
    records = [record for record in told_run() if record["record"] != "explained"]
    at = records[-1]["at"]
    told = {"record": "explained", "what": "importance", "model": "m"}
    first = [{**told, "at": at, "column": "x1", "value": 0.1, "low": 0.08, "high": 0.12}]
    first += [{**told, "at": at, "column": "x2", "value": 0.3, "low": None, "high": None}]
    again = [{"record": "invocation", "at": at + 9, "id": "a"}, {**first[0], "at": at + 10}]
    again += [{**told, "at": at + 11, "column": "x3", "value": None, "low": None, "high": None}]

    viewed, state = watched(EvaluationScreen(), [*records, *first, *again])

    assert viewed.columns["importance_data"]["name"] == ["x2", "x1"]
    assert viewed.columns["importance_data"]["low"] == [0.3, 0.08]
    assert state.evaluation.explained == {"importance": 3}
    state.hear([{**told, "at": at + 12, "model": "another", "column": "x9", "value": 0.2, "low": 0.1, "high": 0.3}])
    assert viewed.look(state, at + 12).columns["importance_data"]["name"] == ["x9"]


def test_a_run_without_a_test_says_so() -> None:
    records = [record for record in told_run() if record["record"] != "evaluated"]
    viewed = Viewed(EvaluationScreen()).look(state_of(records), 0.0)

    assert any("no numbers of a test" in line for line in viewed.values["standing"])
    assert not any(viewed.is_shown(key) for key in ("settling", *CURVES, "residuals"))


def test_metrics_without_value_or_interval_are_dashes_and_not_drawn() -> None:
    records = told_run()
    records.append(
        {"record": "evaluated", "at": records[-1]["at"], "rows": 64_000, "total": 64_000, "final": True, "details": {}}
        | {"metrics": {"roc_auc": [0.7, None, None], "f1": [None, None, None], "odd": [math.nan, 0.1, math.inf]}}
    )

    viewed = Viewed(EvaluationScreen()).look(state_of(records), 0.0)

    rows = {row["metric"]: row for row in viewed.values["metrics"]["rows"]}
    assert (rows["roc_auc"]["test"], rows["roc_auc"]["low"]) == (0.7, None)
    assert rows["odd"]["test"] is None
    assert set(viewed.columns["settling_data"]["metric"]) == {"roc_auc"}


def test_before_anything_is_known_the_page_says_what_will_come() -> None:
    viewed = Viewed(EvaluationScreen()).look(state_of([]), 0.0)

    assert "No candidate has a score yet" in viewed.values["standing"][0]
    assert viewed.values["metrics"]["rows"] == []
    assert all(panel.empty for panel in viewed.panels if panel.key != "evaluation_tiles")


def test_names_that_try_to_break_the_page_stand_in_it_as_text() -> None:
    viewed = Viewed(EvaluationScreen()).look(state_of(judged(report_records.hostile_full(), hostile=True)), 0.0)

    assert "<img src=x" in viewed.texts()
    for attributes in viewed.looks.values():
        for text in [*attributes.get("factors", ()), attributes.get("axis_label", "")]:
            assert "$$" not in text
            assert r"\(" not in text
            assert "\u202e" not in text
        factors = attributes.get("factors", ())
        assert len(set(factors)) == len(factors)


def test_a_look_costs_little() -> None:
    state = state_of(judged(report_records.multiclass_full(), "accuracy"))
    screen = EvaluationScreen()
    begun = time.thread_time()
    for _ in range(40):
        screen.slots(state, state.last)
    assert (time.thread_time() - begun) / 40 < 0.005
