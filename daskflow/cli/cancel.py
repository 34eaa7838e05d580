"""``daskflow cancel``: end a run's jobs on a batch queue."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("run", type=click.Path(path_type=Path))
def cancel(run: Path) -> None:
    """End the jobs of a run now: its controller and its workers. RUN is its folder, or RUNS/NAME.

    What is finished is kept: `daskflow submit` with the same workflow goes on from there. To keep the best model that
    there is so far, ask the run to stop instead: `daskflow control RUN stop`. Waits until the jobs are gone, mostly
    for some seconds, 100 s at most.

    Exit codes: 0 the jobs are gone; 1 there are none; 3 the queue cannot be asked.
    """
    from daskflow.core.folder import find_run
    from daskflow.workflow.run_jobs import cancel_run

    click.echo(cancel_run(find_run(run)))
