"""What was fetched into a folder, and what was begun: a journal beside the files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daskflow.core.errors import JournalError
from daskflow.core.journal import Journal, read
from daskflow.data.http_address import Address
from daskflow.data.http_policy import Validators

NAME = ".daskflow-fetch.jsonl"

WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Begun:
    """A file whose beginning may be in its temporary file.

    Attributes
    ----------
    name : str
        Of the file to be.
    validators : Validators
        Of the state whose beginning that is.
    date : str or None
        When the answer was sent.
    """

    name: str
    validators: Validators
    date: str | None = None

    @property
    def guard(self) -> str | None:
        """What to send as ``If-Range``; None when the file has to be begun again."""
        return self.validators.if_range(self.date)


@dataclass(frozen=True, slots=True)
class Done:
    """A file that is whole.

    Attributes
    ----------
    name : str
        In the folder.
    size_bytes, modified_ns : int
        As it was when it was finished.
    sha256 : str
        Of its bytes.
    validators : Validators
        What the server said of it.
    at : float
        When it was last known to be the server's, in seconds since the epoch.
    """

    name: str
    size_bytes: int
    modified_ns: int
    sha256: str
    validators: Validators
    at: float = field(default_factory=time.time)

    def is_there(self, folder: Path) -> bool:
        """Whether the file is still in the folder as it was written."""
        try:
            seen = (folder / self.name).stat()
        except OSError:
            return False
        return (seen.st_size, seen.st_mtime_ns) == (self.size_bytes, self.modified_ns)


class Known:
    """What a folder's journal says, read without holding it.

    Attributes
    ----------
    folder : Path
        Of the files.
    begun : mapping of str to Begun
        By the identity of addresses.
    done : mapping of str to Done
        Likewise.
    """

    def __init__(self, folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
        """Take the records in, in their order."""
        self.folder = folder
        self.begun: dict[str, Begun] = {}
        self.done: dict[str, Done] = {}
        for record in records:
            self._take(record)

    @classmethod
    def read(cls, folder: Path) -> Known:
        """From the journal of a folder, which another process may be writing; an absent one says nothing."""
        return cls(folder, read(folder / NAME))

    def _take(self, record: Mapping[str, Any]) -> None:
        validators = Validators(record.get("etag"), record.get("modified"))
        if record["record"] == "begun":
            self.begun[record["id"]] = Begun(record["name"], validators, record["date"])
        elif record["record"] == "done":
            sizes = (record["size_bytes"], record["modified_ns"])
            self.done[record["id"]] = Done(record["name"], *sizes, record["sha256"], validators, record["at"])
            self.begun.pop(record["id"], None)

    @property
    def names(self) -> dict[str, str]:
        """Names of the files by the identity of their addresses."""
        done = {identity: item.name for identity, item in self.done.items()}
        return done | {identity: item.name for identity, item in self.begun.items()}


class FetchJournal(Known):
    """The journal of a folder, held by one process at a time; addresses stand in it without their secrets."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        """Read what is known."""
        super().__init__(folder, journal.records)
        self._journal, self._lock = journal, asyncio.Lock()

    @classmethod
    async def open(cls, folder: Path, *, is_patient: bool) -> FetchJournal:
        """Open the journal of a folder, which is made when it is not there.

        Parameters
        ----------
        folder : Path
            Of the files.
        is_patient : bool
            Whether to wait for another process that holds it.

        Raises
        ------
        JournalError
            When another process holds it, or it is damaged.
        StorageError
            When nothing can be written.
        """
        while True:
            try:
                return cls(folder, await asyncio.to_thread(Journal, folder / NAME))
            except JournalError as error:
                if not isinstance(error.__cause__, OSError):
                    raise  # it is damaged, not in use
                if not is_patient:
                    raise JournalError(
                        f"Another process fetches into {folder} now. Wait for it, or fetch into another folder."
                    ) from None
            await asyncio.sleep(WAIT_SECONDS)

    async def begin(self, address: Address, begun: Begun) -> None:
        """Remember what a temporary file is the beginning of."""
        await self._append({"record": "begun", "date": begun.date}, address, begun.name, begun.validators)

    async def finish(self, address: Address, done: Done) -> None:
        """Remember a whole file; durable on return."""
        facts = {word: value for word, value in asdict(done).items() if word not in ("name", "validators")}
        await self._append({"record": "done", **facts}, address, done.name, done.validators)

    async def _append(self, facts: dict[str, Any], address: Address, name: str, validators: Validators) -> None:
        record = {**facts, "id": address.identity, "url": str(address), "name": name, **asdict(validators)}
        async with self._lock:
            await asyncio.to_thread(self._journal.append, record, durable=facts["record"] == "done")
        self._take(record)

    def close(self) -> None:
        """Let others have it."""
        self._journal.close()
