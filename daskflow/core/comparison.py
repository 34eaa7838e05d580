"""Comparison: what differs between runs, as frozen values that commands, reports and notebooks show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from daskflow.core.protocols import Score
from daskflow.core.results import RunRecord

MAX_NAMED = 6
"""Names that a sentence lists before it counts the rest."""


class Verdict(StrEnum):
    """How a run compares with the baseline on a metric."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "cannot be told apart"
    UNKNOWN = "not known"


class Pairing(StrEnum):
    """How the test rows of two runs were brought together."""

    SAME = "the same rows"
    COMMON = "common rows"
    NONE = "unpaired"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the runs.

    Attributes
    ----------
    label : str
        What it is called here: its name, with as much of its ID as tells it from the others.
    path : str
        Its folder.
    record : RunRecord
        Everything it has to show.
    """

    label: str
    path: str
    record: RunRecord = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """A value that is not the same in all runs.

    Attributes
    ----------
    word : str
        Dotted name, such as ``search.trials``.
    values : tuple
        One per run, in their order; None where a run has no such value.
    """

    word: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class DataChange:
    """The data of a run beside the baseline's.

    Attributes
    ----------
    label : str
        The run.
    is_same : bool
        Whether the fingerprints, over names and values, are equal.
    fingerprints : tuple of str
        Of the baseline and of the run.
    rows : tuple of int
        Likewise.
    added, removed : tuple of str
        Columns that only the run, or only the baseline, has.
    retyped, reassigned : tuple of (str, str, str)
        Columns of another type, or role: name, the baseline's, the run's.
    """

    label: str
    is_same: bool
    fingerprints: tuple[str, str]
    rows: tuple[int, int]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retyped: tuple[tuple[str, str, str], ...] = ()
    reassigned: tuple[tuple[str, str, str], ...] = ()

    def sentence(self, baseline: str) -> str:
        """Say what differs."""
        if self.is_same:
            return f"{self.label} has the same data as {baseline}: {self.rows[0]:,} rows."
        parts = []
        if self.rows[0] != self.rows[1]:
            parts.append(f"{self.rows[1]:,} rows where {baseline} has {self.rows[0]:,}")
        for names, what in ((self.added, "more"), (self.removed, "fewer")):
            if names:
                parts.append(f"{len(names)} column{'s' * (len(names) > 1)} {what} ({listed(names)})")
        for changes, what in ((self.retyped, "type"), (self.reassigned, "role")):
            if changes:
                told = [f"{name}: {before} -> {after}" for name, before, after in changes]
                parts.append(f"another {what} of {len(changes)} column{'s' * (len(changes) > 1)} ({listed(told)})")
        return f"{self.label} has other data than {baseline}: {'; '.join(parts) or 'other values in the same columns'}."


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """A test metric of a run beside the baseline's.

    Attributes
    ----------
    metric : str
        Its name.
    greater_is_better : bool
        Its direction.
    first, second : Score
        The baseline's and the run's; on the rows that were compared.
    value, low, high : float
        Second less first, with its 95 % interval; nan where it is not known.
    p : float
        Two-sided, for a true difference of zero, from the interval by the normal distribution.
    p_adjusted : float
        The same by Holm's method over all runs that are compared with the baseline.
    verdict : Verdict
        Better or worse where the interval leaves out zero and `p_adjusted` is below 0.05.
    """

    metric: str
    greater_is_better: bool
    first: Score
    second: Score
    value: float
    low: float
    high: float
    p: float = math.nan
    p_adjusted: float = math.nan
    verdict: Verdict = Verdict.UNKNOWN

    def __str__(self) -> str:
        """The difference with its interval, such as ``+0.0120 (0.0040 to 0.0200)``."""
        return difference_text(self.value, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Against:
    """One run against the baseline.

    Attributes
    ----------
    label : str
        The run.
    pairing : Pairing
        How test rows were brought together.
    n_rows : int
        Test rows that both have.
    how : str
        The same as a sentence, with the reason when they were not paired.
    differences : mapping of str to MetricDifference
        By metric.
    """

    label: str
    pairing: Pairing
    n_rows: int
    how: str
    differences: Mapping[str, MetricDifference]

    def sentence(self, metric: str, baseline: str) -> str:
        """Say who is better on a metric, by how much and how sure that is."""
        found = self.differences.get(metric)
        if found is None:
            return f"{self.label} cannot be compared with {baseline} on {metric}: {self.how}"
        if found.verdict is Verdict.UNKNOWN:
            return f"How {self.label} compares with {baseline} on {metric} is not known: one of the values is missing."
        rows = {
            Pairing.SAME: f"on the same {self.n_rows:,} test rows",
            Pairing.COMMON: f"on the {self.n_rows:,} test rows that both have",
        }.get(self.pairing, "each on its own test rows")
        if found.verdict is Verdict.ALIKE:
            adjusted = _leaves_out_zero(found.low, found.high)
            why = " once all comparisons are counted" if adjusted else ""
            return f"{self.label} and {baseline} cannot be told apart on {metric}{why}: {found}, {rows}."
        return f"{self.label} is {found.verdict} than {baseline} on {metric}: {found}, {rows}."


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs between runs: the first is the baseline, the others are compared with it.

    Attributes
    ----------
    runs : tuple of ComparedRun
        The baseline first.
    metric : str
        The one that verdicts are told in; empty when no run was tested.
    settings, split, parameters, versions : tuple of Change
        What is not the same in all runs: of the workflow, of the rows of each part, of the best candidates, of Python
        and the libraries.
    data : tuple of DataChange
        One per run but the baseline.
    against : tuple of Against
        Likewise: test metrics.
    notes : tuple of str
        Sentences that a reader should know.
    """

    runs: tuple[ComparedRun, ...]
    metric: str
    settings: tuple[Change, ...]
    split: tuple[Change, ...]
    parameters: tuple[Change, ...]
    versions: tuple[Change, ...]
    data: tuple[DataChange, ...]
    against: tuple[Against, ...]
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> ComparedRun:
        """The run that the others are compared with."""
        return self.runs[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """What the runs are called."""
        return tuple(run.label for run in self.runs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that some run was compared by, the one of the verdicts first."""
        names = dict.fromkeys(name for other in self.against for name in other.differences)
        return tuple(sorted(names, key=lambda name: name != self.metric))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer: who is better, what differs, on which data, at what cost."""
        first = self.baseline.label
        said = [other.sentence(self.metric, first) for other in self.against] if self.metric else []
        if not self.metric:
            said.append("No run has test metrics that another one has too: there is nothing to compare but settings.")
        words = [change.word for change in self.settings]
        together = "Both" if len(self.runs) == 2 else "All"
        if words:
            said.append(f"They differ in {len(words)} setting{'s' * (len(words) > 1)}: {listed(words)}.")
        else:
            said.append(f"{together} have the same settings.")
        others = [change for change in self.data if not change.is_same]
        if not others:
            said.append(f"{together} were fitted on the same data ({self.data[0].rows[0]:,} rows).")
        return (*said, *(change.sentence(first) for change in others))


def difference_text(value: float, low: float, high: float) -> str:
    """Return a difference with its interval, as exact as the interval is wide.

    Examples
    --------
    >>> difference_text(0.01234, 0.0041, 0.0203), difference_text(-12.345, -15.2, -9.1)
    ('+0.0123 (0.0041 to 0.0203)', '-12.3 (-15.2 to -9.1)')
    >>> difference_text(0.5, math.nan, math.nan), difference_text(math.nan, math.nan, math.nan)
    ('+0.5', 'not known')
    """
    if math.isnan(value):
        return "not known"
    if math.isnan(low) or math.isnan(high):
        return f"{value:+.3g}"
    half = (high - low) / 2
    decimals = 4 if half <= 0 else min(8, max(0, 1 - math.floor(math.log10(half))))
    return f"{value:+,.{decimals}f} ({low:,.{decimals}f} to {high:,.{decimals}f})"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them; the rest is counted.

    Examples
    --------
    >>> listed(["a", "b"]), listed([str(n) for n in range(9)])
    ('a, b', '0, 1, 2, 3, 4, 5 and 3 more')
    """
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def judged(others: Sequence[Against], level: float = 0.05) -> tuple[Against, ...]:
    """Give every difference its p-value, that adjusted by Holm's method over the runs, and its verdict.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    names = dict.fromkeys(name for other in others for name in other.differences)
    found: list[dict[str, MetricDifference]] = [{} for _ in others]
    for name in names:
        places = [place for place, other in enumerate(others) if name in other.differences]
        values = [p_value(others[place].differences[name]) for place in places]
        for place, p, adjusted in zip(places, values, holm(values), strict=True):
            difference = others[place].differences[name]
            found[place][name] = replace(
                difference, p=p, p_adjusted=adjusted, verdict=_verdict(difference, adjusted, len(places), level)
            )
    return tuple(replace(other, differences=known) for other, known in zip(others, found, strict=True))


def _verdict(difference: MetricDifference, adjusted: float, n_compared: int, level: float) -> Verdict:
    """Of one comparison the interval decides; of several the adjusted p-value has to agree."""
    if math.isnan(difference.value) or math.isnan(difference.low) or math.isnan(difference.high):
        return Verdict.UNKNOWN
    if not _leaves_out_zero(difference.low, difference.high) or (n_compared > 1 and not adjusted < level):
        return Verdict.ALIKE
    return Verdict.BETTER if (difference.value > 0) == difference.greater_is_better else Verdict.WORSE


def _leaves_out_zero(low: float, high: float) -> bool:
    return low > 0 or high < 0


def p_value(difference: MetricDifference) -> float:
    """Return the two-sided p-value that belongs to a 95 % interval, taking the difference as normal.

    Examples
    --------
    >>> found = MetricDifference("f1", True, Score(0.5), Score(0.6), 0.1, 0.0, 0.2)
    >>> round(p_value(found), 3)
    0.05
    """
    half = (difference.high - difference.low) / 2
    if math.isnan(half) or math.isnan(difference.value):
        return math.nan
    if half <= 0:
        return 1.0 if difference.value == 0 else 0.0
    return math.erfc(abs(difference.value) / (half / 1.959963984540054) / math.sqrt(2))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several; what is not a number stays so and does not count.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((p, place) for place, p in enumerate(values) if not math.isnan(p))
    found = [math.nan] * len(values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        found[place] = highest
    return found
