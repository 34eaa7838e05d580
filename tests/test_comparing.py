"""Runs are compared row by row where they can be, refused where they cannot, and it is said which."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskflow as flow
from daskflow.core.comparison import Pairing, Verdict, difference_text, holm
from daskflow.core.errors import SettingsError, StorageError
from daskflow.core.protocols import Score
from daskflow.data.predictions import Predictions
from daskflow.metrics import parse
from daskflow.workflow.pairing import independent
from tests.report_records import HOSTILE
from tests.run_folders import copies, make_run, row_hashes, scores, truth

ROWS = row_hashes(2000)
Y = truth(ROWS)
WORSE, BETTER = scores(Y, 3.0, 1), scores(Y, 2.4, 2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs on the same data and test rows, one of them better; the better one's rows stand in another order."""
    make_run(tmp_path, "worse", rows=ROWS, probability=WORSE)
    order = np.random.default_rng(5).permutation(len(ROWS))
    make_run(
        tmp_path,
        "better",
        rows=ROWS[order],
        probability=BETTER[order],
        settings={"model": {"kind": "logistic"}, "balance": {"class_weight": "balanced"}},
        versions={"scikit-learn": "1.8.0"},
        trials=5,
    )
    return tmp_path


def test_equal_test_rows_are_paired_by_what_is_in_them_whatever_their_order(runs: Path) -> None:
    # when two runs with the same test rows in other orders are compared
    found = flow.compare(runs / "worse", runs / "better")
    # then every row meets itself: the values are those of each run's own rows
    (other,) = found.against
    assert (other.pairing, other.n_rows) == (Pairing.SAME, len(ROWS))
    metric = parse("roc_auc")
    one = other.differences["roc_auc"]
    assert one.first.value == pytest.approx(metric.score(Y, WORSE))
    assert one.second.value == pytest.approx(metric.score(Y, BETTER))
    assert one.value == pytest.approx(one.second.value - one.first.value)
    assert one.verdict is Verdict.BETTER
    assert found.sentences[0].startswith("better is better than worse on roc_auc: +0.0")
    assert found.sentences[0].endswith("on the same 2,000 test rows.")


def test_copies_of_a_row_are_paired_one_by_one(runs: Path) -> None:
    # given that some rows stand twice, with the same content hash
    assert len(np.unique(ROWS)) < len(ROWS)
    assert copies(ROWS).max() > 0
    # then as many pairs are found as there are rows
    assert flow.compare(runs / "worse", runs / "better").against[0].n_rows == len(ROWS)


def test_a_paired_interval_is_narrower_than_that_of_two_unpaired_scores(tmp_path: Path) -> None:
    # given two models that err on the same rows
    close = np.clip(WORSE + 0.01 * np.random.default_rng(0).normal(size=len(Y)), 0, 1)
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "b", rows=ROWS, probability=close)
    make_run(tmp_path, "c", rows=ROWS, probability=close, has_predictions=False)
    # when one is compared with and one without its predictions
    paired, unpaired = flow.compare(*(tmp_path / name for name in "abc")).against
    # then the pairs know more
    widths = [one.differences["roc_auc"].high - one.differences["roc_auc"].low for one in (paired, unpaired)]
    assert widths[0] < widths[1] / 4
    assert unpaired.pairing is Pairing.NONE
    assert "c has no predictions.parquet" in unpaired.how


def test_a_metric_where_less_is_better_is_better_when_it_falls(runs: Path) -> None:
    one = flow.compare(runs / "worse", runs / "better").against[0].differences["log_loss"]
    assert one.value < 0
    assert one.verdict is Verdict.BETTER
    other = flow.compare(runs / "better", runs / "worse").against[0].differences["log_loss"]
    assert other.verdict is Verdict.WORSE


def test_runs_with_some_common_test_rows_are_compared_on_those_and_it_says_how_many(tmp_path: Path) -> None:
    make_run(tmp_path, "whole", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "part", rows=ROWS[:700], probability=BETTER[:700])
    found = flow.compare(tmp_path / "whole", tmp_path / "part")
    (other,) = found.against
    assert (other.pairing, other.n_rows) == (Pairing.COMMON, 700)
    assert other.differences["accuracy"].first.value == pytest.approx(float(((WORSE > 0.5) == Y)[:700].mean()))
    assert found.sentences[0].endswith("on the 700 test rows that both have.")


@pytest.mark.parametrize(("n_common", "reason"), [(0, "no test row in common"), (50, "only 50 test rows in common")])
def test_runs_with_hardly_a_common_row_are_not_paired_and_it_says_why(
    tmp_path: Path, n_common: int, reason: str
) -> None:
    others = row_hashes(2000, seed=9)
    mixed = np.concatenate([ROWS[:n_common], others[n_common:]])
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "b", rows=mixed, probability=scores(truth(mixed), 2.4, 4))
    found = flow.compare(tmp_path / "a", tmp_path / "b")
    (other,) = found.against
    assert other.pairing is Pairing.NONE
    assert reason in other.how
    assert found.sentences[0].endswith("each on its own test rows.")
    assert math.isfinite(other.differences["roc_auc"].low)


def test_common_rows_with_another_target_are_not_paired(tmp_path: Path) -> None:
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "b", rows=ROWS, probability=1 - WORSE, y=1 - Y)
    (other,) = flow.compare(tmp_path / "a", tmp_path / "b").against
    assert other.pairing is Pairing.NONE
    assert "2,000 of 2,000 rows have another target in b than in a" in other.how


def test_numbers_classes_and_decision_values_are_compared_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = len(ROWS)
    # given runs of a regression, of three classes, and of two with decision values instead of probabilities
    y = rng.normal(size=n)
    codes = (ROWS % np.uint64(3)).astype(np.int64)
    asked: dict[str, tuple[str, tuple[str, ...], Any, str, Any]] = {}
    for noise in (1.0, 0.5):
        numbers = y + noise * rng.normal(size=n)
        logits = 2.0 * np.eye(3)[codes] + 2 * noise * rng.normal(size=(n, 3))
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        decisions = (2 * Y - 1) + 2 * noise * rng.normal(size=n)
        asked |= {
            f"number{noise}": ("regression", (), y, "rmse", Predictions(numbers)),
            f"class{noise}": (
                "multiclass",
                ("a", "b", "c"),
                codes,
                "log_loss",
                Predictions(shares.argmax(1), shares, shares),
            ),
            f"score{noise}": ("binary", ("no", "yes"), Y, "roc_auc", Predictions((decisions > 0) * 1, None, decisions)),
        }
    for name, (task, classes, truths, metric, given_) in asked.items():
        options: dict[str, Any] = {"task": task, "classes": classes, "y": truths, "metrics": [metric]}
        make_run(tmp_path, name, rows=ROWS, predictions=given_, **options)
    for kind, metric in (("number", "rmse"), ("class", "log_loss"), ("score", "roc_auc")):
        # when the noisy one is compared with the other
        found = flow.compare(tmp_path / f"{kind}1.0", tmp_path / f"{kind}0.5")
        # then it is paired, worse, and its value is that of its report
        (other,) = found.against
        one = other.differences[metric]
        assert (other.pairing, one.verdict) == (Pairing.SAME, Verdict.BETTER), kind
        reported = [flow.open_run(tmp_path / f"{kind}{noise}").metrics[metric].value for noise in (1.0, 0.5)]
        assert [one.first.value, one.second.value] == pytest.approx(reported)


def test_weights_count_and_rows_of_one_unit_are_drawn_together(tmp_path: Path) -> None:
    # given rows that come in 40 groups which a model gets right or wrong as a whole
    group = np.arange(len(ROWS)) // 50
    right = np.random.default_rng(2).random(40)[group] < 0.6
    other = np.where(right, Y, 1 - Y).astype(float)
    weight = np.where(np.arange(len(ROWS)) % 2, 2.0, 1.0)
    for name, unit in (("rows", None), ("groups", group.astype(np.uint64))):
        for side, probability in (("a", WORSE), ("b", np.clip(other, 0.01, 0.99))):
            make_run(
                tmp_path / name,
                side,
                rows=ROWS,
                probability=probability,
                weight=weight,
                unit=unit,
                metrics=["accuracy"],
            )
    # when they are compared with and without their groups
    by_row, by_group = (
        flow.compare(tmp_path / name / "a", tmp_path / name / "b").against[0].differences["accuracy"]
        for name in ("rows", "groups")
    )
    # then the value is the weighted one, and groups make it less sure
    expected = np.average((WORSE > 0.5) == Y, weights=weight)
    assert by_row.first.value == pytest.approx(expected)
    assert by_group.value == pytest.approx(by_row.value)
    assert by_group.high - by_group.low > 2 * (by_row.high - by_row.low)


def test_runs_of_another_target_task_or_classes_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "price", target="price")
    make_run(tmp_path, "number", task="regression", classes=())
    make_run(tmp_path, "turned", classes=("yes", "no"))
    for name, text in (
        ("price", "price: its target is 'price', and that of a is 'late'"),
        ("number", "number: its task is 'regression', and that of a is 'binary'"),
        ("turned", "turned: its classes are yes, no, and those of a are no, yes"),
    ):
        with pytest.raises(SettingsError, match=text):
            flow.compare(tmp_path / "a", tmp_path / name)
    with pytest.raises(SettingsError, match="The same run is named twice"):
        flow.compare(tmp_path / "a", tmp_path / "a" / "0a1b2c3d4e")
    with pytest.raises(StorageError, match="is not a run folder"):
        flow.compare(tmp_path / "a", tmp_path / "nothing")


def test_it_says_what_differs_and_only_that(runs: Path) -> None:
    found = flow.compare(runs / "worse", runs / "better")
    assert {change.word: change.values for change in found.settings} == {
        "model.kind": ("sgd", "logistic"),
        "search.trials": (3, 5),
        "balance.class_weight": (None, "balanced"),
    }
    assert {change.word: change.values for change in found.versions} == {"scikit-learn": ("1.9.1", "1.8.0")}
    assert {change.word: change.values for change in found.parameters} == {"alpha": (0.01, 0.0001)}
    assert found.split == ()
    assert found.sentences[1:] == (
        "They differ in 3 settings: model.kind, search.trials, balance.class_weight.",
        "Both were fitted on the same data (6,170 rows).",
    )


def test_columns_that_came_went_or_changed_are_named(tmp_path: Path) -> None:
    def column(name: str, kind: str = "double", role: str = "feature") -> dict[str, Any]:
        return {"name": name, "kind": "numeric", "type": kind, "role": role}

    make_run(tmp_path, "a", columns=[column("x"), column("gone"), column("n", "int64"), column("g")])
    make_run(
        tmp_path,
        "b",
        columns=[column("x"), column("new"), column("n", "double"), column("g", role="group")],
        fingerprint="0" * 24,
        n_rows=9_000,
    )
    (change,) = flow.compare(tmp_path / "a", tmp_path / "b").data
    assert (change.added, change.removed) == (("new",), ("gone",))
    assert change.retyped == (("n", "int64", "double"),)
    assert change.reassigned == (("g", "feature", "group"),)
    assert change.sentence("a") == (
        "b has other data than a: 9,000 rows where a has 6,170; 1 column more (new); 1 column fewer (gone); "
        "another type of 1 column (n: int64 -> double); another role of 1 column (g: feature -> group)."
    )


def test_several_runs_are_compared_with_the_baseline_and_verdicts_count_that(tmp_path: Path) -> None:
    # given a run that is a little better, and others that are the same
    make_run(tmp_path, "base", rows=ROWS, probability=WORSE)
    for number in range(6):
        make_run(tmp_path, f"r{number}", rows=ROWS, probability=scores(Y, 2.85, 10 + number))
    names = [tmp_path / f"r{number}" for number in range(6)]
    # when they are compared with a baseline that is named last
    found = flow.compare(*names, baseline=tmp_path / "base")
    # then it is the first, and p-values are adjusted
    assert found.labels[0] == "base"
    assert len(found.against) == 6
    for other in found.against:
        one = other.differences["roc_auc"]
        assert one.p_adjusted >= one.p
        if one.p_adjusted >= 0.05:
            assert one.verdict is Verdict.ALIKE
    assert any("Holm" in note for note in found.notes)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_keeps_their_order_and_bounds_the_smallest_by_bonferroni(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(after >= before for before, after in zip(ps, adjusted, strict=True))
    order = np.argsort(ps, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert min(adjusted) == pytest.approx(min(1.0, len(ps) * min(ps)))


def test_the_interval_of_two_independent_scores_covers_the_true_difference_95_times_of_100() -> None:
    # given two proportions of 400 rows each, with Wilson's intervals
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(2000):
        given_scores = []
        for share in (0.80, 0.84):
            p, n, z = rng.binomial(400, share) / 400, 400, 1.96
            middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
            given_scores.append(Score(p, middle - half / (1 + z * z / n), middle + half / (1 + z * z / n)))
        _, low, high = independent(*given_scores)
        covered += low <= 0.04 <= high
    # then the difference is between the bounds as often as they say
    assert 0.94 <= covered / 2000 <= 0.965


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e5))
def test_a_difference_is_written_as_exactly_as_it_is_known(value: float, half: float) -> None:
    text = difference_text(value, value - half, value + half)
    shown = float(text.split()[0].replace(",", ""))
    assert abs(shown - value) <= max(0.051 * half, 1e-8)


def test_the_frame_has_a_row_for_each_run_and_metric(runs: Path) -> None:
    found = flow.compare(runs / "worse", runs / "better", metrics=["accuracy", "roc_auc"])
    frame = found.to_frame()
    assert frame["metric"].tolist() == ["accuracy", "roc_auc"]
    assert (frame["difference"] == frame["second"] - frame["first"]).all()
    assert found.metric == "accuracy"
    with pytest.raises(SettingsError, match="no run was tested by 'acuracy'; did you mean 'accuracy'"):
        flow.compare(runs / "worse", runs / "better", metrics=["acuracy"])


def test_a_comparison_does_not_change(runs: Path) -> None:
    found = flow.compare(runs / "worse", runs / "better")
    with pytest.raises(AttributeError):
        found.metric = "f1"  # type: ignore[misc]


def test_its_plain_values_are_json(runs: Path) -> None:
    found = json.loads(json.dumps(flow.compare(runs / "worse", runs / "better").dump()))
    assert found["test"][0]["metrics"]["roc_auc"]["verdict"] == "better"
    assert found["runs"][0]["label"] == "worse"


def test_a_run_that_was_not_tested_is_compared_by_what_it_has(tmp_path: Path) -> None:
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    make_run(tmp_path, "b", status="interrupted")
    found = flow.compare(tmp_path / "a", tmp_path / "b")
    assert found.against[0].pairing is Pairing.UNTESTED
    assert found.sentences[0].startswith("No run has test metrics that another one has too")
    assert any("Not finished: b" in note for note in found.notes)


def test_the_page_has_the_numbers_and_every_hostile_text_is_text(tmp_path: Path) -> None:
    # given runs whose settings, columns and labels are markup
    space = {"search": {"kind": "random", "metric": "roc_auc", "trials": 3, "space": {HOSTILE: [1]}}}
    make_run(tmp_path, "a", rows=ROWS, probability=WORSE)
    columns = [{"name": HOSTILE, "kind": "numeric", "type": "double", "role": "feature"}]
    make_run(tmp_path, "b", rows=ROWS, probability=BETTER, settings=space, columns=columns, fingerprint=HOSTILE)
    # when the page is written
    found = flow.compare(tmp_path / "a", tmp_path / "b")
    page = found.write(tmp_path / "page.html").read_text()
    # then what it shows is what was found, and no name is markup
    assert str(found.against[0].differences["roc_auc"]) in page
    assert "<img" not in page
    assert "<script>window.owned" not in page
    assert "&lt;img src=x onerror=" in page
    assert "geheim" not in page
    for part in ('id="test"', 'id="settings"', 'id="cost"', "gain_shares", "compared_roc", "compared_calibration"):
        assert part in page


def test_the_figure_of_differences_shows_what_was_found_turned_so_that_more_is_better(runs: Path) -> None:
    from daskflow.reports.comparison import _gains

    found = flow.compare(runs / "worse", runs / "better")
    (picture,) = _gains(found)
    data = picture.figure.select_one({"name": "gain_shares_data"}).data
    by_name = dict(zip(data["what"], data["value"], strict=True))
    assert by_name["roc_auc"] == found.against[0].differences["roc_auc"].value
    assert by_name["log_loss"] == -found.against[0].differences["log_loss"].value
