"""Following a run on a terminal, or line by line where there is none, until it ends."""

from __future__ import annotations

import math
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from operator import itemgetter
from typing import Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from daskflow.cli.verb import duration, is_terminal, number
from daskflow.cli.watching_text import picture
from daskflow.cli.watching_words import clean, ink_of, left, share
from daskflow.dashboard.state import Note, RunState

PICTURE_SECONDS = 0.5
"""Time between two pictures."""

LINE_SECONDS = 10.0
"""A log gets at most one line of progress in this time."""

PLAIN_WIDTH = 100
"""Columns where there is no terminal and ``COLUMNS`` does not say it."""

MANY_LINES = 40
"""Lines of a picture that need not fit a terminal."""


class Watched(Protocol):
    """A run that is heard of."""

    state: RunState

    @property
    def now(self) -> float:
        """The time that is shown."""

    @property
    def is_running(self) -> bool:
        """Whether more will be heard."""

    def hear(self) -> None:
        """Take in what came since the last call."""


def print_once(run: Watched) -> None:
    """Print one picture of a run's state as it is now."""
    run.hear()
    _print(run, height=MANY_LINES)


def follow(run: Watched) -> None:
    """Show a run until it ends, or until Ctrl-C or ``q``; its last picture stays."""
    if is_terminal(sys.stdout) and os.environ.get("TERM") != "dumb":
        _follow_on_terminal(run)
    else:
        _follow_in_lines(run)
    _print(run, height=MANY_LINES)


def _follow_on_terminal(run: Watched) -> None:
    console = Console(file=sys.stdout)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live, _keys() as keys:
        while True:
            run.hear()
            width, height = console.size
            lines = _lines(run, width, height - 1, console.encoding)
            lines += [Text("")] * (height - 1 - len(lines))
            live.update(Group(*lines, Text("q ends the view; the run goes on"[:width], "dim")), refresh=True)
            if not run.is_running or keys.wait(PICTURE_SECONDS):
                return


def _follow_in_lines(run: Watched) -> None:
    """Say what is new: stages that end, notes, another best, and progress now and then."""
    said = Said(run.state)
    while True:
        run.hear()
        if run.state is not said.state:  # begun anew
            said = Said(run.state)
        for line in said.news(run.now):
            click.echo(line)
        if not run.is_running:
            return
        sys.stdout.flush()
        time.sleep(PICTURE_SECONDS)


class Said:
    """What of a run has been said already, line by line."""

    def __init__(self, state: RunState) -> None:
        """Begin with nothing said."""
        self.state = state
        self._ended: set[str] = set()
        self._noted: Note | None = None
        self._best = ""
        self._written = 0.0

    def news(self, now: float) -> list[str]:
        """Return the lines that are worth saying now, in the order of what they tell."""
        state = self.state
        found = [*self._stages(now), *self._notes(), *self._better(now)]
        stage = state.stages.now_running()
        if not found and stage is not None and now - self._written >= LINE_SECONDS:
            known = [share(stage.share), f"{stage.done:,} of {stage.total:,}"] if stage.total else []
            known += [word for word in [left(stage.left(now))] if word]
            found.append((now, f"{clean(stage.name)}: {', '.join(known)}" if known else f"{clean(stage.name)} ..."))
        if found:
            self._written = now
        found.sort(key=itemgetter(0))
        until = state.last if state.is_over else now
        return [f"[{max(0.0, state.seconds(now) - max(0.0, until - at)):8.1f} s] {line}" for at, line in found]

    def _stages(self, now: float) -> Iterator[tuple[float, str]]:
        for stage in self.state.stages.known.values():
            if stage.state in ("done", "failed") and stage.name not in self._ended:
                self._ended.add(stage.name)
                at = now if math.isnan(stage.ended) else stage.ended
                yield at, f"{clean(stage.name)} {stage.state} in {duration(stage.elapsed(now))}"

    def _notes(self) -> list[tuple[float, str]]:
        fresh = list(takewhile(lambda note: note is not self._noted, reversed(self.state.notes)))
        self._noted = fresh[0] if fresh else self._noted
        return [(note.at, clean(note.text)) for note in reversed(fresh)]

    def _better(self, now: float) -> Iterator[tuple[float, str]]:
        search, best = self.state.search, self.state.search.best
        if best is None or math.isnan(best.score):
            return
        words = f"best {clean(search.metric)} {number(best.score)} (trial {clean(best.id)})"
        if words != self._best:
            self._best = words
            yield min(now, best.ended), words


def _lines(run: Watched, width: int, height: int, encoding: str | None) -> list[Text]:
    ink = ink_of(encoding)
    return picture(run.state, run.now, width=width, height=height, is_running=run.is_running, ink=ink)


def _print(run: Watched, *, height: int) -> None:
    """Print a picture, in colours where a terminal shows them."""
    is_plain = not is_terminal(sys.stdout)
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    encoding = getattr(sys.stdout, "encoding", None)
    lines = _lines(run, width, height, encoding)
    if is_plain:
        for line in lines:
            click.echo(_encodable(line.plain, encoding))
    else:
        Console(file=sys.stdout, width=width, highlight=False).print(Group(*lines))


def _encodable(text: str, encoding: str | None) -> str:
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8", "replace")


class Keys:
    """Keys that are pressed while a picture is shown."""

    def __init__(self, number: int | None) -> None:
        """Take the file they come from, by its number; None for none."""
        self.number = number

    def wait(self, seconds: float) -> bool:
        """Wait so long; return whether ``q`` was pressed meanwhile."""
        end = time.monotonic() + seconds
        while (free := end - time.monotonic()) > 0:
            if self.number is None:
                time.sleep(free)
            elif select.select([self.number], [], [], free)[0]:
                pressed = os.read(self.number, 64)
                if b"q" in pressed.lower():
                    return True
                if not pressed:  # nobody is at the other end
                    self.number = None
        return False


@contextmanager
def _keys() -> Iterator[Keys]:
    """Read single keys while the block runs, where there is a keyboard; the terminal is as before afterwards."""
    if not is_terminal(sys.stdin):
        yield Keys(None)
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield Keys(number)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
