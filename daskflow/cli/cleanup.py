"""``daskflow cleanup``: remove what runs on batch queues have left behind."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, shown


@click.command(cls=Verb)
@click.argument("runs", type=click.Path(path_type=Path), default="runs")
def cleanup(runs: Path) -> None:
    """Remove what runs that are over, or were killed, have left: jobs in the queue, keys, leases (default: runs).

    RUNS may also be runs/NAME, or one run's folder. Runs that go on or wait in the queue are not touched, nor are
    jobs of other users, or jobs that do not carry the mark of one of these runs. What a run has finished is kept.

    Exit codes: 0 all is clean; 3 a queue could not be asked.
    """
    from daskflow.core.errors import ClusterError, StorageError
    from daskflow.workflow.cleaning import clean

    if not runs.is_dir():
        raise StorageError(f"There is no folder {runs}; name the folder of runs.")
    found = clean(runs)
    for each in found:
        if each.removed:
            click.echo(f"{shown(each.folder.path)}: removed {', '.join(each.removed)}.")
    wrong = list(dict.fromkeys(each.left for each in found if each.left))
    if wrong:
        raise ClusterError(f"{len([each for each in found if each.left])} runs are left as they are. {' '.join(wrong)}")
    if not found:
        click.echo(f"Nothing is left behind in {shown(runs)}.")
