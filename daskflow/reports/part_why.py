"""The report's part on why the model answers as it does: importance, partial dependence, SHAP values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daskflow.core.results import RunRecord
from daskflow.figures import why as figures
from daskflow.reports import tables_evaluation as more
from daskflow.reports import words
from daskflow.reports.blocks import Block, Grid, Heading, Part, Pictures, Text
from daskflow.reports.pictures import Picture

DRAWN_DEPENDENCES = 9
"""Partial dependences that are drawn."""


def part(record: RunRecord) -> Part | None:
    """Return what was found of importances, dependences and SHAP values; None where nothing was asked for."""
    details = words.details(record)
    blocks: list[Block] = []
    first = []
    if (details.get("importance") or {}).get("columns"):
        first.append(_importance(details["importance"]))
    if (details.get("shap") or {}).get("columns"):
        first.append(_shap(details["shap"]))
    if first:
        blocks.append(Pictures(first))
    left_out = list((details.get("importance") or {}).get("left_out") or ())
    notes = [str(note) for note in (details.get("importance") or {}).get("notes") or ()]
    if left_out and not notes:
        named = ", ".join(map(str, left_out[:20])) + (f" and {len(left_out) - 20} more" if len(left_out) > 20 else "")
        blocks.append(
            Text(f"There was no time left for {words.plural(len(left_out), 'column')}: {named}.", is_note=True)
        )
    blocks += [Text(note, is_note=True) for note in notes]
    blocks += _dependence(details)
    return Part("why", "Why", blocks) if blocks else None


def _importance(found: Mapping[str, Any]) -> Picture:
    """Permutation importance."""
    rows = sorted(found["columns"], key=lambda row: -(row.get("value") or 0.0))
    metric = str(found.get("metric", "the metric"))
    caption = (
        f"How much worse {metric} becomes on {words.plural(int(found.get('rows') or 0), 'test row')} when a "
        f"column's values are shuffled ({found.get('repeats')} times); the line is the 95 % interval. Columns that "
        "say the same share their importance, so a small one need not be useless."
    )
    made = figures.importance("importance", rows, f"loss of {metric} when shuffled")
    return Picture("importance", "Importance of the columns", caption, made, table=more.importances(rows, "column"))


def _shap(found: Mapping[str, Any]) -> Picture:
    """SHAP values."""
    caption = (
        f"Each dot is one of {words.plural(int(found.get('rows') or 0), 'test row')}: how far the column moved the "
        f"prediction ({found.get('output')}) of that row; from blue for its low values to orange for its high ones."
    )
    return Picture("shap", "SHAP values", caption, figures.shap(found), table=more.shap(found))


def _dependence(details: Mapping[str, Any]) -> list[Block]:
    """Partial dependence, with the rows' own lines and where the rows are; all with one axis for the prediction."""
    given = [one for one in details.get("dependence") or () if one.get("values")]
    if not given:
        return []
    spans: dict[str, tuple[float, float]] = {
        output: figures.span_of([one for one in given if one["output"] == output])
        for output in dict.fromkeys(one["output"] for one in given)
    }
    text = (
        "The mean prediction when a column is set to each value in turn (blue, with its 95 % interval), and the "
        "same for single rows (grey lines). Where grey lines cross or fan out, other columns decide what this one "
        "does. Bars at the bottom say where the rows are: where there are none the curve is a guess."
    )
    pictures = []
    for place, one in enumerate(given[:DRAWN_DEPENDENCES]):
        mean = [value for value in one["mean"] if value is not None]
        caption = (
            f"{one['output']}: from {words.value_text(min(mean))} to {words.value_text(max(mean))}." if mean else ""
        )
        made = figures.dependence(place, one, spans[one["output"]])
        pictures.append(Picture(f"dependence_{place}", str(one["column"]), caption, made, table=more.dependence(one)))
    blocks: list[Block] = [Heading("What each column does", "dependence"), Text(text), Pictures(pictures, "small")]
    for one in given[DRAWN_DEPENDENCES:]:
        name = f"{one['output']} by {one['column']}"
        blocks.append(Grid(more.dependence(one), name, True, name))
    return blocks
