"""Estimators that are made of others, with each of these made steady; and those that look at each row by itself.

An estimator over others asks them and adds or compares what they say. So its answer for a row depends on the rows
beside it only as far as theirs do, and a copy with steady members is steady.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from daskflow.bundle.steady_blocks import METHODS, at_least_two, in_blocks, in_few_blocks, shared_out
from daskflow.bundle.steady_neighbours import has_products, steady_neighbours

KNOWN = ("sklearn", "daskflow", "dask_ml")
"""Packages whose estimators are known to look at no row for another; a class of a user's own may."""

TREES = ("xgboost", "lightgbm", "catboost")
"""Libraries whose models add up the trees' answers row by row."""

MEMBERS = {
    "ASHASearchCV": ("best_estimator_",),
    "_CalibratedClassifier": ("estimator",),
    "AdaBoostClassifier": ("estimators_",),
    "AdaBoostRegressor": ("estimators_",),
    "BaggingClassifier": ("estimators_",),
    "BaggingRegressor": ("estimators_",),
    "BlockwiseVotingClassifier": ("estimators_",),
    "BlockwiseVotingRegressor": ("estimators_",),
    "CalibratedClassifierCV": ("calibrated_classifiers_",),
    "ClassifierChain": ("estimators_",),
    "ColumnTransformer": ("transformers_",),
    "FeatureUnion": ("transformer_list",),
    "FixedThresholdClassifier": ("estimator_",),
    "GradientBoostingClassifier": ("init_",),
    "GradientBoostingRegressor": ("init_",),
    "GridSearchCV": ("best_estimator_",),
    "HalvingGridSearchCV": ("best_estimator_",),
    "HalvingRandomSearchCV": ("best_estimator_",),
    "HyperbandSearchCV": ("best_estimator_",),
    "Incremental": ("estimator_",),
    "IncrementalSearchCV": ("best_estimator_",),
    "InverseDecaySearchCV": ("best_estimator_",),
    "MultiOutputClassifier": ("estimators_",),
    "MultiOutputRegressor": ("estimators_",),
    "OneVsOneClassifier": ("estimators_",),
    "OneVsRestClassifier": ("estimators_",),
    "ParallelPostFit": ("estimator",),
    "RANSACRegressor": ("estimator_",),
    "RFE": ("estimator_",),
    "RFECV": ("estimator_",),
    "RandomizedSearchCV": ("best_estimator_",),
    "RegressorChain": ("estimators_",),
    "SelfTrainingClassifier": ("estimator_",),
    "StackingClassifier": ("estimators_", "final_estimator_"),
    "StackingRegressor": ("estimators_", "final_estimator_"),
    "SuccessiveHalvingSearchCV": ("best_estimator_",),
    "TPEHyperbandSearchCV": ("best_estimator_",),
    "TPESearchCV": ("best_estimator_",),
    "TransformedTargetRegressor": ("regressor_",),
    "TunedThresholdClassifierCV": ("estimator_",),
    "VotingClassifier": ("estimators_",),
    "VotingRegressor": ("estimators_",),
}
"""Attributes that hold the fitted members, by class: an estimator, or a list of them or of tuples with them."""

BY_ROW = frozenset(
    (
        # trees
        *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"),
        *("ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"),
        *("GradientBoostingRegressor", "HistGradientBoostingRegressor", "RandomTreesEmbedding"),
        # support vectors: libsvm goes row by row
        *("NuSVC", "NuSVR", "SVC", "SVR"),
        # a constant, or a table
        *("DummyClassifier", "DummyRegressor", "CategoricalNB", "IsotonicRegression"),
        # column by column
        *("Binarizer", "KBinsDiscretizer", "LabelBinarizer", "LabelEncoder", "MaxAbsScaler", "MinMaxScaler"),
        *("MissingIndicator", "OneHotEncoder", "OrdinalEncoder", "PolynomialFeatures", "PowerTransformer"),
        *("QuantileTransformer", "RobustScaler", "SimpleImputer", "SplineTransformer", "StandardScaler"),
        *("BlockTransformer", "Categorizer", "DummyEncoder", "FunctionTransformer", "Preprocessor", "TargetEncoder"),
        # a choice of columns
        *("GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe", "SelectKBest"),
        *("SelectPercentile", "SequentialFeatureSelector", "VarianceThreshold"),
        # texts and mappings
        *("CountVectorizer", "DictVectorizer", "FeatureHasher", "HashingVectorizer", "TfidfVectorizer"),
        "TfidfTransformer",
    )
)
"""Classes that look at each row by itself, in an order that is the same for every number of rows."""

ADDS_UP = frozenset(("GaussianNB", "GradientBoostingClassifier", "HistGradientBoostingClassifier"))
"""Classes that only add up what they found for each class."""

ALL_ROWS = frozenset(
    (
        *("GaussianProcessClassifier", "GaussianProcessRegressor", "KernelRidge", "KernelPCA", "Isomap"),
        *("KNeighborsClassifier", "KNeighborsRegressor", "KNeighborsTransformer", "KNNImputer"),
        *("LabelPropagation", "LabelSpreading", "LocallyLinearEmbedding"),
        *("RadiusNeighborsClassifier", "RadiusNeighborsRegressor", "RadiusNeighborsTransformer"),
    )
)
"""Classes that compare each row with all rows of training."""

Maker = Callable[[Any], Any]


def is_known(estimator: Any) -> bool:
    """Whether an estimator's class is of a package that is known here, and not a user's own."""
    return type(estimator).__module__.partition(".")[0] in KNOWN


def steady_whole(estimator: Any, member: Maker) -> Any:
    """Return a steady copy of an estimator that is neither linear nor a network; itself where nothing is to be done.

    Parameters
    ----------
    estimator : object
        Fitted; it is not changed.
    member : callable
        Makes a member steady; what it returns can stand in the member's place.
    """
    name = type(estimator).__name__
    if not is_known(estimator):
        return estimator
    if name == "FrozenEstimator":
        return member(estimator.estimator)
    if name in BY_ROW and not _has_other_init(estimator):
        return _in_turn(estimator)
    if name in MEMBERS and (name not in ADDS_UP or _has_other_init(estimator)):
        return at_least_two(_with_members(estimator, member))
    if name in ADDS_UP:
        return at_least_two(estimator)
    if getattr(estimator, "_fit_method", None) in ("kd_tree", "ball_tree"):  # they go through the tree row by row
        return estimator
    if name in ("KNeighborsClassifier", "KNeighborsRegressor") and has_products(estimator):
        return steady_neighbours(estimator)
    if not any(hasattr(estimator, method) for method in METHODS):
        return estimator
    return in_few_blocks(estimator) if name in ALL_ROWS else in_blocks(estimator)


def unsteady(estimator: Any) -> tuple[str, ...]:
    """Name the classes in an estimator whose answers for a row may depend on the rows beside it.

    These are the classes of a user's own and of libraries that are not known here. Nobody has looked at how they
    compute; most of them answer alike up to the last bits.

    Parameters
    ----------
    estimator : object
        Fitted.

    Returns
    -------
    tuple of str
        Full names, each once, in sorted order; empty for an estimator that is steady.
    """
    return tuple(sorted(set(_unknown(estimator))))


def _unknown(estimator: Any) -> Iterator[str]:
    """Names of classes, with repetitions."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and hasattr(estimator, "named_steps"):
        members = [step for _, step in steps if not is_no_step(step)]
    elif hasattr(estimator, "part_rows_"):
        members = [*estimator.estimators_, *filter(None, [getattr(estimator, "final_estimator_", None)])]
    elif is_known(estimator):
        members = list(_members_of(estimator))
        yield from _functions_of(estimator)
    else:
        module = type(estimator).__module__
        if module.partition(".")[0] not in TREES:
            yield f"{module}.{type(estimator).__qualname__}"
        return
    for member in members:
        yield from _unknown(member)


def _functions_of(estimator: Any) -> Iterator[str]:
    """Yield the names of a user's functions that an estimator calls for rows, such as a metric or a transformation."""
    params = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        is_called = isinstance(value, FunctionType) and name not in ("score_func", "scoring", "refit")
        if is_called and value.__module__.partition(".")[0] not in KNOWN:
            yield f"{value.__module__}.{value.__qualname__}"


def _members_of(estimator: Any) -> Iterator[Any]:
    """Yield the fitted estimators that an estimator is made of."""
    name = type(estimator).__name__
    attributes = ("estimator",) if name == "FrozenEstimator" else MEMBERS.get(name, ())
    for attribute in attributes:
        yield from _members(getattr(estimator, attribute, None))


def _members(held: Any) -> Iterator[Any]:
    if isinstance(held, list | tuple):
        for each in held:
            yield from _members(each)
    elif hasattr(held, "get_params") or hasattr(held, "predict_proba"):
        yield held


def _with_members(estimator: Any, member: Maker) -> Any:
    """Return a copy with steady members, which asks them one after the other."""
    made = copy.copy(estimator)
    for attribute in MEMBERS[type(estimator).__name__]:
        held = getattr(estimator, attribute, None)
        if held is not None:
            setattr(made, attribute, _replaced(held, member))
    return _in_turn(made)


def _replaced(held: Any, member: Maker) -> Any:
    """The same lists and tuples with steady members."""
    if isinstance(held, list):
        return [_replaced(each, member) for each in held]
    if isinstance(held, tuple):
        return tuple(_replaced(each, member) for each in held)
    return member(held) if hasattr(held, "get_params") or hasattr(held, "predict_proba") else held


def _in_turn(estimator: Any) -> Any:
    """Return an estimator that adds up its members in their order, and not as threads come to an end."""
    n_jobs = getattr(estimator, "n_jobs", None)
    return estimator if n_jobs in (None, 1) else shared_out(estimator, n_jobs)


def _has_other_init(estimator: Any) -> bool:
    """Whether boosting begins with an estimator of the user's choice."""
    return getattr(estimator, "init", None) not in (None, "zero")


def is_no_step(step: Any) -> bool:
    """Whether a step is left out."""
    return step is None or (isinstance(step, str) and step == "passthrough")
