"""How far a stream is: one line that changes on a terminal, a line now and then where it is none; both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from daskflow.cli.progress import LINE_SECONDS
from daskflow.cli.verb import is_terminal
from daskflow.core.events import Event, Listener


@contextmanager
def streaming_progress() -> Iterator[Listener]:
    """Yield a listener that shows the newest progress, and every note."""
    shows = Line() if is_terminal() else Lines()
    try:
        yield shows
    finally:
        shows.end()


def line_of(event: Event, before: Event | None = None) -> str:
    """Return a stream's progress as one line, with its rate since the event before.

    Examples
    --------
    >>> before = Event("progress", {"rows": 10000}, at=1.0)
    >>> line_of(Event("progress", {"rows": 12000, "dead": 2, "waiting": 512}, at=3.0), before)
    'stream: 12,000 answered, 1,000/s, 2 without an answer, 512 under way'
    """
    fields = event.fields
    parts = [f"{fields['rows']:,} answered"]
    if before is not None and event.at > before.at:
        parts.append(f"{(fields['rows'] - before.fields['rows']) / (event.at - before.at):,.0f}/s")
    parts += [f"{fields['dead']:,} without an answer"] if fields["dead"] else []
    parts += [f"{fields['waiting']:,} under way"] if fields["waiting"] else []
    return f"stream: {', '.join(parts)}"


class Lines:
    """Plain lines for log files."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self._before: Event | None = None

    def __call__(self, event: Event) -> None:
        """Write the lines an event is worth."""
        if event.name in ("note", "warning"):
            click.echo(event.fields["text"], err=True)
        elif event.name == "progress" and event.fields.get("stage") == "stream":
            if self._before is None:  # the first line comes when there was time for something to tell
                self._before = event
            elif event.at - self._before.at >= LINE_SECONDS:
                click.echo(line_of(event, self._before), err=True)
                self._before = event

    def end(self) -> None:
        """Leave things as they are."""


class Line:
    """One line of a terminal, written over again and again."""

    def __init__(self) -> None:
        """Begin with an empty line."""
        self._width = 0
        self._before: Event | None = None

    def __call__(self, event: Event) -> None:
        """Show a progress in place of the one before; a note stays."""
        if event.name in ("note", "warning"):
            self.end()
            click.echo(event.fields["text"], err=True)
        elif event.name == "progress" and event.fields.get("stage") == "stream":
            text = line_of(event, self._before)
            self._before = event
            sys.stderr.write(f"\r{text.ljust(self._width)}")
            sys.stderr.flush()
            self._width = len(text)

    def end(self) -> None:
        """Wipe the line."""
        if self._width:
            sys.stderr.write(f"\r{' ' * self._width}\r")
            sys.stderr.flush()
            self._width = 0
