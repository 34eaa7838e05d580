"""How fast and how often servers are asked: a pace that is kept, and attempts that wait longer and longer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from daskflow.core.errors import DataError
from daskflow.data.http_address import Address
from daskflow.data.http_policy import TryAgainError, wait_seconds
from daskflow.data.http_settings import Limits

Result = TypeVar("Result")


class Pace:
    """So many units a second, of whatever is counted."""

    def __init__(self, per_second: float | None) -> None:
        """Begin now; None for no limit."""
        self._per_second = per_second
        self._free_at = 0.0

    async def take(self, units: float) -> None:
        """Wait until the units taken before are paid for, and take these."""
        if self._per_second is None:
            return
        now = time.monotonic()
        wait = self._free_at - now
        self._free_at = max(now, self._free_at) + units / self._per_second
        if wait > 0:
            await asyncio.sleep(wait)


async def persist(
    limits: Limits, address: Address, attempt: Callable[[], Awaitable[Result]], tell: Callable[[str], None]
) -> Result:
    """Make attempts until one succeeds or the limits are reached, waiting longer and longer between them.

    Parameters
    ----------
    limits : Limits
        Retries and back-off.
    address : Address
        For messages.
    attempt : callable
        Raises TryAgainError for what may pass.
    tell : callable
        Hears a sentence before every wait.

    Raises
    ------
    DataError
        When the last try failed, or the server asks for more patience than there is.
    """
    tries, began = 0, time.monotonic()
    while True:
        try:
            return await attempt()
        except TryAgainError as failure:
            tries += 1
            wait = wait_seconds(limits, tries, failure.after_seconds, random.random())
            if wait is None and tries <= limits.retries:
                raise DataError(
                    f"{address}: {failure}, and asks to wait {failure.after_seconds:.0f} s, which is longer than "
                    f"limits.longest_wait_seconds = {limits.longest_wait_seconds:g}. Run it again then."
                ) from None
            if wait is None:
                times = f"; tried {tries} times in {time.monotonic() - began:.1f} s" if tries > 1 else ""
                raise DataError(f"{address}: {failure}{times}. Run it again later: what is whole is kept.") from None
            tell(f"{address}: {failure}; try {tries + 1} of {limits.retries + 1} in {wait:.1f} s")
            await asyncio.sleep(wait)
