"""Streams in words: as one line of a table, and as a few lines."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from daskflow.cli.verb import between, duration, number, shown
from daskflow.cli.watching_words import clean
from daskflow.dashboard.state_stream import name_of

if TYPE_CHECKING:
    from daskflow.workflow.opened_stream import OpenedStream

MOST_EVENTS = 5


def row_of_stream(stream: OpenedStream) -> dict[str, str]:
    """Return one line of the table of streams."""
    started = "-" if stream.started is None else datetime.fromtimestamp(stream.started).strftime("%Y-%m-%d %H:%M")
    return {
        "stream": clean(stream.id),
        "is": stream.verb or "-",
        "status": stream.status,
        "since": started,
        "answered": f"{stream.requests:,}",
        "rows": f"{stream.rows:,}",
        "lag": "-" if stream.lag is None else f"{stream.lag:,}",
        "errors": f"{sum(stream.errors.values()):,}",
    }


def words_of_stream(stream: OpenedStream) -> list[str]:
    """Return the lines of a stream's status."""
    lasted = (stream.ended or time.time()) - stream.started if stream.started is not None else 0.0
    lines = [f"Stream {shown(stream.path)}: {stream.status}, {duration(max(0.0, lasted))}"]
    if stream.error:
        lines.append(f"  {clean(stream.error)}")
    if stream.status == "killed":
        lines.append("  Its process is gone without a word; the same command goes on where it was.")
    begun = [record for record in stream.records if record["record"] == "invocation"]
    if stream.status == "running" and begun:
        lines.append(
            f"  process {begun[-1].get('pid')} on {clean(str(begun[-1].get('host')))}; SIGTERM ends it in order"
        )
    places = [place for place in (stream.source, stream.sink) if place]
    lines += [f"  model   {clean(name_of(stream.model))}"] if stream.model else []
    lines += [f"  from    {clean(' to '.join(places))}"] if places else []
    word = "records" if stream.verb == "stream" else "answers"
    lines.append(f"  {word} {stream.requests:,}{' answered' * (word == 'records')}, {stream.rows:,} rows")
    lines += [f"  lag     {stream.lag:,} wait at the source"] if stream.lag is not None else []
    if stream.errors:
        counts = sorted(stream.errors.items(), key=lambda item: -item[1])
        lines.append(f"  errors  {', '.join(f'{count:,} {clean(reason)}' for reason, count in counts)}")
    if stream.score:
        interval = between(stream.score.get("low"), stream.score.get("high"))
        lines.append(f"  score   {clean(str(stream.score['metric']))} {number(stream.score['value'])}{interval}")
    if stream.swaps or stream.alarms:
        lines.append(f"  changes {len(stream.swaps):,} swaps, {len(stream.alarms):,} alarms")
    lines += [
        f"  alarm   {clean(str(alarm.get('words') or alarm.get('of')))}" for alarm in stream.alarms[-MOST_EVENTS:]
    ]
    return lines
