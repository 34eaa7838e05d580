"""The process behind a seat: makes the calls it is sent, one after the other, and answers each as it ends.

Started by ``daskflow.data.seats``: ``python -m daskflow.data.seat_process N MODULE ...``, with the number of an open
socket, and modules that its calls are likely to need.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from daskflow.core.processes import die_with_parent
from daskflow.core.protocols import Outcome, Packed
from daskflow.data.maps import rest

Loaded = tuple[Any, tuple[Any, ...], list[tuple[str, tuple[Any, ...]]]]
"""A function, arguments that all its calls share, and for each call its key and its own."""

HEAD = struct.Struct(">QQ")
"""The length of the message that follows, and how long the output was when it was sent."""


def send(channel: socket.socket, content: bytes, written: int = 0) -> None:
    """Write one message, and how many bytes of output there were before it."""
    channel.sendall(HEAD.pack(len(content), written) + content)


def output_bytes() -> int:
    """Return how much this process has written, whose output is a file."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError, AttributeError):  # a fit may have closed or replaced it
            stream.flush()
    return os.fstat(1).st_size


def receive(channel: socket.socket) -> bytes | None:
    """Read one message; None when the other side is gone."""
    head = _exactly(channel, HEAD.size)
    return None if head is None else _exactly(channel, HEAD.unpack(head)[0])


def _exactly(channel: socket.socket, length: int) -> bytes | None:
    parts, missing = [], length
    while missing:
        part = channel.recv(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def attempt(key: str, function: Any, arguments: tuple[Any, ...]) -> Outcome:
    """Make one call; a raise is an answer."""
    began, started, cpu = time.time(), time.perf_counter(), time.process_time()
    value: Any = None
    error: Exception | None = None
    try:
        value = function(*arguments)
    except Exception as caught:
        error = caught
    return Outcome(
        key=key,
        value=value,
        error=None if error is None else f"{type(error).__name__}: {error}",
        exception=error,
        traceback="" if error is None else "".join(traceback.format_exception(error)),
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu,
        began=began,
    )


def packed(outcome: Outcome) -> bytes:
    """Pickle an outcome; an exception that cannot be is left out, an answer that cannot be is an error."""
    try:
        content = pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
        if outcome.exception is not None:
            pickle.loads(content)  # noqa: S301  our own, a line above
    except Exception as error:
        text = outcome.error or f"{type(error).__name__}: the answer cannot be sent: {error}"
        bare = replace(outcome, value=None, error=text, exception=None)
        return pickle.dumps(bare, protocol=pickle.HIGHEST_PROTOCOL)
    return content


def loaded(content: bytes) -> Loaded:
    """Return function, shared arguments and calls; the paths to import from are set before they are unpickled."""
    sys.path[:], inner = pickle.loads(content)  # noqa: S301  sent by the process that started this one
    return opened(*pickle.loads(inner))  # noqa: S301  as above


def opened(function: Any, shared: tuple[Any, ...], calls: list[tuple[str, tuple[Any, ...]]]) -> Loaded:
    """Return function, shared arguments and calls, unpacked where they came packed."""
    if not isinstance(function, Packed):
        return function, shared, calls
    function, shared = function.open()
    return function, shared, [(key, pickle.loads(own)) for key, (own,) in calls]  # noqa: S301  as above


def main(number: int, modules: Sequence[str] = ()) -> None:
    """Serve until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    faulthandler.enable()
    channel = socket.socket(fileno=number)
    for module in modules:
        with suppress(Exception):  # what calls need they import themselves, and say what is wrong with it
            importlib.import_module(module)
    while (content := receive(channel)) is not None:
        outcome = attempt("", loaded, (content,))
        function, shared, calls = outcome.value or (None, (), [])
        send(channel, packed(replace(outcome, value=None)), output_bytes())
        for key, arguments in calls:
            done = attempt(key, function, (*shared, *arguments))
            send(channel, packed(done), output_bytes())
        rest()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
