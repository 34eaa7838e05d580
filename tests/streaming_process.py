"""What a process does that streams until it is killed; it imports no more than that takes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


def work(model: str, source: str, sink: str, options: dict[str, Any]) -> None:
    """Stream, and say what was done; ``pause_seconds`` in the options is how long each commit takes more."""
    from daskflow.streams import committing
    from daskflow.workflow.streaming import stream

    pause, commit = options.pop("pause_seconds", 0.0), committing.Commits.commit
    if pause:

        def slowly(*arguments: Any, **words: Any) -> Any:
            time.sleep(pause)
            return commit(*arguments, **words)

        committing.Commits.commit = slowly  # type: ignore[method-assign]
    summary = stream(model, source, sink, **options)
    Path(options["folder"], "done.json").write_text(json.dumps(summary))
