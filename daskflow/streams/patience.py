"""Patience with a server that is away: waits that grow, up to a time after which it is an error."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Annotated, Any

from dask.utils import parse_timedelta
from pydantic import BeforeValidator, Field

from daskflow.core.errors import DataError

LOG = logging.getLogger("daskflow.streams")
FIRST_WAIT, LONGEST_WAIT = 0.1, 15.0


def _seconds(value: Any) -> Any:
    """Read ``"5s"`` or ``"200ms"``; other values as they are."""
    if not isinstance(value, str):
        return value
    try:
        return float(parse_timedelta(value.strip(), default="s"))
    except (ValueError, KeyError):
        raise ValueError("should be a time such as '5s', '200ms' or '2 min'") from None


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
"""A time in seconds; as text with its unit."""


class Patience:
    """Waits longer and longer between tries, and gives up when no try succeeded for too long.

    Parameters
    ----------
    where : str
        What is tried, for messages; holds no secret.
    seconds : float
        How long it may be away.
    """

    def __init__(self, where: str, seconds: float) -> None:
        """Begin with a success."""
        self._where, self._seconds = where, seconds
        self.good()

    def good(self) -> None:
        """Take note that a try succeeded."""
        self._tries = 0
        self._since: float | None = None

    async def wait(self, what: str, after_seconds: float = 0.0) -> None:
        """Wait before the next try.

        Parameters
        ----------
        what : str
            What happened; holds no secret.
        after_seconds : float
            What the server asks to wait at least.

        Raises
        ------
        DataError
            When it has been away for too long, or asks to wait longer than that.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since + after_seconds > self._seconds:
            raise DataError(
                f"{self._where}: {what}, for {now - self._since:.0f} s; patience = {self._seconds:g} s. "
                "Nothing that was not handed on is lost: run the same command again when it is back."
            )
        self._tries += 1
        own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._tries - 1, 30)) * (0.5 + random.random() / 2)
        left = self._seconds - (now - self._since)
        if self._tries in (3, 10) or self._tries % 100 == 0:
            LOG.warning("%s: %s; trying again", self._where, what)
        await asyncio.sleep(max(after_seconds, min(own, max(left, 0.01))))
