"""``daskflow runs``: the runs of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from daskflow.cli.verb import Verb, between, duration, number, shown, table


@click.command(cls=Verb)
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option("--name", metavar="PATTERN", help="Only runs of this name; * and ? stand for anything.")
@click.option("--status", metavar="STATUS", help="Only done, failed, interrupted, running, waiting or damaged ones.")
@click.option("--model", metavar="PATTERN", help="Only runs with this model.")
@click.option("--data", metavar="FINGERPRINT", help="Only runs on these data; the beginning is enough.")
@click.option("--metric", help="The test metric to show; default the one that chose the best candidate.")
@click.option(
    "--sort",
    default="started",
    show_default=True,
    help="started (newest first), name, status, model; score or test (best first); rows, seconds or cpu_seconds.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Show so many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of the table.")
def runs(folder: Path, sort: str, metric: str | None, limit: int | None, as_json: bool, **filters: str | None) -> None:
    """List the runs of a folder, newest first (default: runs).

    Shown are the best score in validation and a test metric, both with 95 % intervals, the rows, the model, the
    beginning of the data's fingerprint, and the time; below them what their models serve or stream now. FOLDER may also
    be runs/NAME, or a folder of streams, which are listed then.
    """
    from daskflow.cli.running import print_json
    from daskflow.cli.streams_text import row_of_stream
    from daskflow.workflow import list_runs
    from daskflow.workflow.opened_stream import list_streams
    from daskflow.workflow.watching_streams import STREAMS

    if folder.name == STREAMS and folder.is_dir():
        streams = list_streams(folder)
        if as_json:
            print_json([stream.dump() for stream in streams])
        else:
            click.echo(table([row_of_stream(stream) for stream in streams]) if streams else "There is no stream there.")
        return
    found = list_runs(folder, sort=sort, metric=metric, **filters)
    left_out = len(found) - limit if limit is not None else 0
    found = found[:limit]
    if as_json:
        print_json(found)
    elif not found:
        asked = any(value is not None for value in filters.values())
        click.echo(f"There is no {'such ' if asked else ''}run in {shown(folder)}.")
    else:
        click.echo(table([_row(run) for run in found]))
        if left_out > 0:
            click.echo(f"and {left_out} more")
        going_on = [
            {"run": f"{run['name']}/{run['id']}", **row_of_stream(stream)}
            for run in found
            for stream in list_streams(Path(run["path"]), is_running=True)
        ]
        if going_on:
            click.echo(table(going_on))


def _row(run: Mapping[str, Any]) -> dict[str, str]:
    """One line of the table."""
    started = "-" if run["started"] is None else datetime.fromtimestamp(run["started"]).strftime("%Y-%m-%d %H:%M")
    return {
        "run": f"{run['name']}/{run['id']}",
        "status": run["status"],
        "validation": _score(run["metric"], run["score"], run["low"], run["high"]),
        "test": _score(run["test_metric"], run["test"], run["test_low"], run["test_high"]),
        "rows": "-" if run["rows"] is None else f"{run['rows']:,}",
        "data": "-" if run["data"] is None else run["data"][:8],
        "model": run["model"] or "-",
        "time": "-" if run["seconds"] is None else duration(run["seconds"]),
        "started": started,
    }


def _score(metric: str | None, value: float | None, low: float | None, high: float | None) -> str:
    """A score with its interval."""
    return "-" if value is None else f"{metric} {number(value)}{between(low, high)}"
