"""``daskflow control``: ask something of a run that goes on."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("command", metavar="pause|resume|stop|cancel|extend")
@click.option("--trial", metavar="TRIAL", default="", help="Of cancel: the trial to give up.")
@click.option("--wall-time", metavar="TIME", help="Of extend: time to add, such as '30 min'.")
@click.option("--cpu-hours", type=float, default=0.0, help="Of extend: processor time to add.")
@click.option("--trials", type=int, default=0, help="Of extend: trials to add, of those that the budget left out.")
def control(run: Path, command: str, trial: str, wall_time: str | None, cpu_hours: float, trials: int) -> None:
    """Ask something of a run that goes on; RUN is its folder, or RUNS/NAME.

    \b
    pause    hand in no new fits; those that run are finished
    resume   go on
    stop     end the search, and keep the best trial so far: it is refitted and evaluated
    cancel   give up one trial: it ranks last
    extend   add to the budget of the search

    What takes effect is written to the run's journal, and holds when the run is continued; a run that is started again
    is not paused. Exit codes: 0 the run has heard it; 1 it does not go on, cannot do it, or does not answer; 2 the
    command line is wrong.
    """
    from daskflow.core.control import Command
    from daskflow.core.folder import find_run
    from daskflow.workflow.acting import act, wall_seconds_of

    asked = Command(
        command,
        trial=trial,
        wall_seconds=wall_seconds_of(wall_time),
        cpu_hours=cpu_hours,
        trials=trials,
        by="command line",
    )
    click.echo(act(find_run(run), asked))
