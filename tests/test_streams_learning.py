"""A model that learns from the stream it answers: what it learns, what it refuses, and how it goes on after a kill."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

from daskflow.bundle import Model, load_model
from daskflow.bundle.rows import rows_of
from daskflow.core.errors import SettingsError
from daskflow.data.schema import Schema, Target, Task
from daskflow.preprocess import Preprocessor
from daskflow.streams.champion_swaps import MemoryBook
from daskflow.streams.learning import Learner
from daskflow.streams.learning_rows import LABELS
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.records import Record

CITIES = ("Oslo", "Rome", "Lima")


def rows_with_truth(n_rows: int, seed: int, *, is_turned: bool = False) -> list[dict[str, Any]]:
    """Rows whose class goes with x and the city; turned, it goes the other way."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=n_rows), random.normal(size=n_rows)
    city = random.integers(0, 3, n_rows)
    score = (-1.0 if is_turned else 1.0) * (2.0 * x + (city == 0)) + 0.5 * random.normal(size=n_rows)
    return [
        {
            "id": place,
            "x": float(x[place]),
            "z": float(z[place]),
            "city": CITIES[city[place]],
            "y": label,
            "t": 2 * x[place],
        }
        for place, label in enumerate(np.where(score > 0, "yes", "no").tolist())
    ]


def model_of(estimator: Any, rows: Sequence[Mapping[str, Any]], *, target: str = "y") -> Model:
    """A model that was trained on rows."""
    frame = pd.DataFrame(rows)
    features = frame[["x", "z", "city"]]
    preprocessor = Preprocessor(numeric=["impute", "scale"], columns={"city": ["onehot"]}).fit(features)
    import pyarrow as pa

    schema = Schema.of(pa.Table.from_pandas(features, preserve_index=False).schema)
    matrix = preprocessor.fitted_.matrix(rows_of(features, schema))
    if target == "y":
        estimator.fit(matrix, (frame["y"] == "yes").astype(int))
        told = Target("y", Task.BINARY, ("no", "yes"), (1, 1))
    else:
        estimator.fit(matrix, frame[target])
        told = Target(target, Task.REGRESSION)
    return Model(estimator, preprocessor.fitted_, schema, told, identity=f"{type(estimator).__name__}-1")


TRAINING = rows_with_truth(600, seed=1)
SGD = model_of(SGDClassifier(loss="log_loss", random_state=0), TRAINING)
QUICK = {"learning_rate": "constant", "eta0": 0.1}


def errors_of(answers: Sequence[Mapping[str, Any] | None], rows: Sequence[Mapping[str, Any]]) -> float:
    """Share of wrong answers."""
    wrong = [answer is None or answer["prediction"] != row["y"] for answer, row in zip(answers, rows, strict=True)]
    return sum(wrong) / len(wrong)


def coefficients(learner: Learner, name: str = "learner") -> list[float]:
    """What a linear learner knows."""
    estimator = learner.contestants[name].model.estimator
    return [*estimator.coef_.ravel().tolist(), *estimator.intercept_.tolist()]


def test_a_learner_is_as_good_as_the_model_while_nothing_changes_and_better_after_it_has() -> None:
    # given a stream that stays as it was for 1,500 rows, and is another one for 1,500
    rows = [*rows_with_truth(1_500, seed=2), *rows_with_truth(1_500, seed=3, is_turned=True)]
    # when the model as it is, and one that learns, answer it
    fixed = [
        answer
        for at in range(0, 3_000, 250)
        for answer in Learner(SGD).champion.scorer.rows(rows[at : at + 250]).dicts()
    ]
    learner = Learner(SGD, LearnSettings(set=QUICK))
    learning = [answer for at in range(0, 3_000, 250) for answer in learner.answer(rows[at : at + 250])]
    # then
    assert errors_of(learning[:1_500], rows[:1_500]) < errors_of(fixed[:1_500], rows[:1_500]) + 0.02
    assert errors_of(fixed[2_000:], rows[2_000:]) > 0.8
    assert errors_of(learning[2_000:], rows[2_000:]) < 0.2
    assert learner.counts["labelled"] == 3_000
    # and the model that was given is as it was
    assert SGD.predict_one(rows[0]) == fixed[0]["prediction"]


@pytest.mark.parametrize(
    "estimator",
    [GaussianNB(), MLPClassifier((8,), max_iter=3), SGDClassifier(loss="log_loss", average=True)],
    ids=["bayes", "mlp", "averaged"],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_batches_of_any_size_give_the_same_answers_and_the_same_learner(estimator: Any) -> None:
    model = model_of(estimator, TRAINING)
    rows = rows_with_truth(200, seed=4, is_turned=True)
    rows[7]["x"] = "text"  # has no answer, and so is not learned
    rows[90]["y"] = None
    found = []
    for size in (200, 33, 1):
        learner = Learner(model, LearnSettings(rows=16, tell_model=True))
        answers = [answer for at in range(0, 200, size) for answer in learner.answer(rows[at : at + size])]
        found.append((answers, learner.answer(rows[:5])))
        assert learner.champion.learned == 192
    assert found[0] == found[1] == found[2]
    assert found[0][0][7] is None
    assert [answer["model"] for answer in found[0][0][15:18]] == [f"{model.identity}+{n}" for n in (0, 0, 16)]


@pytest.mark.parametrize(
    ("estimator", "changes", "words"),
    [
        (RandomForestClassifier(3), {}, "RandomForestClassifier cannot learn from a stream: it has no partial_fit"),
        (LogisticRegression(), {}, "has no partial_fit"),
        (MLPClassifier((4,), solver="lbfgs", max_iter=5), {}, "MLPClassifier with solver = 'lbfgs' cannot learn"),
        (SGDClassifier(class_weight="balanced"), {}, "cannot learn from a stream with these parameters: ValueError"),
        (SGDClassifier(), {"eta": 0.1}, "SGDClassifier has no parameter 'eta'; did you mean 'eta0'?"),
        (SGDClassifier(), {"alpha": -1.0}, "with these parameters: ValueError"),
    ],
    ids=["forest", "logistic", "lbfgs", "balanced", "misspelt", "below zero"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_learn_is_refused_with_a_sentence(estimator: Any, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Learner(model_of(estimator, TRAINING[:80]), LearnSettings(set=changes))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("maybe", "'maybe' is no class that the model knows: no, yes"),
        (1, "the true value should be text; found 1"),
        (True, "the true value should be text; found True"),
        (["yes"], "the true value should be text; found ['yes']"),
        (math.nan, "the true value should be text; found nan"),
    ],
)
def test_a_true_value_that_cannot_be_one_is_refused_and_its_row_answered(value: Any, words: str) -> None:
    learner = Learner(SGD, LearnSettings(rows=1))
    rows = [TRAINING[0], {**TRAINING[1], "y": value}, TRAINING[2]]
    answers = learner.answer(rows)
    assert [answer.pop("label_error", "") for answer in answers] == ["", words, ""]
    assert [set(answer) for answer in answers] == [{"prediction", "probability_no", "probability_yes"}] * 3
    assert learner.counts | {"refused": 1, "labelled": 2} == learner.counts
    assert learner.champion.learned == 2


def test_numbers_are_true_values_of_a_regression_and_nothing_else_is() -> None:
    model = model_of(SGDRegressor(random_state=0), TRAINING, target="t")
    learner = Learner(model, LearnSettings(rows=1))
    bad = {math.nan: "no finite", math.inf: "no finite", "3": "a number", True: "a number", 10**400: "too large"}
    answers = learner.answer([{**TRAINING[0], "t": value} for value in (1, 0.5, *bad)])
    assert learner.champion.learned == 2
    for answer, words in zip(answers[2:], bad.values(), strict=True):
        assert words in answer["label_error"]


class Picky(SGDRegressor):  # type: ignore[misc]  # scikit-learn has no types
    """Refuses some rows after it has begun to learn them."""

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        super().partial_fit(X, y)
        if (y > 100).any():
            raise FloatingPointError("too high")
        return self


def test_rows_that_cannot_be_learned_leave_the_learner_as_it_was() -> None:
    # given
    told: list[str] = []
    learner = Learner(model_of(Picky(random_state=0), TRAINING, target="t"), LearnSettings(rows=1), say=told.append)
    before = coefficients(learner)
    # when
    answers = learner.answer([{**TRAINING[0], "t": 101}] * 3)
    # then
    assert coefficients(learner) == before
    assert learner.counts | {"labelled": 3, "not_learned": 3} == learner.counts
    assert answers[0] == answers[2]
    assert told[0] == "'learner' could not learn 1 rows, and stays as it was: FloatingPointError: too high"


# --- true values that come later


def delayed(**words: Any) -> Learner:
    return Learner(SGD, LearnSettings(key="id", rows=8, set=QUICK, **words))


def unlabelled(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "y"} for row in rows]


def test_true_values_that_come_later_in_any_order_find_their_rows() -> None:
    # given rows that wait, and the same rows with their true values in them
    rows = rows_with_truth(64, seed=5, is_turned=True)
    order = np.random.default_rng(6).permutation(64).tolist()
    expected = Learner(SGD, LearnSettings(rows=8, set=QUICK))
    expected.answer([rows[place] for place in order])
    # when true values come in another order, before their row, twice, as text, and for no row
    learner = delayed()
    for place in order[:8]:
        assert learner.learn({place: rows[place]["y"]}) == []
    assert learner.champion.learned == 0
    learner.answer(unlabelled([rows[place] for place in order]))
    assert learner.champion.learned == 8
    assert learner.learn([(str(place), rows[place]["y"]) for place in order[8:]]) == []
    learner.learn({order[0]: "no", order[20]: "yes", 999: "no"})
    # then each was learned once, in the order in which it was complete
    assert coefficients(learner) == coefficients(expected)
    assert learner.counts | {"labelled": 64, "duplicates": 2} == learner.counts
    assert learner.waiting == {"records": 0, "labels": 1}
    # and a record that comes again is answered, and not learned again
    assert learner.answer(unlabelled(rows[:2])) != [None, None]
    assert learner.counts["duplicates"] == 4
    assert learner.waiting["records"] == 0


def test_what_is_wrong_with_a_true_value_is_said_and_nothing_waits_for_it() -> None:
    learner = delayed()
    learner.answer(unlabelled(TRAINING[:3]))
    said = learner.learn([(0, "maybe"), (None, "yes"), ([1], "yes"), (1, None), (2, "yes")])
    assert [len(said), learner.counts["labelled"]] == [4, 1]
    assert "no class" in said[0]
    assert "there is no 'id'" in said[1]
    assert "should be a text or a number; found list" in said[2]
    assert said[3] == "the true value is missing"
    answers = learner.answer([{name: value for name, value in TRAINING[5].items() if name != "id"}])
    assert "there is no 'id'" in answers[0]["label_error"]
    with pytest.raises(SettingsError, match="need a key"):
        Learner(SGD).learn({1: "yes"})


def test_values_of_numpy_and_half_characters_are_kept_as_any_others(tmp_path: Path) -> None:
    # given rows as arrays and data frames hold them, and a key that UTF-8 cannot hold
    rows: list[dict[str, Any]] = [
        {"id": np.int64(7), "x": np.float32(0.5), "z": np.int64(1), "city": np.str_("Oslo")},
        {"id": "\ud800", "x": pd.NA, "z": pd.NaT, "city": None},
    ]
    plain = [{"id": "7", "x": 0.5, "z": 1, "city": "Oslo"}, {"id": "b", "x": None, "z": None, "city": None}]
    learners = []
    for number, (some, keys) in enumerate([(rows, (np.int64(7), "\ud800")), (plain, ("7", "b"))]):
        learner = Learner(SGD, LearnSettings(key="id", rows=2), folder=tmp_path / str(number))
        # when they wait for their true values
        answers = learner.answer(some)
        assert not any("label_error" in (answer or {}) for answer in answers)
        assert learner.learn([(keys[0], np.str_("yes")), (keys[1], "no")]) == []
        assert learner.counts["labelled"] == 2
        learners.append(learner)
    # then what was learned is that of plain ones
    assert coefficients(learners[0]) == coefficients(learners[1])
    for learner in learners:
        learner.close()


def test_what_waits_is_bounded_by_number_and_by_age_and_counted() -> None:
    now = [0.0]
    learner = Learner(SGD, LearnSettings(key="id", waiting=10, waiting_seconds=60), clock=lambda: now[0])
    learner.answer(unlabelled(TRAINING[:25]))
    assert learner.waiting["records"] == 10
    assert learner.counts["dropped_by_number"] == 15
    learner.learn(dict.fromkeys(range(100, 112), "yes"))
    assert learner.counts["labels_dropped_by_number"] == 2
    now[0] = 61.0
    learner.answer(unlabelled(TRAINING[25:26]))
    assert learner.waiting == {"records": 1, "labels": 0}
    assert (
        learner.counts | {"dropped_by_number": 16, "dropped_by_age": 9, "labels_dropped_by_age": 10} == learner.counts
    )
    learner.learn({24: "yes", 25: "yes"})
    assert learner.counts["labelled"] == 1


# --- after a kill


def batches_of(rows: Sequence[Mapping[str, Any]], *, is_delayed: bool) -> list[Record]:
    """A stream's records in the order of its source: with their true values, or each followed by one 40 later."""
    found = []
    for place, row in enumerate(rows):
        if not is_delayed:
            found.append(Record(str(place), row))
            continue
        found.append(Record(str(place), {name: value for name, value in row.items() if name != "y"}))
        if place >= 40:
            found.append(label_record(rows[place - 40]))
    return [*found, *map(label_record, rows[-40:] if is_delayed else [])]


def label_record(row: Mapping[str, Any]) -> Record:
    return Record(f"label-{row['id']}", {"id": row["id"], "y": row["y"]}, partition=f"{LABELS}0")


@pytest.mark.parametrize(
    "is_delayed", [pytest.param(False, marks=pytest.mark.slow), True], ids=["in the record", "delayed"]
)
def test_after_kills_at_random_the_learner_is_the_undisturbed_one_bit_for_bit(tmp_path: Path, is_delayed: bool) -> None:
    # given a stream whose commits lag behind what was answered by up to two batches
    records = batches_of(rows_with_truth(250, seed=7, is_turned=True), is_delayed=is_delayed)
    settings = LearnSettings(
        key="id" if is_delayed else "", rows=7, set=QUICK, snapshot_rows=90, snapshot_seconds=0, challenge=True,
        rule={"every": 20, "window": 100, "least": 40, "patience": 2, "cool_down": 50},
    )  # fmt: skip
    whole = Learner(SGD, settings, challengers={"bayes": BAYES})
    undisturbed = answers_in_order(whole, records, 1_000)
    # when the process ends at random, and begins again where it was committed
    random = np.random.default_rng(8)
    book, done, n_kills = MemoryBook(), 0, 0
    answers: dict[str, Any] = {}
    while done < len(records):
        learner = Learner(SGD, settings, challengers={"bayes": BAYES}, folder=tmp_path, book=book)
        at, uncommitted = done, []
        for _ in range(int(random.integers(2, 6))):
            batch = records[at : at + int(random.integers(1, 50))]
            answered = learner.work(batch)
            answers |= {result.id: result.answer for result in answered.results}
            at += len(batch)
            uncommitted.append((at, answered.state))
            if len(uncommitted) > 2:
                done, book.state = uncommitted.pop(0)
        if at == len(records):
            done, book.state = uncommitted[-1]
        learner._store.close()  # as a kill does: nothing else is written
        n_kills += 1
    # then
    assert n_kills > 4
    again = Learner(SGD, settings, challengers={"bayes": BAYES}, folder=tmp_path, book=book)
    assert again.counts == whole.counts
    assert coefficients(again) == coefficients(whole)
    for name in ("theta_", "var_", "class_count_"):
        bayes = [getattr(each.contestants["bayes"].model.estimator, name) for each in (again, whole)]
        np.testing.assert_array_equal(*bayes)
    assert again.group.contest.dump() == whole.group.contest.dump()
    assert (
        [swap["champion"] for swap in again.swaps.history]
        == [swap["champion"] for swap in whole.swaps.history]
        == ["learner"]
    )
    assert answers == undisturbed
    assert len(list((tmp_path / "snapshots").iterdir())) <= 4
    again.close()


def answers_in_order(learner: Learner, records: Sequence[Record], size: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at in range(0, len(records), size):
        found |= {result.id: result.answer for result in learner.work(records[at : at + size]).results}
    return found


BAYES = replace(model_of(GaussianNB(), TRAINING), identity="bayes-1")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """Learners that are closed at the end."""
    made: list[Learner] = []

    def learner(*arguments: Any, **words: Any) -> Learner:
        made.append(Learner(*arguments, folder=tmp_path, **words))
        return made[-1]

    yield learner
    for each in made:
        each.close()


def test_snapshots_are_model_folders_the_newest_of_which_is_named(tmp_path: Path, opened: Any) -> None:
    rows = rows_with_truth(256, seed=9, is_turned=True)
    learner = opened(SGD, LearnSettings(rows=32, set=QUICK, snapshot_rows=64, snapshots=2), book=MemoryBook())
    learner.answer(rows)
    current = tmp_path / (tmp_path / "current").read_text().strip()
    assert current == tmp_path / "snapshots" / "000000000256" / "learner"
    model = load_model(current)
    assert model.card["learned"] == {"rows": 256, "began_as": SGD.identity}
    frame = pd.DataFrame(rows)
    assert model.predict(frame).tolist() == [
        answer["prediction"] for answer in learner.champion.scorer.rows(rows).dicts()
    ]
    assert json.loads((current.parent / "state.json").read_text())["rows"] == {"learner": 256}


def test_a_folder_of_another_model_is_refused(opened: Any) -> None:
    book = MemoryBook()
    learner = opened(SGD, book=book)
    learner.answer(TRAINING[:40])
    book.state = learner.state()
    learner.close()
    with pytest.raises(SettingsError, match="with another model"):
        opened(BAYES, book=book)
