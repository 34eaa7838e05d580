"""Run a batch system's command beside everything else: with a time-out, ended when it is waited for no more."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daskflow.clusters.batch_jobs import QueueError

SECONDS = 45.0
"""How long a command may take: Slurm's own commands ask a busy controller again and again after 10 s each."""

TAIL_BYTES, TAIL_LINES = 8192, 20
"""How much of a log's end is told."""

_SECRET = re.compile(r"token|secret|passw|credential|private_?key|api_?key|access_?key", re.IGNORECASE)
_OWN = frozenset(["DASK_INTERNAL_INHERIT_CONFIG"])
"""Dask's configuration as this process was handed it; a cluster's seal may be in it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said.

    Attributes
    ----------
    code : int
        Exit code.
    out, err : str
        Its two outputs, without the space around them.
    """

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it complained of, as one line without the command's own name; its output where it did not complain."""
        said: list[str] = []
        for line in (self.err or self.out).splitlines():
            words = re.sub(r"^(\w+: )?(error: |fatal: |allocation failure: )?", "", line.strip()).rstrip(".!")
            if said and words[:1].islower() and words not in said[-1]:
                said[-1] += f" {words}"  # a sentence that goes on
            elif words and words not in said:
                said.append(words)
        return "; ".join(said) or f"exit code {self.code}, and no word"


async def run(
    command: Sequence[str], *, script: str = "", seconds: float = SECONDS, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a command to its end.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments; no shell reads them.
    script : str
        What it reads from its standard input.
    seconds : float
        It is ended after that time.
    environment : mapping, optional
        Its environment; default: `without_secrets`.

    Raises
    ------
    QueueError
        When there is no such program, or it takes too long.
    """
    environment = without_secrets(os.environ) if environment is None else environment
    program = shutil.which(command[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise QueueError(
            f"There is no command '{command[0]}' here. Start this where the batch system's commands are (a login "
            "node), or load the module that brings them."
        )
    try:
        # In a session of its own: Ctrl-C in the terminal must not end the command that cancels the jobs.
        process = await asyncio.create_subprocess_exec(
            program,
            *command[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise QueueError(f"{program} cannot be run: {error.strerror or error}.") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(script.encode()), seconds)
    except TimeoutError as error:
        raise QueueError(
            f"{command[0]} has not answered for {seconds:.0f} s. The batch system may be down or very busy: "
            "try the command by hand, and later again."
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # Waited for in a task of its own, so that being cancelled once more does not leave a zombie.
            reaped = asyncio.ensure_future(process.wait())
            with suppress(asyncio.CancelledError):
                await asyncio.shield(reaped)
    return Answer(process.returncode or 0, out.decode(errors="replace").strip(), err.decode(errors="replace").strip())


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is called like a secret: for commands that only ask.

    Examples
    --------
    >>> without_secrets({"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "GITHUB_TOKEN": "x"})
    {'PATH': '/bin'}
    """
    return {name: value for name, value in environment.items() if name not in _OWN and not _SECRET.search(name)}


def for_jobs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a job inherits: the user's own, credentials for stores too, but nothing of Dask's."""
    return {name: value for name, value in environment.items() if name not in _OWN}


async def tail(path: str | Path) -> str:
    """Return the last lines of a log; empty when it cannot be read within some seconds."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_tail, Path(path)), 10)
    except (OSError, TimeoutError):
        return ""


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
        file.seek(start)
        text = file.read(TAIL_BYTES).decode(errors="replace")
    if start:
        text = text.partition("\n")[2]
    lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|[^\n\t\x20-\x7e\xa0-\U0010ffff]", "", text).rstrip().splitlines()
    return "\n".join(lines[-TAIL_LINES:])


async def in_pieces(submit: Callable[[int], Awaitable[list[str]]], count: int, *, most: int, limit: str) -> list[str]:
    """Submit equal jobs so many at a time, fewer where a limit refuses that; return the IDs of those that were taken.

    Parameters
    ----------
    submit : callable
        Submits so many, and returns their IDs.
    count, most : int
        How many in all, and at a time.
    limit : str
        Pattern of a refusal that fewer jobs may escape.

    Raises
    ------
    QueueError
        When none is taken.
    """
    ids: list[str] = []
    size = most
    while len(ids) < count:
        size = min(size, count - len(ids))
        try:
            ids += await submit(size)
        except QueueError as error:
            if size > 1 and re.search(limit, str(error), re.IGNORECASE):
                size //= 2
            elif ids:
                break
            else:
                raise
    return ids
