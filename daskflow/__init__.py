"""From a folder of files bigger than memory to a tuned, evaluated, servable model."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

ROOMS = ("sources", "preprocess", "models", "metrics", "explain", "search", "clusters", "streams")
NAMES = {
    "connect": "daskflow.clusters",
    "Table": "daskflow.data.table",
    "Preprocessor": "daskflow.preprocess",
    "Split": "daskflow.data.splits",
    "Balance": "daskflow.data.balance",
    "read": "daskflow.workflow",
    "profile": "daskflow.workflow",
    "Profile": "daskflow.workflow",
    "stream": "daskflow.workflow.streaming",
    "stream_async": "daskflow.workflow.streaming",
    "Stream": "daskflow.workflow.streaming",
    "serve": "daskflow.workflow.serving",
    "serve_async": "daskflow.workflow.serving",
    "Server": "daskflow.workflow.serving",
    "StreamSettings": "daskflow.workflow.streaming_settings",
    "evaluate": "daskflow.workflow.judging",
    "Judgement": "daskflow.workflow.judging",
    "Workflow": "daskflow.workflow",
    "DecisionSettings": "daskflow.workflow.judging_settings",
    "EvaluationSettings": "daskflow.workflow.judging_settings",
    "Plan": "daskflow.workflow",
    "Run": "daskflow.workflow",
    "open_run": "daskflow.workflow",
    "list_runs": "daskflow.workflow",
    "open_stream": "daskflow.workflow",
    "compare": "daskflow.workflow",
    "Comparison": "daskflow.workflow",
    "load_model": "daskflow.bundle",
    "Model": "daskflow.bundle",
    "DaskflowError": "daskflow.core.errors",
}

__all__ = ["NAMES", "ROOMS", "__version__", *NAMES, *ROOMS]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing daskflow stays quick."""
    if name in ROOMS:
        return importlib.import_module(f"daskflow.{name}")
    if name in NAMES:
        return getattr(importlib.import_module(NAMES[name]), name)
    raise AttributeError(f"module 'daskflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
