"""From the states of a tally to values, replicates, intervals and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.core.results import Evaluation
from daskflow.metrics import Metric, pictures
from daskflow.metrics.asked import Families
from daskflow.metrics.bootstrap import Resample, interval
from daskflow.metrics.calibration import rule_of_three
from daskflow.metrics.ranking import AveragePrecision, RankingMetric, RocAuc
from daskflow.metrics.rankings import CELLS, Ranked, rank_all
from daskflow.metrics.states import Draws

if TYPE_CHECKING:
    from daskflow.metrics.tally import Tally

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A metric of all rows and of every resample.

    Attributes
    ----------
    value : float
        nan where it is not defined.
    replicates : ndarray of shape (n_replicates,), or None
        None without resampling.
    error : float
        How far the value can be from that of the scores themselves, where they were too many to be held.
    note : str
        Why there is no value, or no interval; else empty.
    """

    value: float
    replicates: Floats | None = None
    error: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """All metrics by their names, in the order they were asked in, and what each ranking gave.

    Attributes
    ----------
    metrics : mapping of str to Judged
        By name.
    ranked : sequence of Ranked
        One for two classes, else one for each.
    families : Families
        Of the metrics that the predictions have something for.
    """

    metrics: Mapping[str, Judged]
    ranked: Sequence[Ranked] = field(default_factory=list)
    families: Families | None = None

    def scores(self, tally: Tally) -> tuple[dict[str, Score], list[str]]:
        """Return every metric with its interval, and the sentences to be said of them."""
        notes: list[str] = []
        found = {}
        for name, judged in self.metrics.items():
            found[name], said = _scored(name, judged, tally, self)
            notes += said
        return found, notes


def judge(tally: Tally) -> Evaluation:
    """Return the evaluation of a tally."""
    judgement = judgement_of(tally)
    scores, notes = judgement.scores(tally)
    details = pictures.draw(tally, judgement.ranked)
    return Evaluation(scores, tally.n_rows, {**details, "notes": notes} if notes else details)


def judgement_of(tally: Tally, n_cells: int = CELLS) -> Judgement:
    """Compute every metric and its replicates; `n_cells` is how finely resampled rankings are told apart."""
    asked = tally.asked
    families = asked.families.without(tally.lacking)
    draws = None
    if asked.replicates and tally.columns is not None:
        draws = Draws.of(tally.columns.buckets, asked.draw_seed, asked.replicates)
    found: dict[str, Judged] = {}
    if tally.cells is not None:
        found |= _labels(tally, families, draws)
    if tally.columns is not None:
        found |= _columns(tally, families, draws)
    ranked = _rankings(tally, families, draws, n_cells)
    found |= _averaged(tally, families, ranked)
    found |= _others(tally, families)
    ordered = {}
    for metric in asked.metrics:
        judged = found.get(metric.name, Judged(math.nan))
        ordered[metric.name] = _explained(metric, judged, tally, families)
    return Judgement(ordered, ranked, families)


def _explained(metric: Metric, judged: Judged, tally: Tally, families: Families) -> Judged:
    """Say why a metric has no value."""
    if metric.name in families.unfit:
        wrong = families.unfit[metric.name]
        return Judged(math.nan, note=f"{wrong[:1].upper()}{wrong[1:]}.")
    if metric.needs in tally.lacking:
        return Judged(math.nan, note=f"{metric.name} could not be computed. {tally.lacking[metric.needs]}")
    if judged.note or not math.isnan(judged.value):
        return judged
    return Judged(math.nan, note=f"{metric.name} is not defined: {_why(metric, tally)}.")


def _why(metric: Metric, tally: Tally) -> str:
    """Say what keeps a metric from having a value."""
    if not tally.rows:
        return "there are no rows to judge by" if not tally.n_rows else "no row has a weight"
    broken = tally.broken.get(metric.needs, 0)
    if broken:
        return f"the prediction of {broken} of {tally.n_rows} rows is not a number"
    if tally.asked.task == "regression" and tally.rows < 2:
        return "there are fewer than two rows"
    occurs = np.flatnonzero(tally.class_rows)
    if len(occurs) == 1:
        return f"only class {occurs[0]} occurs among the rows"
    return "it has no value for these rows"


def _labels(tally: Tally, families: Families, draws: Draws | None) -> dict[str, Judged]:
    """Metrics of the confusion table."""
    if tally.cells is None or not families.labels:
        return {}
    table = tally.cells.table()
    values = [float(metric.value(table)) for metric in families.labels]
    if draws is None:
        return {m.name: Judged(value) for m, value in zip(families.labels, values, strict=True)}
    found = np.empty((len(values), draws.n_replicates))
    for number, drawn in enumerate(tally.cells.tables(draws)):
        found[:, number] = [metric.value(drawn) for metric in families.labels]
    return {
        metric.name: Judged(value, drawn) for metric, value, drawn in zip(families.labels, values, found, strict=True)
    }


def _columns(tally: Tally, families: Families, draws: Draws | None) -> dict[str, Judged]:
    """Metrics of sums of columns."""
    columns, layout = tally.columns, families.layout
    if columns is None or not (layout.losses or layout.sums):
        return {}
    values = columns.metrics_of(columns.total()[None], layout)
    if draws is None:
        return {name: Judged(float(value[0])) for name, value in values.items()}
    found = columns.metrics_of(draws.totals(columns.buckets, columns.values), layout)
    return {name: Judged(float(value[0]), found[name]) for name, value in values.items()}


def _rankings(tally: Tally, families: Families, draws: Draws | None, n_cells: int) -> list[Ranked]:
    """Judge every ranking by all metrics of the order of scores; of more classes also by those of the table."""
    if tally.scores is None:
        return []
    metrics: list[RankingMetric] = list(families.rankings)
    n_resampled = len(metrics)
    if tally.asked.task == "multiclass":
        metrics += [RocAuc(), AveragePrecision()]
    cells = max(CELLS, n_cells // tally.scores.n_rankings)
    return rank_all(tally.scores, metrics, draws, cells, n_resampled)


def _averaged(tally: Tally, families: Families, ranked: Sequence[Ranked]) -> dict[str, Judged]:
    """Average each metric over the classes for which it is defined, as in every resample."""
    found = {}
    if tally.broken.get("scores"):
        return {}
    for place, metric in enumerate(families.rankings):
        defined = [each for each in ranked if not math.isnan(each.values[place])]
        if not defined:
            continue
        value = math.fsum(each.values[place] for each in defined) / len(defined)
        error = math.fsum(each.errors[place] for each in defined) / len(defined)
        drawn = [values for each in defined if (values := each.replicates[place]) is not None]
        if not drawn or tally.asked.replicates == 0:
            note = _too_many(metric.name, tally) if tally.asked.replicates else ""
            found[metric.name] = Judged(value, None, error, note)
            continue
        found[metric.name] = Judged(value, _mean(np.stack(drawn)), error)
    return found


def _too_many(name: str, tally: Tally) -> str:
    return f"{name} has no interval: its {tally.rows} rows are of units too large to be sampled."


def _mean(values: Floats) -> Floats:
    """Mean over classes, of those that are defined."""
    defined = ~np.isnan(values)
    counts = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, counts, out=np.full(len(total), math.nan), where=counts > 0))


def _others(tally: Tally, families: Families) -> dict[str, Judged]:
    """Metrics with a state of their own."""
    found = {}
    for metric in families.others:
        if metric.name not in tally.own:
            continue
        try:
            value = float(metric.value(tally.own[metric.name]))
            found[metric.name] = Judged(value, None if math.isnan(value) else _own_replicates(metric, value, tally))
        except (DataError, ValueError) as error:
            found[metric.name] = Judged(math.nan, note=f"{metric.name} could not be computed. {error}")
    return found


def _own_replicates(metric: Metric, value: float, tally: Tally) -> Floats | None:
    """Resample the rows that are held, and draw the replicates together where these are a sample."""
    sample = tally.sample
    if sample is None or not tally.asked.replicates or not len(sample.place):
        return None
    resample = Resample.of_places(sample.place, tally.asked.replicates, tally.asked.draw_seed)
    y, given = sample.columns["y"], sample.columns[metric.needs]
    drawn = np.asarray(metric.replicates(y, given, sample.weight, resample), dtype=np.float64)
    if not sample.level:
        return drawn
    own = float(metric.value(metric.of(y, given, sample.weight)))
    return np.asarray(value + (drawn - own) * math.sqrt(len(sample.place) / sample.n_rows))


def _scored(name: str, judged: Judged, tally: Tally, judgement: Judgement) -> tuple[Score, list[str]]:
    """Return a metric's value with its interval, and what must be said of them."""
    notes = [judged.note] if judged.note else []
    if judged.error:
        notes.append(
            f"{name} is read off a histogram of {tally.rows} scores, more than the {tally.asked.most_scores} that are "
            f"held; it is at most {judged.error:.2g} off."
        )
    if math.isnan(judged.value) or judged.replicates is None:
        return Score(judged.value), notes
    low, high = interval(judged.replicates)
    if max(high, judged.value) - min(low, judged.value) <= 1e-12 * max(1.0, abs(judged.value)):
        low, high, said = _without_width(name, judged.value, tally, judgement)
        notes += said
    return Score(judged.value, low - judged.error, high + judged.error), notes


def _without_width(name: str, value: float, tally: Tally, judgement: Judgement) -> tuple[float, float, list[str]]:
    """Return the interval of a metric that is the same in every resample.

    Resampling knows no mistake that did not happen. Where n rows show none, a share of up to about 3 / n is possible at
    95 % (the rule of three), so the interval is between what so many rows more, or fewer, predicted wrong would have
    given.
    """
    families = judgement.families
    metric = next((m for m in families.labels if m.name == name), None) if families else None
    if metric is None or tally.cells is None:
        return value, value, [f"The interval of {name} has no width: every resample of the rows gives the same value."]
    table = tally.cells.table()
    moved = [metric.value(changed) for changed in _changed(table, _possible(tally))]
    found = [value, *(float(each) for each in moved if not math.isnan(each))]
    return min(found), max(found), [f"{name} is the same in every resample; its interval is by the rule of three."]


def _possible(tally: Tally) -> float:
    """Weight of the rows that may be of a sort that was not seen: three rows' worth, for independent rows."""
    n_rows = tally.weight**2 / tally.squares
    if tally.has_unit and tally.columns is not None:
        # buckets that have rows are at most as many as units; units that share one are told apart by nobody
        n_rows = min(n_rows, float(len(tally.columns.buckets)))
    return rule_of_three(n_rows) * tally.weight


def _changed(table: Floats, weight: float) -> list[Floats]:
    """Tables in which rows of one entry were predicted as another class."""
    found = []
    n_classes, rarest = len(table), int(table.sum(axis=0).argmin())
    for true, predicted in zip(*np.nonzero(table), strict=True):
        others = range(n_classes) if n_classes <= 20 else {true, (true + 1) % n_classes, rarest}
        for other in others:
            if other != predicted:
                changed = table.copy()
                step = min(weight, float(table[true, predicted]))
                changed[true, predicted] -= step
                changed[true, other] += step
                found.append(changed)
    return found
