"""Serving: the pages of a run on a server of their own, without a scheduler."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from daskflow.core.access import new_token, seal_of
from daskflow.core.control import Command
from daskflow.core.errors import ClusterError
from daskflow.core.journal import Record
from daskflow.dashboard.answering import MOST_BODY
from daskflow.dashboard.replay import Replay
from daskflow.dashboard.site import lone_application
from daskflow.dashboard.slots import Screen
from daskflow.dashboard.watched import Build, Watched, all_screens, build_page, stream_screens

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""A source is asked this often while somebody looks..."""

UNWATCHED_SECONDS = 10.0
"""...and so often while nobody does."""

REPLAY_SECONDS = 0.5

START_SECONDS = 60.0


class Source(Protocol):
    """Where records come from, such as a run's folder."""

    @property
    def name(self) -> str:
        """Of the run."""

    @property
    def id(self) -> str:
        """Of the run."""

    @property
    def is_running(self) -> bool:
        """Whether more may come."""

    def new(self) -> list[Record]:
        """Return what came since the last call.

        An exception with ``restarted`` set says that the run began anew: all is forgotten, and asked for again.
        """


class Server:
    """The pages of one run, served in a thread of its own until the block is left.

    Parameters
    ----------
    source : Source
        Followed while it goes on, asked once a second while somebody looks.
    act : callable or None
        Takes a `Command` for the run, returns a sentence.
    host : str
        To listen on. The default is seen by this machine only.
    port : int
        0 for one that is free.
    token : str or None
        Default: a new one.
    read_only : bool
        Whether pages have no buttons.
    replay_speed : float or None
        Tell the run again from its beginning, so many seconds per second.
    others : callable
        Returns streams that can be chosen on the pages besides; asked again while somebody looks.
    page : str
        The page that `address` leads to.
    make_screens, build : callable
        The pages, and their HTML.

    Attributes
    ----------
    address : str
        Of the first page, with the token.
    watched : Watched
        What is known; of the server's own thread.

    Raises
    ------
    ClusterError
        When the port cannot be had.
    """

    def __init__(
        self,
        source: Source,
        *,
        act: Callable[[Command], str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        read_only: bool = False,
        replay_speed: float | None = None,
        others: Callable[[], Sequence[Source]] = tuple,
        page: str = "daskflow",
        make_screens: Callable[[], Sequence[Screen]] = all_screens,
        build: Build = build_page,
    ) -> None:
        """Read what the source has."""
        self._source, self._host, self._port = source, host, port
        self.token = token or new_token()
        replay = None if replay_speed is None else Replay(source.new(), replay_speed)
        self.watched = Watched(
            name=source.name,
            id=source.id,
            seal=seal_of(self.token),
            act=None if read_only or act is None else act,
            replay=replay,
            make_screens=make_screens,
            build=build,
        )
        self._others, self._page = others, page
        self._beside: dict[str, tuple[Source, Watched]] = {}
        self.address = ""
        self._started = threading.Event()
        self._stop: Callable[[], Any] = lambda: None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        """Listen."""
        self._thread = threading.Thread(target=self._serve, name="daskflow-pages", daemon=True)
        self._thread.start()
        self._started.wait(START_SECONDS)
        if self._error is not None:
            raise ClusterError(
                f"The pages cannot be served on {self._host}:{self._port}: {self._error}. Choose another port."
            ) from self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._stop()
        self._thread.join(START_SECONDS)

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # of this thread only; who opened it is told
            self._error = error
            logger.debug("The pages' server ended.", exc_info=True)
        finally:
            self._started.set()

    async def _run(self) -> None:
        site = lone_application(self._find, lambda: self._all)
        sockets = bind_sockets(self._port, self._host)
        server = HTTPServer(site, max_body_size=MOST_BODY)
        server.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        self.address = f"http://{_shown(self._host)}:{port}/{self._page}?token={self.token}"
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.is_closed() or loop.call_soon_threadsafe(stopped.set)
        following = asyncio.create_task(self._follow())
        self._started.set()
        await stopped.wait()
        following.cancel()
        server.stop()
        await asyncio.wait_for(server.close_all_connections(), 2)

    @property
    def _all(self) -> list[Watched]:
        """All that can be chosen; what the server is for comes first."""
        return [self.watched, *(watched for _, watched in self._beside.values())]

    def _find(self, id: str) -> Watched | None:
        return next((watched for watched in self._all if watched.id == id), None)

    async def _follow(self) -> None:
        """Hear what the source says, for ever."""
        while True:
            if self.watched.replay is not None:
                if self.watched.is_looked_at or self.watched.state.version == 0:
                    self.watched.advance()
                await asyncio.sleep(REPLAY_SECONDS)
                continue
            await self._poll(self._source, self.watched)
            await self._poll_others()
            await self._pause()

    async def _poll_others(self) -> None:
        """Ask what else can be chosen, and what is new of it."""
        found = await asyncio.get_running_loop().run_in_executor(None, self._others)
        for source in found:
            if source.id != self.watched.id and source.id not in self._beside:
                watched = Watched(name=source.name, id=source.id, seal=self.watched.seal, make_screens=stream_screens)
                self._beside[source.id] = (source, watched)
        for source, watched in list(self._beside.values()):
            await self._poll(source, watched)

    async def _poll(self, source: Source, watched: Watched) -> None:
        """Ask a source once, in a thread: a folder may be far away."""
        try:
            records = await asyncio.get_running_loop().run_in_executor(None, source.new)
        except Exception as error:
            if getattr(error, "restarted", False):
                watched.restart()
            else:
                logger.warning("The run's files cannot be read now: %s", error)
            return
        if records:
            watched.hear(records)

    async def _pause(self) -> None:
        """Wait until the source is worth asking again."""
        for _ in range(round(UNWATCHED_SECONDS / POLL_SECONDS)):
            await asyncio.sleep(POLL_SECONDS)
            if any(watched.is_looked_at for watched in self._all):
                return


def _shown(host: str) -> str:
    """Return a host as an address names it; that of all interfaces by the machine's own name.

    Examples
    --------
    >>> _shown("127.0.0.1"), _shown("::1")
    ('127.0.0.1', '[::1]')
    """
    if host in ("", "0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
