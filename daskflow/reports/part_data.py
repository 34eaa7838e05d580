"""The report's parts on the data and the split."""

from __future__ import annotations

from daskflow.core.results import RunRecord
from daskflow.figures import table as figures
from daskflow.reports import tables, words
from daskflow.reports.blocks import Block, Grid, Part, Pictures, Text
from daskflow.reports.pictures import Picture

OPEN_COLUMNS = 15
"""Columns of a table that is shown unfolded."""


def data(record: RunRecord) -> Part | None:
    """Return what was read: size, classes, missing values, columns; None before it was."""
    blocks: list[Block] = []
    named = list(record.data.get("columns", ()))
    if named:
        blocks.append(Text(_size(record)))
    pictures = _pictures(record)
    if pictures:
        blocks.append(Pictures(pictures))
    if named:
        columns = tables.columns(record)
        is_long = len(named) > OPEN_COLUMNS
        blocks.append(Grid(columns, "Columns", True, f"All {len(named)} columns" if is_long else ""))
        if len(named) > tables.MAX_COLUMNS:
            text = f"The first {tables.MAX_COLUMNS} of {len(named)} columns; data.json beside this page has all."
            blocks.append(Text(text, is_note=True))
    return Part("data", "Data", blocks) if blocks else None


def _size(record: RunRecord) -> str:
    """How much there is."""
    n_bytes = record.data.get("bytes") or 0  # a generated table has none
    files = f" of {words.plural(record.data.get('files') or 0, 'file')} ({words.size(n_bytes)})" if n_bytes else ""
    text = (
        f"{words.plural(record.data.get('rows') or 0, 'row')} in "
        f"{words.plural(record.data.get('partitions') or 0, 'partition')}{files}, "
        f"{words.plural(len(record.data['columns']), 'column')}"
    )
    if record.feature_names:
        text += f"; {words.plural(len(record.feature_names), 'feature')} after preprocessing"
    return f"{text}."


def _pictures(record: RunRecord) -> list[Picture]:
    """Missing values, rows per class."""
    found = []
    columns = record.data.get("columns", ())
    missing = figures.missing_values(columns, int(record.data.get("rows") or 0))
    if missing is not None:
        n_columns = sum(bool(column.get("missing")) for column in columns)
        caption = f"{words.plural(n_columns, 'column')} of {len(columns)} lack values in some rows."
        found.append(Picture("missing_values", "Missing values", caption, missing))
    if record.class_counts and sum(record.class_counts):
        made = figures.class_counts(record.classes, record.class_counts)
        caption = (
            f"{words.plural(len(record.classes), 'class', 'classes')}; the rarest has "
            f"{words.plural(min(record.class_counts), 'row')}, the most frequent {max(record.class_counts):,}."
        )
        found.append(Picture("class_counts", f"Rows per class of {words.target_name(record)}", caption, made))
    return found


def split(record: RunRecord) -> Part | None:
    """Return which rows learn and which judge; None before the split."""
    if not record.split:
        return None
    kind = record.split.get("kind") or "random"
    n_folds = record.split.get("folds") or 1
    rule = {
        "time": "The test rows are the latest, and every fold is judged on rows later than those it learned from.",
        "predefined": "A column of the data says where each row stands.",
    }.get(
        kind,
        "The side of a row follows from its content, key or group alone, so equal rows never stand on both sides.",
    )
    folds = f", {n_folds} folds within the training rows" if n_folds > 1 else ""
    blocks: list[Block] = [Text(f"{str(kind).capitalize()} split{folds}. {rule}")]
    if record.split.get("balance"):
        blocks.append(Text(f"Balance of the classes: {record.split['balance']}."))
    blocks.append(Grid(tables.split(record), "Rows of each part"))
    return Part("split", "Split", blocks)
