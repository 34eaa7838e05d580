"""Balance: classes of unequal size in training, by weights or by leaving out rows of the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator, model_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings, nearest
from daskflow.data.hashing import Hashes, mix, salt_of
from daskflow.data.placement import Counts
from daskflow.data.schema import Target
from daskflow.data.split_plan import TEST

SALT = salt_of("undersample")

ByClass = Mapping[str, float]


class Balance(Settings):
    """What is done in training about classes of unequal size: the ``[balance]`` table.

    Nothing here changes the rows of validation and test, nor the statistics that the preprocessing is fitted on.

    Attributes
    ----------
    class_weight : str or mapping, optional
        Factors of the row weights in fitting. ``"balanced"``: the weight of all rows over the number of classes times
        that of the class, over the training rows of each fold, as in scikit-learn. Or a factor for each class, such as
        ``{ late = 5.0 }``; 1 for those not named. For every model that takes sample weights.
    undersample : float or mapping, optional
        Share of the rows of the largest class that is trained on, or a share for each class that is named. Rows are
        chosen by hash: about that share of them, the same for every candidate. Equal rows stay or go together.
    correct : bool
        Rows that stay weigh so much more that their class keeps its weight, so that probabilities stay right; default
        False.
    in_scores : bool
        Class weights count in the scores too, in validation and test; default False.

    Examples
    --------
    >>> Balance(class_weight={"yes": 3}).in_words()
    'rows of yes weigh 3 times as much in fitting; scores are not weighed'
    """

    class_weight: Literal["balanced"] | ByClass | None = None
    undersample: float | ByClass | None = None
    correct: bool = False
    in_scores: bool = False

    @field_validator("class_weight", "undersample", mode="before")
    @classmethod
    def _labels_are_words(cls, value: Any) -> Any:
        """Take labels of any type by their text."""
        return {str(label): number for label, number in value.items()} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _in_range(self) -> Balance:
        """Refuse factors and shares that mean nothing."""
        if isinstance(self.class_weight, Mapping):
            bad = [label for label, factor in self.class_weight.items() if not 0 <= factor < float("inf")]
            if bad or not any(self.class_weight.values()):
                raise ValueError("class_weight: factors are finite numbers of at least 0, some above it")
        shares = self.undersample if isinstance(self.undersample, Mapping) else {"": self.undersample or 0.5}
        if not all(0 < share <= 1 for share in shares.values()) or self.undersample == 0:
            raise ValueError("undersample: a share is above 0 and at most 1")
        if self.correct and self.undersample is None:
            raise ValueError("correct is for undersample, and there is none")
        if self.in_scores and self.class_weight is None:
            raise ValueError("in_scores is for class_weight, and there is none")
        return self

    @property
    def is_active(self) -> bool:
        """Whether anything is asked."""
        return self.class_weight is not None or self.undersample is not None

    @property
    def weighs(self) -> bool:
        """Whether rows get weights in fitting."""
        return self.class_weight is not None or self.correct

    def in_words(self) -> str:
        """Say what it means."""
        said = []
        if self.class_weight == "balanced":
            said.append("all classes weigh the same in fitting, by the training rows of each fold")
        elif isinstance(self.class_weight, Mapping):
            factors = ", ".join(f"{label} weigh {factor:g} times" for label, factor in self.class_weight.items())
            said.append(f"rows of {factors} as much in fitting")
        if self.class_weight is not None:
            said.append("and in validation and test scores" if self.in_scores else "scores are not weighed")
        if isinstance(self.undersample, Mapping):
            shares = ", ".join(f"{share:.3g} of {label}" for label, share in self.undersample.items())
            said.append(f"training rows keep about {shares}")
        elif self.undersample is not None:
            said.append(f"training rows keep about {self.undersample:.3g} of the largest class")
        if self.undersample is not None:
            said.append(
                "and weigh as much more"
                if self.correct
                else "probabilities shift to the other classes, for nothing corrects for it (correct = true does)"
            )
        return "; ".join(said) or "no"

    def settled(self, target: Target) -> Balancing | None:
        """Return what to do for the classes of a target; None for nothing.

        Raises
        ------
        SettingsError
            For a regression, and for labels that are no classes.
        """
        if not self.is_active:
            return None
        if not target.task.is_classification:
            raise SettingsError([Problem("balance", f"needs classes; the target '{target.name}' is a regression")])
        words = [str(label) for label in target.classes]
        problems: list[Problem] = []

        def by_class(option: str, given: Any) -> tuple[float, ...]:
            found = dict.fromkeys(words, 1.0)
            for label, number in given.items() if isinstance(given, Mapping) else ():
                word = next((word for word in words if word == label or word.lower() == label.lower()), None)
                if word is None:
                    message = f"'{label}' is no class of '{target.name}'{nearest(label, words)}"
                    problems.append(Problem(f"balance.{option}", message))
                else:
                    found[word] = float(number)
            return tuple(found.values())

        weights = None if self.class_weight is None else by_class("class_weight", self.class_weight)
        largest = self.undersample if isinstance(self.undersample, float) else None
        shares = by_class("undersample", self.undersample)
        if problems:
            raise SettingsError(problems)
        return Balancing(
            weights=None if self.class_weight == "balanced" else weights,
            is_balanced=self.class_weight == "balanced",
            shares=(largest,) * len(words) if largest is not None else shares,
            only_largest=largest is not None,
            corrects=self.correct,
            in_scores=self.in_scores,
        )


@dataclass(frozen=True, slots=True)
class Balancing:
    """A balance for the classes of one target.

    Attributes
    ----------
    weights : tuple of float, or None
        Factor of each class.
    is_balanced : bool
        Whether factors come from the training rows instead.
    shares : tuple of float
        Share of each class that stays in training.
    only_largest : bool
        Whether that holds for the largest class of a part alone.
    corrects, in_scores : bool
        As the settings say.
    """

    weights: tuple[float, ...] | None
    is_balanced: bool
    shares: tuple[float, ...]
    only_largest: bool
    corrects: bool
    in_scores: bool

    def stays(self, order: Hashes, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows stay where their class is undersampled, by their place in training order."""
        limits = np.array([min(int(share * 2**64), 2**64 - 1) for share in self.shares], dtype=np.uint64)
        everything = np.array(self.shares) >= 1
        return np.asarray((mix(order, SALT) < limits[codes]) | everything[codes])

    def of(self, counts: ClassCounts, segments: Sequence[int]) -> PartBalance:
        """Return what is done with the training rows of some segments."""
        places = [segment if segment != TEST else -1 for segment in segments]
        rows = counts.rows[:, places].sum(axis=(0, 1))
        cut = np.array(self.shares) < 1
        if self.only_largest:
            cut &= np.arange(len(rows)) == int(np.argmax(rows))
        every, some = counts.weight[places].sum(axis=0), counts.weight_kept[places].sum(axis=0)
        corrected = np.where(cut & self.corrects, 1 / np.array(self.shares), 1.0)
        weight = np.where(cut, some, every) * corrected
        factors = np.ones(len(rows)) if self.weights is None else np.array(self.weights)
        if self.is_balanced:
            n_present = int((weight > 0).sum())
            factors = np.divide(weight.sum(), n_present * weight, out=np.ones(len(rows)), where=weight > 0)
        weighs = self.weights is not None or self.is_balanced or self.corrects
        return PartBalance(
            is_cut=tuple(cut.tolist()),
            factors=tuple((factors * corrected).tolist()) if weighs else None,
            score_factors=tuple(factors.tolist()) if self.in_scores else None,
        )


@dataclass(frozen=True, slots=True)
class PartBalance:
    """What is done with the training rows of one part.

    Attributes
    ----------
    is_cut : tuple of bool
        Which classes are undersampled.
    factors, score_factors : tuple of float, or None
        Factor of each class's weights, in fitting and in scores.
    """

    is_cut: tuple[bool, ...]
    factors: tuple[float, ...] | None
    score_factors: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """Rows of all ranges by segment (the test's last) and class, and those that stay where a class is undersampled.

    Attributes
    ----------
    rows, kept : ndarray of int64, shape (n_ranges, n_segments + 1, n_classes)
        All rows, and those that stay.
    weight, weight_kept : ndarray of float64, shape (n_segments + 1, n_classes)
        Their weights.
    """

    rows: Counts
    kept: Counts
    weight: NDArray[np.float64]
    weight_kept: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[ClassCounts]) -> ClassCounts:
        """Put the counts of consecutive ranges together; weights are added in their order."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.kept for part in parts]),
            np.asarray(sum(part.weight for part in parts)),
            np.asarray(sum(part.weight_kept for part in parts)),
        )
