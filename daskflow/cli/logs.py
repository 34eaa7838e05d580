"""``daskflow logs``: what the jobs of a run have written."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--worker", "job", metavar="JOBID", help="Only of this job.")
@click.option("--follow", is_flag=True, help="Go on as they grow, until the run is over or Ctrl-C.")
@click.option("--lines", type=click.IntRange(min=1), metavar="N", help="Only the last N lines of each.")
def logs(run: Path, job: str | None, follow: bool, lines: int | None) -> None:
    """Print what the jobs of a run have written, also those that are long gone.

    RUN is its folder, or RUNS/NAME. The controller's jobs and the workers' stand in the order in which they were begun,
    each line behind its job's number.
    """
    from daskflow.cli.job_logs import follow_logs, print_logs
    from daskflow.core.folder import find_run

    folder = find_run(run)
    if follow:
        follow_logs(folder, job, lines)
    else:
        print_logs(folder, job, lines)
