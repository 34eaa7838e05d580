"""Champion and challengers: when one takes over, what is journalled, and how it is taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daskflow.core.errors import SettingsError
from daskflow.data.schema import Target, Task
from daskflow.streams.champion import Contest, SwapRule, compare, loss_of, mcnemar, metric_of
from daskflow.streams.champion_swaps import MAILBOX, Ask, MemoryBook, Swaps, ask
from daskflow.streams.learning import Learner
from daskflow.streams.learning_settings import LearnSettings
from tests.test_streams_learning import BAYES, QUICK, SGD, TRAINING, errors_of, rows_with_truth

RULE = {"window": 200, "least": 60, "every": 20, "patience": 2, "cool_down": 200}


def challenged(**words: Any) -> Learner:
    """The model as it is, and its learning copy beside it."""
    settings = LearnSettings(rows=10, set=QUICK, challenge=True, rule=RULE | words.pop("rule", {}))
    return Learner(SGD, settings, **words)


def test_a_challenger_takes_over_after_the_drift_with_its_evidence_and_not_before() -> None:
    # given a stream that turns after 600 rows
    rows = [*rows_with_truth(600, seed=11), *rows_with_truth(600, seed=12, is_turned=True)]
    told: list[dict[str, Any]] = []
    learner = challenged(challengers={"bayes": BAYES}, tell=lambda record: told.append(dict(record)))
    # when
    answers = [answer for at in range(0, 1_200, 100) for answer in learner.answer(rows[at : at + 100])]
    # then
    assert learner.champion.name == "learner"
    (swap,) = learner.swaps.history
    assert 600 < swap["labelled"] < 800
    assert (swap["before"], swap["by"]) == ("model", "rule")
    assert swap["evidence"]["low"] > 0
    assert swap["evidence"]["p"] < 0.01
    assert swap["evidence"]["rule"]["window"] == 200
    assert errors_of(answers[900:], rows[900:]) < 0.25
    assert [record["champion"] for record in told if record["record"] == "swap"] == ["learner"]
    # and each was judged on the same rows
    assert {name: len(known[-200:]) for name, known in learner.group.contest.losses.items()} == dict.fromkeys(
        ("model", "learner", "bayes"), 200
    )


def test_of_two_that_are_better_the_best_takes_over() -> None:
    contest = Contest(SwapRule(window=100, least=50, every=10, patience=1, cool_down=0), "error", ("a", "b", "c"))
    random = np.random.default_rng(13)
    for errs in random.random(100):
        contest.count({"a": float(errs < 0.5), "b": float(errs < 0.2), "c": float(errs < 0.05)})
    winner = contest.judge("a", labelled=100, swapped_at=0)
    assert winner is not None
    assert winner[0] == "c"
    # and nobody does before the cool-down, or when the margin is more than it is better by
    contest.rule = contest.rule.model_copy(update={"cool_down": 101})
    assert contest.judge("a", labelled=100, swapped_at=0) is None
    contest.rule = contest.rule.model_copy(update={"cool_down": 0, "margin": 0.9})
    assert contest.judge("a", labelled=110, swapped_at=0) is None


def test_models_that_are_alike_hardly_ever_swap() -> None:
    # given two models that err in 0.2 of the rows, each by itself, over 200 streams of 2,000 rows
    rule = SwapRule()
    swaps = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        losses = (random.random((2, 2_000)) < 0.2).astype(float)
        streak = 0
        for stop in range(300, 2_001, rule.every):
            first, second = losses[:, max(0, stop - rule.window) : stop]
            found = compare(first, second, rule, "error", seed=stop)
            streak = streak + 1 if found.is_better(rule) else 0
            swaps += streak == rule.patience
    # then: a one-sided 0.005, looked at 18 times over windows that overlap, three times running
    assert swaps <= 6


@pytest.mark.parametrize(
    ("metric", "said", "expected"),
    [
        ("error", (1, None), 0.0),
        ("log_loss", (1, [0.2, 0.8]), 0.22314355131420976),
        ("log_loss", (0, [1.0, 0.0]), 34.538776394910684),
        ("brier", (1, [0.2, 0.8]), 0.08),
        ("squared_error", (3.0, None), 4.0),
    ],
)
def test_losses_are_those_of_the_metric(metric: str, said: Any, expected: float) -> None:
    assert loss_of(metric, 1.0, *said) == pytest.approx(expected)


def test_intervals_of_rows_alike_are_those_of_rows_drawn_one_by_one() -> None:
    random = np.random.default_rng(15)
    first, second = (random.random((2, 600)) < np.array([[0.3], [0.2]])).astype(float)
    quick = [compare(first, second, SwapRule(), "error", seed=seed) for seed in range(30)]
    rows = [compare(first, second, SwapRule(), "squared_error", seed=seed) for seed in range(30)]
    for side in ("low", "high"):
        means = [float(np.mean([getattr(each, side) for each in found])) for found in (quick, rows)]
        assert means[0] == pytest.approx(means[1], abs=0.005)
    # and blocks of rows that err alike have wider ones
    together = [np.repeat(losses, 10) for losses in (first, second)]
    narrow, wide = (compare(*together, SwapRule(block=block), "squared_error", seed=1) for block in (1, 10))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_test_of_pairs_is_exact() -> None:
    from scipy.stats import binomtest

    for first, second in [(3, 0), (10, 2), (7, 7), (0, 0), (40, 61), (900, 700)]:
        expected = binomtest(first, first + second).pvalue if first + second else 1.0
        assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_metrics_that_do_not_fit_are_refused() -> None:
    classes, numbers = Target("y", Task.BINARY, ("a", "b")), Target("y", Task.REGRESSION)
    assert metric_of(SwapRule(), classes, has_probabilities=False) == "error"
    assert metric_of(SwapRule(), numbers, has_probabilities=False) == "absolute_error"
    with pytest.raises(SettingsError, match="not for this target"):
        metric_of(SwapRule(metric="error"), numbers, has_probabilities=False)
    with pytest.raises(SettingsError, match="needs probabilities"):
        metric_of(SwapRule(metric="brier"), classes, has_probabilities=False)
    with pytest.raises(SettingsError, match="never stand in a window"):
        SwapRule(least=500, window=200)


# --- swaps that are asked for


def test_a_swap_is_taken_back_and_named_models_answer(tmp_path: Path) -> None:
    learner = challenged(folder=tmp_path, book=(book := MemoryBook()), challengers={"bayes": BAYES})
    with pytest.raises(SettingsError, match="No swap was made yet: 'model' has answered from the start"):
        learner.swap()
    assert (
        learner.swap("bayes") == "'bayes' answers instead of 'model' after 0 labelled rows: it was asked for (python)."
    )
    assert learner.champion.name == "bayes"
    assert "'bayes' answers already" in caught(learner.swap, "bayes")
    assert "did you mean 'learner'" in caught(learner.swap, "learnr")
    learner.swap("learner")
    assert (tmp_path / "current").read_text() == "snapshots/000000000000/learner\n"
    learner.swap()
    assert learner.champion.name == "bayes"
    # when the folder asks
    ask(tmp_path, Ask("model", "command line", "k1"))
    ask(tmp_path, Ask("nobody", "command line", "k2"))
    (tmp_path / MAILBOX / "odd.json").write_text("[]")
    learner.answer(TRAINING[:1])
    # then it is done, and what cannot be is refused, for who asked to read
    assert learner.champion.name == "model"
    assert book.others[-1]["record"] == "refused"
    assert (book.others[-1]["key"], "no model of the stream" in book.others[-1]["why"].lower()) == ("k2", True)
    assert [record["key"] for record in book.others if record["record"] == "swap"][-1] == "k1"
    assert (tmp_path / "current").read_text() == "snapshots/model-SGDClassifier-1\n"
    learner.close()


def caught(call: Any, *arguments: Any) -> str:
    """The sentence of what is refused."""
    with pytest.raises(SettingsError) as error:
        call(*arguments)
    return str(error.value)


def test_a_swap_that_was_asked_for_holds_after_a_kill_though_its_rows_come_again() -> None:
    book = MemoryBook()
    swaps = Swaps(book, None)
    swaps.enter(("model", "learner"), "model", {})
    swaps.swap("learner", by="rule", labelled=100, evidence=json.loads(EVIDENCE))
    swaps.swap("model", by="command line", labelled=140)
    # when only 120 labelled rows were committed
    again = Swaps(book, None)
    again.go_back(120)
    assert [again.at(number)[0] for number in (99, 100, 119, 120)] == ["model", "learner", "learner", "model"]
    # and a swap by the rule acts where it did
    again.go_back(90)
    assert [again.at(number)[0] for number in (89, 90)] == ["model", "model"]
    assert again.has_swap_at(100)


EVIDENCE = (
    '{"rows": 200, "metric": "error", "champion": 0.5, "challenger": 0.2, "difference": 0.3, "low": 0.2, "high": 0.4, '
    '"p": 1e-9}'
)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"model": BAYES}, "cannot be called 'model'"),
        ({"a b": BAYES}, "cannot be called 'a b'"),
        ({"b": replace(BAYES, target=Target("z", Task.BINARY, ("no", "yes")))}, "predicts something else"),
        ({"b": replace(BAYES, target=Target("y", Task.BINARY, ("yes", "no")))}, "predicts something else"),
    ],
)
def test_challengers_that_cannot_be_compared_are_refused(others: Any, words: str) -> None:
    assert words in caught(lambda: Learner(SGD, challengers=others))


def test_a_rule_that_only_tells_swaps_nothing() -> None:
    told: list[str] = []
    learner = challenged(rule={"automatic": False}, say=told.append)
    learner.answer(rows_with_truth(400, seed=14, is_turned=True))
    assert learner.champion.name == "model"
    assert any("'learner' should answer by the rule: over the last" in text for text in told)
