"""Printing the logs of a run's jobs, as they are or as they grow."""

from __future__ import annotations

import time
from contextlib import suppress

import click

from daskflow.cli.watching_words import clean
from daskflow.core.errors import ControlError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import read
from daskflow.workflow.acting import status_of
from daskflow.workflow.job_logs import Following, logs_of

LOOK_SECONDS = 0.5

STATUS_SECONDS = 2.0
"""How often it is asked whether the run is over."""


def print_logs(folder: RunFolder, job: str | None, lines: int | None) -> None:
    """Print every log as it is now."""
    for log in logs_of(folder, job):
        _print(log.name, Following().new(log.path, is_over=True), lines, is_alone=job is not None)


def follow_logs(folder: RunFolder, job: str | None, lines: int | None) -> None:
    """Print what there is and what comes, until the run is over."""
    following, asked, is_over = Following(), 0.0, False
    with suppress(KeyboardInterrupt):
        while True:
            if time.monotonic() - asked > STATUS_SECONDS:
                asked = time.monotonic()
                is_over = status_of(read(folder.journal), folder.journal) not in ("running", "waiting")
            try:
                found = logs_of(folder, job)
            except ControlError:
                if is_over:
                    raise
                found = []  # nothing was written yet
            for log in found:
                _print(log.name, following.new(log.path, is_over=is_over), lines, is_alone=job is not None)
            if is_over:
                return
            lines = None
            time.sleep(LOOK_SECONDS)


def _print(name: str, text: str, lines: int | None, *, is_alone: bool) -> None:
    """Print lines behind the name of what wrote them; nothing in them moves the cursor."""
    given = text.replace("\r\n", "\n").split("\n")
    given = given[:-1] if given and not given[-1] else given
    for line in given if lines is None else given[-lines:]:
        shown = clean(line.rpartition("\r")[2].expandtabs())
        click.echo(shown if is_alone else f"{name} | {shown}")
