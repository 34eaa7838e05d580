"""One file from its address to the disk: continued, checked, and there when it is whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daskflow.core.errors import ChangedDataError, DaskflowError, DataError, JournalError, StorageError
from daskflow.data.http_address import Address
from daskflow.data.http_client import Answer, Client
from daskflow.data.http_pace import persist
from daskflow.data.http_policy import (
    ADVICE,
    TryAgainError,
    Validators,
    content_length,
    content_range,
    is_retried,
    retry_after,
    status_words,
)
from daskflow.sources.http_checks import (
    FIRST_BYTES,
    MARKED,
    PACKED,
    Digests,
    header_digests,
    kind_of_name,
    wrong_beginning,
    wrong_end,
    wrong_type,
)
from daskflow.sources.http_journal import Begun, Done, FetchJournal, Known
from daskflow.sources.http_part import Part, check_space, size_of_part, temporary_of

SECOND_CHANCE = 1
"""A body with a wrong checksum or end is fetched once more, for it may have been damaged on the way."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be fetched.

    Attributes
    ----------
    address : Address
        Where it is.
    digests : mapping of str to str
        Checksums that it must have, in hexadecimal, by algorithm.
    size_bytes : int or None
        The size that it must have.
    name : str or None
        Its name in the folder; None for the one in the address, or in the answer.
    kind : str or None
        What it should be: parquet, csv, json, arrow, a compression; None for what its name says.
    planned : Validators
        What it looked like when it was planned: another state is an error.
    since : float
        Where the server says nothing to tell states apart: a copy that was made after this time counts, in seconds
        since the epoch; 0 when none does.
    """

    address: Address
    digests: Mapping[str, str] = field(default_factory=dict)
    size_bytes: int | None = None
    name: str | None = None
    kind: str | None = None
    planned: Validators = field(default_factory=Validators)
    since: float = 0.0

    @property
    def expected(self) -> str | None:
        """The kind of data, by what was said or by the name; compressed files are what their suffix says."""
        named = kind_of_name(self.name or self.address.name)
        return named if named in PACKED.values() or self.kind is None else self.kind


class State(StrEnum):
    """How the fetching of a file ended."""

    FETCHED = "fetched"
    UNCHANGED = "unchanged"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one file.

    Attributes
    ----------
    wanted : Wanted
        The file.
    state : State
        Fetched, unchanged since an earlier time, or failed.
    done : Done or None
        What is on the disk; None when it failed.
    n_bytes : int
        Bytes that came over the network, failed tries included.
    n_retries : int
        Tries after the first.
    error : DaskflowError or None
        Why it failed.
    """

    wanted: Wanted
    state: State
    done: Done | None = None
    n_bytes: int = 0
    n_retries: int = 0
    error: DaskflowError | None = None


class Transfer:
    """The fetching of one file into a folder.

    Parameters
    ----------
    client : Client
        Makes the requests.
    wanted : Wanted
        The file.
    name : callable
        Gives the file its name: of the answer's own proposal, or of None.
    journal : FetchJournal
        Knows what was fetched or begun before.
    tell : callable
        Hears a sentence before every retry.
    came : callable
        Hears of bytes as they come.
    """

    def __init__(
        self,
        client: Client,
        wanted: Wanted,
        name: Callable[[str | None], str],
        journal: FetchJournal,
        tell: Callable[[str], None],
        came: Callable[[int], None] = lambda n_bytes: None,
    ) -> None:
        """Nothing is requested yet."""
        self._came = came
        self._client, self._wanted, self._name, self._journal, self._tell = client, wanted, name, journal, tell
        self._address = wanted.address
        self._identity = wanted.address.identity
        self.n_bytes = self._tries = self._wrong = 0

    async def run(self) -> Outcome:
        """Fetch the file, or find that it is there; an error is an outcome."""
        limits = self._client.limits
        try:
            async with asyncio.timeout(limits.total_seconds):
                done, state = await persist(limits, self._address, self._attempt, self._tell)
        except TimeoutError:
            return self._failed(
                DataError(
                    f"{self._address}: not done within limits.total_seconds = {limits.total_seconds:g}; "
                    f"{self.n_bytes} bytes came. Run it again: what is there is continued."
                )
            )
        except (StorageError, JournalError):
            raise  # the folder's, not the file's: the others could not be written either
        except DaskflowError as error:
            return self._failed(error)
        return Outcome(self._wanted, state, done, self.n_bytes, self._tries - 1 if self._tries else 0)

    def _failed(self, error: DaskflowError) -> Outcome:
        return Outcome(self._wanted, State.FAILED, None, self.n_bytes, max(0, self._tries - 1), error)

    async def _attempt(self) -> tuple[Done, State]:
        """One try."""
        here = there(self._journal, self._wanted)
        if here is not None and is_certain(here, self._wanted):
            return here, State.UNCHANGED
        self._tries += 1
        begun = self._journal.begun.get(self._identity)
        start = size_of_part(self._journal.folder / begun.name) if begun is not None and begun.guard else 0
        headers = here.validators.conditions() if here is not None and not start else {}
        if begun is not None and begun.guard and start:
            headers = {"Range": f"bytes={start}-", "If-Range": begun.guard}
        async with self._client.get(self._address, headers) as answer:
            if answer.status == 304 and here is not None and not start:
                self._check_planned(here.validators)
                return here, State.UNCHANGED
            if answer.status == 416 and begun is not None and start:
                return await self._end_of_range(answer, begun, start)
            if answer.status not in (200, 206):
                raise refused(self._address, answer)
            if answer.status == 206:
                self._check_part(answer, begun, start)
            else:
                start = 0
            done = await self._body(answer, begun, start)
        if here is not None and here.sha256 == done.sha256:
            return done, State.UNCHANGED
        return done, State.FETCHED

    def _check_planned(self, found: Validators) -> None:
        """Refuse another state than the one that was planned."""
        if self._wanted.planned.differ(found):
            raise ChangedDataError(
                f"{self._address} changed since it was planned (its ETag or Last-Modified is another). "
                "Let the writer finish, then start again."
            )

    def _check_part(self, answer: Answer, begun: Begun | None, start: int) -> None:
        """Refuse a part that was not asked for, or of another state."""
        first, _, _ = content_range(answer.headers)
        if not start or first != start or begun is None or begun.validators.differ(Validators.of(answer.headers)):
            self._discard(begun)
            raise TryAgainError("it sent another part of the file than was asked for")

    async def _end_of_range(self, answer: Answer, begun: Begun, start: int) -> tuple[Done, State]:
        """Nothing follows what is there: that is the whole file, or it is begun anew."""
        _, _, size = content_range(answer.headers)
        if size != start:
            self._discard(begun)
            raise TryAgainError("it cannot continue the file")
        path = self._journal.folder / begun.name
        digests = Digests({"sha256", *self._wanted.digests})
        part = await asyncio.to_thread(
            Part, path, start, digests, Digests(()), self._client.limits.max_file_bytes, is_compressed=False
        )
        with contextlib.closing(part):
            return await self._accept(part, digests, begun.validators), State.FETCHED

    def _discard(self, begun: Begun | None) -> None:
        """Forget the beginning of a file."""
        if begun is not None:
            temporary_of(self._journal.folder / begun.name).unlink(missing_ok=True)

    async def _body(self, answer: Answer, begun: Begun | None, start: int) -> Done:
        """Write a body to the end, check it, and give it its name."""
        validators = Validators.of(answer.headers)
        self._check_planned(validators)
        name = begun.name if start and begun is not None else self._name(proposed_name(answer))
        is_compressed = self._is_compressed(answer, name)
        expected = self._wanted.expected or kind_of_name(name)
        self._check(wrong_type(answer.headers.get("Content-Type", ""), expected))
        length = content_length(answer.headers)
        if length is not None:
            self._check_size(start + length, is_compressed=is_compressed)
        if not start:
            resumable = Validators() if is_compressed else validators
            await self._journal.begin(self._address, Begun(name, resumable, answer.headers.get("Date")))
        stated = header_digests(answer.headers)
        digests, raw = Digests({"sha256", *self._wanted.digests}), Digests(stated)
        most = self._client.limits.max_file_bytes
        part = await asyncio.to_thread(
            Part, self._journal.folder / name, start, digests, raw, most, is_compressed=is_compressed
        )
        with contextlib.closing(part):
            await self._write(answer, part, None if start else expected)
            if not part.is_complete:
                raise self._again("its compressed body (Content-Encoding: gzip) does not come to its end")
            self._check_digests(raw.values(), stated, part)
            needs_proof = not answer.is_framed and not stated and not self._wanted.digests and not is_compressed
            _, _, size = content_range(answer.headers)
            if answer.status == 206 and size is not None and part.n_bytes < size:
                raise TryAgainError(f"short answer: {part.n_bytes} of {size} bytes")
            return await self._accept(part, digests, validators, needs_proof=needs_proof)

    async def _write(self, answer: Answer, part: Part, expected: str | None) -> None:
        """Write what comes; nothing before its first bytes are known to be right."""
        waiting, is_checked = b"", part.n_bytes > 0
        async for data in answer.chunks():
            self._count(data)
            if not is_checked:
                waiting += data
                if len(waiting) < FIRST_BYTES:
                    continue
                self._check(wrong_beginning(waiting, expected))
                data, waiting, is_checked = waiting, b"", True
            await self._store(part, data)
        if not is_checked:
            self._check(wrong_beginning(waiting, expected))
            if not waiting and self._wanted.size_bytes != 0 and expected is not None:
                raise DataError(f"{self._address}: the answer is empty (0 bytes).")
            await self._store(part, waiting)

    def _count(self, data: bytes) -> None:
        self.n_bytes += len(data)
        self._came(len(data))

    async def _store(self, part: Part, data: bytes) -> None:
        try:
            await asyncio.to_thread(part.write, data)
        except DataError as error:
            raise DataError(f"{self._address}: {error}") from None

    async def _accept(self, part: Part, digests: Digests, validators: Validators, *, needs_proof: bool = False) -> Done:
        """Check a whole body, and give the file its name."""
        if self._wanted.size_bytes not in (None, part.n_bytes):
            part.temporary.unlink(missing_ok=True)
            raise self._again(f"short or long answer: {part.n_bytes} of {self._wanted.size_bytes} bytes")
        found = digests.values()
        self._check_digests(found, self._wanted.digests, part)
        part.flush()
        kind = self._wanted.expected or kind_of_name(part.path.name)
        if kind in MARKED and (kind != "gzip" or needs_proof):
            problem = await asyncio.to_thread(wrong_end, part.temporary, kind)
            if problem:
                part.temporary.unlink(missing_ok=True)
                raise self._again(f"short answer: {problem}, after {part.n_bytes} bytes")
        elif needs_proof:
            await self._compare(found["sha256"], part)
        modified_ns = await asyncio.to_thread(part.finish)
        done = Done(part.path.name, part.n_bytes, modified_ns, found["sha256"], validators)
        await self._journal.finish(self._address, done)
        return done

    async def _compare(self, sha256: str, part: Part) -> None:
        """Read a body again that has neither length, digest nor end marker: two equal ones are taken for whole."""
        again = Digests({"sha256"})
        async with self._client.get(self._address, {}) as answer:
            if answer.status != 200:
                raise refused(self._address, answer)
            async for data in answer.chunks():
                self._count(data)
                again.update(data)
            n_bytes = answer.n_bytes
        if again.values()["sha256"] != sha256:
            part.temporary.unlink(missing_ok=True)
            raise TryAgainError(
                f"it names neither length nor digest, and two reads differ ({part.n_bytes} and {n_bytes} bytes)"
            )

    def _is_compressed(self, answer: Answer, name: str) -> bool:
        """Whether the body is compressed on the way, so that it is to be decompressed."""
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower().removeprefix("x-")
        if coding in ("", "identity") or (coding == "gzip" and kind_of_name(name) == "gzip"):
            return False  # many servers say of x.csv.gz that it is x.csv, compressed on the way
        if coding != "gzip":
            raise DataError(f"{self._address}: the server compressed it ({coding:.20}), though it was asked not to.")
        return True

    def _check(self, problem: str) -> None:
        if problem:
            raise DataError(f"{self._address}: {problem}. Check the address, and the credentials if it needs some.")

    def _check_size(self, n_bytes: int, *, is_compressed: bool) -> None:
        """Refuse a size that cannot be, before anything is written."""
        limit = self._client.limits.max_file_bytes
        if n_bytes > limit:
            raise DataError(f"{self._address}: it has {n_bytes} bytes; limits.max_file_bytes = {limit}.")
        if not is_compressed and self._wanted.size_bytes not in (None, n_bytes):
            raise DataError(f"{self._address}: it has {n_bytes} bytes; {self._wanted.size_bytes} should come.")
        check_space(self._journal.folder, n_bytes)

    def _check_digests(self, found: Mapping[str, str], stated: Mapping[str, str], part: Part) -> None:
        """Refuse a body whose digests are not those stated."""
        for algorithm, digits in stated.items():
            if found[algorithm] != digits:
                part.temporary.unlink(missing_ok=True)
                raise self._again(f"its {algorithm} is {found[algorithm]}, and {digits} was stated")

    def _again(self, problem: str) -> Exception:
        """A second chance for what may have been damaged on the way, then an error."""
        self._wrong += 1
        if self._wrong <= SECOND_CHANCE:
            return TryAgainError(problem)
        return DataError(f"{self._address}: {problem}; it was fetched {self._wrong} times.")


def there(journal: Known, wanted: Wanted) -> Done | None:
    """Return what is there of an earlier time, whole and with the right checksum; None when nothing is."""
    done = journal.done.get(wanted.address.identity)
    if done is None or not done.is_there(journal.folder):
        return None
    return None if wanted.digests.get("sha256", done.sha256) != done.sha256 else done


def is_certain(done: Done, wanted: Wanted) -> bool:
    """Return whether what is there is known to be what is wanted, without a request."""
    if wanted.planned and done.validators:
        return not wanted.planned.differ(done.validators)
    return "sha256" in wanted.digests or 0 < wanted.since <= done.at


def refused(address: Address, answer: Answer) -> Exception:
    """Return what a status other than success means."""
    words = f"the server answered {status_words(answer.status)}"
    if is_retried(answer.status):
        return TryAgainError(words, retry_after(answer.headers))
    where = "" if str(answer.address) == str(address) else f", redirected to {answer.address}"
    return DataError(f"{address}{where}: {words}. {ADVICE.get(answer.status, 'Another try would not help.')}")


def proposed_name(answer: Answer) -> str | None:
    """Return the name that an answer proposes (``Content-Disposition``), as it is: not yet safe."""
    import aiohttp.multipart

    kind, params = aiohttp.multipart.parse_content_disposition(answer.headers.get("Content-Disposition"))
    return aiohttp.multipart.content_disposition_filename(params) if kind else None
