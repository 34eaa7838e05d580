"""Priority: a command beside the others that takes only what processor time they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LOWEST = 19
"""As ``nice`` counts it."""

AUTOGROUP = Path("/proc/self/autogroup")
"""Priority of this process's session, where Linux shares processor time out among sessions first."""


def give_way() -> None:
    """Let all other work of this machine go first, as far as its scheduler can be told; never raises.

    Where Linux groups processes by their sessions (``kernel.sched_autogroup_enabled``, as on most desktops and on
    machines without systemd's groups) ``nice`` counts within a session only, and two sessions share evenly whatever
    it says. So the session gets the lowest priority, too, if this process has one of its own.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            AUTOGROUP.write_text(f"{LOWEST}\n")


def printed_aside(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> str | None:
    """Return what a command prints, which has a session of its own in which it may `give_way`.

    Parameters
    ----------
    command : sequence of str
        The program and its words.
    environment : mapping of str to str
        All of its variables.
    seconds : float
        How long to wait for it; then it is ended.

    Returns
    -------
    str or None
        None when it took longer, failed, or could not be started.
    """
    with tempfile.TemporaryDirectory(prefix="daskflow-", ignore_cleanup_errors=True) as place:
        try:
            process = subprocess.Popen(
                command,
                env={**environment, "TMPDIR": place},  # who is killed removes nothing
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        except OSError:
            return None
        with process:
            try:
                text, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                with suppress(OSError):  # with what it has started, for the session is its own; mostly nothing is left
                    os.killpg(process.pid, signal.SIGKILL)
    return text if process.returncode == 0 else None
