"""SGD candidates that are trained together become what scikit-learn makes of each, and none changes another."""

from __future__ import annotations

import itertools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB

from daskflow import models
from daskflow.fused.sgd import decision_many, obstacle, partial_fit_many
from daskflow.models.fusing import fuses

TOLERANCE = {np.float64: 1e-6, np.float32: 2e-3}
"""What is promised of coefficients, relative to the largest one, by the dtype of the rows."""

N_CLASSES = {"binary": 2, "multiclass": 4, "regression": 0}
RATES = ("optimal", "constant", "invscaling", "adaptive")
LEARNED = ("coef_", "intercept_", "_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept")


def rows(task: str, dtype: Any = np.float64, n_rows: int = 240, n_features: int = 9) -> tuple[Any, Any, Any]:
    """Rows, targets and weights; one row is zero."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)).astype(dtype)
    X[5] = 0
    score = X @ rng.normal(size=n_features) + rng.normal(size=n_rows)
    y = {"binary": (score > 0).astype(int), "multiclass": np.digitize(score, [-2, 0, 2]), "regression": score}[task]
    return X, y, rng.uniform(0.1, 2.0, n_rows)


def kind_of(task: str) -> type[Any]:
    return SGDRegressor if task == "regression" else SGDClassifier


def grid(task: str) -> list[dict[str, Any]]:
    """Every loss with every penalty, schedule and kind of averaging, with strengths and steps of all sizes."""
    rng = np.random.default_rng(1)
    found = []
    passive = "epsilon_insensitive" if task == "regression" else "hinge"
    for loss, penalty, rate, average in itertools.product(
        kind_of(task).loss_functions, ["l2", "l1", "elasticnet", None], [*RATES, "pa1", "pa2"], [False, True, 300]
    ):
        if rate.startswith("pa") and loss != passive:
            continue
        params = {"loss": loss, "penalty": penalty, "learning_rate": rate, "average": average}
        params |= {"alpha": 10 ** rng.uniform(-6, 0), "eta0": 10 ** rng.uniform(-4, -1.3)}
        params |= {"fit_intercept": bool(rng.integers(2)), "power_t": float(rng.choice([0.25, 0.5, 0.9]))}
        if task != "regression" and rng.integers(2):
            params["class_weight"] = {0: 0.5, 1: 2.0}
        found.append(params)
    return found


def by_scikit_learn(model: Any, X: Any, y: Any, weight: Any, seeds: list[int], n_classes: int) -> Any:
    """The model after calls of its own ``partial_fit`` in the same orders; None when it refuses."""
    model = clone(model).set_params(shuffle=False)
    extra = {"classes": np.arange(n_classes)} if n_classes else {}
    for seed in seeds:
        order = np.random.RandomState(seed).permutation(len(y))
        weights = None if weight is None else weight[order]
        try:
            model.partial_fit(X[order], y[order], sample_weight=weights, **extra)
        except ValueError:
            return None
    return model


def together(candidates: list[Any], X: Any, y: Any, weight: Any, seeds: list[int], n_classes: int) -> list[Any]:
    """New models of the candidates after the same calls; those that overflow keep what they had."""
    made = [clone(model) for model in candidates]
    for seed in seeds:
        try:
            partial_fit_many(made, X, y, n_classes=n_classes, sample_weight=weight, order_seed=seed)
        except ValueError as error:
            if "left the range" not in str(error):
                raise
    return made


def distance(left: Any, right: Any) -> float:
    """The largest difference between what two models learned, relative to the largest number."""
    pairs = [(vars(left)[name], vars(right)[name]) for name in LEARNED if name in vars(right)]
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs)


def agrees_with_itself(model: Any, one: Any, X: Any, y: Any, weight: Any, seeds: list[int], n_classes: int) -> bool:
    """Whether scikit-learn gives the same coefficients when the columns stand in another order."""
    turned = by_scikit_learn(model, np.ascontiguousarray(X[:, ::-1]), y, weight, seeds, n_classes)
    if turned is None:
        return False
    back = [turned.coef_[..., ::-1] - one.coef_, turned.intercept_ - one.intercept_]
    return all(np.abs(part).max() <= TOLERANCE[X.dtype.type] * max(1.0, np.abs(one.coef_).max()) for part in back)


def check_against_scikit_learn(task: str, dtype: Any, every: int) -> None:
    X, y, weight = rows(task, dtype)
    n_classes, seeds = N_CLASSES[task], [0, 1, 2]
    candidates = [kind_of(task)(**params) for params in grid(task)[::every]]
    # when
    made = together(candidates, X, y, weight, seeds, n_classes)
    # then
    n_compared = 0
    for candidate, ours in zip(candidates, made, strict=True):
        theirs = by_scikit_learn(candidate, X, y, weight, seeds, n_classes)
        if theirs is None:
            continue
        assert (ours.t_, ours.n_iter_) == (theirs.t_, theirs.n_iter_)
        if agrees_with_itself(candidate, theirs, X, y, weight, seeds, n_classes):
            n_compared += 1
            assert distance(ours, theirs) <= TOLERANCE[dtype], candidate
    assert n_compared > 0.8 * len(candidates)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_coefficients_are_scikit_learns_over_losses_penalties_schedules_averages_and_weights(
    task: str, dtype: Any
) -> None:
    check_against_scikit_learn(task, dtype, every=7)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_coefficients_are_scikit_learns_in_every_combination(task: str, dtype: Any) -> None:
    check_against_scikit_learn(task, dtype, every=1)


@settings(max_examples=30, deadline=None)
@given(
    loss=st.sampled_from(list(SGDRegressor.loss_functions)),
    penalty=st.sampled_from(["l2", "l1", "elasticnet", None]),
    rate=st.sampled_from(RATES),
    alpha=st.floats(-7, 1.5),
    eta0=st.floats(-5, 0),
    l1_ratio=st.floats(0, 1),
    epsilon=st.floats(0, 2),
    average=st.one_of(st.booleans(), st.integers(2, 200)),
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3),
    as_classes=st.booleans(),
)
def test_any_parameters_give_scikit_learns_coefficients_or_its_overflow(
    loss: str,
    penalty: str | None,
    rate: str,
    alpha: float,
    eta0: float,
    l1_ratio: float,
    epsilon: float,
    average: Any,
    seeds: list[int],
    as_classes: bool,
) -> None:
    # given
    task = "binary" if as_classes else "regression"
    X, y, weight = rows(task, n_rows=80, n_features=4)
    params = {"loss": loss, "penalty": penalty, "learning_rate": rate, "average": average, "l1_ratio": l1_ratio}
    candidate = kind_of(task)(alpha=10**alpha, eta0=10**eta0, epsilon=epsilon, **params)
    # when
    (ours,) = together([candidate], X, y, weight, seeds, N_CLASSES[task])
    theirs = by_scikit_learn(candidate, X, y, weight, seeds, N_CLASSES[task])
    # then
    if theirs is not None and agrees_with_itself(candidate, theirs, X, y, weight, seeds, N_CLASSES[task]):
        assert distance(ours, theirs) <= 1e-6


def test_strong_penalties_and_large_steps_are_scaled_where_scikit_learn_scales_them() -> None:
    # given steps that shrink weights a thousandfold in a few rows, and some that would turn their sign
    X, y, weight = rows("binary", np.float32)
    strengths = itertools.product([0.5, 5.0, 50.0], [0.01, 0.1, 1.0], ["l2", "elasticnet"], [False, True])
    candidates = [
        SGDClassifier(alpha=alpha, eta0=eta0, learning_rate="constant", penalty=penalty, average=average)
        for alpha, eta0, penalty, average in strengths
    ]
    # when
    made = together(candidates, X, y, weight, [3, 4], 2)
    # then
    for candidate, ours in zip(candidates, made, strict=True):
        assert distance(ours, by_scikit_learn(candidate, X, y, weight, [3, 4], 2)) <= 1e-3, candidate


@pytest.mark.parametrize("average", [False, True, 400], ids=["plain", "averaged", "averaged-later"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_it_leaves_what_partial_fit_leaves(task: str, average: Any) -> None:
    # given
    X, y, _ = rows(task, np.float32)
    candidate = kind_of(task)(penalty="elasticnet", average=average)
    # when
    (ours,) = together([candidate], X, y, None, [1, 2], N_CLASSES[task])
    theirs = by_scikit_learn(candidate, X, y, None, [1, 2], N_CLASSES[task])
    # then every attribute is there, of the same type, shape and dtype
    assert vars(ours).keys() == vars(theirs).keys()
    for name, value in vars(theirs).items():
        if isinstance(value, np.ndarray):
            assert (vars(ours)[name].shape, vars(ours)[name].dtype) == (value.shape, value.dtype), name
        else:
            assert type(vars(ours)[name]) is type(value), name
    assert ours.n_features_in_ == X.shape[1]
    assert np.allclose(ours.predict(X), theirs.predict(X), atol=1e-3)


@pytest.mark.parametrize("average", [False, True, 400], ids=["plain", "averaged", "averaged-later"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_scikit_learn_goes_on_where_it_ended_and_it_where_scikit_learn_ended(task: str, average: Any) -> None:
    # given
    X, y, weight = rows(task)
    n_classes = N_CLASSES[task]
    candidate = kind_of(task)(alpha=0.01, average=average, shuffle=False, penalty="elasticnet")
    extra = {"classes": np.arange(n_classes)} if n_classes else {}
    theirs, first, second = clone(candidate), clone(candidate), clone(candidate)
    # when each of three calls is scikit-learn's, or the calls are mixed, with a copy by pickle between them
    for number in range(3):
        theirs.partial_fit(X, y, sample_weight=weight, **extra)
        for other, is_ours in ((first, number % 2 == 0), (second, number % 2 == 1)):
            if is_ours:
                partial_fit_many([other], X, y, n_classes=n_classes, sample_weight=weight)
            else:
                other.partial_fit(X, y, sample_weight=weight, **extra)
        first, second = pickle.loads(pickle.dumps(first)), pickle.loads(pickle.dumps(second))
    # then
    assert distance(first, theirs) <= 1e-6
    assert distance(second, theirs) <= 1e-6
    assert clone(first).get_params() == candidate.get_params()


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_a_result_does_not_depend_on_the_others_of_the_call_to_the_last_bit(dtype: Any) -> None:
    # given candidates of all sorts, some of which leave the range of numbers
    X, y, weight = rows("binary", dtype)
    candidates = [SGDClassifier(**params) for params in grid("binary")[::11]]
    wild = [SGDClassifier(loss="squared_error", learning_rate="constant", eta0=1e300, average=a) for a in (False, True)]
    # when they are trained alone, and among others in another order
    alone = [together([model], X, y, weight, [5, 6], 2)[0] for model in candidates]
    mixed = together([*wild, *candidates[::-1]], X, y, weight, [5, 6], 2)[len(wild) :][::-1]
    # then
    for one, other in zip(alone, mixed, strict=True):
        for name in LEARNED:
            if name in vars(one):
                assert vars(one)[name].tobytes() == vars(other)[name].tobytes(), (name, one)
    assert decision_many(alone[:1], X)[0].tobytes() == decision_many(mixed, X)[0].tobytes()


def test_what_overflows_is_said_at_the_end_and_the_others_are_trained() -> None:
    # given one that has learned and now takes steps that are too large, between two that do not
    X, y, _ = rows("regression")
    made = [SGDRegressor(), SGDRegressor(), SGDRegressor(average=True)]
    partial_fit_many(made, X, y, n_classes=0)
    before = made[1].coef_.copy()
    made[1].set_params(learning_rate="constant", eta0=1e300)
    # when
    with pytest.raises(ValueError, match=r"SGDRegressor left the range .* smaller steps"):
        partial_fit_many(made, X, y, n_classes=0)
    # then it is as it was, and the others have seen the rows twice
    assert [model.t_ for model in made] == [481.0, 241.0, 481.0]
    assert np.array_equal(made[1].coef_, before)


def test_a_fresh_model_that_overflows_is_still_unfitted() -> None:
    X, y, _ = rows("regression")
    model = SGDRegressor(learning_rate="constant", eta0=1e300)
    with pytest.raises(ValueError, match="left the range"):
        partial_fit_many([model], X, y, n_classes=0)
    assert not hasattr(model, "coef_")


def test_parameters_that_scikit_learn_refuses_cost_their_own_candidate() -> None:
    # given
    X, y, _ = rows("binary")
    wrong, balanced, right = SGDClassifier(alpha=-1.0), SGDClassifier(class_weight="balanced"), SGDClassifier()
    # when
    with pytest.raises(ValueError, match="alpha"):
        partial_fit_many([wrong, balanced, right], X, y, n_classes=2)
    with pytest.raises(ValueError, match="balanced"):
        partial_fit_many([balanced, right], X, y, n_classes=2)
    # then
    assert right.t_ == 481.0
    assert not hasattr(wrong, "coef_")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"early_stopping": True}, "validation rows"),
        ({"verbose": 1}, "reports"),
        ({"class_weight": "balanced"}, "how frequent"),
        ({"learning_rate": "optimal", "alpha": 0.0}, "divides by alpha"),
        ({"learning_rate": "pa1", "loss": "log_loss"}, "learning_rate='pa1'"),
        ({"penalty": "elasticnet", "l1_ratio": None}, "l1_ratio"),
        ({"loss": "absolute"}, "loss='absolute'"),
    ],
)
def test_what_cannot_be_trained_together_is_said_with_its_reason(params: dict[str, Any], reason: str) -> None:
    assert reason in obstacle(SGDClassifier, SGDClassifier(**params).get_params())
    assert not fuses(SGDClassifier(), params)


class Own(SGDClassifier):
    """A class that may do anything."""


@pytest.mark.parametrize("case", ["sparse", "subclass", "other dtype"])
def test_what_cannot_be_trained_together_is_given_the_rows_by_itself_in_the_same_order(case: str) -> None:
    # given
    X, y, weight = rows("binary", np.float32)
    model = (Own if case == "subclass" else SGDClassifier)(alpha=0.01, random_state=3)
    theirs = by_scikit_learn(model, csr_matrix(X) if case == "sparse" else X, y, weight, [8], 2)
    # when
    if case == "other dtype":
        model.partial_fit(X.astype(np.float64), y, classes=[0, 1])
        with pytest.raises(TypeError, match="ArrayDataset32"):  # as scikit-learn says it
            partial_fit_many([model], X, y, n_classes=2, sample_weight=weight, order_seed=8)
    else:
        partial_fit_many(
            [model], csr_matrix(X) if case == "sparse" else X, y, n_classes=2, sample_weight=weight, order_seed=8
        )
        # then
        assert np.array_equal(model.coef_, theirs.coef_)
    assert model.shuffle is True


def test_one_seed_gives_one_order_whatever_the_models_seeds_are() -> None:
    # given
    X, y, _ = rows("binary")
    candidates = [SGDClassifier(random_state=1), SGDClassifier(random_state=2)]
    # when
    left, right = together(candidates, X, y, None, [4], 2)
    other, _ = together(candidates, X, y, None, [5], 2)
    # then
    assert np.array_equal(left.coef_, right.coef_)
    assert not np.array_equal(left.coef_, other.coef_)


def test_a_model_that_does_not_shuffle_takes_rows_as_they_come() -> None:
    # given
    X, y, _ = rows("binary")
    both = [SGDClassifier(shuffle=False), SGDClassifier()]
    theirs = clone(both[0]).partial_fit(X, y, classes=[0, 1])
    # when
    partial_fit_many(both, X, y, n_classes=2, order_seed=9)
    # then
    assert distance(both[0], theirs) <= 1e-6
    assert distance(both[1], theirs) > 1e-6


def test_rows_on_disk_are_read_where_they_lie_and_nothing_is_written_to_them(tmp_path: Path) -> None:
    # given
    X, y, _ = rows("multiclass", np.float32)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    mapped, labels = np.load(tmp_path / "X.npy", mmap_mode="r"), np.load(tmp_path / "y.npy", mmap_mode="r")
    # when
    (ours,) = together([SGDClassifier()], mapped, labels, None, [1], 4)
    # then
    assert np.array_equal(ours.coef_, together([SGDClassifier()], X, y, None, [1], 4)[0].coef_)
    assert np.array_equal(np.load(tmp_path / "X.npy"), X)


def test_a_class_that_a_block_lacks_is_learned_from_others() -> None:
    # given a block of one class only, and one with the other two
    X, y, _ = rows("multiclass")
    y = np.minimum(y, 2)
    blocks = [y == 0, y > 0]
    # when
    ours, theirs = SGDClassifier(loss="log_loss"), SGDClassifier(loss="log_loss", shuffle=False)
    for number, block in enumerate(blocks):
        partial_fit_many([ours], X[block], y[block], n_classes=3, order_seed=number)
        order = np.random.RandomState(number).permutation(int(block.sum()))
        theirs.partial_fit(X[block][order], y[block][order], classes=[0, 1, 2])
    # then
    assert distance(ours, theirs) <= 1e-6
    assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"y": np.full(240, 2)}, "class codes from 0 to 1"),
        ({"sample_weight": np.zeros(240)}, "not all 0"),
        ({"sample_weight": np.ones(3)}, r"shape \(3,\)"),
        ({"X": np.full((240, 9), np.nan)}, "NaN"),
        ({"X": np.zeros((240, 4))}, "4 features"),
    ],
)
def test_rows_that_do_not_fit_are_refused_before_anything_is_learned(change: dict[str, Any], reason: str) -> None:
    # given
    X, y, _ = rows("binary")
    model = SGDClassifier()
    partial_fit_many([model], X, y, n_classes=2)
    before = model.coef_.copy()
    # when, then
    with pytest.raises(ValueError, match=reason):
        partial_fit_many([model], **{"X": X, "y": y, "n_classes": 2, **change})
    assert np.array_equal(model.coef_, before)


def test_nothing_is_printed_or_warned(capfd: Any) -> None:
    X, y, _ = rows("binary")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        together([SGDClassifier(loss="log_loss"), SGDClassifier(average=True, penalty="l1")], X, y, None, [1], 2)
    assert capfd.readouterr() == ("", "")


# decision values


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("task", N_CLASSES)
def test_decision_values_of_many_are_those_of_each(task: str, dtype: Any) -> None:
    # given more models than stand side by side
    X, y, _ = rows(task, dtype)
    made = together([kind_of(task)(alpha=alpha) for alpha in np.logspace(-4, 0, 21)], X, y, None, [1], N_CLASSES[task])
    # when
    found = decision_many(made, X)
    # then
    for model, values in zip(made, found, strict=True):
        expected = model.predict(X) if task == "regression" else model.decision_function(X)
        assert values.shape == expected.shape
        assert np.allclose(values, expected, rtol=1e-4, atol=1e-4 if dtype == np.float32 else 1e-12)
    sparse = decision_many(made, csr_matrix(X))
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(sparse, found, strict=True))


def test_no_models_have_no_decision_values() -> None:
    assert decision_many([], np.zeros((3, 2))) == []


# families


def test_sgd_and_a_given_sgd_estimator_fuse_and_others_do_not() -> None:
    assert models.parse("sgd").fuses("binary", {"penalty": "None", "alpha": 0.1})
    assert models.parse("sgd").fuses("regression", {})
    assert not models.parse({"kind": "sgd", "params": {"early_stopping": True}}).fuses("binary", {})
    assert models.parse(SGDClassifier(average=True)).fuses("multiclass", {"class_weight": {"0": 2.0}})
    assert models.parse("sklearn.linear_model:SGDRegressor").fuses("regression", {})
    assert not models.parse(Own()).fuses("binary", {})
    assert not models.parse("sklearn.naive_bayes:GaussianNB").fuses("binary", {})
    assert not models.parse("logistic").fuses("binary", {})


def test_a_family_trains_many_as_its_kernel_does() -> None:
    # given
    X, y, weight = rows("binary")
    for family in (models.parse("sgd"), models.parse(SGDClassifier(loss="log_loss"))):
        candidates = [family.estimator("binary", {"alpha": alpha}, seed) for seed, alpha in enumerate((0.01, 0.1))]
        # when
        family.partial_fit_many(candidates, X, y, n_classes=2, sample_weight=weight, order_seed=3)
        # then
        for candidate, alpha in zip(candidates, (0.01, 0.1), strict=True):
            expected = by_scikit_learn(SGDClassifier(loss="log_loss", alpha=alpha), X, y, weight, [3], 2)
            assert distance(candidate, expected) <= 1e-6


def test_a_family_without_a_kernel_trains_one_after_the_other() -> None:
    # given
    X, y, weight = rows("binary")
    family = models.parse("sklearn.naive_bayes:GaussianNB")
    made = [family.estimator("binary", {"var_smoothing": smoothing}, None) for smoothing in (1e-9, 1e-3)]
    # when
    family.partial_fit_many(made, X, y, n_classes=2, sample_weight=weight)
    # then
    expected = GaussianNB(var_smoothing=1e-3).partial_fit(X, y, classes=[0, 1], sample_weight=weight)
    assert np.array_equal(made[1].theta_, expected.theta_)
