"""Mounting: a run's pages on the scheduler that it uses, its records to them, and what viewers ask back."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from daskflow.core.access import seal_of
from daskflow.core.control import Command
from daskflow.core.errors import ClusterError, SettingsError
from daskflow.core.journal import Record
from daskflow.dashboard.calling import RECORDS, commands_topic, opened, unaware_viewers
from daskflow.dashboard.encoding import json_of

logger = logging.getLogger(__name__)

MOST_RECORDS = 1000
"""Of a message: hearing it must not hold up the scheduler."""

MOST_WAITING = 200_000
"""Records that wait for a scheduler that does not answer."""

ANSWER_SECONDS = 5.0
MOUNT_SECONDS = 20.0

LOST_SECONDS = 60.0
"""A scheduler that has not answered for so long is not told any more."""

ELSEWHERE = "'daskflow watch RUN' shows the same pages from the run's folder."


@dataclass
class Mounted:
    """A run's pages.

    Attributes
    ----------
    address : str or None
        Of the first page, without the token; None when there are none.
    why : str
        Why there are none, as a sentence.
    send : callable
        Takes records to show. Raises ClusterError when the scheduler has not answered for a minute.
    commands : callable
        Returns what viewers have asked since the last call.
    close : callable
        Takes nothing more from viewers. The pages stay as long as the scheduler.
    viewers : callable
        Returns how many look now; once the end was sent, those who have not fetched it.
    host : str
        Name of the machine of the scheduler, as it calls itself.
    """

    address: str | None
    why: str
    send: Callable[[Sequence[Record]], None]
    commands: Callable[[], list[Command]]
    close: Callable[[], None]
    viewers: Callable[[], int]
    host: str = ""


def mount(client: Any, *, name: str, id: str, token: str) -> Mounted:
    """Put the pages of a run on its scheduler; never raises.

    Parameters
    ----------
    client : distributed.Client or None
        Of the run's cluster.
    name, id : str
        The run's.
    token : str
        What opens the pages: that of the cluster (`Connection.token`) where it has one. It stays here; the scheduler
        gets its seal.
    """
    if client is None:
        return _nothing(f"This cluster has no scheduler; {ELSEWHERE}")
    boot = secrets.token_hex(4)
    wire = _Wire(client, id, boot)
    try:
        told = client.sync(
            client._run_on_scheduler,
            opened,
            name=name,
            id=id,
            seal=seal_of(token),
            boot=boot,
            client=client.id,
            callback_timeout=MOUNT_SECONDS,
        )
        if "why" in told:
            return _nothing(f"{told['why']} {ELSEWHERE}")
        client.subscribe_topic(commands_topic(id, boot), wire.heard)
        address = f"{told['scheme']}://{_host(client, told['bound'])}:{told['port']}{told['prefix']}daskflow"
    except Exception as error:
        return _nothing(_why(client, error))
    return Mounted(address, "", wire.send, wire.commands, wire.close, wire.viewers, str(told["host"]))


def _nothing(why: str) -> Mounted:
    return Mounted(None, why, lambda records: None, list, lambda: None, lambda: 0)


def _why(client: Any, error: BaseException) -> str:
    """Return why the scheduler has no pages, as a sentence."""
    if isinstance(error, ModuleNotFoundError):
        with suppress(PackageNotFoundError):
            what = (error.name or "a module").partition(".")[0]
            return (
                f"The scheduler lacks {what}, so it has no pages of this run: install daskflow {version('daskflow')} "
                f"there. {ELSEWHERE}"
            )
    if "pickle" in str(error).lower():
        return (
            "The scheduler takes no code from its clients (distributed.scheduler.pickle is off), so it has no pages of "
            f"this run. {ELSEWHERE}"
        )
    return f"The scheduler has no pages of this run ({type(error).__name__}: {error}). {ELSEWHERE}"


def _host(client: Any, bound: str) -> str:
    """Return the name by which the scheduler's web server is reached: its own, unless it listens everywhere."""
    try:
        is_any = ip_address(bound).is_unspecified
    except ValueError:
        is_any = not bound
    if not is_any:
        return f"[{bound}]" if ":" in bound else bound
    place = urlsplit(str(client.scheduler.address))
    host = place.hostname if place.scheme in ("tcp", "tls", "ws", "wss") and place.hostname else "127.0.0.1"
    return f"[{host}]" if ":" in host else host


class _Wire:
    """What goes between a run's process and its pages; used by one thread at a time, heard in the client's own."""

    def __init__(self, client: Any, id: str, boot: str) -> None:
        self._client, self._id, self._boot = client, id, boot
        self._waiting: deque[tuple[int, Sequence[Record]]] = deque()
        self._number, self._lost = 0, 0.0
        self._asked: list[Command] = []
        self._lock = threading.Lock()

    def send(self, records: Sequence[Record]) -> None:
        """Send records, after those that wait; a scheduler that does not answer now gets them later, in order."""
        for start in range(0, len(records), MOST_RECORDS):
            self._waiting.append((self._number, list(records[start : start + MOST_RECORDS])))
            self._number += 1
        try:
            while self._waiting:
                number, part = self._waiting[0]
                self._deliver(number, part)
                self._waiting.popleft()
            self._lost = 0.0
        except Exception as error:
            self._lost = self._lost or time.monotonic()
            n_waiting = sum(len(part) for _, part in self._waiting)
            if time.monotonic() - self._lost > LOST_SECONDS or n_waiting > MOST_WAITING:
                self._waiting.clear()
                raise ClusterError(
                    f"The scheduler does not take what its pages should show ({type(error).__name__}: {error}). "
                    f"{ELSEWHERE}"
                ) from error

    def _deliver(self, number: int, records: Sequence[Record]) -> None:
        """Hand over one message; one that was heard without an answer is known by its number."""
        message = {"id": self._id, "boot": self._boot, "number": number, "records": json_of(list(records))}
        self._client.sync(self._client.scheduler.log_event, topic=RECORDS, msg=message, callback_timeout=ANSWER_SECONDS)

    def heard(self, event: tuple[float, Any]) -> None:
        """Keep what a viewer asks; called in the client's event loop."""
        try:
            command = Command.load(event[1])
        except SettingsError as error:
            logger.warning("What was asked of the run by its pages was no command: %s", error)
            return
        with self._lock:
            self._asked.append(command)

    def commands(self) -> list[Command]:
        """Return what was asked since the last call."""
        with self._lock:
            asked, self._asked = self._asked, []
        return asked

    def viewers(self) -> int:
        """Ask the scheduler; 0 when it does not answer."""
        try:
            count = self._client.sync(
                self._client._run_on_scheduler, unaware_viewers, id=self._id, callback_timeout=ANSWER_SECONDS
            )
            return int(count)
        except Exception:
            return 0

    def close(self) -> None:
        """Hear no more of viewers."""
        with suppress(Exception):
            self._client.unsubscribe_topic(commands_topic(self._id, self._boot))
