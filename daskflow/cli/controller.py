"""``daskflow controller``: what the job of a submitted run does."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
def controller(folder: Path) -> None:
    """Run or continue a submitted run, in its job; `daskflow submit` writes the script that says this."""
    from daskflow.cli.progress import progress
    from daskflow.cli.running import outcome
    from daskflow.core.folder import RunFolder
    from daskflow.workflow.controller import Controller

    try:
        with progress() as listener:
            run = Controller(RunFolder(folder.resolve())).run(listener)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("Cancelled. What is finished is kept: submit it again to go on.") from error
    if run is not None:
        click.echo(outcome(run))
