"""Panels of the page of the data, without data."""

from __future__ import annotations

from collections.abc import Sequence

from daskflow.dashboard.slots import Figure, Row, Widget
from daskflow.figures import live_data, style

MOST_DOTS = 1200
"""Dots of the seconds per partition, about."""

MOST_COLUMNS = 30
"""Rows of the tables of columns and of refused rows."""

MOST_MISSING = 12
"""Columns that the figures of missing values show."""

MOVED = 0.5
"""Standard deviations from which on a column is named."""

MOVED_ROWS = 64
"""Numbers that a span has to hold for that: the mean of so many is half a standard deviation off once in 15,000."""


def panels() -> Sequence[Row]:
    """Return the panels from top to bottom."""
    return (
        Row([Widget("data_tiles", "", "tiles")]),
        Row([_partitions()]),
        Row(_pace()),
        Row(_missing(), (2, 3)),
        Row(_drift(), (5, 4)),
        Row(
            [
                Widget(
                    "refused",
                    "Refused rows",
                    "table",
                    "No row was refused so far.",
                    "Rows that could not be read as the schema says, and were left out.",
                ),
                Widget(
                    "following",
                    "The scan, and what follows",
                    "stages",
                    "The scan has not begun.",
                    "Stages that prepare the data for the search.",
                ),
            ],
            (1, 1),
        ),
    )


def _partitions() -> Widget:
    return Widget(
        "partitions",
        "Partitions",
        "strip",
        "The partitions of the table appear here when the scan begins.",
        "Every cell is a partition of the table, or several that follow each other when there are more than 1,200: "
        "then it has the state that needs most attention. The first rows come first.",
    )


def _pace() -> list[Figure]:
    rates = style.source("throughput", seconds=[], rows=[], megabytes=[])
    return [
        Figure(
            "throughput_rows",
            "Rows per second",
            "Rows read per second, by all workers together. The rows of a partition are spread over the time that "
            "reading it took; blocks that were there already are not counted.",
            live_data.throughput("throughput_rows", "rows", "rows per second", rates),
            "Rows per second appear when the first partition is read.",
        ),
        Figure(
            "throughput_bytes",
            "Megabytes per second",
            "Bytes of the source that were read per second, in millions, by all workers together.",
            live_data.throughput("throughput_bytes", "megabytes", "MB per second", rates),
            "Bytes per second appear when the first partition is read, where the source tells its size.",
        ),
        Figure(
            "piece_seconds",
            "Seconds per partition",
            "How long each partition took, by its place in the table; diamonds had rows refused. Of more than "
            f"{MOST_DOTS:,} partitions the slowest of every few that ended after each other are shown.",
            live_data.piece_seconds(),
            "A dot for each partition that is read.",
        ),
    ]


def _missing() -> list[Figure]:
    return [
        Figure(
            "missing",
            "Missing values",
            f"Share of the rows read so far that have no value, by column, the {MOST_MISSING} with most.",
            live_data.missing(),
            "Columns with missing values appear as the scan finds them. There are none so far.",
        ),
        Figure(
            "missing_map",
            "Where values are missing",
            f"Share of missing values by column (the {MOST_MISSING} with most) and place in the table. The fuller "
            "a cell, the more is missing; a full one misses a tenth, or the most of all cells. Blank ones are not "
            "read yet.",
            live_data.missing_map(),
            "A map of missing values by column and place in the table. There are none so far.",
            480,
        ),
    ]


def _drift() -> list[Figure | Widget]:
    return [
        Figure(
            "drift_map",
            "Drift through the table",
            "How far the mean of each piece of the table is from the mean of all that is read, in standard deviations: "
            "orange and + is above, blue and − is below. The columns that move most come first.",
            live_data.drift_map(),
            "A map of how the means of columns move through the table, when two pieces with numbers are read.",
            480,
        ),
        Widget(
            "moved",
            "Columns that move",
            "table",
            "No column moves by more than half a standard deviation.",
            f"Columns with a piece of at least {MOVED_ROWS} numbers whose mean is more than {MOVED} standard "
            "deviations from that of all rows: where it is furthest away, and mean and standard deviation of all. "
            "Columns by which the table is sorted, or that grow with time, always stand here.",
        ),
    ]
