"""Permutation importance: scikit-learn's numbers on source columns, with intervals that hold, bounded and resumable."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import daskflow as flow
from daskflow.core.errors import DataError
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.explain import associated_groups, permutation_importance
from daskflow.explain.permutation import judge_in, parts_of, shuffled_loss
from tests.explained import Formula, Piped, double_a_plus_b, normal_rows, numbers

RMSE = flow.metrics.parse("rmse")


def found_of(predictor: Any, rows: Any, y: Any, metric: Any = RMSE, **options: Any) -> dict[str, Any]:
    return permutation_importance(
        predictor, rows, y, metric, **{"seed": 7, "executor": InlineExecutor(), "repeats": 2, **options}
    )


def values_of(found: dict[str, Any]) -> dict[str, float]:
    return {each["column"]: each["value"] for each in found["columns"]}


def test_of_the_same_shuffles_it_is_scikit_learns_to_the_last_digits() -> None:
    # given a pipeline over numbers and categories
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": random.normal(size=300), "c": random.choice(["u", "v", "w"], 300), "z": random.random(300)}
    )
    codes = (frame["x"] + (frame["c"] == "u") + random.normal(size=300) > 0.3).astype(int).to_numpy()
    encode = ColumnTransformer([("n", StandardScaler(), ["x", "z"]), ("c", OneHotEncoder(), ["c"])])
    pipeline = make_pipeline(encode, LogisticRegression()).fit(frame, codes)
    expected = sklearn_importance(pipeline, frame, codes, scoring="roc_auc", n_repeats=4, random_state=3)
    # when the columns are shuffled as scikit-learn does it: the same way each, every shuffle on top of the last
    source = np.random.RandomState(np.random.RandomState(3).randint(np.iinfo(np.int32).max + 1))
    step, orders = np.arange(300), [np.arange(300)]
    for _ in range(4):
        source.shuffle(step)
        orders.append(orders[-1][step])
    predictor, rows = Piped(pipeline, ("no", "yes")), pa.Table.from_pandas(frame)
    metric = flow.metrics.parse("roc_auc").for_task("binary", 2)
    part, n_parts = parts_of(300, None, 0)
    judged = judge_in(orders[1:], predictor, rows, codes, None, metric, part, n_parts, predictor.predictions(rows))
    # then
    found = [shuffled_loss(judged, [name])[0] for name in frame.columns]
    assert np.allclose(found, expected.importances_mean, rtol=0, atol=1e-12)


def test_planted_importances_lie_in_their_intervals_and_the_useless_column_s_holds_zero() -> None:
    # given a model that is right but for noise of deviation 1: shuffling a adds 2 * 2**2 to its mean square, b 2 * 1
    rows = normal_rows(4000, "a", "b", "useless")
    y = double_a_plus_b(rows) + np.random.default_rng(1).normal(size=4000)
    # when
    found = found_of(Formula(double_a_plus_b), rows, y, repeats=3)
    # then
    planted = {"a": 3.0 - 1.0, "b": np.sqrt(3.0) - 1.0, "useless": 0.0}
    assert [each["column"] for each in found["columns"]] == ["a", "b", "useless"]
    for each in found["columns"]:
        assert each["low"] - 1e-9 <= planted[each["column"]] <= each["high"] + 1e-9
    assert found["columns"][0]["high"] - found["columns"][0]["low"] < 0.3


def test_a_column_of_noise_that_a_model_learned_to_use_is_not_said_to_matter() -> None:
    # given a model that weighs a useless column a little
    rows = normal_rows(1500, "a", "noise", seed=3)
    y = numbers(rows, "a") + np.random.default_rng(2).normal(size=1500)

    def overfitted(table: pa.Table) -> Any:
        return numbers(table, "a") + 0.05 * numbers(table, "noise")

    # when
    noise = next(each for each in found_of(Formula(overfitted), rows, y, repeats=5)["columns"] if each["column"] != "a")
    # then
    assert noise["low"] < 0 < noise["high"]


@pytest.mark.slow
def test_intervals_hold_the_true_importance_in_about_95_of_100_samples() -> None:
    # given importances of very many rows
    def answers(table: pa.Table) -> Any:
        return numbers(table, "a") * (1 + numbers(table, "b"))

    def draw(n_rows: int, seed: int) -> tuple[pa.Table, Any]:
        rows = normal_rows(n_rows, "a", "b", seed=seed)
        return rows, answers(rows) + np.random.default_rng(seed + 10_000).normal(size=n_rows)

    truth = values_of(found_of(Formula(answers), *draw(200_000, 10**6)))
    # when 150 small samples are drawn
    held = {"a": 0, "b": 0}
    for seed in range(150):
        for each in found_of(Formula(answers), *draw(150, seed), repeats=5, seed=seed)["columns"]:
            held[each["column"]] += each["low"] <= truth[each["column"]] <= each["high"]
    # then
    assert all(count >= 0.88 * 150 for count in held.values()), held


def test_a_metric_that_is_better_when_smaller_and_one_that_is_better_when_larger_agree_on_what_matters() -> None:
    rows = normal_rows(800, "a", "b")
    chance = 1 / (1 + np.exp(-double_a_plus_b(rows)))
    codes = (np.random.default_rng(0).random(800) < chance).astype(int)
    predictor = Formula(lambda table: 1 / (1 + np.exp(-double_a_plus_b(table))), ("no", "yes"))
    for name in ("roc_auc", "log_loss", "accuracy"):
        found = values_of(found_of(predictor, rows, codes, flow.metrics.parse(name)))
        assert found["a"] > found["b"] > 0, name


def test_weights_count_in_the_metric() -> None:
    # given weights, and shuffles that can be done again
    rows, y = normal_rows(300, "a", "b"), np.random.default_rng(5).normal(size=300)
    weight = np.random.default_rng(6).random(300)
    predictor = Formula(double_a_plus_b)
    order = np.random.default_rng(8).permutation(300)
    judged = judge_in([order], predictor, rows, y, weight, RMSE, *parts_of(300, None, 0), predictor.predictions(rows))
    # when
    value, _ = shuffled_loss(judged, ["b"])
    # then
    before, after = double_a_plus_b(rows), 2 * numbers(rows, "a") + numbers(rows, "b")[order]
    assert value == pytest.approx(
        root_mean_squared_error(y, after, sample_weight=weight)
        - root_mean_squared_error(y, before, sample_weight=weight)
    )


def test_rows_of_one_unit_are_no_news_to_each_other() -> None:
    # given rows that stand there five times each
    rows = normal_rows(200, "a", "b")
    y = double_a_plus_b(rows) + np.random.default_rng(0).normal(size=200)
    five = pa.concat_tables([rows] * 5)
    unit = np.tile(np.arange(200), 5)

    def width(found: dict[str, Any]) -> float:
        return float(found["columns"][0]["high"] - found["columns"][0]["low"])

    # when, then copies make the interval narrower only where nobody says that they are copies
    once = width(found_of(Formula(double_a_plus_b), rows, y, repeats=5))
    told = width(found_of(Formula(double_a_plus_b), five, np.tile(y, 5), unit=unit, repeats=5))
    untold = width(found_of(Formula(double_a_plus_b), five, np.tile(y, 5), repeats=5))
    assert untold < 0.7 * told
    assert 0.5 * once < told < 2 * once


def test_columns_that_stand_in_for_each_other_are_named_and_can_be_shuffled_together() -> None:
    # given a number in two units, and a model that uses both
    random = np.random.default_rng(0)
    km = random.normal(size=1000)
    rows = pa.table({"km": km, "miles": km / 1.609, "age": random.normal(size=1000)})
    predictor = Formula(lambda table: numbers(table, "km") + 1.609 * numbers(table, "miles"))
    # when
    alone = found_of(predictor, rows, 2 * km)
    groups = associated_groups(rows)
    together = found_of(predictor, rows, 2 * km, groups=groups)
    # then
    assert alone["associated"] == [["km", "miles", 1.0]]
    assert groups == {"km + miles": ["km", "miles"]}
    assert [each["column"] for each in together["columns"]] == ["km + miles", "age"]
    assert together["columns"][0]["members"] == ["km", "miles"]
    assert values_of(together)["km + miles"] > 1.9 * values_of(alone)["km"] > 0


def test_categories_go_together_with_categories_and_with_numbers() -> None:
    random = np.random.default_rng(1)
    code = random.integers(0, 4, 800)
    rows = pa.table(
        {
            "code": code,
            "name": pa.array(np.array(["a", "b", "c", "d"])[code]).dictionary_encode(),
            "other": random.choice(["x", "y"], 800),
            "constant": np.ones(800),
            "missing": pa.nulls(800),
        }
    )
    assert associated_groups(rows) == {"code + name": ["code", "name"]}


def test_it_is_the_same_on_a_cluster_from_a_file_and_for_fewer_columns(client: Any, tmp_path: Path) -> None:
    # given rows in memory, and the same in a file
    rows = normal_rows(500, "a", "b", "c")
    y = double_a_plus_b(rows)
    with pa.ipc.new_file(tmp_path / "rows.arrow", rows.schema) as file:
        file.write_table(rows, max_chunksize=90)
    # when
    here = found_of(Formula(double_a_plus_b), rows, y)
    there = found_of(Formula(double_a_plus_b), tmp_path / "rows.arrow", y, executor=ClientExecutor(client))
    fewer = found_of(Formula(double_a_plus_b), rows, y, columns=["b"])
    # then
    assert here["columns"] == there["columns"]
    assert fewer["columns"] == [each for each in here["columns"] if each["column"] == "b"]


class DyingOnce(Formula):
    """Ends its process the first time that it sees shuffled rows."""

    flag: Path
    first: float

    def predictions(self, table: pa.Table) -> Any:
        if table["a"][0].as_py() != self.first and not self.flag.exists():
            self.flag.touch()
            os._exit(1)
        return super().predictions(table)


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing_but_time(tmp_path: Path) -> None:
    # given a cluster, and a model that kills the worker that holds the rows
    from distributed import Client, LocalCluster

    rows = normal_rows(200, "a", "b", "c")
    y = double_a_plus_b(rows)
    dying = DyingOnce(double_a_plus_b)
    dying.flag, dying.first = tmp_path / "died", rows["a"][0].as_py()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        # when
        found = found_of(dying, rows, y, executor=ClientExecutor(client))
    # then
    assert dying.flag.exists()
    assert found["left_out"] == []
    assert found["columns"] == found_of(Formula(double_a_plus_b), rows, y)["columns"]


def test_columns_that_have_a_record_are_not_computed_again_after_a_kill() -> None:
    # given a run that is killed when two of four columns are recorded
    rows = normal_rows(300, "a", "b", "c", "d")
    y = double_a_plus_b(rows)
    kept: dict[str, Any] = {}

    def record(each: Any) -> None:
        kept[each["column"]] = each
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found_of(Formula(double_a_plus_b), rows, y, record=record)
    # when it continues
    predictor = Formula(double_a_plus_b)
    later: list[str] = []
    found = found_of(predictor, rows, y, earlier=kept, record=lambda each: later.append(each["column"]))
    # then only the other two were shuffled, and all is as if nothing had happened
    assert len(kept) == 2
    assert set(later) == {"a", "b", "c", "d"} - set(kept)
    assert len(predictor.asked) == 1 + 2 * 2
    undisturbed = found_of(Formula(double_a_plus_b), rows, y)
    assert found["columns"] == undisturbed["columns"]


def test_when_the_time_is_over_nothing_new_begins_and_the_promising_columns_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a model that takes a second for each answer, by a clock of its own
    clock = [0.0]
    monkeypatch.setattr("daskflow.explain.bounded.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(table: pa.Table) -> Any:
        clock[0] += 1.0
        return double_a_plus_b(table)

    rows = normal_rows(300, "d", "c", "b", "a")
    # when there are 4 seconds: one for the untouched rows, two for a, two for b
    found = found_of(Formula(slow), rows, double_a_plus_b(rows), seconds=4.0)
    # then
    assert sorted(values_of(found)) == ["a", "b"]
    assert sorted(found["left_out"]) == ["c", "d"]
    assert found["seconds"] == 5.0
    assert any("2 of 4 columns" in note for note in found["notes"])


def test_a_column_that_the_model_chokes_on_is_left_out_and_a_sentence_says_why() -> None:
    rows = normal_rows(200, "a", "b")
    first = numbers(rows, "b")[0]

    def picky(table: pa.Table) -> Any:
        if numbers(table, "b")[0] != first:
            raise ValueError("b begins otherwise")
        return double_a_plus_b(table)

    found = found_of(Formula(picky), rows, double_a_plus_b(rows))
    assert list(values_of(found)) == ["a"]
    assert found["left_out"] == ["b"]
    assert found["notes"] == ["Importance of 'b' could not be computed: ValueError: b begins otherwise"]
    # and when every column fails, that is an error
    with pytest.raises(ValueError, match="b begins otherwise"):
        found_of(Formula(picky), rows, double_a_plus_b(rows), columns=["b"])


HOSTILE = ["", " ", "a\nb", "</script><script>alert(1)</script>", "a:b", "列", "'; drop table", "x" * 300, "{0}", "%s"]


def test_hostile_column_names_are_names() -> None:
    rows = normal_rows(200, *HOSTILE)
    predictor = Formula(lambda table: numbers(table, HOSTILE[3]))
    found = found_of(predictor, rows, numbers(rows, HOSTILE[3]), seconds=None)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sorted(values_of(found)) == sorted(HOSTILE)
    assert found["columns"][0]["column"] == HOSTILE[3]


def test_a_metric_that_is_not_defined_gives_no_numbers_and_a_sentence() -> None:
    rows = normal_rows(50, "a", "b")
    predictor = Formula(lambda table: 1 / (1 + np.exp(-double_a_plus_b(table))), ("no", "yes"))
    found = found_of(predictor, rows, np.ones(50, dtype=int), flow.metrics.parse("roc_auc"))
    assert found["baseline"] is None
    assert set(values_of(found).values()) == {None}
    assert "not defined" in found["notes"][0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"columns": ["aa"]}, "There is no column 'aa' to explain"),
        ({"columns": ["a", "a"]}, "stand twice: a"),
        ({"groups": {"b": ["a"]}}, "'b' is the name of a column that is not in the group"),
        ({"groups": {"g": ["q"]}}, "there is no column 'q'"),
        ({"groups": {"g": []}}, "'g' has no columns"),
        ({"weight": [1.0]}, "weight has 1 values, and there are 20 rows"),
        ({"repeats": 0}, "repeats should be at least 1"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], sentence: str) -> None:
    rows = normal_rows(20, "a", "b")
    with pytest.raises(DataError, match=sentence):
        found_of(Formula(double_a_plus_b), rows, np.zeros(20), **options)


def test_scores_that_a_model_does_not_give_are_an_error_at_once() -> None:
    rows = normal_rows(20, "a", "b")
    with pytest.raises(DataError, match="gives no probabilities"):
        found_of(Formula(double_a_plus_b), rows, np.zeros(20), flow.metrics.parse("log_loss"))
