"""One model per part of the rows, fitted where they lie, that decide together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator

import daskflow.models
from daskflow.core.errors import Problem, SettingsError
from daskflow.models import Model
from daskflow.models.parts.estimators import (
    Combine,
    PartitionEnsembleClassifier,
    PartitionEnsembleRegressor,
    usual_parts,
)

__all__ = ["PartitionEnsemble", "PartitionEnsembleClassifier", "PartitionEnsembleRegressor"]

NESTED = "estimator__"
"""What the base's parameters begin with among those of the ensemble."""


class PartitionEnsemble(Model):
    """One estimator per part of the rows; the parts are fitted at once, none needs more memory than its rows.

    Its estimators, `PartitionEnsembleClassifier` and `PartitionEnsembleRegressor`, fit on dask collections too.

    Attributes
    ----------
    base : Model
        The family of the members: a name, a table with ``kind`` and ``params``, an import path or an estimator. Its
        parameters are ``estimator__NAME`` in `params` and in a search's space.
    n_parts : int or None
        Parts; default one for each 25,000 rows, between 2 and 16.
    combine : {"soft", "weighted", "stacked"}
        The mean of what the members say; a mean weighted by how good each is on rows of other parts; or a small
        logistic or ridge regression on what they say of rows of other parts.
    partitions : {"shuffled"}
        Every part is a sample of all rows, drawn by hash: the order of training. ``"source"``, a part for each
        partition as it lies, is an option of the estimator on dask collections; it is refused here, for a workflow's
        results do not depend on how files are cut.
    probe_rows : int
        About how many rows decide on those weights.

    Examples
    --------
    >>> model = PartitionEnsemble(base="sgd", n_parts=4, combine="weighted")
    >>> made = model.estimator("binary", {"estimator__alpha": 0.01}, seed=7)
    >>> made.n_parts, made.estimator.alpha
    (4, 0.01)
    """

    kind: Literal["partition_ensemble"] = "partition_ensemble"
    base: Any = "hist_gradient_boosting"
    n_parts: int | None = Field(default=None, ge=1)
    combine: Combine = "soft"
    partitions: Literal["shuffled", "source"] = "shuffled"
    probe_rows: int = Field(default=20_000, ge=1)

    @field_validator("base")
    @classmethod
    def _is_a_family(cls, value: Any) -> Model:
        """Read the members' family as a model of its own is read."""
        try:
            family = daskflow.models.parse(value, where="")
        except SettingsError as error:
            raise SettingsError([Problem(p.where.removeprefix("."), p.message) for p in error.problems]) from None
        if isinstance(family, PartitionEnsemble):
            raise ValueError("should be another family: an ensemble of ensembles is one of more parts")
        if family.members != (family,):
            raise ValueError(
                "should be one family, that of all members; a search over families has one ensemble of each"
            )
        return family

    @field_validator("partitions")
    @classmethod
    def _is_shuffled(cls, value: str) -> str:
        """Say where members by partition are to be had."""
        if value == "source":
            raise ValueError(
                "should be 'shuffled': rows of a workflow come in training order. For a member per file fit "
                "PartitionEnsembleClassifier(partitions='source') on a dask DataFrame"
            )
        return value

    @field_serializer("base")
    def _plain_base(self, base: Model) -> dict[str, Any]:
        """Write the family as a table."""
        return base.dump()

    @property
    def stored_types(self) -> tuple[str, ...]:
        """Those of its members."""
        return tuple(self.base.stored_types)

    def template(self, task: str) -> Any:
        """Return the ensemble of the family's unfitted estimator."""
        family = PartitionEnsembleRegressor if task == "regression" else PartitionEnsembleClassifier
        return family(
            self.base.estimator(task, {}, None),
            n_parts=self.n_parts,
            combine=self.combine,
            partitions="source",
            probe_rows=self.probe_rows,
        )

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The family's space, under the ensemble's names."""
        return {f"{NESTED}{name}": values for name, values in self.base.space(task).items()}

    def fit_bytes(self, task: str, n_rows: int, n_features: int) -> int:
        """Return what the base takes for the rows of one part."""
        parts = self.n_parts or usual_parts(n_rows)
        return int(self.base.fit_bytes(task, -(-n_rows // parts), n_features))

    def check(self, task: str, names: Iterable[str] = ()) -> list[Problem]:
        """Return what is wrong with the family, then with the ensemble's own parameters."""
        found = self.base.check(task)
        if found:
            return [Problem(f"model.base.{problem.where.removeprefix('model.')}", problem.message) for problem in found]
        return super().check(task, names)
