"""``daskflow plan``: what a run will do and what it will take."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, overriding, workflow_of


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@overriding
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the page.")
def plan(file: Path, changes: tuple[str, ...], on: str | None, runs: Path, as_json: bool) -> None:
    """Say what a run will do and what it takes.

    Partitions, bytes, memory, fits; from names, footers, headers and a sample of the data, none of which is computed.
    Time and CPU-hours with a band: by earlier runs of the same model below RUNS, else by timing a few fits on made-up
    rows, for about 2 seconds.
    """
    from daskflow.cli.running import print_json

    found = workflow_of(file, changes, on).plan(runs)
    if as_json:
        print_json(found.dump())
    else:
        click.echo(str(found))
