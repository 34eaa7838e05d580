"""Workflow, Plan and Run: the only room that knows all the others."""

from __future__ import annotations

import importlib
from typing import Any

NAMES = {
    "Workflow": "daskflow.workflow.workflow",
    "Plan": "daskflow.workflow.plan",
    "Run": "daskflow.workflow.run",
    "open_run": "daskflow.workflow.run",
    "list_runs": "daskflow.workflow.listing",
    "runs_frame": "daskflow.workflow.listing",
    "open_stream": "daskflow.workflow.opened_stream",
    "list_streams": "daskflow.workflow.opened_stream",
    "OpenedStream": "daskflow.workflow.opened_stream",
    "compare": "daskflow.workflow.comparing",
    "Comparison": "daskflow.workflow.comparing",
    "read": "daskflow.workflow.reading",
    "profile": "daskflow.workflow.profiling",
    "Profile": "daskflow.workflow.profiling",
}


def __getattr__(name: str) -> Any:
    """Find a public name on first use."""
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
