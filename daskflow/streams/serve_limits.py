"""Limits of a served model, and the refusals that are said to whoever oversteps one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MALFORMED, SIZE, TYPE, BUSY, LATE, STUCK = "malformed", "size", "type", "busy", "late", "stuck"

RETRY_SECONDS = 1
"""After so long a client that was turned away may come again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on at once.

    Attributes
    ----------
    batch : int
        Rows of several requests that the model is asked for at once, at most.
    delay_seconds : float
        So long a batch that is not full waits for more requests though the model is free. The default is 0: what comes
        is answered at once, and what comes while the model computes is the next batch.
    queue : int
        Requests that may wait for the model; the next one is told 429.
    timeout_seconds : float
        For a request to arrive whole (408), for its answer (504), and for a client to take it.
    max_bytes : int
        Of a request's body (413).
    held_bytes : int
        Of all bodies that are held at the same time (429); 0, the default, for eight of the largest, and 64 MiB at
        least.
    """

    batch: int = 64
    delay_seconds: float = 0.0
    queue: int = 1024
    timeout_seconds: float = 10.0
    max_bytes: int = 8 * 2**20
    held_bytes: int = 0

    @property
    def most_held(self) -> int:
        """Bytes of all bodies together."""
        return self.held_bytes or max(8 * self.max_bytes, 64 * 2**20)

    @property
    def most_rows(self) -> int:
        """Rows of one request: a body could claim more than it has bytes for."""
        return max(1, self.max_bytes // 8)


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818  it is an answer
    """An answer other than a prediction.

    Attributes
    ----------
    status : int
        Of HTTP.
    reason : str
        One word.
    words : str
        A sentence for whoever wrote the client.
    headers : mapping
        Further headers of the answer.
    has_more : bool
        Whether more of the request's body may come, though it is refused already.
    """

    status: int
    reason: str
    words: str
    headers: Mapping[str, str] = field(default_factory=dict)
    has_more: bool = False

    def __str__(self) -> str:
        """The sentence."""
        return self.words


class Gone(Exception):  # noqa: N818  nobody is there to be told
    """The client has vanished."""


def too_large(limits: Limits, found: int | None = None) -> Refusal:
    """Return what is said of a body that is too large."""
    told = f" (it has {found:,})" if found else ""
    return Refusal(413, SIZE, f"a body may have {limits.max_bytes:,} bytes{told}: send the rows in several requests")


def too_busy(words: str) -> Refusal:
    """Return what is said when nothing more can wait."""
    return Refusal(429, BUSY, words, {"retry-after": str(RETRY_SECONDS)})


def given_up() -> Refusal:
    """Return what is said when the process is replaced because its model computes without end."""
    words = "the model computes without end at another request, and this process is replaced: come again"
    return Refusal(503, STUCK, words, {"retry-after": str(RETRY_SECONDS), "connection": "close"})
