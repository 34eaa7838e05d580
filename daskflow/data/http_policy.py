"""What an answer's status and headers mean: done, try again, try again later, or never."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from daskflow.core.seeds import digest
from daskflow.data.http_settings import Limits

RETRIED = (408, 425, 429)
"""Statuses below 500 that say nothing against a second try; so do all from 500 on."""

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")

ADVICE = {
    401: "Give credentials: access = { bearer = 'env:TOKEN' }, or user and password.",
    403: "The credentials, if any, do not allow it; an address that was signed may have expired.",
    404: "Check the address.",
    407: "The proxy of the environment wants credentials.",
    410: "It is gone for good: take it out of the list.",
    416: "The server will not say the part of the file that was asked for.",
}


class TryAgainError(Exception):
    """An attempt that failed in a way that may pass.

    Parameters
    ----------
    what : str
        What happened, as a sentence without its end; it holds no secret.
    after_seconds : float
        What the server asks to wait at least.
    """

    def __init__(self, what: str, after_seconds: float = 0.0) -> None:
        """Remember both."""
        super().__init__(what)
        self.after_seconds = after_seconds


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server says to tell two states of a file apart: ``ETag`` and ``Last-Modified``."""

    etag: str | None = None
    modified: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Validators:
        """From an answer."""
        return cls(headers.get("ETag"), headers.get("Last-Modified"))

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.etag or self.modified)

    @property
    def number(self) -> int:
        """A number that changes with them, in place of a modification time; 0 when there is none."""
        return int(digest([self.etag, self.modified], 15), 16) | 1 if self else 0

    def conditions(self) -> dict[str, str]:
        """Headers that ask for the file only if it is another one now."""
        found = {"If-None-Match": self.etag} if self.etag else {"If-Modified-Since": self.modified}
        return {name: value for name, value in found.items() if value}

    def if_range(self, date: str | None) -> str | None:
        """Return what guards the resumption of a file: a strong ETag, or a time that can only mean one state.

        Parameters
        ----------
        date : str or None
            The ``Date`` of the answer that the beginning came with: a file of the same second may change unseen.
        """
        if self.etag:
            return None if self.etag.startswith("W/") else self.etag
        then, sent = time_of(self.modified), time_of(date)
        return self.modified if then is not None and sent is not None and sent - then >= 1 else None

    def differ(self, other: Validators) -> bool:
        """Whether both say something, and not the same."""
        if self.etag and other.etag:
            return self.etag.removeprefix("W/") != other.etag.removeprefix("W/")
        return bool(self.modified and other.modified and self.modified != other.modified)


def time_of(date: str | None) -> float | None:
    """Return the time of a header as seconds since the epoch; None when it is none."""
    try:
        found = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    return None if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float:
    """Return the seconds that a server asks to wait, by a number or by a date; 0 when it asks nothing.

    Examples
    --------
    >>> retry_after({"Retry-After": "7"})
    7.0
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    then = time_of(text)
    return 0.0 if then is None else max(0.0, then - (time.time() if now is None else now))


def wait_seconds(limits: Limits, tries: int, asked: float, draw: float) -> float | None:
    """Return how long to wait before the next try; None when there should be none.

    Parameters
    ----------
    limits : Limits
        Retries, back-off and the longest wait.
    tries : int
        How many there were, from 1 on.
    asked : float
        Seconds that the server asks for.
    draw : float
        A random number from 0 to 1.

    Examples
    --------
    >>> limits = Limits(retries=3, backoff_seconds=1, longest_wait_seconds=60)
    >>> [wait_seconds(limits, tries, 0, 0.5) for tries in (1, 2, 3, 4)]
    [0.5, 1.0, 2.0, None]
    >>> wait_seconds(limits, 1, 30, 0.5), wait_seconds(limits, 1, 90, 0.5)
    (30.5, None)
    """
    if tries > limits.retries or asked > limits.longest_wait_seconds:
        return None
    own = min(limits.longest_wait_seconds, limits.backoff_seconds * 2.0 ** min(tries - 1, 60)) * draw
    return asked + own


def is_retried(status: int) -> bool:
    """Return whether a second try may be answered otherwise."""
    return status in RETRIED or status >= 500


def status_words(status: int) -> str:
    """Return a status with its name.

    Examples
    --------
    >>> status_words(503), status_words(799)
    ('503 Service Unavailable', '799')
    """
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    """Return first byte, last byte and whole size that an answer in part names, None for what it does not.

    Examples
    --------
    >>> content_range({"Content-Range": "bytes 5-9/10"}), content_range({"Content-Range": "bytes */10"})
    ((5, 9, 10), (None, None, 10))
    """
    found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None:
        return None, None, None
    first, last, size = (None if text in (None, "*") else int(text) for text in found.groups())
    return first, last, size


def content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length that an answer names, if any."""
    text = headers.get("Content-Length", "").strip()
    return int(text) if text.isdecimal() else None


def http_date(seconds: float) -> str:
    """Return a time as headers write it.

    Examples
    --------
    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
