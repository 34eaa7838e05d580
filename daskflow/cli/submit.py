"""``daskflow submit``: hand a workflow to a batch queue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daskflow.cli.verb import Verb, overriding, shown, workflow_of

if TYPE_CHECKING:
    from daskflow.core.events import Event


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@overriding
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option("--fresh", is_flag=True, help="Start anew instead of continuing.")
@click.option("--dry-run", is_flag=True, help="Print the script of the controller's job, and hand in nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def submit(
    file: Path, changes: tuple[str, ...], on: str | None, runs: Path, fresh: bool, dry_run: bool, as_json: bool
) -> None:
    """Hand a workflow to a batch queue: it goes on when this shell, or the machine, is gone.

    The run's controller is a job of its own, which hands in the jobs of the workers. When its node fails, or its
    walltime ends, it goes on in another job, from the journal. What the queue would refuse is said now.

    `daskflow status`, `logs`, `watch`, `control` and `cancel` take the run's folder, on any machine that sees it.

    Exit codes: 0 handed in; 1 the data are wrong, or the run goes on already or is done; 2 the workflow or the command
    line is wrong; 3 the queue refused it, or there is none.
    """
    from daskflow.cli.running import print_json, say_core_hours, say_core_hours_of, summarized
    from daskflow.core.folder import RunFolder
    from daskflow.workflow.submitting import batch_cluster, script_of, submit

    with summarized(as_json):
        workflow = workflow_of(file, changes, on)
        if dry_run:
            batch_cluster(workflow)
            click.echo(script_of(workflow, RunFolder(runs.resolve() / workflow.name / workflow.id)))
            say_core_hours(workflow, runs, has_controller=True)
            return
        workflow = workflow.opened()
        done = submit(workflow, runs, fresh=fresh, listener=_say)
    if as_json:
        print_json({"run": str(done.folder.path), "job": done.job, "kind": workflow.cluster.kind, "notes": done.notes})
        return
    folder = shown(done.folder.path)
    for note in done.notes:
        click.echo(f"  {note}", err=True)
    click.echo(f"Run {folder}: its controller is job {done.job}.")
    click.echo(f"  daskflow status {folder}   what waits and what runs")
    click.echo(f"  daskflow watch {folder}    its pages, or --text")
    click.echo(f"  daskflow logs {folder}     what its jobs write")
    click.echo(f"  daskflow cancel {folder}   end it; what is finished is kept")
    say_core_hours_of(workflow, done)  # behind the job, which waits for nobody


def _say(event: Event) -> None:
    """Print what is done meanwhile."""
    click.echo(f"  {event.fields['text']}", err=True)
