"""Ports that are chosen now and listened on later, by another process or again by the next one."""

from __future__ import annotations

import random
import socket

NOT_HANDED_OUT = range(30_100, 32_700)
"""Linux hands out those from 32,768 on by itself, to anybody at any moment; Slurm's fixture takes those below."""


def open_port() -> int:
    """Return a port of 127.0.0.1 that nobody has, nor gets who asks the system for any."""
    for port in random.SystemRandom().sample(NOT_HANDED_OUT, len(NOT_HANDED_OUT)):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port is in use")
