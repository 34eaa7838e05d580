"""Control: what a person may ask of a run while it goes on, and how it reaches the run."""

from __future__ import annotations

import difflib
import json
import math
import os
import secrets
import shutil
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from daskflow.core import mail
from daskflow.core.errors import ControlError, SettingsError
from daskflow.core.folder import RunFolder

WORDS = ("pause", "resume", "stop", "cancel", "extend")
"""Hold back new fits; go on; end the search and keep the best so far; give up one trial; add to the budget."""

AMOUNTS = ("wall_seconds", "cpu_hours", "trials")
"""What a budget is extended by."""

MOST = {"wall_seconds": 1e9, "cpu_hours": 1e9, "trials": 10**6}
"""More than this is a mistake of whoever asks."""

MOST_CHARACTERS = 200
"""Of a text in a command."""

MOST_FILES, MOST_STALE = 100, 10_000
"""No more commands are taken at a time, and from an earlier invocation."""

LOOK_SECONDS = 0.4
"""How often a mailbox is looked into."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing asked of a run.

    Attributes
    ----------
    word : str
        One of `WORDS`.
    trial : str
        Of ``cancel``.
    wall_seconds, cpu_hours : float
        Of ``extend``: what is added to the budget of the search.
    trials : int
        Likewise.
    by : str
        Who asked: ``page``, ``command line`` or ``python``; of what the run itself does, the option that asks for it.
    at : float
        When, in seconds since 1970.
    key : str
        By which whoever asked finds the answer in the journal; `ask` sets it.
    why : str
        Of what the run itself asks for: why, in words that follow "because".

    Examples
    --------
    >>> Command("cancel", trial="2-0", at=0.0).dump()
    {'command': 'cancel', 'by': 'python', 'trial': '2-0'}
    """

    word: str
    trial: str = ""
    wall_seconds: float = 0.0
    cpu_hours: float = 0.0
    trials: int = 0
    by: str = "python"
    at: float = field(default_factory=time.time)
    key: str = ""
    why: str = ""

    def dump(self) -> dict[str, Any]:
        """Return the fields of its record: those that say something."""
        said = {name: value for name, value in asdict(self).items() if value and name not in ("word", "by", "at")}
        return {"command": self.word, "by": self.by, **said}

    @property
    def problem(self) -> str:
        """What is wrong with it, in sentences; empty when it makes sense."""
        return " ".join(_problems({**self.dump(), "at": self.at}))

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> Command:
        """Return the command that plain values say, as `dump` wrote them or somebody sent them.

        Raises
        ------
        SettingsError
            Saying all that is wrong with them.

        Examples
        --------
        >>> Command.load({"command": "extend", "trials": -3})
        Traceback (most recent call last):
        daskflow.core.errors.SettingsError: trials = -3 does not extend a budget: give a whole number above 0.
        """
        problems = (
            list(_problems(fields)) if isinstance(fields, Mapping) else ["A command has fields, each with a name."]
        )
        if problems:
            raise SettingsError(" ".join(problems))
        known = {name: fields[name] for name in ("trial", *AMOUNTS, "by", "at", "key") if fields.get(name)}
        return cls(fields["command"], **known)


def too_late(run: str, word: str) -> str:
    """Return what is said of a command that comes when nobody takes it any more.

    Examples
    --------
    >>> too_late("cars/1234", "pause")
    'The search of run cars/1234 is over: there is nothing left to pause.'
    """
    return f"The search of run {run} is over: there is nothing left to {word}."


def _problems(fields: Mapping[str, Any]) -> Iterator[str]:
    """Say, in sentences, what is wrong with a command."""
    word, trial = fields.get("command"), fields.get("trial") or ""
    for name in ("trial", "by", "key"):
        text = fields.get(name) or ""
        if not isinstance(text, str) or len(text) > MOST_CHARACTERS or not text.isprintable():
            yield f"{name} should be a text of at most {MOST_CHARACTERS} characters."
    if not _is_number(fields.get("at") or 0.0):
        yield "at should be a number of seconds since 1970."
    if word not in WORDS:
        close = difflib.get_close_matches(str(word)[:MOST_CHARACTERS], WORDS, n=1)
        found = f"; did you mean '{close[0]}'?" if close else f"; there is: {', '.join(WORDS)}."
        yield f"There is no command {str(word)[:MOST_CHARACTERS]!r}{found}"
        return
    if word == "cancel" and not trial:
        yield "cancel needs a trial: name the one to give up."
    if word != "cancel" and trial:
        yield f"{word} takes no trial: it concerns the whole search."
    given = [name for name in AMOUNTS if fields.get(name) not in (None, 0)]
    if word != "extend" and given:
        yield f"{word} takes no {' and no '.join(given)}: only extend does."
    if word == "extend" and not given:
        yield "extend needs at least one of wall time, CPU-hours and trials to add."
    for name in given:
        value, whole = fields[name], name == "trials"
        if not _is_number(value) or not 0 < value <= MOST[name] or (whole and not isinstance(value, int)):
            kind = "whole number" if whole else "number"
            most = f" and at most {MOST[name]:,.0f}" if isinstance(value, int | float) and value > MOST[name] else ""
            yield f"{name} = {str(value)[:20]} does not extend a budget: give a {kind} above 0{most}."


def _is_number(value: Any) -> bool:
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and is_finite


class Control:
    """Hands commands from whoever hears them to the search, across threads.

    Parameters
    ----------
    mailbox : callable, optional
        Is asked for commands too, whenever the search takes some.

    Attributes
    ----------
    paused, stopped : bool
        Whether new fits are held back, and whether the search was told to end; the search says so.

    Examples
    --------
    >>> control = Control()
    >>> control.put(Command("pause"))
    >>> [command.word for command in control.take()], control.take()
    (['pause'], [])
    """

    def __init__(self, mailbox: Callable[[], list[Command]] | None = None) -> None:
        """Begin with nothing asked."""
        self.paused = self.stopped = False
        self._mailbox = mailbox
        self._asked: deque[Command] = deque()
        self._changed = threading.Condition()

    def put(self, command: Command) -> None:
        """Hand a command in; may be called from any thread."""
        with self._changed:
            self._asked.append(command)
            self._changed.notify_all()

    def take(self) -> list[Command]:
        """Return what was asked since the last time, oldest first."""
        found = self._mailbox() if self._mailbox is not None else []
        with self._changed:
            found = [*self._asked, *found]
            self._asked.clear()
        return found

    def wait(self, seconds: float) -> None:
        """Wait until a command is handed in, so long at most."""
        with self._changed:
            if not self._asked:
                self._changed.wait(seconds)


def nothing_said(text: str) -> None:
    """Keep quiet about files that were no commands."""


class Mailbox:
    """The commands of a run's folder, looked for now and then.

    Parameters
    ----------
    folder : RunFolder
        The run's.
    warn : callable
        Is told, in a sentence, of each file that was no command.
    """

    def __init__(self, folder: RunFolder, warn: Callable[[str], None] = nothing_said) -> None:
        """Use this folder."""
        self._folder, self._warn, self._looked = folder, warn, -math.inf

    def __call__(self) -> list[Command]:
        """Return what was asked, if it is time to look again."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return []
        self._looked = now
        return asked(self._folder, self._warn)


def open_mailbox(folder: RunFolder) -> list[Command]:
    """Make the place where commands are put; return, and forget, what was asked of an earlier invocation."""
    stale = asked(folder, most=MOST_STALE)
    with suppress(OSError):
        if folder.control.is_symlink():
            folder.control.unlink()
        folder.control.mkdir(exist_ok=True)
        descriptor = mail.opened(folder.control)
        try:
            os.fchmod(descriptor, stat.S_IMODE(folder.path.stat().st_mode))  # who may write the run's folder may ask
        finally:
            os.close(descriptor)
    return stale


def close_mailbox(folder: RunFolder) -> None:
    """Remove the place where commands are put: nobody looks there any more."""
    if folder.control.is_symlink():
        folder.control.unlink(missing_ok=True)
    shutil.rmtree(folder.control, ignore_errors=True)


def ask(folder: RunFolder, command: Command) -> Command:
    """Put a command into a run's folder, and return it with the key that its record will have.

    The file is whole or not there. It is readable by its owner alone, and where the folder belongs to somebody else
    by everybody: else the run could not read it.

    Raises
    ------
    SettingsError
        For a command that makes no sense.
    ControlError
        When the folder cannot be written.
    """
    command = replace(command, key=command.key or secrets.token_hex(8))
    if command.problem:
        raise SettingsError(command.problem)
    fields = {**command.dump(), "at": command.at}
    try:
        mail.post(folder.control, json.dumps(fields).encode(), owner=folder.path.stat().st_uid)
    except OSError as error:
        raise ControlError(
            f"{folder.control} cannot be written: {error.strerror}. Who may write it may steer the run."
        ) from error
    return command


def asked(folder: RunFolder, warn: Callable[[str], None] = nothing_said, *, most: int = MOST_FILES) -> list[Command]:
    """Take what was asked of a run out of its folder, oldest first, at most so many files.

    A file is removed before its command is handed on; one that cannot be removed is not obeyed, for it would be obeyed
    again and again. What is no command is removed, and `warn` is told of it in a sentence.
    """
    return mail.collect(folder.control, Command.load, warn, most=most)
