"""Running a workflow from the command line: progress on stderr, the outcome on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.progress import progress
from daskflow.cli.verb import between, duration, number, shown
from daskflow.core.errors import DaskflowError
from daskflow.core.space import told

if TYPE_CHECKING:
    from daskflow.workflow.run import Run
    from daskflow.workflow.workflow import Workflow


def run_workflow(workflow: Workflow, runs: Path, *, fresh: bool, as_json: bool) -> None:
    """Run or continue a workflow, and print what came of it: words, or one JSON object whatever happens."""
    try:
        with summarized(as_json), progress() as listener:
            run = workflow.run(runs, fresh=fresh, listener=listener)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("Interrupted. What is finished is kept: the same command continues.") from error
    if as_json:
        print_json(run.summary())
    else:
        click.echo(outcome(run))


def say_core_hours(workflow: Workflow, runs: Path, *, has_controller: bool = False) -> None:
    """Say on stderr about how many core-hours a run's jobs will use; nothing on no batch queue, or of unread data."""
    from daskflow.clusters.batch import Batch

    if not isinstance(workflow.cluster, Batch):
        return
    from daskflow.workflow.core_hours_ahead import core_hours_ahead

    with suppress(DaskflowError):  # data that is not here: a script can be looked at on any machine
        runs = runs.absolute()
        found = core_hours_ahead(workflow, workflow.plan(runs).outlook, runs, has_controller=has_controller)
        click.echo(f"Core-hours: {found}.", err=True)


@contextmanager
def summarized(as_json: bool) -> Iterator[None]:
    """Print the JSON object of what ends early, too, and let the error go on."""
    try:
        yield
    except BaseException as error:
        if as_json:
            print_json(summary_of(error))
        raise


def summary_of(error: BaseException) -> dict[str, Any]:
    """Return what is known of a run that ended early."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    known: Mapping[str, Any] = getattr(error, "summary", None) or {"run": None}
    text = str(error) or type(error).__name__
    return {**known, "status": status, "error": None if status == "interrupted" else text}


def print_json(value: Any, *, err: bool = False) -> None:
    """Print one value on stdout, or on stderr; not-a-number is null."""
    from daskflow.core.journal import plain

    click.echo(json.dumps(plain(value), indent=1, allow_nan=False, default=str), err=err)


def outcome(run: Run) -> str:
    """Return what a finished run came to: the best trial, the test's metrics, and where things are."""
    from daskflow.reports.words import likeness

    summary = run.summary()
    folder = shown(run.path)
    lines = [f"Run {folder}: {run.status} in {duration(summary['seconds'])}"]
    if run.search is not None:
        best = run.best
        params = ", ".join(f"{name} = {_value(value)}" for name, value in told(best.params).items())
        chosen = f"{run.search.metric} {number(best.score)}{between(best.low, best.high)}"
        scored, drawn = sum(trial.score == trial.score for trial in run.trials), len(run.trials)
        among = f"{drawn}" if scored == drawn else f"{scored} with a score ({drawn} drawn)"
        lines.append(f"  best    trial {best.id} of {among}, {chosen}")
        lines += [f"          {params}"] if params else []
        lines += [f"          {likeness(run.search)}"] if likeness(run.search) else []
    names = max((len(name) for name in run.metrics), default=0)
    for place, (name, score) in enumerate(run.metrics.items()):
        head = "  test    " if place == 0 else "          "
        lines.append(f"{head}{name:<{names}}  {number(score.value)}  [{number(score.low)}, {number(score.high)}]")
    lines.append(f"  report  {shown(run.report_path)}")
    lines.append(f"  model   {folder}/model")
    trust = "".join(f" --trust {name}" for name in run.foreign_types)
    lines.append(f"New files: daskflow predict {folder} FILES -o scored.parquet{trust}")
    return "\n".join(lines)


def _value(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
