"""``daskflow plan``: what a run will do and what it will take."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, overriding, workflow_of


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@overriding
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the page.")
def plan(file: Path, changes: tuple[str, ...], on: str | None, as_json: bool) -> None:
    """Say what a run will do and what it takes.

    Partitions, bytes, memory, fits; from names, footers, headers and a sample of the data. Nothing is computed.
    """
    from daskflow.cli.running import print_json

    found = workflow_of(file, changes, on).plan()
    if as_json:
        print_json(found.dump())
    else:
        click.echo(str(found))
