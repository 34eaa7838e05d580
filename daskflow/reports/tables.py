"""Tables of the report: plain text in rows and columns, before any markup."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import tomli_w

from daskflow.core.job_accounts import CATEGORIES, ENDINGS, hours
from daskflow.core.overlap import Overlap
from daskflow.core.protocols import Score
from daskflow.core.results import RunRecord, Trial, TrialState
from daskflow.core.space import FAMILY, told
from daskflow.figures.style import number
from daskflow.figures.style import score as score_text
from daskflow.reports import words

TOP_TRIALS = 50
MAX_COLUMNS = 500
MAX_FAILURES = 20

LIKE = {True: "≈", False: "", None: "-"}
"""Whether a candidate cannot be told apart from the best, in a cell."""


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns.

    Attributes
    ----------
    head : tuple of str
        Names of the columns.
    rows : tuple of tuples of str
        The cells.
    numbers : frozenset of int
        Columns whose cells stand to the right.
    marked : frozenset of int
        Rows that stand out.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = field(default=frozenset())
    marked: frozenset[int] = field(default=frozenset())

    def parted(self, n_rows: int) -> tuple[Table, Table]:
        """Return the first rows, and the others."""
        first = replace(self, rows=self.rows[:n_rows], marked=frozenset(row for row in self.marked if row < n_rows))
        others = frozenset(row - n_rows for row in self.marked if row >= n_rows)
        return first, replace(self, rows=self.rows[n_rows:], marked=others)


def pairs(values: Mapping[str, Any], head: tuple[str, str]) -> Table:
    """Return a mapping as a table of two columns."""
    return Table(head, tuple((str(name), words.value_text(value)) for name, value in values.items()))


def columns(record: RunRecord) -> Table:
    """Return what is known of every column."""
    n_rows = record.data.get("rows") or 0
    rows = [
        (
            str(column.get("name", "")),
            str(column.get("role", "")),
            f"{column.get('kind', '')} ({column.get('type', '')})",
            _missing(column, n_rows),
            "many" if column.get("distinct") is None else f"{column['distinct']:,}",
            _values(column, n_rows),
        )
        for column in record.data.get("columns", ())[:MAX_COLUMNS]
    ]
    return Table(
        ("column", "role", "type", "missing", "distinct", "values"),
        tuple(rows),
        frozenset({3, 4}),
        frozenset(place for place, row in enumerate(rows) if row[1] == "target"),
    )


def _missing(column: Mapping[str, Any], n_rows: int) -> str:
    """Count and share of the missing values, and of the infinite ones."""
    missing, infinite = column.get("missing"), column.get("infinite")
    text = "-" if missing is None else f"{missing:,} ({words.share(missing, n_rows)})" if missing else "0"
    return f"{text}, {infinite:,} infinite" if infinite else text


def _values(column: Mapping[str, Any], n_rows: int) -> str:
    """The range, mean and deviation of numbers and times, or the most frequent levels."""
    low, high = column.get("min"), column.get("max")
    if low is not None and high is not None:
        text = f"{words.value_text(low)} to {words.value_text(high)}"
        if column.get("mean") is not None and column.get("std") is not None:
            text += f"; mean {number(column['mean'])} ± {number(column['std'])}"
        return text
    return ", ".join(
        f"{_cut(str(value), 24)} {words.share(count, n_rows)}" for value, count in list(column.get("top") or ())[:3]
    )


def split(record: RunRecord) -> Table:
    """Return the rows of each part, with the shares of all rows that were asked for and obtained."""
    asked = dict(record.split.get("asked") or {})
    obtained = dict(record.split.get("obtained") or {})
    counts = {part: int(record.split.get(part) or 0) for part in ("train", "validation", "test")}
    total = sum(counts.values()) + int(record.split.get("unused") or 0)
    if asked and not record.split.get("unused"):
        asked["train"] = 1.0 - sum(asked.get(part, 0.0) for part in ("validation", "test"))
    rows = [
        (part, f"{count:,}", _share(asked.get(part)), _share(obtained.get(part, count / total if total else None)))
        for part, count in counts.items()
        if count or part != "validation"
    ]
    if "fold" in asked:
        rows.append(("each fold, on average", "", _share(asked["fold"]), _share(obtained.get("fold"))))
    left_out = int(record.split.get("left_out") or 0)
    if left_out:
        rows.append(("left out by the sample", f"{left_out:,}", "", _share(left_out / total)))
    if int(record.split.get("unused") or 0) > left_out:
        rows.append(("rows in no part: of a gap, or before a window", f"{record.split['unused'] - left_out:,}", "", ""))
    if record.split.get("rejected"):
        rows.append(("rejected", f"{record.split['rejected']:,}", "", ""))
    return Table(("part", "rows", "asked", "obtained"), tuple(rows), frozenset({1, 2, 3}))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def leaderboard(record: RunRecord) -> Table | None:
    """Return the best trials, with the parameters that varied; None before the first."""
    search = record.search
    if search is None:
        return None
    ranked = search.ranked()
    top = ranked[:TOP_TRIALS]
    varied = varied_parameters(search.trials)
    if FAMILY in varied and any("." in name for name in varied):
        varied = [FAMILY, "parameters"]  # each family has columns of its own, most of them empty
    has_intervals = any(not math.isnan(trial.low) for trial in top)
    has_folds = search.n_folds > 1 and not has_intervals
    has_resources = len({trial.resource for trial in search.trials if trial.curve}) > 1
    head = ["rank", "trial", search.metric]
    head += ["95 % interval", "like the best"] if has_intervals else []
    head += ["± over folds"] if has_folds else []
    head += ["resource"] if has_resources else []
    head += ["state", "time", *varied]
    rows = []
    for rank, trial in enumerate(top, start=1):
        cells = [str(rank), trial.id, _score(trial.score)]
        cells += [words.bounds(trial.low, trial.high) or "-", LIKE[trial.is_tied]] if has_intervals else []
        cells += [_spread(trial)] if has_folds else []
        cells += [f"{trial.resource:,}"] if has_resources else []
        cells += [str(trial.state), words.seconds(trial.seconds) if trial.curve else "-"]
        cells += [_parameter(trial, name) for name in varied]
        rows.append(tuple(cells))
    texts = {place for place, name in enumerate(head) if name in ("trial", "state", "like the best")} | {
        place
        for place, name in enumerate(head)
        if name in varied and not all(_is_number(trial.params.get(name)) for trial in top)
    }
    marked = frozenset(place for place, trial in enumerate(top) if trial.id == search.best.id)
    return Table(tuple(head), tuple(rows), frozenset(range(len(head))) - frozenset(texts), marked)


def _parameter(trial: Trial, name: str) -> str:
    """A candidate's value of a parameter; of ``parameters`` all but its family."""
    if name != "parameters" or name in trial.params:
        return _cut(words.value_text(trial.params.get(name)), 40)
    own = told(trial.params)
    return ", ".join(f"{word} = {words.value_text(value)}" for word, value in own.items() if word != FAMILY) or "-"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def varied_parameters(trials: Iterable[Trial]) -> list[str]:
    """Return the parameters that differ between candidates; all of them when there is one candidate."""
    several = list(trials)
    names = list(dict.fromkeys(name for trial in several for name in trial.params))
    differing = [name for name in names if len({repr(trial.params.get(name)) for trial in several}) > 1]
    return differing if len(several) > 1 else names


def _spread(trial: Trial) -> str:
    """Standard deviation of the fold scores of the last scored point."""
    scored = [point.fold_scores for point in trial.curve if point.fold_scores]
    if not scored:
        return "-"
    scores = scored[-1]
    mean = sum(scores) / len(scores)
    return f"{math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores)):.2g}"


def failures(record: RunRecord) -> Table | None:
    """Return the failed candidates with their reasons; None when there are none."""
    failed = [t for t in record.search.trials if t.state is TrialState.FAILED] if record.search else []
    if not failed:
        return None
    rows = [
        (trial.id, _cut(trial.error or "no reason was given", 400), words.value_text(trial.params)) for trial in failed
    ]
    return Table(("trial", "reason", "parameters"), tuple(rows[:MAX_FAILURES]))


def metrics(record: RunRecord) -> Table | None:
    """Return the test metrics with their intervals, beside what validation had said; None before the test."""
    if record.evaluation is None:
        return None
    validated = record.search.best.metrics if record.search else {}
    rows = [
        (name, _score(score.value), words.interval(score) or "-", _score(validated.get(name)))
        for name, score in record.evaluation.metrics.items()
    ]
    main = words.main_metric(record)
    marked = frozenset(place for place, row in enumerate(rows) if row[0] == main)
    return Table(("metric", "test", "95 % interval", "validation"), tuple(rows), frozenset({1, 2, 3}), marked)


def _score(value: float | None) -> str:
    """A metric's value; a dash for what is not defined."""
    return "-" if value is None or math.isnan(value) else score_text(value)


def per_class(details: Mapping[str, Any]) -> Table | None:
    """Return every class's own metrics on the test rows; None where there are none."""
    given: Sequence[Mapping[str, Any]] = details.get("per_class") or ()
    if not given:
        return None
    names = [name for name in given[0] if name != "class"]
    rows = [
        (
            _cut(str(row["class"]), 60),
            *(f"{row[name]:,}" if name == "support" else _score(row.get(name)) for name in names),
        )
        for row in given
    ]
    head = ("class", *("test rows" if name == "support" else name.replace("_", " ") for name in names))
    return Table(head, tuple(rows), frozenset(range(1, len(head))))


def stages(record: RunRecord) -> Table | None:
    """Return the seconds of each stage, its share, and its processor time; None when none was finished."""
    total = sum(float(stage["seconds"]) for stage in record.stages)
    has_cpu = any(stage.get("cpu_seconds") for stage in record.stages)
    rows = [
        (
            str(stage["stage"]),
            words.seconds(float(stage["seconds"])),
            words.share(float(stage["seconds"]), total),
            *([words.seconds(float(stage.get("cpu_seconds") or 0.0))] if has_cpu else []),
        )
        for stage in record.stages
    ]
    head = ("stage", "time", "share", *(["processor time"] if has_cpu else []))
    return Table(head, tuple(rows), frozenset(range(1, len(head)))) if rows else None


def jobs(record: RunRecord) -> Table:
    """Return what each job asked for, what became of its core-hours, and how it ended."""
    rows = tuple(
        (
            job.id if job.role == "worker" else f"{job.id} (controller)",
            job.node or "-",
            str(job.cores),
            words.seconds(max(0.0, job.ended_at - job.began_at)),
            *(hours(getattr(job, name)) for name in CATEGORIES),
            ENDINGS.get(job.why, job.why) or job.state,
        )
        for job in record.jobs
    )
    marked = frozenset(place for place, job in enumerate(record.jobs) if job.why in ("memory", "node", "failed"))
    return Table(
        ("job", "node", "cores", "time", *CATEGORIES, "end"), rows, frozenset(range(2, 4 + len(CATEGORIES))), marked
    )


def spans(overlap: Overlap) -> Table:
    """Return when each stage began and ended on the run's own clock, and how long it was at work."""
    rows = [
        (
            each.stage,
            words.seconds(each.intervals[0][0]),
            words.seconds(each.intervals[-1][1]),
            words.seconds(each.seconds),
            f"{len(each.intervals):,}",
        )
        for each in overlap.stages
    ]
    return Table(
        ("stage", "began after", "ended after", "without waiting", "stretches"), tuple(rows), frozenset(range(1, 5))
    )


def workflow_text(record: RunRecord) -> str:
    """Return the resolved workflow as TOML, without what lets somebody in."""
    return words.without_credentials(tomli_w.dumps(_without_none(record.workflow))) if record.workflow else ""


def _without_none(value: Any) -> Any:
    """TOML has no null: leave out what is None, and write what it does not know as text."""
    if isinstance(value, Mapping):
        return {str(name): _without_none(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value if item is not None]
    return value if isinstance(value, str | int | float | bool) else str(value)


def estimate(score: Score | None) -> str:
    """Return a value for a tile; a dash when there is none."""
    return "-" if score is None else _score(score.value)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
