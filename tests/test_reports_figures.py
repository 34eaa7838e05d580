"""Figures hold the numbers they were given, few enough to draw, and names as text."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from daskflow.core.protocols import Score
from daskflow.core.results import Point
from daskflow.figures import cost, curves, evaluation, parallel, search, slices, style, table, why
from tests import report_details
from tests.report_records import HOSTILE, TEX, search_of, tuned


def data_of(figure: Any, name: str = "") -> dict[str, Any]:
    """Columns of a figure's named source."""
    return dict(figure.select_one({"name": f"{name or figure.name}_data"}).data)


def n_points(figure: Any) -> int:
    """Points of all sources of a figure."""
    sources = {renderer.data_source for renderer in figure.renderers}
    return sum(max((len(column) for column in source.data.values()), default=0) for source in sources)


def drawn(n_trials: int = 6) -> search.Trials:
    """Trials of a small search, with the columns of all its figures in their one source."""
    return search.trials(search_of(n_trials))


def test_the_leaderboard_shows_scores_with_the_spread_over_folds() -> None:
    trials = drawn()
    search.leaderboard(trials)
    data = trials.source.data
    assert data["trial"] == ["3", "4", "2", "1", "0"]
    assert data["score"][0] == pytest.approx(0.73 - 0.05 / 9)
    assert data["low"][0] == pytest.approx(data["score"][0] - 0.011)
    assert data["high"][0] == pytest.approx(data["score"][0] + 0.011)
    assert data["color"] == [style.SECOND] + [style.ACCENT] * 4


def test_learning_curves_hold_every_point_and_mark_the_best() -> None:
    trials = drawn()
    search.learning_curves(trials)
    data = trials.source.data
    assert data["resources"][0] == [1, 3, 9]
    assert data["width"] == [3.0, 1.5, 1.5, 1.5, 1.5]
    assert sum(map(len, data["scores"])) == 4 * 3 + 2


def test_no_figure_of_a_long_search_has_more_points_than_can_be_drawn() -> None:
    trials = search.trials(tuned(3000))
    for made in (search.leaderboard(trials), *search.parameters(trials).values()):
        assert 0 < n_points(made) <= style.MAX_POINTS
    search.learning_curves(trials)
    assert 0 < sum(map(len, trials.source.data["scores"])) <= style.MAX_POINTS
    parallel.parallel(trials)
    assert 0 < sum(map(len, trials.source.data["parallel_y"])) <= style.MAX_POINTS


def test_the_figures_of_a_search_share_one_source_so_that_marks_are_shared() -> None:
    trials = search.trials(tuned(40))
    made = [search.leaderboard(trials), search.learning_curves(trials), parallel.parallel(trials)]
    made += search.parameters(trials).values()
    for one in made:
        assert trials.source in {renderer.data_source for renderer in one.renderers}
        assert any(type(tool).__name__ == "TapTool" for tool in one.tools)
    assert len({len(column) for column in trials.source.data.values()}) == 1


def test_parameters_that_varied_are_shown_and_the_scale_fits_their_values() -> None:
    trials = drawn()
    made = search.parameters(trials)
    assert list(made) == ["alpha", "penalty"]
    assert type(made["alpha"].x_scale).__name__ == "LogScale"
    assert made["penalty"].xaxis[0].major_label_overrides == {0: "l1", 1: "l2"}
    assert sorted(set(trials.source.data["at_1"])) == [0, 1]


def test_a_parameter_of_some_candidates_only_is_drawn_for_them() -> None:
    result = search_of()
    some = [replace(t, params={**t.params, "power": 2}) if t.id in "12" else t for t in result.trials]
    some[1] = replace(some[1], params={**some[1].params, "power": 3})
    trials = search.trials(replace(result, trials=tuple(some)))
    made = search.parameters(trials)
    view = made["power"].renderers[0].view
    assert [trials.source.data["trial"][place] for place in view.filter.indices] == ["2", "1"]
    assert [value for value in trials.source.data["value_2"] if value] == ["2", "3"]


def test_parallel_coordinates_put_each_parameter_on_its_own_axis_and_the_score_last() -> None:
    trials = search.trials(tuned(40))
    made = parallel.parallel(trials)
    assert made is not None
    assert list(made.xaxis[0].major_label_overrides.values())[-1] == "roc_auc"
    heights = trials.source.data["parallel_y"]
    assert {len(line) for line in heights} == {6}
    assert heights[0][-1] == 1.0
    assert min(height for line in heights for height in line) == 0.0


def test_one_parameter_alone_has_no_parallel_coordinates() -> None:
    result = tuned(10)
    some = [replace(trial, params={"alpha": trial.params["alpha"]}) for trial in result.trials]
    assert parallel.parallel(search.trials(replace(result, trials=tuple(some)))) is None


def test_a_curve_with_a_point_that_failed_is_drawn_without_it() -> None:
    result = search_of()
    first = result.trials[0]
    broken = replace(first, curve=(*first.curve, Point(27, math.nan)))
    trials = search.trials(replace(result, trials=(broken, *result.trials[1:])))
    search.learning_curves(trials)
    assert not any(math.isnan(score) for line in trials.source.data["scores"] for score in line)


def test_intervals_of_shares_and_of_errors_stand_apart() -> None:
    made = evaluation.metric_intervals(
        {"auc": Score(0.8, 0.7, 0.9), "rmse": Score(12.0, 11.0, 13.0), "lost": Score(math.nan), "bare": Score(0.5)}
    )
    assert [data_of(one)["metric"] for one in made] == [["auc", "bare"], ["rmse"]]
    assert data_of(made[0])["low"] == [0.7, 0.5]
    assert evaluation.metric_intervals({"lost": Score(math.nan)}) == []


def test_confusion_cells_hold_counts_and_shares_of_the_true_class() -> None:
    data = data_of(evaluation.confusion(["no", "yes"], [[90, 10], [5, 15]]))
    assert list(zip(data["true"], data["predicted"], data["count"], data["share"], strict=True)) == [
        ("no", "no", 90, 0.9),
        ("no", "yes", 10, 0.1),
        ("yes", "no", 5, 0.25),
        ("yes", "yes", 15, 0.75),
    ]


def test_a_confusion_of_hundreds_of_classes_keeps_to_the_most_frequent() -> None:
    size = 300
    counts = [[number if row == column else 0 for column in range(size)] for row, number in enumerate(range(size))]
    made = evaluation.confusion([f"c{number}" for number in range(size)], counts)
    assert n_points(made) <= style.MAX_POINTS
    assert data_of(made)["true"][-1] == "c299"


def test_a_class_without_rows_has_empty_cells() -> None:
    assert data_of(evaluation.confusion(["a", "b"], [[3, 0], [0, 0]]))["share"] == [1.0, 0.0, 0.0, 0.0]


def test_classes_stand_from_the_most_frequent_and_span_decades_on_a_logarithm() -> None:
    made = table.class_counts(["rare", "common", "none"], [2, 280_790, 0])
    assert data_of(made)["name"] == ["common", "rare", "none"]
    assert data_of(made)["text"] == ["280,790 (100 %)", "2 (<0.01 %)", "0 (0 %)"]
    assert type(made.x_scale).__name__ == "LogScale"


def test_only_columns_with_missing_values_are_shown() -> None:
    columns = [{"name": "a", "missing": 0}, {"name": "b", "missing": 5}, {"name": "c", "missing": 10}]
    made = table.missing_values(columns, 20)
    assert data_of(made)["name"] == ["c", "b"]
    assert data_of(made)["value"] == [0.5, 0.25]
    assert table.missing_values(columns[:1], 20) is None


def test_residuals_are_truth_minus_prediction() -> None:
    data = data_of(evaluation.residuals({"y_true": [3.0, 1.0], "y_pred": [2.0, 4.0]}))
    assert data["residual"] == [1.0, -3.0]


def test_every_figure_is_as_wide_as_its_place_and_has_a_name() -> None:
    trials = drawn()
    for made in (search.leaderboard(trials), search.learning_curves(trials), *search.parameters(trials).values()):
        assert made.sizing_mode == "stretch_width"
        assert made.name


@pytest.mark.parametrize("text", [HOSTILE, TEX, "", "x" * 1000, "a\nb"])
def test_labels_are_one_short_line_and_no_formula(text: str) -> None:
    label = style.shown(text)
    assert 0 < len(label) <= style.MAX_LABEL + 4
    assert "\n" not in label
    assert "$$" not in label
    assert r"\(" not in label
    assert r"\[" not in label


def test_a_curve_of_many_points_is_thinned_and_keeps_its_ends() -> None:
    n = 5_000
    curve = {"fpr": [i / n for i in range(n + 1)], "tpr": [(i / n) ** 0.5 for i in range(n + 1)]}
    data = data_of(curves.roc(curve))
    assert len(data["fpr"]) <= curves.MAX_CURVE
    assert (data["fpr"][0], data["fpr"][-1], data["tpr"][-1]) == (0.0, 1.0, 1.0)


def test_the_mark_of_a_curve_stands_at_the_threshold_nearest_to_the_one_in_use() -> None:
    curve = {"fpr": [0.0, 0.1, 0.5, 1.0], "tpr": [0.0, 0.6, 0.9, 1.0], "threshold": [None, 0.8, 0.4, 0.1]}
    mark = data_of(curves.roc(curve, 0.45), "roc_marker")
    assert (mark["x"], mark["y"]) == ([0.5], [0.9])


def test_gain_knows_its_lift() -> None:
    data = data_of(curves.gain({"share": [0.0, 0.1, 1.0], "gain": [0.0, 0.4, 1.0]}))
    assert data["lift"][1:] == pytest.approx([4.0, 1.0])
    assert data_of(curves.lift({"share": [0.0, 0.1, 1.0], "gain": [0.0, 0.4, 1.0]}))["lift"] == pytest.approx(
        [4.0, 1.0]
    )


def test_groups_whose_interval_leaves_out_the_overall_value_are_filled() -> None:
    groups = [
        {"group": "a", "rows": 10, "value": 0.7, "low": 0.6, "high": 0.8},
        {"group": "b", "rows": 10, "value": 0.5, "low": 0.4, "high": 0.6},
        {"group": "c", "rows": 1, "value": None, "low": None, "high": None},
    ]
    made = slices.by_group(0, {"column": "x", "groups": groups}, "roc_auc", 0.72)
    data = data_of(made)
    assert data["fill"] == [0.0, 1.0]
    assert made.x_range.start < 0.4
    assert made.x_range.end > 0.8


def test_the_axis_of_the_worst_slices_shows_no_difference_too() -> None:
    given = report_details.slices()["worst_slices"]
    made = slices.worst(given, "roc_auc")
    assert made.x_range.start < -0.18
    assert made.x_range.end > 0


def test_every_kind_of_column_has_its_dependence() -> None:
    for place, one in enumerate(report_details.why()["dependence"]):
        made = why.dependence(place, one)
        assert data_of(made)["mean"] == one["mean"]
        assert n_points(made) <= style.MAX_POINTS
    assert type(why.dependence(0, {**report_details.why()["dependence"][2]}).xaxis[0]).__name__ == "DatetimeAxis"


def test_shap_of_many_columns_has_few_enough_points() -> None:
    names = [f"c{number}" for number in range(60)]
    given = {
        "output": "y", "rows": 300, "columns": [{"column": name, "value": 1.0} for name in names],
        "points": [{"column": name, "shap": [0.1] * 300, "value": None} for name in names],
    }  # fmt: skip
    assert 0 < n_points(why.shap(given)) <= style.MAX_POINTS


def test_bars_of_utilisation_stand_behind_each_other_and_fill_the_slots_time() -> None:
    data = data_of(cost.utilisation(report_details.utilisation()))
    assert data["busy_left"] == [0.0] * 5
    assert data["waiting_for_data_left"] == data["busy_right"]
    assert data["no_task_right"] == pytest.approx([24.0, 4.0, 72.0, 6.0, 18.0])


def test_drifted_columns_are_told_from_others() -> None:
    data = data_of(cost.drift(report_details.slices()["drift"]))
    assert data["color"][:3] == [style.SECOND, style.SECOND, style.ACCENT]
    assert data["bound"][0] == 0.0421
