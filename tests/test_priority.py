"""What nobody waits for gives way to all other work on its machine, in whatever session that is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from daskflow.core.priority import AUTOGROUP, LOWEST, printed_aside

GIVING_WAY = """
import os, pathlib
from daskflow.core.priority import AUTOGROUP, give_way
give_way()
print(os.getpriority(os.PRIO_PROCESS, 0), AUTOGROUP.read_text() if AUTOGROUP.exists() else "")
"""


def of_session() -> str:
    """What Linux says of this session's priority; nothing where it does not group by sessions."""
    return AUTOGROUP.read_text() if AUTOGROUP.exists() else ""


def test_a_process_with_a_session_of_its_own_gives_way_to_other_sessions_too() -> None:
    # when
    told = printed_aside([sys.executable, "-c", GIVING_WAY], os.environ, 100)
    # then: the session counts first where Linux groups processes by it, and nice within it
    assert told is not None
    nice, *session = told.split()
    assert int(nice) == LOWEST
    if of_session():
        assert session[2:] == [str(LOWEST)]


def test_a_process_in_the_session_of_others_slows_none_of_them() -> None:
    # given a process in the session of this one
    before = of_session()
    # when it gives way
    done = subprocess.run([sys.executable, "-c", GIVING_WAY], capture_output=True, text=True, timeout=100, check=True)
    # then the session is as it was
    assert int(done.stdout.split()[0]) == LOWEST
    assert of_session() == before


LEAVING = """
import pathlib, subprocess, sys, tempfile, time
place = tempfile.mkdtemp()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
pathlib.Path(sys.argv[1]).write_text(f"{place} {child.pid}")
time.sleep(1000)
"""


def test_of_who_is_ended_no_folder_and_no_process_is_left(tmp_path: Path) -> None:
    # given a command with a temporary folder and a process of its own, which does not end
    asked = threading.Thread(
        target=printed_aside, args=([sys.executable, "-c", LEAVING, str(tmp_path / "told")], os.environ, 5.0)
    )
    # when it is waited for no longer
    asked.start()
    asked.join(60)
    # then both are gone
    place, child = (tmp_path / "told").read_text().split()
    assert not Path(place).exists()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(int(child)) and psutil.Process(int(child)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ([sys.executable, "-c", "import time; print('early', flush=True); time.sleep(1000)"], 0.2),
        ([sys.executable, "-c", "print('and then'); raise SystemExit(3)"], 100),
        (["/no/such/program"], 100),
    ],
    ids=["slow", "failed", "missing"],
)
def test_what_is_not_printed_in_time_is_not_waited_for(command: list[str], seconds: float, tmp_path: Path) -> None:
    # given a command that takes longer, fails or is not there, then nobody waits, and nothing of it is left
    assert printed_aside(command, os.environ, seconds) is None
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        names = []
        for child in children.read_text().split():
            with suppress(OSError):  # one of another test that ends just now
                names.append(Path(f"/proc/{child}/cmdline").read_text())
        assert not any("time.sleep(1000)" in name for name in names)
