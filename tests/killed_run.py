"""A whole run in a process of its own, to be killed at any moment and run again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import sklearn.linear_model
import sklearn.metrics  # noqa: F401

import daskflow.clusters.local
import daskflow.models.sgd
import daskflow.reports.page
import daskflow.workflow.executing  # noqa: F401
from daskflow.core.events import Event
from daskflow.workflow import Workflow
from tests import killed_search

PRELOAD = ["tests.killed_search", "tests.killed_run", "optuna"]
"""Imported once by the process that all others of the tests are forked from."""


def run(file: Path, runs: Path) -> None:
    """Run a workflow quietly, in a process group of its own; it is held up as `hold_up` says."""
    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    Workflow.from_toml(file).run(runs, listener=lambda event: held_up(event, runs))


def hold_up(runs: Path, after: int | None) -> None:
    """Let runs in a folder not go on when so many units are finished, until this is called again; None: let all."""
    if runs.is_dir():
        for journal in runs.glob("*/*/journal.jsonl"):
            killed_search.hold_up(journal.parent, after)


def held_up(event: Event, runs: Path) -> None:
    """Wait behind a unit's answer as long as the run is held up."""
    while event.name == "unit" and any(
        killed_search.is_held_up(journal.parent) for journal in runs.glob("*/*/journal.jsonl")
    ):
        time.sleep(0.005)
