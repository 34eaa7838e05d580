"""A first look at files over HTTP: size, state and beginning, or the footer of a parquet file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daskflow.core.errors import DaskflowError, DataError
from daskflow.data.http_address import Address
from daskflow.data.http_client import Answer, Client
from daskflow.data.http_pace import persist
from daskflow.data.http_policy import TryAgainError, Validators, content_length, content_range
from daskflow.sources.http_checks import FIRST_BYTES, wrong_beginning, wrong_type
from daskflow.sources.http_transfer import Wanted, refused

TAIL_BYTES = 1 << 16
"""Asked for at the end of a parquet file: most footers are smaller."""

ENDING_BYTES = 8
MAGIC = b"PAR1"

LARGEST_FOOTER = 1 << 30


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a file.

    Attributes
    ----------
    size_bytes : int or None
        Its size; None when the server does not say.
    validators : Validators
        Its state.
    content_type : str
        As the server says.
    first : bytes
        Its beginning, if that was looked at.
    has_footer : bool
        Whether its footer was read to a file: it is parquet, and the server sends parts.
    """

    size_bytes: int | None
    validators: Validators
    content_type: str
    first: bytes = b""
    has_footer: bool = False


async def look_at(client: Client, files: Sequence[Wanted], footers: Sequence[Path] | None) -> list[Look]:
    """Look at files, many at once; nothing is fetched whole.

    Parameters
    ----------
    client : Client
        Entered.
    files : sequence of Wanted
        The files.
    footers : sequence of Path or None
        For parquet: where to write, for each file, one of its size that holds nothing but its footer.

    Raises
    ------
    DataError
        With what is wrong with every file that cannot be had.
    """
    places: Sequence[Path | None] = footers if footers is not None else [None] * len(files)

    async def one(wanted: Wanted, place: Path | None) -> Look | DaskflowError:
        async def attempt() -> Look:
            return await (_beginning(client, wanted) if place is None else _footer(client, wanted, place))

        try:
            return await persist(client.limits, wanted.address, attempt, lambda text: None)
        except DaskflowError as error:
            return error

    found = await asyncio.gather(*(one(wanted, place) for wanted, place in zip(files, places, strict=True)))
    errors = [look for look in found if isinstance(look, DaskflowError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        more = [f"{len(errors) - 10} more files cannot be had."] if len(errors) > 10 else []
        raise DataError("\n".join([*(str(error) for error in errors[:10]), *more]))
    return [look for look in found if isinstance(look, Look)]


async def _beginning(client: Client, wanted: Wanted) -> Look:
    """Look at the first bytes; a server that sends all of it is not listened to any longer."""
    async with client.get(wanted.address, {"Range": f"bytes=0-{FIRST_BYTES - 1}"}) as answer:
        _check_status(wanted.address, answer, {200, 206})
        _, _, size = content_range(answer.headers)
        size = content_length(answer.headers) if answer.status == 200 else size
        first = await answer.first(FIRST_BYTES)
        return _checked(wanted, answer, size, first)


async def _footer(client: Client, wanted: Wanted, place: Path) -> Look:
    """Read the footer of a parquet file, or look at its beginning where the server does not send parts."""
    async with client.get(wanted.address, {"Range": f"bytes=-{TAIL_BYTES}"}) as answer:
        _check_status(wanted.address, answer, {200, 206, 416})
        first, _, size = content_range(answer.headers)
        has_parts = answer.status == 206 and size is not None and first is not None
        if answer.status == 200:
            return _checked(wanted, answer, content_length(answer.headers), await answer.first(FIRST_BYTES))
        if has_parts:
            tail = await answer.first(TAIL_BYTES)
            look = _checked(wanted, answer, size, b"")
    if not has_parts or size is None or first is None:
        return await _beginning(client, wanted)
    if len(tail) != size - first:
        raise TryAgainError(f"short answer: {len(tail)} of {size - first} bytes")
    if tail[-len(MAGIC) :] != MAGIC or size < 2 * len(MAGIC) + ENDING_BYTES:
        problem = wrong_beginning(tail, None) or "it does not end as a parquet file does"
        raise DataError(f"{wanted.address} ({size} bytes): {problem}. Check the address, or write the file again.")
    length = int.from_bytes(tail[-ENDING_BYTES : -len(MAGIC)], "little") + ENDING_BYTES
    if length > min(size, LARGEST_FOOTER):
        raise DataError(f"{wanted.address} ({size} bytes): its footer is damaged. Write the file again.")
    if length > len(tail):
        tail = await _part(client, wanted, look, size - length, size)
    await asyncio.to_thread(_write_stub, place, size, tail[-length:])
    return Look(size, look.validators, look.content_type, has_footer=True)


async def _part(client: Client, wanted: Wanted, look: Look, start: int, size: int) -> bytes:
    """A part of a file, of the state that was seen."""
    async with client.get(wanted.address, {"Range": f"bytes={start}-{size - 1}"}) as answer:
        _check_status(wanted.address, answer, {206})
        first, _, _ = content_range(answer.headers)
        if first != start or look.validators.differ(Validators.of(answer.headers)):
            raise TryAgainError("it changed while its footer was read")
        data = await answer.first(size - start)
    if len(data) != size - start:
        raise TryAgainError(f"short answer: {len(data)} of {size - start} bytes")
    return data


def _check_status(address: Address, answer: Answer, good: set[int]) -> None:
    if answer.status == 416 and 416 not in good:
        raise DataError(f"{address}: the file is empty (0 bytes). Write it again, or take it out of the list.")
    if answer.status not in good:
        raise refused(address, answer)


def _checked(wanted: Wanted, answer: Answer, size: int | None, first: bytes) -> Look:
    """Refuse what is not the data; else say what was seen."""
    content_type = answer.headers.get("Content-Type", "")
    is_coded = answer.headers.get("Content-Encoding", "identity").lower() not in ("", "identity")
    problem = wrong_type(content_type, wanted.expected)
    if first and not is_coded:
        problem = problem or wrong_beginning(first, wanted.expected)
    if problem:
        raise DataError(f"{wanted.address}: {problem}. Check the address, and the credentials if it needs some.")
    if size == 0:
        raise DataError(f"{wanted.address}: the file is empty (0 bytes). Write it again, or take it out of the list.")
    if wanted.size_bytes is not None and size not in (None, wanted.size_bytes) and not is_coded:
        raise DataError(f"{wanted.address}: it has {size} bytes; {wanted.size_bytes} should come.")
    return Look(None if is_coded else size, Validators.of(answer.headers), content_type, first)


def _write_stub(place: Path, size: int, footer: bytes) -> None:
    """Write a file of the whole one's size that takes the space of its footer only."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "wb") as file:
        os.truncate(file.fileno(), size)
        file.write(MAGIC)
        file.seek(size - len(footer))
        file.write(footer)
