"""A run's evaluation: what is judged, by which rows, and that a kill or another cluster changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import daskflow as flow
from daskflow.core.errors import SettingsError
from daskflow.workflow.kept_predictions import copies_of


def table(n_rows: int = 3_000, seed: int = 5) -> pd.DataFrame:
    """Clients of two regions, one of which answers to something else."""
    draw = np.random.default_rng(seed)
    region = draw.choice(["north", "south", "west"], n_rows, p=[0.5, 0.3, 0.2])
    income, age, noise = draw.normal(size=n_rows), draw.integers(18, 80, n_rows), draw.normal(size=n_rows)
    score = 1.5 * income - 0.02 * (age - 45) + np.where(region == "west", -3.0 * income, 0.0)
    late = score + draw.logistic(size=n_rows) > 0.8
    sex = draw.choice(["f", "m"], n_rows)
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, n_rows), "D")
    return pd.DataFrame(
        {"income": income, "age": age, "noise": noise, "region": region, "sex": sex, "day": day, "late": late}
    )


def workflow(frame: pd.DataFrame, **changes: Any) -> flow.Workflow:
    """A small one."""
    settings: dict[str, Any] = {
        "data": flow.sources.Frame(frame=frame, target="late", drop=["sex", "day"]),
        "split": {"test": 0.3, "folds": 3},
        "model": {"kind": "logistic"},
        "search": {"kind": "random", "trials": 2, "metric": "roc_auc"},
        "metrics": ["roc_auc", "log_loss", "brier", "accuracy"],
        "cluster": "inline",
        "cache": "none",
        "evaluation": {"explain_rows": 400, "repeats": 2, "replicates": 100},
    }
    return flow.Workflow(**{**settings, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> flow.Run:
    """A run with a decision and slices."""
    made = workflow(
        table(),
        decision={"calibrate": "sigmoid", "costs": [[0, 1], [4, 0]]},
        evaluation={
            "slices": ["region", "sex", "age"],
            "explain_rows": 400,
            "repeats": 2,
            "replicates": 100,
            "learning_curve": True,
        },
    )
    return made.run(tmp_path_factory.mktemp("runs"))


def test_metrics_are_scikit_learns_on_the_kept_predictions(run: flow.Run) -> None:
    kept = pq.read_table(run.path / "predictions.parquet").to_pandas()
    assert run.metrics["roc_auc"].value == pytest.approx(roc_auc_score(kept["y"], kept["probability"]), abs=1e-9)
    assert run.metrics["log_loss"].value == pytest.approx(log_loss(kept["y"], kept["probability"]), abs=1e-9)
    assert run.metrics["brier"].value == pytest.approx(brier_score_loss(kept["y"], kept["probability"]), abs=1e-9)
    assert run.metrics["accuracy"].value == pytest.approx((kept["y"] == kept["label"]).mean(), abs=1e-12)


def test_kept_predictions_name_every_test_row_once(run: flow.Run) -> None:
    kept = pq.read_table(run.path / "predictions.parquet")
    rows = kept.select(["row", "copy"]).to_pandas()
    assert len(rows) == run.evaluation.n_rows
    assert not rows.duplicated().any()
    told = json.loads(kept.schema.metadata[b"daskflow"])
    assert told == {"target": "late", "task": "binary", "classes": ["False", "True"]}


def test_the_decision_is_that_of_the_model_folder(run: flow.Run) -> None:
    model, told = run.model, run.evaluation.details["decision"]
    assert told["source"] == "out-of-fold"
    assert told["threshold"]["rows"] == 2_100
    assert model.decision.threshold == pytest.approx(told["threshold"]["value"])
    frame = table()
    said = model.predict_proba(frame)[True]
    assert (model.predict(frame) == (said >= model.decision.threshold)).all()


def test_a_threshold_by_costs_costs_less_on_the_rows_it_was_chosen_by(run: flow.Run) -> None:
    threshold = run.evaluation.details["decision"]["threshold"]
    assert 0.05 < threshold["value"] < 0.45  # a miss costs four false alarms: one answers yes early
    assert run.evaluation.details["thresholds"]["chosen"] == pytest.approx(threshold["value"])


def test_slices_show_a_dropped_column_and_find_the_region_that_is_worse(run: flow.Run) -> None:
    details = run.evaluation.details
    assert [column["column"] for column in details["slices"]["columns"]] == ["region", "sex", "age"]
    worst = details["worst_slices"][0]["where"]
    assert {"column": "region", "group": "west"} in worst
    assert "sex" not in run.model.schema.names


def test_what_matters_is_important_and_noise_is_not(run: flow.Run) -> None:
    found = {each["column"]: each for each in run.evaluation.details["importance"]["columns"]}
    assert found["income"]["low"] > 0.02
    assert found["noise"]["low"] <= 0.0 <= found["noise"]["high"] + 0.01
    assert run.evaluation.details["dependence"][0]["column"] == "income"


def test_the_learning_curve_ends_with_all_rows_of_the_first_fold(run: flow.Run) -> None:
    curve = run.evaluation.details["learning_curve"]
    assert curve["rows"] == sorted(curve["rows"])
    assert len(curve["rows"]) >= 2
    first = next(trial for trial in run.trials if trial.id == run.best.id).curve[-1].fold_scores[0]
    assert curve["value"][-1] == pytest.approx(first, abs=1e-9)


def test_nothing_of_the_evaluation_stays_but_its_results(run: flow.Run) -> None:
    assert not (run.path / "judging").exists()


def test_the_same_evaluation_on_every_cluster_and_however_rows_were_cut(run: flow.Run, tmp_path: Path) -> None:
    # given the same table, in another order and in three partitions, with threads
    frame = table().sample(frac=1.0, random_state=3)
    settings = run.record().workflow
    again = workflow(
        frame,
        data=flow.sources.Frame(frame=frame, target="late", drop=["sex", "day"], npartitions=3),
        decision=settings["decision"],
        evaluation=settings["evaluation"],
        cluster={"kind": "threads", "workers": 2},
    ).run(tmp_path)
    # then
    ours, theirs = run.evaluation.details, again.evaluation.details
    assert again.metrics == run.metrics
    for word in ("slices", "worst_slices", "decision", "thresholds", "learning_curve"):
        assert ours[word] == theirs[word], word
    assert [each["value"] for each in ours["importance"]["columns"]] == pytest.approx(
        [each["value"] for each in theirs["importance"]["columns"]], abs=1e-9
    )


def test_a_time_role_gives_the_score_over_time_and_groups_widen_intervals(tmp_path: Path) -> None:
    frame = table(1_200)
    frame = pd.concat([frame, frame.assign(age=frame["age"] + 1)], ignore_index=True)
    frame["client"] = np.tile(np.arange(1_200), 2)
    made = workflow(
        frame,
        data=flow.sources.Frame(frame=frame, target="late", group="client", time="day", drop=["sex"]),
        split={"kind": "group", "test": 0.3, "folds": 3},
        evaluation={"explain": False, "replicates": 300, "learning_curve": False, "slices": False},
    )
    grouped = made.run(tmp_path)
    over_time = grouped.evaluation.details["over_time"]
    assert over_time["column"] == "day"
    assert sum(over_time["rows"]) == grouped.evaluation.n_rows
    kept = pq.read_table(grouped.path / "predictions.parquet").to_pandas()
    assert kept.groupby("unit").size().max() == 2
    alone = flow.evaluate(grouped.model, frame, metrics=["accuracy"])["accuracy"]
    together = flow.evaluate(grouped.model, frame, metrics=["accuracy"], group="client")["accuracy"]
    assert together.high - together.low > 1.2 * (alone.high - alone.low)


def test_what_leaks_and_what_moved_is_said_at_once(tmp_path: Path) -> None:
    frame = table(2_000).sort_values("day", ignore_index=True)
    frame["paid_late"] = frame["late"].astype(int) * 10.0 + np.random.default_rng(0).normal(size=len(frame))
    frame["moves"] = np.arange(len(frame)) / 100.0
    heard: list[str] = []
    made = workflow(
        frame,
        data=flow.sources.Frame(frame=frame, target="late", time="day", drop=["sex"]),
        split={"kind": "time", "test": 0.3, "folds": 2},
        evaluation={"explain": False, "slices": False, "learning_curve": False},
    )
    made.run(tmp_path, listener=lambda event: heard.append(str(event)))
    assert any("paid_late" in text for text in heard)
    assert any("moves" in text and "differs between training and test rows" in text for text in heard)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decision": {"threshold": 1.5}}, "between 0 and 1"),
        ({"decision": {"threshold": "cost"}}, "needs costs"),
        ({"decision": {"calibrate": "platt"}}, "calibrate"),
        ({"decision": {"costs": [[0, 0], [0, 0]]}}, "costs"),
        ({"evaluation": {"slices": ["late"]}}, "is the target"),
        ({"evaluation": {"dependence": -1}}, "dependence"),
        ({"evaluation": {"slices": ["regoin"]}}, "did you mean 'region'"),
        ({"evaluation": {"replicates": -1}}, "replicates"),
    ],
)
def test_mistakes_of_the_two_tables_are_found_before_anything_runs(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        workflow(table(50), **changes).check()


def test_a_threshold_for_a_number_is_refused(tmp_path: Path) -> None:
    frame = table(300)
    made = workflow(
        frame,
        data=flow.sources.Frame(frame=frame, target="income", drop=["sex", "day"]),
        metrics=["rmse"],
        search="none",
        model={"kind": "ridge"},
        decision={"calibrate": "isotonic"},
    )
    with pytest.raises(SettingsError, match="calibrate is for classes"):
        made.run(tmp_path)


def test_settings_that_ask_nothing_are_no_part_of_the_id() -> None:
    frame = table(50)
    usual = workflow(frame, evaluation=None)
    assert workflow(frame, evaluation={}, decision={}).id == usual.id
    assert workflow(frame, evaluation=None, decision={"calibrate": "isotonic"}).id != usual.id
    assert workflow(frame, evaluation={"slices": ["region"]}).id != usual.id


def test_equal_rows_are_numbered() -> None:
    assert copies_of(np.array([3, 1, 3, 3, 1], dtype=np.uint64)).tolist() == [0, 0, 1, 2, 1]
    assert copies_of(np.array([], dtype=np.uint64)).tolist() == []


def test_a_run_killed_while_it_explains_neither_refits_nor_explains_again(tmp_path: Path) -> None:
    # given a run that was stopped when two columns were explained
    made = workflow(table(900), evaluation={"explain_rows": 200, "repeats": 2, "shap": False})

    class Stop(BaseException):
        """A kill."""

    import daskflow.workflow.why as why

    seen: list[str] = []
    whole = why.permutation_importance

    def cut(*arguments: Any, record: Any, **options: Any) -> Any:
        def stopping(found: Any) -> None:
            record(found)
            seen.append(found["column"])
            if len(seen) == 2:
                raise Stop

        return whole(*arguments, record=stopping, **options)

    why.permutation_importance = cut
    try:
        with pytest.raises(Stop):
            made.run(tmp_path)
    finally:
        why.permutation_importance = whole
    # when
    run = made.run(tmp_path)
    # then
    undisturbed = made.run(tmp_path / "other")
    stages = [record["stage"] for record in run._records if record["record"] == "stage"]
    explained = [(record["what"], record["column"]) for record in run._records if record["record"] == "explained"]
    assert stages.count("refit") == 1
    assert len(explained) == len(set(explained))
    values = [
        {e["column"]: e["value"] for e in r.evaluation.details["importance"]["columns"]} for r in (run, undisturbed)
    ]
    assert values[0] == values[1]


def test_an_estimator_without_probabilities_is_refused_a_decision_before_the_search(tmp_path: Path) -> None:
    made = workflow(
        table(300),
        model={"kind": "linear_svm"},
        metrics=["roc_auc", "accuracy"],
        decision={"calibrate": "isotonic"},
    )
    with pytest.raises(SettingsError, match="need probabilities, and LinearSVC gives none"):
        made.run(tmp_path)
    assert not list(tmp_path.glob("*/*/matrices"))


def test_few_rows_of_one_class_shorten_the_learning_curve_and_nothing_else(tmp_path: Path) -> None:
    frame = table(4_000)
    frame["late"] = np.arange(4_000) % 250 == 0
    frame["income"] += 3.0 * frame["late"]
    made = workflow(
        frame,
        split={"kind": "stratified", "test": 0.3, "folds": 2},
        cache={"kind": "none", "block_rows": 200},
        evaluation={"explain": False, "slices": False, "learning_curve": True, "replicates": 50},
    )
    assert made.run(tmp_path).status == "done"


def test_a_time_of_numbers_has_no_calendar(tmp_path: Path) -> None:
    frame = table(800).drop(columns="day")
    frame["hour"] = np.arange(800) / 3.0
    made = workflow(
        frame,
        data=flow.sources.Frame(frame=frame, target="late", time="hour", drop=["sex"]),
        split={"kind": "time", "test": 0.3, "folds": 2},
        evaluation={"explain": False, "slices": False, "learning_curve": False},
    )
    run = made.run(tmp_path)
    assert "over_time" not in run.evaluation.details


def test_a_metric_of_a_users_own_that_fails_costs_the_explanations_and_not_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import daskflow.workflow.why as why

    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no idea")

    monkeypatch.setattr(why, "permutation_importance", broken)
    run = workflow(table(400), evaluation={"explain_rows": 100, "repeats": 1}).run(tmp_path)
    assert run.model is not None
    assert any("Importances are left out. RuntimeError: no idea" in note for note in run.evaluation.details["notes"])


def test_where_there_is_no_time_to_explain_a_run_ends_well_and_says_what_is_left_out(tmp_path: Path) -> None:
    run = workflow(table(400), evaluation={"explain_seconds": 0.0}).run(tmp_path)
    details = run.evaluation.details
    assert run.report_path.exists()
    assert not details["importance"]["columns"]
    assert "shap" not in details
    assert any("SHAP values are left out" in note for note in details["notes"])


def test_a_decision_for_a_task_of_numbers_is_a_mistake_of_the_file() -> None:
    data = flow.sources.Frame(frame=table(50), target="income", task="regression", drop=["sex", "day"])
    with pytest.raises(SettingsError, match="the task is regression"):
        workflow(table(50), data=data, metrics=["rmse"], search="none", decision={"calibrate": "sigmoid"})
