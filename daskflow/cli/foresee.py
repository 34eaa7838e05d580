"""``daskflow foresee``: what `submit` has a process beside it do."""

from __future__ import annotations

import os
from pathlib import Path

import click

from daskflow.cli.verb import Verb

FORESEEN = "Core-hours: "
"""Begins the line that counts; an estimator of a user's own may print others."""

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Native libraries read these when they are loaded; a fit in a worker's job has one thread, too."""


@click.command(cls=Verb)
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
def foresee(folder: Path) -> None:
    """Print about how many core-hours a submitted run will use; what is timed for that gives way to everything."""
    from daskflow.core.priority import give_way
    from daskflow.core.processes import die_with_parent

    die_with_parent()  # nobody else reads what it prints, and on a busy machine it would take minutes
    give_way()  # before anything is loaded
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    from daskflow.core.errors import StorageError
    from daskflow.core.folder import RunFolder
    from daskflow.workflow.core_hours_ahead import core_hours_ahead
    from daskflow.workflow.plan import foreseen
    from daskflow.workflow.submission import read_submission, read_workflow
    from daskflow.workflow.timed_fits import made_up_fits

    run = RunFolder(folder.resolve())
    submission = read_submission(run)
    if submission is None:
        raise StorageError(f"{run.path} was not submitted: it has no submit.json.")
    workflow, runs = read_workflow(run, submission), run.path.parent.parent
    ahead = core_hours_ahead(workflow, foreseen(workflow, runs, made_up_fits), runs, has_controller=True)
    click.echo(f"{FORESEEN}{ahead}.")
