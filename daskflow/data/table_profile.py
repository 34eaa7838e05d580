"""Table profile: what a table looks like, as frozen values that people, pages and programs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd

from daskflow.data.profile_drift import Drift
from daskflow.data.profile_power import Power

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FORMAT = 1
"""Version of what `TableProfile.dump` gives; raised when a word changes its meaning."""


DUMPED_PAIRS = 1_000
"""The strongest correlations are dumped, so many at most."""


class Severity(StrEnum):
    """How much a finding matters: it makes results wrong, it may, or it is good to know."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a table that a person should know.

    Attributes
    ----------
    severity : Severity
        How much it matters.
    column : str or None
        The column it is about; None for the table.
    sentence : str
        What was found.
    remedy : str
        What to do about it.
    """

    severity: Severity
    column: str | None
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Rows between edges; the outermost bins also hold what lies beyond them when `is_cut`.

    Attributes
    ----------
    edges : tuple of float
        One more than bins; a bin holds its left edge, the last one both.
    counts : tuple of int
        Rows by bin.
    is_cut : bool
        Whether the range was cut to where all but a hundredth of the rows lie.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Lengths:
    """Texts: their length in characters, and in how many rows they are blank, padded, or look like something else."""

    shortest: int
    mean: float
    longest: int
    blank: int
    padded: int
    numbers: int
    dates: int


@dataclass(frozen=True, slots=True)
class Times:
    """Dates: days, gaps, and the time of day, in the column's own zone.

    Attributes
    ----------
    days : int or None
        Different days; None above 65,536.
    missing_days : int or None
        Days between the first and the last without a row.
    gap : tuple of (str, str, int) or None
        The last day before the longest stretch of days without a row, the first after it, and its days.
    hours : tuple of int
        Rows in each hour of the day.
    at_midnight : int
        Rows at exactly midnight.
    histogram : tuple of (str, int)
        First day and rows of at most 60 equal stretches of time.
    """

    days: int | None
    missing_days: int | None
    gap: tuple[str, str, int] | None
    hours: tuple[int, ...]
    at_midnight: int
    histogram: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """A column over all rows that were looked at.

    Attributes
    ----------
    name, kind, type : str
        As in the schema.
    role : str
        ``target``, another role, or empty.
    rows, missing, infinite : int
        Counts; missing is null or nan.
    distinct : int
        Different finite values; exact, or estimated with a standard error of 0.82 %.
    is_exact : bool
        Whether `distinct` and the quantiles are exact.
    zeros, negatives : int
        Of numbers.
    min, max : object
        Numbers, or ISO text for dates; None for texts and without values.
    mean, std : float or None
        Of finite numbers (booleans count as 0 and 1); std as pandas computes it (``ddof=1``).
    quantiles : mapping of float to float
        At 1, 5, 25, 50, 75, 95 and 99 %, interpolated as pandas does; empty where there are no numbers.
    top : tuple of (value, count)
        The most frequent values with their rows, exactly; of columns of very many values only those above 1/1024
        of the rows.
    alike : tuple of tuple of str
        Levels that differ only in capitals, blanks, and a point or comma at the end.
    histogram : Histogram or None
        Of numbers.
    lengths : Lengths or None
        Of texts.
    times : Times or None
        Of dates.
    power : Power or None
        What it says about the target.
    drift : Drift or None
        Between the first and the last partitions.
    missing_by_stripe : tuple of int
        Rows without a value in each stripe of partitions.
    rises : bool
        Whether its values rise from partition to partition.
    """

    name: str
    kind: str
    type: str
    role: str
    rows: int
    missing: int
    infinite: int
    distinct: int
    is_exact: bool
    zeros: int
    negatives: int
    min: Any
    max: Any
    mean: float | None
    std: float | None
    quantiles: Mapping[float, float]
    top: tuple[tuple[Any, int], ...]
    alike: tuple[tuple[str, ...], ...] = ()
    histogram: Histogram | None = None
    lengths: Lengths | None = None
    times: Times | None = None
    power: Power | None = None
    drift: Drift | None = None
    missing_by_stripe: tuple[int, ...] = ()
    rises: bool = False

    @property
    def values(self) -> int:
        """Rows with a finite value."""
        return self.rows - self.missing - self.infinite

    @property
    def missing_share(self) -> float:
        """Share of rows without a value."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all rows have one and the same value, or none has any."""
        return self.distinct + bool(self.missing) + bool(self.infinite) <= 1


@dataclass(frozen=True, slots=True)
class PartitionSummary:
    """A partition: the name of its file (the first of several small ones), its rows, and the bytes of its block."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's correlation of two numeric columns over the rows that have both."""

    left: str
    right: str
    value: float
    rows: int


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """The target: its task, classes and their rows, and partitions that hold one class only.

    Attributes
    ----------
    name, task : str
        What is learned.
    classes : tuple
        Labels in sorted order, the fifty most frequent; empty for regression.
    counts : tuple of int
        Their rows.
    others : int
        Rows of classes that are not among them.
    missing : int
        Rows without a target.
    single_class : tuple of (str, object)
        Partitions in which all rows have one class, and that class.
    """

    name: str
    task: str
    classes: tuple[Any, ...]
    counts: tuple[int, ...]
    others: int
    missing: int
    single_class: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What part of a table was looked at: partitions of all partitions, and the share of their rows."""

    partitions: int
    all_partitions: int
    share: float


@dataclass(frozen=True, slots=True)
class TableProfile:
    """A table, column by column, with what is remarkable about it.

    Attributes
    ----------
    name : str
        As the user named the data.
    rows : int
        Rows looked at.
    files : int
        Files that were read; 0 for frames.
    source_bytes, block_bytes : int
        Size of the files, and of their blocks.
    partitions : tuple of PartitionSummary
        In their order; small files that follow each other are one.
    columns : tuple of ColumnSummary
        In their order.
    distinct_rows, repeated_rows, most_copies : int
        Different rows; those of them that stand more than once; how often the most frequent stands. Over all columns.
    rejects : int
        Rows that were refused.
    equal_columns : tuple of tuple of str
        Groups of columns that have the same value in every row.
    correlated : tuple of str
        Numeric columns that were set against each other.
    correlations : tuple of tuple of float
        Pearson's correlations of all of them; None where one does not vary.
    rows_by_pair : tuple of tuple of int
        Rows with both values.
    target : TargetSummary or None
        What is learned.
    stripes : tuple of int
        Rows of each stripe: neighbouring partitions put together, at most 64 stripes.
    sample : Sample or None
        What was looked at, when that was not everything.
    findings : tuple of Finding
        The gravest first.
    """

    name: str
    rows: int
    files: int
    source_bytes: int
    block_bytes: int
    partitions: tuple[PartitionSummary, ...]
    columns: tuple[ColumnSummary, ...]
    distinct_rows: int
    repeated_rows: int
    most_copies: int
    rejects: int = 0
    equal_columns: tuple[tuple[str, ...], ...] = ()
    correlated: tuple[str, ...] = ()
    correlations: tuple[tuple[float | None, ...], ...] = ()
    rows_by_pair: tuple[tuple[int, ...], ...] = ()
    target: TargetSummary | None = None
    stripes: tuple[int, ...] = ()
    sample: Sample | None = None
    findings: tuple[Finding, ...] = field(default=())

    def __getitem__(self, name: str) -> ColumnSummary:
        """Return a column by its name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def duplicates(self) -> int:
        """Rows that repeat another row: what dropping duplicates would remove."""
        return self.rows - self.distinct_rows

    def pairs(self, top: int = 20) -> tuple[Correlation, ...]:
        """Return the strongest correlations, by size whatever the sign."""
        found = [
            Correlation(left, self.correlated[j], value, self.rows_by_pair[i][j])
            for i, left in enumerate(self.correlated)
            for j, value in enumerate(self.correlations[i][:i])
            if value is not None
        ]
        return tuple(sorted(found, key=lambda pair: (-abs(pair.value), pair.left, pair.right))[:top])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column and one column per number, indexed by the column's name."""
        rows = []
        for column in self.columns:
            row = {
                "kind": column.kind,
                "type": column.type,
                "role": column.role,
                "rows": column.rows,
                "missing": column.missing,
                "missing_share": column.missing_share,
                "infinite": column.infinite,
                "distinct": column.distinct,
                "is_exact": column.is_exact,
                "zeros": column.zeros,
                "negatives": column.negatives,
                "min": column.min,
                "max": column.max,
                "mean": column.mean,
                "std": column.std,
            }
            row |= {f"{100 * q:g}%": column.quantiles.get(q) for q in QUANTILES}
            row |= {
                "top": column.top[0][0] if column.top else None,
                "freq": column.top[0][1] if column.top else None,
                "power": column.power.strength if column.power else None,
                "psi": column.drift.psi if column.drift else None,
            }
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index([column.name for column in self.columns], name="column"))

    def dump(self) -> dict[str, Any]:
        """As plain JSON values; docs/profile.md says what the words mean."""
        matrix = ("correlated", "correlations", "rows_by_pair")
        found = {word: value for word, value in asdict(self).items() if word not in matrix}
        found["correlations"] = [asdict(pair) for pair in self.pairs(DUMPED_PAIRS)]
        for column, summary in zip(found["columns"], self.columns, strict=True):
            column["missing_share"] = summary.missing_share
            column["quantiles"] = {f"{q:g}": value for q, value in summary.quantiles.items()}
            if summary.power is not None:
                column["power"]["strength"] = summary.power.strength
        return {"format": FORMAT, **found, "duplicate_rows": self.duplicates}
