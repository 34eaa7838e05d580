"""Cards of the profile's page: one per column, as plain numbers and texts before any markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.data.profile_words import share_of
from daskflow.data.table_profile import ColumnSummary, Finding, TableProfile
from daskflow.figures.style import number
from daskflow.reports import words

TOP, CUT = 8, 48
"""Levels shown on a card, and characters of one."""

WIDTH, HEIGHT = 300.0, 72.0
"""Size of a card's histogram in its own units."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in units of the picture, with what it says when pointed at."""

    x: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Level:
    """A frequent value: its text, rows in words, and its share in hundredths."""

    text: str
    rows: str
    share: float


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of one column.

    Attributes
    ----------
    key : str
        Its place on the page, for links.
    name, kind, type, role : str
        As in the schema.
    findings : tuple of Finding
        About it.
    worst : str
        The gravest severity among them; empty without any.
    facts, more : tuple of (str, str)
        Names and values, those always shown and those on request.
    bars : tuple of Bar
        The histogram; empty for texts.
    ends : tuple of str
        What stands below its left and right edge, and a remark between them.
    levels : tuple of Level
        Frequent values.
    """

    key: str
    name: str
    kind: str
    type: str
    role: str
    findings: tuple[Finding, ...]
    worst: str
    facts: tuple[tuple[str, str], ...]
    more: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    ends: tuple[str, str, str]
    levels: tuple[Level, ...]


def cards(profile: TableProfile) -> list[Card]:
    """Return the cards of all columns, in their order."""
    return [_card(place, column, profile) for place, column in enumerate(profile.columns)]


def _card(place: int, column: ColumnSummary, profile: TableProfile) -> Card:
    findings = tuple(finding for finding in profile.findings if finding.column == column.name)
    is_listed = 0 < column.distinct <= TOP and column.kind != "datetime"
    bars, ends = ((), ("", "", "")) if is_listed else _histogram(column)
    return Card(
        key=f"column-{place}",
        name=column.name,
        kind=column.kind,
        type=column.type,
        role=column.role,
        findings=findings,
        worst=str(findings[0].severity) if findings else "",
        facts=tuple(_facts(column)),
        more=tuple(_more(column, profile)),
        bars=bars,
        ends=ends,
        levels=() if bars else _levels(column),
    )


def _facts(column: ColumnSummary) -> list[tuple[str, str]]:
    missing = share_of(column.missing, column.rows) if column.missing else "none"
    distinct = f"{column.distinct:,}" if column.is_exact else f"about {column.distinct:,}"
    found = [("missing", missing), ("distinct", distinct)]
    if column.infinite:
        found.append(("infinite", f"{column.infinite:,}"))
    if column.kind == "numeric" and column.mean is not None:
        found.append(("mean", number(column.mean)))
        found.append(("std", number(column.std) if column.std is not None else "-"))
        if column.quantiles:
            found.append(("median", number(column.quantiles[0.5])))
        if column.zeros:
            found.append(("zeros", share_of(column.zeros, column.rows)))
        if column.negatives:
            found.append(("negative", share_of(column.negatives, column.rows)))
    if column.kind == "datetime" and column.min is not None:
        found += [("from", _date(column.min)), ("to", _date(column.max))]
    if column.lengths is not None:
        lengths = column.lengths
        span = f"{lengths.shortest:,} to {lengths.longest:,}" if lengths.shortest != lengths.longest else ""
        found.append(("characters", span or f"{lengths.shortest:,}"))
    if column.power is not None:
        found.append(("strength", f"{column.power.strength:.3f}"))
    return found


def _date(text: str) -> str:
    """A date without what is zero at its end.

    Examples
    --------
    >>> _date("2011-12-09 12:50:00.000000"), _date("2011-12-09 00:00:00"), _date("2011-12-09 12:50:00.500Z")
    ('2011-12-09 12:50:00', '2011-12-09', '2011-12-09 12:50:00.500Z')
    """
    return re.sub(r"\.0+(?=Z?$)", "", text).removesuffix(" 00:00:00")


def _more(column: ColumnSummary, profile: TableProfile) -> list[tuple[str, str]]:
    """What is shown on request."""
    counts = {"missing": column.missing, "zeros": column.zeros, "negative": column.negatives}
    found = [(f"{word}, rows", f"{count:,}") for word, count in counts.items() if count]
    if column.kind == "numeric" and column.quantiles:
        exact = "" if column.is_exact else "about "
        found.append(("smallest", number(column.min)))
        found += [(f"{100 * q:g} %", f"{exact}{number(value)}") for q, value in column.quantiles.items()]
        found.append(("largest", number(column.max)))
    if column.lengths is not None:
        found.append(("characters, mean", number(column.lengths.mean)))
    times = column.times
    if times is not None and times.days is not None:
        found.append(("days", f"{times.days:,}"))
        found.append(("days without a row", f"{times.missing_days or 0:,}"))
        if times.gap:
            found.append(("longest gap", f"{times.gap[2]:,} days, {times.gap[0]} to {times.gap[1]}"))
        if any(times.hours[1:]):
            most = max(range(24), key=times.hours.__getitem__)
            found.append(("busiest hour", f"{most}:00 ({share_of(times.hours[most], column.values)})"))
            found.append(("at midnight", f"{times.at_midnight:,} ({share_of(times.at_midnight, column.values)})"))
    if column.power is not None:
        found += _of_power(column, profile)
    if column.drift is not None:
        found.append(("drift (PSI)", f"{column.drift.psi:.3f}"))
        if column.drift.ks is not None:
            found.append(("drift (KS)", f"{column.drift.ks:.3f}"))
    return found


def _of_power(column: ColumnSummary, profile: TableProfile) -> list[tuple[str, str]]:
    power = column.power
    if power is None or profile.target is None:
        return []
    share = "variance" if profile.target.task == "regression" else "uncertainty"
    found = [(f"{share} of the target explained", f"{100 * power.share:.1f} %")]
    if power.auc is not None:
        found.append(("area under the ROC curve", f"{power.auc:.4f}"))
    if power.correlation is not None:
        found.append(("correlation with the target", f"{power.correlation:.4f}"))
    return found


def _histogram(column: ColumnSummary) -> tuple[tuple[Bar, ...], tuple[str, str, str]]:
    """Bars of a number's or a date's distribution, and what stands below them."""
    if column.histogram is not None and len(column.histogram.counts) > 1:
        given = column.histogram
        is_whole = "int" in column.type
        texts = []
        last = len(given.counts) - 1
        for place, count in enumerate(given.counts):
            left, right = given.edges[place], given.edges[place + 1]
            span = _whole_span(left, right) if is_whole else f"{number(left)} to {number(right)}"
            if given.is_cut and place in (0, last):
                span = f"up to {number(right)}" if place == 0 else f"from {number(left)}"
            texts.append(f"{span}: {words.plural(count, 'row')}")
        ends = (number(column.min), "tails put together" if given.is_cut else "", number(column.max))
        return _bars(given.counts, texts), ends
    if column.times is not None and len(column.times.histogram) > 1:
        stretches = column.times.histogram
        texts = [f"from {day}: {words.plural(count, 'row')}" for day, count in stretches]
        return _bars([count for _, count in stretches], texts), (stretches[0][0], "", str(column.max)[:10])
    return (), ("", "", "")


def _whole_span(left: float, right: float) -> str:
    """The whole numbers between two edges.

    Examples
    --------
    >>> _whole_span(0.5, 1.5), _whole_span(-0.5, 3.5)
    ('1', '0 to 3')
    """
    first, last = round(left + 0.5), round(right - 0.5)
    return number(first) if first == last else f"{number(first)} to {number(last)}"


def _bars(counts: Sequence[int], texts: Sequence[str]) -> tuple[Bar, ...]:
    """Bars of equal width; what has rows is never invisible."""
    most = max(counts, default=0) or 1
    step = WIDTH / len(counts)
    gap = min(1.0, step / 8)
    return tuple(
        Bar(
            x=round(place * step + gap / 2, 2),
            width=round(step - gap, 2),
            height=round(max(1.5, HEIGHT * count / most), 2) if count else 0.0,
            text=text,
        )
        for place, (count, text) in enumerate(zip(counts, texts, strict=True))
    )


def _levels(column: ColumnSummary) -> tuple[Level, ...]:
    shown = [_level(value, count, column) for value, count in column.top[:TOP]]
    rest = column.values - sum(count for _, count in column.top[:TOP])
    if rest > 0 and shown:
        others = column.distinct - len(shown)
        text = f"{others:,} others" if column.is_exact else "all others"
        shown.append(Level(text, _rows(rest, column), 0.0))
    return tuple(shown)


def _level(value: Any, count: int, column: ColumnSummary) -> Level:
    is_short = isinstance(value, int) and abs(value) < 10_000  # a code, a year: no commas
    text = value if isinstance(value, str) else str(value) if is_short else number(value)
    text = text if text.strip() else "(blank)"
    return Level(text if len(text) <= CUT else f"{text[: CUT - 1]}…", _rows(count, column), 100 * count / column.rows)


def _rows(count: int, column: ColumnSummary) -> str:
    return f"{count:,} ({share_of(count, column.rows)})"
