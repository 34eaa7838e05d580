"""A whole run in a process of its own, to be killed at any moment and run again."""

from __future__ import annotations

import os
from pathlib import Path

import sklearn.linear_model
import sklearn.metrics  # noqa: F401

import daskflow.clusters.local
import daskflow.models.sgd
import daskflow.reports.page
import daskflow.workflow.executing  # noqa: F401
from daskflow.workflow import Workflow

PRELOAD = ["tests.killed_search", "tests.killed_run", "optuna"]
"""Imported once by the process that all others of the tests are forked from."""


def run(file: Path, runs: Path) -> None:
    """Run a workflow quietly, in a process group of its own."""
    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    Workflow.from_toml(file).run(runs)
