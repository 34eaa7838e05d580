"""Tables of the test rows: what thresholds bring, calibration, slices, importances, drift and what slots did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daskflow.figures.cost import CAUSES
from daskflow.figures.curves import nearest
from daskflow.figures.slices import where_text
from daskflow.figures.style import every, known, number
from daskflow.figures.style import score as score_text
from daskflow.reports import words
from daskflow.reports.tables import Table

SHOWN_THRESHOLDS = 17
"""Thresholds of the table: the chosen one, the best by each rule, and others evenly over the rows they take."""

RULES = {
    "f1": "best F1",
    "youden": "best Youden index",
    "cost": "lowest cost",
    "balanced_accuracy": "best balanced accuracy",
    "mcc": "best Matthews correlation",
}
"""What the best threshold by a rule is called."""

TOP_ROWS = 40
"""Rows of a table of columns."""


def cell(value: Any) -> str:
    """Return a value in a cell; a dash for what is not known.

    Examples
    --------
    >>> cell(0.25), cell(None), cell(float("nan"))
    ('0.2500', '-', '-')
    """
    return "-" if math.isnan(known(value)) else score_text(known(value))


def interval(row: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    """Return a row's interval in a cell."""
    return words.bounds(known(row.get(low)), known(row.get(high))) or "-"


def importances(rows: Iterable[Mapping[str, Any]], head: str, key: str = "column") -> Table:
    """Return importances with their intervals, in the order given."""
    cells = [(str(row[key]), cell(row["value"]), interval(row)) for row in rows]
    return Table((head, "importance", "95 % interval"), tuple(cells[:TOP_ROWS]), frozenset({1, 2}))


def shown_thresholds(given: Mapping[str, Any]) -> list[int]:
    """Return which thresholds the table shows, in order."""
    values = [known(value) for value in given["threshold"]]
    best = [known(value) for value in (given.get("best") or {}).values()]
    wanted = [one for one in (known(given.get("chosen")), *best) if math.isfinite(one)]
    places = {nearest(values, one) for one in wanted}
    places |= set(every(len(values), max(2, SHOWN_THRESHOLDS - len(places))))
    return sorted(places, key=lambda place: values[place])


def thresholds(given: Mapping[str, Any]) -> Table:
    """Return what thresholds bring, the one in use marked."""
    values = [known(value) for value in given["threshold"]]
    names = ["taken", "precision", "recall", "f1", "false_positive_rate", "cost"]
    names = [name for name in names if given.get(name)]
    heads = {"taken": "rows taken", "f1": "F1", "false_positive_rate": "false positive rate"}
    shown = shown_thresholds(given)
    chosen = nearest(values, known(given.get("chosen"))) if math.isfinite(known(given.get("chosen"))) else -1
    notes: dict[int, list[str]] = {chosen: ["in use"]}
    for rule, value in (given.get("best") or {}).items():
        if value is not None:
            notes.setdefault(nearest(values, known(value)), []).append(RULES.get(rule, f"best {rule}"))
    rows = [
        (
            score_text(values[place]),
            *(_taken(given[name][place]) if name == "taken" else cell(given[name][place]) for name in names),
            ", ".join(notes.get(place, ())),
        )
        for place in shown
    ]
    head = ("threshold", *(heads.get(name, name) for name in names), "what it is")
    marked = frozenset(row for row, place in enumerate(shown) if place == chosen)
    return Table(head, tuple(rows), frozenset(range(len(head) - 1)), marked)


def _taken(value: Any) -> str:
    return f"{known(value) * 100:.1f} %"


def costs(given: Sequence[Sequence[float]], classes: Sequence[str]) -> Table:
    """Return the costs that were given for each truth and answer."""
    labels = [str(name) for name in classes] if len(classes) == 2 else ["no", "yes"]
    rows = [(f"truth '{labels[row]}'", *(number(value) for value in given[row])) for row in range(2)]
    return Table(("", f"answer '{labels[0]}'", f"answer '{labels[1]}'"), tuple(rows), frozenset({1, 2}))


def before_after(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table:
    """Return metrics before and after a step."""
    names = {"ece": "expected calibration error"}
    rows = [
        (names.get(name, name.replace("_", " ")), cell(before.get(name)), cell(after.get(name)))
        for name in dict.fromkeys([*before, *after])
    ]
    return Table(("metric", "before", "after"), tuple(rows), frozenset({1, 2}))


def calibration(bins: Mapping[str, Any]) -> Table:
    """Return the calibration's dots as a table."""
    has_bounds = bool(bins.get("low") and bins.get("high"))
    rows = [
        (
            cell(bins["predicted"][place]),
            cell(bins["observed"][place]),
            *([words.bounds(known(bins["low"][place]), known(bins["high"][place])) or "-"] if has_bounds else []),
            f"{bins['count'][place]:,}",
        )
        for place in range(len(bins["predicted"]))
    ]
    head = ("predicted", "observed", *(["95 % interval"] if has_bounds else []), "rows")
    return Table(head, tuple(rows), frozenset(range(len(head))))


def confusion(given: Mapping[str, Any]) -> Table:
    """Return the confusion matrix; rows are the truth."""
    classes = [str(name) for name in given["classes"]]
    rows = [(name, *(f"{count:,}" for count in counts)) for name, counts in zip(classes, given["counts"], strict=True)]
    return Table(("truth \\ predicted", *classes), tuple(rows), frozenset(range(1, len(classes) + 1)))


def slices(column: Mapping[str, Any], metric: str, overall: float) -> Table:
    """Return the groups of a column; those whose interval leaves out the overall value are marked."""
    groups = list(column["groups"])
    has_target = any(group.get("target") is not None for group in groups)
    means = ("mean truth", "mean prediction") if has_target else ()
    head = (str(column["column"]), "test rows", metric, "95 % interval", *means)
    rows = [
        (
            str(group["group"]),
            f"{group['rows']:,}",
            cell(group["value"]),
            interval(group),
            *((_mean(group.get("target")), _mean(group.get("predicted"))) if has_target else ()),
        )
        for group in groups
    ]
    marked = frozenset(
        place
        for place, group in enumerate(groups)
        if not math.isnan(known(group.get("low"))) and not known(group["low"]) <= overall <= known(group["high"])
    )
    return Table(head, tuple(rows), frozenset(range(1, len(head))), marked)


def slices_together(columns: Sequence[Mapping[str, Any]], metric: str, overall: float) -> Table:
    """Return the groups of several columns below each other, each with the name of its column."""
    parts = [slices(column, metric, overall) for column in columns]
    width = max(len(part.head) for part in parts)
    rows = tuple(
        (str(column["column"]), *row, *("-",) * (width - len(row)))
        for column, part in zip(columns, parts, strict=True)
        for row in part.rows
    )
    starts = [sum(len(part.rows) for part in parts[:place]) for place in range(len(parts))]
    marked = frozenset(start + row for start, part in zip(starts, parts, strict=True) for row in part.marked)
    widest = max(parts, key=lambda part: len(part.head))
    head = ("column", "group", *widest.head[1:])
    return Table(head, rows, frozenset(range(2, len(head))), marked)


def _mean(value: Any) -> str:
    return "-" if math.isnan(known(value)) else number(known(value))


def worst_slices(given: Sequence[Mapping[str, Any]], metric: str) -> Table:
    """Return the worst slices, by the evidence that they are worse."""
    rows = [
        (
            where_text(one),
            f"{one['rows']:,}",
            cell(one["value"]),
            interval(one),
            cell(one["difference"]),
            interval(one, "difference_low", "difference_high"),
            _p(one.get("p")),
        )
        for one in given
    ]
    head = ("rows with", "test rows", metric, "95 % interval", "difference", "its 95 % interval", "p")
    return Table(head, tuple(rows), frozenset(range(1, len(head))))


def _p(value: Any) -> str:
    """A p value, and never nothing.

    Examples
    --------
    >>> _p(0.00001), _p(0.0312), _p(None)
    ('<0.001', '0.031', '-')
    """
    p = known(value)
    return "-" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def over_time(found: Mapping[str, Any]) -> Table:
    """Return the score of each span of time."""
    rows = [
        (
            *(str(found[word][place])[:16].replace("T", " ") for word in ("start", "end")),
            f"{found['rows'][place]:,}",
            cell(found["value"][place]),
            words.bounds(known(found["low"][place]), known(found["high"][place])) or "-",
        )
        for place in range(len(found["value"]))
    ]
    head = ("from", "to", "test rows", str(found["metric"]), "95 % interval")
    return Table(head, tuple(rows), frozenset({2, 3, 4}))


def learning_curve(found: Mapping[str, Any]) -> Table:
    """Return the score after each number of training rows."""
    lists = {word: found.get(word) or [None] * len(found["rows"]) for word in ("value", "low", "high", "train")}
    rows = [
        (
            f"{int(count):,}",
            cell(lists["value"][place]),
            words.bounds(known(lists["low"][place]), known(lists["high"][place])) or "-",
            cell(lists["train"][place]),
        )
        for place, count in enumerate(found["rows"])
    ]
    head = ("training rows", str(found["metric"]), "95 % interval", "on the training rows")
    return Table(head, tuple(rows), frozenset(range(4)))


def shap(found: Mapping[str, Any]) -> Table:
    """Return the mean of the absolute SHAP values of each column."""
    rows = [(str(row["column"]), cell(row["value"])) for row in found["columns"]]
    return Table(("column", "mean of |SHAP|"), tuple(rows[:TOP_ROWS]), frozenset({1}))


def dependence(found: Mapping[str, Any]) -> Table:
    """Return a partial dependence as a table."""
    lists = {word: found.get(word) or [None] * len(found["values"]) for word in ("mean", "low", "high", "share")}
    rows = [
        (
            words.value_text(value),
            cell(lists["mean"][place]),
            words.bounds(known(lists["low"][place]), known(lists["high"][place])) or "-",
            "-" if lists["share"][place] is None else f"{known(lists['share'][place]) * 100:.1f} %",
        )
        for place, value in enumerate(found["values"])
    ]
    head = (str(found["column"]), "mean prediction", "95 % interval", "rows near it")
    return Table(head, tuple(rows), frozenset({1, 2, 3}))


def drift(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return how far each column's test rows are from its training rows; those beyond chance are marked."""
    rows = [
        (
            str(row["column"]),
            cell(row["value"]),
            cell(row["bound"]),
            str(row["statistic"]),
            str(row.get("train", "")),
            str(row.get("test", "")),
        )
        for row in found
    ]
    marked = frozenset(place for place, row in enumerate(found) if row.get("is_drifted"))
    head = ("column", "distance", "chance explains up to", "by", "training rows", "test rows")
    return Table(head, tuple(rows[:TOP_ROWS]), frozenset({1, 2}), marked)


def utilisation(found: Mapping[str, Any]) -> Table:
    """Return what the slots did in each stage, as shares of their seconds."""
    rows = []
    for stage in found["stages"]:
        total = float(stage.get("slot_seconds") or 0.0)
        rows.append(
            (
                str(stage["stage"]),
                words.seconds(float(stage["seconds"])),
                f"{total:,.1f}",
                *(words.share(float(stage.get(cause) or 0.0), total) for cause in CAUSES),
            )
        )
    head = ("stage", "time", "slot-seconds", *(said for said, _, _ in CAUSES.values()))
    return Table(head, tuple(rows), frozenset(range(1, len(head))))
