"""Panels of the page of a stream, without data."""

from __future__ import annotations

from collections.abc import Sequence

from daskflow.dashboard.slots import Figure, Row, Widget
from daskflow.figures import live_stream

COMES = "Comes when a model answers requests or a stream."

PANELS = (
    "stream_requests",
    "stream_rows",
    "latency",
    "queue",
    "batches",
    "stream_errors",
    "stream_drift",
    "prequential",
    "lag",
    "compared",
    "stream_models",
    "stream_events",
)
"""All that shows a stream."""


def panels() -> Sequence[Row]:
    """Return the panels from top to bottom, without data."""
    data, marks = live_stream.over_time(), live_stream.moments()
    return (
        Row([Widget("stream_tiles", "", "tiles")]),
        Row(
            [
                Figure(
                    "stream_requests",
                    "Answers per second",
                    "Requests of a server, or records of a stream, answered per second in the last 15 minutes. Upright "
                    "lines: another model answers (green), an alarm (orange), begun or ended (dotted).",
                    live_stream.rate("stream_requests", "requests", "answers per second", data, marks),
                    COMES,
                ),
                Figure(
                    "stream_rows",
                    "Rows per second",
                    "Rows predicted per second, in the last 15 minutes; a request can hold several.",
                    live_stream.rate("stream_rows", "rows", "rows per second", data, marks),
                    COMES,
                ),
            ]
        ),
        Row(
            [
                Figure(
                    "latency",
                    "Latency",
                    "Milliseconds from a request, or from when a record was taken, to the answer, on a logarithmic "
                    "axis: half of them are faster than the solid line, 95 of 100 than the dashed one, 99 of 100 than "
                    "the dotted one.",
                    live_stream.latency(data, marks),
                    COMES,
                ),
                Figure(
                    "queue",
                    "Queue",
                    "Requests or records that wait for their turn. At the dashed line, in sight from a quarter of it "
                    "on, new requests are refused.",
                    live_stream.queue(data),
                    COMES,
                ),
            ]
        ),
        Row(
            [
                Figure(
                    "batches",
                    "Batches",
                    "How many requests or records were answered together, since it began: under load they are put "
                    "together.",
                    live_stream.batches(),
                    COMES,
                ),
                Widget(
                    "stream_errors",
                    "Errors",
                    "table",
                    "Everything was answered.",
                    "Requests or records that were not answered, by reason, since it began.",
                ),
            ]
        ),
        Row(
            [
                Figure(
                    "stream_drift",
                    "Drift of the columns",
                    "How far the values of each column are from those of the training rows. The mark is what chance "
                    "explains; orange hatched bars go beyond it.",
                    live_stream.drift(),
                    "Comes when a stream is compared with the training rows.",
                    320,
                ),
                Figure(
                    "prequential",
                    "Score as the truth comes in",
                    "The metric of rows that were answered before their truth was known, with its 95 % interval.",
                    live_stream.prequential(marks),
                    "Comes when the truth of answered rows comes in.",
                ),
            ]
        ),
        Row(
            [
                Figure(
                    "compared",
                    "Champion and challengers",
                    "The score of each model that is compared, with its 95 % interval.",
                    live_stream.compared(),
                    "Comes when challengers run beside the model that answers.",
                ),
                Widget(
                    "stream_models",
                    "Models",
                    "table",
                    "Comes when challengers run beside the model that answers.",
                    "Which model answers, and how good each is by its last word; in the order of their colours: blue, "
                    "orange, purple, green.",
                ),
            ],
            widths=(6, 5),
        ),
        Row(
            [
                Figure(
                    "lag",
                    "Lag of the source",
                    "Records that wait at the source to be taken. A line that rises means that the stream is too slow.",
                    live_stream.lag(data, marks),
                    "Comes when the source says how many records wait.",
                ),
                Widget(
                    "stream_events",
                    "What happened",
                    "notes",
                    "Swaps, alarms, notes and warnings come here, the newest first.",
                ),
            ],
            widths=(6, 5),
        ),
    )
