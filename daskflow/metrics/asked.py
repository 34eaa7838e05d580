"""What is asked of predictions, and which metrics share a state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.errors import DataError
from daskflow.core.seeds import seed_of
from daskflow.metrics import Metric
from daskflow.metrics.labels import LabelMetric
from daskflow.metrics.probability import LossMetric
from daskflow.metrics.ranking import RankingMetric
from daskflow.metrics.scores import MOST_SCORES
from daskflow.metrics.states import Layout
from daskflow.metrics.sums import SumsMetric


@dataclass(frozen=True, slots=True)
class Families:
    """Metrics by what they are read off; each family shares one state.

    Attributes
    ----------
    labels : tuple of LabelMetric
        One confusion table.
    layout : Layout
        One matrix of sums.
    rankings : tuple of RankingMetric
        One order of scores per class.
    others : tuple of Metric
        A state of their own each.
    unfit : mapping of str to str
        Why a metric cannot judge the task.
    """

    labels: tuple[LabelMetric, ...]
    layout: Layout
    rankings: tuple[RankingMetric, ...]
    others: tuple[Metric, ...]
    unfit: Mapping[str, str]

    @classmethod
    def of(cls, metrics: Sequence[Metric], task: str, n_classes: int) -> Families:
        """Sort metrics by the class that gives their arithmetic."""
        unfit = {metric.name: wrong for metric in metrics if (wrong := metric.misfit(task))}
        settled = {metric.name: metric.for_task(task, n_classes) for metric in metrics if metric.name not in unfit}
        every = list(settled.values())
        is_single = task in ("binary", "multiclass")
        labels = tuple(m for m in every if is_single and isinstance(m, LabelMetric) and _keeps(m, LabelMetric, "of"))
        rankings = tuple(
            m for m in every if is_single and isinstance(m, RankingMetric) and _keeps(m, RankingMetric, "of", "value")
        )
        losses = tuple(m for m in every if isinstance(m, LossMetric) and _keeps(m, LossMetric, "of", "value"))
        sums = tuple(m for m in every if isinstance(m, SumsMetric) and _keeps(m, SumsMetric, "of", "value"))
        known = {metric.name for metric in (*labels, *rankings, *losses, *sums)}
        others = tuple(metric for metric in every if metric.name not in known)
        return cls(labels, Layout(losses, sums), rankings, others, unfit)

    def without(self, lacking: Collection[str]) -> Families:
        """Leave out the metrics that need what the predictions do not give."""

        if not lacking:
            return self

        def given(metrics: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(metric for metric in metrics if metric.needs not in lacking)

        layout = Layout(given(self.layout.losses), given(self.layout.sums))
        return Families(given(self.labels), layout, given(self.rankings), given(self.others), self.unfit)


def _keeps(metric: Metric, family: type[Metric], *names: str) -> bool:
    """Whether a metric has its family's own arithmetic."""
    return all(getattr(type(metric), name) is getattr(family, name) for name in names)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of predictions.

    Attributes
    ----------
    metrics : tuple of Metric
        Any number; each name once.
    task : str
        binary, multiclass, multilabel or regression.
    classes : tuple of str
        Labels by code; empty for regression.
    seed : int
        Of the resamples, and of the sample of residuals.
    replicates : int
        Resamples of the Poisson bootstrap; 0 gives values without intervals, in a fraction of the time.
    most_scores : int
        Scores that are held for the ranking metrics; beyond them these are read off a histogram.
    families : Families
        The metrics by what they are read off.
    """

    metrics: tuple[Metric, ...]
    task: str
    classes: tuple[str, ...]
    seed: int
    replicates: int = 500
    most_scores: int = MOST_SCORES
    families: Families = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        metrics: Sequence[Metric],
        task: str,
        classes: Sequence[str],
        seed: int,
        replicates: int = 500,
        most_scores: int = MOST_SCORES,
    ) -> None:
        """Take sequences of any kind."""
        for name, value in (
            ("metrics", tuple(metrics)),
            ("task", str(task)),
            ("classes", tuple(str(label) for label in classes)),
            ("seed", seed),
            ("replicates", replicates),
            ("most_scores", most_scores),
            ("families", Families.of(metrics, str(task), len(classes))),
        ):
            object.__setattr__(self, name, value)
        if replicates < 0:
            raise DataError(f"replicates is {replicates}; it is the number of resamples, 0 or more (default 500).")

    @property
    def draw_seed(self) -> int:
        """Of the bootstrap."""
        return seed_of(self.seed, "bootstrap")
