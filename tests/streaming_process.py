"""What a process does that streams until it is killed; it imports no more than that takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def work(model: str, source: str, sink: str, options: dict[str, Any]) -> None:
    """Stream, and say what was done."""
    from daskflow.workflow.streaming import stream

    summary = stream(model, source, sink, **options)
    Path(options["folder"], "done.json").write_text(json.dumps(summary))
