"""Calling: what a run's process has the scheduler do about its pages, and the names both go by.

The process itself makes no page, so nothing heavy is loaded here: functions are sent to the scheduler by their name,
and load there what they need.
"""

from __future__ import annotations

from typing import Any

NAME = "daskflow-pages"
"""Of the plugin; there is one per scheduler."""

RECORDS = "daskflow-records"
"""Topic of records: id and boot of the run, number of the message, and JSON of a list of records."""


def commands_topic(id: str, boot: str) -> str:
    """Return the topic of what viewers ask of a run."""
    return f"daskflow-commands-{id}-{boot}"


async def opened(*, name: str, id: str, seal: str, boot: str, client: str, dask_scheduler: Any) -> dict[str, Any]:
    """Open a run on the scheduler where this is called; see `Pages.open`. Never raises."""
    try:
        from daskflow.dashboard.plugin import Pages

        pages = dask_scheduler.plugins.get(NAME)
        if pages is None:
            pages = Pages()
            dask_scheduler.add_plugin(pages, name=NAME)
        await pages.start(dask_scheduler)
        told: dict[str, Any] = pages.open(name=name, id=id, seal=seal, boot=boot, client=client)
        return told
    except Exception as error:
        return {"why": f"The pages cannot be put on this scheduler ({type(error).__name__}: {error})."}


def unaware_viewers(*, id: str, dask_scheduler: Any) -> int:
    """Return how many look at a run on the scheduler where this is called, and have not seen its end."""
    pages = dask_scheduler.plugins.get(NAME)
    run = pages.runs.get(id) if pages is not None else None
    return 0 if run is None else int(run.unaware)
