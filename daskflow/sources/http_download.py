"""Many files at once into a folder: what is there and unchanged is not fetched again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from daskflow.core.errors import DaskflowError, DataError
from daskflow.core.events import Listener, nobody, tell
from daskflow.data.blocks import storing_in
from daskflow.data.http_client import Client
from daskflow.sources.http_checks import kind_of_name
from daskflow.sources.http_journal import FetchJournal
from daskflow.sources.http_names import TakenNames, safe_name
from daskflow.sources.http_part import OPTION
from daskflow.sources.http_transfer import Outcome, State, Transfer, Wanted

TOLD_SECONDS = 0.2
"""Progress is told no more often."""


async def download(
    files: Sequence[Wanted],
    folder: Path,
    client: Client,
    *,
    listener: Listener = nobody,
    is_patient: bool = False,
) -> list[Outcome]:
    """Fetch files into a folder, many at once, in their order as far as that goes.

    Memory does not grow with the files: a connection is read from when what it sent before is on the disk. A file
    has a temporary name (hidden, ending in ``.part``) until it is whole and checked; a journal in the folder
    (``.daskflow-fetch.jsonl``) says what is there, so that the same call again continues what was begun and asks
    only whether the rest has changed.

    Parameters
    ----------
    files : sequence of Wanted
        An address that stands twice is fetched once.
    folder : Path
        Made when it is not there.
    client : Client
        Entered.
    listener : callable
        Hears ``progress`` events of the stage ``fetch`` (with ``bytes``), and a ``note`` before every retry.
    is_patient : bool
        Whether to wait for another process that fetches into the folder, instead of raising.

    Returns
    -------
    list of Outcome
        In the order of `files`; a file that failed is an outcome, too.

    Raises
    ------
    StorageError
        When the folder cannot be written.
    JournalError
        When another process fetches into it.
    """
    unique = list({wanted.address.identity: wanted for wanted in files}.values())
    with storing_in(folder, option=OPTION):
        folder.mkdir(parents=True, exist_ok=True)
    journal = await FetchJournal.open(folder, is_patient=is_patient)
    done = n_bytes = 0
    told = 0.0

    def came(more: int) -> None:
        nonlocal n_bytes, told
        n_bytes += more
        now = time.monotonic()
        if more == 0 or now - told >= TOLD_SECONDS:
            told = now
            tell(listener, "progress", stage="fetch", done=done, total=len(unique), bytes=n_bytes)

    async def fetch(wanted: Wanted, names: _Names) -> Outcome:
        nonlocal done
        transfer = Transfer(
            client,
            wanted,
            lambda proposed: names.of(wanted, proposed),
            journal,
            lambda text: tell(listener, "note", text=text),
            came,
        )
        outcome = await transfer.run()
        done += 1
        came(0)
        return outcome

    with closing(journal):
        names = _Names(unique, journal)
        tasks: list[asyncio.Task[Outcome]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(fetch(wanted, names)) for wanted in unique]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # all concern the folder; the first says what to do
        return [task.result() for task in tasks]


class _Names:
    """Names of files in a folder: those of the journal stay, and nothing that is not the journal's is replaced."""

    def __init__(self, files: Sequence[Wanted], journal: FetchJournal) -> None:
        """Name in order what can be named before any answer."""
        self._journal = journal
        self._known = dict(journal.names)
        self._taken = TakenNames(self._known.values())
        for wanted in files:
            name = wanted.name or wanted.address.name
            if wanted.address.identity not in self._known and (wanted.name or kind_of_name(name)):
                self._known[wanted.address.identity] = self._taken.take(safe_name(name))

    def of(self, wanted: Wanted, proposed: str | None) -> str:
        """The name of a file.

        Raises
        ------
        DataError
            When there is a file of that name that was not fetched.
        """
        identity = wanted.address.identity
        if identity not in self._known:
            self._known[identity] = self._taken.take(safe_name(proposed or wanted.address.name))
        name = self._known[identity]
        is_own = identity in self._journal.done or identity in self._journal.begun
        if not is_own and (self._journal.folder / name).exists():
            raise DataError(
                f"{wanted.address}: {self._journal.folder / name} is there already, and was not fetched from this "
                "address. Move it away, or fetch into another folder."
            )
        return name


def raise_failures(outcomes: Sequence[Outcome], shown: int = 10) -> None:
    """Raise what went wrong, all at once; nothing when nothing did.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of a download.
    shown : int
        How many sentences; the rest is counted.

    Raises
    ------
    DaskflowError
        Of the class of the first failure.
    """
    errors = [outcome.error for outcome in outcomes if outcome.state is State.FAILED and outcome.error is not None]
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    more = [f"{len(errors) - shown} more files failed."] if len(errors) > shown else []
    kinds = {type(error) for error in errors}
    kind: type[DaskflowError] = kinds.pop() if len(kinds) == 1 else DataError
    raise kind("\n".join([*(str(error) for error in errors[:shown]), *more]))
