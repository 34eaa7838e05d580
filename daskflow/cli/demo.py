"""``daskflow demo``: the whole job on generated data."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb

ROWS = 60_000


@click.command(cls=Verb)
@click.option("--rows", type=click.IntRange(min=1_000), default=ROWS, show_default=True, help="Rows to generate.")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option("--fresh", is_flag=True, help="Start anew instead of continuing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def demo(rows: int, runs: Path, fresh: bool, as_json: bool) -> None:
    """Do the whole job on generated data, with no input at all.

    Generates a table of realistic shape, tunes a classifier on a local cluster, scores it on rows it has not seen, and
    writes a report and a model.
    """
    from daskflow.cli.running import run_workflow
    from daskflow.workflow import Workflow

    run_workflow(Workflow.demo(rows), runs, fresh=fresh, as_json=as_json)
