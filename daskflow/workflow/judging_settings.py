"""Settings of how a run's model decides, and of how it is judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from daskflow.core.errors import DataError
from daskflow.core.settings import Settings
from daskflow.data.schema import Target
from daskflow.metrics.thresholds import cost_matrix

Rule = Literal["f1", "balanced_accuracy", "youden", "mcc", "cost"]


class DecisionSettings(Settings):
    """What stands between the estimator's probabilities and the answers: the table ``[decision]``.

    Both are fitted on predictions of rows that the predicting model has not seen: of the validation rows of all folds,
    by the models of the folds, before the refit. The test rows have no part in it.

    Attributes
    ----------
    calibrate : str or None
        ``isotonic``, ``sigmoid`` (Platt) or ``temperature``; default: probabilities stay as the estimator gives them.
    threshold : float, str or None
        Binary tasks: from which probability on the answer is the positive class. A number, or the rule that chooses
        it: ``f1``, ``balanced_accuracy``, ``youden``, ``mcc``, ``cost``. Default: the estimator's own answer.
    costs : list of two lists of two numbers, optional
        What a row costs: ``[[true negative, false positive], [false negative, true positive]]``. Given alone the
        threshold is chosen by it.

    Examples
    --------
    >>> DecisionSettings(costs=[[0, 1], [10, 0]]).rule
    'cost'
    """

    calibrate: Literal["isotonic", "sigmoid", "temperature"] | None = None
    threshold: (
        Annotated[float, Field(strict=True)] | Literal["f1", "balanced_accuracy", "youden", "mcc", "cost"] | None
    ) = None
    costs: tuple[tuple[float, float], tuple[float, float]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> DecisionSettings:
        """A cost rule needs costs, and a number is a probability."""
        if self.costs is not None:
            try:
                cost_matrix(self.costs)
            except DataError as error:
                raise ValueError(str(error)) from None
        if self.threshold == "cost" and self.costs is None:
            raise ValueError("threshold = 'cost' needs costs = [[tn, fp], [fn, tp]]")
        if isinstance(self.threshold, float) and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold should lie between 0 and 1 (found {self.threshold})")
        return self

    @property
    def rule(self) -> float | str | None:
        """The threshold, or the rule that chooses it."""
        return "cost" if self.threshold is None and self.costs is not None else self.threshold

    @property
    def is_active(self) -> bool:
        """Whether anything is asked."""
        return self.calibrate is not None or self.rule is not None

    @property
    def is_learned(self) -> bool:
        """Whether predictions of unseen rows are needed for it."""
        return self.calibrate is not None or isinstance(self.rule, str)

    def misfit_of_task(self, task: str | None) -> str:
        """Say why it cannot be had for a task that the user named; empty when it can, or when nobody named one."""
        if task == "regression":
            return "calibration, threshold and costs are for classes, and the task is regression"
        if task == "multiclass" and (self.rule is not None or self.costs is not None):
            return "threshold and costs are for two classes, and the task is multiclass"
        return ""

    def misfit(self, target: Target) -> str:
        """Say why it cannot be had for a target; empty when it can."""
        if self.calibrate is not None and not target.task.is_classification:
            return f"calibrate is for classes, and '{target.name}' is a number"
        if (self.rule is not None or self.costs is not None) and len(target.classes) != 2:
            return f"threshold and costs are for two classes, and '{target.name}' has {len(target.classes) or 'none'}"
        return ""


class EvaluationSettings(Settings):
    """How a run's model is judged: the table ``[evaluation]``.

    Attributes
    ----------
    replicates : int
        Resamples that 95 % intervals are taken from; 0 for none.
    slices : bool or list of str
        Whether errors are shown by groups of rows; a list names the columns, dropped ones among them. Default: all that
        a model sees, and the group and the time.
    explain : bool
        Whether importances of the columns and partial dependence are computed.
    explain_rows : int
        Test rows they are computed on.
    explain_seconds : float
        Wall time after which nothing new is begun; what is left out is named.
    repeats : int
        How often each column is permuted.
    dependence : int or list of str
        Columns of which partial dependence is shown: so many of the most important, or those named.
    shap : bool
        Whether SHAP values are computed; those of trees need the extra ``shap``.
    learning_curve : bool or "auto"
        Whether the best candidate is fitted on parts of the rows. ``auto``: where that takes at most a fifth of what
        the search took, or 10 seconds.
    predictions : bool
        Whether the predictions of the test rows are kept in the run's folder; `compare` pairs runs by them.
    """

    replicates: int = Field(default=500, ge=0, le=100_000)
    slices: Annotated[bool, Field(strict=True)] | tuple[str, ...] = True
    explain: bool = True
    explain_rows: int = Field(default=5_000, ge=10)
    explain_seconds: float = Field(default=30.0, ge=0)
    repeats: int = Field(default=5, ge=1, le=1_000)
    dependence: Annotated[int, Field(strict=True, ge=0)] | tuple[str, ...] = 6
    shap: bool = True
    learning_curve: bool | Literal["auto"] = "auto"
    predictions: bool = True

    def named(self, word: str) -> tuple[str, ...]:
        """Return the columns that an option names; none where it is a number or a truth."""
        value = getattr(self, word)
        return tuple(dict.fromkeys(value)) if isinstance(value, tuple) else ()

    def changes(self) -> dict[str, Any]:
        """Return what is not as by default: what a run's ID is made from."""
        usual = EvaluationSettings().dump()
        return {word: value for word, value in self.dump().items() if value != usual[word]}
