"""Watching a run from its folder: its state kept up to date, the link of its own pages, or pages served here."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import click

from daskflow.cli.report import has_display
from daskflow.cli.verb import is_terminal
from daskflow.core.control import Command
from daskflow.core.errors import ControlError, DaskflowError, SettingsError
from daskflow.core.folder import RunFolder, find_run
from daskflow.core.journal import Record
from daskflow.dashboard.replay import Replay
from daskflow.dashboard.state import RunState

PORTS = range(8790, 8890)
"""Where pages are served unless it is said: the first free one."""

ANSWER_SECONDS = 3.0
"""Pages that do not answer within this time are not there."""

BROWSER_SECONDS = 5.0
"""A browser that was just started needs so long to read what it was given."""


class Source(Protocol):
    """What a run tells, from wherever it is known; see `workflow.watching.FolderSource`."""

    name: str
    id: str

    @property
    def is_running(self) -> bool:
        """Whether a process works on it."""

    def new(self) -> list[Record]:
        """What came since the last call."""


class Heard:
    """A run's state, kept up to date as it is told, or told again from its beginning.

    Parameters
    ----------
    source : Source
        What tells it.
    speed : float or None
        Of a replay, in seconds of the run per second; None to follow it as it goes on.

    Attributes
    ----------
    state : RunState
        What is known; another object when the run was begun anew.
    is_running : bool
        Whether there may be more, as of the last `hear`.
    """

    def __init__(self, source: Source, speed: float | None = None) -> None:
        """Begin with nothing heard."""
        self._source = source
        self._replay = None if speed is None else Replay(source.new(), speed)
        self.is_running = True
        self.state = RunState(name=source.name, id=source.id)

    @property
    def now(self) -> float:
        """The moment that is shown, in seconds since 1970."""
        return time.time() if self._replay is None else self._replay.at

    def hear(self) -> None:
        """Take in what came since the last call."""
        from daskflow.workflow.watching import Restarted

        if self._replay is not None:
            self._take(self._replay.new())
            self.is_running = not self._replay.is_over
            return
        self.is_running = self._source.is_running  # asked first, so that what it says last is not missed
        try:
            self._take(self._source.new())
        except Restarted:
            self.state = RunState(name=self._source.name, id=self._source.id)
            self.is_running = True

    def _take(self, records: Iterable[Record]) -> None:
        for record in records:
            with suppress(Exception):  # of another version, or damaged: the rest is worth showing all the same
                self.state.hear((record,))


def found(path: Path) -> RunFolder | Path:
    """Return the run's folder, or the path of a stream's; StorageError when there is none."""
    from daskflow.workflow.watching_streams import is_stream

    return path.resolve() if is_stream(path) else find_run(path)


def source_of(place: RunFolder | Path) -> Source:
    """Return what tells of a run and its streams, or of a stream."""
    from daskflow.workflow.watching_streams import RunWithStreams, StreamSource

    return StreamSource(place) if isinstance(place, Path) else RunWithStreams(place)


def show(place: RunFolder | Path, *, speed: float | None, once: bool) -> None:
    """Show a run on the terminal until it ends, or as it is now."""
    from daskflow.cli.watching_terminal import follow, print_once

    run = Heard(source_of(place), speed)
    if once:
        print_once(run)
        return
    with suppress(KeyboardInterrupt):
        follow(run)


def print_summary(place: RunFolder | Path) -> None:
    """Print what is known of a run as one JSON object: that of the pages' ``daskflow.json``."""
    from daskflow.cli.running import print_json
    from daskflow.dashboard.summary import summary_of

    run = Heard(source_of(place))
    run.hear()
    print_json(summary_of(run.state, run.now))


def own(folder: RunFolder | Path) -> str:
    """Return the link of a run's own pages; empty when it has none that answer here, as streams have none."""
    from daskflow.workflow.telling_pages import tunnel

    if isinstance(folder, Path):
        return ""
    told = told_address(folder)
    if not told:
        return ""
    from daskflow.workflow.acting import is_held
    from daskflow.workflow.telling_pages import LOOPBACK

    address, token, host = told["address"], told["token"], str(told.get("host") or "")
    parts = urlsplit(address)
    is_here = host in ("", socket.gethostname())
    link: str = parts._replace(query=f"run={quote(folder.id)}&token={quote(token)}").geturl()
    if parts.hostname in LOOPBACK and not is_here:
        click.echo(f"The run has pages of its own on {host}: {link}", err=True)
        click.echo(f"From your own machine, where ssh leads to {host}: {tunnel(told['address'], host)}", err=True)
        return ""
    if not is_held(folder.journal):  # a run that was killed leaves it behind, and its port may be anybody's by now
        return ""
    page, _, _ = parts.path.rpartition("/")
    feed = parts._replace(path=f"{page}/daskflow.json", query=f"run={quote(folder.id)}", fragment="").geturl()
    if answer_of(feed, token).get("id") != folder.id:
        return ""
    return link


def link_of(folder: RunFolder | Path) -> str:
    """Return the link of a run's own pages; ControlError when there are none here."""
    link = own(folder)
    if not link:
        path = folder if isinstance(folder, Path) else folder.path
        raise ControlError(f"{path} has no pages of its own here: it does not go on, or goes on elsewhere.")
    return link


def told_address(folder: RunFolder) -> dict[str, Any]:
    """Return what a run that goes on says of its pages; empty when it says nothing, or what cannot be."""
    try:
        told = json.loads(folder.live.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict) or not all(isinstance(told.get(word), str) for word in ("address", "token")):
        return {}
    return told if urlsplit(told["address"]).scheme in ("http", "https") else {}


def answer_of(address: str, token: str) -> dict[str, Any]:
    """Return the JSON object at an address; empty when nobody answers, or otherwise. No proxy is asked."""
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as response:
            found = json.loads(response.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tell_link(link: str, is_opened: bool | None) -> None:
    """Print a link, say how to get there when this shell is a remote one, and open it where that makes sense."""
    from daskflow.workflow.telling_pages import tunnel

    click.echo(link)
    way = tunnel(link)
    if way:
        click.echo(f"From your own machine: {way}", err=True)
    if is_opened or (is_opened is None and not way and is_terminal(sys.stdout) and has_display()):
        open_browser(link)


def open_browser(link: str) -> None:
    """Open a link in the browser by way of a file that only its owner can read: arguments of programs are public."""
    place = Path(tempfile.mkdtemp(prefix="daskflow-"))
    page = place / "watch.html"
    page.touch(mode=0o600)
    page.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={escape(link)}">', encoding="utf-8")
    opened = time.monotonic()
    webbrowser.open(page.as_uri())

    def remove() -> None:
        time.sleep(max(0.0, BROWSER_SECONDS - (time.monotonic() - opened)))
        shutil.rmtree(place, ignore_errors=True)

    atexit.register(remove)


def serve(
    place: RunFolder | Path,
    *,
    host: str,
    port: int | None,
    speed: float | None,
    is_read_only: bool,
    is_opened: bool | None,
) -> None:
    """Serve the pages of a run, or of a stream, from its folder until Ctrl-C."""
    from daskflow.core.control import ask
    from daskflow.dashboard.serving import Server
    from daskflow.dashboard.watched import all_screens, stream_screens
    from daskflow.workflow.acting import effect_of
    from daskflow.workflow.telling_pages import LOOPBACK
    from daskflow.workflow.watching_streams import STREAMS, StreamSource, streams_in

    if host not in LOOPBACK:
        click.echo(
            f"Whoever reaches {host} and has the link sees this run, and the link is not encrypted on its way: an ssh "
            "tunnel to 127.0.0.1 keeps both to yourself.",
            err=True,
        )
    if port and not is_free(host, port):
        raise SettingsError(
            f"Port {port} of {host} cannot be had: another program has it, or it is no address of this machine. Choose "
            "another --port, or leave it out for a free one."
        )

    beside: dict[Path, Source] = {}
    above = place.path if isinstance(place, RunFolder) else place.parent

    def others() -> Sequence[Source]:
        is_above = isinstance(place, RunFolder) or above.name == STREAMS
        beside.update(
            {path: StreamSource(path) for path in streams_in(above) if is_above and path not in (*beside, place)}
        )
        return list(beside.values())

    def act(command: Command) -> str:  # does not wait for the run's answer, which the pages hear as a record
        assert isinstance(place, RunFolder)  # of a stream nobody may act on the pages
        try:
            ask(place, command)
        except DaskflowError as error:
            raise PermissionError(str(error)) from error
        return effect_of(command)

    server = Server(
        source_of(place),
        act=act if isinstance(place, RunFolder) else None,
        host=host,
        port=free_port(host) if port is None else port,
        read_only=is_read_only,
        replay_speed=speed,
        others=others if speed is None else tuple,
        page="daskflow" if isinstance(place, RunFolder) else "daskflow-stream",
        make_screens=all_screens if isinstance(place, RunFolder) else stream_screens,
    )
    with suppress(KeyboardInterrupt), server:
        tell_link(server.address, is_opened)
        click.echo("Ctrl-C ends the pages; the run is not touched.", err=True)
        threading.Event().wait()


def free_port(host: str) -> int:
    """Return the first free port of `PORTS`; 0, which is any, where there is none."""
    return next((port for port in PORTS if is_free(host, port)), 0)


def is_free(host: str, port: int) -> bool:
    """Return whether one can listen at a port of an address."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False
