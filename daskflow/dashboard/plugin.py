"""Plugin: pages of runs on the scheduler's own web server, beside Dask's own pages.

Records come as events of the topic `RECORDS`; what viewers ask for goes back as events of a topic of each run's own.
For a scheduler that many runs use: ``dask scheduler --preload daskflow.dashboard.plugin``; else a run mounts the pages
by itself. What is touched of Dask is partly internal, so every touch may fail: then there are no pages, never a failed
run.
"""

from __future__ import annotations

import json
import logging
import socket
from contextlib import suppress
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

from daskflow.core.control import Command
from daskflow.dashboard.calling import NAME, RECORDS, commands_topic
from daskflow.dashboard.site import application
from daskflow.dashboard.watched import Watched

logger = logging.getLogger(__name__)

MOST_RUNS = 5
"""Runs that are kept; of more, those that go on, and the ones that were opened last."""

AWAY_SECONDS = 10.0
"""A run whose process has been gone for so long is interrupted."""


class Mounted(Watched):
    """A run whose records come through the scheduler.

    Parameters
    ----------
    boot : str
        Of the process that runs it; another one's records are not heard.
    client : str
        Id of its client.
    **more
        See `Watched`.
    """

    def __init__(self, *, boot: str, client: str, **more: Any) -> None:
        """Begin with nothing heard."""
        self.boot, self.client, self.heard = boot, client, -1
        super().__init__(**more)


class Pages(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Every run that was opened on a scheduler, and their pages."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        """Begin without a scheduler."""
        self.runs: dict[str, Mounted] = {}
        self.why = ""
        self.prefix = "/"
        self._scheduler: Any = None
        self._application: Any = None

    async def start(self, scheduler: Any) -> None:
        """Put the pages on the scheduler's web server; once, however often Dask calls it."""
        if self._scheduler is not None:
            return
        self._scheduler = scheduler
        try:
            self._mount(scheduler)
        except Exception as error:
            self.why = f"The pages cannot be put on this scheduler's web server ({type(error).__name__}: {error})."
            logger.warning("%s", self.why, exc_info=True)

    def _mount(self, scheduler: Any) -> None:
        served = getattr(scheduler, "http_application", None)
        if served is None or getattr(scheduler, "http_server", None) is None:
            self.why = "This scheduler has no web server."
            return
        self.prefix, has_dask = _prefix_of(served)
        self._application = application(
            self.runs.get, lambda: [*reversed(self.runs.values())], prefix=self.prefix, dask_pages=has_dask
        )
        served.add_application(self._application)
        with suppress(Exception):  # the link alone is not worth a word
            pages = _navigation(scheduler)
            if "daskflow" not in pages:
                pages.insert(0, "daskflow")

    async def close(self) -> None:
        """Take everything away again."""
        scheduler, self._scheduler = self._scheduler, None
        for run in self.runs.values():
            run.close()
        with suppress(Exception):
            scheduler.http_application.applications.remove(self._application)
        with suppress(Exception):
            _navigation(scheduler).remove("daskflow")

    def open(self, *, name: str, id: str, seal: str, boot: str, client: str) -> dict[str, Any]:
        """Begin a run, anew when it was known; return where its pages are, or ``why`` there are none."""
        if self.why:
            return {"why": self.why}
        former = self.runs.pop(id, None)
        if former is not None:
            former.close()
        self.runs[id] = Mounted(
            name=name, id=id, seal=seal, boot=boot, client=client, act=lambda command: self._ask(id, boot, command)
        )
        idle = [known for known, run in self.runs.items() if known != id and not self._goes_on(run)]
        for known in idle[: max(0, len(self.runs) - MOST_RUNS)]:
            self.runs.pop(known).close()
        server = self._scheduler.http_server
        return {
            "bound": str(server.address),
            "port": int(server.port),
            "scheme": "https" if getattr(server, "ssl_options", None) else "http",
            "prefix": self.prefix,
            "host": socket.gethostname(),
        }

    def _goes_on(self, run: Mounted) -> bool:
        """Whether a run has not ended, and its process is connected."""
        return not run.state.is_over and run.client in self._scheduler.clients

    def log_event(self, topic: str, msg: Any) -> None:
        """Hear what a run tells; Dask would keep the messages, which are of no more use."""
        if topic != RECORDS:
            return
        with suppress(Exception):
            self._scheduler._broker.truncate(topic)
        try:
            run = self.runs.get(msg["id"])
            if run is None or run.boot != msg["boot"] or msg["number"] <= run.heard:
                return
            run.heard = msg["number"]
            run.hear(json.loads(msg["records"]))
        except Exception:
            logger.warning("Records of a run cannot be read.", exc_info=True)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """See whether a run's process comes back."""
        for run in self.runs.values():
            if run.client == client and not run.state.is_over:
                with suppress(Exception):
                    scheduler.loop.call_later(AWAY_SECONDS, self._gone, run)

    def _gone(self, run: Mounted) -> None:
        is_there = self._scheduler is not None and run.client in self._scheduler.clients
        if not is_there and not run.state.is_over:
            said = "The process that ran it has gone. The same command continues it."
            run.hear([{"record": "end", "at": run.now, "status": "interrupted", "error": said}])

    def _ask(self, id: str, boot: str, command: Command) -> str:
        """Tell the run's process what a viewer asks."""
        run = self.runs.get(id)
        if run is None or run.boot != boot or run.client not in self._scheduler.clients:
            raise PermissionError("The run's process is not connected to this scheduler now.")
        topic = commands_topic(id, boot)
        self._scheduler.log_event(topic, {**command.dump(), "at": command.at})
        with suppress(Exception):
            self._scheduler._broker.truncate(topic)
        return "The run was asked; the notes tell when it has taken effect."


def _prefix_of(served: Any) -> tuple[str, bool]:
    """Return the prefix of a scheduler's pages, and whether it has Dask's own pages; it keeps the prefix nowhere."""
    for each in served.applications:
        if hasattr(each, "app_paths"):  # bokeh's
            return f"/{str(each.prefix).strip('/')}/".replace("//", "/"), True
    for rule in served.wildcard_router.rules:
        for inner in getattr(rule.target, "rules", [rule]):
            pattern = getattr(getattr(inner.matcher, "regex", None), "pattern", "")
            if pattern.endswith("/health$"):
                return pattern.removesuffix("health$"), False
    return "/", False


def _navigation(scheduler: Any) -> list[str]:
    """Return the pages in the bar at the top of Dask's pages, which they all share."""
    from distributed.dashboard.scheduler import template_variables

    pages: list[str] = template_variables(scheduler)["pages"]
    return pages


async def dask_setup(scheduler: Any) -> None:
    """Put the pages on a scheduler that is started with this module as a preload."""
    pages = Pages()
    await pages.start(scheduler)
    scheduler.add_plugin(pages, name=NAME, idempotent=True)
