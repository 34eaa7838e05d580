"""What speaks against trusting a run: leaks, drift, tiny classes, calibration, wide intervals, a gap to validation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.core.results import RunRecord, TrialState
from daskflow.figures.slices import where_text
from daskflow.figures.style import known
from daskflow.figures.style import score as score_text
from daskflow.reports import words

FEW_ROWS = 30
"""Test rows of a class below which its own metrics say little."""

WIDE = 0.1
"""Width of the interval of a share between 0 and 1 that is called wide; of others twice that part of the value."""

OFF = 0.02
"""Mean distance of predicted and observed shares that is called off, where chance does not explain it."""

NAMED = 5
"""Columns that are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Caution:
    """One thing to know before the model is used.

    Attributes
    ----------
    kind : str
        In two or three words.
    sentence : str
        What was found, and what it means.
    part : str
        Part of the report that shows it; empty for none.
    short : str
        What the summary says of it; empty where it need not be there.
    """

    kind: str
    sentence: str
    part: str = ""
    short: str = ""


def found(record: RunRecord) -> list[Caution]:
    """Return all cautions of a run, the gravest kinds first, then what the run itself warned of."""
    details = words.details(record)
    several = [
        *_leaks(details),
        *_gap(record),
        *_drift(details),
        *_slices(details),
        *_calibration(details),
        *_wide(record),
        *_classes(record, details),
        *_candidates(record),
    ]
    own = [Caution("the run says", words.without_credentials(text)) for text in record.warnings]
    notes = [Caution("note", words.without_credentials(str(text))) for text in details.get("notes") or ()]
    return [*several, *own, *notes]


def _leaks(details: Mapping[str, Any]) -> Iterator[Caution]:
    """Columns that say the target by themselves."""
    leaks = list(details.get("leaks") or ())
    for place, leak in enumerate(leaks):
        count = words.plural(len(leaks), "column looks like a leak", "columns look like leaks")
        text = str(leak["text"])
        named = text if str(leak["column"]) in text else f"{leak['column']}: {text}"
        yield Caution("leak suspected", named, "data", count if place == 0 else "")


def _gap(record: RunRecord) -> Iterator[Caution]:
    """Validation outside of the test's interval."""
    verdict = agreement(record)
    if verdict and not verdict.startswith("within"):
        search = record.search
        assert search is not None
        sentence = f"Validation had said {search.metric} {score_text(search.best.score)}, which is {verdict}."
        yield Caution("validation and test differ", sentence, "test", "validation and test differ")


def agreement(record: RunRecord) -> str:
    """Return where the validation score lies against the test's interval, and what it may mean; empty where unknown."""
    search = record.search
    score = record.evaluation.metrics.get(search.metric) if record.evaluation and search else None
    if search is None or score is None or any(map(math.isnan, (score.low, score.high, search.best.score))):
        return ""
    validated = search.best.score
    if score.low <= validated <= score.high:
        return "within the test's interval"
    if (validated > score.high) == search.greater_is_better:
        return "better than the test's interval: choosing the best flatters, or the parts differ"
    return "worse than the test's interval: the final model learned from more rows, or the parts differ"


def _drift(details: Mapping[str, Any]) -> Iterator[Caution]:
    """Columns whose test rows differ from the training rows."""
    drifted = [row for row in details.get("drift") or () if row.get("is_drifted")]
    if drifted:
        named = ", ".join(str(row["column"]) for row in drifted[:NAMED]) + (
            " and others" if len(drifted) > NAMED else ""
        )
        n_drifted = words.plural(len(drifted), "column differs", "columns differ")
        sentence = f"{n_drifted} between training and test rows by more than chance explains: {named}."
        yield Caution("drift", sentence, "drift", f"{n_drifted} between training and test rows")


def evident(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the worst slices that chance explains poorly."""
    return [one for one in details.get("worst_slices") or () if not known(one.get("p")) >= 0.05]


def metric_of(slice_: Mapping[str, Any], record: RunRecord) -> str:
    """Return the metric that a worst slice is told in: its own, else that of all slices, else the main one."""
    slices = words.details(record).get("slices") or {}
    return str(slice_.get("metric") or slices.get("metric") or words.main_metric(record))


def _slices(details: Mapping[str, Any]) -> Iterator[Caution]:
    """Groups of rows that are served worse."""
    bad = evident(details)
    if bad:
        sentence = (
            f"{words.plural(len(bad), 'group')} of test rows {'is' if len(bad) == 1 else 'are'} served worse than "
            f"chance explains, first of all {where_text(bad[0])}."
        )
        yield Caution("unequal", sentence, "slices")


def calibration_error(bins: Mapping[str, Any]) -> tuple[float, int, int]:
    """Return the mean distance of predicted and observed shares, and how many of how many bins are beyond chance."""
    total = sum(bins["count"]) or 1
    rows = list(zip(bins["predicted"], bins["observed"], bins["count"], strict=True))
    error = sum(count * abs(known(x) - known(y)) for x, y, count in rows if x is not None and y is not None) / total
    if not (bins.get("low") and bins.get("high")):
        return error, 0, 0
    bounds = list(zip(bins["predicted"], bins["low"], bins["high"], strict=True))
    inside = [known(low) <= known(x) <= known(high) for x, low, high in bounds if low is not None and high is not None]
    return error, len(inside) - sum(inside), len(inside)


def _calibration(details: Mapping[str, Any]) -> Iterator[Caution]:
    """Probabilities that do not mean what they say."""
    bins = details.get("calibration")
    if bins and bins["count"]:
        error, n_off, n_bins = calibration_error(bins)
        if error > OFF and n_off >= 2:
            sentence = (
                f"Predicted probabilities are off by {error:.3f} on average, and {n_off} of {n_bins} groups of rows "
                "by more than chance explains: do not read them as frequencies, or calibrate them ([decision] in "
                "the workflow)."
            )
            yield Caution("calibration is off", sentence, "curves", "probabilities are not frequencies")


def _wide(record: RunRecord) -> Iterator[Caution]:
    """A main metric that is known badly."""
    metric = words.main_metric(record)
    score = record.evaluation.metrics.get(metric) if record.evaluation else None
    if record.evaluation is None or score is None or math.isnan(score.low) or math.isnan(score.high):
        return
    width, is_share = score.high - score.low, score.low >= 0 and score.high <= 1
    if width > (WIDE if is_share else 2 * WIDE * abs(score.value)):
        rows = words.plural(record.evaluation.n_rows, "test row")
        sentence = (
            f"The interval of {metric} is {score_text(width)} wide: few of the {rows} decide it. More test rows, or "
            "more of the rarest class, would narrow it."
        )
        yield Caution("wide interval", sentence, "test", f"the interval of {metric} is wide")


def _classes(record: RunRecord, details: Mapping[str, Any]) -> Iterator[Caution]:
    """Classes with too few test rows to say anything about them."""
    support: Sequence[tuple[str, int]] = [
        (str(row["class"]), int(row["support"]))
        for row in details.get("per_class") or ()
        if row.get("support") is not None
    ]
    if not support and details.get("confusion"):
        given = details["confusion"]
        support = [(str(name), sum(row)) for name, row in zip(given["classes"], given["counts"], strict=True)]
    tiny = [(name, count) for name, count in support if count < FEW_ROWS]
    if tiny:
        named = ", ".join(f"{name} ({count:,})" for name, count in tiny[:NAMED]) + (
            " and others" if len(tiny) > NAMED else ""
        )
        n_tiny = words.plural(len(tiny), "class has", "classes have")
        sentence = f"{n_tiny} fewer than {FEW_ROWS} test rows: {named}. Their own metrics say little."
        yield Caution("tiny classes", sentence, "test", f"{n_tiny} hardly any test rows")


def _candidates(record: RunRecord) -> Iterator[Caution]:
    """Candidates that are as good as the best, and those that failed."""
    search = record.search
    if search is None:
        return
    tied = sum(trial.is_tied is True and trial.id != search.best.id for trial in search.trials)
    if tied:
        count = words.plural(tied, "other candidate")
        sentence = f"{count} cannot be told apart from the best: a cheaper or simpler one would do as well."
        short = f"{count} would do as well"
        yield Caution("no clear winner", sentence, "search", short)
    failed = sum(trial.state is TrialState.FAILED for trial in search.trials)
    if failed:
        count = words.plural(failed, "candidate")
        sentence = f"{count} of {len(search.trials):,} failed; the reasons are below the leaderboard."
        yield Caution("failed candidates", sentence, "search", f"{count} failed")
