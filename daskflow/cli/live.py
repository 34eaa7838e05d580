"""The live display of a run on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from daskflow.cli.progress import State
from daskflow.cli.verb import duration
from daskflow.core.events import Event, Listener
from daskflow.workflow.telling_pages import link_words


class Display:
    """The stage that runs, with its bar; finished stages and notes scroll away above it."""

    def __init__(self, console: Console) -> None:
        """Begin with nothing known."""
        self.state = State()
        self.console = console
        self.spinner = Spinner("dots")

    def __call__(self, event: Event) -> None:
        """Take an event in; print the sentence it is worth above the display."""
        is_end = event.name == "stage" and event.fields["state"] == "finished"
        sentence = self.state.hear(event)
        if not sentence:
            return
        is_calm = event.name in ("note", "address")
        mark, style = ("✓ ", "green") if is_end else ("  ", "dim") if is_calm else ("! ", "yellow")
        sentence = link_words(event.fields) if event.name == "address" else sentence
        self.console.print(Text.assemble((mark, style), sentence), soft_wrap=True, highlight=False)

    def __rich__(self) -> RenderableType:
        """Draw the stage that runs; called some times a second."""
        state, now = self.state, time.time()
        if not state.stage:  # the cluster starts, or a stage has ended and the next has not begun
            return self.spinner
        name, _, rest = state.line(now).partition(": ")
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=state.total, completed=min(state.done, state.total), width=28) if state.total else ""
        row.add_row(self.spinner, Text(name, style="bold"), bar, Text(duration(now - state.begun), style="dim"))
        return Group(row, Text(f"  {rest}", style="cyan", overflow="ellipsis", no_wrap=True)) if rest else row


@contextmanager
def live() -> Iterator[Listener]:
    """Yield a listener that keeps the display up to date; the display goes away at the end."""
    console = Console(stderr=True)
    display = Display(console)
    with Live(display, console=console, refresh_per_second=8, transient=True, redirect_stdout=False):
        yield display
