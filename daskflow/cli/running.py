"""Running a workflow from the command line: progress on stderr, the outcome on stdout."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.progress import progress
from daskflow.cli.verb import between, duration, number, shown
from daskflow.core.errors import DaskflowError
from daskflow.core.events import Event, Listener, tell
from daskflow.core.space import told

if TYPE_CHECKING:
    from daskflow.workflow.run import Run
    from daskflow.workflow.submitting import Submitted
    from daskflow.workflow.workflow import Workflow


PATIENCE_SECONDS = 20.0
"""A machine with nothing else to do times fits in 5 s; who has submitted a run need not wait much longer."""


def run_workflow(workflow: Workflow, runs: Path, *, fresh: bool, as_json: bool) -> None:
    """Run or continue a workflow, and print what came of it: words, or one JSON object whatever happens."""
    try:
        with summarized(as_json):
            workflow = _opened_once(workflow)
            is_told = as_json or say_earlier_core_hours(workflow, runs)
            with progress() as listener:
                hears = listener if is_told else CoreHoursAtFirstFits(workflow, runs, listener)
                run = workflow.run(runs, fresh=fresh, listener=hears)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("Interrupted. What is finished is kept: the same command continues.") from error
    if as_json:
        print_json(run.summary())
    else:
        click.echo(outcome(run))


def _opened_once(workflow: Workflow) -> Workflow:
    """The workflow; on a queue with its table open, which is looked at before and after jobs are handed in."""
    from daskflow.clusters.batch import Batch

    return workflow.opened() if isinstance(workflow.cluster, Batch) else workflow


def say_core_hours(workflow: Workflow, runs: Path, *, has_controller: bool = False) -> None:
    """Say on stderr about how many core-hours a run's jobs will use; nothing on no batch queue, or of unread data."""
    from daskflow.clusters.batch import Batch

    if not isinstance(workflow.cluster, Batch):
        return
    from daskflow.workflow.core_hours_ahead import core_hours_ahead

    with suppress(DaskflowError):  # data that is not here: a script can be looked at on any machine
        outlook = workflow.plan(runs.absolute()).outlook
        ahead = core_hours_ahead(workflow, outlook, runs.absolute(), has_controller=has_controller)
        click.echo(f"Core-hours: {ahead}.", err=True)


def say_core_hours_of(workflow: Workflow, done: Submitted) -> None:
    """Say on stderr about how many core-hours a run that was handed in will use.

    Where no earlier run tells, fits are timed for it, by a process that gives way to the run's jobs, which may have
    begun on this machine. One that is too busy for that lets nobody wait: then it is said that it is not known.

    Raises
    ------
    KeyboardInterrupt
        With a sentence that the run is handed in all the same.
    """
    from daskflow.cli.foresee import FORESEEN
    from daskflow.core.priority import printed_aside
    from daskflow.workflow.core_hours_ahead import core_hours_ahead

    folder, text = done.folder, None
    if done.outlook.seconds is None:
        command = [sys.executable, "-m", "daskflow", "foresee", str(folder.path)]
        # Modules are found as here; `-m` alone would look into the current folder first.
        environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            text = printed_aside(command, environment, PATIENCE_SECONDS)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt(
                f"Interrupted, and handed in all the same: `daskflow cancel {shown(folder.path)}` ends the run."
            ) from error
    said = [line for line in (text or "").splitlines() if line.startswith(FORESEEN)]
    with suppress(DaskflowError, OSError):  # the run is handed in, whatever becomes of this
        if not said:
            ahead = core_hours_ahead(workflow, done.outlook, folder.path.parent.parent, has_controller=True)
            said = [f"{FORESEEN}{ahead}."]
        click.echo(said[-1], err=True)


def say_earlier_core_hours(workflow: Workflow, runs: Path) -> bool:
    """Say what `say_core_hours` says as far as earlier runs tell it; return whether nothing is left to be said.

    To time fits takes seconds, in which no job would be handed in; the run's own first fits tell it better.
    """
    from daskflow.clusters.batch import Batch

    if not isinstance(workflow.cluster, Batch):
        return True
    from daskflow.workflow.core_hours_ahead import core_hours_ahead
    from daskflow.workflow.plan import foreseen, nothing_timed

    try:
        outlook = foreseen(workflow, runs.absolute(), nothing_timed)
    except DaskflowError:  # the run says it
        return True
    click.echo(f"Core-hours: {core_hours_ahead(workflow, outlook, runs)}.", err=True)
    return outlook.seconds is not None


class CoreHoursAtFirstFits:
    """A listener that says about how many core-hours a run will use as soon as its fits have been forecast once.

    Parameters
    ----------
    workflow : Workflow
        On a batch queue.
    runs : Path
        Folder of runs.
    listener : callable
        Hears every event, and the sentence.
    """

    def __init__(self, workflow: Workflow, runs: Path, listener: Listener) -> None:
        """Wait for the first forecast."""
        self._workflow, self._runs, self._listener = workflow, runs, listener
        self._began, self._is_told = math.nan, False

    def __call__(self, event: Event) -> None:
        """Hand an event on."""
        self._listener(event)
        if event.name == "stage" and math.isnan(self._began):  # what jobs wait for costs nothing
            self._began = event.at
        if event.name == "forecast" and not self._is_told:
            self._is_told = True
            tell(self._listener, "note", text=self._sentence(event))

    def _sentence(self, event: Event) -> str:
        from daskflow.workflow.core_hours_ahead import core_hours_ahead
        from daskflow.workflow.outlook import Outlook

        fields, so_far = event.fields, event.at - self._began
        wall = {word: so_far + fields[word] for word in ("seconds", "low", "high")}
        cpu = {word: fields["cpu_hours_spent"] + fields[word] for word in ("cpu_hours", "cpu_low", "cpu_high")}
        found = Outlook("by the first fits", **wall, **cpu)
        return f"Core-hours until the search ends: {core_hours_ahead(self._workflow, found, self._runs)}."


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
