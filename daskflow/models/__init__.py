"""Models: families of estimators with a default search space each; any scikit-learn estimator as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_serializer

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

ROW_BYTES = 50
"""What a fit takes for a row whatever its columns, about: target, weight, gradients, predictions."""


class Model(Settings):
    """A family of estimators.

    A family is one file: a subclass with `template` and `default_space`; what is common to all is here.

    Attributes
    ----------
    kind : str
        The family's name.
    params : mapping
        Parameters that are fixed, by scikit-learn's names (``step__param`` for those of a nested estimator); those
        of the search are set over them. ``"None"`` is None, which TOML cannot write; an estimator is a table
        with ``estimator = "package.module:Class"`` and its ``params``.
    tasks : tuple of str
        Tasks the family has an estimator for.
    libraries : tuple of str
        Modules that a fit imports, and workers in jobs before it: the first fit is earlier by what that takes. They
        come with daskflow; a family that names some has nothing to be checked where nobody sets a parameter.
    copies : float
        What a fit takes beside its matrix of float32, in sizes of that, as ``tests/bench/family_memory.py`` measures
        it. For estimators of which nothing is known, 2: a copy in float64.
    """

    kind: str
    params: Mapping[str, Any] = Field(default_factory=dict)

    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "regression")
    copies: ClassVar[float] = 2.0
    libraries: ClassVar[tuple[str, ...]] = ()

    @field_serializer("params")
    def _plain_params(self, params: Mapping[str, Any]) -> Any:
        """Write the parameters as plain values that `parse` reads back."""
        from daskflow.models.plain import encode

        return encode(params)

    def template(self, task: str) -> Any:
        """Return the family's unfitted estimator for a task, with the family's own defaults and nothing else."""
        raise NotImplementedError

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Return the family's lists and distributions, whatever `params` fixes."""
        return {}

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """Return an unfitted estimator.

        Parameters
        ----------
        task : str
            binary, multiclass or regression.
        params : mapping
            A candidate's parameters, set over `self.params`.
        seed : int or None
            For ``random_state``, unless the parameters or the estimator set it themselves; nested estimators get
            seeds made from it. ``n_jobs`` is 1 where nothing else is said (scikit-learn's None says it already): the
            cluster runs fits side by side.

        Raises
        ------
        SettingsError
            When the family has no estimator for the task, or a parameter does not exist (with the nearest name).
        """
        from daskflow.models import construction

        problems = self.check(task, params)
        if problems:
            raise SettingsError(problems)
        return construction.build(self.template(task), {**self.params, **params}, seed)

    def space(self, task: str) -> Mapping[str, Any]:
        """Return the default search space: lists and distributions for what `params` does not fix."""
        return {name: values for name, values in self.default_space(task).items() if name not in self.params}

    def check(self, task: str, names: Iterable[str] = ()) -> list[Problem]:
        """Return what is wrong with the fixed parameters, and with the names a search space sets.

        Parameters
        ----------
        task : str
            binary, multiclass or regression.
        names : iterable of str
            Parameters that candidates will set.

        Returns
        -------
        list of Problem
            Placed under ``model.params`` and ``search.space``; names with the nearest right one, and fixed values
            that scikit-learn's own validation refuses.
        """
        if task not in self.tasks:
            others = ", ".join(name for name, cls in REGISTRY.kinds.items() if task in cls.tasks and name != "families")
            return [Problem("model.kind", f"{self.kind} has no estimator for {task}; there is: {others}")]
        names = tuple(names)
        if self.libraries and not self.params and not names:
            return []
        from daskflow.models import construction  # loads scikit-learn, which takes a second

        try:
            template = self.template(task)
        except SettingsError as error:
            return list(error.problems)
        return construction.problems(template, self.params, names, self.further_names)

    @property
    def further_names(self) -> tuple[str, ...]:
        """Parameters that the estimator takes besides those of its ``get_params``."""
        return ()

    def is_incremental(self, task: str) -> bool:
        """Return whether the estimator learns block by block: has ``partial_fit``, and no setting that forbids it.

        scikit-learn refuses ``partial_fit`` with ``class_weight="balanced"`` and with ``early_stopping=True``.
        """
        estimator = self.estimator(task, {}, None)
        forbidden = getattr(estimator, "class_weight", None) == "balanced" or (
            getattr(estimator, "early_stopping", False) is True
        )
        return hasattr(estimator, "partial_fit") and not forbidden

    def fuses(self, task: str, params: Mapping[str, Any]) -> bool:
        """Return whether `partial_fit_many` has a faster way than one after the other for these parameters."""
        return False

    def partial_fit_many(
        self,
        estimators: Sequence[Any],
        X: Any,
        y: Any,
        *,
        n_classes: int,
        sample_weight: Any = None,
        order_seed: int = 0,
    ) -> None:
        """Bring estimators over one block of rows, in place, each as if by itself.

        Parameters
        ----------
        estimators : sequence of estimators
            Of this family, fresh or partially fitted, with any parameters each.
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Rows; read only.
        y : ndarray of shape (n_rows,)
            Class codes from 0 to ``n_classes - 1``, or numbers.
        n_classes : int
            0 for regression.
        sample_weight : ndarray of shape (n_rows,), optional
            Of the rows; not given to estimators that take none.
        order_seed : int
            Makes the one order in which all of them see the rows, where `fuses`; else each is given the rows as they
            stand, and shuffles by its own ``random_state``.
        """
        from daskflow.models import construction

        for estimator in estimators:
            construction.partial_fit(estimator, X, y, n_classes=n_classes, sample_weight=sample_weight)

    def rounds(self, task: str) -> str | None:
        """Return the name of the parameter that counts boosting rounds; None for estimators that are not boosted.

        None, too, for an estimator of an import path whose parameter has no number, as that of ``XGBClassifier()``.
        """
        from daskflow.models import boosting

        estimator = self.estimator(task, {}, None)
        found = boosting.boosting_of(estimator)
        return None if found is None else found.ROUNDS

    def continue_fit(self, estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
        """Bring a boosted estimator to `rounds` rounds in total, in place.

        The result is, bit by bit, that of one call with so many rounds on an unfitted one; also when the estimator was
        pickled in between. Where a library cannot go on like that, it is fitted from the first round on: CatBoost
        always, xgboost when it samples rows or columns, lightgbm when it samples rows, scikit-learn when it stops early
        by itself. Bins of xgboost and lightgbm are kept for the next call of this process on the same memory-mapped
        rows.

        Parameters
        ----------
        estimator : estimator
            Of this family, unfitted or with fewer rounds.
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            The same rows each time.
        y : ndarray of shape (n_rows,)
            Class codes from 0 on, or numbers.
        rounds : int
            In total.
        sample_weight : ndarray of shape (n_rows,), optional
            Of the rows.
        """
        from daskflow.models import boosting

        found = boosting.boosting_of(estimator)
        if found is None:
            raise SettingsError([Problem("model.kind", f"{type(estimator).__name__} has no boosting rounds")])
        found.continue_fit(estimator, X, y, rounds, sample_weight)

    @property
    def stored_types(self) -> tuple[str, ...]:
        """Full names of the types in a fitted model that `load_model` builds only when they are trusted by name."""
        return ()

    @property
    def members(self) -> tuple[Model, ...]:
        """The families that candidates can be of: this one alone, but for `Families`."""
        return (self,)

    def family(self, params: Mapping[str, Any]) -> Model:
        """Return the family that a candidate of these parameters is of: this one, but for `Families`."""
        return self

    def own_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a candidate's parameters as its family calls them."""
        return dict(params)

    def searched(self, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is searched when a user gave this space: that, or the default space when it is empty."""
        return dict(given or self.space(task))

    def notes(self, task: str, n_rows: int) -> list[str]:
        """Return what a user should know before so many rows are learned with this family."""
        return []

    def fit_bytes(self, task: str, n_rows: int, n_features: int) -> int:
        """Return about how many bytes a fit on all rows takes: its matrix of float32, which is mapped, and `copies`."""
        return round((1 + self.copies) * 4 * n_rows * n_features + ROW_BYTES * n_rows)

    def takes_sparse(self, task: str) -> bool:
        """Return whether the estimator fits on scipy CSR matrices, by its scikit-learn tags."""
        from daskflow.models import construction

        return construction.takes_sparse(self.estimator(task, {}, None))


REGISTRY: Registry[Model] = Registry(__name__, Model, "model")


def parse(value: Any, where: str = "model") -> Model:
    """Make a model of what a user wrote.

    Parameters
    ----------
    value : Model, str, mapping or estimator
        Settings; a family's name; an import path ``package.module:Class``; a table with ``kind`` and its options,
        where ``estimator = "package.module:Class"`` alone says ``kind = "estimator"``; a scikit-learn estimator; or a
        list of any of these, also as a table's ``kind``, to search across families.
    where : str
        The table's place in the workflow, for messages.

    Raises
    ------
    SettingsError
        With every mistake, each with the nearest right word.

    Examples
    --------
    >>> parse("ridge").kind
    'ridge'
    >>> parse({"estimator": "sklearn.naive_bayes:GaussianNB"}).estimator("binary", {}, seed=0)
    GaussianNB()
    """
    if isinstance(value, str) and (":" in value or "." in value):
        value = {"kind": "estimator", "estimator": value}
    elif isinstance(value, list | tuple):
        return _families({}, value, where)
    elif isinstance(value, Mapping) and isinstance(value.get("kind"), list | tuple):
        return _families(value, value["kind"], where)
    elif isinstance(value, Mapping):
        value = {"kind": "estimator", **value} if "estimator" in value else value
    elif hasattr(value, "fit") and not isinstance(value, Model):
        value = {"kind": "estimator", "estimator": value}
    return REGISTRY.parse(value, where=where)


def _families(options: Mapping[str, Any], kinds: Any, where: str) -> Model:
    """Make a model of several families; mistakes in their list stand where the user wrote it."""
    if "families" in options:
        raise SettingsError([Problem(f"{where}.families", "stands beside a list of kinds: name all families in that")])
    try:
        return REGISTRY.parse({**options, "kind": "families", "families": kinds}, where=where)
    except SettingsError as error:
        listed = f"{where}.families".lstrip(".")
        raise SettingsError(
            [
                Problem(
                    f"{where}.kind{p.where.removeprefix(listed)}" if p.where.startswith(listed) else p.where, p.message
                )
                for p in error.problems
            ]
        ) from None


def __getattr__(name: str) -> Any:
    """Find a family's class on first use."""
    return REGISTRY.attribute(name)
