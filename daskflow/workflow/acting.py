"""Acting: what a person may ask of a run that goes on, and what the run answers."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daskflow.core.control import Command, ask, too_late
from daskflow.core.errors import ControlError, SettingsError
from daskflow.core.estimates import amount
from daskflow.core.journal import Record, read, recover
from daskflow.core.mounts import WITHOUT_LOCKS
from daskflow.search.budgets import seconds_of

if TYPE_CHECKING:
    from daskflow.core.folder import RunFolder

ANSWER_SECONDS = 20.0
"""How long the run's answer is waited for; it looks for commands about twice a second."""

LATER_SECONDS = 1.5
"""How long it is waited for where the search does not seem to have begun."""

GLANCE_SECONDS = 0.1

EFFECTS = {
    "pause": "No new fits are handed in; those that were are finished and count. Resume goes on.",
    "resume": "The search goes on.",
    "stop": "Fits that run are given up, the best trial so far is kept, fitted on all training rows and evaluated. "
    "Before the first score the search waits for one.",
    "cancel": "Trial {trial} gets nothing more: its fits are given up, and it ranks last.",
    "extend": "The budget of the search is raised by {amounts}, for this run and whoever continues it.",
}
"""What each command does, in words."""

LATER = "The search has not begun: this takes effect when it does."


def act(folder: RunFolder, command: Command, *, seconds: float = ANSWER_SECONDS) -> str:
    """Ask something of a run that goes on, wait for its answer, and return in words what comes of it.

    Parameters
    ----------
    folder : RunFolder
        The run's.
    command : Command
        What is asked.
    seconds : float
        How long to wait until the run's journal says that the command was heard.

    Raises
    ------
    SettingsError
        For a command that makes no sense.
    ControlError
        When the run does not go on, its search is over, it cannot do what is asked, or did not answer in time.
    """
    if command.problem:
        raise SettingsError(command.problem)
    records = read(folder.journal)
    name, status = f"{folder.name}/{folder.id}", status_of(records, folder.journal)
    if status != "running":
        raise ControlError(f"Run {name} does not go on (it is {status}): there is nothing to {command.word}.")
    stage = _search_stage(records)
    if stage == "over":
        raise ControlError(too_late(name, command.word))
    known = folder.journal.stat().st_size
    key = ask(folder, command).key
    effect = effect_of(command)
    answer = _answer(folder.journal, known, key, min(seconds, LATER_SECONDS) if stage == "to come" else seconds)
    if answer is None and stage == "to come":
        return f"{effect} {LATER}"
    if answer is None:
        raise ControlError(
            f"Run {name} has not heard it within {seconds:g} s: it is busy with a fit in its own process (clusters "
            "inline), or on its way to the end of the search. What was asked still waits for it."
        )
    if answer["record"] == "refused":
        raise ControlError(str(answer["text"]))
    return effect


def effect_of(command: Command) -> str:
    """Return what a command does, in words.

    Examples
    --------
    >>> effect_of(Command("extend", trials=5, wall_seconds=600))
    'The budget of the search is raised by 10 min of wall time and 5 trials, for this run and whoever continues it.'
    """
    amounts = [
        f"{value:g} {unit}"
        for value, unit in (
            (command.cpu_hours, "CPU-hours"),
            (command.trials, "trials"),
        )
        if value
    ]
    if command.wall_seconds:
        amounts.insert(0, f"{amount(command.wall_seconds)} of wall time")
    return EFFECTS[command.word].format(trial=command.trial, amounts=" and ".join(amounts))


def status_of(records: Sequence[Record], journal: Path) -> str:
    """Return ``done``, ``failed``, ``interrupted``, ``running`` or ``waiting`` (its job, in a queue) for a run."""
    last = next((r for r in reversed(records) if r["record"] in ("end", "invocation", "submitted")), None)
    if last is not None and last["record"] == "end":
        return str(last["status"])
    if last is not None and last["record"] == "submitted" and not is_held(journal):
        return "waiting"
    return "running" if is_held(journal) else "interrupted"


def is_held(journal: Path) -> bool:
    """Return whether a process holds the journal."""
    with open(journal, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in WITHOUT_LOCKS
    return False


def _search_stage(records: Sequence[Record]) -> str:
    """Whether the last invocation's search is to come, goes on, or is over."""
    place = "to come"
    for record in records:
        if record["record"] == "invocation":
            place = "to come"
        elif record["record"] == "stage":
            place = {"matrices": "going on", "search": "over"}.get(record["stage"], place)
        elif record["record"] in ("start", "unit"):
            place = "going on"
    return place


def _answer(journal: Path, known: int, key: str, seconds: float) -> Record | None:
    """Wait for the record that answers a command, behind what the journal held; None when none came."""
    until = time.monotonic() + seconds
    while True:
        with open(journal, "rb") as file:
            file.seek(known)
            records, length = recover(file.read(), str(journal))
        known += length
        for record in records:
            if record.get("key") == key:
                return record
        if time.monotonic() > until:
            return None
        time.sleep(GLANCE_SECONDS)


class Acting:
    """What may be asked of a run that goes on in another process or thread.

    Each method waits until the run has heard it, five seconds at most, and returns in a sentence what comes of it.
    Before the search begins it does not wait: what is asked takes effect when it does. ControlError says why something
    cannot be done: the run does not go on, its search is over, the trial is finished. Each command that takes effect is
    in the journal, and holds for whoever continues the run, but for a pause: a run that is started goes on.
    """

    _folder: RunFolder

    def pause(self) -> str:
        """Hand in no new fits; those that were handed in are finished, and count. Time does not count meanwhile."""
        return act(self._folder, Command("pause"))

    def resume(self) -> str:
        """Go on after a pause."""
        return act(self._folder, Command("resume"))

    def stop(self) -> str:
        """End the search: what runs is given up, and the best so far is refitted, evaluated and kept."""
        return act(self._folder, Command("stop"))

    def cancel(self, trial: str | int) -> str:
        """Give up one trial: it ranks last, as one that failed."""
        return act(self._folder, Command("cancel", trial=str(trial)))

    def extend(self, *, wall_time: str | None = None, cpu_hours: float = 0.0, trials: int = 0) -> str:
        """Add to the budget of the search.

        Parameters
        ----------
        wall_time : str, optional
            Such as ``"30 min"``.
        cpu_hours : float
            Hours of processor time.
        trials : int
            Of the candidates that ``search.budget.trials`` left out.
        """
        seconds = wall_seconds_of(wall_time)
        return act(self._folder, Command("extend", wall_seconds=seconds, cpu_hours=cpu_hours, trials=trials))


def wall_seconds_of(wall_time: str | None) -> float:
    """Return a time in seconds; 0 without one.

    Raises
    ------
    SettingsError
        For what is no time.
    """
    seconds = 0.0 if wall_time is None else seconds_of(wall_time)
    if wall_time is not None and not seconds > 0:
        raise SettingsError(f"wall_time should be a time such as 30 min (found {wall_time!r}).")
    return seconds
