"""Every number that the report shows of an evaluation is the record's, at the precision that is shown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from daskflow.core.protocols import Score
from daskflow.core.results import RunRecord
from daskflow.reports import answering, cautions
from daskflow.reports.page import parts, render
from tests.report_records import full_record, multiclass_full, record_of, regression_full
from tests.test_reports_page import Page

RECORDS: dict[str, Callable[[], RunRecord]] = {
    "binary": full_record,
    "multiclass": multiclass_full,
    "regression": regression_full,
}


class Shown:
    """The page of a record, and the columns of its figures by the names of their sources."""

    def __init__(self, record: RunRecord) -> None:
        text = render(record)
        self.record, self.page = record, Page(text)
        assert record.evaluation is not None
        self.details = record.evaluation.details
        found = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text)
        self.sources: dict[str, dict[str, list[Any]]] = {}
        self._look(json.loads(found[0]))
        self.rows = [" ".join(row.split()) for row in table_rows(text)]

    def _look(self, model: Any) -> None:
        if isinstance(model, list):
            for one in model:
                self._look(one)
        elif isinstance(model, dict):
            if model.get("name") == "ColumnDataSource":
                attributes = model["attributes"]
                entries = dict(attributes["data"]["entries"])
                self.sources[attributes.get("name", "")] = {name: numbers(values) for name, values in entries.items()}
            for one in model.values():
                self._look(one)

    def says(self, *cells: str) -> bool:
        """Whether a row of a table has these cells behind each other."""
        wanted = "|".join(cells)
        return any(wanted in row for row in self.rows)


def numbers(values: Any) -> list[Any]:
    """A column as bokeh wrote it; what is no number is marked there."""
    found = values["array"] if isinstance(values, dict) else values
    return [math.nan if isinstance(one, dict) else one for one in found]


def table_rows(text: str) -> list[str]:
    """Rows of all tables as the texts of their cells with bars between."""
    rows = re.findall(r"<tr.*?</tr>", text, re.S)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in rows]
    return ["|" + "|".join(re.sub(r"<[^>]*>", "", cell).strip() for cell in row) + "|" for row in cells]


@cache
def shown_of(task: str) -> Shown:
    """The page of a task's record, without the megabyte that is the same on every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daskflow.reports.page.library", str)
        return Shown(RECORDS[task]())


@pytest.fixture(params=list(RECORDS))
def shown(request: pytest.FixtureRequest) -> Shown:
    return shown_of(request.param)


def four(value: float | None) -> str:
    """A metric's value as a reader expects it: four decimals, of thousands one."""
    assert value is not None
    if 0.01 <= abs(value) < 100:
        return f"{value:.4f}"
    if abs(value) >= 1000:
        return f"{int(value):,}" if value == int(value) else f"{value:,.1f}"
    return f"{value:.4g}"


def interval(row: Mapping[str, Any]) -> str:
    return f"{four(row['low'])} to {four(row['high'])}"


def test_every_metric_stands_with_its_interval_and_what_validation_said(shown: Shown) -> None:
    assert shown.record.evaluation is not None
    assert shown.record.search is not None
    for name, score in shown.record.evaluation.metrics.items():
        validated = shown.record.search.best.metrics.get(name)
        between = f"{four(score.low)} to {four(score.high)}"
        assert shown.says(name, four(score.value), between, "-" if validated is None else four(validated))
    drawn = {
        name: (value, low, high)
        for key in ("metrics_shares_data", "metrics_others_data")
        for name, value, low, high in zip(
            *(shown.sources.get(key, {}).get(word, []) for word in ("metric", "value", "low", "high")), strict=True
        )
    }
    assert drawn == {
        name: (score.value, score.low, score.high) for name, score in shown.record.evaluation.metrics.items()
    }


def test_every_group_of_every_slice_stands_with_its_rows_and_interval(shown: Shown) -> None:
    groups = [group for column in shown.details["slices"]["columns"] for group in column["groups"]]
    assert len(groups) > 50
    for group in groups:
        value = "-" if group["value"] is None else four(group["value"])
        between = "-" if group["value"] is None else interval(group)
        assert shown.says(group["group"], f"{group['rows']:,}", value, between)


def test_the_worst_slices_stand_with_their_differences_and_p_values(shown: Shown) -> None:
    for one in shown.details["worst_slices"]:
        where = " and ".join(f"{part['column']}: {part['group']}" for part in one["where"])
        between = f"{four(one['difference_low'])} to {four(one['difference_high'])}"
        p = "&lt;0.001" if one["p"] < 0.001 else f"{one['p']:.3f}"
        assert shown.says(
            where, str(one["rows"]), four(one["value"]), interval(one), four(one["difference"]), between, p
        )
    assert shown.sources["worst_slices_data"]["value"] == [one["difference"] for one in shown.details["worst_slices"]]


def test_importances_stand_with_their_intervals_most_important_first(shown: Shown) -> None:
    given = sorted(shown.details["importance"]["columns"], key=lambda row: -row["value"])
    for row in given:
        assert shown.says(row["column"], "0" if row["value"] == 0 else four(row["value"]), interval(row))
    source = shown.sources["importance_data"]
    assert source["name"] == [row["column"] for row in given]
    assert source["low"] == [row["low"] for row in given]
    assert [row["value"] for row in shown.details["parameter_importance"]["parameters"]] == shown.sources[
        "parameter_importance_data"
    ]["value"]


def test_dependences_and_shap_values_are_drawn_as_they_were_recorded(shown: Shown) -> None:
    for place, one in enumerate(shown.details["dependence"]):
        assert shown.sources[f"dependence_{place}_data"]["mean"] == one["mean"]
        assert shown.says(four(one["mean"][0]), interval({"low": one["low"][0], "high": one["high"][0]}))
    points = {one["column"]: one["shap"] for one in shown.details["shap"]["points"]}
    source = shown.sources["shap_data"]
    for column, values in points.items():
        drawn = [x for x, name in zip(source["x"], source["name"], strict=True) if name == column]
        assert len(drawn) >= 200
        assert set(drawn) <= set(values)


def test_scores_over_time_and_rows_are_drawn_as_they_were_recorded(shown: Shown) -> None:
    over, curve = shown.details["over_time"], shown.details["learning_curve"]
    assert shown.sources["over_time_data"]["value"] == over["value"]
    assert shown.says("2014-03-01 00:00", "2014-03-28 00:00", f"{over['rows'][2]:,}", four(over["value"][2]))
    assert shown.sources["learning_curve_rows_data"]["low"] == curve["low"]
    assert shown.says("4,936", four(curve["value"][-1]))


def test_drift_and_utilisation_stand_in_figures_and_tables(shown: Shown) -> None:
    for row in shown.details["drift"]:
        assert shown.says(row["column"], four(row["value"]), four(row["bound"]), row["statistic"], row["train"])
    for stage in shown.record.utilisation["stages"]:
        assert shown.says(f"{stage['busy'] / stage['slot_seconds'] * 100:.1f} %")
    source = shown.sources["utilisation_data"]
    ends = [sum(stage[key] for key in ("busy", "no_task", "waiting_for_data", "waiting_for_workers")) for stage in
            shown.record.utilisation["stages"]]  # fmt: skip
    assert source["no_task_right"] == pytest.approx(ends)


def test_thresholds_and_the_decision_are_those_of_the_record() -> None:
    shown = shown_of("binary")
    given, made = shown.details["thresholds"], shown.details["decision"]
    assert shown.sources["thresholds_data"]["cost"] == given["cost"]
    place = given["threshold"].index(given["chosen"])
    assert shown.says(
        four(given["chosen"]), f"{given['taken'][place] * 100:.1f} %", four(given["precision"][place]),
        four(given["recall"][place]), four(given["f1"][place]), four(given["false_positive_rate"][place]),
        four(given["cost"][place]), "in use, lowest cost",
    )  # fmt: skip
    assert shown.says("best F1")
    for name, before in made["calibration"]["before"].items():
        words = {"ece": "expected calibration error"}.get(name, name.replace("_", " "))
        assert shown.says(words, four(before), four(made["calibration"]["after"][name]))
    assert f"from probability {four(made['threshold']['value'])} on" in shown.page.text
    mark = shown.sources["roc_marker_data"]
    at = shown.details["roc"]["threshold"].index(given["chosen"])
    assert (mark["x"], mark["y"]) == ([shown.details["roc"]["fpr"][at]], [shown.details["roc"]["tpr"][at]])
    for bin_, low, high in zip(
        *(shown.details["calibration"][key] for key in ("observed", "low", "high")), strict=True
    ):
        assert shown.says(four(bin_), f"{four(low) if low else '0'} to {four(high) if high < 1 else '1.0000'}")


def test_the_answer_says_how_good_for_whom_not_and_what_to_beware_of() -> None:
    (_, good), (_, whom), (_, beware) = answering.answer(full_record())
    assert "reaches roc_auc 0.7312 (95 % interval 0.7123 to 0.7501) on 4,000 test rows" in good
    assert "It serves worst the 123 test rows with carrier: WN and hour: 18 to 24: roc_auc 0.6101, 0.1211 from" in whom
    assert "from that of the other rows (95 % interval of the difference -0.1817 to -0.0605)" in whom
    assert "2 other groups are worse than chance explains" in whom
    assert beware.startswith(
        "Answer 'yes' from probability 0.1723 on (chosen for the lowest cost); beware: 1 column looks"
    )


def changed(**details: Any) -> RunRecord:
    """A record with these details, and nothing that warns."""
    record = record_of(warnings=())
    assert record.evaluation is not None
    assert record.search is not None
    trials = tuple(trial for trial in record.search.trials if not trial.error)
    plain = {key: value for key, value in record.evaluation.details.items() if key not in ("notes", "calibration")}
    return replace(
        record,
        search=replace(record.search, trials=trials),
        evaluation=replace(record.evaluation, details=plain | details),
    )


def test_a_run_that_nothing_speaks_against_says_so() -> None:
    assert cautions.found(changed()) == []
    assert answering.answer(changed())[-1][1].startswith("Nothing that this page looks at speaks against")


OFF = {"predicted": [0.2, 0.6], "observed": [0.3, 0.4], "count": [500, 500], "low": [0.25, 0.35], "high": [0.35, 0.45]}
FEW = {"classes": ["a", "b"], "counts": [[12, 2], [3, 100]]}
LEAK = {"column": "x", "metric": "roc_auc", "score": 0.99, "text": "alone it is right"}
DRIFT = {"column": "x", "statistic": "KS", "value": 0.3, "bound": 0.1, "is_drifted": True, "train": "", "test": ""}
WORST = {"where": [{"column": "x", "group": "g"}], "rows": 50, "value": 0.6, "difference": -0.1, "p": 0.001}


@pytest.mark.parametrize(
    ("record", "kind", "said"),
    [
        (changed(leaks=[LEAK]), "leak suspected", "x: alone it is right"),
        (changed(drift=[DRIFT]), "drift", "1 column differs between training and test rows by more than chance"),
        (changed(worst_slices=[WORST]), "unequal", "first of all x: g"),
        (changed(calibration=OFF), "calibration is off", "off by 0.150 on average, and 2 of 2 groups"),
        (changed(confusion=FEW), "tiny classes", "1 class has fewer than 30 test rows: a (14)"),
        (record_of(), "failed candidates", "1 candidate of 6 failed"),
        (full_record(), "no clear winner", "cannot be told apart from the best"),
    ],
    ids=["leak", "drift", "slice", "calibration", "class", "failure", "ties"],
)
def test_what_speaks_against_a_run_is_found_and_said(record: RunRecord, kind: str, said: str) -> None:
    found = [one for one in cautions.found(record) if one.kind == kind]
    assert len(found) == 1
    assert said in found[0].sentence
    keys = {part.key for part in parts(record)} | {"drift", ""}
    assert found[0].part in keys


@pytest.mark.parametrize(
    ("score", "kinds"),
    [(Score(0.72, 0.60, 0.84), ["wide interval"]), (Score(0.9, 0.89, 0.91), ["validation and test differ"])],
)
def test_a_wide_interval_and_a_gap_to_validation_are_warned_of(score: Score, kinds: list[str]) -> None:
    record = changed()
    assert record.evaluation is not None
    record = replace(record, evaluation=replace(record.evaluation, metrics={"roc_auc": score}))
    assert [one.kind for one in cautions.found(record)] == kinds


def test_harmless_findings_are_not_warned_of() -> None:
    near = {**OFF, "observed": [0.21, 0.59], "low": [0.15, 0.55], "high": [0.25, 0.65]}
    doubtful = {**WORST, "p": 0.3}
    same = {**DRIFT, "is_drifted": False}
    assert cautions.found(changed(calibration=near, worst_slices=[doubtful], drift=[same])) == []
