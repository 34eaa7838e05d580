"""A run that is watched: what is known of it, its pages, and those who look."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from daskflow.core.control import Command, too_late
from daskflow.core.errors import SettingsError
from daskflow.core.journal import Record
from daskflow.dashboard.feed import Feed
from daskflow.dashboard.replay import Replay
from daskflow.dashboard.slots import Screen
from daskflow.dashboard.state import RunState
from daskflow.dashboard.words import in_one_line

logger = logging.getLogger(__name__)

AWAY_SECONDS = 3.0
"""Between two questions a viewer is away for a moment; after so long it has gone."""

MOMENT_SECONDS = 0.125
"""Clocks of pages go by this step, so that what viewers are told at once is made once."""

Build = Callable[[Screen, Sequence[Screen]], bytes]


def all_screens() -> Sequence[Screen]:
    """Return every page, for one run; they import bokeh, so it is asked for when somebody looks."""
    made: Sequence[Screen] = import_module("daskflow.dashboard.screens").screens()
    return made


def stream_screens() -> Sequence[Screen]:
    """Return the pages of a stream that is looked at alone."""
    made: Sequence[Screen] = import_module("daskflow.dashboard.screens").stream_screens()
    return made


def build_page(screen: Screen, screens: Sequence[Screen]) -> bytes:
    """Return the HTML of a page."""
    made: bytes = import_module("daskflow.dashboard.page").page_of(screen, screens)
    return made


class NoSuchPageError(LookupError):
    """A page that this version does not have."""


@dataclass
class _Shown:
    """The pages of a state: screens keep what they have drawn, so another state needs others."""

    state: RunState
    screens: Sequence[Screen] = ()
    feed: Feed | None = None
    pages: dict[str, bytes] = field(default_factory=dict)


class Watched:
    """One run and those who look at it; everything happens in the thread of one event loop.

    Parameters
    ----------
    name, id : str
        The run's.
    seal : str
        Of its token, see `core.access`.
    act : callable or None
        Takes a `Command`, returns a sentence; None where nobody may act.
    replay : Replay or None
        Its clock, where it is told again.
    make_screens, build : callable
        Its pages, and their HTML.
    clock : callable
        Returns seconds since 1970.

    Attributes
    ----------
    state : RunState
        What is known.
    """

    def __init__(
        self,
        *,
        name: str,
        id: str,
        seal: str,
        act: Callable[[Command], str] | None = None,
        replay: Replay | None = None,
        make_screens: Callable[[], Sequence[Screen]] = all_screens,
        build: Build = build_page,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing heard and nobody looking."""
        self.name, self.id, self.seal, self.replay = name, id, seal, replay
        self._act, self._make_screens, self._build, self._clock = act, make_screens, build, clock
        self._looking, self._seen = 0, deque[tuple[float, int]]()
        self._read_at = -math.inf
        self._news = asyncio.Event()
        self._building = asyncio.Lock()
        self._unheard: set[str] = set()
        self.is_closed = self._is_begun = False
        self.restart()

    def restart(self) -> None:
        """Forget everything: the run began anew, or its replay went back. Viewers begin anew by themselves."""
        self.state = RunState(name=self.name, id=self.id)
        self._shown = _Shown(self.state)
        self._told_end = 0
        self._wake()

    @property
    def can_act(self) -> bool:
        """Whether commands are taken now."""
        return self._may_act and not self.state.is_over and not self.state.has_searched

    @property
    def is_too_late(self) -> bool:
        """Whether commands were taken until the search was over, and the run goes on without them."""
        return self._may_act and not self.state.is_over and self.state.has_searched

    @property
    def _may_act(self) -> bool:
        return self._act is not None and self.replay is None

    @property
    def has_ended(self) -> bool:
        """Whether the run is over and its model answers no stream; one of which nothing was heard yet is not."""
        return self.state.is_over and self.state.status != "waiting" and not self.state.is_streaming

    @property
    def now(self) -> float:
        """The moment that is shown, in seconds since 1970; of all who ask within a moment it is the same."""
        if self.replay is not None:
            return self.replay.at
        return math.floor(self._clock() / MOMENT_SECONDS) * MOMENT_SECONDS

    def hear(self, records: Iterable[Record]) -> None:
        """Take records in, and wake those who wait. A record that cannot be understood is passed over."""
        for record in records:
            try:
                self.state.hear((record,))
            except Exception as error:  # of another version, or damaged: the rest is worth showing all the same
                kind = str(record.get("record")) if isinstance(record, Mapping) else type(record).__name__
                if kind not in self._unheard:
                    self._unheard.add(kind)
                    logger.warning(
                        "A record %r of run %s is not understood (%s: %s)", kind, self.id, type(error), error
                    )
        self._wake()

    def close(self) -> None:
        """Let nobody wait any longer: another takes its place, or the server stops."""
        self.is_closed = True
        self._wake()

    def act(self, command: Command) -> str:
        """Hand a command to the run; return what is said of it.

        Raises
        ------
        PermissionError
            When nobody may act here, nothing goes on, or the search is over.
        SettingsError
            For a command that makes no sense: it might not even get through to the run's process.
        """
        if self._act is None or self.replay is not None:
            raise PermissionError("These pages only show the run; they cannot change it.")
        if self.state.is_over:
            raise PermissionError("The run does not go on: there is nothing to change.")
        if self.is_too_late:
            raise PermissionError(too_late(f"{self.name}/{self.id}", command.word))
        if command.problem:
            raise SettingsError(command.problem)
        return self._act(command)

    def set_replay(self, *, speed: float | None, paused: bool | None, at: float | None) -> None:
        """Change how the run is told again.

        Raises
        ------
        PermissionError
            When it is not.
        ValueError
            When a number cannot be.
        """
        if self.replay is None:
            raise PermissionError("This run goes on by itself; only one that is over can be told again.")
        self._is_begun = True
        self.replay.set(speed=speed, paused=paused, at=at)
        self.advance()

    def advance(self) -> None:
        """Hear what the replay has come to."""
        if self.replay is None:
            return
        if self.replay.restarted:
            self.restart()
        records = self.replay.new()
        if records:
            self.hear(records)
        else:
            self._wake()

    async def feed_of(self, page: str) -> Feed:
        """Return what the pages show; NoSuchPageError when there is none.

        Screens are made when somebody looks for the first time, in a thread: that takes part of a second.
        """
        shown = await self._built(page)
        assert shown.feed is not None  # made before its pages
        return shown.feed

    @property
    def first_page(self) -> str:
        """The key of the first of its pages, once somebody has looked."""
        return self._shown.screens[0].key if self._shown.screens else "overview"

    async def page(self, page: str) -> bytes:
        """Return the HTML of a page, made once; NoSuchPageError when there is none."""
        return (await self._built(page)).pages[page]

    async def _built(self, page: str) -> _Shown:
        shown = self._shown
        async with self._building:
            run = asyncio.get_running_loop().run_in_executor
            if shown.feed is None:
                shown.screens = await run(None, self._make_screens)
                shown.feed = Feed(shown.state, shown.screens, lambda: self.now)
            if page not in shown.pages:
                chosen = next((screen for screen in shown.screens if screen.key == page), None)
                if chosen is None:
                    raise NoSuchPageError(page)
                shown.pages[page] = await run(None, self._build, chosen, shown.screens)
        return shown

    async def news(self, seconds: float) -> None:
        """Wait until something is heard, so long at most."""
        try:
            await asyncio.wait_for(self._news.wait(), min(seconds, 3600.0))
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Count somebody who waits for news; a replay begins with the first."""
        if self.replay is not None and not self._is_begun:
            self.set_replay(speed=None, paused=None, at=self.replay.first)
        self._forget_long_gone()
        self._looking += 1
        self._seen.append((time.monotonic(), self._looking))
        try:
            yield
        finally:
            self._looking -= 1

    @property
    def viewers(self) -> int:
        """How many look, as far as can be told: each asks again and again."""
        self._forget_long_gone()
        return max([self._looking, *(count for _, count in self._seen)])

    def _forget_long_gone(self) -> None:
        """Keep no more than the last moments; on a scheduler nobody may ask for `viewers` in months."""
        while self._seen and self._seen[0][0] < time.monotonic() - AWAY_SECONDS:
            self._seen.popleft()

    def was_read(self) -> None:
        """Note that a tool asks for the run in numbers; it waits for no end, as a viewer does."""
        self._read_at = time.monotonic()

    @property
    def is_looked_at(self) -> bool:
        """Whether somebody looks, or a tool does."""
        return self.viewers > 0 or time.monotonic() - self._read_at < AWAY_SECONDS

    def answered(self) -> None:
        """Count an answer; of those that tell the end each viewer gets one."""
        self._told_end += self.has_ended

    @property
    def unaware(self) -> int:
        """How many of those who look may not have seen the end, or look at a run that goes on."""
        return max(0, self.viewers - self._told_end)

    def header(self, runs: Sequence[Watched], *, dask: bool) -> dict[str, Any]:
        """Return what every page shows of the run, and the other runs."""
        state, replay = self.state, self.replay
        running = state.stages.now_running()
        return {
            "name": self.name,
            "id": self.id,
            "status": state.status,
            "error": state.error,
            "title": self.name if running is None else f"{self.name}: {running.name}",
            "truth": in_one_line(state, self.now),
            "over": self.has_ended,
            "can_act": self.can_act,
            "too_late": self.is_too_late,
            "is_read_only": self._act is None,
            "limits": {word: limit for word, limit in state.search.ends.items() if limit is not None},
            "now": self.now,
            "runs": [{"id": each.id, "name": each.name, "status": each.state.status} for each in runs],
            "replay": replay
            and {
                "at": replay.at,
                "first": replay.first,
                "last": replay.last,
                "speed": replay.speed,
                "paused": replay.paused,
            },
            "dask": dask,
        }
