"""``daskflow run``: run a workflow, or continue it."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, overriding, workflow_of


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@overriding
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option("--fresh", is_flag=True, help="Start anew instead of continuing.")
@click.option("--dry-run", is_flag=True, help="Print the job script of a batch queue's workers, and start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else there.")
def run(
    file: Path, changes: tuple[str, ...], on: str | None, runs: Path, fresh: bool, dry_run: bool, as_json: bool
) -> None:
    """Run a workflow, or continue it.

    The run's folder is RUNS/NAME/ID. The same workflow has the same ID: what an earlier run finished is not done
    again. Progress goes to stderr, the outcome to stdout.

    Exit codes: 0 done; 1 a stage failed; 2 the workflow or the command line is wrong; 3 no cluster; 130 interrupted,
    and the same command continues.
    """
    from daskflow.cli.running import print_json, run_workflow, say_core_hours, summarized

    with summarized(as_json):
        workflow = workflow_of(file, changes, on)
        script = workflow.job_script(runs) if dry_run else ""
    if dry_run and as_json:
        print_json({"job_script": script})
    elif dry_run:
        click.echo(script, nl=False)
        say_core_hours(workflow, runs)
    else:
        run_workflow(workflow, runs, fresh=fresh, as_json=as_json)
