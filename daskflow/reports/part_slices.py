"""The report's part on whom the model serves well: slices, worst slices, score over time and over training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.results import RunRecord
from daskflow.figures import slices as figures
from daskflow.figures.style import known
from daskflow.figures.style import score as score_text
from daskflow.reports import cautions, words
from daskflow.reports import tables_evaluation as more
from daskflow.reports.blocks import Block, Grid, Heading, Part, Pictures, Text
from daskflow.reports.pictures import Picture

DRAWN_COLUMNS = 6
"""Columns whose groups are drawn: those whose groups differ most."""

SHOWN_WORST = 12
"""Worst slices that are shown."""


def part(record: RunRecord) -> Part | None:
    """Return the score by slice; None where nothing was sliced."""
    details = words.details(record)
    blocks: list[Block] = []
    given = details.get("slices") or {}
    worst = list(details.get("worst_slices") or ())
    if given.get("columns") or worst:
        blocks += _worst(worst, cautions.metric_of(worst[0] if worst else {}, record))
    if given.get("columns"):
        blocks += _columns(given)
    if details.get("over_time") and details["over_time"]["value"]:
        blocks += _over_time(details["over_time"], _overall(record, details["over_time"]["metric"]))
    if details.get("learning_curve") and details["learning_curve"]["rows"]:
        blocks += _learning_curve(details["learning_curve"])
    return Part("slices", "For whom", blocks) if blocks else None


def _overall(record: RunRecord, metric: str) -> float:
    score = record.evaluation.metrics.get(metric) if record.evaluation else None
    return score.value if score else math.nan


def _worst(worst: Sequence[Mapping[str, Any]], metric: str) -> list[Block]:
    """The slices that are worse than chance explains."""
    blocks: list[Block] = [Heading("Worst slices", "worst-slices")]
    if not worst:
        text = (
            "No group of test rows, alone or crossed with another, is worse than the rest by more than chance explains."
        )
        return [*blocks, Text(text)]
    shown = worst[:SHOWN_WORST]
    text = (
        f"Groups of test rows, alone or crossed with another, whose {metric} is worse than that of the other rows. "
        "The p values are corrected for how many groups were looked at (Holm): below 0.05 chance is a poor explanation."
    )
    caption = f"The difference in {metric} to all other test rows, the line is its 95 % interval; most evident first."
    picture = Picture("worst_slices", "Difference to the other test rows", caption, figures.worst(shown, metric), 560)
    return [
        *blocks,
        Text(text),
        Pictures([picture], whole=["worst_slices"]),
        Grid(more.worst_slices(shown, metric), "Worst slices", True),
    ]


def _columns(given: Mapping[str, Any]) -> list[Block]:
    """Each column's groups: drawn where they differ most, as tables all of them."""
    metric, overall = str(given["metric"]), known((given.get("overall") or {}).get("value"))
    columns = [column for column in given["columns"] if column["groups"]]
    order = sorted(columns, key=lambda column: -_spread(column, overall))
    drawn = [column for column in order if any(math.isfinite(known(g["value"])) for g in column["groups"])]
    pictures = []
    for place, column in enumerate(drawn[:DRAWN_COLUMNS]):
        n_apart = sum(_is_apart(group, overall) for group in column["groups"])
        caption = (
            f"{metric} in {words.plural(len(column['groups']), 'group')}; the dashed line is {score_text(overall)}. "
            + (
                f"{words.plural(n_apart, 'group differs', 'groups differ')} from it (filled)."
                if n_apart
                else "None differs from it."
            )
        )
        if len(column["groups"]) > figures.MAX_GROUPS:
            caption += f" The first {figures.MAX_GROUPS} are drawn."
        table = more.slices(column, metric, overall)
        made = figures.by_group(place, column, metric, overall)
        pictures.append(Picture(f"slices_{place}", str(column["column"]), caption, made, table=table))
    blocks: list[Block] = [Heading("By column")]
    if len(columns) > DRAWN_COLUMNS:
        blocks.append(
            Text(f"The {len(pictures)} of {len(columns)} columns whose groups differ most; the others are in a table.")
        )
    blocks.append(Pictures(pictures))
    others = drawn[DRAWN_COLUMNS:]
    if others:
        table = more.slices_together(others, metric, overall)
        folded = f"The other {words.plural(len(others), 'column')}"
        blocks.append(Grid(table, f"{metric} by the other columns", True, folded))
    blocks += [Text(str(sentence), is_note=True) for sentence in given.get("left_out") or ()]
    return blocks


def _is_apart(group: Mapping[str, Any], overall: float) -> bool:
    """Whether a group's interval leaves out the overall value."""
    low, high = known(group.get("low")), known(group.get("high"))
    return not (math.isnan(low) or math.isnan(high)) and not low <= overall <= high


def _spread(column: Mapping[str, Any], overall: float) -> float:
    """How far groups are from all rows, in half widths of their intervals, the farthest one."""
    found = [0.0]
    for group in column["groups"]:
        value, low, high = (known(group.get(word)) for word in ("value", "low", "high"))
        if math.isfinite(value) and high > low:
            found.append(abs(value - overall) / (high - low))
    return max(found)


def _over_time(found: Mapping[str, Any], overall: float) -> list[Block]:
    """The score over time."""
    caption = (
        f"{found['metric']} of the test rows from the earliest to the latest, with 95 % intervals; "
        "the dashed line is all rows."
    )
    made = figures.over_time(found, overall)
    picture = Picture(
        "over_time", f"{found['metric']} by {found['column']}", caption, made, table=more.over_time(found)
    )
    return [Heading("Over time", "over-time"), Pictures([picture], whole=["over_time"])]


def _learning_curve(found: Mapping[str, Any]) -> list[Block]:
    """Whether more rows would help."""
    caption = f"{found['metric']} on rows held out after learning from more and more rows. {words.more_rows(found)}"
    made = figures.learning_curve(found)
    picture = Picture(
        "learning_curve_rows", "Score after more and more rows", caption, made, table=more.learning_curve(found)
    )
    return [
        Heading("Would more rows help?", "learning-curve"),
        Pictures([picture], whole=["learning_curve_rows"]),
    ]
