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
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of the table.")
def runs(folder: Path, as_json: bool) -> None:
    """List the runs of a folder, newest first (default: runs)."""
    from daskflow.cli.running import print_json
    from daskflow.workflow import list_runs

    found = list_runs(folder)
    if as_json:
        print_json(found)
    elif not found:
        click.echo(f"There is no run in {shown(folder)}.")
    else:
        rows = [
            {
                "run": f"{run['name']}/{run['id']}",
                "status": run["status"],
                "best": "-"
                if run["score"] is None
                else f"{run['metric']} {number(run['score'])}{between(run['low'], run['high'])}",
                "time": duration(run["seconds"]),
                "started": datetime.fromtimestamp(run["started"]).strftime("%Y-%m-%d %H:%M"),
            }
            for run in found
        ]
        click.echo(table(rows))


def _best(run: Mapping[str, Any]) -> str:
    """The best score with its interval."""
    if run["score"] is None:
        return "-"
    return f"{run['metric']} {number(run['score'])}{between(run['low'], run['high'])}"
