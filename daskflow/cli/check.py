"""``daskflow check``: every mistake of a workflow at once."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, overriding, shown, workflow_of


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@overriding
def check(file: Path, changes: tuple[str, ...], on: str | None) -> None:
    """Find every mistake of a workflow file at once.

    Reads names, footers, headers and a sample of the data; exit code 2 when the workflow is wrong.
    """
    notes = workflow_of(file, changes, on).check()
    click.echo(f"{shown(file)} is fine.")
    for note in notes:
        click.echo(f"  {note}")
