"""Scikit-learn estimators that fit one member per part of the rows and let them decide together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from dask import is_dask_collection
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state, column_or_1d, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from daskflow.core.errors import DataError
from daskflow.core.seeds import seed_of
from daskflow.models.parts import combining, dask_parts
from daskflow.models.parts.members import Member, fit_member, says, warn_of_weights
from daskflow.models.parts.notes import PartitionWarning, sentences

Combine = Literal["soft", "weighted", "stacked"]
Partitions = Literal["shuffled", "source"]

PART_ROWS, FEWEST_PARTS, MOST_PARTS = 25_000, 2, 16
"""Rows of a part by default, while there are not fewer or more parts than this."""


def usual_parts(n_rows: int) -> int:
    """Return into how many parts rows are cut where nothing is said."""
    return min(max(n_rows // PART_ROWS, FEWEST_PARTS), MOST_PARTS, max(n_rows, 1))


class PartitionEnsemble(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the classifier and the regressor have in common; see there."""

    _is_classification = True

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_parts": [Interval(Integral, 1, None, closed="left"), None],
        "combine": [StrOptions(set(get_args(Combine)))],
        "partitions": [StrOptions(set(get_args(Partitions)))],
        "probe_rows": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_parts: int | None = None,
        combine: Combine = "soft",
        partitions: Partitions = "shuffled",
        probe_rows: int = 20_000,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_parts = n_parts
        self.combine = combine
        self.partitions = partitions
        self.probe_rows = probe_rows
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None, parts: Any = None) -> Self:
        """Cut the rows into parts and fit a member on each.

        Parameters
        ----------
        X : array, CSR matrix, DataFrame, dask Array or dask DataFrame of shape (n_rows, n_features)
            Of dask collections no rows come here but those that are probed: members are fitted where the partitions
            are, and computed by the default scheduler, which is that of the current ``distributed.Client``. One
            partition is one part; with ``partitions = "shuffled"`` the partitions are dealt out first.
        y : array-like of shape (n_rows,)
            Labels or numbers; for dask collections of the same partitions.
        sample_weight : array-like of shape (n_rows,), optional
            Of the rows, in fits as far as the estimator takes them, and in the members' weights.
        parts : array-like of shape (n_rows,), optional
            The part each row belongs to, by any labels: a site, a year, a file. It overrules `n_parts` and
            `partitions`. Not for dask collections.

        Raises
        ------
        DataError
            When there are fewer rows than parts, or lengths differ.
        ValueError
            For values that an option cannot have.

        Warns
        -----
        PartitionWarning
            When parts have a single class, lack classes, or hold other rows than the rest.
        """
        self._validate_params()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        if is_dask_collection(X):
            if parts is not None:
                raise DataError("parts is for rows in memory; a dask collection's parts are its partitions.")
            return self._put_together(*dask_parts.fit_parts(self, X, y, sample_weight, seed))
        X = _indexable(X)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y, sample_weight, parts)
        if self._is_classification:
            check_classification_targets(y)
        validate_data(self, X, y, skip_check_array=True)
        order, bounds = self._cut(len(y), parts, seed)
        probe = self._probe(bounds, seed)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if weight is not None:
            warn_of_weights(self.template())
        asked = _taken(X, order, probe) if len(probe) else None
        members = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_one)(self, number, seed, X, y, weight, order, rows, asked)
            for number, rows in enumerate(bounds)
        )
        truth = _taken(y, order, probe)
        return self._put_together(
            members, _owners(bounds, probe), truth, None if weight is None else _taken(weight, order, probe)
        )

    def template(self) -> Any:
        """Return the unfitted estimator that members are copies of."""
        if self.estimator is not None:
            return self.estimator
        family = HistGradientBoostingClassifier if self._is_classification else HistGradientBoostingRegressor
        return family(early_stopping=False)

    def bounds(self, n_rows: int) -> list[tuple[int, int]]:
        """Return first row and end of each part, of rows that stand in their final order.

        Raises
        ------
        DataError
            When there are fewer rows than parts.
        """
        wanted = self.n_parts or usual_parts(n_rows)
        if n_rows < wanted:
            raise DataError(f"{n_rows} rows cannot be cut into n_parts = {wanted} parts; take fewer parts.")
        cuts = np.linspace(0, n_rows, wanted + 1).astype(np.int64)
        return [(int(first), int(stop)) for first, stop in pairwise(cuts)]

    def probe(self, bounds: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """Return the rows, equally many of each part, that all members are asked for; none when nothing is weighed."""
        return self._probe(bounds, self._fixed_seed())

    def fit_member(self, number: int, X: Any, y: Any, sample_weight: Any = None, probe_X: Any = None) -> Member:
        """Fit the member of a part whose rows are given.

        ``random_state`` should be an int: members that are fitted apart cannot draw from one generator; None is 0.
        """
        return fit_member(
            self.template(),
            number,
            self._fixed_seed(),
            X,
            y,
            sample_weight,
            probe_X,
            is_classification=self._is_classification,
        )

    def assemble(self, members: Sequence[Member], probe: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Become fitted with members of parts that follow each other; `y` is the truth of the probed rows."""
        ends = np.cumsum([member.notes.n_rows for member in members])
        return self._put_together(members, np.searchsorted(ends, probe, side="right"), y, sample_weight)

    def _fixed_seed(self) -> int:
        return self.random_state if isinstance(self.random_state, int) else 0

    def _cut(self, n_rows: int, parts: Any, seed: int) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
        """Return the rows' order, and where the parts stand in it; a part's rows keep their order."""
        if parts is not None:
            labels, codes = np.unique(np.asarray(parts), return_inverse=True)
            ends = np.cumsum(np.bincount(codes, minlength=len(labels)))
            return np.argsort(codes, kind="stable"), list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))
        bounds = self.bounds(n_rows)
        if self.partitions == "source" or len(bounds) == 1:
            return np.arange(n_rows), bounds
        order = np.random.RandomState(seed_of(seed, "parts")).permutation(n_rows)
        for first, stop in bounds:
            order[first:stop].sort()
        return order, bounds

    def _probe(self, bounds: Sequence[tuple[int, int]], seed: int) -> NDArray[np.int64]:
        if self.combine == "soft" or len(bounds) < 2:
            return np.empty(0, dtype=np.int64)
        each = max(1, self.probe_rows // len(bounds))
        found = []
        for number, (first, stop) in enumerate(bounds):
            random = np.random.RandomState(seed_of(seed, "probe", number))
            found.append(first + np.sort(random.permutation(stop - first)[:each]))
        return np.concatenate(found)

    def _put_together(self, members: Sequence[Member], owners: NDArray[np.int64], truth: Any, weight: Any) -> Self:
        """Keep the members, and decide on their weights by what they said of rows of other parts."""
        for text in sentences([member.notes for member in members]):
            warnings.warn(text, PartitionWarning, stacklevel=3)
        self.estimators_ = [member.estimator for member in members]
        self.part_rows_ = np.array([member.notes.n_rows for member in members])
        self._take_shape(members)
        if self._is_classification:
            labels = [member.notes.labels for member in members if member.notes.labels is not None]
            self.classes_ = np.unique(np.concatenate(labels))
        n_members = len(members)
        self.weights_ = np.full(n_members, 1 / n_members)
        self.final_estimator_: Any = None
        if self.combine != "soft" and n_members > 1:
            self._weigh(members, owners, np.asarray(truth), weight)
        return self

    def _take_shape(self, members: Sequence[Member]) -> None:
        """Know the columns, where the rows were never here."""
        for name in ("n_features_in_", "feature_names_in_"):
            known = [getattr(member.estimator, name) for member in members if hasattr(member.estimator, name)]
            if known and not hasattr(self, name):
                setattr(self, name, known[0])

    def _weigh(self, members: Sequence[Member], owners: NDArray[np.int64], truth: Any, weight: Any) -> None:
        """Set the members' weights, or the final estimator."""
        said = np.stack([self._wide(member.estimator, np.asarray(member.probed)) for member in members])
        is_out = owners[None, :] != np.arange(len(members))[:, None]
        counted = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
        if self.combine == "weighted":
            told = (truth[:, None] == self.classes_[None, :]) if self._is_classification else truth[:, None]
            self.weights_ = combining.earned_weights(said, told.astype(np.float64), counted, is_out)
            return
        learned = combining.features(combining.without_own(said, is_out), is_classification=self._is_classification)
        if self._is_classification and len(np.unique(truth)) < 2:
            return  # nothing to learn from: the members stay equal
        final = combining.final_estimator(is_classification=self._is_classification)
        name = final.steps[-1][0]
        self.final_estimator_ = final.fit(learned, truth, **{f"{name}__sample_weight": counted})

    def _wide(self, estimator: Any, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give a member's predictions all classes."""
        return combining.aligned(said, estimator.classes_, self.classes_) if self._is_classification else said

    def _combined(self, X: Any) -> Any:
        """Return probabilities of all classes, or numbers, shape (n_rows, n_outputs)."""
        check_is_fitted(self)
        X = _indexable(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        if self.final_estimator_ is None:
            return sum(w * self._says(est, X) for w, est in zip(self.weights_, self.estimators_, strict=True) if w > 0)
        said = np.stack([self._says(estimator, X) for estimator in self.estimators_])
        learned = combining.features(said, is_classification=self._is_classification)
        if not self._is_classification:
            return np.asarray(self.final_estimator_.predict(learned), dtype=np.float64).reshape(-1, 1)
        given = np.asarray(self.final_estimator_.predict_proba(learned))
        return combining.aligned(given, self.final_estimator_.classes_, self.classes_)

    def _says(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """What a member says of rows, of all classes."""
        return self._wide(estimator, says(estimator, X, is_classification=self._is_classification))

    def __sklearn_tags__(self) -> Any:
        """Take sparse rows and gaps where the members do."""
        tags = super().__sklearn_tags__()
        own = get_tags(self.template()).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = own.sparse, own.allow_nan
        return tags


class PartitionEnsembleClassifier(ClassifierMixin, PartitionEnsemble):  # type: ignore[misc]  # as above
    """One classifier per part of the rows; they decide together by their probabilities.

    Each member sees its own rows only, so that the fits run side by side, each where its rows are, and none needs more
    memory than one part. What that costs in accuracy is what a model of so many rows lacks against one of all of them.

    Parameters
    ----------
    estimator : classifier, optional
        Members are copies of it, each with a seed of its own. Default: ``HistGradientBoostingClassifier`` without
        early stopping. Without ``predict_proba`` a member votes: 1 for the class it predicts.
    n_parts : int, optional
        Default: one for each 25,000 rows, between 2 and 16; of dask collections one for each partition.
    combine : {"soft", "weighted", "stacked"}
        ``soft``: the mean of the probabilities. ``weighted``: a mean weighted by how much better than a constant guess
        a member is (Brier's score) on rows of other parts. ``stacked``: a logistic regression on the members' log
        odds, learned on rows of which each member's own are left out.
    partitions : {"shuffled", "source"}
        ``shuffled``: each part is a random sample of the rows. ``source``: a part is a run of rows as they come (of
        dask collections, a partition). Rows that come in the order of time, place or class give members that each
        know one of them: a `PartitionWarning` says so.
    probe_rows : int
        About how many rows, equally many from each part, decide on the weights.
    n_jobs : int, optional
        Members fitted at once, of rows in memory; default 1.
    random_state : int, RandomState or None
        Of the parts, the probed rows and the members.

    Attributes
    ----------
    estimators_ : list of classifiers
        One for each part; of a part with one class it is a ``DummyClassifier``.
    classes_ : ndarray
        All classes of all parts; a member that lacks one gives it no probability.
    weights_ : ndarray of shape (n_parts,)
        Sums to 1.
    final_estimator_ : Pipeline or None
        Of ``stacked``. A class that no probed row has gets no probability from it.
    part_rows_ : ndarray of shape (n_parts,)
        Rows of each part.

    References
    ----------
    Wolpert (1992), Stacked generalization, Neural Networks 5: 241-259.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = make_classification(1000, 8, random_state=0)
    >>> model = PartitionEnsembleClassifier(GaussianNB(), n_parts=4, combine="weighted", random_state=0).fit(X, y)
    >>> len(model.estimators_), model.predict_proba(X).shape
    (4, (1000, 2))
    """

    _is_classification = True

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, n_classes) in the order of ``classes_``; lazy for dask collections."""
        if is_dask_collection(X):
            return dask_parts.lazily(self.predict_proba, X, np.empty((0, len(self.classes_))))
        return self._combined(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable class of each row; lazy for dask collections."""
        if is_dask_collection(X):
            return dask_parts.lazily(self.predict, X, self.classes_[:0])
        probabilities = self._combined(X)
        return self.classes_[probabilities.argmax(axis=1)]


class PartitionEnsembleRegressor(RegressorMixin, PartitionEnsemble):  # type: ignore[misc]  # as above
    """One regressor per part of the rows; they decide together.

    Parameters
    ----------
    estimator : regressor, optional
        Members are copies of it, each with a seed of its own. Default: ``HistGradientBoostingRegressor`` without
        early stopping.
    n_parts, partitions, probe_rows, n_jobs, random_state
        As for `PartitionEnsembleClassifier`.
    combine : {"soft", "weighted", "stacked"}
        ``soft``: the mean. ``weighted``: a mean weighted by how much better than the mean of the target a member is
        (squared error) on rows of other parts. ``stacked``: a ridge regression on the members' predictions.

    Attributes
    ----------
    estimators_, weights_, final_estimator_, part_rows_
        As of `PartitionEnsembleClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.linear_model import Ridge
    >>> X, y = make_regression(1000, 8, random_state=0)
    >>> model = PartitionEnsembleRegressor(Ridge(), n_parts=4, random_state=0).fit(X, y)
    >>> round(model.score(X, y), 3)
    1.0
    """

    _is_classification = False

    def predict(self, X: Any) -> Any:
        """Return a number for each row; lazy for dask collections."""
        if is_dask_collection(X):
            return dask_parts.lazily(self.predict, X, np.empty(0))
        return self._combined(X)[:, 0]


def _fit_one(
    ensemble: PartitionEnsemble,
    number: int,
    seed: int,
    X: Any,
    y: Any,
    weight: Any,
    order: NDArray[np.int64],
    rows: tuple[int, int],
    asked: Any,
) -> Member:
    """Fit the member of some rows of an order: a slice where they follow each other, else a copy."""
    first, stop = rows
    mine: Any = order[first:stop]
    if len(mine) and mine[-1] - mine[0] == stop - first - 1:
        mine = slice(int(mine[0]), int(mine[-1]) + 1)
    return fit_member(
        ensemble.template(),
        number,
        seed,
        _safe_indexing(X, mine),
        y[mine],
        None if weight is None else weight[mine],
        asked,
        is_classification=ensemble._is_classification,
    )


def _indexable(X: Any) -> Any:
    """Rows that can be cut: CSR for sparse ones, an array for lists."""
    if hasattr(X, "tocsr"):
        return X.tocsr()
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2:
        raise ValueError(f"X has {len(X.shape)} dimensions, not 2. Reshape your data: X.reshape(1, -1) is one row.")
    return X


def _taken(values: Any, order: NDArray[np.int64], places: NDArray[np.int64]) -> Any:
    return _safe_indexing(values, order[places])


def _owners(bounds: Sequence[tuple[int, int]], probe: NDArray[np.int64]) -> NDArray[np.int64]:
    """The part of each probed place."""
    return np.searchsorted([stop for _, stop in bounds], probe, side="right")
