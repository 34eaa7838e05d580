"""Every estimator of scikit-learn answers a row alike to the last bit, whatever stands beside it and in any order."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_selection import f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators
from sklearn.utils.multiclass import type_of_target
from threadpoolctl import threadpool_limits

from daskflow.bundle.steady import steady
from daskflow.models import REGISTRY

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
N_FITTED, N_ROWS = 150, 330
X = RNG.normal(size=(N_ROWS, 13))
SAID = X[:, :4].sum(axis=1) + RNG.normal(size=N_ROWS)
METHODS = ("predict", "predict_proba", "decision_function", "transform")

NO_TABLE = frozenset(
    (
        *("DictVectorizer", "FeatureHasher", "HashingVectorizer", "LabelBinarizer", "LabelEncoder"),
        *("KernelCenterer", "MultiLabelBinarizer", "PatchExtractor", "TSNE"),
    )
)
"""They take texts, mappings, labels, kernels or pictures, not rows of numbers; TSNE no new rows."""

NOT_NEGATIVE = frozenset(
    (
        *("AdditiveChi2Sampler", "ComplementNB", "LatentDirichletAllocation", "MiniBatchNMF", "MultinomialNB", "NMF"),
        *("SkewedChi2Sampler", "GammaRegressor", "PoissonRegressor", "TweedieRegressor"),
    )
)
SMALL_NUMBERS = frozenset(("CategoricalNB", "OneHotEncoder", "OrdinalEncoder"))
TWO_CLASSES = frozenset(("ClassifierChain", "FixedThresholdClassifier", "TunedThresholdClassifierCV"))
THREE_CLASSES = frozenset(("GaussianProcessClassifier", "QuadraticDiscriminantAnalysis"))
SEVERAL_TARGETS = frozenset(
    ("CCA", "ClassifierChain", "MultiOutputClassifier", "MultiOutputRegressor", "PLSCanonical", "PLSSVD")
) | {"RegressorChain"}
CLASSES = frozenset(("LinearDiscriminantAnalysis", "NeighborhoodComponentsAnalysis", "TargetEncoder"))

OWN: dict[str, dict[str, Any]] = {
    "ColumnTransformer": {"transformers": [("a", StandardScaler(), [0, 2]), ("b", "passthrough", [1])]},
    "FeatureUnion": {"transformer_list": [("a", StandardScaler()), ("b", "passthrough")]},
    "GaussianRandomProjection": {"n_components": 5},
    "RANSACRegressor": {"estimator": LinearRegression()},
    "RadiusNeighborsClassifier": {"radius": 50.0},
    "SparseCoder": {"dictionary": RNG.normal(size=(5, 13))},
    "SparseRandomProjection": {"n_components": 5},
    "SequentialFeatureSelector": {"n_features_to_select": 1, "cv": 2},
    "LatentDirichletAllocation": {"max_iter": 2, "n_components": 3},
    "DictionaryLearning": {"max_iter": 2, "n_components": 3},
    "MiniBatchDictionaryLearning": {"max_iter": 2, "n_components": 3},
    "SparsePCA": {"max_iter": 2, "n_components": 3},
    "MiniBatchSparsePCA": {"max_iter": 2, "n_components": 3},
    "AdaBoostClassifier": {"n_estimators": 3},
    "BaggingClassifier": {"n_estimators": 8},
    "CalibratedClassifierCV": {"cv": 2},
    "GenericUnivariateSelect": {"score_func": f_regression, "param": 0.5},
    "HistGradientBoostingClassifier": {"max_iter": 2},
    "HistGradientBoostingRegressor": {"max_iter": 5},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2},
    "MissingIndicator": {"features": "all"},
    "RFECV": {"cv": 2},
    "SelectFdr": {"score_func": f_regression, "alpha": 0.5},
    "SelectFpr": {"score_func": f_regression, "alpha": 0.5},
    "SelectFwe": {"score_func": f_regression, "alpha": 0.5},
    "StackingClassifier": {"cv": 2},
    "TheilSenRegressor": {"max_subpopulation": 50},
}


def every() -> dict[str, tuple[type, str]]:
    """Classes by name, with what they are for; deterministic."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            name: (cls, kind)
            for kind in ("transformer", "regressor", "classifier")
            for name, cls in all_estimators(type_filter=kind)
        }
    return {name: found[name] for name in sorted(found) if name not in NO_TABLE}


EVERY = every()


def made(name: str) -> Any:
    """An estimator, over linear models where it needs others."""
    cls, kind = EVERY[name]
    takes = inspect.signature(cls).parameters
    linear: Any = LogisticRegression if kind == "classifier" or "Classifier" in name else Ridge
    given: dict[str, Any] = {}
    if "estimators" in takes:
        given["estimators"] = [(f"m{number}", linear()) for number in range(9)]
    elif "estimator" in takes:
        given["estimator"] = linear()
    if "param_grid" in takes:
        given["param_grid"] = {"fit_intercept": [True, False]}
    if "param_distributions" in takes:
        given["param_distributions"] = {"fit_intercept": [True, False]}
    small = {"random_state": 0, "n_estimators": 9, "max_iter": 20 if name.startswith(("MLP", "Graph")) else None}
    given |= {key: value for key, value in small.items() if key in takes and value is not None}
    return cls(**{**given, **OWN.get(name, {})})


def rows_for(name: str) -> NDArray[np.float64]:
    if name in SMALL_NUMBERS:
        return np.tile(np.round(np.abs(X[:N_FITTED])).clip(0, 2), (3, 1))[:N_ROWS]
    if name == "IsotonicRegression":
        return X[:, :1]
    return np.abs(X) if name in NOT_NEGATIVE else X


def target_for(name: str) -> Any:
    kind = EVERY[name][1]
    if kind == "classifier" or name in CLASSES:
        n_classes = 2 if name in TWO_CLASSES else 3 if name in THREE_CLASSES else 9
        y: Any = np.searchsorted(np.quantile(SAID, np.arange(1, n_classes) / n_classes), SAID)
    else:
        y = np.abs(SAID) + 0.1 if name in NOT_NEGATIVE else SAID
    y = y[:N_FITTED]
    return np.stack([y, y[::-1]], axis=1) if name in SEVERAL_TARGETS or name.startswith("MultiTask") else y


def answers(estimator: Any, rows: Any) -> dict[str, NDArray[Any]]:
    found = {}
    for method in METHODS:
        if hasattr(estimator, method):
            said = getattr(estimator, method)(rows)
            said = np.stack(said, axis=1) if isinstance(said, list) else said
            found[method] = np.asarray(said.toarray() if sparse.issparse(said) else said)
    return found


def joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {method: np.concatenate([part[method] for part in parts]) for method in parts[0]}


def same_bits(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]], places: Any) -> None:
    assert found.keys() == expected.keys()
    for method, values in found.items():
        assert values.dtype == expected[method].dtype
        np.testing.assert_array_equal(values, expected[method][places], err_msg=method)


LOOKS_AT_ALL_ROWS = frozenset(("MiniBatchNMF", "NMF"))
"""They stop when all rows together change little: alone a row is answered a little otherwise."""


@pytest.mark.parametrize("name", EVERY)
def test_a_row_has_the_same_bits_alone_in_any_batch_and_in_any_order(name: str) -> None:
    for dtype in (np.float64, np.float32):
        # given
        rows = np.ascontiguousarray(rows_for(name), dtype=dtype)
        estimator = made(name).fit(rows[:N_FITTED], target_for(name))
        own = answers(estimator, rows)
        made_steady = steady(estimator)
        # when
        whole = answers(made_steady, rows)
        # then it has answers, and says what the estimator says
        assert whole
        if name not in LOOKS_AT_ALL_ROWS:
            for method, said in whole.items():
                scale = float(np.abs(own[method]).max()) or 1.0
                np.testing.assert_allclose(said, own[method], rtol=1e-4, atol=1e-5 * scale, err_msg=method)
        # and rows that stand together otherwise have the same bits
        for size, stop in ((1, 20), (2, 20), (3, 21), (7, 70), (64, 192), (200, N_ROWS)):
            parts = [answers(made_steady, rows[at : at + size]) for at in range(0, stop, size)]
            same_bits(joined(parts), whole, np.arange(len(joined(parts)[next(iter(whole))])))
        order = np.random.default_rng(1).permutation(N_ROWS)
        same_bits(answers(made_steady, rows[order]), whole, order)
        same_bits(answers(made_steady, np.asfortranarray(rows)), whole, slice(None))
        for n_threads in (1, 2):
            with threadpool_limits(n_threads):
                same_bits(answers(steady(estimator), rows[:100]), whole, slice(100))


def test_the_survey_is_of_all_estimators() -> None:
    assert len(EVERY) > 150
    assert {type_of_target(target_for(name)) for name in EVERY} >= {"binary", "multiclass", "continuous"}


KINDS = [
    (kind, task)
    for kind, cls in REGISTRY.kinds.items()
    for task in ("binary", "multiclass", "regression")
    if task in cls.tasks and kind not in ("families", "estimator")
]


@pytest.mark.parametrize(("kind", "task"), KINDS)
def test_every_family_answers_a_row_with_the_same_bits(kind: str, task: str) -> None:
    # given: more columns than trees of neighbours take, and more classes than numpy adds one by one
    rows = RNG.normal(size=(N_ROWS, 21)).astype(np.float32)
    said = rows[:, :4].sum(axis=1)
    n_classes = {"binary": 2, "multiclass": 9}.get(task, 0)
    bounds = np.quantile(said, np.arange(1, n_classes) / n_classes) if n_classes else None
    model = REGISTRY.get(kind)()
    names = [*model.template(task).get_params(), *model.further_names]
    few = {"n_estimators": 9, "iterations": 9, "max_iter": 30, "estimator__max_iter": 3}
    params = {name: value for name, value in few.items() if name in names}
    estimator = model.estimator(task, params, seed=0)
    estimator.fit(rows, said if bounds is None else np.searchsorted(bounds, said))
    # when
    made_steady = steady(estimator)
    whole = answers(made_steady, rows)
    # then
    for size, stop in ((1, 20), (2, 20), (7, 70), (64, 192), (200, N_ROWS)):
        found = joined([answers(made_steady, rows[at : at + size]) for at in range(0, stop, size)])
        same_bits(found, whole, slice(min(stop + (-stop) % size, N_ROWS)))
