"""Signals: a process that is told to end by its system takes down what it started, as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""A batch system's or an administrator's word, and a terminal or a connection that is gone."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block for signals that would otherwise end the process at once.

    What the program has decided on for a signal stays, such as ``nohup``. In another thread than the main one nothing
    is done: Python lets only that one hear signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal interrupt the block, which must come to its end by itself; one that came interrupts after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, *ENDING)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []
    for number in before:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda heard, _: came.append(heard))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:
            signal.raise_signal(came[0])


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(f"Ended by {signal.Signals(number).name}.")
