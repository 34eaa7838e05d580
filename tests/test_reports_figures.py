"""Figures hold the numbers they were given, few enough to draw, and names as text."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from daskflow.core.protocols import Score
from daskflow.core.results import Point
from daskflow.figures import evaluation, search, style, table
from tests.report_records import HOSTILE, TEX, search_of


def data_of(figure: Any, name: str = "") -> dict[str, Any]:
    """Columns of a figure's named source."""
    return dict(figure.select_one({"name": f"{name or figure.name}_data"}).data)


def n_points(figure: Any) -> int:
    """Points of all sources of a figure."""
    sources = {renderer.data_source for renderer in figure.renderers}
    return sum(max((len(column) for column in source.data.values()), default=0) for source in sources)


def test_the_leaderboard_shows_scores_with_the_spread_over_folds() -> None:
    data = data_of(search.leaderboard(search_of()))
    assert data["trial"] == ["3", "4", "2", "1", "0"]
    assert data["score"][0] == pytest.approx(0.73 - 0.05 / 9)
    assert data["low"][0] == pytest.approx(data["score"][0] - 0.011)
    assert data["high"][0] == pytest.approx(data["score"][0] + 0.011)
    assert data["color"] == [style.SECOND] + [style.ACCENT] * 4


def test_learning_curves_hold_every_point_and_mark_the_best() -> None:
    made = search.learning_curves(search_of())
    best = data_of(made, "learning_curves_best")
    assert best["resource"] == [1, 3, 9]
    assert set(best["trial"]) == {"3"}
    assert len(data_of(made, "learning_curves_others")["score"]) == 3 * 3 + 2


def test_no_figure_of_a_long_search_has_more_points_than_can_be_drawn() -> None:
    result = search_of(3000)
    for made in (search.leaderboard(result), search.learning_curves(result), *search.parameters(result).values()):
        assert 0 < n_points(made) <= style.MAX_POINTS


def test_parameters_that_varied_are_shown_and_the_scale_fits_their_values() -> None:
    made = search.parameters(search_of())
    assert list(made) == ["alpha", "penalty"]
    assert type(made["alpha"].x_scale).__name__ == "LogScale"
    assert made["penalty"].xaxis[0].major_label_overrides == {0: "l1", 1: "l2"}
    assert sorted(set(data_of(made["penalty"])["x"])) == [0, 1]


def test_a_parameter_of_some_candidates_only_is_drawn_for_them() -> None:
    result = search_of()
    trials = [replace(t, params={**t.params, "power": 2}) if t.id in "12" else t for t in result.trials]
    trials[1] = replace(trials[1], params={**trials[1].params, "power": 3})
    made = search.parameters(replace(result, trials=tuple(trials)))
    assert data_of(made["power"])["trial"] == ["2", "1"]


def test_a_curve_with_a_point_that_failed_is_drawn_without_it() -> None:
    result = search_of()
    first = result.trials[0]
    broken = replace(first, curve=(*first.curve, Point(27, math.nan)))
    made = search.learning_curves(replace(result, trials=(broken, *result.trials[1:])))
    assert not any(math.isnan(score) for score in data_of(made, "learning_curves_others")["score"])


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
    result = search_of()
    for made in (search.leaderboard(result), search.learning_curves(result), *search.parameters(result).values()):
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
